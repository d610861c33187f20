"""What is known of numbers: cached look-ups a second, and contacts verified a second, free and governed."""

import asyncio
import time
from pathlib import Path

from bench import plans, stand
from bench.plans import Plan
from bench.report import NumbersReport
from bench.sizes import Sizes
from smsbridge.core.errand import EntityType
from smsbridge.core.verification import Source, State, Verification
from smsbridge.rpc import clients
from smsbridge.runtime import rpc, rundir
from smsbridge.sandbox.client import SandboxClient
from smsbridge.sandbox.orders import EntitiesOrder
from smsbridge.sandbox.settings import Profile

_BASE = "base"
_PLAN = Plan(_BASE, profile=Profile.HTTP)
_NO_LIMITS = {"portal": {"requests_per_second": 1000.0, "burst": 1000, "operating_limit_seconds": 0}}
# As the plan Enterprise allows (facts 5): ten thousand contacts at two a second would take minutes.
_LEAK_PER_SECOND = 5.0
_GOVERNED = {"portal": {"requests_per_second": _LEAK_PER_SECOND}}
_AT_A_TIME = 1000  # numbers of one call
_CALLERS = 4
_SECONDS = 300.0


async def measure(directory: Path, sizes: Sizes) -> NumbersReport:
    async with stand.running(directory / "free", _PLAN, config=_NO_LIMITS, portal_limited=False) as running:
        made, seconds, _ = await _verify(running, sizes.contacts)
        contacts_per_second = made.progress.entities / seconds
        look_ups = running.account(_PLAN.login).totals.look_ups.total()
        lookups_per_second = await _cached(running, sizes)
        bought_again = running.account(_PLAN.login).totals.look_ups.total() - look_ups
    async with stand.running(
        directory / "governed", _PLAN, config=_GOVERNED, leak_per_second=_LEAK_PER_SECOND
    ) as running:
        governed, seconds, requests = await _verify(running, sizes.contacts_governed)
        return NumbersReport(
            cached_lookups_per_second=round(lookups_per_second),
            bought_again=bought_again,
            contacts=made.progress.entities,
            contacts_per_second=round(contacts_per_second, 1),
            look_ups=look_ups,
            governed_contacts=governed.progress.entities,
            governed_per_second=round(governed.progress.entities / seconds, 1),
            portal_allowed_per_second=_LEAK_PER_SECOND,
            portal_share=round(requests / seconds / _LEAK_PER_SECOND, 3),
            portal_503=running.portal.seen.status_503,
        )


async def _verify(running: stand.Stand, contacts: int) -> tuple[Verification, float, int]:
    """How it ended; the seconds it ran for after its quote was confirmed, and the requests to the portal."""
    async with SandboxClient(running.sandbox.control_url) as control:
        order = EntitiesOrder(phones=[[phone] for phone in _phones(contacts)], quiet=True)
        await control.create_entities(plans.DOMAIN, "contact", order)
    async with rpc.channel(_address(running)) as channel:
        client = clients.HlrClient(channel)
        (budget,) = await client.budgets()
        found = await client.start_verification(budget.provider_uid, Source(EntityType.CONTACT), ())
        found = await _followed(client, found)
        assert found.state is State.QUOTED, found
        assert found.quote is not None
        before, started = running.portal.seen.requests, time.monotonic()
        await client.confirm_verification(found.id, roubles=found.quote.roubles)
        found = await _followed(client, found)
        assert found.state is State.DONE, found
        return found, time.monotonic() - started, running.portal.seen.requests - before


async def _followed(client: clients.HlrClient, found: Verification) -> Verification:
    async with asyncio.timeout(_SECONDS):
        async for now in client.watch_verification(found.id):
            found = now
            if found.stands:
                break
    return found


async def _cached(running: stand.Stand, sizes: Sizes) -> float:
    """Numbers a second, of calls with a thousand each, some at a time."""
    numbers = [phone.lstrip("+") for phone in _phones(min(_AT_A_TIME, sizes.contacts))]
    async with rpc.channel(_address(running)) as channel:
        client = clients.HlrClient(channel)
        (budget,) = await client.budgets()

        async def ask(times: int) -> None:
            for _ in range(times):
                await client.lookup(budget.provider_uid, numbers)

        await ask(1)
        started = time.monotonic()
        await asyncio.gather(*(ask(sizes.lookup_calls) for _ in range(_CALLERS)))
        return _CALLERS * sizes.lookup_calls * len(numbers) / (time.monotonic() - started)


def _phones(count: int) -> list[str]:
    """Numbers that a look-up finds, all different."""
    return [f"+7997{number // 80 * 100 + number % 80:07d}" for number in range(count)]


def _address(running: stand.Stand) -> str:
    found = rundir.read(running.data)
    assert found is not None
    return found.processes["hlr"].rpc
