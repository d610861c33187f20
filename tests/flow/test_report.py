"""Reports, stories and `top` of a running stack, beside the sandbox's own ledger."""

import asyncio
import contextlib
import csv
import fcntl
import io
import json
import os
import pty
import signal
import struct
import sys
import termios
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from smsbridge.core.message import Route
from smsbridge.sandbox import expected
from smsbridge.sandbox.orders import SendOrder
from smsbridge.sandbox.phones import REQUEST_ERROR, Behaviour, behaviour
from smsbridge.sandbox.settings import Profile
from tests.flow import harness

PRICES = {"sms": "4.00", "viber": "2.30"}
# Silent numbers never become final here; which of a refused request's rest fails depends on how it is split.
SPECIAL = frozenset({91, 94, 95, 96})


async def report(stack: harness.Stack, *arguments: str) -> dict[str, Any]:
    code, out, err = await stack.command(
        "report", "--since", "2d", "--data", str(stack.data), "--output", "json", *arguments
    )
    assert code == 0, err
    return dict(json.loads(out))


async def settled(stack: harness.Stack, count: int) -> None:
    """So many messages are final."""

    async def done() -> bool:
        books = await stack.unaccounted()
        open_ = sum(books.get(name, 0) for name in ("held", "waiting", "sending", "sent"))
        return books.get("accepted", 0) == count and not open_

    await harness.until(done, seconds=90, what=stack.log_tail)


def money(text: str | None) -> Decimal:
    return Decimal(text or "0")


@pytest.mark.parametrize("profile", [Profile.GUIDE, Profile.HTTP])
async def test_the_report_is_the_sandbox_s_ledger(tmp_path: Path, profile: Profile) -> None:
    routing = {"channel": "cascade", "viberTimeout": "2s" if profile is Profile.HTTP else "60s"}
    smsc = {"prices": PRICES} if profile is Profile.GUIDE else {}
    plan = harness.Plan(profile=profile, spec={"routing": routing, "smsc": smsc})
    without = SPECIAL | (
        frozenset({85, 86}) if profile is Profile.GUIDE else frozenset()
    )  # they wait a minute
    phones = harness.mixed_phones(160, without=without)
    async with harness.running(tmp_path, plan) as stack:
        await stack.posted(await stack.broadcast(phones))
        for number in range(3):
            order = SendOrder(phone=f"+7999333000{number}", text="Длинный текст. " * 8)
            await stack.control.send(harness.DOMAIN, order)
        await settled(stack, len(phones) + 3)
        await stack.rows_right(route=Route.CASCADE, profile=profile)
        found = await report(stack)
        ledger = await stack.smsc_ledger(profile.value)

        total = found["total"]
        statuses = Counter(
            str(expected.portal_status(one, route=Route.CASCADE, profile=profile)) for one in phones
        )
        assert total["messages"] == len(phones) + 3
        assert total["delivered"] == statuses["delivered"] + 3
        assert total["messages"] - total["delivered"] == sum(total["failed"].values())
        assert money(total["cost"]) == ledger.charged
        estimated = ledger.charged if profile is Profile.GUIDE else Decimal(0)
        assert (money(total["cost_estimated"]), total["cost_unknown"]) == (estimated, 0)
        assert total["p90_seconds"] >= total["median_seconds"] >= 1

        rows = {row["key"]: row for row in found["rows"]}
        for name in ("messages", "sent", "delivered", "delivered_by_viber", "read"):
            assert sum(row[name] for row in rows.values()) == total[name], name
        assert sum((money(row["cost"]) for row in rows.values()), Decimal(0)) == ledger.charged
        by_viber = rows["cascade_viber"]
        off_viber = sum(behaviour(one) is Behaviour.NOT_ON_VIBER for one in phones)
        assert rows["cascade_sms"]["delivered"] >= off_viber > 0
        assert by_viber["delivered"] == by_viber["delivered_by_viber"] == total["delivered_by_viber"]
        saved = money(by_viber["sms_only_cost"]) - money(by_viber["cascade_cost"])
        assert money(by_viber["savings"]) == saved > 0

        await check_outputs(stack, tmp_path, found)
        by_day = await report(stack, "--by", "day")
        assert by_day["total"] == total
        by_region = await report(stack, "--by", "region", "--provider", "crm/smsc")
        assert [row["key"] for row in by_region["rows"]] == [""]  # nobody has looked them up
        code, out, err = await stack.command("report", "--since", "soon", "--data", str(stack.data))
        assert (code, out) == (1, "")
        assert "YYYY-MM-DD" in err


