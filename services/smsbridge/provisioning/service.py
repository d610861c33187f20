"""The provisioner: follows what is declared, keeps the registry like it, and reconciles every provider.

It is the registry's only writer. Where things are declared is its `Source`'s knowledge: a file, or, in the
operator, the resources of a cluster. What a change means is decided in `publish`, what a provider needs in
`reconcile`; here is only when.
"""

import asyncio
import dataclasses
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import structlog

from smsbridge.core import errors
from smsbridge.core.installation import Installation
from smsbridge.core.provider import Provider
from smsbridge.provisioning import publish, reconcile
from smsbridge.provisioning import state as states
from smsbridge.provisioning.convert import Declared
from smsbridge.provisioning.manifests import Manifests, ResourceError
from smsbridge.provisioning.metrics import ProvisionerMetrics
from smsbridge.provisioning.schedule import Schedule
from smsbridge.provisioning.settings import ProvisioningSettings
from smsbridge.provisioning.state import State
from smsbridge.runtime import clock as clocks
from smsbridge.runtime import tasks
from smsbridge.store import portal_limiter
from smsbridge.store.registry import Contents, Entry, Registry

log = structlog.get_logger()

_FINISH_SECONDS = 5.0
_BREATH_SECONDS = 0.25  # between two looks while something due is still in hand


class Source(Protocol):
    """Where providers are declared. `name` is for sentences."""

    @property
    def name(self) -> str: ...

    async def changed(self) -> Manifests | None:
        """All that is declared now, where it is another than last time. Raises ConfigError."""

    async def is_gone(self, provider: Provider) -> bool:
        """Whether a provider that is declared no more was removed indeed. Raises an Away in doubt."""


@dataclass(frozen=True, slots=True)
class Change:
    """What is shown of one provider, before and after. `provider` is None for one that was never valid."""

    label: str
    old: State
    new: State
    provider: Provider | None = None
    put_back: bool = False


def nobody(_: Change) -> None:
    """Nobody looks on."""


