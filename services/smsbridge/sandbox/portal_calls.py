"""Runs one REST command or a batch for a caller with a good token: scope, operating time, the method.

Knows no HTTP: `portal_app` reads requests and writes answers.
"""

import re
from typing import Any
from urllib.parse import unquote_plus

from smsbridge.sandbox import bizproc, crm_methods, crm_userfields, php, portal_methods
from smsbridge.sandbox.clock import iso
from smsbridge.sandbox.faults import FaultKind
from smsbridge.sandbox.portal_methods import Caller, Page, Registered, RestError

MAX_COMMANDS = 50
_REFERENCE = re.compile(r"\$result((?:\[[^\[\]$]*\])+)")
_COMMAND_FAULTS = frozenset(
    {FaultKind.COMMAND_ERROR, FaultKind.OPERATION_TIME_LIMIT, FaultKind.INSUFFICIENT_SCOPE}
)


def time_block(now: float, *, operating: float, reset_at: int) -> dict[str, Any]:
    """The `time` of every answer. Numbers as PHP prints them: whole `start`, fractional `finish`."""
    return {
        "start": int(now),
        "finish": round(now, 6),
        "duration": round(now - int(now), 6),
        "processing": 0,
        "date_start": iso(now),
        "date_finish": iso(now),
        "operating_reset_at": reset_at,
        "operating": round(operating, 6),
    }


def _method_get(caller: Caller, parameters: dict[str, Any]) -> dict[str, bool]:
    known = METHODS.get(php.scalar(parameters.get("NAME")).lower())
    granted = known is not None and (not known.scope or known.scope in caller.application.settings.scope)
    return {"isExisting": known is not None, "isAvailable": granted}


METHODS: dict[str, Registered] = {
    **portal_methods.METHODS,
    **crm_methods.METHODS,
    **crm_userfields.METHODS,
    **bizproc.METHODS,
    "method.get": Registered(_method_get),
}


def known(method: str) -> bool:
    return method == "batch" or method in METHODS


def run(caller: Caller, method: str, parameters: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Result (a list's as a Page) and time block of one command. Raises RestError."""
    registered = METHODS.get(method)
    if registered is None:
        raise RestError("ERROR_METHOD_NOT_FOUND", "Method not found!", status=404)
    portal, client_id, now = caller.portal, caller.application.client_id, caller.now
    portal.seen.methods[method] += 1
    if registered.scope and registered.scope not in caller.application.settings.scope:
        raise _insufficient_scope()
    if portal.operating.over(client_id, method, now):
        raise _over_operating_time()
    _strike(caller, method)
    upper = {name.upper(): value for name, value in parameters.items() if name.upper() != "AUTH"}
    result = registered.run(caller, upper)
    operating = portal.operating.spend(client_id, method, now)
    reset_at = portal.operating.reset_at(client_id, method, now)
    return result, time_block(now, operating=operating, reset_at=reset_at)


def _insufficient_scope() -> RestError:
    sentence = "The request requires higher privileges than provided by the access token"
    return RestError("insufficient_scope", sentence, status=403)


def _over_operating_time() -> RestError:
    return RestError("OPERATION_TIME_LIMIT", "Method is blocked due to operation time limit.", status=429)


def _strike(caller: Caller, method: str) -> None:
    fault = caller.portal.faults.pick(_COMMAND_FAULTS, call=method)
    if fault is None:
        return
    if fault.kind is FaultKind.OPERATION_TIME_LIMIT:
        raise _over_operating_time()
    if fault.kind is FaultKind.INSUFFICIENT_SCOPE:
        raise _insufficient_scope()
    raise RestError(fault.error, "Message not found!" if "NOT_FOUND" in fault.error else "Ordered by a test")


def batch(caller: Caller, parameters: dict[str, Any]) -> dict[str, Any]:
    """Commands in order, each with its own result or error; references to earlier results are filled in."""
    given = next((value for name, value in parameters.items() if name.upper() == "CMD"), None)
    commands = php.as_map(given)
    halt = php.truth(next((value for name, value in parameters.items() if name.upper() == "HALT"), None))
    seen = caller.portal.seen
    seen.batches += 1
    seen.largest_batch = max(seen.largest_batch, len(commands))
    results: dict[str, Any] = {}
    failed: dict[str, Any] = {}
    totals: dict[str, Any] = {}
    following: dict[str, Any] = {}
    times: dict[str, Any] = {}
    for number, (key, command) in enumerate(commands.items()):
        try:
            if number >= MAX_COMMANDS:
                raise RestError("ERROR_BATCH_LENGTH_EXCEEDED", "Max batch length exceeded")
            result, times[key] = _command(caller, php.scalar(command), results)
        except RestError as error:
            seen.errors[error.error] += 1
            seen.status_429 += error.status == 429
            failed[key] = {"error": error.error, "error_description": error.sentence}
            if halt:
                break
            continue
        page = result if isinstance(result, Page) else Page(result)
        results[key] = page.items
        totals |= {} if page.total is None else {key: page.total}
        following |= {} if page.next is None else {key: page.next}
    return {
        "result": php.array(results),
        "result_error": php.array(failed),
        "result_total": php.array(totals),
        "result_next": php.array(following),
        "result_time": php.array(times),
    }


def _command(caller: Caller, command: str, results: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """parse_url() first: an unencoded `#` cuts the command."""
    path, _, query = command.partition("#")[0].partition("?")
    method = _method_name(unquote_plus(path))
    if method == "batch":
        raise RestError("ERROR_BATCH_METHOD_NOT_ALLOWED", "Method is not allowed for batch usage", status=405)
    parameters = _filled(php.parse_query(query), results) if "$result" in query else php.parse_query(query)
    return run(caller, method, parameters)


def _method_name(path: str) -> str:
    name = path.strip("/").lower()
    return name.removesuffix(".json")


def _filled(value: Any, results: dict[str, Any]) -> Any:
    if isinstance(value, dict):
        return {key: _filled(item, results) for key, item in value.items()}
    if not isinstance(value, str):
        return value
    whole = _REFERENCE.fullmatch(value)
    if whole is not None:
        return _referred(whole[1], results)
    return _REFERENCE.sub(lambda found: php.scalar(_referred(found[1], results)), value)


def _referred(path: str, results: dict[str, Any]) -> Any:
    value: Any = results
    for key in re.findall(r"\[([^\[\]]*)\]", path):
        value = php.as_map(value).get(key)
    return value
