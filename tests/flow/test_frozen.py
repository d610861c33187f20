"""A sender that stands still, or dies, at an exact point: another one goes on, and nothing is sent twice.

The senders are real processes on one store. The first one's way to the store and everybody's way to SMSC go
through a proxy, which stops the process exactly there. Guarantees 4 and 5.
"""

import asyncio
import base64
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from smsbridge.rpc import message
from smsbridge.rpc.enums import Submitted
from smsbridge.rpc.message import Outgoing
from smsbridge.sandbox import reports, server
from smsbridge.store import connection, embedded, registry, tags
from tests.conftest import store_settings
from tests.flow import leaks, lone, proxy
from tests.flow.proxy import Moment, Point, Then
from tests.store import messages
from tests.wire import senders


@dataclass(slots=True)
class Scene:
    store: connection.Store
    settings: connection.StoreSettings
    sandbox: server.Sandbox
    store_way: proxy.Proxy
    smsc_way: proxy.Proxy
    first: lone.LoneSender
    directory: Path

    def second(self) -> contextlib.AbstractAsyncContextManager[lone.LoneSender]:
        return lone.running(self.directory, "second", self.settings)

    @property
    def ledger(self) -> Any:
        return self.sandbox.smsc.accounts["guide"].ledger(reports.CallbackReport())


@contextlib.asynccontextmanager
async def scene(
    store: connection.Store, valkey: embedded.EmbeddedValkey, directory: Path
) -> AsyncIterator[Scene]:
    """The first sender runs, has sent one message, and knows that status.php finds our ids."""
    settings = store_settings(valkey)
    async with contextlib.AsyncExitStack() as stack:
        sandbox = await stack.enter_async_context(server.Sandbox.running(senders.sandbox_settings()))
        store_way = await stack.enter_async_context(proxy.before_store(valkey.url, times=settings.times))
        smsc_way = await stack.enter_async_context(proxy.before_http(sandbox.smsc_url))
        url = sandbox.smsc_url.replace(sandbox.base_url, f"http://127.0.0.1:{smsc_way.port}")
        await registry.Registry(store, senders.KEYRING).put(messages.provider(base_url=url))
        first = await stack.enter_async_context(
            lone.running(directory, "first", settings, store_port=store_way.port)
        )
        assert await senders.submit(first.client, range(900, 901)) == [Submitted.ACCEPTED]
        await senders.all_sent(store, 1)
        await senders.proved(first.client)
        yield Scene(store, settings, sandbox, store_way, smsc_way, first, directory)
        passed = leaks.of_sandbox(sandbox)
        passed.add_master_keys([base64.b64encode(senders.MASTER_KEY).decode()])
        passed.add("store password", [settings.password.get_secret_value()])
        assert passed.found_in_logs(directory) == []


@dataclass(frozen=True, slots=True)
class Place:
    """Where the first sender stands still. `then`: what becomes of what was on its way there."""

    name: str
    way: str  # store or smsc
    word: str
    moment: Moment
    having: bytes = b""
    then: Then = Then.PASS


PLACES = [
    Place("claimed", "store", "claim", Moment.AFTER, having=b'"batch"'),
    Place("pairs held", "store", "holds", Moment.AFTER),
    Place("the intent on its way", "store", "intent", Moment.BEFORE),
    Place("the intent written", "store", "intent", Moment.AFTER),
    Place("the POST written and lost", "smsc", "send", Moment.BEFORE, then=Then.CUT),
    Place("the POST accepted", "smsc", "send", Moment.AFTER),
    Place("the outcome on its way", "store", "outcome", Moment.BEFORE),
]


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)
async def test_a_sender_frozen_past_its_lease(
    store: connection.Store, valkey: embedded.EmbeddedValkey, tmp_path: Path, place: Place
) -> None:
    frozen, thawed = asyncio.Event(), asyncio.Event()
    async with scene(store, valkey, tmp_path) as found:

        async def freeze() -> Then:
            await found.first.freeze()
            frozen.set()
            await thawed.wait()
            return place.then

        way = found.store_way if place.way == "store" else found.smsc_way
        point = way.set(Point(place.word, place.moment, freeze, having=place.having))
        await senders.submit(found.first.client, range(3))
        await asyncio.wait_for(frozen.wait(), 10)
        async with found.second():
            await senders.all_sent(store, 4)
        found.sandbox.clock.advance(60.0)  # SMSC's own duplicate guard must not be what saves us
        thawed.set()
        found.first.go_on()
        # The first one works on, alone, after it has seen how things stand.
        await senders.submit(found.first.client, range(10, 11), text="Второе")
        await senders.all_sent(store, 5)
        await _at_rest(store)
        assert point.struck == 1
        assert (found.ledger.messages, found.ledger.distinct_phone_text, found.ledger.sent_twice) == (5, 5, 0)
        assert (await senders.books(store)).unaccounted == 0


