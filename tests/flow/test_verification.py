"""The verification of a contact base as a user runs it, with a role that is killed, and what it saves."""

import asyncio
import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from smsbridge.sandbox import reports
from smsbridge.sandbox.crm import Kind
from smsbridge.sandbox.orders import EntitiesOrder
from smsbridge.sandbox.settings import Profile
from tests.flow import harness

# Who is dead is followed soon.
CONFIG: dict[str, Any] = {
    **harness.SHORT,
    "hlr": {
        **harness.SHORT["hlr"],
        "verification": {
            "idle_seconds": 0.2,
            "lease_seconds": 2.0,
            "look_again_seconds": 0.3,
            "linger_seconds": 1.0,
            "pause_seconds": 1.0,
            "pages_http": 4,
            "writes_at_once": 1,
        },
    },
    "supervisor": {"restart_first_seconds": 0.1, "restart_cap_seconds": 0.5},
}
FIELDS = ("UF_CRM_SMS_REACH", "UF_CRM_OPERATOR", "UF_CRM_REGION", "UF_CRM_SMS_CHECKED")


def phones(count: int) -> list[str]:
    """A tenth of them do not exist."""
    return [f"+7998{n:05d}{97 if n % 10 == 9 else n % 80:02d}" for n in range(count)]


def plan(profile: Profile, **sections: Any) -> harness.Plan:
    prices = {"prices": {"sms": "4.00", "hlr": "0.50"}}
    return harness.Plan(profile=profile, spec={"smsc": prices, "hlr": {"dailyBudget": "0"}, **sections})


async def contacts(stack: harness.Stack, count: int) -> None:
    order = EntitiesOrder(phones=[[phone] for phone in phones(count)], quiet=True)
    await stack.control.create_entities(harness.DOMAIN, Kind.CONTACT, order)


async def shown(stack: harness.Stack) -> list[reports.EntityReport]:
    return await stack.control.entities(harness.DOMAIN, Kind.CONTACT)


def reachability(one: reports.EntityReport) -> str:
    return str(one.user_fields.get("UF_CRM_SMS_REACH", ""))


async def verify(stack: harness.Stack, *arguments: str) -> tuple[int, Any, str]:
    """Exit code, the report, and what people are told."""
    code, out, err = await stack.command("verify", *arguments, "--data", str(stack.data), "--output", "json")
    return code, json.loads(out) if out else None, err


async def fields_there(stack: harness.Stack) -> None:
    crm = stack.sandbox.portals.by_domain[harness.DOMAIN].crm

    async def there() -> bool:
        return set(FIELDS) <= set(crm.fields[Kind.CONTACT])

    await harness.until(there, seconds=30, what=stack.log_tail)


@pytest.mark.parametrize("profile", Profile)
async def test_killed_ten_times_and_still_one_look_up_for_each_number(
    tmp_path: Path, profile: Profile
) -> None:
    count = 1000
    slow = harness.sandbox_settings(latency_ms=200)
    async with harness.running(tmp_path, plan(profile), config=CONFIG, settings=slow) as stack:
        await fields_there(stack)
        await contacts(stack, count)
        account = stack.sandbox.smsc.accounts[profile.value]
        seen = stack.sandbox.portals.by_domain[harness.DOMAIN].seen
        before = seen.methods["crm.contact.update"]

        def done() -> int:
            return int(account.totals.look_ups.total()) + seen.methods["crm.contact.update"] - before

        running = asyncio.create_task(verify(stack, "--source", "contacts", "--yes"))
        killed_at = [0]
        while len(killed_at) <= 10:

            async def further() -> bool:
                return done() >= killed_at[-1] + count // 25 or running.done()

            await harness.until(further, seconds=120, what=stack.log_tail, pause=0.02)
            if running.done():
                break
            killed_at.append(done())
            assert stack.kill("hlr")
            await stack.alive("hlr")
        code, report, told = await running
        assert code == 0, told
        assert len(killed_at) == 11
        ledger = await stack.smsc_ledger(profile.value)
        assert ledger.looked_up_again == 0
        assert (report["state"], report["entities"], report["numbers"]) == ("done", count, count)
        # Profile guide: nobody can tell what came of a dead process's requests, two at a time.
        unanswered = report["outcomes"].get("unanswered", 0)
        assert unanswered <= (2 * 10 if profile is Profile.GUIDE else 0)
        assert count - unanswered <= ledger.look_ups <= count
        found = await shown(stack)
        wrong = Counter(
            (one.phones[0][-2:], reachability(one))
            for one in found
            if reachability(one) != ("absent" if one.phones[0].endswith("97") else "active")
        )
        assert {shown for _, shown in wrong} <= {""}
        assert wrong.total() == unanswered
        full = [one for one in found if reachability(one)]
        assert all(set(FIELDS) <= set(one.user_fields) for one in full)
        traffic = await stack.control.traffic(harness.DOMAIN)
        assert (traffic.status_503, traffic.status_429) == (0, 0)