class Provisioner:
    """`shown` hears of everything that is shown of a provider, when it is kept."""

    def __init__(
        self,
        settings: ProvisioningSettings,
        *,
        source: Source,
        registry: Registry,
        clients: reconcile.Clients,
        metrics: ProvisionerMetrics,
        clock: clocks.Clock,
        shown: Callable[[Change], None] = nobody,
    ) -> None:
        self._settings = settings
        self._source = source
        self._registry = registry
        self._clients = clients
        self._metrics = metrics
        self._clock = clock
        self._shown = shown
        self._schedule = Schedule(settings, clock)
        self._wanted: Manifests | None = None
        self._published = False
        self._installed: dict[tuple[str, str], tuple[object, ...]] = {}
        self._contents = Contents()
        self._invalid: Mapping[str, tuple[ResourceError, ...]] = {}
        self._last: dict[str, State] = {}  # shown of each label by this process
        self._running: dict[str, asyncio.Task[None]] = {}
        self._limit = asyncio.Semaphore(settings.at_once)
        self.problem = f"{source.name} has not been read yet"

    async def follow(self) -> bool:
        """One look at what is declared; True where something was published. Raises StoreAway; the next look
        goes on from there.
        """
        try:
            wanted = await self._source.changed()
        except errors.ConfigError as error:
            if self._wanted is None:
                self.problem = error.sentence
            raise
        if wanted is not None:
            self._wanted = wanted
            self._published = False
            for found in self._wanted.errors:
                log.warning("manifest_error", resource=found.label or found.where, field=found.field)
            self._metrics.manifest_errors.set(len(self._wanted.errors))
        if self._wanted is None or self._published:
            return False
        await self._publish(self._wanted)
        self._published = True
        self.problem = ""
        return True

    def installations_changed(self, changed: list[Installation]) -> None:
        """Registers again at once where an install, an update or an uninstall came; a renewed token is no
        reason.
        """
        for item in changed:
            key = (item.client_id, item.member_id)
            mark = (item.registrations_version, item.broken, item.client_endpoint)
            if self._installed.get(key) == mark:
                continue
            self._installed[key] = mark
            for provider in self._contents.providers.values():
                if provider.portal.client_id == item.client_id:
                    self._schedule.now(provider.uid)

    async def reconcile_due(self) -> float:
        """Begins with those that are due; a portal that hangs holds up no other. Answers seconds until the
        next look.

        Raises StoreAway.
        """
        due = [uid for uid in self._schedule.take() if uid not in self._running]
        if due:
            await self._load()
            known = await self._states()
            for uid in due:
                task = asyncio.create_task(self._one(uid, known), name=f"reconcile {uid}")
                self._running[uid] = task
                task.add_done_callback(lambda _, uid=uid: self._running.pop(uid))  # type: ignore[misc]
        return max(self._schedule.wait_seconds(), _BREATH_SECONDS)

    async def saw_pauses(self, pauses: Mapping[str, str]) -> None:
        """What the sender says of each provider's account, by uid: why it sends nothing, empty where it does.

        Raises StoreAway.
        """
        for uid, pause in pauses.items():
            entry = self._contents.entries.get(uid)
            if entry is None or entry.provider.removed or uid in self._running:  # its reconciliation says it
                continue
            state = self._last.get(_label(entry.provider))
            if state is None or state.uid != uid:
                continue
            new = reconcile.sending(entry.provider, state, pause=pause, now=self._clock.now())
            if new != state:
                await self._show(Change(_label(entry.provider), state, new, entry.provider))

    def is_gone(self, uid: str) -> bool:
        """True where the registry holds no living provider of that uid."""
        entry = self._contents.entries.get(uid)
        return self._published and (entry is None or entry.provider.removed)

    def is_let_go(self, uid: str) -> bool:
        """True where nothing more will be done to the portal for it."""
        return uid in self._contents.let_go or uid not in self._contents.entries

    async def stop(self) -> None:
        """What is in hand is finished where that is quick, so that a new pair of tokens is stored; else it is
        given up, for every step may be repeated.
        """
        if running := list(self._running.values()):
            await asyncio.wait(running, timeout=_FINISH_SECONDS)
            await tasks.end(*running)

    async def _one(self, uid: str, known: Mapping[str, State]) -> None:
        async with self._limit:
            entry = self._contents.entries.get(uid)
            if entry is None:
                return
            started = self._clock.monotonic()
            state = known.get(_label(entry.provider), State())
            try:
                with self._metrics.timed():
                    if entry.provider.removed:
                        again = await self._settle_removed(entry.provider, state)
                    else:
                        again = await self._reconcile(entry, state)
            except portal_limiter.Held as held:
                log.info("reconcile_postponed", provider=uid, code=held.code, why=held.why)
                self._schedule.later(uid, seconds=held.wait_seconds, started=started)
                return
            except errors.Away as error:
                log.info("reconcile_postponed", provider=uid, code=error.code)
                self._metrics.reconciliations.labels("failed").inc()
                again = True
            except Exception:  # a task's outermost edge: one provider's surprise must not end its loop
                log.exception("reconcile_failed", provider=uid)
                self._metrics.reconciliations.labels("failed").inc()
                again = True
            self._schedule.done(uid, again=again, started=started)

    async def _reconcile(self, entry: Entry, state: State) -> bool:
        provider = entry.provider
        if state.uid not in ("", provider.uid):
            state = State()
        now = self._clock.now()
        outcome = await reconcile.reconcile(
            provider,
            state,
            generation=entry.generation,
            clients=self._clients,
            now=now,
            sections=entry.sections,
        )
        new = outcome.state
        if invalid := self._invalid.get(_label(provider), ()):
            new = reconcile.invalid(new, invalid, before=state, now=now)
        await self._show(Change(_label(provider), state, new, provider, outcome.put_back))
        self._metrics.reconciliations.labels("incomplete" if outcome.again else "ok").inc()
        return outcome.again

    async def _settle_removed(self, provider: Provider, state: State) -> bool:
        """Unregisters, and in the end erases. True where the portal is to be asked again soon."""
        living = [other for other in self._contents.providers.values() if not other.removed]
        named = any(_label(other) == _label(provider) for other in living)
        if not named:
            self._metrics.forget(provider)  # nobody is to be alerted by what is gone
        kept_ms = self._contents.now_ms - provider.removed_at_ms
        if kept_ms >= self._settings.removed_kept_seconds * 1000:
            await self._registry.erase(provider.uid)
            if not named:
                await self._registry.put_state(provider.namespace, provider.name, None)
                self._last.pop(_label(provider), None)
            log.info("provider_erased", provider=provider.uid)
            return False
        if provider.uid in self._contents.let_go:
            return False
        succeeded = bool(publish.successors(provider, living))
        removal = await reconcile.remove(provider, clients=self._clients, succeeded=succeeded)
        if removal.done:
            await self._registry.let_go(provider.uid)
            log.info("provider_let_go", provider=provider.uid, outcome=removal.message)
        # The portal may have taken its time, and another may have its name or its place by now.
        await self._load()
        living = [other for other in self._contents.providers.values() if not other.removed]
        for other in publish.successors(provider, living):
            self._schedule.now(other.uid)
        if not any(_label(other) == _label(provider) for other in living):
            shown = reconcile.removed(state, removal, now=self._clock.now())
            await self._show(Change(_label(provider), state, shown, provider))
        return not removal.done

    async def _publish(self, wanted: Manifests) -> None:
        await self._load()
        declared = [await self._with_uid(item) for item in wanted.declared]
        plan = publish.plan(wanted, declared, self._contents.entries)
        for provider in plan.remove:
            if not await self._source.is_gone(provider):
                log.warning("removal_doubted", provider=provider.uid)
                continue
            await self._registry.tombstone(provider)
            log.info(
                "provider_removed", provider=provider.uid, namespace=provider.namespace, name=provider.name
            )
        for entry in plan.put:
            await self._registry.put(entry.provider, generation=entry.generation, sections=entry.sections)
            log.info("provider_published", provider=entry.provider.uid, generation=entry.generation)
        await self._load()
        changed = {entry.provider.uid for entry in plan.put} | {provider.uid for provider in plan.remove}
        others = {
            uid
            for uid, provider in self._contents.providers.items()
            if plan.invalid.get(_label(provider)) != self._invalid.get(_label(provider))
        }
        await self._show_invalid(plan)
        for uid in changed | others:
            self._schedule.now(uid)

    async def _with_uid(self, item: Declared) -> Declared:
        source = item.source
        uid = source.uid or await self._registry.uid_of(
            source.namespace, source.name, candidate=str(uuid.uuid4())
        )
        return dataclasses.replace(item, provider=dataclasses.replace(item.provider, uid=uid))

    async def _show_invalid(self, plan: publish.Plan) -> None:
        """Errors of resources, and their end, in what people see. A provider's own are shown by its
        reconciliation.
        """
        for sentence in plan.general:
            log.warning("manifests_incomplete", reason=sentence)
        self._invalid = plan.invalid
        bodies = await self._states()
        known = {_label(provider) for provider in self._contents.providers.values()}
        for label in (plan.invalid.keys() | bodies.keys()) - known:
            state = bodies.get(label, State())
            if found := plan.invalid.get(label):
                shown = reconcile.invalid(state, found, before=state, now=self._clock.now())
                await self._show(Change(label, state, shown))
            else:
                namespace, _, name = label.partition("/")
                await self._registry.put_state(namespace, name, None)

    async def _show(self, change: Change) -> None:
        """Keeps what is shown, then tells it. Raises StoreAway."""
        if change.new != change.old:
            namespace, _, name = change.label.partition("/")
            await self._registry.put_state(namespace, name, change.new.to_json())
            _log_change(change)
        self._last[change.label] = change.new
        if change.provider is not None and not change.provider.removed:
            self._metrics.show(change.provider, change.new)
        self._shown(change)

    async def _states(self) -> dict[str, State]:
        return {label: states.from_json(body) for label, body in (await self._registry.states()).items()}

    async def _load(self) -> None:
        self._contents = await self._registry.load()
        self._schedule.know(set(self._contents.entries))


def _label(provider: Provider) -> str:
    return f"{provider.namespace}/{provider.name}"


def _log_change(change: Change) -> None:
    before = {item.type: (item.status, item.reason) for item in change.old.conditions}
    for item in change.new.conditions:
        if before.get(item.type) != (item.status, item.reason):
            log.info(
                "condition_changed",
                resource=change.label,
                type=item.type.value,
                status=item.status.value,
                reason=item.reason.value,
            )
