"""Every script of the status role is cut off once: before it ran, and after it ran but before its answer.

As with a crash at this point: each receipt is applied, each status reaches the portal, each further leg the
sender. And a second worker on the same dirty set.
"""

import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import pytest

from smsbridge.api.v1 import status_pb2
from smsbridge.core import errors
from smsbridge.core.message import ReportTo, Route
from smsbridge.core.provider import Routing
from smsbridge.sandbox.portal import Step
from smsbridge.sandbox.server import Sandbox
from smsbridge.sandbox.settings import RequestLimit
from smsbridge.store import connection, embedded
from tests.conftest import store_settings
from tests.flow import proxy
from tests.flow.proxy import Moment, Point
from tests.store import messages
from tests.store.journey import Journey
from tests.wire import smsc_server, status_lab
from tests.wire.senders import until
from tests.wire.status_lab import Lab

LEASES = {"receipts": {"lease_seconds": 0.4}, "poll_lease_seconds": 0.4}
DELIVERED = json.dumps([{"status": 1, "id": "cid1", "phone": "79990000001"}]).encode()
CASCADE = Routing(route=Route.CASCADE, viber_timeout_seconds=60)


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


@dataclass(slots=True)
class Scene:
    """`lab.way` is the test's own way to the store; the role's goes through the proxy."""

    lab: Lab
    way: proxy.Proxy

    async def tell(self) -> None:
        """The sender's report: again until it is kept."""
        told = [status_lab.to_proto(self.lab, item) for item in await self.lab.way.submissions()]
        await _kept(lambda: self.lab.client.record_submissions(told))
        await self.lab.way.told()

    async def say(self, numbers: range, code: int) -> None:
        """Receipts, as the gateway's journal brings them: again until they are kept."""
        given = [
            status_pb2.Receipt(
                account_key=self.lab.way.account_key,
                smsc_id="cid1",
                msisdn=phone(n),
                code=code,
                err=-1,
                type=-1,
            )
            for n in numbers
        ]

        async def kept() -> bool:
            try:
                await self.lab.client.record_receipts(given)
            except errors.Away:
                return False
            return True

        await until(kept)

    async def ends_well(self, found: list[str], status: str, point: Point) -> None:
        """The portal shows it and was never told anything else, and nothing is left to be done."""
        lab = self.lab
        await lab.all_show(found, status)

        async def done() -> bool:
            left = (await lab.way.deliveries.ledger(lab.way.uid)).portal_outbox
            return not left and await lab.way.receipts.depth(lab.way.account_key) == (0, 0) and struck(point)

        await until(done)
        assert {word for mid in found for word in lab.statuses(mid)} == {status}
        assert (await lab.way.deliveries.ledger(lab.way.uid)).unaccounted == 0


async def _kept(call: Callable[[], Awaitable[object]]) -> None:
    async def kept() -> bool:
        try:
            await call()
        except errors.Away:
            return False
        return True

    await until(kept)


def struck(point: Point) -> bool:
    return point.struck == point.times


def phone(number: int) -> str:
    return messages.phone(number).lstrip("+")


@contextlib.asynccontextmanager
async def scene(
    store: connection.Store,
    valkey: embedded.EmbeddedValkey,
    sandbox: Sandbox,
    *,
    routing: Routing | None = None,
    far: str = "",
) -> AsyncIterator[Scene]:
    await status_lab.install(store, sandbox)
    changes = {"base_url": far} if far else {}
    made = status_lab.provider(sandbox, routing=routing or Routing(), **changes)
    async with proxy.before_store(valkey.url, times=store.settings.times) as way:
        url = f"valkey://127.0.0.1:{way.port}/0"
        cut = connection.Store.connect(store_settings(valkey, url=url, times=status_lab.TIMES))
        try:
            async with status_lab.running(cut, sandbox, made, **LEASES) as lab:
                lab.way = Journey(store, made)
                yield Scene(lab, way)
        finally:
            await cut.close()


@dataclass(frozen=True, slots=True)
class Cut:
    script: str
    moment: Moment
    having: bytes = b""  # after: only where it had something to do
    times: int = 1


CUTS = [
    *(Cut("receipts_index", moment) for moment in Moment),
    *(Cut("receipts_record", moment) for moment in Moment),
    Cut("receipts_take", Moment.BEFORE),
    Cut("receipts_take", Moment.AFTER, b'"sid"'),
    Cut("receipts_take", Moment.AFTER, b'"sid"', times=2),
    *(Cut("delivery_apply", moment) for moment in Moment),
    *(Cut("receipts_settle", moment) for moment in Moment),
    *(Cut("limiter_acquire", moment) for moment in Moment),
    *(Cut("limiter_observe", moment) for moment in Moment),
    Cut("portal_due", Moment.BEFORE),
    Cut("portal_due", Moment.AFTER),
    Cut("portal_take", Moment.BEFORE),
    Cut("portal_take", Moment.AFTER, b'"mid"'),
    *(Cut("portal_settle", moment) for moment in Moment),
]


