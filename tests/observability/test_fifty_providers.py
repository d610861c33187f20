"""Fifty providers under a real Prometheus: their series are counted, and every label of each is looked at."""

import asyncio
import re
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from smsbridge.commands import local
from smsbridge.provisioning import report
from smsbridge.rpc import clients
from smsbridge.runtime import rpc
from smsbridge.sandbox.orders import MessageOrigin, SendOrder
from smsbridge.sandbox.settings import Profile, SandboxSettings
from smsbridge.store.registry import Registry
from tests.flow import harness
from tests.observability import asked, metrics, prometheus

pytestmark = pytest.mark.slow

PROVIDERS, PORTALS = 50, 5
DOMAINS = [f"portal-{number}.bitrix24.ru" for number in range(PORTALS)]
# Every end that a message may come to soon. Not: silence, a whole request refused, Viber's own time-outs.
ENDINGS = [ending for ending in range(78, 100) if ending not in {85, 86, 91, 94, 95, 96}]
LOOKED_UP = ["79990000001", "79990000097", "79990000098"]

MOST_SERIES = 20_000
# Of one metric and one provider: a histogram has up to 16 buckets, for three channels at most.
MOST_OF_A_METRIC = 48
# The same without a provider: buckets of gRPC's histograms, by the methods that are there.
MOST_OF_A_METRIC_BESIDE = 400
# Different words under one label. The longest lists are the bounds of buckets, of all histograms together,
# and the results of everything that has one.
MOST_WORDS = 64
WORD = r"[a-z]{1,20}(_[a-z]{1,20}){0,3}|[A-Z][A-Za-z]{1,30}"
WORDS = {
    "__name__": r"smsbridge[_:][a-z0-9_:]+",
    "instance": r"127\.0\.0\.1:\d+",
    "provider": r"smsc-\d\d",
    "le": r"\d+\.\d+|\+Inf",
    "result": rf"{WORD}|error_\d",
    "status": r"[1-5]\d\d",
    "code": r"[A-Z]+(_[A-Z]+)*",
    "method": r"/smsbridge\.api\.v1\.[A-Z][A-Za-z]+/[A-Z][A-Za-z]+",
}
Series = list[dict[str, str]]


class Fifty(harness.Stack):
    async def shown(self, name: str) -> dict[str, Any]:
        """By the library: fifty commands would take more than a minute."""
        async with local.opened(data=self.data, config=None) as at:
            registry = Registry(at.store, at.keyring)
            if name not in {row["name"] for row in await report.list_providers(registry)}:
                return {}
            return await report.show_provider(registry, at.keyring, namespace="crm", name=name)


def plan(number: int) -> harness.Plan:
    """Every portal has an account of each profile, and every account providers with and without a cascade."""
    portal, group = number % PORTALS, number // PORTALS
    profile = (Profile.GUIDE, Profile.HTTP)[group % 2]
    seconds = "60s" if profile is Profile.GUIDE else "2s"
    channel = {"channel": "cascade", "viberTimeout": seconds} if group // 2 % 2 else {"channel": "sms"}
    return harness.Plan(
        name=f"smsc-{number:02}",
        code=f"letters{number:02}",
        profile=profile,
        login=f"{profile}-{portal}",
        domain=DOMAINS[portal],
        spec={
            "routing": channel,
            "hlr": {"dailyBudget": "100.00"},
            "smsc": {"prices": {"sms": "4.00", "viber": "2.30", "hlr": "0.50"}},
        },
    )


def settings() -> SandboxSettings:
    one = harness.sandbox_settings()
    accounts = []
    for account in one.accounts:
        for number in range(PORTALS):
            own = {"login": f"{account.login}-{number}", "password": f"{account.password}-{number}"}
            accounts.append(account.model_copy(update=own, deep=True))
    portals = [one.portals[0].model_copy(update={"domain": domain}, deep=True) for domain in DOMAINS]
    return SandboxSettings(accounts=accounts, portals=portals)


def config() -> dict[str, Any]:
    """What is removed is erased at once, and no figure is older than a few seconds.

    Loops rest as long as they do by default: those of fifty providers would take a whole processor otherwise.
    """
    rests = {"idle_seconds": 1.0, "upkeep_seconds": 1.0, "held_check_seconds": 5.0}
    return {
        **harness.SHORT,
        "sender": {**harness.SHORT["sender"], **rests},
        "hlr": {**harness.SHORT["hlr"], "measure_seconds": 2.0},
        "provisioning": {"removed_kept_seconds": 0.0},
    }


