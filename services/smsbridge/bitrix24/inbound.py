"""What Bitrix24 posts to us, typed: a message, an event of the application or the CRM, a workflow's step, a
page in the portal.

Takes the fields that `forms` made and asks nobody: whether an application token is right, and what a phone is
worth, is decided elsewhere. Nothing here is trusted; above all no URL in it may be called before the token
was confirmed.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from smsbridge.bitrix24 import forms
from smsbridge.core import errors
from smsbridge.core.errand import EntityType
from smsbridge.core.message import Origin

# The names a message cannot do without, for `forms.parse_what_fits`.
MESSAGE_NAMES = ("message_id", "message_to", "message_body", "code", "module_id", "ts")
# The same for a step of a workflow; its settings are few, and stand in brackets.
STEP_NAMES = ("event_token", "code", "use_subscription")

# Posted with every message and not looked at; `properties` only where the message itself lacks its copy.
_UNREAD = frozenset(
    {
        ("type",),
        ("properties", "phone_number"),
        ("properties", "message_text"),
        ("auth", "access_token"),
        ("auth", "expires"),
        ("auth", "expires_in"),
        ("auth", "scope"),
        ("auth", "domain"),
        ("auth", "server_endpoint"),
        ("auth", "client_endpoint"),
        ("auth", "status"),
    }
)

_MESSAGE_ID = re.compile(r"[0-9A-Za-z._\-]{1,64}\Z")
_SPACES_OR_COMMAS = re.compile(r"[,\s]+")
_ORIGINS = {"crm": Origin.CARD, "bizproc": Origin.ROBOT, "sender": Origin.MARKETING}
# crm.enum.ownertype; ids from 128 on are the portal's own types.
_OWNER_TYPES = {
    1: "LEAD",
    2: "DEAL",
    3: "CONTACT",
    4: "COMPANY",
    5: "INVOICE",
    7: "QUOTE",
    14: "ORDER",
    31: "SMART_INVOICE",
}
_FIRST_DYNAMIC_TYPE = 128
_MAX_NAME = 256  # codes, ids, document names: longer ones are nobody's
_MAX_BINDINGS = 10  # documented: two
_CRM_PREFIX = "ONCRM"
_TOKEN = re.compile(r"[^\s\x00-\x1f\x7f\ufffd]{1,1024}\Z")  # opaque; a cut or mended one answers no step
# `contact_12` as we document it, `LEAD_98` as a document is called, `C_12` as the CRM's own fields show it.
_ENTITY = re.compile(r"([a-z]{1,7})[_/]0*([1-9][0-9]{0,17})\Z", re.ASCII)
_ENTITIES = {
    "contact": EntityType.CONTACT,
    "c": EntityType.CONTACT,
    "lead": EntityType.LEAD,
    "l": EntityType.LEAD,
    "company": EntityType.COMPANY,
    "co": EntityType.COMPANY,
}
# A `+` of a query is a space, but before a number it was meant.
_PLUS_OF_PHONE = re.compile(rb"((?:\A|&)phone=)\+")


@dataclass(frozen=True, slots=True)
class InboundMessage:
    message_id: str
    recipient: str = field(repr=False)  # as typed, not yet a number
    text: str = field(repr=False)
    code: str
    origin: Origin
    document_type: str  # LEAD, DEAL, DYNAMIC_183 and the like; empty where the portal does not tell
    document_id: tuple[str, ...]  # a robot's (module, class, LEAD_98)
    bindings: tuple[tuple[int, int], ...]  # a card's (owner type id, owner id); the first is the card itself
    application_token: str | None = field(repr=False)
    member_id: str | None
    user_id: str | None
    ts: int | None  # unix seconds of the hand-over to the queue


@dataclass(frozen=True, slots=True)
class AuthBlock:
    """`auth[...]` of a post, or what a frame carries instead. Absent values are empty; a frame has no
    client_endpoint.
    """

    member_id: str
    application_token: str = field(repr=False)
    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_at: int | None  # unix seconds
    expires_in_seconds: int | None
    scope: frozenset[str]
    domain: str
    server_endpoint: str
    client_endpoint: str
    status: str  # L local, F free, D demo, T trial, P paid
    user_id: str

    def access_expires_at(self, now: int) -> int:
        """Unix seconds; without any word about it the token counts as expired."""
        if self.expires_at is not None:
            return self.expires_at
        return now + (self.expires_in_seconds or 0)


class AppEventKind(StrEnum):
    INSTALL = "ONAPPINSTALL"
    UPDATE = "ONAPPUPDATE"
    UNINSTALL = "ONAPPUNINSTALL"


_APP_EVENTS = frozenset(AppEventKind)


class CrmEventKind(StrEnum):
    """Those of the CRM that something follows from."""

    LEAD_ADDED = "ONCRMLEADADD"
    CONTACT_ADDED = "ONCRMCONTACTADD"
    CONTACT_CHANGED = "ONCRMCONTACTUPDATE"


@dataclass(frozen=True, slots=True)
class AppEvent:
    kind: AppEventKind
    auth: AuthBlock
    ts: int | None
    version: str
    clean: bool  # an uninstall that also asks to forget the portal's data


@dataclass(frozen=True, slots=True)
class CrmEvent:
    event: str  # in capitals; not only those of CrmEventKind
    entity_id: int
    auth: AuthBlock
    ts: int | None


@dataclass(frozen=True, slots=True)
class StepRun:
    """One of our steps in a workflow. Nothing is judged: `settings` holds the first value of each, as it was
    entered, and may lack any.
    """

    code: str  # as it was registered; empty where the post does not tell
    event_token: str = field(repr=False)
    document_type: str
    document_id: tuple[str, ...]
    settings: Mapping[str, str] = field(repr=False)
    waits: bool  # the workflow stands still until it is answered
    application_token: str | None = field(repr=False)
    member_id: str | None


@dataclass(frozen=True, slots=True)
class WebhookStep:
    """The stock webhook step of a workflow. `phone` is empty where its address names none."""

    entity: EntityType
    entity_id: int
    phone: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class FrameOpened:
    auth: AuthBlock
    placement: str
    placement_options: Mapping[str, object]
    language: str
    app_sid: str = field(repr=False)


def message_fields(body: bytes, limits: forms.Limits = forms.DEFAULT_LIMITS) -> forms.Fields:
    """What `read_message` needs of a posted form. Raises FormTooLarge."""
    fields = forms.parse_what_fits(body, limits, wanted=MESSAGE_NAMES, unread=_UNREAD).fields
    if _text(fields, "message_to") and _text(fields, "message_body"):
        return fields
    return forms.parse_what_fits(body, limits, wanted=MESSAGE_NAMES).fields


def read_message(fields: forms.Fields) -> InboundMessage:
    """Raises InputError only where no message_id can be read: all else can still be told to the portal."""
    message_id = fields.get("message_id")
    if not isinstance(message_id, str) or _MESSAGE_ID.match(message_id) is None:
        raise errors.InputError(
            "no message id; post Bitrix24's own form, with 1 to 64 of 0-9 A-Z a-z . _ -", field="message_id"
        )
    properties = _map(fields, "properties")
    auth = _map(fields, "auth")
    origin = _ORIGINS.get(_short(fields, "module_id"), Origin.SERVICE)
    bindings = _bindings(fields) if origin is Origin.CARD else ()
    return InboundMessage(
        message_id=message_id,
        recipient=_text(fields, "message_to") or _text(properties, "phone_number"),
        text=_text(fields, "message_body") or _text(properties, "message_text"),
        code=_short(fields, "code"),
        origin=origin,
        document_type=_document_type(fields, origin=origin, bindings=bindings),
        document_id=_triple(fields, "document_id") if origin is Origin.ROBOT else (),
        bindings=bindings,
        application_token=_short(auth, "application_token") or None,
        member_id=_short(auth, "member_id") or None,
        user_id=_short(auth, "user_id") or None,
        ts=_number(fields, "ts"),
    )


def read_event(fields: forms.Fields) -> AppEvent | CrmEvent:
    """Raises InputError for an event that is neither the application's nor a CRM record's."""
    event = _short(fields, "event").upper()
    data = _map(fields, "data")
    if event in _APP_EVENTS:
        return AppEvent(
            kind=AppEventKind(event),
            auth=_auth(_map(fields, "auth")),
            ts=_number(fields, "ts"),
            version=_short(data, "VERSION"),
            clean=_short(data, "CLEAN") == "1",
        )
    entity_id = _number(_map(data, "FIELDS"), "ID")
    if not event.startswith(_CRM_PREFIX) or not entity_id:
        raise errors.InputError("this event is not one we bind; unbind it in the portal", field="event")
    return CrmEvent(
        event=event, entity_id=entity_id, auth=_auth(_map(fields, "auth")), ts=_number(fields, "ts")
    )


def read_step(fields: forms.Fields) -> StepRun:
    """Raises InputError only where no event token can be read: with one, the workflow can be answered."""
    event_token = _text(fields, "event_token")
    if _TOKEN.match(event_token) is None:
        raise errors.InputError("no event token; post what Bitrix24 posts for a step", field="event_token")
    document_type = _triple(fields, "document_type")
    auth = _map(fields, "auth")
    return StepRun(
        code=_short(fields, "code"),
        event_token=event_token,
        document_type=document_type[2] if len(document_type) == 3 else "",
        document_id=_triple(fields, "document_id"),
        settings={name: _first(value) for name, value in _map(fields, "properties").items()},
        waits=_short(fields, "use_subscription").upper() != "N",
        application_token=_short(auth, "application_token") or None,
        member_id=_short(auth, "member_id") or None,
    )


def read_webhook(query: bytes, fields: forms.Fields) -> WebhookStep:
    """`phone` and `entity` of the address; without `entity` the document that the step posts. Raises
    InputError where that is no contact, lead or company: an entity that is named and wrong is not replaced.
    """
    asked = forms.parse_what_fits(_PLUS_OF_PHONE.sub(rb"\1%2B", query), wanted=("phone", "entity")).fields
    named = _short(asked, "entity").strip()
    found = _entity(named) if named else _document(fields.get("document_id"))
    if found is None:
        raise errors.InputError(
            "no entity; add entity=lead_{{ID}} (or contact_, company_) to the address", field="entity"
        )
    return WebhookStep(*found, phone=_short(asked, "phone").strip())


def read_frame(query: Mapping[str, str], fields: forms.Fields) -> FrameOpened:
    """A page opened in the portal. Names come in mixed case, in the query or the body; the body has the last
    word.
    """
    merged: forms.Fields = {name.upper(): value for name, value in query.items()}
    merged.update((name.upper(), value) for name, value in fields.items())
    if not _short(merged, "AUTH_ID") or not _short(merged, "MEMBER_ID"):
        raise errors.InputError(
            "not opened by Bitrix24: open the application inside the portal", field="AUTH_ID"
        )
    auth = AuthBlock(
        member_id=_short(merged, "MEMBER_ID"),
        application_token=_short(merged, "APPLICATION_TOKEN"),
        access_token=_short(merged, "AUTH_ID"),
        refresh_token=_short(merged, "REFRESH_ID"),
        expires_at=None,
        expires_in_seconds=_number(merged, "AUTH_EXPIRES"),
        scope=split_scope(_text(merged, "APPLICATION_SCOPE")),
        domain=_short(merged, "DOMAIN"),
        server_endpoint=_short(merged, "SERVER_ENDPOINT"),
        client_endpoint="",
        status=_short(merged, "STATUS"),
        user_id="",
    )
    return FrameOpened(
        auth=auth,
        placement=_short(merged, "PLACEMENT") or "DEFAULT",
        placement_options=_options(merged.get("PLACEMENT_OPTIONS")),
        language=_short(merged, "LANG"),
        app_sid=_short(merged, "APP_SID"),
    )


def split_scope(scope: str) -> frozenset[str]:
    """Bitrix24 separates by commas in one place and by spaces in another."""
    return frozenset(part for part in _SPACES_OR_COMMAS.split(scope) if part)


def _auth(block: forms.Fields) -> AuthBlock:
    return AuthBlock(
        member_id=_short(block, "member_id"),
        application_token=_short(block, "application_token"),
        access_token=_short(block, "access_token"),
        refresh_token=_short(block, "refresh_token"),
        expires_at=_number(block, "expires"),
        expires_in_seconds=_number(block, "expires_in"),
        scope=split_scope(_text(block, "scope")),
        domain=_short(block, "domain"),
        server_endpoint=_short(block, "server_endpoint"),
        client_endpoint=_short(block, "client_endpoint"),
        status=_short(block, "status"),
        user_id=_short(block, "user_id"),
    )


def _document_type(fields: forms.Fields, *, origin: Origin, bindings: tuple[tuple[int, int], ...]) -> str:
    if origin is Origin.ROBOT:
        document_type = _triple(fields, "document_type")
        return document_type[2] if len(document_type) == 3 else ""
    if not bindings:
        return ""
    owner_type = bindings[0][0]
    return f"DYNAMIC_{owner_type}" if owner_type >= _FIRST_DYNAMIC_TYPE else _OWNER_TYPES.get(owner_type, "")


def _bindings(fields: forms.Fields) -> tuple[tuple[int, int], ...]:
    found: list[tuple[int, int]] = []
    for binding in list(_map(fields, "bindings").values())[:_MAX_BINDINGS]:
        if isinstance(binding, dict):
            owner_type, owner = _number(binding, "OWNER_TYPE_ID"), _number(binding, "OWNER_ID")
            if owner_type is not None and owner is not None:
                found.append((owner_type, owner))
    return tuple(found)


def _triple(fields: forms.Fields, name: str) -> tuple[str, ...]:
    block = _map(fields, name)
    parts = tuple(_short(block, str(number)) for number in range(3))
    return parts if any(parts) else ()


def _entity(name: str) -> tuple[EntityType, int] | None:
    match = _ENTITY.match(name.lower())
    entity = _ENTITIES.get(match[1]) if match is not None else None
    return (entity, int(match[2])) if match is not None and entity is not None else None


def _document(value: forms.Value | None) -> tuple[EntityType, int] | None:
    """(module, class, LEAD_98), or LEAD_98 alone: the last part that names one."""
    parts = list(value.values()) if isinstance(value, dict) else [value]
    found = [_entity(part[:_MAX_NAME].strip()) for part in parts if isinstance(part, str)]
    return next((one for one in reversed(found) if one is not None), None)


def _first(value: forms.Value) -> str:
    """A setting that may hold several values posts them all."""
    if isinstance(value, str):
        return value
    return next((item for item in value.values() if isinstance(item, str) and item), "")


def _map(fields: forms.Fields, name: str) -> forms.Fields:
    value = fields.get(name)
    return value if isinstance(value, dict) else {}


def _text(fields: forms.Fields, name: str) -> str:
    value = fields.get(name)
    return value if isinstance(value, str) else ""


def _short(fields: forms.Fields, name: str) -> str:
    value = fields.get(name)
    return value[:_MAX_NAME] if isinstance(value, str) else ""


def _number(fields: forms.Fields, name: str) -> int | None:
    """Plain digits only; at most 18 of them, so that the store's 64 bits hold it."""
    value = fields.get(name)
    if isinstance(value, str) and len(value) <= 18 and value.isascii() and value.isdigit():
        return int(value)
    return None


def _options(value: object) -> Mapping[str, object]:
    """PLACEMENT_OPTIONS is a JSON string, and `[]` where there are none."""
    if isinstance(value, dict):
        return dict(value)
    try:
        options = json.loads(value) if isinstance(value, str) else {}
    except (ValueError, RecursionError):
        return {}
    return options if isinstance(options, dict) else {}
