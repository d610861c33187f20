"""A real Prometheus over a running stack: dashboards and rules are answered, and alerts come and go."""

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from smsbridge.sandbox.faults import Fault, FaultKind
from smsbridge.sandbox.orders import EntitiesOrder, MessageOrigin, RunOrder, SendOrder
from smsbridge.sandbox.settings import Profile
from tests.flow import harness
from tests.observability import asked, prometheus

pytestmark = pytest.mark.slow

ABSENT = "+79990000097"
OURS = '{__name__=~"smsbridge_.+"}'


@dataclass(frozen=True, slots=True)
class About:
    """What an alert is about; empty where it does not say."""

    alert: str
    provider: str = ""
    reason: str = ""


def about(labels: dict[str, str]) -> About:
    return About(labels["alertname"], labels.get("provider", ""), labels.get("reason", ""))


def config() -> dict[str, Any]:
    """A pause that is soon over, budgets read often, a role that stays away long enough to be missed."""
    account = {**harness.SHORT["account"], "money_probe_seconds": 1.0}
    changes = {
        "account": account,
        "hlr": {**harness.SHORT.get("hlr", {}), "measure_seconds": 1.0},
        "supervisor": {"restart_first_seconds": 12.0},
    }
    return {**harness.SHORT, **changes}


async def traffic(stack: harness.Stack, server: prometheus.Prometheus) -> None:
    """Messages of every origin and kind by both profiles, and look-ups."""
    for number, origin in enumerate(MessageOrigin):
        for code in ("smsc", "cascade"):
            phone = f"+799900001{number:02d}"
            order = SendOrder(origin=origin, phone=phone, code=code, text=f"{code} {number}")
            await stack.control.send(harness.DOMAIN, order)

    async def seen() -> bool:
        """What is counted from now on is an increase: of a counter's first value no rate knows."""
        found = await server.query('smsbridge_messages_final_total{state="delivered"}')
        return {one["metric"]["provider"] for one in found} == {"smsc", "cascade"}

    await harness.until(seen, seconds=45, what=stack.log_tail)
    phones = harness.mixed_phones(120, without=frozenset({91, 94, 95, 96}))
    for code in ("smsc", "cascade"):
        await stack.posted(await stack.broadcast(phones, code=code, text=f"Письмо {code}"))
    await numbers(stack)


async def numbers(stack: harness.Stack) -> None:
    """Look-ups, a letter to a number that is known to be absent, a lead, two steps, and a verified base."""
    data = ("--provider", "crm/cascade", "--data", str(stack.data))
    for _ in range(2):  # the second time from the cache
        code, _, err = await stack.command("hlr", "+79990000001", ABSENT, *data)
        assert code == 0, err
    await stack.posted(await stack.broadcast([ABSENT], code="cascade", text="Письмо в никуда"))
    for kind, source in (("lead", "CALL"), ("contact", "WEB")):
        order = EntitiesOrder(phones=[["+79990000501"]], fields={"SOURCE_ID": source})
        await stack.control.create_entities(harness.DOMAIN, kind, order)
    for step in ("hlr", "send"):
        properties = {"phone": "+79990000502", "text": "Шаг", "await_final": "N"}
        run = RunOrder(code=f"cascade.{step}", properties=properties)
        await stack.control.run(harness.DOMAIN, run)
    code, _, err = await stack.command("verify", "--source", "contacts", "--yes", *data)
    assert code == 0, err


async def test_a_real_prometheus_over_a_running_stack(tmp_path: Path) -> None:
    prometheus.program("prometheus")
    cascade = {
        "routing": {"channel": "cascade", "viberTimeout": "2s"},
        "hlr": {"dailyBudget": "100.00", "beforeSend": "cached"},
        "crm": {"enrichLeads": "all"},
        "smsc": {"prices": {"sms": "4.00", "viber": "2.30", "hlr": "0.50"}},
    }
    plans = (
        harness.Plan(spec={"smsc": {"prices": {"sms": "4.00"}}}),
        harness.Plan(name="cascade", code="cascade", profile=Profile.HTTP, spec=cascade),
    )
    async with (
        harness.running(tmp_path, *plans, config=config()) as stack,
        prometheus.running(tmp_path / "prometheus", stack.internal) as server,
    ):
        await harness.until(server.ready, seconds=30)
        await traffic(stack, server)

        await asked.every_choice_is_offered(server, "smsc", "cascade")
        await asked.every_question_is_answered(server, "smsc", "cascade")
        await series_stay_bounded(server)
        assert await server.rule_errors() == {}
        assert await server.alerts() == set()
        await faults_are_seen_and_their_end(stack, server)
        await a_role_that_dies_is_missed(stack, server)
        await stack.all_is_over()


