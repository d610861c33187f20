"""The operator's own parts, without an API server: what is declared, what is shown, who acts."""

import asyncio
import base64
import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from smsbridge.api.v1 import sender_pb2
from smsbridge.core import errors
from smsbridge.core.provider import AccountSettings, PortalSettings, Provider
from smsbridge.provisioning import conditions, publish
from smsbridge.provisioning.conditions import Reason, Status, Type
from smsbridge.provisioning.service import Change
from smsbridge.provisioning.state import State
from smsbridge.store.registry import Entry
from smsbridge_operator import api, cluster, main, settings
from smsbridge_operator.board import Board, Figures, Page
from smsbridge_operator.cluster import Cluster
from smsbridge_operator.lease import Lease
from smsbridge_operator.queues import Queues
from smsbridge_operator.writer import Writer
from tests.operator import resources

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
PORTAL = PortalSettings("example.bitrix24.ru", "c", "s")
PROVIDER = Provider("u1", "crm", "smsc", "smsc", "https://sms.example.com", PORTAL, AccountSettings())


# What is declared


def resource(name: str = "smsc", **metadata: Any) -> dict[str, Any]:
    made = resources.body(name, "crm")
    made["metadata"] |= {"uid": f"uid-{name}", "generation": 3, **metadata}
    return made


def secret(name: str, **values: str) -> dict[str, Any]:
    data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    return {"metadata": {"name": name, "namespace": "crm"}, "data": data}


SECRETS = [secret("application", clientId="c", clientSecret="s"), secret("account", login="l", password="p")]


def indexes(
    bodies: list[dict[str, Any]], read: Callable[[dict[str, Any]], Any]
) -> dict[cluster.Key, list[Any]]:
    return {cluster.key(body): [read(body)] for body in bodies}


class Server:
    """Answers one after the other; the last one stays. Keeps what was asked."""

    def __init__(self, *answers: api.Answer | errors.SmsbridgeError) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, str, Any]] = []

    async def ask(
        self, method: str, path: str, *, body: Any = None, content_type: str = api.JSON
    ) -> api.Answer:
        self.asked.append((method, path, body))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, errors.SmsbridgeError):
            raise answer
        return answer


OK = api.Answer(200)


def told(
    resources_: list[dict[str, Any]],
    secrets: list[dict[str, Any]] = SECRETS,
    *,
    namespaces: frozenset[str] | None = None,
    server: Server | None = None,
) -> Cluster:
    made = Cluster(server or Server(OK))  # type: ignore[arg-type]
    made.look_into(namespaces)
    made.follow(indexes(resources_, cluster.resource), indexes(secrets, cluster.secret))
    return made


async def test_nothing_is_said_before_everything_was_listed() -> None:
    made = Cluster(Server(OK))  # type: ignore[arg-type]
    made.look_into(None)
    assert await made.changed() is None


async def test_resources_are_declared_with_their_uid_and_generation() -> None:
    found = await told([resource()]).changed()

    assert found is not None
    assert found.complete
    (declared,) = found.declared
    assert (declared.label, declared.source.uid, declared.source.generation) == ("crm/smsc", "uid-smsc", 3)
    assert declared.provider.account.login == "l"


async def test_an_unchanged_cluster_is_no_change() -> None:
    made = told([resource()])
    assert await made.changed() is not None
    assert await made.changed() is None
    made.touch()
    assert await made.changed() is None


async def test_of_namespaces_that_are_not_followed_nothing_is_known() -> None:
    found = await told([resource()], namespaces=frozenset({"crm"})).changed()
    assert found is not None
    living = {"u2": Entry(dataclasses.replace(PROVIDER, uid="u2", namespace="other"))}
    living["u3"] = Entry(dataclasses.replace(PROVIDER, uid="u3", name="gone"))

    plan = publish.plan(found, found.declared, living)

    assert [provider.uid for provider in plan.remove] == ["u3"]