async def check_outputs(stack: harness.Stack, folder: Path, found: dict[str, Any]) -> None:
    """Table, CSV and chart say the same."""
    chart = folder / "report.svg"
    code, out, err = await stack.command(
        "report", "--since", "2d", "--data", str(stack.data), "--output", "csv", "--chart", str(chart)
    )
    assert code == 0, err
    table = list(csv.DictReader(io.StringIO(out)))
    assert [row["channel"] for row in table] == [*(row["key"] for row in found["rows"]), "total"]
    assert table[-1]["cost"] == found["total"]["cost"]
    assert chart.read_text(encoding="utf-8").startswith("<svg ")
    for name, why in (
        ("report.png", "give a file that ends in .svg"),
        ("nowhere/x.svg", "cannot be written"),
    ):
        code, _, err = await stack.command("report", "--data", str(stack.data), "--chart", str(folder / name))
        assert (code, why in err, "Traceback" in err) == (1, True, False), err
    code, out, err = await stack.command("report", "--since", "2d", "--data", str(stack.data))
    assert code == 0, err
    assert found["total"]["cost_per_delivered"] in out


async def test_a_number_s_story_and_top(tmp_path: Path) -> None:
    routing = {"channel": "cascade", "viberTimeout": "2s"}
    plan = harness.Plan(profile=Profile.HTTP, spec={"routing": routing})
    on_viber, not_on_viber = "+79990000001", "+7 999 000-00-80"
    async with harness.running(tmp_path, plan) as stack:
        await stack.control.send(harness.DOMAIN, SendOrder(phone=not_on_viber, text="Первое письмо"))
        for text in ("Первое письмо", "Второе письмо"):
            await stack.control.send(harness.DOMAIN, SendOrder(phone=on_viber, text=text))
        await settled(stack, 3)

        code, out, err = await stack.command("message", not_on_viber, "--data", str(stack.data))
        assert code == 0, err
        assert out.startswith("Delivered by SMS")
        assert "79990000080" not in out
        code, out, err = await stack.command(
            "message", not_on_viber, "--data", str(stack.data), "--output", "json"
        )
        assert code == 0, err
        told = json.loads(out)
        assert (told["headline"][:16], told["cost"]) == ("Delivered by SMS", "6.30")
        # A post right after the installation may be held until its new token is known everywhere.
        sentences = [one["sentence"] for one in told["events"] if "application token" not in one["sentence"]]
        assert sentences[:8] == [
            "accepted from a CRM card, to go by cascade",
            "on its way to SMSC, by Viber",
            "SMSC took it, by Viber, for 2.30 roubles",
            "SMSC called, Viber: impossible to deliver "
            "(status 20, error 21: service not supported by the device); the operator could not deliver it",
            "it goes on by SMS: SMSC reported 20 for the channel before",
            "on its way to SMSC, by SMS",
            "SMSC took it, by SMS, for 4.00 roubles",
            "SMSC called, SMS: delivered (status 1)",
        ]

        code, out, err = await stack.command(
            "message", "79990000001", "--data", str(stack.data), "--output", "json"
        )
        assert code == 0, err
        listed = json.loads(out)
        assert [one["state"] for one in listed] == ["MESSAGE_STATE_DELIVERED"] * 2
        assert {one["recipient"] for one in listed} == {"7999*****01"}
        assert int(listed[0]["accepted_at_ms"]) >= int(listed[1]["accepted_at_ms"])
        code, out, err = await stack.command("message", "+79991111111", "--data", str(stack.data))
        assert (code, out) == (1, "")
        assert "nobody knows a message to this number" in err

        code, out, err = await stack.command("top", "--once", "--data", str(stack.data))
        assert code == 0, err
        assert "3 accepted, 0 in journals, 0 unaccounted" in out
        assert "crm/smsc" in out
        code, shown = await on_a_terminal("top", "--data", str(stack.data), until="crm/smsc")
        stack.printed.append(("top", shown))
        assert code == 0, shown
        assert "3 accepted, 0 in journals, 0 unaccounted" in shown


async def on_a_terminal(*arguments: str, until: str) -> tuple[int, str]:
    """Runs a command that ends with Ctrl-C, once it has shown `until` twice; answers what it showed."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 180, 0, 0))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "smsbridge", *arguments, stdin=theirs, stdout=theirs, stderr=theirs,
        env={**os.environ, "TERM": "xterm-256color"},
    )  # fmt: skip
    os.close(theirs)
    os.set_blocking(ours, False)
    shown = ""

    async def twice() -> bool:
        nonlocal shown
        with contextlib.suppress(BlockingIOError):
            shown += os.read(ours, 65536).decode(errors="replace")
        return shown.count(until) >= 2

    try:
        await harness.until(twice, seconds=30, what=lambda: shown)
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(15):
            return await process.wait(), shown
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        os.close(ours)


def test_refused_requests_are_left_out_of_the_mix() -> None:
    assert {ending for ending in range(100) if behaviour(f"7{ending:010d}") in REQUEST_ERROR} <= SPECIAL
