"""Look-ups before sending, whole: what a letter to a base with dead numbers sends, and what it costs."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from smsbridge.sandbox.faults import Fault, FaultKind
from smsbridge.sandbox.orders import MessageOrigin, SendOrder
from smsbridge.sandbox.settings import Profile
from tests.flow import harness

GOOD = [f"+7999100{n:04d}" for n in range(45)]
ABSENT = [f"+799910{n:03d}97" for n in range(5)]
OFF = "+79991000098"


def plan(profile: Profile, **hlr: Any) -> harness.Plan:
    prices = {"prices": {"sms": "4.00", "hlr": "0.50"}}
    return harness.Plan(profile=profile, spec={"hlr": hlr, "smsc": prices})


async def statuses(stack: harness.Stack, wanted: dict[str, str]) -> None:
    """The portal's rows come to show these."""
    found: dict[str, str] = {}

    async def right() -> bool:
        found.clear()
        found.update({row.phone: row.status for row in await stack.rows()})
        return found == wanted

    await harness.until(right, seconds=60, what=lambda: f"{found}\n{stack.log_tail()}")


async def story(stack: harness.Stack, phone: str) -> dict[str, Any]:
    (row,) = [row for row in await stack.rows() if row.phone == phone]
    code, out, _ = await stack.command(
        "message", row.message_id, "--data", str(stack.data), "--output", "json"
    )
    assert code == 0
    return dict(json.loads(out))


def sent_to(stack: harness.Stack, login: str) -> list[str]:
    account = stack.sandbox.smsc.accounts[login]
    return sorted(phone for sent in account.sends for phone in sent.phones)


def digits(phones: list[str]) -> list[str]:
    return sorted(phone.lstrip("+") for phone in phones)


@pytest.mark.parametrize("profile", Profile)
async def test_always_looks_a_letter_s_numbers_up_first(tmp_path: Path, profile: Profile) -> None:
    async with harness.running(tmp_path, plan(profile, beforeSend="always")) as stack:
        await stack.posted(await stack.broadcast([*GOOD, *ABSENT]))
        await statuses(stack, dict.fromkeys(GOOD, "delivered") | dict.fromkeys(ABSENT, "failed"))
        assert sent_to(stack, profile.value) == digits(GOOD)
        ledger = await stack.smsc_ledger(profile.value)
        assert (ledger.look_ups, ledger.looked_up_again, ledger.sent_twice) == (50, 0, 0)
        assert (await story(stack, ABSENT[0]))["reason"] == "NumberAbsent"
        metrics = await stack.metrics()
        assert 'smsbridge_saved_roubles_total{role="sender",namespace="crm",provider="smsc"} 20.0' in metrics
        assert (await stack.unaccounted())["unaccounted"] == 0


async def test_cached_uses_what_is_known_and_buys_nothing(tmp_path: Path) -> None:
    async with harness.running(tmp_path, plan(Profile.GUIDE, beforeSend="cached")) as stack:
        asked = ("hlr", ABSENT[0], OFF, "--data", str(stack.data), "--output", "json")
        code, out, _ = await stack.command(*asked)
        found = json.loads(out)
        assert code == 0
        assert [(one["reachability"], one["bought"]) for one in found] == [
            ("absent", True),
            ("unavailable", True),
        ]
        code, out, _ = await stack.command(*asked)
        assert [one["bought"] for one in json.loads(out)] == [False, False]
        for phone in (ABSENT[0], OFF, GOOD[0]):
            await stack.control.send(harness.DOMAIN, SendOrder(origin=MessageOrigin.CARD, phone=phone))
        await statuses(stack, {ABSENT[0]: "failed", OFF: "undelivered", GOOD[0]: "delivered"})
        assert sent_to(stack, "guide") == digits([OFF, GOOD[0]])
        assert (await stack.smsc_ledger()).look_ups == 2
        shown = await story(stack, ABSENT[0])
        assert (shown["reason"], "left_out" in {event["what"] for event in shown["events"]}) == (
            "NumberAbsent",
            True,
        )


