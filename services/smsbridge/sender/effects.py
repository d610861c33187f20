"""What SMSC's answer to a send does: to the batch (an outcome for the store) and to the account.

Guarantees 6. Pure: `read` decides, others act.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ulid import ULID

from smsbridge.core import text
from smsbridge.core.account import Said
from smsbridge.core.delivery import AttemptState
from smsbridge.core.message import Channel, Reason
from smsbridge.core.provider import Prices, Profile
from smsbridge.smsc import answers, codes
from smsbridge.store import outbox

MONEY_WITH_ID = "money_with_id"


@dataclass(frozen=True, slots=True)
class Effect:
    """`outcome`: what store/outcome.lua takes; `said`: of the account; `result`: a word for metrics.

    `taken`: SMSC has, or may have, messages of it, so that the same again would be a duplicate there.
    """

    outcome: dict[str, Any]
    said: Said
    result: str
    taken: bool = True


@dataclass(frozen=True, slots=True)
class Context:
    """What an answer is read against."""

    profile: Profile
    channel: Channel
    members: Sequence[outbox.Member]
    prices: Prices
    hold_ms: int
    repeated: bool  # an earlier POST of this composition is unsettled


def read(answer: answers.SendAnswer, context: Context) -> Effect:
    if isinstance(answer, answers.Accepted):
        return _accepted(answer, context)
    if isinstance(answer, answers.Rejected):
        return _rejected(answer, context)
    if isinstance(answer, answers.Unsent):
        aborted = answer.reason == "aborted"
        return Effect(
            {"kind": "back", "delay_ms": 0, "why": answer.reason},
            Said.NOTHING if aborted else Said.UNREACHABLE,
            "aborted" if aborted else "unsent",
            taken=False,
        )
    return Effect({"kind": "uncertain", "why": answer.reason}, Said.NOTHING, "uncertain")


def _accepted(answer: answers.Accepted, context: Context) -> Effect:
    missing = frozenset(answer.missing)
    members, refused, absent = [], [], []
    for member in context.members:
        number = answer.numbers.get(member.msisdn)
        if member.msisdn in missing:
            absent.append(member.ref)
        elif number is not None and number.refused:
            refused.append(_refusal(member, number, context))
        else:
            members.append(_acceptance(member, number, answer, context))
    outcome = {
        "kind": "accepted",
        "members": members,
        "refused": refused,
        "missing": absent,
        "ids": new_ids(),
    }
    return Effect(outcome, Said.GOOD, "accepted")


def _acceptance(
    member: outbox.Member, number: answers.NumberAnswer | None, answer: answers.Accepted, context: Context
) -> dict[str, Any]:
    own = number.smsc_id if number else None
    parts = text.segments(member.text) if context.channel is Channel.SMS else 1
    if len(context.members) == 1 and answer.segments:
        parts = answer.segments
    cost = number.cost if number else None
    if cost is None and answer.cost is not None and len(context.members) == 1:
        cost = answer.cost
    estimated = cost is None
    if cost is None:
        cost = estimate(context.prices, context.channel, parts)
    return {
        "ref": member.ref,
        "sid": own or answer.smsc_id,
        "own": own is not None,
        "cnt": parts,
        "cost": str(cost) if cost is not None else "",
        "est": estimated and cost is not None,
        "sp": _price(context.prices.sms),
    }


def costs(effect: Effect) -> dict[str, Decimal]:
    """Roubles of what was accepted, by whether they are estimated (`yes`) or SMSC's own (`no`)."""
    found: dict[str, Decimal] = {}
    for member in effect.outcome.get("members", ()):
        if member["cost"]:
            estimated = "yes" if member["est"] else "no"
            found[estimated] = found.get(estimated, Decimal(0)) + Decimal(member["cost"])
    return found


def priced(prices: Prices, channel: Channel) -> dict[str, str]:
    """What the settings know of an attempt's price, where nobody told what it cost."""
    return {"sp": _price(prices.sms), "up": _price(estimate(prices, channel, 1))}


def _price(price: Decimal | None) -> str:
    return "" if price is None else str(price)


def estimate(prices: Prices, channel: Channel, parts: int) -> Decimal | None:
    """Roubles by the provider's own price list, None where it has no price."""
    if channel is Channel.VIBER:
        return prices.viber
    return prices.sms * parts if prices.sms is not None else None


