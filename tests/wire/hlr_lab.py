"""A whole hlr role against the sandbox's SMSC, with a real store, real gRPC and short times."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from prometheus_client import CollectorRegistry

from smsbridge.core.number import Facts
from smsbridge.core.provider import AccountSettings, PortalSettings, Prices, Profile, Provider
from smsbridge.hlr.role import Role
from smsbridge.hlr.settings import HlrSettings
from smsbridge.rpc import clients
from smsbridge.runtime import rpc
from smsbridge.sandbox import server
from smsbridge.smsc.client import ClientSettings, SmscClient
from smsbridge.store import connection, installations, keyring, portal_limiter, registry
from tests.wire import senders

UID, OTHER_UID = "p1", "p2"

SHORT: dict[str, Any] = {
    "listen": "127.0.0.1:0",
    "post_total_seconds": 0.5,
    "margin_seconds": 0.3,
    "permit_seconds": 5.0,
    "unanswered_rest_seconds": 30.0,
    "failed_rest_seconds": 0.1,
    "duplicate_rest_seconds": 2.2,
    "first_question_seconds": 0.3,
    "details_seconds": 0.05,
    "question_most_seconds": 0.5,
    "second_ask_seconds": 0.2,
    "late_ask_seconds": 1.5,
    "give_up_seconds": 30.0,
    "question_lease_seconds": 1.0,
    "idle_seconds": 0.05,
    "measure_seconds": 0.1,
    "errand_wait_seconds": 2.0,
    "step_wait_seconds": 0.5,
    "errand_pause_seconds": 0.1,
    "errand_retry_seconds": 0.1,
    "errand_retry_most_seconds": 0.5,
    "errand_idle_seconds": 0.1,
    "held_check_seconds": 0.1,
    "changed_linger_seconds": 0.1,
    "hand_rest_seconds": 0.3,
}


def provider(base_url: str, profile: Profile = Profile.GUIDE, *, uid: str = UID, price: str = "") -> Provider:
    login = profile.value
    return Provider(
        uid=uid,
        namespace="crm",
        name=uid,
        code=uid,
        public_url="https://sms.example.com",
        portal=PortalSettings(domain="example.bitrix24.ru", client_id="c", client_secret="s"),
        account=AccountSettings(base_url=base_url, profile=profile, login=login, password=f"secret-{login}"),
        prices=Prices(hlr=Decimal(price) if price else None),
    )


@dataclass(slots=True)
class Hlr:
    role: Role
    client: clients.HlrClient
    metrics: CollectorRegistry
    store: connection.Store

    async def one(self, phone: str, *, uid: str = UID, wait_seconds: float = 5.0, **asked: Any) -> Facts:
        (found,) = await self.client.lookup(uid, [phone], wait_seconds=wait_seconds, **asked)
        return found

    async def spent(self, uid: str = UID) -> tuple[Decimal, Decimal, Decimal]:
        """Spent, part of it estimated, reserved."""
        (one,) = await self.client.budgets(uid)
        return Decimal(one.spent), Decimal(one.estimated), Decimal(one.reserved)

    def sample(self, name: str, **labels: str) -> float:
        found = self.metrics.get_sample_value(f"smsbridge_hlr_{name}", labels)
        return found or 0.0


@contextlib.asynccontextmanager
async def running(
    store: connection.Store,
    *providers: Provider,
    hlr: dict[str, Any] | None = None,
    crm: dict[str, Any] | None = None,
    portal_limits: portal_limiter.PortalLimits | None = None,
    ring: keyring.Keyring = senders.KEYRING,
    total_seconds: float = 0.5,
    **changes: Any,
) -> AsyncIterator[Hlr]:
    """`hlr`, `crm`: the sections of these names in every provider's manifest, in the manifest's own words."""
    book = registry.Registry(store, ring)
    for one in providers:
        await book.put(one, sections={"hlr": hlr or {}, "crm": crm or {}})
    view = registry.RegistryView(store, ring, poll_seconds=0.1)
    await view.start()
    metrics = CollectorRegistry()
    role = Role(
        HlrSettings.model_validate({**SHORT, **changes}),
        store=store,
        keyring=ring,
        registry=view,
        installations=installations.Installations(store, ring),
        limits=senders.LIMITS,
        egress=senders.EGRESS,
        portal_limits=portal_limiter.PortalLimiter(store, portal_limits or portal_limiter.PortalLimits()),
        client=SmscClient(
            ClientSettings(
                total_timeout_seconds=total_seconds,
                connect_timeout_seconds=total_seconds,
                status_timeout_seconds=total_seconds,
            )
        ),
        metrics=metrics,
    )
    await role.start()
    channel = rpc.channel(role.address)
    try:
        yield Hlr(role, clients.HlrClient(channel), metrics, store)
    finally:
        await channel.close(None)
        await role.stop()
        await view.stop()


def bought(sandbox: server.Sandbox, login: str = "guide") -> int:
    """Numbers that SMSC looked up, by its own books."""
    return int(sandbox.smsc.accounts[login].totals.look_ups.total())
