"""More than one machine: two of every role on a Valkey Cluster, and on a pair behind Sentinel.

What a broadcast costs while nothing fails; and that nothing is lost or sent twice where one replica of each
role and the primary with the provider's data are killed on the way (guarantees 2.4 and 13).
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from smsbridge.sandbox import reports
from smsbridge.sandbox.faults import Fault, FaultKind
from smsbridge.sandbox.orders import MessageOrigin, SendOrder
from smsbridge.store import connection, registry, tags
from smsbridge.store.keyring import Keyring
from tests.flow import harness, split, stores

pytestmark = pytest.mark.slow

Kind = Callable[[Path], AbstractAsyncContextManager[stores.Many]]
KINDS = {"cluster": stores.cluster, "sentinel": stores.sentinel}
PLAN = harness.Plan(spec={"batching": {"linger": "10s"}})
INTERACTIVE = 20
# When the primary dies, requests are on their way whose outcome only the new one can be told.
UNANSWERED = (
    Fault(kind=FaultKind.TIMEOUT_AFTER_ACCEPT, count=2, seconds=5),
    Fault(kind=FaultKind.TIMEOUT_BEFORE_ACCEPT, count=2, seconds=5),
)


@pytest.fixture(params=sorted(KINDS))
async def many(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[stores.Many]:
    async with KINDS[request.param](tmp_path / "store") as found:
        yield found


async def test_ten_thousand_equal_texts_are_a_hundred_requests(
    tmp_path: Path, many: stores.Many, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = harness.Plan(spec={"batching": {"linger": "30s"}})  # no group goes before it is full
    async with split.running(tmp_path, many, plan, config=harness.CLEAN, replicas=split.ON_MANY) as stack:
        letter = await stack.broadcast(harness.good_phones(10_000), concurrency=64)
        await stack.posted(letter, seconds=180)
        await stack.rows_right(seconds=180)
        ledger = await stack.smsc_ledger()
        with capsys.disabled():
            print("\n" + cost(many, {}, ledger, least=100))
        assert ledger.by_numbers_per_request == {100: 100}
        assert ledger.requests["send"] == {"ok": 100}
        assert (ledger.messages, ledger.sent_twice) == (10_000, 0)
        books = await stack.unaccounted()
        assert (books["accepted"], books["delivered"], books["unaccounted"]) == (10_000, 10_000, 0)


async def test_a_primary_and_one_of_each_role_are_killed(
    tmp_path: Path, many: stores.Many, capsys: pytest.CaptureFixture[str]
) -> None:
    async with split.running(tmp_path, many, PLAN, replicas=split.ON_MANY) as stack:
        await stack.posted(await stack.broadcast(harness.good_phones(20, start=50_000), text="Проба"))
        await stack.rows_right(seconds=60)
        before = await stack.smsc_ledger()
        letter = await stack.broadcast(harness.good_phones(2_000), per_second=150)
        interactive = asyncio.create_task(send_interactive(stack))
        for name in ("gateway-2", "sender", "status", "hlr"):
            await asyncio.sleep(0.5)
            await stack.replace(name)
        for fault in UNANSWERED:
            await stack.control.smsc_fault("guide", fault)
        await asyncio.sleep(1)
        await kill_primary(stack, many)
        await interactive
        await stack.posted(letter)
        await stack.rows_right(seconds=150)
        ledger = await stack.smsc_ledger()
        books = await stack.unaccounted()
        with capsys.disabled():
            print("\n" + cost(many, before.requests, ledger, least=20 + INTERACTIVE))
        assert ledger.sent_twice == 0
        assert books["unaccounted"] == 0
        handovers = await stack.control.handovers(harness.DOMAIN)
        assert len(handovers.failed_message_ids) == handovers.failures  # else the check of the rows was blind
        assert books["accepted"] >= handovers.by_status["200"] >= 1_500
        assert (await stack.control.summary(harness.DOMAIN)).regressions == 0


async def send_interactive(stack: split.SplitStack) -> None:
    """Messages of the other lane, each with its own text, all through the failover."""
    origins = [origin for origin in MessageOrigin if origin is not MessageOrigin.MARKETING]
    for number in range(INTERACTIVE):
        order = SendOrder(
            origin=origins[number % len(origins)], phone=f"+7997000{number:04d}", text=f"Письмо {number}"
        )
        await stack.control.send(harness.DOMAIN, order)
        await asyncio.sleep(0.5)


async def kill_primary(stack: split.SplitStack, many: stores.Many) -> None:
    """The one that owns the provider's data; it comes back when its replica has taken over."""
    tag = tags.provider(await provider_uid(stack, many))
    dead = await many.primary_of(tag)
    await dead.kill()
    await many.taken_over(dead, tag)
    await dead.start()


async def provider_uid(stack: split.SplitStack, many: stores.Many) -> str:
    store: connection.Store = many.connect()
    try:
        keyring = Keyring.load(stack.data / "master.key")
        (uid,) = (await registry.Registry(store, keyring).load()).providers
    finally:
        await store.close()
    return uid


def cost(many: stores.Many, before: dict[str, dict[str, int]], ledger: reports.Ledger, *, least: int) -> str:
    """A clean run needs a request for each hundred of the letter and one for each interactive message."""
    made = {
        name: sum(results.values()) - sum(before.get(name, {}).values())
        for name, results in ledger.requests.items()
    }
    where = many.url.partition(":")[0]
    return (
        f"{where}: {made.get('send', 0)} requests to send.php where {least} would do, "
        f"{made.get('status', 0)} questions to status.php; accepted by size: "
        f"{dict(sorted(ledger.by_numbers_per_request.items()))}"
    )
