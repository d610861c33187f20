"""A whole hlr role, the sandbox's SMSC and portal with our fields in its CRM, and a door that hands the
portal's posts on as the gateway does.
"""

import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qs

from aiohttp import web

from smsbridge.api.v1 import hlr_pb2
from smsbridge.bitrix24 import limiter, steps, transport
from smsbridge.bitrix24.bizproc import StepKind, add_command
from smsbridge.core.errand import EntityType, Errand, ErrandKind, ErrandResult
from smsbridge.core.provider import PortalSettings, Profile, Provider
from smsbridge.provisioning import fields, spec
from smsbridge.provisioning.portal import Portals
from smsbridge.rpc import enums, errand
from smsbridge.sandbox.client import SandboxClient
from smsbridge.sandbox.orders import EntitiesOrder, EntityOrder, RunOrder
from smsbridge.sandbox.reports import StepReport
from smsbridge.sandbox.server import Sandbox
from smsbridge.store import connection, installations
from smsbridge.store.portal_limiter import PortalLimits
from tests.wire import hlr_lab, senders, status_lab
from tests.wire.hlr_lab import UID, Hlr

DOMAIN = "example.bitrix24.ru"
KINDS = {"ONCRMLEADADD": "lead", "ONCRMCONTACTADD": "contact", "ONCRMCONTACTUPDATE": "contact"}
NO_LIMITS = PortalLimits(requests_per_second=200, burst=300, back_off_seconds=0.1)
# As SMSC counts in truth; the short windows of other tests would hide that too much is asked.
MINUTE = {"limit_window_seconds": 60.0}


@dataclass(slots=True)
class World:
    """`hlr` is the role that runs now; another may be started on the same `store` and `sandbox`."""

    sandbox: Sandbox
    control: SandboxClient
    store: connection.Store
    provider: Provider
    hlr: Hlr | None = None
    answers: list[ErrandResult | None] = field(default_factory=list)
    posts: Counter[str] = field(default_factory=Counter)  # events that the portal posted
    url: str = ""

    @property
    def role(self) -> Hlr:
        assert self.hlr is not None
        return self.hlr

    async def ask(self, kind: ErrandKind, **given: Any) -> ErrandResult | None:
        """Hands one errand over, as the gateway does."""
        one = Errand(self.provider.uid, kind, **given)
        (answer,) = await self.role.client.enrich([errand.to_proto(one)])
        return enums.ERRAND_RESULT.to_core(answer.result)

    async def take(self, request: web.Request) -> web.Response:
        """The portal's event, or the run of a step."""
        posted = {name: values[0] for name, values in parse_qs((await request.read()).decode()).items()}
        if "event_token" in posted:
            given: dict[str, Any] = {
                "event_token": posted["event_token"],
                "phone": posted.get("properties[phone]", ""),
            }
            kind, _, number = posted["document_id[2]"].partition("_")
            if kind.lower() in set(EntityType):
                given |= {"entity": EntityType(kind.lower()), "entity_id": int(number)}
            self.answers.append(await self.ask(ErrandKind.STEP, **given))
            return web.Response()
        event = posted["event"]
        self.posts[event] += 1
        kind_ = ErrandKind.CHANGED if event.endswith("UPDATE") else ErrandKind.ADDED
        entity = EntityType(KINDS[event])
        self.answers.append(await self.ask(kind_, entity=entity, entity_id=int(posted["data[FIELDS][ID]"])))
        return web.Response()

    def bind(self, *events: str) -> None:
        application = self.sandbox.portals.by_domain[DOMAIN].applications[status_lab.CLIENT]
        application.bindings += [{"event": event, "handler": self.url} for event in events]

    async def add(self, kind: str, *phones: str, source: str = "CALL", **more: Any) -> int:
        order = EntitiesOrder(phones=[list(phones)], fields={"SOURCE_ID": source}, **more)
        (entity_id,) = await self.control.create_entities(DOMAIN, kind, order)
        return entity_id

    async def add_many(self, kind: str, count: int, *, source: str = "CALL") -> list[int]:
        """Numbers that end in 00 to 79, so that all of them are reachable."""
        order = EntitiesOrder(
            phones=[[f"+7999{n // 80:05d}{n % 80:02d}"] for n in range(count)], fields={"SOURCE_ID": source}
        )
        return await self.control.create_entities(DOMAIN, kind, order)

    async def shown(self, kind: str, entity_id: int) -> dict[str, Any]:
        """Our fields of one entity, for reading."""
        found = await self.control.entities(DOMAIN, kind)
        return next(one.user_fields for one in found if one.entity_id == entity_id)

    async def set_channel(self, entity_id: int, channel: str) -> None:
        order = EntityOrder(fields={"UF_CRM_SMS_CHANNEL": channel})
        await self.control.change_entity(DOMAIN, "contact", entity_id, order)

    async def learn(self, phone: str, channel: Any, at_ms: int) -> None:
        await self.learn_all([phone], channel, at_ms)

    async def learn_all(self, phones: Iterable[str], channel: Any, at_ms: int) -> None:
        """In one call: how many of several calls are done together depends on the machine."""
        learned = [
            hlr_pb2.LearnedChannel(
                provider_uid=self.provider.uid, msisdn=phone, channel=channel, learned_at_ms=at_ms
            )
            for phone in phones
        ]
        await self.role.client.learn_channel(learned)

    async def prefers(self, *phones: str) -> dict[str, str]:
        found = await self.role.client.get_preferences(self.provider.uid, phones)
        return {number: channel.value for number, channel in found.items()}

    def ended(self, kind: str, end: str) -> float:
        provider = self.provider
        return self.role.sample(
            "errands_total", namespace=provider.namespace, provider=provider.name, kind=kind, end=end
        )

    def ends(self) -> dict[tuple[str, str], int]:
        """All errands that ended, by kind and how."""
        found = {}
        for metric in self.role.metrics.collect():
            for sample in metric.samples:
                if sample.name == "smsbridge_hlr_errands_total":
                    found[sample.labels["kind"], sample.labels["end"]] = int(sample.value)
        return found

    async def until_ended(self, kind: str, end: str, count: int = 1, *, seconds: float = 20.0) -> None:
        async def done() -> bool:
            return self.ended(kind, end) >= count

        try:
            await senders.until(done, seconds=seconds)
        except TimeoutError:
            raise AssertionError(f"ended so far: {self.ends()}") from None

    async def run_step(self, phone: str, *, kind: StepKind = StepKind.ROBOT, **more: Any) -> StepReport:
        code = steps.code_of(self.provider.code, steps.Step.HLR, kind)
        return await self.control.run(DOMAIN, RunOrder(code=code, properties={"phone": phone}, **more))

    async def step(self, token: str) -> StepReport:
        return next(one for one in await self.control.steps(DOMAIN) if one.token == token)

    async def answered(self, token: str, *, seconds: float = 20.0) -> StepReport:
        async def done() -> bool:
            return (await self.step(token)).answers > 0

        await senders.until(done, seconds=seconds)
        return await self.step(token)

    async def methods(self) -> dict[str, int]:
        return (await self.control.traffic(DOMAIN)).by_method

    @contextlib.asynccontextmanager
    async def running(self, *others: Provider, **changes: Any) -> AsyncIterator[Hlr]:
        """An hlr role; `crm` and `hlr` are sections of the manifest, the rest are settings."""
        changes.setdefault("portal_limits", NO_LIMITS)
        async with hlr_lab.running(self.store, self.provider, *others, **changes) as hlr:
            self.hlr = hlr
            yield hlr


