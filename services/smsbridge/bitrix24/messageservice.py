"""Our registration as an SMS provider in a portal, and the status of a message there.

Which status may follow which is not decided here: the portal takes any, also a step back (`core.delivery`
knows better).
"""

import re
from collections.abc import Collection, Mapping
from enum import StrEnum

from smsbridge.bitrix24 import answers, batch, client, errors, forms, limiter
from smsbridge.core import errors as core_errors
from smsbridge.core.delivery import PortalStatus

STATUS_METHOD = "messageservice.message.status.update"
_LIST = "messageservice.sender.list"
_ADD = "messageservice.sender.add"
_UPDATE = "messageservice.sender.update"
_DELETE = "messageservice.sender.delete"

_ALREADY_INSTALLED = "error_sender_already_installed"
_NOT_FOUND = "error_sender_not_found"
_MESSAGE_NOT_FOUND = "error_message_not_found"
_BATCH_TOO_LONG = "error_batch_length_exceeded"

_CODE = re.compile(r"[A-Za-z0-9.\-_]{1,128}\Z")
_LANGUAGE = re.compile(r"[a-z]{2}\Z")
# Lengths of the portal's database columns; what is longer is a "Sender save error!" without a word why.
_MAX_HANDLER = 1000
_MAX_NAME = 500
_MAX_DESCRIPTION = 1000

Caption = str | Mapping[str, str]


class Registered(StrEnum):
    ADDED = "added"
    UPDATED = "updated"
    REPLACED = "replaced"  # deleted and added: an old box has no update


class StatusOutcome(StrEnum):
    """What to do after one status update."""

    OK = "ok"
    NOT_FOUND_YET = "not_found_yet"  # marketing rows come after the hand-over; or it is over 14 days old
    REFUSED = "refused"  # asking again changes nothing
    RETRY = "retry"
    STOP_METHOD = (
        "stop_method"  # until the error's reset_at; for good where the portal does not know the method
    )
    STOP_PORTAL = "stop_portal"  # no call will do until somebody has mended it


async def list_senders(api: client.PortalApi) -> tuple[str, ...]:
    """CODEs of this application's providers."""
    answer = await api.call(_LIST, priority=limiter.Priority.TOKENS)
    return tuple(answers.text_of(code) for code in answers.as_list(answer.result))


async def register(
    api: client.PortalApi,
    *,
    code: str,
    name: Caption,
    description: Caption | None,
    handler: str,
    listed: Collection[str] | None = None,
) -> Registered:
    """Leaves exactly one provider `code` with these settings, however often it is called.

    `listed`: the codes that the portal has named just now; else it is asked.
    Bitrix24 drops it on every update of the application, and its `add` is no upsert.
    Raises InputError for settings the portal would refuse or lose, else a PortalError.
    """
    params = _registration(code=code, name=name, description=description, handler=handler)
    codes = await list_senders(api) if listed is None else listed
    if code.lower() not in {known.lower() for known in codes}:
        try:
            await _add(api, params)
        except errors.PortalRefused as refusal:
            if refusal.rest_code.lower() != _ALREADY_INSTALLED:
                raise
        else:
            return Registered.ADDED
    return await _update(api, params)


def delete_command(code: str) -> batch.Command:
    return batch.Command(_DELETE, {"CODE": code})


def is_missing(error: core_errors.SmsbridgeError | None) -> bool:
    """Whether an update or a removal failed because the portal has no such provider."""
    return isinstance(error, errors.PortalRefused) and error.rest_code.lower() == _NOT_FOUND


async def unregister(api: client.PortalApi, *, code: str) -> bool:
    """False where there was none."""
    try:
        await api.call(_DELETE, {"CODE": code}, priority=limiter.Priority.TOKENS)
    except errors.PortalRefused as refusal:
        if not is_missing(refusal):
            raise
        return False
    return True


def status_command(code: str, message_id: str, status: PortalStatus) -> batch.Command:
    return batch.Command(STATUS_METHOD, {"CODE": code, "MESSAGE_ID": message_id, "STATUS": status.value})


def classify(error: core_errors.SmsbridgeError | None) -> StatusOutcome:
    """Of one command's result, or of what the whole batch raised."""
    if error is None:
        return StatusOutcome.OK
    if isinstance(error, (errors.OperatingTimeOver, errors.MethodMissing)):
        return StatusOutcome.STOP_METHOD
    stops = (errors.Overloaded, errors.AccessDenied, errors.InstallationBroken)
    if isinstance(error, (*stops, errors.ClientRefused, errors.PortalGone)):
        return StatusOutcome.STOP_PORTAL
    if error.retryable or isinstance(error, errors.TokenExpired):
        return StatusOutcome.RETRY
    rest_code = error.rest_code.lower() if isinstance(error, errors.PortalError) else ""
    if rest_code == _MESSAGE_NOT_FOUND:
        return StatusOutcome.NOT_FOUND_YET
    return StatusOutcome.RETRY if rest_code == _BATCH_TOO_LONG else StatusOutcome.REFUSED


async def _add(api: client.PortalApi, params: Mapping[str, forms.Param]) -> None:
    await api.call(_ADD, {**params, "TYPE": "SMS"}, priority=limiter.Priority.TOKENS)


async def _update(api: client.PortalApi, params: Mapping[str, forms.Param]) -> Registered:
    try:
        await api.call(_UPDATE, params, priority=limiter.Priority.TOKENS)
    except errors.MethodMissing:
        await unregister(api, code=str(params["CODE"]))
        await _add(api, params)
        return Registered.REPLACED
    except errors.PortalRefused as refusal:
        if not is_missing(refusal):
            raise
        await _add(api, params)  # gone since we listed it
        return Registered.ADDED
    return Registered.UPDATED


def _registration(
    *, code: str, name: Caption, description: Caption | None, handler: str
) -> dict[str, forms.Param]:
    if _CODE.match(code) is None:
        raise core_errors.InputError("use 1 to 128 of A-Z a-z 0-9 . - _", field="code")
    if len(handler) > _MAX_HANDLER:
        raise core_errors.InputError(f"the handler URL is over {_MAX_HANDLER} characters", field="handler")
    params: dict[str, forms.Param] = {
        "CODE": code,
        "HANDLER": handler,
        "NAME": _caption(name, field="name", longest=_MAX_NAME),
    }
    if description:
        if isinstance(name, str) is not isinstance(description, str):
            raise core_errors.InputError(
                "must be a text or a map by language, as the name is: the portal drops it else",
                field="description",
            )
        params["DESCRIPTION"] = _caption(description, field="description", longest=_MAX_DESCRIPTION)
    return params


def _caption(caption: Caption, *, field: str, longest: int) -> forms.Param:
    """Language keys go in lower case: the portal's update keeps them as they come, its add does not."""
    if isinstance(caption, str):
        texts: dict[str, str] = {"": caption}
    else:
        texts = {language.lower(): text for language, text in caption.items()}
        if any(_LANGUAGE.match(language) is None for language in texts):
            raise core_errors.InputError("languages have two letters, as in ru or en", field=field)
    if not texts or not all(texts.values()):
        raise core_errors.InputError("must not be empty", field=field)
    if any(len(text) > longest for text in texts.values()):
        raise core_errors.InputError(f"must not be over {longest} characters", field=field)
    return caption if isinstance(caption, str) else texts
