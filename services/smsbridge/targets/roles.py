"""Each role with its dependencies, named one by one: what a role is not given it cannot use."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from prometheus_client import CollectorRegistry

from smsbridge.core import errors
from smsbridge.gateway import role as gateway
from smsbridge.hlr import role as hlr
from smsbridge.provisioning import role as provisioning
from smsbridge.provisioning.manifests_file import FileSource
from smsbridge.runtime import process, rpc
from smsbridge.sender import role as sender
from smsbridge.smsc.client import SmscClient
from smsbridge.status import role as status
from smsbridge.store.connection import Store
from smsbridge.store.installations import Installations
from smsbridge.store.keyring import Keyring
from smsbridge.store.portal_limiter import PortalLimiter
from smsbridge.store.registry import RegistryView
from smsbridge.targets.settings import Settings


class Target(StrEnum):
    GATEWAY = "gateway"
    SENDER = "sender"
    STATUS = "status"
    HLR = "hlr"
    PROVISIONER = "provisioner"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Parts:
    """What one process has. `providers` is the manifests' file, the provisioner's only."""

    settings: Settings
    store: Store
    keyring: Keyring
    registry: RegistryView
    installations: Installations
    endpoints: rpc.Endpoints
    metrics: CollectorRegistry
    providers: Path | None = None


def build(target: Target, parts: Parts) -> process.Role:
    return _BUILDERS[target](parts)


def _gateway(parts: Parts) -> process.Role:
    return gateway.Role(
        parts.settings.gateway,
        keyring=parts.keyring,
        store=parts.store,
        registry=parts.registry,
        installations=parts.installations,
        endpoints=parts.endpoints,
        metrics=parts.metrics,
        limits=PortalLimiter(parts.store, parts.settings.portal),
    )


def _sender(parts: Parts) -> process.Role:
    return sender.Role(
        parts.settings.sender,
        store=parts.store,
        registry=parts.registry,
        installations=parts.installations,
        endpoints=parts.endpoints,
        limits=parts.settings.account,
        egress=parts.settings.egress,
        client=SmscClient(parts.settings.smsc.client()),
        metrics=parts.metrics,
    )


def _status(parts: Parts) -> process.Role:
    return status.Role(
        parts.settings.status,
        store=parts.store,
        keyring=parts.keyring,
        registry=parts.registry,
        installations=parts.installations,
        endpoints=parts.endpoints,
        limits=parts.settings.account,
        egress=parts.settings.egress,
        portal_limits=parts.settings.portal,
        client=SmscClient(parts.settings.smsc.client()),
        metrics=parts.metrics,
    )


def _hlr(parts: Parts) -> process.Role:
    return hlr.Role(
        parts.settings.hlr,
        store=parts.store,
        keyring=parts.keyring,
        registry=parts.registry,
        installations=parts.installations,
        limits=parts.settings.account,
        egress=parts.settings.egress,
        portal_limits=PortalLimiter(parts.store, parts.settings.portal),
        client=SmscClient(parts.settings.smsc.client()),
        metrics=parts.metrics,
    )


def _provisioner(parts: Parts) -> process.Role:
    if parts.providers is None:
        raise errors.ConfigError("the provisioner follows a file of manifests: give --providers FILE")
    return provisioning.Role(
        parts.settings.provisioning,
        source=FileSource(parts.providers),
        store=parts.store,
        keyring=parts.keyring,
        installations=parts.installations,
        limits=parts.settings.account,
        egress=parts.settings.egress,
        client=SmscClient(parts.settings.smsc.client()),
        portal_limits=PortalLimiter(parts.store, parts.settings.portal),
        metrics=parts.metrics,
    )


_BUILDERS: dict[Target, Callable[[Parts], process.Role]] = {
    Target.GATEWAY: _gateway,
    Target.SENDER: _sender,
    Target.STATUS: _status,
    Target.HLR: _hlr,
    Target.PROVISIONER: _provisioner,
}
