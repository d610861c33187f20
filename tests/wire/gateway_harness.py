"""A gateway with real neighbours on loopback: gRPC servers that record what they are told, a real store.

What the servers answer is set by their fields. Nothing here sleeps: `heard` waits for calls.
"""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
import grpc
import grpc.aio
from prometheus_client import CollectorRegistry

from smsbridge.api.v1 import (
    hlr_pb2,
    hlr_pb2_grpc,
    sender_pb2,
    sender_pb2_grpc,
    status_pb2,
    status_pb2_grpc,
)
from smsbridge.bitrix24.limiter import LocalLimiter
from smsbridge.core.installation import EventKind, InstallEvent, Tokens
from smsbridge.core.provider import AccountSettings, PortalSettings, Profile, Provider
from smsbridge.gateway.role import Role
from smsbridge.gateway.settings import GatewaySettings
from smsbridge.runtime import rpc
from smsbridge.store.connection import Store
from smsbridge.store.installations import Installations
from smsbridge.store.keyring import Keyring
from smsbridge.store.registry import Registry, RegistryView

MASTER = b"k" * 32
CLIENT_ID = "local.5a0d6f3c9b1e72.12345678"
MEMBER_ID = "a223c6b3710f85df22e9377d6c4f7553"
TOKEN = "51856fefc120afa4b628cc82d3935cce"
MESSAGE_ID = "65575980fa531ac284c2ee68f81ebebd"
FORM = "application/x-www-form-urlencoded"

PROVIDER = Provider(
    uid="uid-1",
    namespace="crm",
    name="smsc",
    code="smsc",
    public_url="https://sms.example.com",
    portal=PortalSettings(domain="example.bitrix24.ru", client_id=CLIENT_ID, client_secret="s3cret"),
    account=AccountSettings(profile=Profile.HTTP, login="acme", password="pw"),
)


class Recorder:
    """Calls heard so far, one list for each; `fail` with a status code, or hang while `hold` is set."""

    def __init__(self) -> None:
        self.calls: list[list[Any]] = []
        self.asked = 0  # calls, also those that were failed
        self.traces: list[str] = []  # of those calls; empty for none
        self.fail: grpc.StatusCode | None = None
        self.hang = False
        self._news = asyncio.Condition()

    @property
    def items(self) -> list[Any]:
        return [item for call in self.calls for item in call]

    async def take(self, items: Iterable[Any], context: grpc.aio.ServicerContext) -> None:
        self.asked += 1
        told = {key: value for key, value in context.invocation_metadata() or () if key == "traceparent"}
        self.traces.append(str(told.get("traceparent", "")))
        async with self._news:
            if self.fail is None and not self.hang:
                self.calls.append(list(items))
            self._news.notify_all()
        if self.hang:
            await asyncio.Event().wait()
        if self.fail is not None:
            await context.abort(self.fail, "as the test wants it")

    async def heard(self, number: int) -> None:
        """Until that many items came."""
        async with asyncio.timeout(10), self._news:
            await self._news.wait_for(lambda: len(self.items) >= number)


class FakeSender(Recorder, sender_pb2_grpc.SenderServiceServicer):
    def __init__(self) -> None:
        super().__init__()
        self.answer: Callable[[sender_pb2.OutgoingMessage], sender_pb2.SubmitAnswer] = lambda message: (
            sender_pb2.SubmitAnswer(result=sender_pb2.SUBMIT_RESULT_ACCEPTED, message_id=message.message_id)
        )
        self.refuse_call: Callable[[sender_pb2.OutgoingMessage], grpc.StatusCode | None] = lambda message: (
            None
        )

    async def Submit(
        self, request: sender_pb2.SubmitRequest, context: grpc.aio.ServicerContext
    ) -> sender_pb2.SubmitResponse:
        for message in request.messages:
            status = self.refuse_call(message)
            if status is not None:
                await context.abort(status, "one of them is bad")
        await self.take(request.messages, context)
        return sender_pb2.SubmitResponse(answers=[self.answer(message) for message in request.messages])


class FakeStatus(Recorder, status_pb2_grpc.StatusServiceServicer):
    async def RecordReceipts(
        self, request: status_pb2.RecordReceiptsRequest, context: grpc.aio.ServicerContext
    ) -> status_pb2.RecordReceiptsResponse:
        await self.take(request.receipts, context)
        return status_pb2.RecordReceiptsResponse(matched=len(request.receipts))


class FakeHlr(Recorder, hlr_pb2_grpc.HlrServiceServicer):
    """Of itself it records look-ups' results; `errands` records what it is asked to do."""

    def __init__(self) -> None:
        super().__init__()
        self.errands = Recorder()
        self.answer: Callable[[hlr_pb2.Errand], hlr_pb2.ErrandAnswer] = lambda errand: hlr_pb2.ErrandAnswer(
            result=hlr_pb2.ERRAND_RESULT_TAKEN
        )

    async def EnrichEntity(
        self, request: hlr_pb2.EnrichEntityRequest, context: grpc.aio.ServicerContext
    ) -> hlr_pb2.EnrichEntityResponse:
        await self.errands.take(request.errands, context)
        return hlr_pb2.EnrichEntityResponse(answers=[self.answer(errand) for errand in request.errands])

    async def RecordResults(
        self, request: hlr_pb2.RecordResultsRequest, context: grpc.aio.ServicerContext
    ) -> hlr_pb2.RecordResultsResponse:
        await self.take(request.results, context)
        return hlr_pb2.RecordResultsResponse()


