"""Robots and workflow activities of applications, and the answers that running steps get.

State and REST methods. How a step is run and posted is in `portal_workflows`.
"""

import re
from typing import Any

from smsbridge.sandbox import php
from smsbridge.sandbox.portal import Activity, Step
from smsbridge.sandbox.portal_methods import (
    Caller,
    Method,
    Registered,
    RestError,
    check_handler,
    denied,
    require_admin,
)

_CODE = re.compile(r"[a-z0-9.\-_]+\Z", re.IGNORECASE)
_PROPERTY = re.compile(r"[a-z][a-z0-9_]*\Z", re.IGNORECASE)


def _invalid(sentence: str) -> RestError:
    return RestError("ERROR_ACTIVITY_VALIDATION_FAILURE", sentence)


def _missing() -> RestError:
    return RestError("ERROR_ACTIVITY_NOT_FOUND", "Activity or Robot not found!")


def _code(parameters: dict[str, Any]) -> str:
    code = php.scalar(parameters.get("CODE"))
    if not code:
        raise _invalid("Empty activity code!")
    if not _CODE.match(code):
        raise _invalid("Wrong activity code!")
    return code


def _texts(value: Any) -> Any:
    return php.as_map(value) if isinstance(value, dict | list) else php.scalar(value)


def _properties(value: Any) -> dict[str, dict[str, Any]]:
    if value is None or value == "":
        return {}
    if not isinstance(value, dict | list):
        raise _invalid("Wrong properties array!")
    result = {}
    for key, given in php.as_map(value).items():
        if not _PROPERTY.match(key):
            raise _invalid(f"Wrong property key {key}!")
        item = {name.upper(): part for name, part in php.as_map(given).items()}
        if not _texts(item.get("NAME")):
            raise _invalid(f"Empty property NAME {key}!")
        result[key] = item
    return result


def _document_type(value: Any) -> list[str]:
    if value is None or value == "":
        return []
    parts = [php.scalar(part) for part in php.as_map(value).values()]
    if len(parts) != 3 or not all(parts[1:]):
        raise _invalid("Wrong activity DOCUMENT_TYPE!")
    return parts


def _filter(value: Any) -> dict[str, Any]:
    if value is None or value == "":
        return {}
    rules = {name.upper(): rule for name, rule in php.as_map(value).items()}
    if not rules or not rules.keys() <= {"INCLUDE", "EXCLUDE"}:
        raise _invalid("Wrong activity FILTER!")
    return rules


def _write(activity: Activity, given: dict[str, Any]) -> None:
    """Checked in this order; nothing is kept of what is refused."""
    handler = php.scalar(given.get("HANDLER", activity.handler))
    check_handler(handler)
    name = _texts(given.get("NAME", activity.name))
    if not name:
        raise _invalid("Empty activity NAME!")
    properties = _properties(given["PROPERTIES"]) if "PROPERTIES" in given else activity.properties
    returned = (
        _properties(given["RETURN_PROPERTIES"])
        if "RETURN_PROPERTIES" in given
        else activity.return_properties
    )
    document_type = _document_type(given.get("DOCUMENT_TYPE", activity.document_type or None))
    rules = _filter(given.get("FILTER", activity.rules or None))
    activity.handler, activity.name, activity.properties = handler, name, properties
    activity.return_properties, activity.document_type, activity.rules = returned, document_type, rules
    activity.description = _texts(given.get("DESCRIPTION", activity.description))
    activity.auth_user_id = php.integer(given.get("AUTH_USER_ID", activity.auth_user_id))
    if "USE_SUBSCRIPTION" in given:
        word = php.scalar(given["USE_SUBSCRIPTION"]).upper()
        activity.use_subscription = word if word in {"Y", "N"} else ""


def _add(caller: Caller, parameters: dict[str, Any], *, robot: bool) -> bool:
    require_admin(caller)
    if not parameters:
        raise _invalid("Empty data!")
    activity = Activity(_code(parameters), robot=robot)
    _write(activity, parameters)
    if activity.code in caller.application.activities:  # one name for both kinds
        raise RestError("ERROR_ACTIVITY_ALREADY_INSTALLED", "Activity or Robot already installed!")
    caller.application.activities[activity.code] = activity
    return True


def _known(caller: Caller, parameters: dict[str, Any], *, robot: bool) -> Activity:
    require_admin(caller)
    activity = caller.application.activities.get(_code(parameters))
    if activity is None or activity.robot is not robot:
        raise _missing()
    return activity


def _update(caller: Caller, parameters: dict[str, Any], *, robot: bool) -> bool:
    require_admin(caller)
    _code(parameters)
    fields = {name.upper(): value for name, value in php.as_map(parameters.get("FIELDS")).items()}
    if not fields:
        raise _invalid("No fields to update.")
    _write(_known(caller, parameters, robot=robot), fields)
    return True


def _delete(caller: Caller, parameters: dict[str, Any], *, robot: bool) -> bool:
    del caller.application.activities[_known(caller, parameters, robot=robot).code]
    return True


def _list(caller: Caller, _: dict[str, Any], *, robot: bool) -> list[str]:
    require_admin(caller)
    return [item.code for item in caller.application.activities.values() if item.robot is robot]


def _step(caller: Caller, parameters: dict[str, Any]) -> Step:
    step = caller.portal.steps.get(php.scalar(parameters.get("EVENT_TOKEN")))
    if step is None:
        raise denied("Access denied!")
    return step


def _event_send(caller: Caller, parameters: dict[str, Any]) -> bool:
    """Any user may. A step that does not wait (any more) takes nothing, and nobody is told."""
    step = _step(caller, parameters)
    step.answers += 1
    if not step.waits:
        return True
    named = {name.upper(): name for name in step.returns}
    given = php.as_map(parameters.get("RETURN_VALUES"))
    step.values = {named[name.upper()]: value for name, value in given.items() if name.upper() in named}
    step.waits = False
    _log(step, parameters)
    return True


def _activity_log(caller: Caller, parameters: dict[str, Any]) -> bool:
    step = _step(caller, parameters)
    if step.waits:
        _log(step, parameters)
    return True


def _log(step: Step, parameters: dict[str, Any]) -> None:
    if message := php.scalar(parameters.get("LOG_MESSAGE")):
        step.log.append(message)


def _of(word: str, *, robot: bool) -> dict[str, Registered]:
    def bound(run: Any) -> Method:
        return lambda caller, parameters: run(caller, parameters, robot=robot)

    verbs = {"add": _add, "update": _update, "list": _list, "delete": _delete}
    return {f"bizproc.{word}.{verb}": Registered(bound(run), "bizproc") for verb, run in verbs.items()}


METHODS = {
    **_of("robot", robot=True),
    **_of("activity", robot=False),
    "bizproc.event.send": Registered(_event_send, "bizproc"),
    "bizproc.activity.log": Registered(_activity_log, "bizproc"),
}