async def traffic(stack: harness.Stack, server: prometheus.Prometheus) -> None:
    """Messages of every origin, letters to numbers of every kind, and look-ups, by every provider."""
    await asyncio.gather(*(one_by_one(stack, plan) for plan in stack.plans))

    async def seen() -> bool:
        """What is counted from now on is an increase: of a counter's first value no rate knows."""
        found = await server.query('smsbridge_messages_final_total{state="delivered"}')
        return {one["metric"]["provider"] for one in found} == {plan.name for plan in stack.plans}

    await harness.until(seen, seconds=60, what=stack.log_tail, pause=0.5)
    await asyncio.gather(*(letter(stack, plan) for plan in stack.plans))
    channel = rpc.channel(stack.rpc_address("hlr"))
    try:
        client = clients.HlrClient(channel)
        for plan in stack.plans:
            uid = (await stack.shown(plan.name))["uid"]
            for _ in range(2):  # the second time from the cache
                await client.lookup(uid, LOOKED_UP, wait_seconds=5.0)
    finally:
        await channel.close(None)
    await stack.all_is_over(seconds=90)


async def one_by_one(stack: harness.Stack, plan: harness.Plan) -> None:
    for number, origin in enumerate(MessageOrigin):
        phone = f"+79990{plan.name[-2:]}00{number:02}"
        order = SendOrder(origin=origin, phone=phone, code=plan.code, text=f"{plan.code} {number}")
        await stack.control.send(plan.domain, order)


async def letter(stack: harness.Stack, plan: harness.Plan) -> None:
    phones = [f"+79980{plan.name[-2:]}00{ending}" for ending in ENDINGS]
    order = {"code": plan.code, "text": f"Письмо {plan.code}", "concurrency": 4}
    await stack.posted(await stack.broadcast(phones, domain=plan.domain, **order))


async def strangers(stack: harness.Stack) -> None:
    """Words of their own at every door: none may become a label."""
    async with aiohttp.ClientSession() as session:
        for number in range(20):
            form = {"event": f"ONSTRANGE{number}", "code": f"strange{number}", "type": f"strange{number}"}
            for url in (*stack.urls[:2], f"http://{stack.public}/strange{number}"):
                async with session.post(url, data=form) as answer:
                    await answer.read()
    for number in range(20):
        fields = {"id": f"{number}", "phone": "79990000000", "status": f"{4000 + number}", "err": f"{number}"}
        await stack.control.callback(stack.plans[number].account, fields)


async def test_fifty_providers_stay_within_bounds(tmp_path: Path) -> None:
    prometheus.program("prometheus")
    plans = [plan(number) for number in range(PROVIDERS)]
    async with (
        harness.running(tmp_path, *plans, config=config(), settings=settings(), kind=Fifty) as stack,
        prometheus.running(tmp_path / "prometheus", stack.internal, every_seconds=2) as server,
    ):
        await harness.until(server.ready, seconds=30)
        await traffic(stack, server)
        await strangers(stack)

        names = tuple(plan.name for plan in plans)
        await asked.every_choice_is_offered(server, *names)
        await asked.every_question_is_answered(server, *names, empty=asked.EMPTY_WITHOUT_THE_CRM)
        assert await server.rule_errors() == {}
        found = await every_provider_has_its_series(stack, server)
        await cost(server)
        counts_stay_bounded(found)
        labels_are_the_ones_that_are_listed(found)
        labels_hold_nothing_of_anybody(found, await private(stack))
        # Hundreds of loops wait for each other at the store, and none is refused.
        assert "MaxConnectionsError" not in stack.log_tail(lines=100_000)
        await what_is_erased_leaves(stack, server)


async def ours(server: prometheus.Prometheus) -> Series:
    """What the product shows, and what the rules make of it."""
    return [one["metric"] for one in await server.query('{__name__=~"smsbridge[_:].+"}')]


async def every_provider_has_its_series(stack: harness.Stack, server: prometheus.Prometheus) -> Series:
    """Those that traffic makes, or the counts below would say little."""
    wanted = {
        f"smsbridge_{name}"
        for name in (
            "batch_size_numbers_bucket",
            "send_duration_seconds_bucket",
            "time_to_smsc_seconds_bucket",
            "time_to_delivered_seconds_bucket",
            "time_to_portal_seconds_bucket",
            "portal_delay_seconds_bucket",
            "portal_updates_total",
            "messages_final_total",
            "messages_failed_total",
            "cost_roubles_total",
            "hlr_lookups_total",
            "provider_condition",
        )
    }
    found: Series = []
    missing: dict[str, set[str]] = {}

    async def there() -> bool:
        found[:] = await ours(server)
        shown = defaultdict(set)
        for one in found:
            shown[one.get("provider", "")].add(one["__name__"])
        missing.update({plan.name: wanted - shown[plan.name] for plan in stack.plans})
        return not any(missing.values())

    await harness.until(there, seconds=30, what=lambda: f"without their series: {missing}", pause=1.0)
    return found


