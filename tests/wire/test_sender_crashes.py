"""Every script of the sender is cut off once: before it ran, and after it ran but before its answer came.

To the sender that is a crash at this point followed by a start: it knows nothing of what it did. Whatever it
was, nothing is missing and nothing is sent twice.
"""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from smsbridge.core.delivery import AttemptState
from smsbridge.core.message import Route
from smsbridge.core.provider import Profile, Routing
from smsbridge.rpc.enums import Submitted
from smsbridge.sandbox import reports, server
from smsbridge.sandbox.faults import Fault, FaultKind
from smsbridge.store import connection, delivery, embedded
from tests.conftest import store_settings
from tests.flow import proxy
from tests.flow.proxy import Moment, Point
from tests.store import messages
from tests.wire import senders

UID = messages.UID
BEFORE, AFTER = Moment.BEFORE, Moment.AFTER
LOST = Fault(kind=FaultKind.RESET_BEFORE_ACCEPT, count=1)
TAKEN = Fault(kind=FaultKind.RESET_AFTER_ACCEPT, count=1)


@dataclass(slots=True)
class Scene:
    sender: senders.Sender
    way: proxy.Proxy
    store: connection.Store  # the test's own way to it

    async def submitted(self, numbers: range, **changes: object) -> None:
        """As the gateway's journal does: again until it is taken."""
        answers: list[Submitted | None] = []

        async def taken() -> bool:
            answers[:] = await senders.submit(self.sender.client, numbers, **changes)
            return Submitted.UNAVAILABLE not in answers

        await senders.until(taken)
        assert set(answers) <= {Submitted.ACCEPTED, Submitted.DUPLICATE}

    async def ends_well(self, expected: int, point: Point, *, equal: int = 0) -> None:
        """`equal`: messages that have another one's phone and text."""
        await senders.all_sent(self.store, expected)

        async def struck() -> bool:
            return point.struck == point.times

        await senders.until(struck)
        ledger = self.sender.account().ledger(reports.CallbackReport())
        assert (ledger.messages, ledger.sent_twice) == (expected, equal)
        assert (await senders.books(self.store)).unaccounted == 0


@contextlib.asynccontextmanager
async def scene(
    store: connection.Store, valkey: embedded.EmbeddedValkey, profile: Profile = Profile.GUIDE
) -> AsyncIterator[Scene]:
    """The sender has sent one message, and knows that status.php finds our ids."""
    routing = Routing(route=Route.CASCADE) if profile is Profile.HTTP else Routing()
    async with (
        server.Sandbox.running(senders.sandbox_settings()) as sandbox,
        proxy.before_store(valkey.url, times=store.settings.times) as way,
    ):
        url = f"valkey://127.0.0.1:{way.port}/0"
        cut = connection.Store.connect(store_settings(valkey, url=url))
        provider = messages.provider(
            base_url=sandbox.smsc_url,
            profile=profile,
            login=profile.value,
            password=f"secret-{profile.value}",
            routing=routing,
        )
        try:
            async with senders.running(cut, sandbox, provider) as sender:
                await senders.submit(sender.client, range(900, 901))
                await senders.all_sent(store, 1)
                await senders.proved(sender.client)
                yield Scene(sender, way, store)
        finally:
            await cut.close()


@dataclass(frozen=True, slots=True)
class Cut:
    """`fault`: what SMSC does to the first POST, so that the script is needed at all."""

    script: str
    moment: Moment
    fault: Fault | None = None
    times: int = 1
    skip: int = 0


def both(script: str, fault: Fault | None = None, *, skip: int = 0) -> list[Cut]:
    return [Cut(script, moment, fault, skip=skip) for moment in Moment]


CUTS = [
    *both("accept"),
    *both("permit"),
    *both("claim"),
    Cut("claim", AFTER, times=2),  # its repeat is lost too: the lease has to end
    *both("holds"),
    *both("intent"),
    *both("outcome"),
    Cut("outcome", AFTER, times=3),
    *both("end_holds"),
    *both("take_uncertain", LOST),
    *both("asks", LOST),
    *both("settle", LOST),
    Cut("settle", AFTER, LOST, times=2),
    *both("begin_repeat", LOST),
    *both("intent", LOST, skip=1),  # the repeat's
    *both("outcome", LOST, skip=1),
    *both("settle", TAKEN),
]


