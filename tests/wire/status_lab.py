"""A whole status role with a real store and real gRPC, a portal stand-in, and short times."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import grpc.aio
from prometheus_client import CollectorRegistry

from smsbridge.api.v1 import (
    hlr_pb2,
    hlr_pb2_grpc,
    sender_pb2,
    sender_pb2_grpc,
    status_pb2,
)
from smsbridge.core.installation import EventKind, InstallEvent, Tokens
from smsbridge.core.provider import PortalSettings, Profile, Provider
from smsbridge.rpc import clients, enums
from smsbridge.runtime import rpc
from smsbridge.sandbox.portal import Portal, Row
from smsbridge.sandbox.server import Sandbox
from smsbridge.sandbox.tokens import Grant, Pair
from smsbridge.smsc.client import ClientSettings, SmscClient
from smsbridge.status import role
from smsbridge.status.settings import StatusSettings
from smsbridge.store import account, connection, egress, embedded, installations, keyring, receipts, registry
from smsbridge.store.portal_limiter import PortalLimits
from tests.conftest import store_settings
from tests.store import messages
from tests.store.journey import Journey
from tests.wire.senders import until

KEYRING = keyring.Keyring([bytes(range(32))])
CLIENT, SECRET = "local.5f3c1a.00000001", "sandbox-client-secret"
ADMIN = 1

SHORT: dict[str, Any] = {
    "listen": "127.0.0.1:0",
    "inbox_seconds": 0.05,
    "incomplete_seconds": 0.05,
    "tick_seconds": 0.05,
    "poll_seconds": 0.05,
    "poll_refused_seconds": 0.1,
    "portal_tick_seconds": 0.03,
    "portal_linger_seconds": 0.0,
    "portal_retry_seconds": 0.1,
    "portal_parked_seconds": 60.0,
    "not_found_first_seconds": 0.1,
    "not_found_total_seconds": 1.0,
    "watch_seconds": 0.02,
    "placing_seconds": 0.05,
    "metrics_seconds": 0.05,
    "savings_seconds": 0.05,
    "stop_grace_seconds": 2.0,
}
TIMES = {"portal_quiet_ms": 0, "portal_flight_ms": 600, "first_poll_ms": 60_000}


class FakeSender(sender_pb2_grpc.SenderServiceServicer):
    """Takes legs as told; keeps what it was given."""

    def __init__(self) -> None:
        self.legs: list[tuple[str, int]] = []
        self.result: Any = sender_pb2.SUBMIT_RESULT_ACCEPTED

    async def Submit(self, request: Any, context: Any) -> sender_pb2.SubmitResponse:
        self.legs += [(item.message_id, item.attempt) for item in request.messages]
        answers = [sender_pb2.SubmitAnswer(result=self.result) for _ in request.messages]
        return sender_pb2.SubmitResponse(answers=answers)


class FakeHlr(hlr_pb2_grpc.HlrServiceServicer):
    def __init__(self) -> None:
        self.lessons: list[hlr_pb2.LearnedChannel] = []
        self.known: dict[str, tuple[str, str]] = {}  # carrier and region by MSISDN
        self.described: list[str] = []

    async def Describe(self, request: Any, context: Any) -> hlr_pb2.DescribeResponse:
        self.described += request.msisdns
        return hlr_pb2.DescribeResponse(facts=[self._facts(number) for number in request.msisdns])

    def _facts(self, number: str) -> hlr_pb2.NumberFacts:
        if number not in self.known:
            return hlr_pb2.NumberFacts(msisdn=number, state=hlr_pb2.LOOKUP_STATE_REFUSED, reason="not_known")
        carrier, region = self.known[number]
        return hlr_pb2.NumberFacts(
            msisdn=number, state=hlr_pb2.LOOKUP_STATE_KNOWN, carrier=carrier, region=region
        )

    async def LearnChannel(self, request: Any, context: Any) -> hlr_pb2.LearnChannelResponse:
        self.lessons += request.learned
        return hlr_pb2.LearnChannelResponse()


@dataclass
class Lab:
    status: role.Role
    client: clients.StatusClient
    way: Journey
    sandbox: Sandbox
    sender: FakeSender
    hlr: FakeHlr
    metrics: CollectorRegistry
    store: connection.Store
    registry: registry.Registry

    @property
    def portal(self) -> Portal:
        return next(iter(self.sandbox.portals.by_domain.values()))

    async def shown(self, numbers: Sequence[int], **changes: Any) -> list[str]:
        """Messages that SMSC accepted, in the portal's table as sent; status knows their ids."""
        found = await self.way.sent(numbers, **changes)
        for mid in found:
            self.row(mid)
        await self.tell()
        return found

    def row(self, message_id: str) -> None:
        now = self.sandbox.clock.now()
        row = self.portal.new_row(
            message_id=message_id, phone="+79990000001", origin="card", author_id=0, now=now
        )
        self.portal.insert(row, status="sent", now=now)

    async def tell(self) -> None:
        await self.way.index()

    def row_of(self, message_id: str) -> Row:
        return self.portal.rows[message_id]

    def statuses(self, message_id: str) -> list[str]:
        """What the portal was told, in order."""
        return [status for _, status, by in self.row_of(message_id).history if by != "portal"]

    async def all_show(self, found: Sequence[str], status: str, *, seconds: float = 15.0) -> None:
        async def done() -> bool:
            return all(self.row_of(mid).status == status for mid in found)

        await until(done, seconds=seconds)

    async def nothing_waits(self) -> None:
        """The portal was told all there is to tell."""

        async def done() -> bool:
            return (await self.way.deliveries.ledger(self.way.uid)).portal_outbox == 0

        await until(done)

    def figure(self, name: str, **labels: str) -> float:
        return self.metrics.get_sample_value(name, labels) or 0.0

    async def figures(self, expected: float, name: str, **labels: str) -> None:
        """It comes to exactly this: what is done is counted a moment later."""

        async def counted() -> bool:
            return self.figure(name, **labels) >= expected

        await until(counted)
        assert self.figure(name, **labels) == expected


