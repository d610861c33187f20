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
from smsbridge_operator import cluster, main, settings
from smsbridge_operator.board import Board, Event, Figures
from smsbridge_operator.cluster import Cluster
from smsbridge_operator.lease import Lease
from smsbridge_operator.queues import Queues
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


def told(resources_: list[dict[str, Any]], secrets: list[dict[str, Any]] = SECRETS) -> Cluster:
    made = Cluster()
    made.follow(indexes(resources_, cluster.resource), indexes(secrets, cluster.secret))
    return made


async def test_nothing_is_said_before_everything_was_listed() -> None:
    assert await Cluster().changed() is None


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
    made = Cluster(["crm"])
    made.follow(indexes([resource()], cluster.resource), indexes(SECRETS, cluster.secret))
    found = await made.changed()
    assert found is not None
    living = {"u2": Entry(dataclasses.replace(PROVIDER, uid="u2", namespace="other"))}
    living["u3"] = Entry(dataclasses.replace(PROVIDER, uid="u3", name="gone"))

    plan = publish.plan(found, found.declared, living)

    assert [provider.uid for provider in plan.remove] == ["u3"]


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


def test_transitions_are_told_once() -> None:
    board = Board()
    board.show(Change("crm/smsc", State(), WAITING, PROVIDER))
    board.show(Change("crm/smsc", WAITING, WAITING, PROVIDER))

    events = board.take_events("crm/smsc")

    assert [(event.reason, event.normal) for event in events] == [
        ("NotInstalled", False),
        ("NotInstalled", False),
    ]
    assert events[0].message.startswith("PortalAuthorized is False: the application is not installed")
    assert board.take_events("crm/smsc") == []
    board.show(Change("crm/smsc", WAITING, GOOD, PROVIDER))
    assert [(event.reason, event.normal) for event in board.take_events("crm/smsc")] == [
        ("Authorized", True),
        ("AllGood", True),
    ]


def test_a_lost_registration_is_told() -> None:
    board = Board()
    board.show(Change("crm/smsc", GOOD, GOOD, PROVIDER, put_back=True))
    (event,) = board.take_events("crm/smsc")
    assert (event.reason, event.normal) == ("PutBack", False)


def test_nobody_writes_to_it_and_it_does_not_grow() -> None:
    board = Board()
    for _ in range(200):
        board.show(Change("crm/smsc", GOOD, GOOD, PROVIDER, put_back=True))
    assert len(board.take_events("crm/smsc")) == 50


def test_a_status_has_everything_and_no_key() -> None:
    board = Board()
    board.show(Change("crm/smsc", State(), GOOD, PROVIDER))
    board.count("crm/smsc", Figures(queued=7, calls_today=12))

    status = board.status("crm/smsc")

    assert status["handlerUrl"] == "https://sms.example.com/bitrix24/crm/smsc/***/handler"
    assert (status["queued"], status["apiCallsToday"], status["observedGeneration"]) == (7, 12, 3)
    assert [item["type"] for item in status["conditions"]] == ["PortalAuthorized", "Ready"]


def test_what_is_not_known_yet_is_not_written() -> None:
    board = Board()
    board.count("crm/smsc", Figures(queued=7))
    assert board.status("crm/smsc") == {}


async def test_news_come_at_once_and_waiting_ends() -> None:
    board = Board()
    waiting = asyncio.create_task(board.news("crm/smsc", within_seconds=60))
    await asyncio.sleep(0)
    board.show(Change("crm/smsc", State(), GOOD, PROVIDER))
    await asyncio.wait_for(waiting, 5)

    closed = asyncio.create_task(board.news("crm/smsc", within_seconds=60))
    await asyncio.sleep(0)
    board.close()
    await asyncio.wait_for(closed, 5)
    await asyncio.wait_for(board.news("crm/smsc", within_seconds=60), 5)


def test_events_know_their_kind() -> None:
    board = Board()
    paused = state((Type.SENDING, Status.FALSE, Reason.PAUSED))
    board.show(Change("crm/smsc", State(), paused, PROVIDER))
    assert {event.normal for event in board.take_events("crm/smsc")} == {True}
    assert Event("a", "b", normal=True) != Event("a", "b", normal=False)


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
    sender, board, provisioner = Sender(queue), Board(), Provisioner()
    board.show(Change("crm/smsc", State(), GOOD, PROVIDER))

    await Queues(sender, Portal(), board=board, pauses=provisioner).look()

    assert (board.status("crm/smsc")["queued"], board.status("crm/smsc")["apiCallsToday"]) == (7, 40)
    assert provisioner.pauses == {"u1": "money"}
    assert sender.calls == 1


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
