"""A sandbox, a store and everything that provisioning works with, tied together as a process would."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from smsbridge.bitrix24 import limiter, transport
from smsbridge.core.installation import EventKind, Installation, InstallEvent, Tokens
from smsbridge.core.provider import AccountSettings, PortalSettings, Profile, Provider
from smsbridge.provisioning import account_check, portal_check, reconcile
from smsbridge.provisioning.portal import Portals
from smsbridge.provisioning.public_url import PublicUrls
from smsbridge.provisioning.settings import ProvisioningSettings
from smsbridge.provisioning.state import State
from smsbridge.sandbox.client import SandboxClient
from smsbridge.sandbox.orders import InstallOrder, UninstallOrder
from smsbridge.sandbox.server import Sandbox
from smsbridge.smsc import account as accounts
from smsbridge.smsc.client import ClientSettings, SmscClient
from smsbridge.store.account import AccountLimits, Accounts
from smsbridge.store.connection import Store
from smsbridge.store.egress import Egress, EgressSettings
from smsbridge.store.installations import Installations
from smsbridge.store.keyring import Keyring

DOMAIN = "example.bitrix24.ru"
CLIENT_ID = "local.5f3c1a.00000001"
NOWHERE = "http://127.0.0.1:9/install"  # nobody listens: the events' tokens come back to the caller


class TestClock:
    """Stands still until it is moved; sleeping moves it."""

    __test__ = False

    def __init__(self) -> None:
        self.at = datetime.now(UTC)
        self.seconds = 1000.0

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.seconds

    def move(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)
        self.seconds += seconds

    async def sleep(self, seconds: float) -> None:
        self.move(seconds)


@dataclass
class Lab:
    sandbox: Sandbox
    control: SandboxClient
    store: Store
    ring: Keyring
    http: transport.Transport
    smsc: SmscClient
    installations: Installations
    portals: Portals
    clients: reconcile.Clients
    clock: TestClock = field(default_factory=TestClock)

    @property
    def provider(self) -> Provider:
        return Provider(
            uid="uid-1",
            namespace="crm",
            name="smsc",
            code="smsc",
            public_url="http://127.0.0.1:8080",
            portal=PortalSettings(
                DOMAIN,
                CLIENT_ID,
                "sandbox-client-secret",
                endpoint=self.sandbox.portal_url(DOMAIN),
                oauth_endpoint=self.sandbox.oauth_url,
            ),
            account=AccountSettings(self.sandbox.smsc_url, Profile.GUIDE, "guide", "secret-guide"),
            display_name={"ru": "СМС"},
            sandbox=True,
        )

    async def event(
        self,
        *,
        user_id: int = 1,
        kind: EventKind = EventKind.INSTALL,
        at: int = 0,
        known_as: str = "",
    ) -> InstallEvent:
        """What the portal's event tells. `known_as`: counts as another user's, for chains side by side."""
        if kind is EventKind.UPDATE:
            order = InstallOrder(url=NOWHERE, user_id=user_id, new_application_token=True)
            report = await self.control.update(DOMAIN, order)
        else:
            report = await self.control.install(DOMAIN, url=NOWHERE, user_id=user_id)
        info = await self.portals.oauth(self.provider).app_info(report.access_token)
        return InstallEvent(
            kind,
            client_id=CLIENT_ID,
            member_id=info.member_id,
            domain=DOMAIN,
            tokens=Tokens(
                report.access_token,
                report.refresh_token,
                int(self.clock.now().timestamp()) + 3600,
                user_id=known_as or str(user_id),
                scopes=tuple(sorted(info.scopes)),
                client_endpoint=self.sandbox.portal_url(DOMAIN),
            ),
            application_token=report.application_token,
            at=at or int(self.clock.now().timestamp()),
        )

    async def install(
        self, *, user_id: int = 1, kind: EventKind = EventKind.INSTALL, at: int = 0
    ) -> Installation:
        """As the gateway does after the OAuth host confirmed the event."""
        return await self.installations.install(await self.event(user_id=user_id, kind=kind, at=at))

    async def uninstall(self) -> None:
        await self.control.uninstall(DOMAIN, UninstallOrder())

    async def reconcile(
        self, provider: Provider | None = None, state: State | None = None
    ) -> reconcile.Outcome:
        return await reconcile.reconcile(
            provider or self.provider,
            state or State(),
            generation=1,
            clients=self.clients,
            now=self.clock.now(),
        )

    async def senders(self) -> list[dict[str, object]]:
        return (await self.control.senders(DOMAIN)).get(CLIENT_ID, [])

    async def requests(self) -> int:
        return (await self.control.traffic(DOMAIN)).requests

    async def balance_requests(self) -> int:
        ledger = await self.control.ledger("guide")
        return sum(ledger.requests.get("balance", {}).values())

    def with_password(self, password: str) -> Provider:
        return replace(self.provider, account=replace(self.provider.account, password=password))


def account_key(provider: Provider) -> str:
    return accounts.of(provider.account).key


def book(lab: Lab) -> Accounts:
    return Accounts(lab.store, AccountLimits())


@asynccontextmanager
async def running(
    store: Store,
    *,
    settings: ProvisioningSettings | None = None,
    limits: limiter.Limiter | None = None,
) -> AsyncIterator[Lab]:
    ring = Keyring([b"k" * 32])
    installations = Installations(store, ring)
    smsc = SmscClient(ClientSettings(status_timeout_seconds=3))
    settings = settings or ProvisioningSettings()
    async with (
        Sandbox.running() as sandbox,
        SandboxClient(sandbox.control_url) as control,
        transport.Transport() as http,
    ):
        portals = Portals(http, limits or limiter.LocalLimiter(), installations)
        clients = reconcile.Clients(
            account=account_check.AccountClients(
                smsc, Accounts(store, AccountLimits()), Egress(store, EgressSettings())
            ),
            portal=portal_check.PortalClients(portals, installations, ring),
            public_urls=PublicUrls(interval_seconds=settings.interval_seconds),
            settings=settings,
        )
        try:
            yield Lab(sandbox, control, store, ring, http, smsc, installations, portals, clients)
        finally:
            await smsc.close()