async def test_a_short_standstill_is_survived_by_the_same_sender(
    store: connection.Store, valkey: embedded.EmbeddedValkey, tmp_path: Path
) -> None:
    """After an intent for longer than its margin, but not past the deadline: it must not write a byte."""
    async with scene(store, valkey, tmp_path) as found:

        async def freeze() -> Then:
            await found.first.freeze()
            await asyncio.sleep(senders.SHORT["margin_ms"] / 1000 + 0.05)
            found.first.go_on()
            return Then.PASS

        found.store_way.set(Point("intent", Moment.AFTER, freeze))
        await senders.submit(found.first.client, range(3))
        await senders.all_sent(store, 4)
        story = await store.redis.lrange(f"{tags.provider(messages.UID)}h:{0:032x}", 0, -1)
        assert any(b'"back"' in event and b"aborted" in event for event in story)
        assert (found.ledger.messages, found.ledger.sent_twice) == (4, 0)
        assert (await senders.books(store)).unaccounted == 0


@dataclass(frozen=True, slots=True)
class Crash:
    """The first sender dies with -9 at this place after SMSC refused a whole request of five numbers."""

    name: str
    word: str
    having: bytes
    recipient: str  # the one number that makes SMSC refuse
    number: int  # of its message: the others have 1 to 4, and the order of a request is theirs
    failed: int


DENIED, REFUSED = "+79990000096", "+79990000094"
CRASHES = [
    # The verdict of the one that is tried alone is the rest's too: guarantee 6.
    Crash("alone and rest, a bad one alone", "outcome", b'"alone"', DENIED, 0, failed=5),
    Crash("alone and rest, a good one alone", "outcome", b'"alone"', DENIED, 9, failed=1),
    # The one goes back to its group, so there will be no verdict: the rest goes out by itself.
    Crash("a bad one alone was claimed", "claim", b'"split":true', DENIED, 0, failed=1),
    Crash("a good one alone was claimed", "claim", b'"split":true', DENIED, 9, failed=1),
    Crash("halves, the first one bad", "outcome", b'"halve"', REFUSED, 0, failed=1),
    Crash("halves, the second one bad", "outcome", b'"halve"', REFUSED, 9, failed=1),
    Crash("a half was claimed", "claim", b'"split":true', REFUSED, 0, failed=1),
]


@pytest.mark.parametrize("crash", CRASHES, ids=lambda crash: crash.name)
async def test_a_split_that_crashes(
    store: connection.Store, valkey: embedded.EmbeddedValkey, tmp_path: Path, crash: Crash
) -> None:
    died = asyncio.Event()
    async with scene(store, valkey, tmp_path) as found:

        async def die() -> Then:
            found.first.kill()
            died.set()
            return Then.CUT

        point = found.store_way.set(Point(crash.word, Moment.AFTER, die, having=crash.having))
        # They are taken by one call, so they leave in one request, in the order of their ids.
        bad = messages.outgoing(crash.number, recipient=crash.recipient)
        await _submit_as_one(found.first, [bad, *(messages.outgoing(n) for n in range(1, 5))])
        await asyncio.wait_for(died.wait(), 10)
        async with found.second():
            await senders.all_sent(store, 6)
            await _at_rest(store)
        assert point.struck == 1
        books, sent = await senders.books(store), 6 - crash.failed
        assert (books.final, books.sent, books.unaccounted) == ({"failed": crash.failed}, sent, 0)
        ledger = found.ledger
        assert (ledger.messages, ledger.distinct_phone_text, ledger.sent_twice) == (sent, sent, 0)
        assert await store.redis.scard(f"{tags.provider(messages.UID)}parked") == 0


async def _submit_as_one(sender: lone.LoneSender, wanted: list[Outgoing]) -> None:
    now_ms = time.time_ns() // 1_000_000
    await sender.client.submit([message.to_proto(replace(item, accepted_at_ms=now_ms)) for item in wanted])


async def _at_rest(store: connection.Store) -> None:
    """No batch is under way or unsettled any more."""
    tag = tags.provider(messages.UID)

    async def rest() -> bool:
        batches = [key async for key in store.redis.scan_iter(match=f"{tag}b:*")]
        return not batches and not await store.redis.exists(f"{tag}claims", f"{tag}intents")

    await senders.until(rest)
