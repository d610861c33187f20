"""Control of a portal's CRM and of its workflows.

POST   /portals/{domain}/crm/{kind}        orders.EntitiesOrder   many at once; answers their ids
GET    /portals/{domain}/crm/{kind}        ?offset=&limit=        reports.EntityReport
POST   /portals/{domain}/crm/{kind}/{id}   orders.EntityOrder     a change by hand
DELETE /portals/{domain}/crm/{kind}/{id}
GET    /portals/{domain}/crm-events                               posts by event and HTTP status
GET    /portals/{domain}/activities                               robots and activities, by application
POST   /portals/{domain}/run               orders.RunOrder        a robot or an activity: reports.StepReport
GET    /portals/{domain}/steps             ?offset=&limit=        what was run, the oldest first

`kind` is lead, contact or company.
"""

import dataclasses
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from aiohttp import web

from smsbridge.core import errors
from smsbridge.sandbox import control_web, orders, portal_posts, portal_workflows, reports
from smsbridge.sandbox.crm import Crm, Entity, Kind, UserField
from smsbridge.sandbox.portal import Portal
from smsbridge.sandbox.portal_app import Portals
from smsbridge.sandbox.portal_workflows import Workflows


class CrmControl:
    def __init__(self, portals: Portals, workflows: Workflows) -> None:
        self._portals = portals
        self._workflows = workflows

    def routes(self, prefix: str) -> list[web.AbstractRouteDef]:
        one = prefix + "/portals/{domain}"
        table = [
            ("POST", one + "/crm/{kind}", self._create),
            ("GET", one + "/crm/{kind}", self._entities),
            ("POST", one + "/crm/{kind}/{id}", self._change),
            ("DELETE", one + "/crm/{kind}/{id}", self._delete),
            ("GET", one + "/crm-events", self._told),
            ("GET", one + "/activities", self._activities),
            ("POST", one + "/run", self._run),
            ("GET", one + "/steps", self._steps),
        ]
        return [control_web.route(method, path, action) for method, path, action in table]

    def _portal(self, request: web.Request) -> Portal:
        return self._portals.named(request.match_info["domain"])

    async def _create(self, request: web.Request) -> control_web.Result:
        portal, kind = self._portal(request), _kind(request)
        order = await control_web.read_as(request, orders.EntitiesOrder)
        fields = _by_item(portal.crm, kind, order.fields)
        _check_user(portal, order.user_id)
        now = self._portals.clock.now()
        made = [
            portal.crm.add(kind, fields, phones=phones, by=order.user_id, now=now)
            for phones in _phones(order)
        ]
        if order.quiet:
            portal.crm.take_raised()
        self._portals.on_changed(portal)
        return reports.EntitiesReport(ids=[entity.entity_id for entity in made])

    async def _entities(self, request: web.Request) -> control_web.Result:
        portal, kind = self._portal(request), _kind(request)
        found = list(portal.crm.entities[kind].values())
        return [_report(portal.crm, entity) for entity in found[control_web.page(request)]]

    async def _change(self, request: web.Request) -> control_web.Result:
        portal = self._portal(request)
        entity = _entity(request, portal)
        order = await control_web.read_as(request, orders.EntityOrder)
        fields = _by_item(portal.crm, entity.kind, order.fields)
        _check_user(portal, order.user_id)
        portal.crm.update(entity, fields, by=order.user_id, now=self._portals.clock.now())
        self._portals.on_changed(portal)
        return _report(portal.crm, entity)

    async def _delete(self, request: web.Request) -> control_web.Result:
        portal = self._portal(request)
        entity = _entity(request, portal)
        del portal.crm.entities[entity.kind][entity.entity_id]
        return None

    async def _told(self, request: web.Request) -> control_web.Result:
        counts: defaultdict[str, dict[str, int]] = defaultdict(dict)
        for (event, status), count in self._portal(request).crm.told.items():
            counts[event][status] = count
        return counts

    async def _activities(self, request: web.Request) -> control_web.Result:
        return {
            application.client_id: [dataclasses.asdict(item) for item in application.activities.values()]
            for application in self._portal(request).applications.values()
        }

    async def _run(self, request: web.Request) -> control_web.Result:
        order = await control_web.read_as(request, orders.RunOrder)
        return await self._workflows.run(self._portal(request), order)

    async def _steps(self, request: web.Request) -> control_web.Result:
        steps = list(self._portal(request).steps.values())
        return [portal_workflows.report(step) for step in steps[control_web.page(request)]]


def _kind(request: web.Request) -> Kind:
    try:
        return Kind(request.match_info["kind"])
    except ValueError:
        raise errors.InputError("must be lead, contact or company", field="kind") from None


def _entity(request: web.Request, portal: Portal) -> Entity:
    number = request.match_info["id"]
    entity = portal.crm.entities[_kind(request)].get(int(number)) if number.isdigit() else None
    if entity is None:
        raise errors.InputError("the CRM has none with this id", field="id")
    return entity


def _check_user(portal: Portal, user_id: int) -> None:
    if user_id:
        portal_posts.pick_user(portal, user_id)


def _phones(order: orders.EntitiesOrder) -> Iterator[list[str]]:
    if order.range is None:
        yield from order.phones
        return
    span = order.range
    for number in range(span.start, span.start + span.count):
        yield [f"{span.prefix}{number:0{span.digits}d}"]


def _by_item(crm: Crm, kind: Kind, fields: dict[str, Any]) -> dict[str, Any]:
    """The ids of list items for their XML_IDs: people choose from a list, they know no ids."""
    result = dict(fields)
    for name, value in fields.items():
        field = crm.fields[kind].get(name)
        for item in field.items if field is not None else ():
            if value and item.xml_id == value:
                result[name] = str(item.item_id)
    return result


def _report(crm: Crm, entity: Entity) -> reports.EntityReport:
    users = crm.fields[entity.kind]
    return reports.EntityReport(
        entity_id=entity.entity_id,
        phones=[phone.value for phone in entity.phones],
        fields={name: value for name, value in entity.values.items() if name not in users},
        user_fields={
            name: _readable(field, entity.values[name])
            for name, field in users.items()
            if entity.values.get(name) is not None
        },
    )


def _readable(field: UserField, value: Any) -> Any:
    if isinstance(value, list):
        return [_readable(field, item) for item in value]
    for item in field.items:
        if str(item.item_id) == value:
            return item.xml_id or item.value
    return value
