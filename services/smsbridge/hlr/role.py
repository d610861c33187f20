"""Wires the hlr role: store and registry below, gRPC above."""

from typing import ClassVar

from prometheus_client import CollectorRegistry

from smsbridge.api.v1 import hlr_pb2_grpc
from smsbridge.hlr.metrics import HlrMetrics
from smsbridge.hlr.service import HlrService, Providers
from smsbridge.hlr.servicer import SERVICE_NAME, HlrServicer
from smsbridge.hlr.settings import HlrSettings
from smsbridge.runtime import rpc
from smsbridge.store.connection import Store
from smsbridge.store.keyring import Keyring
from smsbridge.store.preferences import Preferences


class Role:
    name: ClassVar[str] = "hlr"

    def __init__(
        self,
        settings: HlrSettings,
        *,
        store: Store,
        keyring: Keyring,
        registry: Providers,
        metrics: CollectorRegistry,
    ) -> None:
        self._settings = settings
        self._store = store
        self._server = rpc.RpcServer(listen=settings.listen, registry=metrics)
        service = HlrService(
            preferences=Preferences(store, keyring, kept_days=settings.preference_days),
            providers=registry,
            metrics=HlrMetrics(metrics),
            max_numbers=settings.max_numbers,
        )
        hlr_pb2_grpc.add_HlrServiceServicer_to_server(HlrServicer(service), self._server.server)

    @property
    def address(self) -> str:
        return self._server.address

    async def start(self) -> None:
        await self._server.start([SERVICE_NAME])

    async def stop(self) -> None:
        await self._server.stop(grace_seconds=self._settings.stop_grace_seconds)

    async def ready(self) -> str:
        return await self._store.check()
