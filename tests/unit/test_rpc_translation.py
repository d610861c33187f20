"""core <-> protobuf: enums, messages, errors. Every word both ways, and what a newer peer may say."""

from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal

import grpc
import grpc.aio
import pytest

from smsbridge.api.v1 import hlr_pb2, sender_pb2, sender_pb2_grpc, types_pb2
from smsbridge.core import delivery, errors, message, verification
from smsbridge.core.errand import EntityType
from smsbridge.rpc import enums
from smsbridge.rpc import errors as rpc_errors
from smsbridge.rpc import message as rpc_message
from smsbridge.rpc import verification as rpc_verification
from smsbridge.rpc.clients import Deadlines, SenderClient

TABLES = [
    (enums.ORIGIN, message.Origin, types_pb2.Origin),
    (enums.CHANNEL, message.Channel, types_pb2.Channel),
    (enums.ROUTE, message.Route, types_pb2.Route),
    (enums.REPORT_TO, message.ReportTo, types_pb2.ReportTo),
    (enums.TOKEN_CHECK, message.TokenCheck, types_pb2.TokenCheck),
    (enums.MESSAGE_STATE, delivery.MessageState, types_pb2.MessageState),
    (enums.SUBMITTED, enums.Submitted, sender_pb2.SubmitResult),
    (enums.VERIFICATION_STATE, verification.State, hlr_pb2.VerificationState),
]


@pytest.mark.parametrize(("table", "words", "proto"), TABLES, ids=lambda value: getattr(value, "name", ""))
def test_every_word_has_a_number_and_every_number_a_word(table, words, proto) -> None:  # type: ignore[no-untyped-def]
    numbers = {table.to_proto(word) for word in words}
    assert numbers == set(proto.values()) - {0}
    assert [table.to_core(table.to_proto(word)) for word in words] == list(words)
    for word in words:  # the names say the same
        assert proto.Name(table.to_proto(word)).endswith(f"_{word.name}")


def test_unspecified_and_unknown_numbers_are_no_words() -> None:
    assert enums.ORIGIN.to_core(0) is None
    assert enums.ORIGIN.to_core(99) is None
    assert enums.ORIGIN.or_default(99, message.Origin.SERVICE) is message.Origin.SERVICE
    assert enums.ORIGIN.required(1, field="origin") is message.Origin.CARD
    with pytest.raises(errors.InputError, match="origin: says no origin") as caught:
        enums.ORIGIN.required(99, field="origin")
    assert caught.value.field == "origin"


OUTGOING = rpc_message.Outgoing(
    provider_uid="uid-1",
    message_id="m-1",
    recipient="+7 999 000-00-00",
    text="Ваш код",
    origin=message.Origin.ROBOT,
    accepted_at_ms=1_742_895_600_000,
    report_to=message.ReportTo.ROBOT,
    dedupe_key="key",
    event_token="event",
    route=message.Route.CASCADE,
    wait_seconds=60,
    document_type="LEAD",
    token_check=message.TokenCheck.MISMATCH,
    token_digest="digest",
    code="smsc",
    attempt=2,
)


def test_a_message_survives_both_ways() -> None:
    assert rpc_message.from_proto(rpc_message.to_proto(OUTGOING)) == OUTGOING


@pytest.mark.parametrize("report_to", [message.ReportTo.PORTAL, message.ReportTo.ROBOT])
@pytest.mark.parametrize("message_id", ["m", ""])
def test_a_message_has_one_id_on_both_sides(message_id: str, report_to: message.ReportTo) -> None:
    one = replace(OUTGOING, message_id=message_id, dedupe_key="key", report_to=report_to)
    proto = rpc_message.to_proto(one)
    assert rpc_message.id_of(proto) == rpc_message.from_proto(proto).id == one.id
    proto.ClearField("origin")
    assert rpc_message.id_of(proto) == one.id


def test_what_an_older_caller_leaves_out_has_defaults() -> None:
    read = rpc_message.from_proto(
        sender_pb2.OutgoingMessage(provider_uid="u", message_id="m", origin=types_pb2.ORIGIN_CARD)
    )
    assert (read.report_to, read.route, read.attempt) == (message.ReportTo.PORTAL, None, 1)
    assert read.token_check is message.TokenCheck.ABSENT
    with pytest.raises(errors.InputError):
        rpc_message.from_proto(sender_pb2.OutgoingMessage(provider_uid="u", message_id="m"))


@pytest.mark.parametrize(
    ("text", "carried"), [("a\ud800b", "a\ufffdb"), ("\ud83d\ude00", "😀"), ("a\x00b", "a\x00b"), ("", "")]
)
def test_what_protobuf_cannot_carry_is_replaced(text: str, carried: str) -> None:
    typed = dict.fromkeys(("code", "document_type", "event_token", "dedupe_key"), text)
    outgoing = rpc_message.Outgoing("u", "m", text, text, message.Origin.CARD, 1, **typed)
    proto = rpc_message.to_proto(outgoing)
    found = (proto.code, proto.document_type, proto.event_token, proto.dedupe_key)
    assert {proto.recipient, proto.text, *found} == {carried}


