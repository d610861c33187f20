"""A portal with contacts, an installation and its fields, an SMSC account, and hlr roles that verify it."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from smsbridge.bitrix24 import transport
from smsbridge.core.errand import EntityType
from smsbridge.core.installation import EventKind, InstallEvent, Tokens
from smsbridge.core.provider import PortalSettings, Prices, Profile, Provider
from smsbridge.core.verification import Source, State, Verification
from smsbridge.provisioning import fields, spec
from smsbridge.provisioning.portal import Portals
from smsbridge.rpc import clients
from smsbridge.sandbox import settings as sandbox_settings
from smsbridge.sandbox.client import SandboxClient
from smsbridge.sandbox.crm import Entity, Kind
from smsbridge.sandbox.faults import Fault, FaultKind
from smsbridge.sandbox.server import Sandbox
from smsbridge.smsc import account as smsc_account
from smsbridge.store import installations
from smsbridge.store.account import Accounts
from smsbridge.store.connection import Store
from smsbridge.store.portal_limiter import PortalLimiter, PortalLimits
from tests.wire import hlr_lab, senders

DOMAIN = "example.bitrix24.ru"
CLIENT_ID, CLIENT_SECRET = "local.5f3c1a.00000001", "sandbox-client-secret"
NOWHERE = "http://127.0.0.1:9/install"  # nobody listens: the event's tokens come back to the caller
REACHABILITY, CARRIER, REGION, CHECKED = (
    "UF_CRM_SMS_REACH", "UF_CRM_OPERATOR", "UF_CRM_REGION", "UF_CRM_SMS_CHECKED",
)  # fmt: skip
FAST = PortalLimits(requests_per_second=200.0, burst=200, operating_limit_seconds=0)
CONTACTS = Source(EntityType.CONTACT)


@dataclass(slots=True)
class World:
    store: Store
    sandbox: Sandbox
    control: SandboxClient
    provider: Provider
    portals: Portals
    client: clients.HlrClient
    hlr: hlr_lab.Hlr | None = None

    @property
    def crm(self) -> Any:
        return self.sandbox.portals.by_domain[DOMAIN].crm

    @property
    def portal(self) -> Any:
        return self.sandbox.portals.by_domain[DOMAIN]

    @property
    def account(self) -> Any:
        return self.sandbox.smsc.accounts[self.provider.account.login]

    @property
    def account_key(self) -> str:
        return smsc_account.of(self.provider.account).key

    @property
    def accounts(self) -> Accounts:
        return Accounts(self.store, senders.LIMITS)

    def add(self, *phones: Iterable[str], kind: Kind = Kind.CONTACT, **values: Any) -> list[Entity]:
        """One for each set of phones."""
        now = self.sandbox.clock.now()
        return [self.crm.add(kind, values, phones=some, by=1, now=now) for some in phones]

    def shows(self, entity: Entity) -> tuple[str, str, str, bool]:
        """Reachability, operator, region, and whether the date is there."""
        field = self.crm.fields[entity.kind][REACHABILITY]
        items = {str(item.item_id): item.xml_id for item in field.items}
        value = entity.values.get
        return (
            items.get(value(REACHABILITY) or "", ""), value(CARRIER) or "", value(REGION) or "",
            bool(value(CHECKED)),
        )  # fmt: skip

    def fault(self, kind: FaultKind, **how: Any) -> None:
        """At whatever buys look-ups."""
        guide = self.provider.account.profile is Profile.GUIDE
        self.account.faults.add(Fault(kind=kind, call="hlr" if guide else "send", **how))

    @property
    def looked_up(self) -> dict[str, int]:
        """How often each number was looked up, by SMSC's own books."""
        return dict(self.account.totals.look_ups)

    @property
    def updates(self) -> int:
        return int(self.seen.methods["crm.contact.update"])

    @property
    def seen(self) -> Any:
        """What the portal was asked."""
        return self.portal.seen

    async def quoted(self, source: Source = CONTACTS, msisdns: Iterable[str] = ()) -> Verification:
        """As the quote stands, or why there is none."""
        made = await self.client.start_verification(hlr_lab.UID, source, list(msisdns))
        return await self.stands(made.id)

    async def stands(self, id: str, *, seconds: float = 30.0) -> Verification:
        """What it is when it ends, pauses, or waits for a yes."""
        last: Verification | None = None
        async with asyncio.timeout(seconds):
            async for told in self.client.watch_verification(id):
                last = told
        assert last is not None
        return last

    async def comes(self, id: str, *states: State, seconds: float = 30.0) -> Verification:
        """Once it is in one of these."""
        end = time.monotonic() + seconds
        while True:
            found = await self.client.get_verification(id)
            if found.state in states:
                return found
            assert time.monotonic() < end, found
            await asyncio.sleep(0.05)

    async def run(self, source: Source = CONTACTS, msisdns: Iterable[str] = ()) -> Verification:
        """Quoted, confirmed, and at its end, or where it stands."""
        quoted = await self.quoted(source, msisdns)
        assert quoted.state is State.QUOTED, quoted
        await self.client.confirm_verification(quoted.id)
        return await self.stands(quoted.id)

    async def budget_spent(self) -> Decimal:
        (one,) = await self.client.budgets(hlr_lab.UID)
        return Decimal(one.spent) + Decimal(one.reserved)


