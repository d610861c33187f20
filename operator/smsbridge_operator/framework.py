"""Runs the framework over our handlers: waits until it may listen, then listens until it is told to stop."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import kopf
import structlog

from smsbridge.core import errors
from smsbridge.runtime import retry, tasks
from smsbridge_operator import api, crd, handlers
from smsbridge_operator.cluster import Cluster
from smsbridge_operator.settings import OperatorSettings

log = structlog.get_logger()

_DISCOVERY = f"/apis/{crd.GROUP}/{crd.VERSION}"
_RIGHTS_AGAIN_SECONDS = 30.0
_BACK_OFF = retry.Backoff(first_seconds=1.0, cap_seconds=15.0)


class Framework:
    """`problem` says why it does not listen (yet), empty where it does; `listening` is set when it begins.

    `left_out`: namespaces that it may not read. `listens` is called whenever it begins.
    """

    def __init__(
        self,
        source: Cluster,
        server: api.Api,
        registry: kopf.OperatorRegistry,
        *,
        settings: OperatorSettings,
        listens: Callable[[], object],
    ) -> None:
        self._source = source
        self._server = server
        self._registry = registry
        self._settings = settings
        self._listens = listens
        self._problem = "the API server has not been asked yet"
        self.listening = asyncio.Event()
        self.left_out: frozenset[str] = frozenset()

    @property
    def problem(self) -> str:
        return "" if self.listening.is_set() else self._problem

    async def run(self, stop: asyncio.Event) -> None:
        """Raises what the framework raises where it cannot go on."""
        logging.getLogger("kopf").setLevel(logging.WARNING)
        await self._until_good(self._missing)
        while not stop.is_set():
            await self._until_good(self._refused)
            if await self._listen(stop):
                return

    async def _listen(self, stop: asyncio.Event) -> bool:
        """False where it is to begin anew, with other namespaces."""
        own_stop = asyncio.Event()
        watching = asyncio.create_task(self._watch(own_stop), name="watch")
        others = [
            asyncio.create_task(stop.wait(), name="stop"),
            asyncio.create_task(self._more_rights(), name="rights"),
        ]
        telling = asyncio.create_task(self._tell(), name="listening")
        try:
            await asyncio.wait({watching, *others}, return_when=asyncio.FIRST_COMPLETED)
            ended = watching.done() or stop.is_set()
            own_stop.set()
            await watching
            return ended
        finally:
            own_stop.set()
            await tasks.end(*others, telling)
            self.listening.clear()

    async def _watch(self, stop: asyncio.Event) -> None:
        settings = kopf.OperatorSettings()
        handlers.configure(settings)
        wide = self._settings.cluster_wide
        await kopf.operator(
            registry=self._registry,
            settings=settings,
            # Peering is off; left alone, the framework looks up a name of its user, and an image has none.
            identity="smsbridge",  # type: ignore[arg-type]  # its NewType is private
            standalone=True,
            clusterwide=wide,
            namespaces=() if wide else sorted(set(self._settings.namespaces) - self.left_out),
            stop_flag=stop,
            ready_flag=self.listening,
        )

    async def _tell(self) -> None:
        await self.listening.wait()
        self._listens()

    async def _until_good(self, look: Callable[[], Awaitable[str]]) -> None:
        """Asks again until there is no problem; each new one is logged once."""
        async for _ in retry.attempts(_BACK_OFF):
            try:
                problem = await look()
            except errors.SmsbridgeError as error:
                problem = error.sentence
            if not problem:
                return
            if problem != self._problem:
                log.warning("api_server_waited_for", reason=problem)
            self._problem = problem

    async def _missing(self) -> str:
        """The framework looks for the definition once, and never again."""
        status = (await self._server.ask("GET", _DISCOVERY)).status
        if status == api.OK:
            return ""
        if status == api.NOT_FOUND:
            return f"the cluster has no {crd.NAME}; install the chart's definition (crds.install)"
        return f"the API server answers {status} to our login"

    async def _refused(self) -> str:
        """What may not be read is left out: it would end the framework for all the others."""
        if self._settings.cluster_wide:
            self._source.look_into(None)
            return "" if await self._may_read("") else "SmscProviders and Secrets may not be listed"
        wanted = self._settings.namespaces
        left_out = frozenset([name for name in wanted if not await self._may_read(name)])
        for name in sorted(left_out - self.left_out):
            log.warning("namespace_left_out", namespace=name)
        self.left_out = left_out
        allowed = frozenset(wanted) - left_out
        self._source.look_into(allowed)
        names = ", ".join(sorted(self.left_out))
        return "" if allowed else f"SmscProviders and Secrets may not be listed in namespace {names}"

    async def _may_read(self, namespace: str) -> bool:
        within = f"/namespaces/{namespace}" if namespace else ""
        for path in (f"{_DISCOVERY}{within}/{crd.PLURAL}?limit=1", f"/api/v1{within}/secrets?limit=1"):
            status = (await self._server.ask("GET", path)).status
            if status not in (api.OK, api.FORBIDDEN):
                raise errors.ServiceAway(f"the API server answers {status} to a list")
            if status == api.FORBIDDEN:
                return False
        return True

    async def _more_rights(self) -> None:
        """Returns when a namespace that was left out may be read."""
        while True:
            await asyncio.sleep(_RIGHTS_AGAIN_SECONDS)
            try:
                if any([await self._may_read(name) for name in sorted(self.left_out)]):
                    return
            except errors.ServiceAway:
                continue
