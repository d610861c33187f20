"""What the framework calls: each handler translates and delegates, nothing is decided here.

Indexes hold what is declared. Events say that something changed. The deletion lets go of a resource once the
registry has its provider as removed. What is shown, `writer` writes.
"""

from typing import Any, Protocol

import kopf

from smsbridge.provisioning import convert
from smsbridge_operator import api, cluster, crd
from smsbridge_operator.board import Board
from smsbridge_operator.cluster import Cluster

_PREFIX = crd.GROUP
FINALIZER = f"{_PREFIX}/provider"
_RESOURCE = (crd.GROUP, crd.VERSION, crd.PLURAL)
_SECRETS = ("", "v1", "secrets")
_RESOURCES_INDEX, _SECRETS_INDEX = "resources", "secrets"
_AGAIN_SECONDS = 5.0
_CHUNK = 100  # objects of one page while listing


class Farewell(Protocol):
    """What is done before a resource may go."""

    async def __call__(self, uid: str) -> bool:
        """False where it has to be tried again."""


def configure(settings: kopf.OperatorSettings) -> None:
    """Marks of our own on the resources, and no reading of what the operator may not read, or need not."""
    settings.persistence.finalizer = FINALIZER
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=_PREFIX)
    settings.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(prefix=_PREFIX)
    settings.posting.enabled = False  # Events are the writer's
    settings.scanning.disabled = True  # namespaces and definitions are not ours to watch
    # Certificates, tokens and releases of charts are not ours to keep in memory, and may be large.
    settings.watching.field_selectors[_SECRETS] = cluster.SECRETS_SELECTOR
    settings.watching.chunk_size = _CHUNK
    settings.watching.server_timeout = 300
    settings.networking.request_timeout = 30


def registry(
    source: Cluster, board: Board, *, farewell: Farewell, login: api.Login = api.login
) -> kopf.OperatorRegistry:
    handlers = kopf.OperatorRegistry()
    kopf.on.login(id="login", registry=handlers)(login)
    _indexes(handlers)
    _events(handlers, source, board)

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

    @kopf.index(*_SECRETS, id=_SECRETS_INDEX, registry=handlers)
    def secrets(body: kopf.Body, **_: Any) -> dict[cluster.Key, convert.Secret]:
        return {cluster.key(body): cluster.secret(body)}


def _events(handlers: kopf.OperatorRegistry, source: Cluster, board: Board) -> None:
    @kopf.on.event(*_RESOURCE, id="resource", registry=handlers)
    async def resource_changed(event: kopf.RawEvent, body: kopf.Body, **indexes: Any) -> None:
        source.follow(indexes[_RESOURCES_INDEX], indexes[_SECRETS_INDEX])
        source.touch()
        label = cluster.resource(body).label
        if event["type"] == "DELETED":
            board.forget(label)
        else:
            board.saw(label, body.status)

    @kopf.on.event(*_SECRETS, id="secret", registry=handlers)
    async def secret_changed(**indexes: Any) -> None:
        source.follow(indexes[_RESOURCES_INDEX], indexes[_SECRETS_INDEX])
        source.touch()
