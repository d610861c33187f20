"""A real Prometheus over a running stack: dashboards and rules are answered, and alerts come and go."""

import re
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from smsbridge.sandbox.faults import Fault, FaultKind
from smsbridge.sandbox.orders import EntitiesOrder, MessageOrigin, RunOrder, SendOrder
from smsbridge.sandbox.settings import Profile
from tests.flow import harness
from tests.observability import panels, prometheus

pytestmark = pytest.mark.slow

# Series that a provider may add, and that there may be without one. Fifty providers stay within 20,000.
SERIES_OF_A_PROVIDER, SERIES_BESIDE = 350, 1000

# Panels without an answer while all is well: what they show is a fault, or has not happened in this traffic.
# A question that is not here must be answered, and one that is here must exist.
EMPTY_WHILE_WELL = {
    "batches / How they were settled / {{how}}",  # no batch was uncertain
    "bitrix24 / Answers that are not 200 / {{door}} {{status}}",
    "bitrix24 / What holds writing back / {{namespace}}/{{provider}} {{limit}}",  # a quick portal
    "delivery / Closed, unknown and pretended / {{namespace}}/{{provider}} closed",
    "delivery / Closed, unknown and pretended / {{namespace}}/{{provider}} test mode",
    "delivery / Closed, unknown and pretended / {{profile}} unknown code",
    "delivery / Questions to status.php / {{result}}",  # every receipt came
    "delivery / Steps of cascades / {{namespace}}/{{provider}} SMSC's",  # profile guide's own cascade
    "numbers / Left out, or sent unchecked / unchecked: {{why}}",  # every look-up came in time
    "operator / Leads / leads",  # `run all` needs no lease
    "operator / Started again / {{child}}",
    "operator / Steps of loops that failed / {{loop}}",
    "overview / Pauses / {{namespace}}/{{provider}} {{reason}}",
}
ABSENT = "+79990000097"
OURS = '{__name__=~"smsbridge_.+"}'
# The same of metrics that rules name.
METRICS_ABSENT_WHILE_WELL = {"smsbridge_operator_leading"}


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


async def empty(server: prometheus.Prometheus, questions: list[panels.Question]) -> set[str]:
    """Those that Prometheus has no answer to; AssertionError for one that it refuses."""
    found = set()
    for question in questions:
        if not await server.query(panels.filled(question.expr)):
            found.add(question.name)
        # One provider chosen, by its name.
        await server.query(panels.filled(question.expr, namespace="crm", provider="smsc"))
        # Both of them: the same as all.
        both = panels.filled(question.expr, namespace="crm", provider=panels.several("smsc", "cascade"))
        if not await server.query(both):
            found.add(question.name)
    return found


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

        await every_choice_is_offered(server)
        await every_question_is_answered(server)
        await series_stay_bounded(server)
        assert await server.rule_errors() == {}
        assert await server.alerts() == set()
        await faults_are_seen_and_their_end(stack, server)
        await a_role_that_dies_is_missed(stack, server)
        await everything_arrived(stack)


async def every_choice_is_offered(server: prometheus.Prometheus) -> None:
    offered = {"namespace": {"crm"}, "provider": {"smsc", "cascade"}}
    for choice in panels.choices():
        for namespace in (".*", "crm", panels.several("crm", "another")):
            match = panels.filled(choice.match, namespace=namespace)
            assert await server.label_values(choice.label, match) == offered[choice.name], choice


async def every_question_is_answered(server: prometheus.Prometheus) -> None:
    questions = panels.questions()
    gaps: set[str] = set()

    async def answered() -> bool:
        """A rate needs two scrapes, a receipt its time."""
        gaps.clear()
        gaps.update(await empty(server, questions) - EMPTY_WHILE_WELL)
        return not gaps

    await harness.until(answered, seconds=45, what=lambda: f"no answer: {sorted(gaps)}", pause=1.0)
    assert EMPTY_WHILE_WELL - {question.name for question in questions} == set()
    missing = set()
    for rule in prometheus.rules():
        await server.query(rule["expr"])
        for metric in set(re.findall(r"\bsmsbridge_\w+", rule["expr"])):
            if not await server.query(metric):
                missing.add(metric)
        if "record" in rule and not await server.query(rule["record"]):
            missing.add(rule["record"])
    assert missing - METRICS_ABSENT_WHILE_WELL == set()


async def series_stay_bounded(server: prometheus.Prometheus) -> None:
    """Prints what a scrape costs."""
    of_one = await server.value(f'max(count by (provider) ({OURS[:-1]}, provider!=""}}))')
    beside = await server.value(f'count({OURS[:-1]}, provider=""}})')
    samples = await server.value("scrape_samples_scraped")
    seconds = await server.value("scrape_duration_seconds")
    print(f"\n{samples:.0f} samples a scrape, {seconds * 1000:.0f} ms; {of_one:.0f} series of a provider")
    assert of_one < SERIES_OF_A_PROVIDER
    assert beside < SERIES_BESIDE


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


async def everything_arrived(stack: harness.Stack) -> None:
    async def no_more() -> bool:
        books = await stack.unaccounted()
        assert books["unaccounted"] == 0
        return not (books["waiting"] or books["sending"] or books["sent"])

    await harness.until(no_more, seconds=60, what=stack.log_tail)
