"""The REST methods of a portal: senders, message statuses, the application itself, users, events.

Each answers with its result or raises `RestError`; who may call and in which order things are checked is as
the documentation and the product's source say. Parameter names arrive upper-cased.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from smsbridge.core import errors
from smsbridge.core.delivery import PortalStatus
from smsbridge.sandbox import php
from smsbridge.sandbox.portal import Application, Portal, Sender

_CODE = re.compile(r"[a-z0-9.\-_]+\Z", re.IGNORECASE)
_STATUSES = frozenset(status.value for status in PortalStatus)
_CAPTIONS = {"queued": "Queued", "sent": "Sent", "delivered": "Delivered", "undelivered": "Undelivered"}
_KNOWN_EVENTS = frozenset(
    {
        "ONAPPUPDATE",
        "ONAPPUNINSTALL",
        "ONCRMLEADADD",
        "ONCRMLEADUPDATE",
        "ONCRMCONTACTADD",
        "ONCRMCONTACTUPDATE",
        "ONCRMCOMPANYADD",
        "ONCRMCOMPANYUPDATE",
    }
)


class RestError(errors.Refused):
    code = "SandboxRestError"

    def __init__(self, error: str, description: str, *, status: int = 400) -> None:
        super().__init__(description)
        self.error = error
        self.status = status


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose token the call carries."""

    portal: Portal
    application: Application
    user_id: int
    now: float
    depth: int = 0  # how many events stand behind its token: 0 for an application's own

    @property
    def admin(self) -> bool:
        return self.portal.users.get(self.user_id, False)


Method = Callable[[Caller, dict[str, Any]], Any]


@dataclass(frozen=True, slots=True)
class Registered:
    run: Method
    scope: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """A list's result; `total` and `next` stand beside it in the answer, where they are counted."""

    items: Any
    total: int | None = None
    next: int | None = None


def denied(sentence: str) -> RestError:
    return RestError("ACCESS_DENIED", sentence, status=403)


def _invalid(sentence: str) -> RestError:
    return RestError("ERROR_SENDER_VALIDATION_FAILURE", sentence)


def require_admin(caller: Caller) -> None:
    if not caller.admin:
        raise denied("Access denied!")


def _checked_code(parameters: dict[str, Any]) -> str:
    code = php.scalar(parameters.get("CODE"))
    if not code:
        raise _invalid("Empty sender code!")
    if not _CODE.match(code):
        raise _invalid("Wrong sender code!")
    return code


def check_handler(handler: str) -> None:
    parts = urlsplit(handler)
    if not parts.scheme or not parts.hostname or "." not in parts.hostname[1:] or parts.hostname[0] == ".":
        raise RestError("ERROR_WRONG_HANDLER_URL", "Wrong handler URL")
    if parts.scheme not in {"http", "https"}:
        raise RestError("ERROR_UNSUPPORTED_PROTOCOL", "Unsupported handler protocol")


def _too_long(sender: Sender) -> bool:
    names = sender.name.values() if isinstance(sender.name, dict) else [sender.name]
    texts = sender.description.values() if isinstance(sender.description, dict) else [sender.description]
    return (
        len(sender.code) > 128
        or len(sender.handler) > 1000
        or any(len(php.scalar(name)) > 500 for name in names)
        or any(len(php.scalar(item)) > 1000 for item in texts)
    )


def _localised(value: Any, *, lower: bool) -> Any:
    """Language ids are lower-cased by add and kept as given by update."""
    if not isinstance(value, dict):
        return php.scalar(value)
    return {key.lower() if lower else key: php.scalar(text) for key, text in value.items()}


def sender_add(caller: Caller, parameters: dict[str, Any]) -> bool:
    require_admin(caller)
    if not parameters:
        raise _invalid("Empty data!")
    code = _checked_code(parameters)
    handler = php.scalar(parameters.get("HANDLER"))
    check_handler(handler)
    name = _localised(parameters.get("NAME"), lower=True)
    if not name:
        raise _invalid("Empty sender NAME!")
    kind = php.scalar(parameters.get("TYPE"))
    if not kind:
        raise _invalid("Empty sender message TYPE!")
    if kind != "SMS":
        raise _invalid("Unknown sender message TYPE!")
    if code in caller.application.senders:
        raise RestError("ERROR_SENDER_ALREADY_INSTALLED", "Sender already installed!")
    description = _localised(parameters.get("DESCRIPTION"), lower=True)
    if isinstance(name, dict) is not isinstance(description, dict):
        description = None  # of another kind than the name: saved as null
    sender = Sender(code, handler, name, description)
    if _too_long(sender):
        raise RestError("ERROR_SENDER_ADD_FAILURE", "Sender save error!")
    caller.application.senders[code] = sender
    return True


def sender_update(caller: Caller, parameters: dict[str, Any]) -> bool:
    require_admin(caller)
    code = php.scalar(parameters.get("CODE"))
    if not code:
        raise RestError("ERROR_SENDER_CODE_REQUIRED", "CODE is required!")
    given = {name: parameters[name] for name in ("HANDLER", "NAME", "DESCRIPTION") if name in parameters}
    if not given:
        raise RestError("ERROR_SENDER_OTHER_PARAMS_REQUIRED", "At least one other parameter is required!")
    sender = caller.application.senders.get(code)
    if sender is None:
        raise RestError("ERROR_SENDER_NOT_FOUND", "Sender not found!")
    changed = Sender(
        code,
        php.scalar(given.get("HANDLER", sender.handler)),
        _localised(given["NAME"], lower=False) if "NAME" in given else sender.name,
        _localised(given["DESCRIPTION"], lower=False) if "DESCRIPTION" in given else sender.description,
    )
    check_handler(changed.handler)
    if _too_long(changed) or not changed.name:
        raise RestError("ERROR_SENDER_UPDATE_FAILURE", "Sender update error!")
    caller.application.senders[code] = changed
    return True


