"""Control of the portals and of the OAuth host.

POST   /portals                         PortalSettings           another portal
PATCH  /portals/{domain}                part of PortalSettings   changed limits and times
POST   /portals/{domain}/applications   ApplicationSettings      an application known to the portal
POST   /portals/{domain}/install        orders.InstallOrder      also /open, /update
POST   /portals/{domain}/uninstall      orders.UninstallOrder
POST   /portals/{domain}/event          orders.EventOrder        a CRM event to its bound handlers
POST   /portals/{domain}/send           orders.SendOrder         one message
POST   /portals/{domain}/broadcast      orders.BroadcastOrder    many, in the background
GET    /broadcasts/{id}                                          reports.BroadcastReport
GET    /portals/{domain}/rows           ?phone=&message_id=&status=&offset=&limit=
GET    /portals/{domain}/summary                                 reports.RowSummary
GET    /portals/{domain}/handovers                               reports.HandoverReport
GET    /portals/{domain}/traffic                                 reports.Traffic
GET    /portals/{domain}/senders                                 what is registered, by application
POST   /portals/{domain}/rename         orders.RenameOrder       the old domain answers 302
POST   /portals/{domain}/expire-tokens, /delete
POST   /portals/{domain}/drop-rows      orders.DropRowsOrder
POST   /portals/{domain}/faults         faults.Fault             GET lists, DELETE clears; also /oauth/faults
GET    /oauth                                                    results of token calls
"""

from collections import Counter, defaultdict

from aiohttp import web

from smsbridge.core import errors
from smsbridge.sandbox import control_web, faults, oauth_app, orders, portal_app, reports
from smsbridge.sandbox.portal import Application, Portal, Row
from smsbridge.sandbox.portal_events import Events
from smsbridge.sandbox.portal_messages import Messages
from smsbridge.sandbox.settings import ApplicationSettings, PortalSettings