async def test_a_place_taken_in_another_namespace_is_taken() -> None:
    found = await told([resource()], namespaces=frozenset({"crm"})).changed()
    assert found is not None
    (declared,) = found.declared
    other = Entry(dataclasses.replace(declared.provider, uid="u2", namespace="other"))

    plan = publish.plan(found, found.declared, {"u2": other})

    assert plan.put == ()
    assert "other/smsc has it in the same portal" in str(plan.invalid["crm/smsc"][0])


@pytest.mark.parametrize(
    ("items", "gone"),
    [
        ([], True),
        ([resource(uid="u1")], False),
        ([resource(uid="u1", deletionTimestamp="2026-11-24T12:00:00Z")], True),
        ([resource(uid="another")], True),
    ],
    ids=["absent", "there", "being deleted", "made anew"],
)
async def test_a_removal_is_asked_of_the_server_itself(items: list[dict[str, Any]], gone: bool) -> None:
    server = Server(api.Answer(200, {"items": items}))
    assert await told([], server=server).is_gone(PROVIDER) is gone
    (asked,) = server.asked
    assert asked[1].endswith("/namespaces/crm/smscproviders?fieldSelector=metadata.name%3Dsmsc")


async def test_a_server_that_does_not_say_removes_nothing() -> None:
    for answer in (api.Answer(403), api.Answer(503), errors.ServiceAway("away")):
        with pytest.raises(errors.ServiceAway):
            await told([], server=Server(answer)).is_gone(PROVIDER)


async def test_what_is_being_deleted_is_declared_no_more() -> None:
    found = await told([resource(), resource("old", deletionTimestamp="2026-11-24T12:00:00Z")]).changed()
    assert found is not None
    assert found.labels == {"crm/smsc"}


async def test_a_secret_of_another_namespace_does_not_count() -> None:
    foreign = secret("account", login="l", password="p")
    foreign["metadata"]["namespace"] = "other"
    found = await told([resource()], [SECRETS[0], foreign]).changed()

    assert found is not None
    (error,) = found.errors
    assert (error.label, error.of_secret, error.generation) == ("crm/smsc", True, 3)
    assert error.sentence.startswith("there is no Secret account in namespace crm")


def test_values_that_are_no_texts_are_left_out_of_a_secret() -> None:
    body = secret("account", login="l")
    body["data"]["keystore"] = base64.b64encode(b"\xff\xfe").decode()
    assert cluster.secret(body) == {"login": "l"}


# What is shown


def state(*found: tuple[Type, Status, Reason], member_id: str = "m1") -> State:
    fresh = [conditions.condition(*item) for item in found]
    merged = conditions.merge((), fresh, generation=3, now=NOW)
    return State(uid="u1", generation=3, conditions=merged, member_id=member_id)


WAITING = state((Type.PORTAL_AUTHORIZED, Status.FALSE, Reason.NOT_INSTALLED))
GOOD = state((Type.PORTAL_AUTHORIZED, Status.TRUE, Reason.AUTHORIZED))


def shown(*changes: Change) -> Board:
    board = Board(lambda: NOW)
    for change in changes:
        board.show(change)
    return board


def page(board: Board, uid: str = "u1") -> Page:
    found = board.read("crm/smsc", uid)
    assert found is not None
    return found


def kinds(board: Board) -> list[tuple[str, bool]]:
    events = page(board).events
    found = [(event.reason, event.normal) for event in events]
    events.clear()
    return found


def test_transitions_are_told_once() -> None:
    board = shown(
        Change("crm/smsc", State(), WAITING, PROVIDER), Change("crm/smsc", WAITING, WAITING, PROVIDER)
    )
    message = page(board).events[0].message
    assert message.startswith("PortalAuthorized is False: the application is not installed")
    assert kinds(board) == [("NotInstalled", False), ("NotInstalled", False)]
    assert kinds(board) == []

    board.show(Change("crm/smsc", WAITING, GOOD, PROVIDER))

    assert kinds(board) == [("Authorized", True), ("AllGood", True)]


