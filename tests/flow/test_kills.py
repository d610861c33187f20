"""Killed with -9 at any moment, under faults: no accepted message is missing, none was sent twice."""

import asyncio
import random
from pathlib import Path

from smsbridge.sandbox.faults import Fault, FaultKind
from tests.flow import harness

VICTIMS = ("gateway", "sender", "status", "hlr", "store", "supervisor")
KILLS = 30
FAULTS = (
    Fault(kind=FaultKind.TIMEOUT_AFTER_ACCEPT, probability=0.06, seed=1, seconds=5),
    Fault(kind=FaultKind.TIMEOUT_BEFORE_ACCEPT, probability=0.06, seed=2, seconds=5),
    Fault(kind=FaultKind.RESET_AFTER_ACCEPT, probability=0.06, seed=3),
    Fault(kind=FaultKind.RESET_BEFORE_ACCEPT, probability=0.06, seed=4),
    Fault(kind=FaultKind.HTTP_502_THEN_ACCEPT_AFTER, probability=0.06, seed=5, seconds=1.0),
    Fault(kind=FaultKind.LOSE_CALLBACKS, probability=0.1, seed=6),
    Fault(kind=FaultKind.DUPLICATE_CALLBACKS, probability=0.1, seed=7),
    Fault(kind=FaultKind.REORDER_CALLBACKS, probability=0.1, seed=8, seconds=1.0),
)


async def test_thirty_kills_during_broadcasts_under_faults(tmp_path: Path) -> None:
    chance = random.Random(20250325)
    async with harness.running(tmp_path) as stack:
        await stack.posted(await stack.broadcast(harness.good_phones(20, start=50_000), text="Проба"))
        await stack.rows_right(seconds=30)
        for fault in FAULTS:
            await stack.control.smsc_fault("guide", fault)
        letters = []
        killed = 0
        for number in range(KILLS):
            if number % 6 == 0:
                phones = harness.mixed_phones(400, without=frozenset({91, 94, 95, 96}))
                letters.append(await stack.broadcast(phones, text=f"Письмо {number}", per_second=60))
            await asyncio.sleep(chance.uniform(0.2, 1.8))
            victim = VICTIMS[number % len(VICTIMS)]
            if victim == "supervisor":
                await stack.kill_supervisor()
                killed += 1
            else:
                killed += stack.kill(victim)
        for letter in letters:
            await stack.posted(letter)
        for login in ("guide",):
            await stack.control.clear_smsc_faults(login)
        await stack.ready()
        await stack.rows_right(seconds=150)
        ledger = await stack.smsc_ledger()
        assert ledger.sent_twice == 0
        books = await stack.unaccounted()
        assert books["unaccounted"] == 0
        assert books["accepted"] <= ledger.distinct_phone_text + books.get("failed", 0)
        assert killed >= KILLS - 3
        assert (await stack.control.summary(harness.DOMAIN)).regressions == 0
