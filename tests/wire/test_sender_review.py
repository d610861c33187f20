"""Rules of the sender that a review found broken once, against the sandbox's SMSC."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

import pytest

from smsbridge.core.message import Route
from smsbridge.core.provider import Batching, Prices, Profile, Provider, Routing
from smsbridge.rpc import enums, message
from smsbridge.sandbox import reports, server
from smsbridge.sandbox.faults import Fault, FaultKind
from smsbridge.store import connection, egress, embedded, registry, tags
from tests.conftest import store_settings
from tests.flow import proxy
from tests.store import messages
from tests.wire import senders, smsc_server

UID = messages.UID
HTTP = {"login": "http", "password": "secret-http", "profile": Profile.HTTP}


@pytest.fixture
async def sandbox() -> AsyncIterator[server.Sandbox]:
    async with server.Sandbox.running(senders.sandbox_settings()) as running:
        yield running


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def provider(sandbox: server.Sandbox, **changes: Any) -> Provider:
    return messages.provider(base_url=sandbox.smsc_url, **changes)


def by(provider_: Provider, other: Provider, **changes: Any) -> Provider:
    """The same provider with another's account."""
    return replace(provider_, account=other.account, **changes)


async def put(store: connection.Store, changed: Provider) -> None:
    await registry.Registry(store, senders.KEYRING).put(changed, generation=2)


def ledger(sender: senders.Sender, login: str = "guide") -> Any:
    return sender.account(login).ledger(reports.CallbackReport())


async def story(store: connection.Store, number: int) -> list[dict[str, Any]]:
    found = await store.redis.lrange(f"{tags.provider(UID)}h:{number:032x}", 0, -1)
    return [json.loads(event) for event in found]


async def test_what_waits_goes_out_though_the_profile_changed_to_guide(
    store: connection.Store, sandbox: server.Sandbox
) -> None:
    """Profile guide knows neither a leg's life time nor several texts in one request."""
    routing = Routing(route=Route.CASCADE, viber_timeout_seconds=60)
    waiting = provider(sandbox, paused=True, routing=routing, **HTTP)
    async with senders.running(store, sandbox, waiting) as sender:
        wanted = [messages.outgoing(n, text=f"Текст {n}", accepted_at_ms=now_ms()) for n in range(3)]
        await sender.client.submit([message.to_proto(item) for item in wanted])
        await put(store, by(waiting, provider(sandbox), paused=False))
        await senders.all_sent(store, 3)
        assert (ledger(sender).messages, ledger(sender).by_channel) == (3, {"cascade": 3})


async def test_what_waits_goes_out_though_the_profile_changed_to_http(
    store: connection.Store, sandbox: server.Sandbox
) -> None:
    """Profile http cannot fall back by itself: our own cascade takes over."""
    routing = Routing(route=Route.CASCADE, viber_timeout_seconds=60)
    waiting = provider(sandbox, paused=True, routing=routing)
    async with senders.running(store, sandbox, waiting) as sender:
        await senders.submit(sender.client, range(3))
        await put(store, by(waiting, provider(sandbox, **HTTP), paused=False))
        await senders.all_sent(store, 3)
        assert ledger(sender, "http").by_channel == {"viber": 3}
        record = await sender.state_of(UID, f"{0:032x}")
        assert (record["nx"], [leg["channel"] for leg in json.loads(record["legs"])]) == (
            "1",
            ["viber", "sms"],
        )


async def warmed(sender: senders.Sender) -> None:
    """One message through, and status.php proved: from here on an uncertain batch may be repeated."""
    await senders.submit(sender.client, range(900, 901))
    await senders.all_sent(sender.store, 1)
    await senders.proved(sender.client)


async def told(store: connection.Store, number: int, word: str) -> None:
    async def done() -> bool:
        return any(word in event.values() for event in await story(store, number))

    await senders.until(done)