async def test_skip_unavailable_leaves_a_switched_off_number_out_of_a_letter(tmp_path: Path) -> None:
    one = plan(Profile.HTTP, beforeSend="always", skipUnavailable=True)
    async with harness.running(tmp_path, one) as stack:
        await stack.posted(await stack.broadcast([GOOD[0], OFF]))
        await statuses(stack, {GOOD[0]: "delivered", OFF: "failed"})
        assert (await story(stack, OFF))["reason"] == "NumberUnavailable"
        assert sent_to(stack, "http") == digits([GOOD[0]])


async def test_a_used_up_budget_stops_no_letter(tmp_path: Path) -> None:
    one = plan(Profile.GUIDE, beforeSend="always", dailyBudget="0")
    async with harness.running(tmp_path, one) as stack:
        await stack.posted(await stack.broadcast([GOOD[0], ABSENT[0]]))
        await statuses(stack, {GOOD[0]: "delivered", ABSENT[0]: "undelivered"})
        ledger = await stack.smsc_ledger()
        assert (ledger.look_ups, ledger.messages) == (0, 2)
        events = (await story(stack, GOOD[0]))["events"]
        assert [event["detail"] for event in events if event["what"] == "unchecked"] == [{"why": "budget"}]


async def test_an_hlr_role_that_keeps_dying_stops_nothing_and_loses_nothing(tmp_path: Path) -> None:
    async with harness.running(tmp_path, plan(Profile.HTTP, beforeSend="always")) as stack:
        letter = await stack.broadcast([*GOOD, *ABSENT])
        for _ in range(8):
            stack.kill("hlr")
            await asyncio.sleep(0.4)
        await stack.posted(letter)
        await stack.alive("hlr")

        async def final() -> bool:
            books = await stack.unaccounted()
            ended = sum(books.get(word, 0) for word in ("delivered", "undelivered", "failed"))
            return bool(ended == 50)

        await harness.until(final, seconds=90, what=stack.log_tail)
        ledger = await stack.smsc_ledger("http")
        assert (ledger.looked_up_again, ledger.sent_twice) == (0, 0)
        assert set(digits(GOOD)) <= set(sent_to(stack, "http"))
        assert (await stack.unaccounted())["unaccounted"] == 0


QUICK = {
    "hlr": {
        "post_total_seconds": 1.5,
        "margin_seconds": 2.0,
        "first_question_seconds": 0.5,
        "second_ask_seconds": 0.5,
        "idle_seconds": 0.2,
    }
}


@pytest.mark.parametrize("profile", Profile)
async def test_a_role_that_is_killed_in_a_look_up_buys_nothing_again(
    tmp_path: Path, profile: Profile
) -> None:
    config = {**harness.SHORT, **QUICK}
    async with harness.running(tmp_path, plan(profile), config=config, connected=False) as stack:

        async def looked_up(phone: str) -> dict[str, Any]:
            asked = ("hlr", phone, "--data", str(stack.data), "--output", "json", "--wait", "20s")
            _, out, _ = await stack.command(*asked)
            return dict(json.loads(out)[0]) if out else {}

        async def first() -> bool:
            return (await looked_up(GOOD[0])).get("reachability") == "active"

        await harness.until(first, seconds=30, what=stack.log_tail)  # the price, and that our ids are found
        account = stack.sandbox.smsc.accounts[profile.value]
        script = "hlr" if profile is Profile.GUIDE else "send"
        account.faults.add(Fault(kind=FaultKind.TIMEOUT_AFTER_ACCEPT, call=script, count=1, seconds=30))
        asking = asyncio.create_task(looked_up(ABSENT[0]))

        async def bought() -> bool:
            return account.totals.look_ups.total() == 2

        await harness.until(bought, seconds=20, what=stack.log_tail, pause=0.02)
        assert stack.kill("hlr")
        assert await asking == {}
        await stack.alive("hlr")
        found = await looked_up(ABSENT[0])
        if profile is Profile.GUIDE:
            assert (found["state"], found["bought"]) == ("pending", False)
        else:
            assert (found["state"], found["reachability"]) == ("known", "absent")
        assert account.totals.look_ups.total() == 2
