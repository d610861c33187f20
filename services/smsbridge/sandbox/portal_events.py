"""An application's life on a portal: installed, opened in a frame, updated, removed; and CRM events.

Installing, updating and removing drop or make tokens first and post afterwards, in the documented shapes.
"""

from smsbridge.core import errors
from smsbridge.sandbox import php, portal_posts
from smsbridge.sandbox.orders import EventOrder, InstallOrder, UninstallOrder
from smsbridge.sandbox.portal import Application, Portal
from smsbridge.sandbox.portal_app import Portals
from smsbridge.sandbox.portal_posts import Pairs, Poster
from smsbridge.sandbox.reports import EventReport, PostReport
from smsbridge.sandbox.tokens import Pair


class Events:
    def __init__(self, portals: Portals, poster: Poster) -> None:
        self._portals = portals
        self._poster = poster

    async def install(self, portal: Portal, order: InstallOrder) -> EventReport:
        """ONAPPINSTALL for an application without pages; for one with pages the install page in a frame."""
        application = portal_posts.pick_application(portal, order.client_id)
        _take_url(application, order)
        _renew_token(application, order)
        application.present = True
        if application.settings.ui:
            return await self.open_frame(portal, order)
        application.installed = True
        pair = self._issue(portal, application, order.user_id)
        data = [
            ("data[VERSION]", str(application.version)),
            ("data[ACTIVE]", "Y"),
            ("data[INSTALLED]", "Y"),
            ("data[LANGUAGE_ID]", "ru"),
        ]
        body = self._event(portal, application, "ONAPPINSTALL", data, user_id=order.user_id, pair=pair)
        return await self._told(portal, application, {application.install_url: body}, pair)

    async def open_frame(self, portal: Portal, order: InstallOrder) -> EventReport:
        """The application's page; a page that calls installFinish ends the installation."""
        application = portal_posts.pick_application(portal, order.client_id)
        _take_url(application, order)
        if not application.present:
            raise errors.InputError("the application is not installed: install it first", field="client_id")
        pair = self._issue(portal, application, order.user_id)
        session = pair.access_token[:32]
        query = [
            ("DOMAIN", portal.domain),
            ("PROTOCOL", "1"),
            ("LANG", "ru"),
            ("APP_SID", session),
        ]
        url = application.install_url
        url += ("&" if "?" in url else "?") + php.build_query(query)
        form = [
            ("AUTH_ID", pair.access_token),
            ("AUTH_EXPIRES", str(int(portal.settings.access_token_seconds))),
            ("REFRESH_ID", pair.refresh_token),
            ("SERVER_ENDPOINT", self._portals.server_endpoint),
            ("APPLICATION_TOKEN", application.application_token),
            ("APPLICATION_SCOPE", ",".join(application.settings.scope)),
            ("member_id", portal.member_id),
            ("status", application.settings.status),
            ("PLACEMENT", "DEFAULT"),
            ("PLACEMENT_OPTIONS", '{"any":"6/"}'),
        ]
        report = await self._told(portal, application, {url: portal_posts.joined(form)}, pair, keep_body=True)
        if any(post.status == 200 and "installFinish" in post.body for post in report.posts):
            application.installed = True
        return report

    async def update(self, portal: Portal, order: InstallOrder) -> EventReport:
        """A new version: senders and event handlers are gone; told to install URL and bound handlers."""
        application = _installed(portal, order.client_id)
        _take_url(application, order)
        handlers = _handlers(application, "ONAPPUPDATE")
        application.forget_registrations()
        application.version += 1
        _renew_token(application, order)
        pair = self._issue(portal, application, order.user_id)
        data = [
            ("data[VERSION]", str(application.version)),
            ("data[PREVIOUS_VERSION]", str(application.version - 1)),
            ("data[LANGUAGE_ID]", "ru"),
        ]
        body = self._event(portal, application, "ONAPPUPDATE", data, user_id=order.user_id, pair=pair)
        urls = dict.fromkeys([application.install_url, *handlers], body)
        return await self._told(portal, application, urls, pair)

    async def uninstall(self, portal: Portal, order: UninstallOrder) -> EventReport:
        """Told only to handlers bound by event.bind: nothing is bound by itself."""
        application = _installed(portal, order.client_id)
        handlers = _handlers(application, "ONAPPUNINSTALL")
        application.forget_registrations()
        application.present = application.installed = False
        self._portals.tokens.revoke(member_id=portal.member_id, client_id=application.client_id)
        data = [("data[LANGUAGE_ID]", "ru"), ("data[CLEAN]", "1" if order.clean else "0")]
        body = self._event(portal, application, "ONAPPUNINSTALL", data, user_id=0, pair=None)
        return await self._told(portal, application, dict.fromkeys(handlers, body), None)

    async def crm_event(self, portal: Portal, order: EventOrder, *, depth: int = 1) -> EventReport:
        """Only the entity's id travels; without a user there are no tokens. `depth`: of the loop guard."""
        application = _installed(portal, order.client_id)
        pair = None
        if order.user_id:
            user_id = portal_posts.pick_user(portal, order.user_id)
            pair = self._portals.tokens.issue_access(
                portal_posts.grant(portal, application, user_id),
                now=self._portals.clock.now(),
                seconds=portal.settings.access_token_seconds,
                depth=depth,
            )
        handlers = _handlers(application, order.event.upper())
        bodies = {
            handler: self._event(
                portal,
                application,
                order.event.upper(),
                [("data[FIELDS][ID]", str(order.entity_id))],
                user_id=order.user_id,
                pair=pair,
                handler_id=str(number),
            )
            for number, handler in enumerate(handlers, start=1)
        }
        return await self._told(portal, application, bodies, pair)

    def _issue(self, portal: Portal, application: Application, user_id: int) -> Pair:
        granted = portal_posts.grant(portal, application, portal_posts.pick_user(portal, user_id))
        seconds = portal.settings.access_token_seconds
        return self._portals.tokens.issue(granted, now=self._portals.clock.now(), seconds=seconds)

    def _event(
        self,
        portal: Portal,
        application: Application,
        event: str,
        data: Pairs,
        *,
        user_id: int,
        pair: Pair | None,
        handler_id: str = "",
    ) -> bytes:
        now = self._portals.clock.now()
        auth = portal_posts.auth_pairs(
            self._portals, portal, application, user_id=user_id, pair=pair, now=now
        )
        identity = [("event_handler_id", handler_id)] if handler_id else []
        return portal_posts.joined([("event", event), *identity, *data, ("ts", str(int(now))), *auth])

    async def _told(
        self,
        portal: Portal,
        application: Application,
        bodies: dict[str, bytes],
        pair: Pair | None,
        *,
        keep_body: bool = False,
    ) -> EventReport:
        posts: list[PostReport] = []
        for url, body in bodies.items():
            status, _, answer = await self._poster.post(
                url, body, timeout_seconds=portal.settings.handover_timeout_seconds, keep_body=keep_body
            )
            posts.append(PostReport(url=url, status=int(status) if status.isdigit() else 0, body=answer))
        return EventReport(
            posts=posts,
            application_token=application.application_token,
            access_token=pair.access_token if pair is not None else "",
            refresh_token=pair.refresh_token if pair is not None else "",
        )


def _take_url(application: Application, order: InstallOrder) -> None:
    application.install_url = order.url or application.install_url
    if not application.install_url:
        raise errors.InputError("give the URL that the provider shows as its install URL", field="url")


def _renew_token(application: Application, order: InstallOrder) -> None:
    if order.new_application_token:
        application.application_token = Application(application.settings).application_token


def _installed(portal: Portal, client_id: str) -> Application:
    application = portal_posts.pick_application(portal, client_id)
    if not application.present:
        raise errors.InputError("the application is not installed on this portal", field="client_id")
    return application


def _handlers(application: Application, event: str) -> list[str]:
    return [binding["handler"] for binding in application.bindings if binding["event"] == event]