async def cost(server: prometheus.Prometheus) -> None:
    """Printed, not judged: it is the machine's."""
    samples = await server.value("scrape_samples_scraped")
    seconds = await server.value("scrape_duration_seconds")
    most = await server.value("max_over_time(scrape_duration_seconds[10m])")
    print(f"\n{samples:.0f} samples a scrape, {seconds * 1000:.0f} ms, under load up to {most * 1000:.0f} ms")


def counts_stay_bounded(found: Series) -> None:
    by_provider = Counter(
        one.get("provider", "") for one in found if one["__name__"].startswith("smsbridge_")
    )
    by_metric = Counter((one["__name__"], one.get("provider", "")) for one in found)
    names = Counter(one["__name__"] for one in found)
    beside = by_provider.pop("")
    print(f"{len(found)} series: {beside} of no provider, {min(by_provider.values())} to ", end="")
    print(f"{max(by_provider.values())} of each, {len(found) - beside - by_provider.total()} made by rules")
    print(", ".join(f"{name} {count}" for name, count in names.most_common(5)))

    assert len(found) < MOST_SERIES
    assert max(by_provider.values()) < asked.SERIES_OF_A_PROVIDER
    assert beside < asked.SERIES_BESIDE
    for (name, provider), count in by_metric.items():
        assert count <= (MOST_OF_A_METRIC if provider else MOST_OF_A_METRIC_BESIDE), (name, provider)


def labels_are_the_ones_that_are_listed(found: Series) -> None:
    wrong = set()
    for one in found:
        labels = ", ".join(f'{label}="x"' for label in one if label != "__name__")
        if one["__name__"].startswith("smsbridge_"):
            wrong |= metrics.unknown(f"{one['__name__']}{{{labels}}}")
    assert wrong == set()


def labels_hold_nothing_of_anybody(found: Series, secrets: set[str]) -> None:
    """Each value is a fixed word of few, and none holds what tells a message, a portal or an account."""
    values = defaultdict(set)
    for one in found:
        for label, value in one.items():
            values[label].add(value)
    for label, words in values.items():
        odd = {word for word in words if not re.fullmatch(WORDS.get(label, WORD), word)}
        assert odd == set(), label
        assert len(words) <= MOST_WORDS or label == "__name__", label
    told = " ".join(word for words in values.values() for word in words)
    assert [secret for secret in secrets if secret in told] == []


async def private(stack: harness.Stack) -> set[str]:
    found = set(DOMAINS) | {plan.code for plan in stack.plans} | {plan.account for plan in stack.plans}
    found |= {"strange", "STRANGE", "Письмо", *LOOKED_UP}
    for domain in DOMAINS:
        rows = await stack.control.rows(domain)
        assert len(rows) == PROVIDERS // PORTALS * (len(MessageOrigin) + len(ENDINGS))
        found |= {row.message_id for row in rows} | {row.phone.lstrip("+") for row in rows}
        found.add(stack.sandbox.portals.by_domain[domain].member_id)
    for plan in stack.plans:
        shown = await stack.shown(plan.name)
        found |= {shown["uid"], shown["account"]}
    assert min(map(len, found)) >= 6, "too short to be told from other words"
    return found


async def what_is_erased_leaves(stack: harness.Stack, server: prometheus.Prometheus) -> None:
    """From every role: names that come and go do not add up, and nobody is alerted by what is gone."""
    stack.plans = [plan for plan in stack.plans if plan.domain != DOMAINS[0]]
    stack.write_providers()
    left: Counter[str] = Counter()

    async def gone() -> bool:
        shown = {plan.name for plan in stack.plans}
        left.clear()
        left.update(
            one["__name__"]
            for one in await ours(server)
            if one["__name__"].startswith("smsbridge_") and one.get("provider", "smsc-49") not in shown
        )
        return not left

    await harness.until(gone, seconds=45, what=lambda: f"still there: {dict(left)}", pause=1.0)
