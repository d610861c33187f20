"""A whole sender against the sandbox's SMSC, with a real store, real gRPC and short times.

The sandbox's windows are shortened by the same measure: a duplicate is one for a second, not for a minute.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry

from smsbridge.core.provider import Provider
from smsbridge.rpc import clients, enums, message
from smsbridge.rpc.enums import Submitted
from smsbridge.runtime import rpc
from smsbridge.sandbox import server
from smsbridge.sandbox.settings import AccountSettings, SandboxSettings, Timing
from smsbridge.sandbox.settings import Profile as SandboxProfile
from smsbridge.sender import role
from smsbridge.sender.settings import SenderSettings
from smsbridge.smsc.client import ClientSettings, SmscClient
from smsbridge.store import account, connection, delivery, egress, installations, keyring, registry, tags
from tests.store import messages

MASTER_KEY = bytes(range(32))
KEYRING = keyring.Keyring([MASTER_KEY])
NOWHERE = "127.0.0.1:9"

SHORT: dict[str, Any] = {
    "listen": "127.0.0.1:0",
    "lease_ms": 2_400,
    "post_total_ms": 500,
    "margin_ms": 300,
    "idle_seconds": 0.05,
    "unsent_delay_seconds": 0.1,
    "unsent_delay_most_seconds": 0.3,
    "second_ask_seconds": 0.2,
    "repeat_within_seconds": 1.6,
    "late_repeat_seconds": 3.0,
    "ask_again_seconds": 0.3,
    "unproved_ask_seconds": 0.2,
    "proof_delays_seconds": (0.05, 0.2, 0.5),
    "too_many_seconds": 0.1,
    "held_check_seconds": 0.1,
    "upkeep_seconds": 0.05,
}
LIMITS = account.AccountLimits(
    asks=4,
    asks_window_ms=400,
    hold_ms=2_200,
    login_probes_seconds=(0.3, 0.6, 1.0),
    money_probe_seconds=0.2,
)
EGRESS = egress.EgressSettings(blocked_seconds=(0.8, 1.5))


def sandbox_settings(**account_changes: Any) -> SandboxSettings:
    common = {"duplicate_window_seconds": 2.0, "limit_window_seconds": 0.4, **account_changes}
    timing = Timing(handover_seconds=0.02, delivery_seconds=0.05, jitter_seconds=0.02)
    return SandboxSettings(
        accounts=[
            AccountSettings(login="guide", password="secret-guide", timing=timing, **common),
            AccountSettings(
                login="http", password="secret-http", profile=SandboxProfile.HTTP, timing=timing, **common
            ),
        ]
    )


@dataclass(slots=True)
class Sender:
    role: role.Role
    client: clients.SenderClient
    store: connection.Store
    sandbox: server.Sandbox
    metrics: CollectorRegistry

    def account(self, login: str = "guide") -> Any:
        return self.sandbox.smsc.accounts[login]

    async def state_of(self, uid: str, message_id: str) -> dict[str, str]:
        found = await self.store.redis.hgetall(f"{tags.provider(uid)}m:{message_id}")
        return {key.decode(): value.decode() for key, value in found.items()}


@contextlib.asynccontextmanager
async def running(
    store: connection.Store,
    sandbox: server.Sandbox,
    *providers: Provider,
    monotonic: Callable[[], float] = time.monotonic,
    hlr: str = NOWHERE,
    limits: account.AccountLimits = LIMITS,
    **changes: Any,
) -> AsyncIterator[Sender]:
    book = registry.Registry(store, KEYRING)
    for provider in providers:
        await book.put(provider)
    view = registry.RegistryView(store, KEYRING, poll_seconds=0.1)
    await view.start()
    settings = SenderSettings.model_validate({**SHORT, **changes})
    total = settings.post_total_ms / 1000
    metrics = CollectorRegistry()
    made = role.Role(
        settings,
        store=store,
        registry=view,
        installations=installations.Installations(store, KEYRING),
        endpoints=rpc.Endpoints(sender=NOWHERE, status=NOWHERE, hlr=hlr),
        limits=limits,
        egress=EGRESS,
        client=SmscClient(ClientSettings(total_timeout_seconds=total, connect_timeout_seconds=total)),
        metrics=metrics,
    )
    await made.start()
    channel = rpc.channel(made.address)
    try:
        yield Sender(made, clients.SenderClient(channel), store, sandbox, metrics)
    finally:
        await channel.close(None)
        await made.stop()
        await view.stop()


async def until(condition: Callable[[], Awaitable[bool]], *, seconds: float = 15.0) -> None:
    """Waits for a state; how long it takes is not asserted, only that it comes."""
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.02)


async def submit(client: clients.SenderClient, numbers: range, **changes: Any) -> list[Submitted | None]:
    now_ms = time.time_ns() // 1_000_000
    wanted = [messages.outgoing(n, accepted_at_ms=now_ms, **changes) for n in numbers]
    answers = await client.submit([message.to_proto(item) for item in wanted])
    return [enums.SUBMITTED.to_core(answer.result) for answer in answers]


async def books(store: connection.Store) -> delivery.LedgerView:
    return await delivery.Deliveries(store).ledger(messages.UID)


async def all_sent(store: connection.Store, expected: int, *, seconds: float = 20.0) -> None:
    """So many messages are with SMSC or final, and none waits."""

    async def done() -> bool:
        found = await books(store)
        waiting = found.held + found.queued + found.sending
        return not waiting and found.sent + sum(found.final.values()) == expected

    await until(done, seconds=seconds)


async def proved(client: clients.SenderClient) -> None:
    """status.php is known to find our ids: from here on an uncertain batch may be repeated."""

    async def done() -> bool:
        return (await client.describe_queue(messages.UID))[0].status_proved

    await until(done)