async def test_an_uncertain_batch_is_read_by_the_profile_it_was_sent_with(store: connection.Store) -> None:
    """22 is an SMS on its way in profile guide and a bad number in profile http: that would be sent again."""

    async def behave(writer: asyncio.StreamWriter) -> None:
        line, _, body = far.requests[-1]
        if "/send.php" in line:
            return writer.transport.abort()
        fields = dict(parse_qsl(body.decode()))
        pairs = zip(fields["id"].split(","), fields["phone"].split(","), strict=True)
        rows = [{"id": one, "phone": two, "status": 22} for one, two in pairs if one]
        return await smsc_server.answer(json.dumps(rows).encode())(writer)

    async with smsc_server.running(behave) as far:
        guide = messages.provider(
            base_url=far.url, routing=Routing(route=Route.CASCADE), batching=Batching(linger_ms=50)
        )
        async with senders.running(store, None, guide) as sender:
            await senders.submit(sender.client, range(3))
            await told(store, 0, "uncertain")
            await put(store, by(guide, messages.provider(base_url=far.url, profile=Profile.HTTP)))
            await senders.all_sent(store, 3)
        assert [line.split("/")[-2] for line, _, _ in far.requests if "send.php" in line] == ["send.php HTTP"]
        assert (await senders.books(store)).sent == 3


async def test_an_uncertain_batch_is_asked_of_its_own_account(
    store: connection.Store, sandbox: server.Sandbox
) -> None:
    """The provider names another account by now; a second provider still names the old one."""
    one = provider(sandbox)
    two = replace(provider(sandbox), uid="1" * 8 + UID[8:], name="second")
    async with senders.running(store, sandbox, one, two) as sender:
        await warmed(sender)
        sender.account().faults.add(Fault(kind=FaultKind.TIMEOUT_AFTER_ACCEPT, count=1))
        await senders.submit(sender.client, range(2))
        await told(store, 0, "uncertain")
        await put(store, by(one, provider(sandbox, **HTTP)))
        await senders.all_sent(store, 3)
        assert (ledger(sender).messages, ledger(sender, "http").messages) == (3, 0)


async def test_a_wrong_login_of_a_question_counts_and_pauses(
    store: connection.Store, sandbox: server.Sandbox
) -> None:
    """Five wrong logins block the address, whichever script they were for."""
    right = provider(sandbox)
    async with senders.running(store, sandbox, right) as sender:
        await warmed(sender)
        sender.account().faults.add(Fault(kind=FaultKind.RESET_AFTER_ACCEPT, count=1))
        await senders.submit(sender.client, range(1))
        await told(store, 0, "uncertain")
        await put(store, by(right, provider(sandbox, password="wrong")))

        async def paused() -> bool:
            return (await sender.client.describe_queue(UID))[0].pause_reason == "login"

        await senders.until(paused)
        await asyncio.sleep(2.0)  # five questions' time
        assert sandbox.smsc.guard.wrong_logins <= 3


async def test_a_blocked_egress_asks_nothing(store: connection.Store, sandbox: server.Sandbox) -> None:
    async with senders.running(store, sandbox, provider(sandbox)) as sender:
        await warmed(sender)
        sender.account().faults.add(Fault(kind=FaultKind.TIMEOUT_AFTER_ACCEPT, count=1))
        await senders.submit(sender.client, range(1))
        await told(store, 0, "sending")
        await egress.Egress(store, egress.EgressSettings(blocked_seconds=(2.5,))).block()
        asked = ledger(sender).requests["status"]
        await told(store, 0, "status_unanswered")
        assert ledger(sender).requests["status"] == asked
        await senders.all_sent(store, 2)


async def test_a_paused_provider_repeats_nothing(store: connection.Store, sandbox: server.Sandbox) -> None:
    active = provider(sandbox)
    async with senders.running(store, sandbox, active) as sender:
        await warmed(sender)
        sender.account().faults.add(Fault(kind=FaultKind.RESET_BEFORE_ACCEPT, count=1))
        await senders.submit(sender.client, range(1))
        await told(store, 0, "uncertain")
        await put(store, replace(active, paused=True))
        await told(store, 0, "paused")
        await asyncio.sleep(1.0)
        assert ledger(sender).messages == 1
        await put(store, active)
        await senders.all_sent(store, 2)


