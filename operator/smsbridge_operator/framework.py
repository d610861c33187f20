"""Runs the framework over our handlers: waits for the definition, then listens until it is told to stop."""

import asyncio
import logging

import kopf
import structlog

from smsbridge.core import errors
from smsbridge.runtime import retry
from smsbridge_operator import api, crd, handlers
from smsbridge_operator.board import Board
from smsbridge_operator.cluster import Cluster
from smsbridge_operator.settings import OperatorSettings

log = structlog.get_logger()

_DISCOVERY = f"/apis/{crd.GROUP}/{crd.VERSION}"
_FOUND, _MISSING = 200, 404


class Framework:
    """`problem` says why it does not listen (yet), empty where it does; `listening` is set when it begins."""

    def __init__(
        self, source: Cluster, board: Board, *, farewell: handlers.Farewell, settings: OperatorSettings
    ) -> None:
        self._settings = settings
        self._registry = handlers.registry(source, board, farewell=farewell, settings=settings)
        self._problem = "the API server has not been asked yet"
        self.listening = asyncio.Event()

    @property
    def problem(self) -> str:
        return "" if self.listening.is_set() else self._problem

    async def run(self, stop: asyncio.Event) -> None:
        """Raises what the framework raises where it cannot go on."""
        await self._definition()
        settings = kopf.OperatorSettings()
        handlers.configure(settings)
        logging.getLogger("kopf").setLevel(logging.WARNING)
        await kopf.operator(
            registry=self._registry,
            settings=settings,
            # Peering is off; left alone, the framework looks up a name of its user, and an image has none.
            identity="smsbridge",  # type: ignore[arg-type]  # its NewType is private
            standalone=True,
            clusterwide=self._settings.cluster_wide,
            namespaces=self._settings.namespaces,
            stop_flag=stop,
            ready_flag=self.listening,
        )

    async def _definition(self) -> None:
        """Returns when the API server knows SmscProviders: the framework looks once, and never again."""
        async for _ in retry.attempts(retry.Backoff(first_seconds=1.0, cap_seconds=15.0)):
            problem = await self._missing()
            if not problem:
                return
            if problem != self._problem:
                log.warning("definition_waited_for", reason=problem)
            self._problem = problem

    async def _missing(self) -> str:
        try:
            status = await api.ask("GET", _DISCOVERY)
        except errors.SmsbridgeError as error:
            return error.sentence
        if status == _FOUND:
            return ""
        if status == _MISSING:
            return f"the cluster has no {crd.NAME}; install the chart's definition (crds.install)"
        return f"the API server answers {status} to our login"