def label(cut: Cut) -> str:
    found = f"{cut.moment} {cut.script}" + (f" x{cut.times}" if cut.times > 1 else "")
    if cut.fault is None:
        return found
    return f"{found}, {cut.fault.kind}" + (", of the repeat" if cut.skip else "")


@pytest.mark.parametrize("cut", CUTS, ids=label)
async def test_a_script_that_is_cut_off(
    store: connection.Store, valkey: embedded.EmbeddedValkey, cut: Cut
) -> None:
    async with scene(store, valkey) as found:
        if cut.fault is not None:
            found.sender.account().faults.add(cut.fault)
        having = b'"batch"' if cut.moment is AFTER and cut.script in ("claim", "take_uncertain") else b""
        point = found.way.set(Point(cut.script, cut.moment, times=cut.times, skip=cut.skip, having=having))
        await found.submitted(range(3))
        await found.ends_well(4, point)


@pytest.mark.parametrize("moment", Moment)
async def test_release_is_cut_off(
    store: connection.Store, valkey: embedded.EmbeddedValkey, moment: Moment
) -> None:
    """Two equal texts to one phone: the second leaves its batch until SMSC has forgotten the first."""
    async with scene(store, valkey) as found:
        point = found.way.set(Point("release", moment))
        await found.submitted(range(1, 3), recipient="+79990000001")
        await found.ends_well(3, point, equal=1)


@pytest.mark.parametrize("moment", Moment)
async def test_reap_is_cut_off(
    store: connection.Store, valkey: embedded.EmbeddedValkey, moment: Moment
) -> None:
    async with scene(store, valkey) as found:
        lost = found.way.set(Point("claim", AFTER, having=b'"batch"', times=2))
        reap = found.way.set(Point("reap", moment, having=b'"reaped":1' if moment is AFTER else b""))
        await found.submitted(range(3))
        await found.ends_well(4, reap)
        assert lost.struck == 2


@pytest.mark.parametrize("moment", Moment)
async def test_a_further_leg_is_cut_off(
    store: connection.Store, valkey: embedded.EmbeddedValkey, moment: Moment
) -> None:
    async with scene(store, valkey, Profile.HTTP) as found:
        await found.submitted(range(1, 2))
        await senders.all_sent(store, 2)
        mid = f"{1:032x}"
        fell = delivery.Change(mid, 1, 20, "callback", state=AttemptState.UNDELIVERED, falls_back=True)
        assert await delivery.Deliveries(store).apply(UID, [fell]) == ["changed"]
        point = found.way.set(Point("accept_next", moment))
        results: list[Submitted | None] = []

        async def taken() -> bool:
            results.extend(await senders.submit(found.sender.client, range(1, 2), attempt=2))
            return results[-1] is not Submitted.UNAVAILABLE

        await senders.until(taken)

        async def sent() -> bool:
            return (await found.sender.state_of(UID, mid)).get("a2:st") == "sent"

        await senders.until(sent)
        assert results == [
            Submitted.UNAVAILABLE,
            Submitted.ACCEPTED if moment is BEFORE else Submitted.DUPLICATE,
        ]
        ledger = found.sender.account("http").ledger(reports.CallbackReport())
        assert (ledger.by_channel, ledger.sent_twice, point.struck) == ({"viber": 2, "sms": 1}, 0, 1)


async def test_what_smsc_has_stays_held_apart_though_the_store_was_away(
    store: connection.Store, valkey: embedded.EmbeddedValkey
) -> None:
    """The store goes away after the outcome: SMSC gets the same pair only when it has forgotten the first."""
    async with scene(store, valkey) as found:
        # The first command after an outcome: that the account works.
        point = found.way.set(Point("HSET", BEFORE, having=b"warm"))
        ended = found.way.set(Point("end_holds", AFTER, act=proxy.go_on))
        await found.submitted(range(1, 2), recipient="+79990000001")
        await found.ends_well(2, ended)
        await found.submitted(range(2, 3), recipient="+79990000001")
        await found.ends_well(3, point, equal=1)
        assert found.sender.account().ledger(reports.CallbackReport()).requests["send"] == {"ok": 3}
