"""What the framework calls: each handler translates and delegates, nothing is decided here.

Indexes hold what is declared. Events say that something changed. The timer writes what is shown. The deletion
lets go of a resource once the registry has its provider as removed.
"""

from collections.abc import Callable
from typing import Any, Protocol

import kopf

from smsbridge.provisioning import convert
from smsbridge_operator import api, cluster, crd
from smsbridge_operator.board import Board
from smsbridge_operator.cluster import Cluster
from smsbridge_operator.settings import OperatorSettings

_PREFIX = crd.GROUP
FINALIZER = f"{_PREFIX}/provider"
_RESOURCE = (crd.GROUP, crd.VERSION, crd.PLURAL)
_SECRETS = ("", "v1", "secrets")
_RESOURCES_INDEX, _SECRETS_INDEX = "resources", "secrets"
_TICK_SECONDS = 0.1  # the timer waits for news by itself
_AGAIN_SECONDS = 5.0
_OPAQUE = "Opaque"


class Farewell(Protocol):
    """What is done before a resource may go."""

    async def __call__(self, uid: str) -> bool:
        """False where it has to be tried again."""


def configure(settings: kopf.OperatorSettings) -> None:
    """Marks of our own on the resources, and no reading of what the operator may not read."""
    settings.persistence.finalizer = FINALIZER
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=_PREFIX)
    settings.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(prefix=_PREFIX)
    settings.posting.enabled = True
    settings.posting.loggers = False  # our own Events only, not every line of the framework
    settings.posting.reporting_component = "smsbridge-operator"
    settings.posting.event_name_prefix = "smsbridge-"
    settings.scanning.disabled = True  # namespaces and definitions are not ours to watch
    settings.watching.server_timeout = 300
    settings.networking.request_timeout = 30


def registry(
    source: Cluster,
    board: Board,
    *,
    farewell: Farewell,
    settings: OperatorSettings,
    login: Callable[..., kopf.ConnectionInfo | None] = api.login,
) -> kopf.OperatorRegistry:
    handlers = kopf.OperatorRegistry()
    kopf.on.login(id="login", registry=handlers)(login)
    _indexes(handlers)
    _events(handlers, source, board)

    @kopf.timer(*_RESOURCE, id="show", interval=_TICK_SECONDS, registry=handlers)
    async def show(
        namespace: str | None, name: str, body: kopf.Body, status: kopf.Status, patch: kopf.Patch, **_: Any
    ) -> None:
        label = f"{namespace}/{name}"
        await board.news(label, within_seconds=settings.status_seconds)
        for event in board.take_events(label):
            kind = "Normal" if event.normal else "Warning"
            kopf.event(body, type=kind, reason=event.reason, message=event.message)
        for key, value in board.status(label).items():
            if status.get(key) != value:
                patch.status[key] = value

    @kopf.on.delete(*_RESOURCE, id="remove", registry=handlers)
    async def remove(uid: str, **_: Any) -> None:
        source.touch()
        if not await farewell(uid):
            raise kopf.TemporaryError("the provider could not be removed from the registry", _AGAIN_SECONDS)

    return handlers


def _indexes(handlers: kopf.OperatorRegistry) -> None:
    @kopf.index(*_RESOURCE, id=_RESOURCES_INDEX, registry=handlers)
    def resources(body: kopf.Body, **_: Any) -> dict[cluster.Key, cluster.Resource]:
        return {cluster.key(body): cluster.resource(body)}

    @kopf.index(*_SECRETS, id=_SECRETS_INDEX, when=_is_opaque, registry=handlers)
    def secrets(body: kopf.Body, **_: Any) -> dict[cluster.Key, convert.Secret]:
        return {cluster.key(body): cluster.secret(body)}


def _is_opaque(body: kopf.Body, **_: Any) -> bool:
    """Certificates, tokens and releases of charts are not ours to keep in memory."""
    return bool(body.get("type", _OPAQUE) == _OPAQUE)


def _events(handlers: kopf.OperatorRegistry, source: Cluster, board: Board) -> None:
    @kopf.on.event(*_RESOURCE, id="resource", registry=handlers)
    async def resource_changed(
        event: kopf.RawEvent, namespace: str | None, name: str, body: kopf.Body, **indexes: Any
    ) -> None:
        source.follow(indexes[_RESOURCES_INDEX], indexes[_SECRETS_INDEX])
        source.touch()
        label = f"{namespace}/{name}"
        if event["type"] == "DELETED":
            board.forget(label)
        elif body.metadata.get("deletionTimestamp"):
            board.wake(label)

    @kopf.on.event(*_SECRETS, id="secret", when=_is_opaque, registry=handlers)
    async def secret_changed(**indexes: Any) -> None:
        source.follow(indexes[_RESOURCES_INDEX], indexes[_SECRETS_INDEX])
        source.touch()
