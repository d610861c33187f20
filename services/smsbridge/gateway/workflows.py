"""What the steps of a workflow and the CRM's events ask for: messages for the sender, errands for hlr.

Pure functions over what `bitrix24.inbound` has read. Whether a phone or a text is worth anything the sender
and hlr decide; here nothing is refused.
"""

from dataclasses import dataclass

from smsbridge.bitrix24 import steps
from smsbridge.bitrix24.inbound import CrmEvent, CrmEventKind, StepRun, WebhookStep
from smsbridge.bitrix24.steps import Setting
from smsbridge.core import cascade
from smsbridge.core.errand import EntityType, Errand, ErrandKind
from smsbridge.core.message import Origin, ReportTo, Route, TokenCheck
from smsbridge.core.provider import Provider
from smsbridge.rpc.message import Outgoing

_MOST_DIGITS = 9
_MOST_PHONE = 256
_NOBODYS_CODE = "/"  # no provider's code has it

_ROUTES = {route.value: route for route in Route}
_EVENTS: dict[str, tuple[ErrandKind, EntityType]] = {
    CrmEventKind.LEAD_ADDED: (ErrandKind.ADDED, EntityType.LEAD),
    CrmEventKind.CONTACT_ADDED: (ErrandKind.ADDED, EntityType.CONTACT),
    CrmEventKind.CONTACT_CHANGED: (ErrandKind.CHANGED, EntityType.CONTACT),
}


@dataclass(frozen=True, slots=True)
class Post:
    """Whose door it came through, when, and how its application token compared."""

    provider: Provider
    at_ms: int
    token_check: TokenCheck = TokenCheck.ABSENT
    token_digest: str = ""


def step_of(provider: Provider, run: StepRun, *, code: str) -> steps.Step | None:
    """The step that the address names (`code`), and the post too unless it names none; None where they differ
    or mean no step of this provider's.
    """
    named = steps.step_of(provider.code, code)
    return named if not run.code or steps.step_of(provider.code, run.code) is named else None


def message(post: Post, run: StepRun, *, foreign: bool = False) -> Outgoing:
    """Of the step that sends. `foreign`: of a run that means no step of ours. The sender fails that one as
    another provider's, and so its workflow is answered, by whatever settings it has.
    """
    settings = run.settings
    return Outgoing(
        provider_uid=post.provider.uid,
        message_id="",
        dedupe_key=run.event_token,
        event_token=run.event_token,
        recipient=settings.get(Setting.PHONE, ""),
        text=settings.get(Setting.TEXT, ""),
        origin=Origin.ROBOT,
        report_to=_report_to(run),
        route=_ROUTES.get(settings.get(Setting.CHANNEL, "").strip().lower()),
        wait_seconds=_wait_seconds(settings.get(Setting.WAIT_SECONDS, ""), post.provider),
        accepted_at_ms=post.at_ms,
        document_type=run.document_type,
        token_check=post.token_check,
        token_digest=post.token_digest,
        code=_NOBODYS_CODE if foreign else post.provider.code,
    )


def errand_of_step(post: Post, run: StepRun) -> Errand:
    return Errand(
        provider_uid=post.provider.uid,
        kind=ErrandKind.STEP,
        phone=run.settings.get(Setting.PHONE, "")[:_MOST_PHONE],
        event_token=run.event_token,
        accepted_at_ms=post.at_ms,
        token_check=post.token_check,
        token_digest=post.token_digest,
    )


def errand_of_webhook(post: Post, asked: WebhookStep) -> Errand:
    return Errand(
        provider_uid=post.provider.uid,
        kind=ErrandKind.WEBHOOK,
        entity=asked.entity,
        entity_id=asked.entity_id,
        phone=asked.phone,
        accepted_at_ms=post.at_ms,
    )


def errand_of_event(post: Post, event: CrmEvent) -> Errand | None:
    """None for events that nothing follows from."""
    follows = _EVENTS.get(event.event)
    if follows is None:
        return None
    kind, entity = follows
    return Errand(
        provider_uid=post.provider.uid,
        kind=kind,
        entity=entity,
        entity_id=event.entity_id,
        accepted_at_ms=post.at_ms,
        token_check=post.token_check,
        token_digest=post.token_digest,
    )


def _report_to(run: StepRun) -> ReportTo:
    if not run.waits:
        return ReportTo.NOBODY
    awaits_final = run.settings.get(Setting.AWAIT_FINAL, "").strip().upper() == "Y"
    return ReportTo.ROBOT if awaits_final else ReportTo.ROBOT_AT_ONCE


def _wait_seconds(entered: str, provider: Provider) -> int:
    """Within the bounds of `routing.viberTimeout`; 0, the provider's own wait, for all that is no number of
    seconds.
    """
    digits = entered.strip()
    if not (digits.isascii() and digits.isdigit()):
        return 0
    digits = digits.lstrip("0")
    if len(digits) > _MOST_DIGITS:
        return cascade.MOST_WAIT_SECONDS
    seconds = int(digits or "0")
    least = cascade.least_wait_seconds(sandbox=provider.sandbox)
    return min(max(seconds, least), cascade.MOST_WAIT_SECONDS) if seconds else 0