@pytest.mark.parametrize("profile", Profile)
async def test_a_letter_to_a_verified_base_makes_fewer_requests_and_costs_less(
    tmp_path: Path, profile: Profile
) -> None:
    count = 200
    batching = {"maxNumbers": 20, "linger": "5s", "interactiveLinger": "100ms"}
    async with harness.running(tmp_path, plan(profile, batching=batching), config=CONFIG) as stack:
        await fields_there(stack)
        await contacts(stack, count)
        code, report, told = await verify(stack, "--source", "contacts", "--yes")
        assert code == 0, told
        assert report["outcomes"] == {"active": 180, "absent": 20}
        assert report["saves"] == "80.00"
        alive = [one.phones[0] for one in await shown(stack) if reachability(one) != "absent"]
        assert len(alive) == 180

        async def letter(to: list[str], text: str) -> tuple[int, Any]:
            """Requests and roubles."""
            before = await stack.smsc_ledger(profile.value)
            await stack.posted(await stack.broadcast(to, text=text))

            async def sent() -> bool:
                now = await stack.smsc_ledger(profile.value)
                return bool(now.messages - before.messages == len(to))

            await harness.until(sent, seconds=60, what=stack.log_tail)
            now = await stack.smsc_ledger(profile.value)
            return now.accepted_requests - before.accepted_requests, now.charged - before.charged

        requests, roubles = await letter(alive, "Скидка 20 %")
        all_requests, all_roubles = await letter(phones(count), "Скидка 30 %")
        assert (requests, all_requests) == (9, 10)
        assert roubles * 10 == all_roubles * 9


async def test_the_command_line(tmp_path: Path) -> None:
    async with harness.running(tmp_path, plan(Profile.GUIDE), config=CONFIG) as stack:
        await fields_there(stack)
        await contacts(stack, 20)
        code, report, told = await verify(stack, "--source", "contacts")
        assert (code, report) == (1, None)
        assert "20 contacts by crm/smsc: 20 numbers to look up, 0 known already" in told
        assert "0.50 roubles each, 10.00 roubles (estimated)" in told
        assert "nobody said yes; `smsbridge verify --resume" in told
        code, listed, _ = await verify(stack, "--list")
        assert [(one["state"], one["bought"]) for one in listed] == [("quoted", 0)]
        code, report, told = await verify(stack, "--resume", listed[0]["id"], "--yes")
        assert (code, report["state"], report["spent"]) == (0, "done", "10.00"), told
        code, report, _ = await verify(stack, "--source", "contacts", "--yes", "--filter", '{"ID": 9999}')
        assert (code, report["reason"]) == (1, "nothing_found")
        code, _, told = await verify(stack, "--source", "contacts", "--filter", "TYPE_ID=CLIENT")
        assert (code, "filter: is no JSON" in told) == (1, True)
        code, _, told = await verify(stack, "--source", "everybody")
        assert (code, "neither one of contacts, leads, companies nor a file" in told) == (1, True)

        base = tmp_path / "base.csv"
        lines = "Имя;Телефон\nАнна;+7 998 123-45-00\nПётр;89981234597\nНикто;нет\nАнна;+79981234500\n"
        base.write_text(lines, encoding="cp1251")
        report_file = tmp_path / "report.csv"
        code, report, told = await verify(stack, "--source", str(base), "--yes", "--report", str(report_file))
        assert (code, report["source"], report["numbers"]) == (0, "file", 2), told
        assert "1 of 4 lines hold no phone number: 4" in told
        rows = list(csv.reader((tmp_path / "base.verified.csv").open(encoding="utf-8-sig"), delimiter=";"))
        assert [row[:2] for row in rows] == [
            ["number", "reachability"], ["79981234500", "active"], ["79981234597", "absent"],
        ]  # fmt: skip
        assert all(rows[1][2:])
        assert ["outcome", "absent", "1"] in list(csv.reader(report_file.open(encoding="utf-8-sig")))
        code, _, told = await verify(stack, "--cancel", "01NOBODY")
        assert (code, told) == (1, "smsbridge: nobody knows this verification\n")