@pytest.mark.parametrize("cut", CUTS, ids=lambda c: f"{c.moment} {c.script}" + (" x2" if c.times > 1 else ""))
async def test_a_script_that_is_cut_off(
    store: connection.Store, valkey: embedded.EmbeddedValkey, sandbox: Sandbox, cut: Cut
) -> None:
    async with scene(store, valkey, sandbox) as found:
        point = found.way.set(Point(cut.script, cut.moment, having=cut.having, times=cut.times))
        sent = await found.lab.way.sent(range(1, 4))
        for mid in sent:
            found.lab.row(mid)
        await found.tell()
        await found.say(range(1, 4), 1)
        await found.ends_well(sent, "delivered", point)
        assert (await found.lab.way.deliveries.ledger(found.lab.way.uid)).final == {"delivered": 3}


OF_THE_PORTAL = [cut for cut in CUTS if cut.script.startswith(("delivery_", "portal_"))]


@pytest.mark.parametrize("cut", OF_THE_PORTAL, ids=lambda c: f"{c.moment} {c.script}")
async def test_a_workflow_step_is_answered_once(
    store: connection.Store, valkey: embedded.EmbeddedValkey, sandbox: Sandbox, cut: Cut
) -> None:
    """It may hear it twice, where nobody knew whether it had; it takes the first, and we end there."""
    async with scene(store, valkey, sandbox) as found:
        lab, way = found.lab, found.lab.way
        point = found.way.set(Point(cut.script, cut.moment, having=cut.having, times=cut.times))
        steps = {f"t|{n}": Step(f"t|{n}", "smsc.send", "w", waits=True, returns=("status",)) for n in (1, 2)}
        lab.portal.steps.update(steps)
        mids = []
        for number, token in enumerate(steps, 1):
            mids += await way.accepted([number], report_to=ReportTo.ROBOT, event_token=token)
        await way.pump()
        await found.tell()
        await found.say(range(1, 3), 22)

        async def done() -> bool:
            told = not any(step.waits for step in steps.values())
            return told and (await way.deliveries.ledger(way.uid)).portal_outbox == 0 and struck(point)

        await until(done)
        assert {(step.waits, step.values["status"]) for step in steps.values()} == {(False, "failed")}
        assert all(1 <= step.answers <= 2 for step in steps.values())
        for mid in mids:
            assert (await way.story(mid)).count("step_answered") == 1


@pytest.mark.parametrize("moment", Moment)
@pytest.mark.parametrize("script", ["delivery_tick", "delivery_told"])
async def test_a_further_leg_reaches_the_sender(
    store: connection.Store, valkey: embedded.EmbeddedValkey, sandbox: Sandbox, script: str, moment: Moment
) -> None:
    """At least once; the sender knows a repeat by (message, attempt)."""
    async with scene(store, valkey, sandbox, routing=CASCADE) as found:
        way = found.lab.way
        [mid] = await way.sent([1])
        having = b"|2" if (script, moment) == ("delivery_tick", Moment.AFTER) else b""
        point = found.way.set(Point(script, moment, having=having))
        await way.say(mid, 20)

        async def told() -> bool:
            return (await way.deliveries.ledger(way.uid)).plans == 0 and struck(point)

        await until(told)
        assert set(found.lab.sender.legs) == {(mid, 2)}
        assert await way.attempts(mid) == ["undelivered", "planned"]


@pytest.mark.parametrize("moment", Moment)
@pytest.mark.parametrize("script", ["delivery_polls", "delivery_apply"])
async def test_a_question_is_asked_again(
    store: connection.Store, valkey: embedded.EmbeddedValkey, sandbox: Sandbox, script: str, moment: Moment
) -> None:
    """A receipt was lost and SMSC is asked; the question's lease has to end where its answer was not kept."""
    async with (
        smsc_server.running(smsc_server.answer(DELIVERED)) as far,
        scene(store, valkey, sandbox, far=far.url) as found,
    ):
        way = found.lab.way
        [mid] = await way.sent([1])
        found.lab.row(mid)
        await found.tell()
        having = b'"mid"' if (script, moment) == ("delivery_polls", Moment.AFTER) else b""
        point = found.way.set(Point(script, moment, having=having))
        await way.time_passes("poll")
        await found.ends_well([mid], "delivered", point)


async def test_two_workers_on_one_dirty_set(
    store: connection.Store, valkey: embedded.EmbeddedValkey, sandbox: Sandbox
) -> None:
    """Statuses change while they are being written: each row gets the newest last, and no word twice."""
    async with (
        scene(store, valkey, sandbox) as found,
        status_lab.running(store, sandbox, found.lab.way.provider),
    ):
        lab = found.lab
        lab.portal.settings.latency_ms = 60
        sent = await lab.shown(range(1, 121))
        for mid in sent:
            await lab.way.say(mid, 20)
        for mid in sent:  # some are in flight by now, some are written, some wait
            await lab.way.say(mid, 1)
        await lab.all_show(sent, "delivered")
        await lab.nothing_waits()
        told = {tuple(lab.statuses(mid)) for mid in sent}
        assert told <= {("undelivered", "delivered"), ("delivered",)}
        versions = [(await lab.way.message(mid)).record for mid in sent[:5]]
        assert {(record["pd"], record.get("po", "")) for record in versions} == {("delivered", "")}
        assert (await lab.way.deliveries.ledger(lab.way.uid)).unaccounted == 0
