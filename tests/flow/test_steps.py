"""Steps of a workflow, "Send through SMSC" and "Check number (HLR)", from the portal's run to its answer."""

from pathlib import Path
from typing import Any

import pytest

from smsbridge.sandbox.orders import DocumentKind, RunOrder
from smsbridge.sandbox.reports import StepReport
from smsbridge.sandbox.settings import Profile
from tests.flow import harness

GOOD, ABSENT, NOT_ON_VIBER = "+79994000001", "+79994000097", "+79994000080"
SILENT = "+79994000091"  # never a receipt


@pytest.mark.parametrize("profile", Profile)
async def test_a_robot_checks_a_number(tmp_path: Path, profile: Profile) -> None:
    async with harness.running(tmp_path, plan(profile)) as stack:
        await registered(stack)
        tokens = [await run(stack, "smsc.hlr", phone=phone) for phone in (GOOD, ABSENT, "no phone")]
        activity = await run(stack, "smsc.hlr.step", DocumentKind.CONTACT, phone=GOOD)
        found = await answered(stack, [*tokens, activity])
        shown = [
            {name: found[token].values.get(name, "") for name in ("reachability", "operator", "region")}
            for token in tokens
        ]
        assert shown == [
            {"reachability": "active", "operator": "MTS", "region": "Москва"},
            {"reachability": "absent", "operator": "MTS", "region": "Москва"},
            {"reachability": "unknown", "operator": "", "region": ""},
        ]
        assert found[tokens[2]].values["reason"] == "bad_phone"
        assert found[activity].values["reachability"] == "active"
        assert {one.answers for one in found.values()} == {1}
        assert (await stack.smsc_ledger(profile.value)).look_ups == 2


@pytest.mark.parametrize("profile", Profile)
async def test_a_robot_sends_and_waits_for_the_end(tmp_path: Path, profile: Profile) -> None:
    async with harness.running(tmp_path, plan(profile)) as stack:
        await registered(stack)
        whole = {"text": "Заказ собран", "await_final": "Y"}
        delivered = await run(stack, "smsc.send", phone=GOOD, channel="viber", **whole)
        fell_back = await run(stack, "smsc.send", phone=NOT_ON_VIBER, channel="cascade", **whole)
        dead = await run(stack, "smsc.send", phone=ABSENT, channel="sms", **whole)
        at_once = await run(stack, "smsc.send", phone=SILENT, text="Ждём вас", await_final="N")
        tokens = [delivered, fell_back, dead]
        found = await answered(stack, [*tokens, at_once])
        shown = [(found[t].values["status"], found[t].values.get("channel", "")) for t in tokens]
        assert shown == [
            ("delivered", "viber"),
            ("delivered", "sms"),
            ("undelivered", "sms"),
        ]
        assert found[at_once].values["status"] == "queued"
        assert {one.answers for one in found.values()} == {1}
        assert (await stack.smsc_ledger(profile.value)).sent_twice == 0
        ledger = await stack.unaccounted()
        assert (ledger["accepted"], ledger["unaccounted"]) == (4, 0)


async def test_answers_survive_roles_that_die(tmp_path: Path) -> None:
    """Sixty steps of both kinds while gateway, hlr and status are killed again and again."""
    async with harness.running(tmp_path, plan(Profile.HTTP)) as stack:
        await registered(stack)
        tokens = []
        for number in range(30):
            phone = f"+79994{number:04d}05"
            tokens.append(await run(stack, "smsc.hlr", phone=phone))
            tokens.append(await run(stack, "smsc.send", phone=phone, text=f"Заказ {number}", await_final="Y"))
            if number % 5 == 4:
                stack.kill(("hlr", "status", "sender")[number // 5 % 3])
        found = await answered(stack, tokens)
        assert {one.values.get("reachability") or one.values.get("status") for one in found.values()} == {
            "active",
            "delivered",
        }
        ledger = await stack.smsc_ledger("http")
        assert (ledger.look_ups, ledger.looked_up_again, ledger.sent_twice) == (30, 0, 0)
        assert (await stack.unaccounted())["unaccounted"] == 0


async def test_a_wait_that_ended_first_is_no_fault(tmp_path: Path) -> None:
    async with harness.running(tmp_path, plan(Profile.GUIDE)) as stack:
        await registered(stack)
        order = RunOrder(
            code="smsc.send",
            properties={"phone": SILENT, "text": "Ау", "await_final": "Y"},
            timeout_seconds=2,
        )
        token = (await stack.control.run(harness.DOMAIN, order)).token

        async def over() -> bool:
            return (await steps(stack))[token].timed_out

        await harness.until(over, seconds=30, what=stack.log_tail)
        assert (await steps(stack))[token].values == {"IsTimeout": 1}
        assert (await stack.unaccounted())["unaccounted"] == 0


def plan(profile: Profile, **spec: Any) -> harness.Plan:
    routing = {"channel": "sms", "viberTimeout": "60s" if profile is Profile.GUIDE else "2s"}
    return harness.Plan(profile=profile, spec={"routing": routing, **spec})


async def registered(stack: harness.Stack) -> None:
    async def there() -> bool:
        found = await stack.control.activities(harness.DOMAIN)
        codes = {one["code"] for items in found.values() for one in items}
        return codes == {"smsc.send", "smsc.hlr", "smsc.send.step", "smsc.hlr.step"}

    await harness.until(there, seconds=30, what=stack.log_tail)


async def run(
    stack: harness.Stack, code: str, document: DocumentKind = DocumentKind.DEAL, **properties: str
) -> str:
    """The step's token. The post may find no door for a moment, and the portal never repeats it."""
    order = RunOrder(code=code, document=document, properties=dict(properties))
    report = await stack.control.run(harness.DOMAIN, order)
    assert [post.status for post in report.posts] == [200]
    return report.token


async def steps(stack: harness.Stack) -> dict[str, StepReport]:
    return {one.token: one for one in await stack.control.steps(harness.DOMAIN)}


async def answered(stack: harness.Stack, tokens: list[str]) -> dict[str, StepReport]:
    found: dict[str, StepReport] = {}

    async def all_of_them() -> bool:
        known = await steps(stack)
        found.clear()
        found.update({token: known[token] for token in tokens})
        return not any(one.waits for one in found.values())

    await harness.until(
        all_of_them,
        seconds=90,
        what=lambda: f"{[one.code for one in found.values() if one.waits]}\n{stack.log_tail()}",
    )
    return found