@dataclass
class Owners:
    sender: FakeSender = field(default_factory=FakeSender)
    status: FakeStatus = field(default_factory=FakeStatus)
    hlr: FakeHlr = field(default_factory=FakeHlr)
    address: str = ""

    @property
    def endpoints(self) -> rpc.Endpoints:
        return rpc.Endpoints(sender=self.address, status=self.address, hlr=self.address)


@asynccontextmanager
async def running_owners(owners: Owners | None = None) -> AsyncIterator[Owners]:
    owners = owners or Owners()
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    sender_pb2_grpc.add_SenderServiceServicer_to_server(owners.sender, server)
    status_pb2_grpc.add_StatusServiceServicer_to_server(owners.status, server)
    hlr_pb2_grpc.add_HlrServiceServicer_to_server(owners.hlr, server)
    port = server.add_insecure_port(owners.address or "127.0.0.1:0")
    owners.address = f"127.0.0.1:{port}"
    await server.start()
    try:
        yield owners
    finally:
        await server.stop(0)


@dataclass
class Gateway:
    """A running one, and what a caller needs to reach its doors."""

    role: Role
    keyring: Keyring
    registry: CollectorRegistry
    session: aiohttp.ClientSession

    def path(self, door: str, provider: Provider = PROVIDER, *, key: str = "") -> str:
        side = "smsc" if door == "callback" else "bitrix24"
        key = key or self.keyring.url_key(side, provider.uid)
        return f"/{side}/{provider.namespace}/{provider.name}/{key}/{door}"

    async def post(
        self, door: str, body: bytes | str, *, content_type: str | None = FORM, provider: Provider = PROVIDER
    ) -> tuple[int, str]:
        return await self.call("POST", self.path(door, provider), body=body, content_type=content_type)

    async def call(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        content_type: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, str]:
        merged = dict(headers or {})
        if content_type is not None:
            merged["Content-Type"] = content_type
        skip = ["Content-Type"] if content_type is None else []
        async with self.session.request(
            method, f"http://{self.role.address}{path}", data=body, headers=merged, skip_auto_headers=skip
        ) as response:
            return response.status, await response.text()

    def metric(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0


@asynccontextmanager
async def running_gateway(
    store: Store, endpoints: rpc.Endpoints, journal: Path, **settings: Any
) -> AsyncIterator[Gateway]:
    """`settings` are those of GatewaySettings; times are short unless given."""
    keyring = Keyring([MASTER])
    given = {
        "listen": "127.0.0.1:0",
        "journal_dir": journal,
        "drain_pause_seconds": 0.05,
        "depth_report_seconds": 0.05,
        "installations_poll_seconds": 0.05,
        "event_retry_seconds": 0.05,
        "start_wait_seconds": 0.5,
        "stop_seconds": 2.0,
        **settings,
    }
    metrics = CollectorRegistry()
    view = RegistryView(store, keyring, poll_seconds=0.05)
    role = Role(
        GatewaySettings.model_validate(given),
        keyring=keyring,
        store=store,
        registry=view,
        installations=Installations(store, keyring),
        endpoints=endpoints,
        metrics=metrics,
        limits=LocalLimiter(),
    )
    await view.start()
    await role.start()
    try:
        async with aiohttp.ClientSession() as session:
            yield Gateway(role, keyring, metrics, session)
    finally:
        await role.stop()
        await view.stop()


async def until(true: Callable[[], bool]) -> None:
    """For what tells nobody that it changed."""
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0)


async def register(store: Store, *providers: Provider) -> None:
    registry = Registry(store, Keyring([MASTER]))
    for provider in providers or (PROVIDER,):
        await registry.put(provider)


async def remove(store: Store, provider: Provider = PROVIDER) -> None:
    await Registry(store, Keyring([MASTER])).tombstone(provider)


async def installed(store: Store, *, application_token: str = TOKEN, at: int = 1_742_895_000) -> None:
    """The provider's application, as an install event leaves it."""
    await Installations(store, Keyring([MASTER])).install(
        InstallEvent(
            kind=EventKind.INSTALL,
            client_id=CLIENT_ID,
            member_id=MEMBER_ID,
            domain="example.bitrix24.ru",
            tokens=Tokens("access", "refresh", at + 3600, "1", ("messageservice",)),
            application_token=application_token,
            at=at,
        )
    )


async def uninstalled(store: Store) -> None:
    installations = Installations(store, Keyring([MASTER]))
    assert await installations.uninstall(CLIENT_ID, MEMBER_ID, application_token=TOKEN, at=1_742_899_000)


def provider(**changes: Any) -> Provider:
    return dataclasses.replace(PROVIDER, **changes)


def form(message_id: str = MESSAGE_ID, **changes: str) -> str:
    """A card's message; `changes` replace fields, an empty string leaves one out."""
    fields = {
        "module_id": "crm",
        "bindings[0][OWNER_TYPE_ID]": "2",
        "bindings[0][OWNER_ID]": "451",
        "properties[phone_number]": "+79990000000",
        "properties[message_text]": "Ваш код: 1234",
        "type": "SMS",
        "code": "smsc",
        "message_id": message_id,
        "message_to": "+79990000000",
        "message_body": "Ваш код: 1234",
        "ts": "1742895600",
        "auth[domain]": "example.bitrix24.ru",
        "auth[member_id]": MEMBER_ID,
        "auth[application_token]": TOKEN,
        **changes,
    }
    return urlencode({name: value for name, value in fields.items() if value})