def test_a_lost_registration_is_told() -> None:
    assert kinds(shown(Change("crm/smsc", GOOD, GOOD, PROVIDER, put_back=True))) == [("PutBack", False)]


def test_a_pause_that_was_asked_for_is_no_warning() -> None:
    paused = state((Type.SENDING, Status.FALSE, Reason.PAUSED))
    assert {normal for _, normal in kinds(shown(Change("crm/smsc", State(), paused, PROVIDER)))} == {True}


def test_nobody_writes_to_it_and_it_does_not_grow() -> None:
    board = shown(*[Change("crm/smsc", GOOD, GOOD, PROVIDER, put_back=True)] * 200)
    assert len(page(board).events) == 50


def test_a_status_has_everything_and_no_key() -> None:
    board = shown(Change("crm/smsc", State(), GOOD, PROVIDER))
    board.count("crm/smsc", "u1", Figures(queued=7, calls_today=12))

    status = page(board).status

    assert status["handlerUrl"] == "https://sms.example.com/bitrix24/crm/smsc/***/handler"
    assert (status["queued"], status["apiCallsToday"], status["observedGeneration"]) == (7, 12, 3)
    assert [item["type"] for item in status["conditions"]] == ["PortalAuthorized", "Ready"]


def test_figures_of_a_predecessor_are_not_its_own() -> None:
    board = shown(Change("crm/smsc", State(), GOOD, PROVIDER))
    board.count("crm/smsc", "u0", Figures(queued=700))
    board.count("crm/other", "u9", Figures(queued=700))
    assert page(board).status["queued"] is None
    assert board.read("crm/other", "u9") is None


def test_what_is_known_of_a_predecessor_is_not_written() -> None:
    assert shown(Change("crm/smsc", State(), GOOD, PROVIDER)).read("crm/smsc", "u2") is None


def test_what_somebody_else_wrote_is_written_over() -> None:
    board = shown(Change("crm/smsc", State(), GOOD, PROVIDER))
    board.written("crm/smsc", page(board).version)
    assert board.unwritten() == []
    board.saw("crm/smsc", dict(page(board).status))
    assert board.unwritten() == []
    board.saw("crm/smsc", {**page(board).status, "balance": "1.00"})
    assert board.unwritten() == ["crm/smsc"]


def test_what_changes_while_it_is_written_is_written_again() -> None:
    board = shown(Change("crm/smsc", State(), WAITING, PROVIDER))
    before = page(board).version
    board.show(Change("crm/smsc", WAITING, GOOD, PROVIDER))
    board.written("crm/smsc", before)
    assert board.unwritten() == ["crm/smsc"]


def test_what_cannot_be_seen_is_said_and_taken_back() -> None:
    sending = state((Type.SENDING, Status.TRUE, Reason.SENDING))
    board = shown(Change("crm/smsc", State(), sending, PROVIDER))

    board.blind(Reason.SENDER_AWAY)

    found = {item["type"]: (item["status"], item["reason"]) for item in page(board).status["conditions"]}
    assert found == {"Sending": ("Unknown", "SenderAway"), "Ready": ("Unknown", "SenderAway")}
    board.blind(None)
    assert page(board).status["conditions"][0]["reason"] == "Sending"


async def test_news_come_at_once_and_waiting_ends() -> None:
    board = Board()
    waiting = asyncio.create_task(board.news(within_seconds=60))
    await asyncio.sleep(0)
    board.show(Change("crm/smsc", State(), GOOD, PROVIDER))
    await asyncio.wait_for(waiting, 5)

    closed = asyncio.create_task(board.news(within_seconds=60))
    await asyncio.sleep(0)
    board.close()
    await asyncio.wait_for(closed, 5)
    await asyncio.wait_for(board.news(within_seconds=60), 5)


