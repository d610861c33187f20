"""The sender from Submit to SMSC's own books: what arrives there, and how often."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from smsbridge.core.message import Origin, ReportTo, Route, TokenCheck
from smsbridge.core.provider import Batching, Prices, Profile, Provider, Routing, Rule
from smsbridge.rpc import enums, message
from smsbridge.rpc.enums import Submitted
from smsbridge.sandbox import reports, server
from smsbridge.sandbox.faults import Fault, FaultKind, StatusDown
from smsbridge.sender import intake
from smsbridge.store import connection, registry, tags
from smsbridge.store.portal_outbox import Kind, PortalOutbox
from tests.store import messages
from tests.wire import senders

UID = messages.UID


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@pytest.fixture
async def sandbox() -> AsyncIterator[server.Sandbox]:
    async with server.Sandbox.running(senders.sandbox_settings()) as running:
        yield running


def provider(sandbox: server.Sandbox, **changes: Any) -> Provider:
    login = "http" if changes.get("profile") is Profile.HTTP else "guide"
    fields: dict[str, Any] = {"login": login, "password": f"secret-{login}", **changes}
    return messages.provider(base_url=sandbox.smsc_url, **fields)


async def submit(sender: senders.Sender, numbers: range, **changes: Any) -> list[Submitted | None]:
    wanted = [messages.outgoing(n, accepted_at_ms=now_ms(), **changes) for n in numbers]
    answers = await sender.client.submit([message.to_proto(item) for item in wanted])
    return [enums.SUBMITTED.to_core(answer.result) for answer in answers]


async def count(store: connection.Store, state: str) -> int:
    return int(await store.redis.scard(f"{tags.provider(UID)}s:{state}"))


async def finals(store: connection.Store) -> dict[str, int]:
    found = await store.redis.hgetall(f"{tags.provider(UID)}fin")
    return {key.decode(): int(value) for key, value in found.items() if int(value)}


async def all_sent(sender: senders.Sender, expected: int) -> None:
    async def done() -> bool:
        final = sum((await finals(sender.store)).values())
        return await count(sender.store, "sent") + final == expected

    await senders.until(done)


async def warmed(sender: senders.Sender) -> None:
    """One message through, and status.php proved: from here on an uncertain batch may be repeated."""
    await submit(sender, range(900, 901))
    await all_sent(sender, 1)

    async def proved() -> bool:
        return (await sender.client.describe_queue(UID))[0].status_proved

    await senders.until(proved)


def book(sender: senders.Sender, login: str = "guide") -> Any:
    return sender.account(login).ledger(reports.CallbackReport())


async def test_equal_texts_make_batches_of_a_hundred(
    store: connection.Store, sandbox: server.Sandbox
) -> None:
    slow = provider(sandbox, batching=Batching(linger_ms=400))
    async with senders.running(store, sandbox, slow) as sender:
        for start in range(0, 1000, 250):
            assert await submit(sender, range(start, start + 250)) == [Submitted.ACCEPTED] * 250
        await all_sent(sender, 1000)
        ledger = book(sender)
        assert ledger.by_numbers_per_request == {100: 10}
        assert (ledger.messages, ledger.sent_twice) == (1000, 0)
        assert (ledger.get_requests, ledger.secrets_in_url) == (0, 0)


async def test_different_texts_go_as_a_list_in_profile_http(
    store: connection.Store, sandbox: server.Sandbox
) -> None:
    http = provider(sandbox, profile=Profile.HTTP, batching=Batching(linger_ms=400))
    async with senders.running(store, sandbox, http) as sender:
        wanted = [messages.outgoing(n, text=f"Текст {n}", accepted_at_ms=now_ms()) for n in range(200)]
        await sender.client.submit([message.to_proto(item) for item in wanted])
        await all_sent(sender, 200)
        ledger = book(sender, "http")
        assert ledger.by_numbers_per_request == {100: 2}
        assert ledger.distinct_phone_text == 200


async def test_a_repeated_submit_sends_nothing_twice(
    store: connection.Store, sandbox: server.Sandbox
) -> None:
    async with senders.running(store, sandbox, provider(sandbox)) as sender:
        assert await submit(sender, range(5)) == [Submitted.ACCEPTED] * 5
        assert await submit(sender, range(5)) == [Submitted.DUPLICATE] * 5
        await all_sent(sender, 5)
        assert book(sender).messages == 5


UNANSWERED = [
    Fault(kind=FaultKind.TIMEOUT_AFTER_ACCEPT, count=1, seconds=30),
    Fault(kind=FaultKind.TIMEOUT_BEFORE_ACCEPT, count=1, seconds=30),
    Fault(kind=FaultKind.RESET_AFTER_ACCEPT, count=1),
    Fault(kind=FaultKind.RESET_BEFORE_ACCEPT, count=1),
    Fault(kind=FaultKind.HTTP_502_AFTER_ACCEPT, count=1),
    Fault(kind=FaultKind.HTTP_502_THEN_ACCEPT_AFTER, count=1, seconds=0.5),
    Fault(kind=FaultKind.HTTP_500, count=1),
    Fault(kind=FaultKind.HTML, count=1),
    Fault(kind=FaultKind.HTML, count=1, accept=True),
    Fault(kind=FaultKind.EMPTY, count=1, accept=True),
    Fault(kind=FaultKind.NON_JSON, count=1, accept=True),
    Fault(kind=FaultKind.REDIRECT_302, count=1),
    Fault(kind=FaultKind.MEMBER_MISSING, count=1),
]


@pytest.mark.parametrize("fault", UNANSWERED, ids=lambda f: f.kind + ("+accept" if f.accept else ""))
async def test_an_unanswered_request_is_settled_and_nothing_is_sent_twice(
    store: connection.Store, sandbox: server.Sandbox, fault: Fault
) -> None:
    async with senders.running(store, sandbox, provider(sandbox, batching=Batching(linger_ms=50))) as sender:
        await warmed(sender)
        sender.account().faults.add(fault)
        await submit(sender, range(3))
        await all_sent(sender, 4)
        ledger = book(sender)
        assert (ledger.messages, ledger.distinct_phone_text, ledger.sent_twice) == (4, 4, 0)


# SMSC is asked 0.8 s after the POST and 0.2 s later, and gets the request again from then on: with the
# defaults that is at 30 s, at 40 s, and until 50 s.
@pytest.mark.parametrize("seconds", [0.5, 0.9, 1.2, 1.6], ids=["before the first question",
    "between the questions", "beside the repeat", "after the repeat"])  # fmt: skip
async def test_a_request_that_smsc_accepts_long_after_its_502(
    store: connection.Store, sandbox: server.Sandbox, seconds: float
) -> None:
    async with senders.running(store, sandbox, provider(sandbox, batching=Batching(linger_ms=50))) as sender:
        await warmed(sender)
        late = Fault(kind=FaultKind.HTTP_502_THEN_ACCEPT_AFTER, count=1, seconds=seconds)
        sender.account().faults.add(late)
        await submit(sender, range(3))
        await all_sent(sender, 4)
        await asyncio.sleep(max(0.0, seconds - 0.8))  # also what may still be on its way has come
        ledger = book(sender)
        assert (ledger.messages, ledger.distinct_phone_text, ledger.sent_twice) == (4, 4, 0)
        assert (await senders.books(store)).unaccounted == 0


async def test_while_status_is_not_proved_an_uncertain_batch_is_held_and_shown(
    store: connection.Store, sandbox: server.Sandbox
) -> None:
    async with senders.running(store, sandbox, provider(sandbox)) as sender:
        sender.account().faults.add(Fault(kind=FaultKind.RESET_BEFORE_ACCEPT, count=1))
        await submit(sender, range(1))

        async def held() -> bool:
            story = await store.redis.lrange(f"{tags.provider(UID)}h:{0:032x}", 0, -1)
            return any(b"status_unproved" in event for event in story)

        await senders.until(held)
        queue = (await sender.client.describe_queue(UID))[0]
        assert (queue.uncertain, queue.status_proved) == (1, False)
        assert book(sender).messages == 0
        await submit(sender, range(1, 2))  # a success proves it; then the first may be repeated
        await all_sent(sender, 2)
        assert (book(sender).messages, book(sender).sent_twice) == (2, 0)


async def test_no_answer_of_status_is_no_answer(store: connection.Store, sandbox: server.Sandbox) -> None:
    async with senders.running(store, sandbox, provider(sandbox)) as sender:
        await warmed(sender)
        sender.account().faults.add(Fault(kind=FaultKind.TIMEOUT_AFTER_ACCEPT, count=1, seconds=30))
        for mode in StatusDown:
            sender.account().faults.add(Fault(kind=FaultKind.STATUS_DOWN, count=1, mode=mode, call="status"))
        await submit(sender, range(2))
        await all_sent(sender, 3)
        assert (book(sender).messages, book(sender).sent_twice) == (3, 0)


@pytest.mark.parametrize(
    ("ending", "reason", "failed"), [(94, "NumberRefused", 1), (95, "CannotDeliver", 1), (93, "Forbidden", 1)]
)
async def test_a_bad_number_fails_alone(
    store: connection.Store, sandbox: server.Sandbox, ending: int, reason: str, failed: int
) -> None:
    async with senders.running(store, sandbox, provider(sandbox, batching=Batching(linger_ms=100))) as sender:
        await submit(sender, range(8))
        await submit(sender, range(ending, ending + 1), recipient=f"+79990005{ending:03d}")
        await all_sent(sender, 9)
        assert await finals(store) == {"failed": failed}
        assert (await sender.state_of(UID, f"{ending:032x}"))["rs"] in {reason, "Forbidden", "CannotDeliver"}
        assert book(sender).sent_twice == 0


async def test_a_denied_text_fails_all_by_one_more_request(
    store: connection.Store, sandbox: server.Sandbox
) -> None:
    async with senders.running(store, sandbox, provider(sandbox, batching=Batching(linger_ms=100))) as sender:
        for n in range(7):
            await submit(sender, range(n, n + 1), recipient=f"+7999000{n}096")
        await all_sent(sender, 7)
        assert await finals(store) == {"failed": 7}
        assert book(sender).requests["send"]["error_6"] == 2


async def test_without_money_messages_wait_and_go_after_a_top_up(
    store: connection.Store, sandbox: server.Sandbox
) -> None:
    async with senders.running(store, sandbox, provider(sandbox)) as sender:
        await warmed(sender)
        sender.account().balance = type(sender.account().balance)("0.10")
        await submit(sender, range(3))

        async def paused() -> bool:
            return (await sender.client.describe_queue(UID))[0].pause_reason == "money"

        await senders.until(paused)
        assert await count(store, "queued") + await count(store, "sending") == 3
        asked = book(sender).requests.get("balance", {}).get("ok", 0)

        async def probed() -> bool:
            return book(sender).requests.get("balance", {}).get("ok", 0) >= asked + 2

        await senders.until(probed)
        assert book(sender).messages == 1
        sender.account().balance = type(sender.account().balance)("1000")
        await all_sent(sender, 4)
        assert book(sender).sent_twice == 0


async def test_a_wrong_password_is_tried_three_times_at_most(
    store: connection.Store, sandbox: server.Sandbox
) -> None:
    wrong = provider(sandbox, password="wrong")
    limits = senders.LIMITS.model_copy(update={"login_probes_seconds": (0.05, 0.05)})
    async with senders.running(store, sandbox, wrong, limits=limits) as sender:
        await submit(sender, range(2))

        async def three() -> bool:
            return sandbox.smsc.guard.wrong_logins == 3

        await senders.until(three)
        await asyncio.sleep(0.5)  # ten probes' time
        assert await three()
        assert await count(store, "queued") == 2
        right = replace(wrong, account=replace(wrong.account, password="secret-guide"))
        await registry.Registry(store, senders.KEYRING).put(right, generation=2)
        await asyncio.sleep(0.3)  # the sender follows the registry
        await store.redis.delete(f"{tags.EGRESS}auth")  # half an hour later
        await all_sent(sender, 2)


async def test_interactive_messages_do_not_wait_for_a_broadcast(
    store: connection.Store, sandbox: server.Sandbox
) -> None:
    both = provider(sandbox, batching=Batching(linger_ms=60_000, interactive_linger_ms=0))
    async with senders.running(store, sandbox, both) as sender:
        await submit(sender, range(99))
        await submit(sender, range(200, 201), origin=Origin.CARD)
        await all_sent(sender, 1)
        assert await count(store, "queued") == 99


async def test_a_pause_stops_sending_not_accepting(store: connection.Store, sandbox: server.Sandbox) -> None:
    halted = provider(sandbox, paused=True)
    async with senders.running(store, sandbox, halted) as sender:
        assert await submit(sender, range(3)) == [Submitted.ACCEPTED] * 3
        assert (await sender.client.describe_queue(UID))[0].pause_reason == "paused"
        assert book(sender).messages == 0
        await registry.Registry(store, senders.KEYRING).put(replace(halted, paused=False), generation=2)
        await all_sent(sender, 3)


async def test_a_full_store_stops_claiming_then_accepting(
    store: connection.Store, sandbox: server.Sandbox
) -> None:
    async with senders.running(store, sandbox, provider(sandbox), memory_check_seconds=0.05) as sender:
        await store.redis.set("ballast", b"x" * 50_000_000)  # what clients' buffers take does not count then
        used = int((await store.redis.info("memory"))["used_memory"])
        before = (await store.redis.config_get("maxmemory"))["maxmemory"]
        try:
            await store.redis.config_set("maxmemory", int(used / 0.85))
            await asyncio.sleep(0.3)
            assert await submit(sender, range(2)) == [Submitted.ACCEPTED] * 2
            assert book(sender).messages == 0
            used = int((await store.redis.info("memory"))["used_memory"])
            await store.redis.config_set("maxmemory", int(used / 0.96))
            await asyncio.sleep(0.3)
            assert await submit(sender, range(5, 6)) == [Submitted.UNAVAILABLE]
        finally:
            await store.redis.config_set("maxmemory", before)
        await all_sent(sender, 2)


@pytest.mark.parametrize("bad_at", [0, 1])
async def test_a_message_without_an_origin_is_refused_alone(
    store: connection.Store, sandbox: server.Sandbox, bad_at: int
) -> None:
    async with senders.running(store, sandbox, provider(sandbox)) as sender:
        wanted = [message.to_proto(messages.outgoing(n, accepted_at_ms=now_ms())) for n in range(2)]
        wanted[bad_at].ClearField("origin")
        answers = await sender.client.submit(wanted)
        expected = [Submitted.ACCEPTED, Submitted.ACCEPTED]
        expected[bad_at] = Submitted.REFUSED
        assert [enums.SUBMITTED.to_core(answer.result) for answer in answers] == expected
        await all_sent(sender, 1)


async def test_a_removed_provider_fails_what_waits(store: connection.Store, sandbox: server.Sandbox) -> None:
    gone = provider(sandbox, paused=True)
    async with senders.running(store, sandbox, gone) as sender:
        await submit(sender, range(3))
        await registry.Registry(store, senders.KEYRING).tombstone(gone)

        async def failed() -> bool:
            return await finals(store) == {"failed": 3}

        await senders.until(failed)
        assert await submit(sender, range(5, 6)) == [Submitted.FAILED]


async def test_figures_of_a_removed_provider_pause_nobody_and_go_with_it(
    store: connection.Store, sandbox: server.Sandbox
) -> None:
    book, gone = registry.Registry(store, senders.KEYRING), provider(sandbox)
    async with senders.running(store, sandbox, gone) as sender:
        sender.account().balance = Decimal(0)
        await submit(sender, range(3))

        async def shows(expected: tuple[float | None, ...]) -> bool:
            return expected == (
                sender.figure("smsbridge_account_paused", reason="money"),
                sender.figure("smsbridge_account_balance_roubles"),
                sender.figure("smsbridge_binding_limit", limit="pause"),
                sender.figure("smsbridge_queue_depth_messages", lane="bulk"),
                sender.figure("smsbridge_uncertain_batches"),
            )

        await senders.until(lambda: shows((1, 0, 1, 3, 0)), seconds=30)
        await book.tombstone(gone)
        await senders.until(lambda: shows((None, None, None, 0, 0)), seconds=30)
        await book.put(replace(gone, uid="another", paused=True))  # its successor of the same name
        await senders.until(lambda: shows((0, 0, 1, 0, 0)), seconds=30)
        await book.erase(UID)
        await book.tombstone(replace(gone, uid="another"))
        await book.erase("another")
        await senders.until(lambda: shows((None,) * 5), seconds=30)


@pytest.mark.parametrize("report_to", [ReportTo.ROBOT, ReportTo.ROBOT_AT_ONCE])
async def test_a_step_s_message_keeps_whom_to_answer(
    store: connection.Store, sandbox: server.Sandbox, report_to: ReportTo
) -> None:
    """A run that is posted twice is one message; its id follows from the token, and does not tell it."""
    asked = {"message_id": "", "dedupe_key": "t|1", "event_token": "t|1", "report_to": report_to}
    async with senders.running(store, sandbox, provider(sandbox, paused=True)) as sender:
        wanted = message.to_proto(messages.outgoing(1, accepted_at_ms=now_ms(), **asked))
        first, again = await sender.client.submit([wanted, wanted])
        assert [enums.SUBMITTED.to_core(answer.result) for answer in (first, again)] == [
            Submitted.ACCEPTED,
            Submitted.DUPLICATE,
        ]
        record = await sender.state_of(UID, first.message_id)
        assert (record["rep"], record["tok"], record["org"]) == (report_to, "t|1", "marketing")
        due = await PortalOutbox(store).due(UID)
        assert (due.statuses, due.answers) == (0, 1 if report_to is ReportTo.ROBOT_AT_ONCE else 0)
        await submit(sender, range(2, 3), event_token="t|2")
        assert (await sender.state_of(UID, f"{2:032x}"))["tok"] == ""


async def test_steps_of_a_removed_provider_are_to_be_answered(
    store: connection.Store, sandbox: server.Sandbox
) -> None:
    """What waited, what was held, and what comes through the door after it."""
    gone = provider(sandbox, paused=True)
    asked = {"report_to": ReportTo.ROBOT, "event_token": "t"}
    async with senders.running(store, sandbox, gone) as sender:
        await submit(sender, range(1, 3), **asked)
        held = {"token_check": TokenCheck.MISMATCH, "token_digest": "d"}
        assert await submit(sender, range(3, 4), **asked, **held) == [Submitted.HELD]
        await registry.Registry(store, senders.KEYRING).tombstone(gone)

        async def failed() -> bool:
            return await finals(store) == {"failed": 3}

        await senders.until(failed)
        assert await submit(sender, range(4, 5), **asked) == [Submitted.FAILED]
        taken = await PortalOutbox(store).take(UID, token="t1", most=50, kind=Kind.ANSWERS)
        told = {(answer.message_id, str(answer.status), answer.reason) for answer in taken.entries}
        assert told == {(f"{n:032x}", "failed", "ProviderRemoved") for n in range(1, 5)}


async def test_the_same_text_to_the_same_phone_waits_for_the_duplicate_guard(
    store: connection.Store, sandbox: server.Sandbox
) -> None:
    async with senders.running(store, sandbox, provider(sandbox)) as sender:
        await submit(sender, range(1, 3), recipient="+79990000001")
        await all_sent(sender, 2)
        ledger = book(sender)
        assert ledger.requests["send"] == {"ok": 2}
        assert ledger.messages == 2


async def test_a_frozen_sender_writes_nothing(store: connection.Store, sandbox: server.Sandbox) -> None:
    """It stands still between intent and first byte: it must give up, and the batch goes on."""
    async with senders.running(store, sandbox, provider(sandbox)) as sender:
        await warmed(sender)
        sender.role._sending._monotonic = iter_clock(0.0, 5.0, 5.0, 5.0)
        await submit(sender, range(1))
        await all_sent(sender, 2)
        assert (book(sender).messages, book(sender).sent_twice) == (2, 0)


def iter_clock(*first: float) -> Any:
    """A clock that says `first`, then the true time."""
    left = list(first)
    return lambda: left.pop(0) if left else time.monotonic()


async def test_nobody_at_smsc_is_waited_for(store: connection.Store, sandbox: server.Sandbox) -> None:
    nobody = provider(sandbox)
    nobody = replace(nobody, account=replace(nobody.account, base_url="http://127.0.0.1:9"))
    async with senders.running(store, sandbox, nobody) as sender:
        await submit(sender, range(2))

        async def tried() -> bool:
            story = await store.redis.lrange(f"{tags.provider(UID)}h:{0:032x}", 0, -1)
            return sum(b"connect_refused" in event for event in story) >= 3

        await senders.until(tried)
        assert await count(store, "queued") + await count(store, "sending") == 2


async def test_a_cascade_in_profile_guide_is_one_request(
    store: connection.Store, sandbox: server.Sandbox
) -> None:
    cascade = provider(sandbox, routing=Routing(route=Route.CASCADE, viber_timeout_seconds=60))
    async with senders.running(store, sandbox, cascade) as sender:
        await submit(sender, range(2))
        await all_sent(sender, 2)
        assert book(sender).by_channel == {"cascade": 2}


async def test_a_message_s_own_channel_and_wait_stand_for_the_routing_s(
    store: connection.Store, sandbox: server.Sandbox
) -> None:
    """Profile `http`: the wait is Viber's life at SMSC and the time until our second attempt."""
    rule = Rule(name="all", route=Route.SMS)
    by_rule = provider(
        sandbox, profile=Profile.HTTP, routing=Routing(viber_timeout_seconds=3600, rules=(rule,))
    )
    wanted: list[dict[str, Any]] = [
        {},
        {"route": Route.CASCADE},
        {"route": Route.CASCADE, "wait_seconds": 90},
        {"route": Route.CASCADE, "wait_seconds": 10**9},
        {"route": Route.VIBER, "wait_seconds": 90},
    ]
    async with senders.running(store, sandbox, by_rule) as sender:
        for number, changes in enumerate(wanted, 1):
            assert await submit(sender, range(number, number + 1), **changes) == [Submitted.ACCEPTED]
        await all_sent(sender, len(wanted))
        assert book(sender, "http").by_channel == {"sms": 1, "viber": 4}
        records = [await sender.state_of(UID, f"{n:032x}") for n in range(1, len(wanted) + 1)]
        assert [record["rule"] for record in records] == ["all", "", "", "", ""]
        waits = [[leg.wait_seconds for leg in intake.load_legs(record["legs"])] for record in records]
        assert waits == [[0], [3600, 0], [90, 0], [86_400, 0], [0]]
        for number, (record, first) in enumerate(zip(records, waits, strict=True), 1):
            at = await store.redis.zscore(f"{tags.provider(UID)}casc", f"{number:032x}")
            expected = int(record["a1:at"]) + first[0] * 1000 if first[0] else None
            assert at == expected


