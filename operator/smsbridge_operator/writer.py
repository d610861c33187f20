"""Writes what is shown into the API server: statuses and Events.

Not by the framework's own patches: one that fails there ends its handler for good, and the resource would
show for ever what was so then.
"""

from typing import Any

import structlog

from smsbridge.core import errors
from smsbridge.provisioning import spec as specs
from smsbridge_operator import api, crd
from smsbridge_operator.board import Board, Event
from smsbridge_operator.cluster import Cluster, Resource

log = structlog.get_logger()

_COMPONENT = "smsbridge-operator"
_LOOK_SECONDS = 10.0
_REFUSED = 422  # the definition is older than this operator


class Writer:
    def __init__(self, board: Board, source: Cluster, server: api.Api) -> None:
        self._board = board
        self._source = source
        self._server = server

    async def step(self) -> None:
        """Waits for news, and writes them. Raises ServiceAway where some could not be written: they stay."""
        await self._board.news(within_seconds=_LOOK_SECONDS)
        failure: errors.SmsbridgeError | None = None
        for label in self._board.unwritten():
            resource = self._source.find(label)
            if resource is None:
                continue  # not listed yet, or gone
            try:
                await self._write(resource)
            except errors.SmsbridgeError as error:
                failure = error
        if failure is not None:
            raise failure

    async def _write(self, resource: Resource) -> None:
        page = self._board.read(resource.label, resource.uid)
        if page is None:
            return  # what is known is of one that had this name before
        if page.status:
            path = f"{_path(resource)}/status"
            answer = await self._server.ask(
                "PATCH", path, body={"status": page.status}, content_type=api.MERGE
            )
            if answer.status == _REFUSED:
                log.warning("status_refused", resource=resource.label)
            elif answer.status not in (api.OK, api.NOT_FOUND):
                raise errors.ServiceAway(f"the API server answers {answer.status} to a status")
        while page.events:
            await self._tell(resource, page.events[0])
            page.events.pop(0)
        self._board.written(resource.label, page.version)

    async def _tell(self, resource: Resource, event: Event) -> None:
        path = f"/api/v1/namespaces/{resource.namespace}/events"
        answer = await self._server.ask("POST", path, body=_event(resource, event))
        if answer.status >= 500:
            raise errors.ServiceAway(f"the API server answers {answer.status} to an Event")
        if answer.status != api.CREATED:  # asking again changes nothing
            log.warning("event_refused", resource=resource.label, status=answer.status)


def _path(resource: Resource) -> str:
    group = f"/apis/{crd.GROUP}/{crd.VERSION}"
    return f"{group}/namespaces/{resource.namespace}/{crd.PLURAL}/{resource.name}"


def _event(resource: Resource, event: Event) -> dict[str, Any]:
    at = event.at.isoformat(timespec="seconds").replace("+00:00", "Z")
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"generateName": "smsbridge-", "namespace": resource.namespace},
        "involvedObject": {
            "apiVersion": specs.API_VERSION,
            "kind": specs.KIND,
            "namespace": resource.namespace,
            "name": resource.name,
            "uid": resource.uid,
        },
        "type": "Normal" if event.normal else "Warning",
        "reason": event.reason,
        "message": event.message[:1024],  # the API server's limit
        "source": {"component": _COMPONENT},
        "reportingComponent": _COMPONENT,
        "firstTimestamp": at,
        "lastTimestamp": at,
        "count": 1,
    }
