"""Portal statuses on their way to a portal stand-in: refusals, silence, limits, tokens, two writers."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from smsbridge.core.delivery import PortalStatus
from smsbridge.sandbox.faults import Fault, FaultKind
from smsbridge.sandbox.server import Sandbox
from smsbridge.sandbox.settings import RequestLimit
from smsbridge.store import connection, embedded
from smsbridge.store.portal_limiter import PortalLimits
from tests.wire import status_lab
from tests.wire.senders import until
from tests.wire.status_lab import Lab


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox.running() as running:
        for portal in running.portals.by_domain.values():
            portal.requests.limit = RequestLimit(leak_per_second=200)
        yield running


@pytest.fixture
async def store(valkey: embedded.EmbeddedValkey) -> AsyncIterator[connection.Store]:
    async with status_lab.quick_store(valkey) as made:
        yield made


@pytest.fixture
async def lab(store: connection.Store, sandbox: Sandbox) -> AsyncIterator[Lab]:
    await status_lab.install(store, sandbox)
    async with status_lab.running(store, sandbox, status_lab.provider(sandbox)) as running:
        yield running


async def test_a_final_status_reaches_the_portal_once(lab: Lab) -> None:
    [mid] = await lab.shown([1])
    await lab.way.say(mid, 1)
    await lab.all_show([mid], "delivered")
    await lab.nothing_waits()
    assert lab.row_of(mid).writes == 1
    assert (await lab.client.get_message(mid)).portal_written == "delivered"


@pytest.mark.parametrize(
    ("code", "status"), [(1, "delivered"), (20, "undelivered"), (22, "failed"), (3, "undelivered")]
)
async def test_what_the_portal_shows(lab: Lab, code: int, status: str) -> None:
    [mid] = await lab.shown([1])
    await lab.way.say(mid, code)
    await lab.all_show([mid], status)


async def test_many_travel_in_batches_of_fifty(lab: Lab) -> None:
    lab.portal.faults.add(Fault(kind=FaultKind.QUERY_LIMIT, count=4))  # until all of them wait
    found = await lab.shown(range(1, 201))
    for mid in found:
        await lab.way.say(mid, 1)
    await lab.all_show(found, "delivered")
    assert lab.portal.seen.largest_batch == 50
    assert lab.portal.seen.methods["messageservice.message.status.update"] == 200
    assert (lab.portal.seen.auth_in_url, lab.portal.seen.get_requests) == (0, 0)


async def test_each_command_s_own_result_decides(lab: Lab) -> None:
    found = await lab.way.sent(range(1, 4))
    lab.row(found[0])
    lab.row(found[2])
    for mid in found:
        await lab.way.say(mid, 1)
    await lab.all_show([found[0], found[2]], "delivered")
    lab.row(found[1])  # a marketing row that was inserted late
    await lab.all_show([found[1]], "delivered")
    await lab.nothing_waits()
    assert lab.row_of(found[0]).writes == 1


async def test_a_message_the_portal_never_knows_is_dropped_and_counted(lab: Lab) -> None:
    [mid] = await lab.way.sent([1])
    await lab.way.say(mid, 1)
    await lab.nothing_waits()
    assert "the portal does not know the message" in (await lab.client.get_message(mid)).next_step
    labels = {"namespace": "crm", "provider": "smsc", "result": "dropped"}
    await lab.figures(1, "smsbridge_portal_updates_total", **labels)


async def test_a_refused_status_is_dropped_and_the_others_are_written(lab: Lab) -> None:
    refusal = Fault(kind=FaultKind.COMMAND_ERROR, count=1, error="ERROR_MESSAGE_STATUS_INCORRECT")
    lab.portal.faults.add(refusal)
    found = await lab.shown(range(1, 4))
    for mid in found:
        await lab.way.say(mid, 1)
    await lab.nothing_waits()
    assert [lab.row_of(mid).status for mid in found].count("delivered") == 2


ONCE = [
    Fault(kind=FaultKind.QUERY_LIMIT, count=3),
    Fault(kind=FaultKind.HTTP_500, count=1),
    Fault(kind=FaultKind.HTML, count=1),
    Fault(kind=FaultKind.HTML, count=1, accept=True),
    Fault(kind=FaultKind.RESET_BEFORE_ACCEPT, count=1),
    Fault(kind=FaultKind.RESET_AFTER_ACCEPT, count=1),
    Fault(kind=FaultKind.EXPIRED_TOKEN, count=1),
    Fault(kind=FaultKind.COMMAND_ERROR, count=2, error="INTERNAL_SERVER_ERROR"),
    Fault(kind=FaultKind.COMMAND_ERROR, count=2, error="ERROR_BATCH_LENGTH_EXCEEDED"),
]


@pytest.mark.parametrize("fault", ONCE, ids=lambda f: f"{f.kind}{'+accept' * f.accept} {f.error}")
async def test_trouble_that_passes_costs_no_status(lab: Lab, fault: Fault) -> None:
    lab.portal.faults.add(fault)
    found = await lab.shown(range(1, 6))
    for mid in found:
        await lab.way.say(mid, 1)
    await lab.all_show(found, "delivered")
    await lab.nothing_waits()


async def test_a_newer_status_is_written_after_the_one_in_flight(lab: Lab) -> None:
    lab.portal.settings.latency_ms = 200
    [mid] = await lab.shown([1])
    await lab.way.say(mid, 20)

    async def in_flight() -> bool:
        return bool((await lab.way.message(mid)).record.get("po"))

    await until(in_flight)
    await lab.way.say(mid, 1)
    await lab.all_show([mid], "delivered")
    await lab.nothing_waits()
    assert lab.statuses(mid) == ["undelivered", "delivered"]


async def test_two_writers_write_each_status_once(
    store: connection.Store, sandbox: Sandbox, lab: Lab
) -> None:
    lab.portal.settings.latency_ms = 30
    async with status_lab.running(store, sandbox, lab.way.provider):
        found = await lab.shown(range(1, 301))
        for mid in found:
            await lab.way.say(mid, 1)
        await lab.all_show(found, "delivered")
        await lab.nothing_waits()
    assert {lab.row_of(mid).writes for mid in found} == {1}


async def test_without_authorisation_statuses_are_parked_until_it_is_mended(
    store: connection.Store, sandbox: Sandbox, lab: Lab
) -> None:
    lab.portal.faults.add(Fault(kind=FaultKind.NOT_INSTALLED))
    [mid] = await lab.shown([1])
    await lab.way.say(mid, 1)

    async def parked() -> bool:
        return lab.figure("smsbridge_portal_calls_total", result="InstallationBroken") >= 1

    await until(parked)
    before = lab.portal.seen.requests
    await asyncio.sleep(0.3)
    assert lab.portal.seen.requests == before  # no loop of refused calls
    lab.portal.faults.clear()
    await status_lab.install(store, sandbox, at=1_790_000_100)
    await lab.all_show([mid], "delivered")


async def test_without_an_installation_statuses_wait(store: connection.Store, sandbox: Sandbox) -> None:
    async with status_lab.running(store, sandbox, status_lab.provider(sandbox)) as lab:
        [mid] = await lab.shown([1])
        await lab.way.say(mid, 1)
        await asyncio.sleep(0.2)
        assert (await lab.client.get_ledger()).ledgers[0].portal_outbox == 1
        await status_lab.install(store, sandbox)
        await lab.all_show([mid], "delivered")


async def test_expired_tokens_are_renewed(store: connection.Store, sandbox: Sandbox) -> None:
    await status_lab.install(store, sandbox, seconds=1)
    async with status_lab.running(store, sandbox, status_lab.provider(sandbox)) as lab:
        [mid] = await lab.shown([1])
        await lab.way.say(mid, 1)
        await lab.all_show([mid], "delivered")


async def test_overload_stops_the_portal_and_shows(store: connection.Store, sandbox: Sandbox) -> None:
    await status_lab.install(store, sandbox)
    limits = PortalLimits(requests_per_second=200, overload_seconds=0.5)
    made = status_lab.provider(sandbox)
    async with status_lab.running(store, sandbox, made, portal_limits=limits) as lab:
        lab.portal.faults.add(Fault(kind=FaultKind.OVERLOAD, count=1))
        [mid] = await lab.shown([1])
        await lab.way.say(mid, 1)

        async def stopped() -> bool:
            return lab.figure("smsbridge_portal_calls_total", result="Overloaded") == 1

        await until(stopped)
        await lab.all_show([mid], "delivered")
        assert lab.figure("smsbridge_portal_calls_total", result="Overloaded") == 1


async def test_the_method_rests_after_a_429(lab: Lab) -> None:
    lab.portal.faults.add(Fault(kind=FaultKind.OPERATION_TIME_LIMIT, count=1))
    found = await lab.shown(range(1, 4))
    for mid in found:
        await lab.way.say(mid, 1)
    await asyncio.sleep(0.5)
    written = [lab.row_of(mid).status for mid in found].count("delivered")
    assert written < 3
    assert lab.portal.seen.status_429 <= 1


async def test_a_status_of_a_removed_provider_is_still_written(lab: Lab) -> None:
    [mid] = await lab.shown([1])
    await lab.registry.tombstone(lab.way.provider)
    await lab.way.say(mid, 1)
    await lab.all_show([mid], PortalStatus.DELIVERED)