def settings(**portal: Any) -> sandbox_settings.SandboxSettings:
    application = sandbox_settings.ApplicationSettings(client_id=CLIENT_ID, client_secret=CLIENT_SECRET)
    limit = sandbox_settings.RequestLimit(leak_per_second=300.0, block_above=500.0)
    one = sandbox_settings.PortalSettings(
        **{"domain": DOMAIN, "applications": [application], "requests": limit, **portal}
    )
    return senders.sandbox_settings().model_copy(update={"portals": [one]})


@contextlib.asynccontextmanager
async def world(
    store: Store,
    profile: Profile = Profile.GUIDE,
    *,
    price: str = "0.50",
    sms: str = "4.00",
    installed: bool = True,
    with_fields: bool = True,
    hlr: dict[str, Any] | None = None,
    limits: PortalLimits = FAST,
    **portal: Any,
) -> AsyncIterator[World]:
    """The world without a role: `role` runs one in it."""
    async with (
        Sandbox.running(settings(**portal)) as sandbox,
        SandboxClient(sandbox.control_url) as control,
        transport.Transport() as http,
    ):
        one = replace(
            hlr_lab.provider(sandbox.smsc_url, profile),
            portal=PortalSettings(
                DOMAIN, CLIENT_ID, CLIENT_SECRET, endpoint=sandbox.portal_url(DOMAIN),
                oauth_endpoint=sandbox.oauth_url,
            ),
            prices=Prices(hlr=Decimal(price), sms=Decimal(sms) if sms else None),
            sandbox=True,
        )  # fmt: skip
        book = installations.Installations(store, senders.KEYRING)
        portals = Portals(http, PortalLimiter(store, limits), book)
        made = World(store, sandbox, control, one, portals, client=None)  # type: ignore[arg-type]
        if installed:
            await install(made)
            if with_fields:
                await make_fields(made)
        yield made


def with_profile(world: World, profile: Profile) -> World:
    """The same, with the provider's account of another profile."""
    account = hlr_lab.provider(world.sandbox.smsc_url, profile).account
    return replace(world, provider=replace(world.provider, account=account))


async def install(world: World) -> None:
    report = await world.control.install(DOMAIN, url=NOWHERE)
    info = await world.portals.oauth(world.provider).app_info(report.access_token)
    now = int(time.time())
    tokens = Tokens(
        report.access_token, report.refresh_token, now + 3600, user_id="1",
        scopes=tuple(sorted(info.scopes)), client_endpoint=world.sandbox.portal_url(DOMAIN),
    )  # fmt: skip
    await installations.Installations(world.store, senders.KEYRING).install(
        InstallEvent(
            EventKind.INSTALL, CLIENT_ID, info.member_id, DOMAIN, tokens, report.application_token, now
        )
    )


async def make_fields(world: World) -> None:
    maker = fields.Maker()
    wanted = fields.wanted(spec.Fields())
    api = world.portals.api(world.provider, world.portal.member_id)
    refusals = await maker.make(api, wanted, looked_at=maker.moment())
    assert refusals == []
    world.crm.take_raised()


@contextlib.asynccontextmanager
async def role(world: World, *, limits: PortalLimits = FAST, **changes: Any) -> AsyncIterator[World]:
    """An hlr role in it; several may run side by side, and `world.client` is the last one's."""
    async with hlr_lab.running(world.store, world.provider, portal_limits=limits, **changes) as hlr:
        world.client, world.hlr = hlr.client, hlr
        yield world
