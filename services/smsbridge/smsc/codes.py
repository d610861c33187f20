"""SMSC's codes as tables: message statuses of both profiles, and send.php's errors with what to do then.

One row per code, with its meaning and the section of SMSC's reference it comes from (1.5: settled by us).
An unknown code is an answer too: it is counted and changes nothing. No table is shared between scripts:
others reuse send.php's numbers with other meanings. Delivery errors (`err`) are in `err_codes`.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from smsbridge.core.account import Said
from smsbridge.core.delivery import AttemptState
from smsbridge.core.message import Channel, Reason
from smsbridge.core.provider import Profile
from smsbridge.smsc import err_codes


@dataclass(frozen=True, slots=True)
class Reading:
    """What a status says of an attempt. `state` is None where it says nothing: not found, an unknown code."""

    state: AttemptState | None
    meaning: str
    source: str = ""
    reason: Reason | None = None
    delivered_by: Channel | None = None  # None: not delivered, or the code does not tell
    pending: bool = False  # no outcome yet
    read: bool = False
    fell_back: bool = False  # SMSC itself went from Viber to SMS
    grace: bool = False  # a moderator may still release it, usually within a minute
    no_money: bool = False  # the account must be paused
    not_found: bool = False  # SMSC does not know this (id, phone)
    test_mode: bool = False  # the account only pretends to send
    known: bool = True


_HTTP = {
    -3: Reading(None, "message not found for this phone and id", "6.1", not_found=True),
    -2: Reading(AttemptState.SENT, "stopped before it was handed over", "6.1", pending=True),
    -1: Reading(AttemptState.SENT, "waiting to be sent, all night perhaps", "6.1", pending=True),
    0: Reading(AttemptState.SENT, "handed to the operator", "6.1", pending=True),
    1: Reading(AttemptState.DELIVERED, "delivered", "6.1"),
    2: Reading(AttemptState.DELIVERED, "read", "6.1", read=True),
    3: Reading(AttemptState.UNDELIVERED, "expired", "6.1", Reason.NOT_DELIVERED_IN_TIME),
    4: Reading(AttemptState.DELIVERED, "link clicked", "6.1", read=True),
    20: Reading(AttemptState.UNDELIVERED, "impossible to deliver", "6.1", Reason.NOT_DELIVERED),
    22: Reading(AttemptState.FAILED, "wrong number format", "6.1", Reason.NUMBER_REFUSED),
    23: Reading(AttemptState.FORBIDDEN, "forbidden", "6.1", Reason.FORBIDDEN, grace=True),
    24: Reading(AttemptState.FAILED, "not enough money", "6.1", Reason.NO_MONEY, no_money=True),
    25: Reading(AttemptState.UNDELIVERED, "unavailable number, no route", "6.1", Reason.CANNOT_DELIVER),
}

_GUIDE = {
    -3: Reading(None, "message not found for this phone and id", "1.5", not_found=True),
    -1: Reading(AttemptState.SENT, "waiting to be sent", "1.5", pending=True),
    0: Reading(AttemptState.SENT, "handed over", "1.5", pending=True),
    1: Reading(AttemptState.DELIVERED, "delivered", "1.2"),
    2: Reading(AttemptState.UNDELIVERED, "not delivered: error", "1.2", Reason.NOT_DELIVERED),
    3: Reading(AttemptState.UNDELIVERED, "not delivered: expired", "1.2", Reason.NOT_DELIVERED_IN_TIME),
    20: Reading(AttemptState.DELIVERED, "delivered by Viber", "1.2", delivered_by=Channel.VIBER),
    22: Reading(AttemptState.SENT, "not delivered by Viber, SMS sent", "1.2", pending=True, fell_back=True),
}

STATUSES = {Profile.GUIDE: _GUIDE, Profile.HTTP: _HTTP}

_UNKNOWN = Reading(None, "a status that SMSC does not describe", known=False)
_NO_PROOF = frozenset({AttemptState.SENT, AttemptState.UNDELIVERED})


def read_status(
    profile: Profile, code: int, err: int | None = None, channel: Channel | None = None
) -> Reading:
    """What `code` with `err` says of an attempt that was sent by `profile` on `channel`.

    Profile guide: 1 on a Viber attempt does not tell by which channel it arrived: `delivered_by` is None.
    """
    reading = STATUSES[profile].get(code, _UNKNOWN)
    if reading.state is None:
        return reading
    if reading.state is AttemptState.DELIVERED and reading.delivered_by is None:
        told = channel if profile is Profile.HTTP or channel is Channel.SMS else None
        reading = replace(reading, delivered_by=told)
    return _with_err(reading, err)


def _with_err(reading: Reading, err: int | None) -> Reading:
    """A delivery error sharpens the reason of a failure; two of them say that the status is no proof."""
    if err == err_codes.TEST_MODE:
        return _no_outcome(reading, test_mode=True)
    if err == err_codes.NO_STATUS and reading.state in _NO_PROOF:
        return _no_outcome(reading, test_mode=False)
    row = err_codes.read_err(err or 0)
    if reading.reason is None or row.reason is None:
        return reading
    return replace(reading, reason=row.reason)


def _no_outcome(reading: Reading, *, test_mode: bool) -> Reading:
    """Nobody can say whether it arrived. In test mode nothing was sent, so `delivered` would be a lie."""
    return Reading(
        AttemptState.UNKNOWN,
        reading.meaning,
        reading.source,
        Reason.OUTCOME_UNKNOWN,
        fell_back=reading.fell_back,
        test_mode=test_mode,
    )


class Action(StrEnum):
    """What an error of send.php calls for."""

    FAIL_ALONE = "fail_alone"  # try one member alone; the same again: all fail with that text
    SPLIT = "split"  # split the batch to find the bad number
    PAUSE_LOGIN = "pause_login"  # pause the account; ask balance.php seldom: five wrong logins block the IP
    PAUSE_MONEY = "pause_money"  # pause the account until there is money
    BLOCKED = "blocked"  # pause every account of this egress
    DUPLICATE = "duplicate"  # reconcile if it may have been sent, else wait
    BACK_OFF = "back_off"  # too many requests at a time
    UNCERTAIN = "uncertain"  # a code that SMSC does not describe


@dataclass(frozen=True, slots=True)
class SendError:
    action: Action
    meaning: str
    source: str
    reason: Reason | None = None  # why a message fails that fails by it


SEND_ERRORS = {
    1: SendError(Action.FAIL_ALONE, "bad parameters", "8.1", Reason.BAD_REQUEST),
    2: SendError(Action.PAUSE_LOGIN, "wrong login or password, or this IP is not allowed", "8.1"),
    3: SendError(Action.PAUSE_MONEY, "not enough money", "8.1", Reason.NO_MONEY),
    4: SendError(Action.BLOCKED, "the IP is blocked for a while", "8.1"),
    5: SendError(Action.FAIL_ALONE, "bad date format", "8.1", Reason.BAD_REQUEST),
    6: SendError(Action.FAIL_ALONE, "message forbidden, by text or sender name", "8.1", Reason.TEXT_DENIED),
    7: SendError(Action.SPLIT, "bad number format", "8.1", Reason.NUMBER_REFUSED),
    8: SendError(Action.SPLIT, "cannot be delivered to this number", "8.1", Reason.CANNOT_DELIVER),
    9: SendError(
        Action.DUPLICATE, "same message within a minute, or too many requests", "8.1", Reason.DUPLICATE
    ),
}

_UNKNOWN_SEND_ERROR = SendError(Action.UNCERTAIN, "an error that SMSC does not describe", "")


# What an error says of the account, beside what becomes of the request.
SAYS = {
    Action.FAIL_ALONE: Said.BAD_REQUEST,
    Action.SPLIT: Said.BAD_REQUEST,
    Action.PAUSE_LOGIN: Said.LOGIN,
    Action.PAUSE_MONEY: Said.MONEY,
    Action.BLOCKED: Said.BLOCKED,
    Action.DUPLICATE: Said.NOTHING,
    Action.BACK_OFF: Said.TOO_MANY,
    Action.UNCERTAIN: Said.NOTHING,
}


def read_send_error(code: int) -> SendError:
    return SEND_ERRORS.get(code, _UNKNOWN_SEND_ERROR)


def send_action(code: int, text: str) -> Action:
    """Of code 9 only the text tells a duplicate from too many requests at a time (3.5)."""
    action = read_send_error(code).action
    if action is Action.DUPLICATE and "duplicate" not in text.lower():
        return Action.BACK_OFF
    return action