async def test_prices_are_estimated_where_smsc_tells_none(
    store: connection.Store, sandbox: server.Sandbox
) -> None:
    priced = provider(sandbox, prices=Prices(sms=Decimal("4.00")))
    async with senders.running(store, sandbox, priced) as sender:
        await submit(sender, range(1), text="я" * 71)
        await all_sent(sender, 1)
        record = await sender.state_of(UID, f"{0:032x}")
        assert (record["a1:cost"], record["a1:est"], record["a1:cnt"]) == ("8.00", "1", "2")


CASCADE = Rule(name="long", route=Route.CASCADE, text_matches="long")


@pytest.mark.parametrize(
    ("profile", "rules", "channels"),
    [
        (Profile.GUIDE, (), {"sms"}),
        (Profile.GUIDE, (CASCADE,), {"sms", "viber"}),
        (Profile.HTTP, (CASCADE,), {"sms", "viber"}),
    ],
)
async def test_what_rules_watch_is_there_before_anything_happens(
    store: connection.Store,
    sandbox: server.Sandbox,
    profile: Profile,
    rules: tuple[Rule, ...],
    channels: set[str],
) -> None:
    one = provider(sandbox, profile=profile, routing=Routing(rules=rules))
    async with senders.running(store, sandbox, one) as sender:
        for name in ("smsbridge_batches_total", "smsbridge_batch_numbers_total"):
            labels = {"namespace": "crm", "provider": "smsc", "result": "accepted"}
            shown = {
                channel
                for channel in ("sms", "viber")
                if sender.metrics.get_sample_value(name, {**labels, "channel": channel}) == 0
            }
            assert shown == channels