def to_proto(lab: Lab, item: receipts.Submission) -> status_pb2.Submission:
    """What the sender tells of one attempt."""
    key = item.key
    return status_pb2.Submission(
        provider_uid=key.provider_uid,
        message_id=key.message_id,
        attempt=key.attempt,
        account_key=lab.way.account_key,
        client_id=key.client_id,
        smsc_id=item.smsc_id,
        own_id=key.own_id,
        msisdn=item.msisdn,
        profile=key.profile,
        channel=enums.CHANNEL.to_proto(key.channel),
        native_cascade=key.native_cascade,
    )


def provider(sandbox: Sandbox, **changes: Any) -> Provider:
    domain = next(iter(sandbox.portals.by_domain))
    portal = PortalSettings(
        domain=domain,
        client_id=CLIENT,
        client_secret=SECRET,
        endpoint=sandbox.portal_url(domain),
        oauth_endpoint=sandbox.oauth_url,
    )
    fields: dict[str, Any] = {"profile": Profile.HTTP, **changes}
    return replace(messages.provider(**fields), portal=portal, sandbox=True)


async def install(
    store: connection.Store, sandbox: Sandbox, *, at: int = 1_790_000_000, seconds: float = 3600
) -> None:
    """The application is installed, and we have its tokens."""
    portal = next(iter(sandbox.portals.by_domain.values()))
    application = portal.applications[CLIENT]
    application.present = application.installed = True
    pair = _pair(sandbox, portal, seconds)
    tokens = Tokens(pair.access_token, pair.refresh_token, pair.expires_at, str(ADMIN))
    event = InstallEvent(EventKind.INSTALL, CLIENT, portal.member_id, portal.domain, tokens, "token", at)
    await installations.Installations(store, KEYRING).install(event)


def admin_token(sandbox: Sandbox) -> tuple[str, str]:
    """An access token of the installed application, and the portal's address: to prepare the portal with."""
    portal = next(iter(sandbox.portals.by_domain.values()))
    application = portal.applications[CLIENT]
    application.present = application.installed = True
    return _pair(sandbox, portal, 3600).access_token, sandbox.portal_url(portal.domain)


def _pair(sandbox: Sandbox, portal: Portal, seconds: float) -> Pair:
    grant = Grant(CLIENT, portal.member_id, ADMIN)
    return sandbox.portals.tokens.issue(grant, now=sandbox.clock.now(), seconds=seconds)


@contextlib.asynccontextmanager
async def quick_store(valkey: embedded.EmbeddedValkey, **times: int) -> AsyncIterator[connection.Store]:
    """An empty store with short times."""
    store = connection.Store.connect(store_settings(valkey, times=TIMES | times))
    await store.redis.flushall()
    try:
        yield store
    finally:
        await store.close()


@contextlib.asynccontextmanager
async def servers() -> AsyncIterator[tuple[rpc.Endpoints, FakeSender, FakeHlr]]:
    server = grpc.aio.server()
    sender, hlr = FakeSender(), FakeHlr()
    sender_pb2_grpc.add_SenderServiceServicer_to_server(sender, server)
    hlr_pb2_grpc.add_HlrServiceServicer_to_server(hlr, server)
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        yield rpc.Endpoints(sender=address, status=address, hlr=address), sender, hlr
    finally:
        await server.stop(None)


@contextlib.asynccontextmanager
async def running(
    store: connection.Store,
    sandbox: Sandbox,
    made: Provider,
    *,
    own: bool = False,
    portal_limits: PortalLimits | None = None,
    client: SmscClient | None = None,
    **changes: Any,
) -> AsyncIterator[Lab]:
    book = registry.Registry(store, KEYRING)
    await book.put(made)
    view = registry.RegistryView(store, KEYRING, poll_seconds=0.05)
    await view.start()
    metrics = CollectorRegistry(auto_describe=True)
    async with servers() as (endpoints, sender, hlr):
        status = role.Role(
            StatusSettings.model_validate({**SHORT, **changes}),
            store=store,
            keyring=KEYRING,
            registry=view,
            installations=installations.Installations(store, KEYRING),
            endpoints=endpoints,
            limits=account.AccountLimits(),
            egress=egress.EgressSettings(),
            portal_limits=portal_limits or PortalLimits(requests_per_second=200, back_off_seconds=0.1),
            client=client or SmscClient(ClientSettings(status_timeout_seconds=2.0)),
            metrics=metrics,
        )
        await status.start()
        channel = rpc.channel(status.address)
        way = Journey(store, made, own=own)
        try:
            lab = clients.StatusClient(channel)
            yield Lab(status, lab, way, sandbox, sender, hlr, metrics, store, book)
        finally:
            await channel.close(None)
            await status.stop()
            await view.stop()