async def test_a_removed_provider_repeats_nothing(store: connection.Store, sandbox: server.Sandbox) -> None:
    active = provider(sandbox, batching=Batching(linger_ms=50))
    async with senders.running(store, sandbox, active) as sender:
        await warmed(sender)
        sender.account().faults.add(Fault(kind=FaultKind.RESET_BEFORE_ACCEPT, count=1))
        await senders.submit(sender.client, range(2))
        await told(store, 0, "uncertain")
        await registry.Registry(store, senders.KEYRING).tombstone(active)
        await senders.all_sent(store, 3)
        assert (await sender.state_of(UID, f"{0:032x}"))["rs"] == "ProviderRemoved"
        assert (ledger(sender).messages, (await senders.books(store)).final) == (1, {"failed": 2})


async def test_no_money_with_an_id_waits_for_money(store: connection.Store) -> None:
    """SMSC keeps a record that says `no money`: certain enough to send again once there is some."""
    settings = senders.sandbox_settings(no_money_creates_record=True)
    async with (
        server.Sandbox.running(settings) as sandbox,
        senders.running(store, sandbox, provider(sandbox)) as sender,
    ):
        await warmed(sender)
        sender.account().balance = Decimal("0.10")
        await senders.submit(sender.client, range(1))
        await told(store, 0, "money_with_id")
        sender.account().balance = Decimal("1000")
        await senders.all_sent(store, 2)
        assert (ledger(sender).messages, (await senders.books(store)).sent) == (2, 2)


async def test_what_a_split_makes_does_not_wait_for_its_own_hold(
    store: connection.Store, valkey: embedded.EmbeddedValkey, sandbox: server.Sandbox
) -> None:
    """The halves may be claimed at once, by whoever is first."""

    async def slowly() -> proxy.Then:
        await asyncio.sleep(0.4)
        return proxy.Then.PASS

    async with proxy.before_store(valkey.url, times=store.settings.times) as way:
        slow = connection.Store.connect(store_settings(valkey, url=f"valkey://127.0.0.1:{way.port}/0"))
        way.set(proxy.Point("end_holds", proxy.Moment.BEFORE, act=slowly, times=100))
        one = provider(sandbox, batching=Batching(linger_ms=50))
        try:
            async with senders.running(slow, sandbox, one) as sender:
                await senders.submit(sender.client, range(3))
                await senders.submit(sender.client, range(94, 95), recipient="+79990005094")
                await senders.all_sent(store, 4)
                events = [
                    event["why"] for n in (0, 1, 2, 94) for event in await story(store, n) if "why" in event
                ]
                assert "same_text_just_sent" not in events
        finally:
            await slow.close()


async def test_a_repeat_is_priced_and_held_apart_as_any_other(
    store: connection.Store, sandbox: server.Sandbox
) -> None:
    priced = provider(sandbox, prices=Prices(sms=Decimal("4.00")), batching=Batching(linger_ms=50))
    async with senders.running(store, sandbox, priced) as sender:
        await warmed(sender)
        sender.account().faults.add(Fault(kind=FaultKind.RESET_BEFORE_ACCEPT, count=1))
        await senders.submit(sender.client, range(1, 3))
        await senders.all_sent(store, 3)
        assert (await sender.state_of(UID, f"{1:032x}"))["a1:cost"] == "4.00"
        await senders.submit(sender.client, range(5, 6), recipient=messages.phone(1))
        await senders.submit(sender.client, range(6, 7), recipient=messages.phone(2))
        await senders.all_sent(store, 5)
        assert ledger(sender).requests["send"].keys() == {"ok", "reset_before_accept"}


async def test_a_message_id_that_the_store_cannot_tell_apart_is_refused(
    store: connection.Store, sandbox: server.Sandbox
) -> None:
    """One such id in a group would stop its whole lane."""
    async with senders.running(store, sandbox, provider(sandbox)) as sender:
        wanted = [messages.outgoing(n, accepted_at_ms=now_ms()) for n in range(2)]
        wanted[0] = replace(wanted[0], message_id="one|two")
        answers = await sender.client.submit([message.to_proto(item) for item in wanted])
        found = [enums.SUBMITTED.to_core(answer.result) for answer in answers]
        assert found == [enums.Submitted.REFUSED, enums.Submitted.ACCEPTED]
        await senders.all_sent(store, 1)