async def series_stay_bounded(server: prometheus.Prometheus) -> None:
    """Prints what a scrape costs."""
    of_one = await server.value(f'max(count by (provider) ({OURS[:-1]}, provider!=""}}))')
    beside = await server.value(f'count({OURS[:-1]}, provider=""}})')
    samples = await server.value("scrape_samples_scraped")
    seconds = await server.value("scrape_duration_seconds")
    print(f"\n{samples:.0f} samples a scrape, {seconds * 1000:.0f} ms; {of_one:.0f} series of a provider")
    assert of_one < asked.SERIES_OF_A_PROVIDER
    assert beside < asked.SERIES_BESIDE


async def faults_are_seen_and_their_end(stack: harness.Stack, server: prometheus.Prometheus) -> None:
    """One of two providers that send loses its callbacks, the portal refuses, then the other one's money
    ends; then all is mended. Each is told of the provider that it is about, and of no other.
    """
    callbacks, portal = About("SmsbridgeNoReceipts", "cascade"), About("SmsbridgePortalRefuses")
    money = About("SmsbridgePaused", "smsc", "money")
    wanted = {callbacks, portal, money}
    names = {one.alert for one in wanted}
    fired: set[About] = set()

    async def look() -> set[About]:
        found = {about(labels) for labels in await server.firing()}
        fired.update(one for one in found if one.alert in names)
        return found

    await stack.control.smsc_fault("http", Fault(kind=FaultKind.LOSE_CALLBACKS))
    await stack.control.portal_fault(harness.DOMAIN, Fault(kind=FaultKind.PAYMENT_REQUIRED))
    letters = 0

    async def callbacks_are_missed() -> bool:
        """Receipts of what was sent before may still come: more is sent until they have ceased."""
        nonlocal letters
        phones = harness.good_phones(20, start=1000 + 20 * letters)
        letters += 1
        for code in ("smsc", "cascade"):
            text = f"Письмо {code} без квитанций {letters}"
            await stack.posted(await stack.broadcast(phones, code=code, text=text))
        await look()
        return {callbacks, portal} <= fired

    def so_far() -> str:
        return f"fired: {fired}\n{stack.log_tail()}"

    await harness.until(callbacks_are_missed, seconds=60, what=so_far, pause=2.0)

    account = stack.sandbox.smsc.accounts["guide"]
    account.balance = Decimal("0.10")
    await stack.control.send(harness.DOMAIN, SendOrder(phone="+79990000079", code="smsc", text="Без денег"))

    async def money_is_missed() -> bool:
        return money in await look()

    await harness.until(money_is_missed, seconds=30, what=so_far, pause=0.5)

    account.balance = Decimal("1000")
    await stack.control.clear_smsc_faults("http")
    await stack.control.clear_portal_faults(harness.DOMAIN)

    async def all_end() -> bool:
        return not names & {one.alert for one in await look()}

    await harness.until(all_end, seconds=60, what=so_far, pause=0.5)
    assert fired == wanted


async def a_role_that_dies_is_missed(stack: harness.Stack, server: prometheus.Prometheus) -> None:
    """Until the supervisor has started it again."""
    assert stack.kill("sender")

    async def missing() -> bool:
        return "SmsbridgeRoleMissing" in await server.alerts()

    await harness.until(missing, seconds=30, what=stack.log_tail, pause=0.5)

    async def back() -> bool:
        return "SmsbridgeRoleMissing" not in await server.alerts()

    await harness.until(back, seconds=60, what=stack.log_tail, pause=0.5)
