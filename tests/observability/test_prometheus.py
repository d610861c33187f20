"""A real Prometheus over a running stack: dashboards and rules are answered, and alerts come and go."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from smsbridge.sandbox.faults import Fault, FaultKind
from smsbridge.sandbox.orders import MessageOrigin, SendOrder
from smsbridge.sandbox.settings import Profile
from tests.flow import harness
from tests.observability import prometheus

pytestmark = pytest.mark.slow

OURS = '{__name__=~"smsbridge_.+"}'


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
    for _ in range(2):  # the second time from the cache
        code, _, err = await stack.command(
            "hlr", "+79990000001", "+79990000097", "--provider", "crm/cascade", "--data", str(stack.data)
        )
        assert code == 0, err


async def test_a_real_prometheus_over_a_running_stack(tmp_path: Path) -> None:
    prometheus.program("prometheus")
    cascade = {
        "routing": {"channel": "cascade", "viberTimeout": "2s"},
        "hlr": {"dailyBudget": "100.00"},
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

        await prometheus.every_question_is_answered(server)
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
    assert of_one < prometheus.SERIES_OF_A_PROVIDER
    assert beside < prometheus.SERIES_BESIDE


async def faults_are_seen_and_their_end(stack: harness.Stack, server: prometheus.Prometheus) -> None:
    """Money ends, callbacks get lost, the portal refuses; then all is mended."""
    wanted = {"SmsbridgePaused", "SmsbridgeNoReceipts", "SmsbridgePortalRefuses"}
    account = stack.sandbox.smsc.accounts["guide"]
    account.balance = Decimal("0.10")
    await stack.control.smsc_fault("http", Fault(kind=FaultKind.LOSE_CALLBACKS))
    await stack.control.portal_fault(harness.DOMAIN, Fault(kind=FaultKind.PAYMENT_REQUIRED))
    await stack.control.send(harness.DOMAIN, SendOrder(phone="+79990000079", code="smsc", text="Без денег"))
    fired: set[str] = set()
    letters = 0

    async def all_fire() -> bool:
        """Receipts of what was sent before may still come: more is sent until they have ceased."""
        nonlocal letters
        phones = harness.good_phones(20, start=1000 + 20 * letters)
        letters += 1
        text = f"Письмо без квитанций {letters}"
        await stack.posted(await stack.broadcast(phones, code="cascade", text=text))
        fired.update(await server.alerts())
        return wanted <= fired

    await harness.until(all_fire, seconds=60, what=lambda: f"fired: {fired}\n{stack.log_tail()}", pause=2.0)

    account.balance = Decimal("1000")
    await stack.control.clear_smsc_faults("http")
    await stack.control.clear_portal_faults(harness.DOMAIN)

    async def all_end() -> bool:
        return not wanted & await server.alerts()

    await harness.until(all_end, seconds=60, what=stack.log_tail, pause=0.5)


async def a_role_that_dies_is_missed(stack: harness.Stack, server: prometheus.Prometheus) -> None:
    """Until the supervisor has started it again."""
    assert stack.kill("sender")

    async def missing() -> bool:
        return "SmsbridgeRoleMissing" in await server.alerts()

    await harness.until(missing, seconds=30, what=stack.log_tail, pause=0.5)

    async def back() -> bool:
        return "SmsbridgeRoleMissing" not in await server.alerts()

    await harness.until(back, seconds=60, what=stack.log_tail, pause=0.5)