def made_provider(sandbox: Sandbox, profile: Profile, **changes: Any) -> Provider:
    portal = PortalSettings(
        domain=DOMAIN,
        client_id=status_lab.CLIENT,
        client_secret=status_lab.SECRET,
        endpoint=sandbox.portal_url(DOMAIN),
        oauth_endpoint=sandbox.oauth_url,
    )
    made = hlr_lab.provider(sandbox.smsc_url, profile, uid=UID)
    return replace(made, portal=portal, sandbox=True, **changes)


async def _register(world: World) -> None:
    """Our fields in the CRM, and our steps: as the provisioner does."""
    async with transport.Transport() as http:
        known = installations.Installations(world.store, senders.KEYRING)
        found = await known.for_provider(world.provider)
        assert found is not None
        api = Portals(http, limiter.LocalLimiter(), known).api(world.provider, found.member_id)
        names = spec.Fields()
        looked = (await api.batch(fields.look(names), priority=limiter.Priority.TOKENS)).results
        maker = fields.Maker()
        await fields.settle(api, names, looked, maker=maker, looked_at=maker.moment())
        for kind in StepKind:
            made = steps.spec(world.provider.code, steps.Step.HLR, kind, handler=world.url)
            command = add_command(kind, made)
            await api.call(command.method, command.params, priority=limiter.Priority.TOKENS)


@contextlib.asynccontextmanager
async def living(
    store: connection.Store,
    profile: Profile = Profile.GUIDE,
    *,
    installed: bool = True,
    smsc: dict[str, Any] | None = None,
    **changes: Any,
) -> AsyncIterator[World]:
    """`smsc`: settings of its accounts; `changes`: of the provider."""
    async with (
        Sandbox.running(senders.sandbox_settings(**(smsc or {}))) as sandbox,
        SandboxClient(sandbox.control_url) as control,
    ):
        world = World(sandbox, control, store, made_provider(sandbox, profile, **changes))
        application = web.Application()
        application.router.add_post("/{path:.*}", world.take)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        world.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
        at = int(sandbox.clock.now())
        await status_lab.install(store, sandbox, at=at)
        await _register(world)
        if not installed:
            known = installations.Installations(store, senders.KEYRING)
            portal = sandbox.portals.by_domain[DOMAIN]
            await known.uninstall(status_lab.CLIENT, portal.member_id, application_token="token", at=at + 10)
        try:
            yield world
        finally:
            await runner.cleanup()