class PortalControl:
    def __init__(
        self, portals: portal_app.Portals, oauth: oauth_app.OAuthApp, events: Events, messages: Messages
    ) -> None:
        self._portals = portals
        self._oauth = oauth
        self._events = events
        self._messages = messages

    def routes(self, prefix: str) -> list[web.AbstractRouteDef]:
        one = prefix + "/portals/{domain}"
        table = [
            ("POST", prefix + "/portals", self._create),
            ("PATCH", one, self._change),
            ("POST", one + "/applications", self._add_application),
            ("POST", one + "/install", self._install),
            ("POST", one + "/open", self._open),
            ("POST", one + "/update", self._update),
            ("POST", one + "/uninstall", self._uninstall),
            ("POST", one + "/event", self._event),
            ("POST", one + "/send", self._send),
            ("POST", one + "/broadcast", self._broadcast),
            ("GET", prefix + "/broadcasts/{id}", self._progress),
            ("GET", one + "/rows", self._rows),
            ("GET", one + "/summary", self._summary),
            ("GET", one + "/handovers", self._handovers),
            ("GET", one + "/traffic", self._traffic),
            ("GET", one + "/senders", self._senders),
            ("POST", one + "/rename", self._rename),
            ("POST", one + "/expire-tokens", self._expire),
            ("POST", one + "/drop-rows", self._drop_rows),
            ("POST", one + "/delete", self._delete),
            ("POST", one + "/faults", self._add_fault),
            ("GET", one + "/faults", self._list_faults),
            ("DELETE", one + "/faults", self._clear_faults),
            ("POST", prefix + "/oauth/faults", self._add_oauth_fault),
            ("GET", prefix + "/oauth/faults", self._list_oauth_faults),
            ("DELETE", prefix + "/oauth/faults", self._clear_oauth_faults),
            ("GET", prefix + "/oauth", self._oauth_results),
        ]
        return [control_web.route(method, path, action) for method, path, action in table]

    def _portal(self, request: web.Request) -> Portal:
        return self._portals.named(request.match_info["domain"])

    async def _create(self, request: web.Request) -> control_web.Result:
        settings = await control_web.read_as(request, PortalSettings)
        if settings.domain in self._portals.by_domain:
            raise errors.InputError("a portal with this domain exists", field="domain")
        return self.describe(self._portals.add(settings))

    async def _change(self, request: web.Request) -> control_web.Result:
        portal = self._portal(request)
        changes = await control_web.read(request)
        if not changes.keys().isdisjoint({"domain", "member_id"}):
            raise errors.InputError("use /rename for another domain; a member_id never changes")
        portal.reconfigure(control_web.merged(portal.settings, changes))
        return self.describe(portal)

    def describe(self, portal: Portal) -> reports.PortalReport:
        endpoint = self._portals.endpoint(portal.domain)
        return reports.PortalReport(
            domain=portal.domain,
            member_id=portal.member_id,
            endpoint=endpoint,
            client_endpoint=endpoint,
            applications=[
                {"client_id": item.client_id, "installed": item.installed, "senders": list(item.senders)}
                for item in portal.applications.values()
            ],
        )

    async def _add_application(self, request: web.Request) -> control_web.Result:
        portal = self._portal(request)
        settings = await control_web.read_as(request, ApplicationSettings)
        if settings.client_id in portal.applications:
            raise errors.InputError("the portal has this application", field="client_id")
        portal.applications[settings.client_id] = Application(settings)
        return self.describe(portal)

    async def _install(self, request: web.Request) -> control_web.Result:
        order = await control_web.read_as(request, orders.InstallOrder)
        return await self._events.install(self._portal(request), order)

    async def _open(self, request: web.Request) -> control_web.Result:
        order = await control_web.read_as(request, orders.InstallOrder)
        return await self._events.open_frame(self._portal(request), order)

    async def _update(self, request: web.Request) -> control_web.Result:
        order = await control_web.read_as(request, orders.InstallOrder)
        return await self._events.update(self._portal(request), order)

    async def _uninstall(self, request: web.Request) -> control_web.Result:
        order = await control_web.read_as(request, orders.UninstallOrder)
        return await self._events.uninstall(self._portal(request), order)

    async def _event(self, request: web.Request) -> control_web.Result:
        order = await control_web.read_as(request, orders.EventOrder)
        return await self._events.crm_event(self._portal(request), order)

    async def _send(self, request: web.Request) -> control_web.Result:
        order = await control_web.read_as(request, orders.SendOrder)
        return await self._messages.send(self._portal(request), order)

    async def _broadcast(self, request: web.Request) -> control_web.Result:
        order = await control_web.read_as(request, orders.BroadcastOrder)
        return self._messages.broadcast(self._portal(request), order)

    async def _progress(self, request: web.Request) -> control_web.Result:
        return self._messages.progress(request.match_info["id"])

    async def _rows(self, request: web.Request) -> control_web.Result:
        wanted = {name: request.query.get(name, "") for name in ("phone", "message_id", "status")}
        rows = [
            row
            for row in self._portal(request).rows.values()
            if all(not value or getattr(row, name) == value for name, value in wanted.items())
        ]
        return [_row(row) for row in rows[control_web.page(request)]]

    async def _summary(self, request: web.Request) -> control_web.Result:
        return summary(self._portal(request))

    async def _handovers(self, request: web.Request) -> control_web.Result:
        return self._portal(request).handovers.report()

    async def _traffic(self, request: web.Request) -> control_web.Result:
        return self._portal(request).traffic(self._portals.clock.now())

    async def _senders(self, request: web.Request) -> control_web.Result:
        applications = self._portal(request).applications.values()
        return {
            item.client_id: [
                {
                    "code": sender.code,
                    "handler": sender.handler,
                    "name": sender.name,
                    "description": sender.description,
                }
                for sender in item.senders.values()
            ]
            for item in applications
        }

    async def _rename(self, request: web.Request) -> control_web.Result:
        portal = self._portal(request)
        order = await control_web.read_as(request, orders.RenameOrder)
        if order.domain in self._portals.by_domain:
            raise errors.InputError("a portal with this domain exists", field="domain")
        self._portals.rename(portal, order.domain)
        return self.describe(portal)

    async def _expire(self, request: web.Request) -> control_web.Result:
        member_id = self._portal(request).member_id
        return {"expired": self._portals.tokens.expire(member_id=member_id, now=self._portals.clock.now())}

    async def _drop_rows(self, request: web.Request) -> control_web.Result:
        portal = self._portal(request)
        order = await control_web.read_as(request, orders.DropRowsOrder)
        dropped = [portal.rows.pop(name, None) for name in order.message_ids or list(portal.rows)]
        return {"dropped": sum(row is not None for row in dropped)}

    async def _delete(self, request: web.Request) -> control_web.Result:
        self._portal(request).deleted = True
        return None

    async def _add_fault(self, request: web.Request) -> control_web.Result:
        fault = await control_web.read_as(request, faults.Fault)
        if portal_app.unknown_fault(fault):
            raise errors.InputError("this fault is not one of a portal's", field="kind")
        self._portal(request).faults.add(fault)
        return None

    async def _list_faults(self, request: web.Request) -> control_web.Result:
        return {"faults": self._portal(request).faults.report()}

    async def _clear_faults(self, request: web.Request) -> control_web.Result:
        self._portal(request).faults.clear()
        return None

    async def _add_oauth_fault(self, request: web.Request) -> control_web.Result:
        fault = await control_web.read_as(request, faults.Fault)
        if fault.kind not in oauth_app.KINDS:
            raise errors.InputError("this fault is not one of the OAuth host's", field="kind")
        self._oauth.faults.add(fault)
        return None

    async def _list_oauth_faults(self, _: web.Request) -> control_web.Result:
        return {"faults": self._oauth.faults.report()}

    async def _clear_oauth_faults(self, _: web.Request) -> control_web.Result:
        self._oauth.faults.clear()
        return None

    async def _oauth_results(self, _: web.Request) -> control_web.Result:
        return {"token": dict(self._portals.tokens.results)}


def _row(row: Row) -> reports.RowReport:
    return reports.RowReport(
        message_id=row.message_id,
        phone=row.phone,
        origin=row.origin,
        status=row.status,
        inserted=row.inserted,
        history=list(row.history),
        writes=row.writes,
    )


def summary(portal: Portal) -> reports.RowSummary:
    rows = list(portal.rows.values())
    by_ending: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        by_ending[row.phone[-2:]][row.status] += 1
    return reports.RowSummary(
        total=len(rows),
        by_status=dict(Counter(row.status for row in rows)),
        by_ending={ending: dict(counts) for ending, counts in sorted(by_ending.items())},
        written=sum(row.writes > 0 for row in rows),
        writes=sum(row.writes for row in rows),
        regressions=sum(_went_back(row) for row in rows),
    )


def _went_back(row: Row) -> bool:
    """The application itself replaced `delivered`."""
    before = ""
    for _, status, by in row.history:
        if before == "delivered" and by == "app":
            return True
        before = status
    return False
