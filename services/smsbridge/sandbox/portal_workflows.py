"""Runs a robot or an activity of an application: one post to its handler, and the wait for its answer.

A step that waits ends with `bizproc.event.send`, or when its time is over: then with `IsTimeout`, and later
answers are lost.
"""

import itertools
import secrets

from smsbridge.core import errors
from smsbridge.sandbox import portal_posts
from smsbridge.sandbox.orders import DocumentKind, RunOrder
from smsbridge.sandbox.portal import Activity, Application, Portal, Step
from smsbridge.sandbox.portal_app import Portals
from smsbridge.sandbox.portal_posts import Pairs, Poster
from smsbridge.sandbox.reports import PostReport, StepReport

_CLASSES = {
    DocumentKind.LEAD: "CCrmDocumentLead",
    DocumentKind.DEAL: "CCrmDocumentDeal",
    DocumentKind.CONTACT: "CCrmDocumentContact",
    DocumentKind.COMPANY: "CCrmDocumentCompany",
}
_WITHOUT_ROBOTS = frozenset({DocumentKind.CONTACT, DocumentKind.COMPANY})


class Workflows:
    def __init__(self, portals: Portals, poster: Poster) -> None:
        self._portals = portals
        self._poster = poster
        self._numbers = itertools.count(1)

    async def run(self, portal: Portal, order: RunOrder) -> StepReport:
        """Answers when the handler has; the step may go on waiting."""
        application = portal_posts.pick_application(portal, order.client_id)
        activity = application.activities.get(order.code)
        if activity is None:
            raise errors.InputError("no robot or activity with this code is registered", field="code")
        if activity.robot and order.document in _WITHOUT_ROBOTS:
            raise errors.InputError("there are no robots on contacts and companies", field="document")
        step = self._begin(activity, order)
        portal.steps[step.token] = step
        body = self._form(portal, application, activity, order, step)
        if step.waits and order.timeout_seconds:
            self._portals.clock.later(order.timeout_seconds, _time_out, step)
        posts = []
        for _ in range(order.copies):
            status, _, _ = await self._poster.post(
                activity.handler, body, timeout_seconds=portal.settings.handover_timeout_seconds
            )
            number = int(status) if status.isdigit() else 0
            posts.append(PostReport(url=activity.handler, status=number))
        return report(step, posts)

    def _begin(self, activity: Activity, order: RunOrder) -> Step:
        number = next(self._numbers)
        workflow_id = f"5a0d6f3c9b1e72.{number:08d}"
        token = f"{workflow_id}|A80391_60433_{number}|{secrets.token_urlsafe(24)}.{secrets.token_hex(16)}"
        waits = activity.use_subscription == "Y" or (not activity.use_subscription and order.wait)
        return Step(token, activity.code, workflow_id, waits, returns=tuple(activity.return_properties))

    def _form(
        self, portal: Portal, application: Application, activity: Activity, order: RunOrder, step: Step
    ) -> bytes:
        now = self._portals.clock.now()
        pair = None
        if activity.auth_user_id:
            user_id = portal_posts.pick_user(portal, activity.auth_user_id)
            granted = portal_posts.grant(portal, application, user_id)
            pair = self._portals.tokens.issue(granted, now=now, seconds=portal.settings.access_token_seconds)
        auth = portal_posts.auth_pairs(
            self._portals, portal, application, user_id=activity.auth_user_id, pair=pair, now=now
        )
        kind = order.document.upper()
        pairs: Pairs = [("workflow_id", step.workflow_id), ("code", step.code)]
        for name, last in (("document_id", f"{kind}_{order.document_id}"), ("document_type", kind)):
            parts = ("crm", _CLASSES[order.document], last)
            pairs += [(f"{name}[{number}]", part) for number, part in enumerate(parts)]
        pairs.append(("event_token", step.token))
        for key in activity.properties:
            pairs += _property(f"properties[{key}]", order.properties.get(key, ""))
        pairs += [
            ("use_subscription", "Y" if step.waits else "N"),
            ("timeout_duration", str(order.timeout_seconds)),
            ("ts", str(int(now))),
        ]
        return portal_posts.joined([*pairs, *auth])


def _property(name: str, value: str | list[str]) -> Pairs:
    if isinstance(value, list):
        return [(f"{name}[{number}]", item) for number, item in enumerate(value)]
    return [(name, value)]


def _time_out(step: Step) -> None:
    if step.waits:
        step.waits = False
        step.timed_out = True
        step.values = {"IsTimeout": 1}


def report(step: Step, posts: list[PostReport] | None = None) -> StepReport:
    return StepReport(
        token=step.token,
        code=step.code,
        workflow_id=step.workflow_id,
        waits=step.waits,
        values=step.values,
        log=step.log,
        timed_out=step.timed_out,
        answers=step.answers,
        posts=posts or [],
    )