# What is written

STATUS_PATH = "/apis/smsbridge.dev/v1alpha1/namespaces/crm/smscproviders/smsc/status"
EVENTS_PATH = "/api/v1/namespaces/crm/events"


def writing(server: Server) -> tuple[Board, Writer]:
    board = shown(Change("crm/smsc", State(), GOOD, PROVIDER))
    source = told([resource(uid="u1")])
    return board, Writer(board, source, server)  # type: ignore[arg-type]


async def test_status_and_events_are_written_once() -> None:
    server = Server(OK, api.Answer(201))
    board, writer = writing(server)

    await writer.step()

    assert [(method, path) for method, path, _ in server.asked] == [
        ("PATCH", STATUS_PATH),
        ("POST", EVENTS_PATH),
        ("POST", EVENTS_PATH),
    ]
    event = server.asked[1][2]
    assert (event["reason"], event["type"], event["involvedObject"]["uid"]) == ("Authorized", "Normal", "u1")
    assert event["firstTimestamp"] == "2026-11-24T12:00:00Z"
    assert (board.unwritten(), page(board).events) == ([], [])


@pytest.mark.parametrize(
    "bad", [api.Answer(503), api.Answer(403), api.Answer(500), errors.ServiceAway("away")]
)
async def test_what_could_not_be_written_is_written_later(bad: Any) -> None:
    server = Server(bad, OK, api.Answer(201))
    board, writer = writing(server)
    with pytest.raises(errors.ServiceAway):
        await writer.step()
    assert board.unwritten() == ["crm/smsc"]
    board.show(Change("crm/smsc", GOOD, GOOD, PROVIDER))

    await writer.step()

    assert board.unwritten() == []
    assert len(server.asked) == 4


async def test_a_status_that_is_refused_for_good_is_let_be() -> None:
    server = Server(api.Answer(422), api.Answer(201))
    board, writer = writing(server)
    await writer.step()
    assert board.unwritten() == []


async def test_an_event_that_is_refused_holds_up_nothing() -> None:
    server = Server(OK, api.Answer(403))
    board, writer = writing(server)
    await writer.step()
    assert (board.unwritten(), page(board).events) == ([], [])


# What the sender says


class Sender:
    def __init__(self, *queues: sender_pb2.QueueDescription) -> None:
        self.queues = queues
        self.calls = 0

    async def describe_queue(self, provider_uid: str = "") -> tuple[sender_pb2.QueueDescription, ...]:
        self.calls += 1
        return self.queues


class Portal:
    async def calls_today(self, portal: str) -> int:
        assert portal == "m1"
        return 40


class Provisioner:
    def __init__(self) -> None:
        self.pauses: dict[str, str] = {}

    async def saw_pauses(self, pauses: Any) -> None:
        self.pauses |= pauses


async def test_one_call_tells_queues_and_pauses_of_all() -> None:
    lanes = [
        sender_pb2.LaneDepth(lane="interactive", waiting=2),
        sender_pb2.LaneDepth(lane="bulk", waiting=5),
    ]
    queue = sender_pb2.QueueDescription(
        provider_uid="u1", namespace="crm", name="smsc", lanes=lanes, pause_reason="money"
    )
    sender, provisioner = Sender(queue), Provisioner()
    board = shown(Change("crm/smsc", State(), GOOD, PROVIDER))

    await Queues(sender, Portal(), board=board, pauses=provisioner, blind_seconds=60).look()

    assert (page(board).status["queued"], page(board).status["apiCallsToday"]) == (7, 40)
    assert provisioner.pauses == {"u1": "money"}
    assert sender.calls == 1


class Away:
    def __init__(self, error: errors.Away) -> None:
        self.error: errors.Away | None = error

    async def describe_queue(self, provider_uid: str = "") -> tuple[sender_pb2.QueueDescription, ...]:
        if self.error:
            raise self.error
        return ()