def _refusal(member: outbox.Member, number: answers.NumberAnswer, context: Context) -> dict[str, Any]:
    reading = codes.read_status(context.profile, number.status or 0, number.err, context.channel)
    reason = reading.reason or Reason.CANNOT_DELIVER
    said = reading.meaning if number.err is None else f"{reading.meaning}, err {number.err}"
    return {"ref": member.ref, "reason": reason.value, "text": said}


def _rejected(answer: answers.Rejected, context: Context) -> Effect:
    action = answer.action
    result = f"error_{answer.code}" if 0 < answer.code < 10 else "error_other"
    alone = len(context.members) == 1
    if action in (codes.Action.FAIL_ALONE, codes.Action.SPLIT):
        return Effect(_refusal_of_all(answer, action, alone=alone), Said.BAD_REQUEST, result, taken=False)
    if action is codes.Action.PAUSE_LOGIN:
        return Effect(_back("login"), Said.LOGIN, result, taken=False)
    if action is codes.Action.PAUSE_MONEY:
        if answer.smsc_id is None:
            return Effect(_back("money"), Said.MONEY, result, taken=False)
        return Effect({"kind": "uncertain", "why": MONEY_WITH_ID}, Said.MONEY, result)
    if action is codes.Action.BLOCKED:
        return Effect(_back("blocked"), Said.BLOCKED, result, taken=False)
    if action is codes.Action.BACK_OFF:
        return Effect(_back("too_many", 1000), Said.TOO_MANY, "too_many", taken=False)
    if action is codes.Action.DUPLICATE:
        if context.repeated:
            return Effect({"kind": "uncertain", "why": "duplicate"}, Said.NOTHING, result)
        return Effect(_back("duplicate", context.hold_ms), Said.NOTHING, result)
    return Effect({"kind": "uncertain", "why": "unknown_error"}, Said.NOTHING, result)


def _refusal_of_all(answer: answers.Rejected, action: codes.Action, *, alone: bool) -> dict[str, Any]:
    if alone:
        reason = codes.read_send_error(answer.code).reason or Reason.BAD_REQUEST
        return {
            "kind": "fail",
            "reason": reason.value,
            "text": answer.text,
            "code": answer.code,
            "ids": new_ids(),
        }
    kind = "alone" if action is codes.Action.FAIL_ALONE else "halve"
    return {"kind": kind, "code": answer.code, "ids": new_ids()}


def _back(why: str, delay_ms: int = 0) -> dict[str, Any]:
    return {"kind": "back", "why": why, "delay_ms": delay_ms}


def new_ids() -> list[str]:
    """Client ids for the two compositions that a split makes."""
    return [str(ULID()), str(ULID())]


def found_in_status(
    readings: Mapping[str, codes.Reading], client_id: str, *, partial: bool = False
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[str]]:
    """Of an uncertain batch's members by reference: adopted, refused, and those SMSC does not know.

    Refused only where all of them are: a single failure among accepted ones is that number's own fate, and so
    it is where others of the batch are settled already (`partial`).
    """
    known = {ref: reading for ref, reading in readings.items() if not reading.not_found}
    unknown = [ref for ref, reading in readings.items() if reading.not_found]
    if known and not unknown and not partial and all(_says_refused(reading) for reading in known.values()):
        refused = [
            {"ref": ref, "reason": (reading.reason or Reason.CANNOT_DELIVER).value, "text": reading.meaning}
            for ref, reading in known.items()
        ]
        return [], refused, []
    return [{"ref": ref, "sid": client_id, "own": False} for ref in known], [], unknown


def had_no_money(readings: Iterable[codes.Reading], *, said_so: bool) -> bool:
    """True where SMSC took none of a batch for want of money: it says so of each, or the answer said so
    (`said_so`) and none of them is on its way.
    """
    return all(
        reading.no_money or (said_so and reading.state in (AttemptState.FAILED, AttemptState.UNDELIVERED))
        for reading in readings
    )


_REQUEST_REASONS = frozenset({Reason.NUMBER_REFUSED, Reason.FORBIDDEN, Reason.NO_MONEY, Reason.TEXT_DENIED})


def _says_refused(reading: codes.Reading) -> bool:
    return reading.state is not None and reading.state.final and reading.reason in _REQUEST_REASONS
