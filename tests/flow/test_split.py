"""The same scenarios with every role by itself, and two senders and two status roles on one store."""

from pathlib import Path

from smsbridge.core.message import Route
from smsbridge.sandbox.orders import MessageOrigin, SendOrder
from smsbridge.sandbox.settings import Profile
from smsbridge.store import connection, embedded
from tests.flow import harness, split


async def test_two_senders_still_make_exactly_as_many_requests_as_needed(
    tmp_path: Path, valkey: embedded.EmbeddedValkey, store: connection.Store
) -> None:
    plan = harness.Plan(spec={"batching": {"linger": "5s"}})
    async with split.running(tmp_path, valkey, plan, config=harness.CLEAN) as stack:
        await stack.posted(await stack.broadcast(harness.good_phones(2_000), concurrency=64))
        for number, origin in enumerate(MessageOrigin):
            await stack.control.send(harness.DOMAIN, SendOrder(origin=origin, phone=f"+7997000000{number}"))
        await stack.rows_right(seconds=90)
        ledger = await stack.smsc_ledger()
        assert ledger.by_numbers_per_request[100] == 20
        assert (ledger.messages, ledger.sent_twice) == (2_000 + len(MessageOrigin), 0)
        assert (await stack.unaccounted())["unaccounted"] == 0


async def test_a_cascade_falls_back_and_a_replica_dies_on_the_way(
    tmp_path: Path, valkey: embedded.EmbeddedValkey, store: connection.Store
) -> None:
    routing = {"channel": "cascade", "viberTimeout": "2s"}
    plan = harness.Plan(profile=Profile.HTTP, spec={"routing": routing})
    async with split.running(tmp_path, valkey, plan) as stack:
        phones = harness.mixed_phones(300, without=frozenset({89, 91, 93, 94, 95, 96}))
        letter = await stack.broadcast(phones, text="Заказ {n}", per_second=100)
        for name in ("sender", "status-2"):
            stack.processes[name].kill()
            await stack.processes[name].wait()
            await stack.start_one(name)
        await stack.posted(letter)
        await stack.rows_right(route=Route.CASCADE, profile=Profile.HTTP, seconds=90)
        assert (await stack.smsc_ledger("http")).sent_twice == 0
        assert (await stack.unaccounted())["unaccounted"] == 0