def sender_delete(caller: Caller, parameters: dict[str, Any]) -> bool:
    require_admin(caller)
    code = _checked_code(parameters)
    if caller.application.senders.pop(code, None) is None:
        raise RestError("ERROR_SENDER_NOT_FOUND", "Sender not found!")
    return True


def sender_list(caller: Caller, _: dict[str, Any]) -> list[str]:
    require_admin(caller)
    return list(caller.application.senders)


def status_update(caller: Caller, parameters: dict[str, Any]) -> bool:
    _checked_code(parameters)
    message_id = php.scalar(parameters.get("MESSAGE_ID"))
    if not message_id:
        raise RestError("ERROR_MESSAGE_NOT_FOUND", "Message not found!")
    status = php.scalar(parameters.get("STATUS"))
    if status not in _STATUSES:
        raise RestError("ERROR_MESSAGE_STATUS_INCORRECT", "Message status incorrect!")
    row = caller.portal.find_row(message_id, caller.now)
    if row is None:
        raise RestError("ERROR_MESSAGE_NOT_FOUND", "Message not found!")
    if not caller.admin and row.author_id != caller.user_id:
        raise denied("Access denied!")
    row.writes += 1
    row.set(status, by="app", now=caller.now)
    return True


def status_get(caller: Caller, parameters: dict[str, Any]) -> str:
    """Wants the internal row id, which a provider never learns."""
    number = php.scalar(parameters.get("MESSAGE_ID"))
    row = caller.portal.rows_by_number.get(int(number)) if number.isascii() and number.isdigit() else None
    if row is None:
        raise RestError("ERROR_MESSAGE_NOT_FOUND", "Message not found!")
    return _CAPTIONS.get(row.status, row.status.capitalize())


def app_info(caller: Caller, _: dict[str, Any]) -> dict[str, Any]:
    application = caller.application
    return {
        "ID": 1,
        "CODE": application.client_id,
        "SCOPE": application.settings.scope,
        "VERSION": application.version,
        "STATUS": application.settings.status,
        "INSTALLED": application.installed,
        "PAYMENT_EXPIRED": "N",
        "DAYS": None,
        "LANGUAGE_ID": "ru",
        "LICENSE": "ru_project",
    }


def user_admin(caller: Caller, _: dict[str, Any]) -> bool:
    return caller.admin


def user_current(caller: Caller, _: dict[str, Any]) -> dict[str, Any]:
    return {"ID": str(caller.user_id), "ACTIVE": True, "NAME": "", "LAST_NAME": ""}


def profile(caller: Caller, _: dict[str, Any]) -> dict[str, Any]:
    return {"ID": str(caller.user_id), "ADMIN": caller.admin, "NAME": "", "LAST_NAME": ""}


def scope(caller: Caller, _: dict[str, Any]) -> list[str]:
    return list(caller.application.settings.scope)


def event_bind(caller: Caller, parameters: dict[str, Any]) -> bool:
    event = php.scalar(parameters.get("EVENT")).upper()
    if event not in _KNOWN_EVENTS:
        raise RestError("ERROR_EVENT_NOT_FOUND", "Event not found!")
    handler = php.scalar(parameters.get("HANDLER"))
    check_handler(handler)
    auth_type = php.scalar(parameters.get("AUTH_TYPE")) or "0"
    if auth_type != "0":
        require_admin(caller)
    binding = {"event": event, "handler": handler, "auth_type": auth_type, "offline": "0"}
    if binding in caller.application.bindings:
        raise RestError("ERROR_EVENT_BINDING_EXISTS", "Unable to set event handler: Handler already binded")
    caller.application.bindings.append(binding)
    return True


def event_get(caller: Caller, _: dict[str, Any]) -> list[dict[str, str]]:
    return [dict(binding) for binding in caller.application.bindings]


def event_unbind(caller: Caller, parameters: dict[str, Any]) -> dict[str, int]:
    event = php.scalar(parameters.get("EVENT")).upper()
    handler = php.scalar(parameters.get("HANDLER"))
    kept = [b for b in caller.application.bindings if (b["event"], b["handler"]) != (event, handler)]
    count = len(caller.application.bindings) - len(kept)
    caller.application.bindings[:] = kept
    return {"count": count}


METHODS: dict[str, Registered] = {
    "messageservice.sender.add": Registered(sender_add, "messageservice"),
    "messageservice.sender.update": Registered(sender_update, "messageservice"),
    "messageservice.sender.delete": Registered(sender_delete, "messageservice"),
    "messageservice.sender.list": Registered(sender_list, "messageservice"),
    "messageservice.message.status.update": Registered(status_update, "messageservice"),
    "messageservice.message.status.get": Registered(status_get, "messageservice"),
    "app.info": Registered(app_info),
    "user.admin": Registered(user_admin),
    "user.current": Registered(user_current),
    "profile": Registered(profile),
    "scope": Registered(scope),
    "event.bind": Registered(event_bind),
    "event.get": Registered(event_get),
    "event.unbind": Registered(event_unbind),
}