@pytest.mark.parametrize(
    ("error", "reason"),
    [(errors.ServiceAway("away"), "SenderAway"), (errors.StoreAway("away"), "StoreAway")],
)
async def test_after_a_minute_without_an_answer_it_is_said(error: errors.Away, reason: str) -> None:
    seconds = 0.0
    sending = state((Type.SENDING, Status.TRUE, Reason.SENDING))
    board = shown(Change("crm/smsc", State(), sending, PROVIDER))
    away = Away(error)
    queues = Queues(
        away, Portal(), board=board, pauses=Provisioner(), blind_seconds=60, clock=lambda: seconds
    )  # fmt: skip
    for seconds, shows in ((59.0, "Sending"), (60.0, reason), (90.0, reason)):  # noqa: B007 - the clock
        with pytest.raises(errors.Away):
            await queues.look()
        assert page(board).status["conditions"][0]["reason"] == shows

    away.error = None
    await queues.look()

    assert page(board).status["conditions"][0]["reason"] == "Sending"


# Who acts


class Book:
    """The store's lease: `owner` has it; None means that the store is away."""

    def __init__(self) -> None:
        self.owner: str | None = ""

    async def hold(self, owner: str, *, seconds: float) -> str:
        if self.owner is None:
            raise errors.StoreAway("away")
        self.owner = self.owner or owner
        return self.owner

    async def leave(self, owner: str) -> None:
        if self.owner == owner:
            self.owner = ""


class Steps:
    """Sleeps by doing the next thing of a list."""

    def __init__(self, *steps: Callable[[], None]) -> None:
        self.steps = list(steps)

    async def sleep(self, seconds: float) -> None:
        self.steps.pop(0)()


def give(book: Book, owner: str | None) -> Callable[[], None]:
    def do() -> None:
        book.owner = owner

    return do


async def test_the_lease_is_waited_for() -> None:
    book = Book()
    book.owner = "other"
    steps = Steps(give(book, None), give(book, "other"), give(book, ""))
    lease = Lease(book, owner="me", seconds=9, sleep=steps.sleep)

    await lease.acquire()

    assert (lease.held, book.owner, steps.steps) == (True, "me", [])


async def test_a_store_that_is_away_takes_no_lease_but_another_operator_does() -> None:
    book = Book()
    steps = Steps(give(book, None), give(book, None), give(book, ""), give(book, "other"))
    lease = Lease(book, owner="me", seconds=9, sleep=steps.sleep)
    await lease.acquire()

    await lease.keep()

    assert (lease.held, steps.steps) == (False, [])
    await lease.leave()
    assert book.owner == "other"


async def test_the_lease_is_given_back() -> None:
    book = Book()
    lease = Lease(book, owner="me", seconds=9)
    await lease.acquire()
    await lease.leave()
    assert book.owner == ""


# How it is called


def test_it_wants_to_know_where() -> None:
    for environ in ({}, {"SMSBRIDGE_OPERATOR__LEASE_SECONDS": "9"}):
        with pytest.raises(errors.ConfigError) as caught:
            settings.load(None, environ)
        assert "name the namespaces to look after" in str(caught.value)
    both = {"SMSBRIDGE_OPERATOR__NAMESPACES": "[crm]", "SMSBRIDGE_OPERATOR__CLUSTER_WIDE": "true"}
    with pytest.raises(errors.ConfigError):
        settings.load(None, both)


def test_an_unknown_setting_is_refused_with_the_nearest() -> None:
    with pytest.raises(errors.ConfigError) as caught:
        settings.load(None, {"SMSBRIDGE_OPERATOR__NAMESPACE": "[crm]"})
    assert "did you mean namespaces?" in str(caught.value)


def test_its_help_names_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main.main(["--help"])
    assert caught.value.code == 0
    assert "make-key" in capsys.readouterr().out