class Failing(sender_pb2_grpc.SenderServiceServicer):
    """Cancel fails with what the message_id names."""

    def __init__(self, failures: dict[str, Exception]) -> None:
        self.failures = failures
        self.described = 0

    async def Cancel(
        self, request: sender_pb2.CancelRequest, context: grpc.aio.ServicerContext
    ) -> sender_pb2.CancelResponse:
        async with rpc_errors.answering(context):
            raise self.failures[request.message_id]

    async def DescribeQueue(
        self, request: sender_pb2.DescribeQueueRequest, context: grpc.aio.ServicerContext
    ) -> sender_pb2.DescribeQueueResponse:
        self.described += 1
        async with rpc_errors.answering(context):
            if self.described == 1:
                raise errors.StoreAway("the store is away")
        return sender_pb2.DescribeQueueResponse()


FAILURES: dict[str, tuple[Exception, type[errors.SmsbridgeError], str]] = {
    "input": (errors.InputError("too many", field="a.b"), errors.InputError, "a.b: too many"),
    "config": (errors.ConfigError("wrong"), errors.InputError, "wrong"),
    "not_found": (rpc_errors.NotFound("nobody knows it"), rpc_errors.NotFound, "nobody knows it"),
    "unimplemented": (rpc_errors.Unimplemented("not yet"), rpc_errors.Unimplemented, "not yet"),
    "refused": (errors.Refused("too late"), errors.Refused, "too late"),
    "store": (errors.StoreAway("no answer"), errors.StoreAway, "no answer"),
    "service": (errors.ServiceAway("starting"), errors.ServiceAway, "starting"),
    "away": (errors.Away("busy"), errors.ServiceAway, "busy"),
    "uncertain": (errors.Uncertain("who knows"), errors.Uncertain, "who knows"),
    "bug": (
        ValueError("+79990000000"),
        rpc_errors.Broken,
        "the sender failed unexpectedly (UNKNOWN)",
    ),
}


@pytest.fixture
async def failing() -> AsyncIterator[tuple[Failing, SenderClient]]:
    servicer = Failing({name: row[0] for name, row in FAILURES.items()})
    server = grpc.aio.server()
    sender_pb2_grpc.add_SenderServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield servicer, SenderClient(channel, deadlines=Deadlines(write_seconds=2, read_seconds=2))
    await server.stop(0)


@pytest.mark.parametrize("name", FAILURES)
async def test_errors_arrive_as_they_left(failing: tuple[Failing, SenderClient], name: str) -> None:
    _, kind, sentence = FAILURES[name]
    with pytest.raises(errors.SmsbridgeError) as caught:
        await failing[1].cancel("u", name)
    assert type(caught.value) is kind
    assert str(caught.value) == sentence


async def test_what_reads_is_repeated_once(failing: tuple[Failing, SenderClient]) -> None:
    servicer, client = failing
    assert list(await client.describe_queue()) == []
    assert servicer.described == 2


async def test_nobody_there_is_away_at_once() -> None:
    async with grpc.aio.insecure_channel("127.0.0.1:1") as channel:
        with pytest.raises(errors.ServiceAway, match="the sender does not answer"):
            await SenderClient(channel).submit([])


VERIFICATION = verification.Verification(
    id="V1",
    provider_uid="uid-1",
    namespace="crm",
    name="smsc",
    state=verification.State.PAUSED,
    reason="quote_used",
    source=verification.Source(
        EntityType.LEAD, {">DATE_CREATE": "2026-01-01", "STATUS_ID": ["NEW", "Новый"]}
    ),
    created_at_ms=1,
    confirmed_at_ms=2,
    ended_at_ms=3,
    quote=verification.Quote(10, 8, 2, Decimal("0.5"), Decimal("4.0"), estimated=True, seconds=60),
    progress=verification.Progress(9, 1, 2, 3, 4, 5, 8, 7, Decimal("3.5"), Decimal("1.5"), 2.5, 6),
    outcomes={"active": 7, "absent": 1},
    carriers={"MTS": 8},
    regions={"Москва": 8},
    saves=Decimal("4.00"),
)


def test_a_verification_both_ways() -> None:
    empty = verification.Verification("V2", "uid-1", "crm", "smsc", verification.State.QUOTING)
    for one in (VERIFICATION, empty):
        assert rpc_verification.to_core(rpc_verification.to_proto(one)) == one
    told = rpc_verification.to_proto(VERIFICATION)
    assert told.reason_sentence == "the confirmed quote is used up; resume it to get a quote for the rest"
    with pytest.raises(errors.InputError, match="must be a JSON object"):
        rpc_verification.filter_of('["TYPE_ID"]')


def test_every_reason_of_a_verification_has_its_sentence() -> None:
    paused, failed = verification.State.PAUSED, verification.State.FAILED
    for reason in verification.Reason:
        assert verification.sentence(failed, reason) == verification.SENTENCES[reason]
    assert verification.sentence(paused, "money").endswith("top it up: it goes on by itself then")
    assert verification.sentence(paused, "newer") == (
        "the SMSC account stands still (newer): it goes on by itself then"
    )
    assert verification.sentence(paused, "") == ""
