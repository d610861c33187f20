"""What SMSC's answer to a look-up does to its numbers and to the account.

Pure: `read` decides, others act.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from smsbridge.core.account import Said
from smsbridge.core.number import Reachability
from smsbridge.core.provider import Profile
from smsbridge.hlr.settings import HlrSettings
from smsbridge.smsc import answers, codes, lookup_codes
from smsbridge.store.lookups import End

Keep = Callable[[Reachability], int]  # for how many ms a result of this outcome is kept


@dataclass(frozen=True, slots=True)
class Effect:
    """`result`: a word for metrics. `account`: what it says of the account.

    `later`: SMSC has it, results come. `ask`: SMSC may have it, and can be asked. `halve`: one number of it
    is bad, the others are to be looked up without it.
    """

    ends: tuple[End, ...]
    result: str
    account: Said = Said.NOTHING
    later: bool = False
    ask: bool = False
    halve: bool = False


def read(
    answer: answers.LookupAnswer | answers.SendAnswer,
    msisdns: Sequence[str],
    *,
    settings: HlrSettings,
    keep: Keep,
) -> Effect:
    if isinstance(answer, answers.LookedUp):
        return _looked_up(answer, msisdns[0], keep)
    if isinstance(answer, answers.Accepted):
        return _accepted(answer, msisdns, settings)
    if isinstance(answer, answers.Rejected):
        return _rejected(answer, msisdns, settings, keep)
    if isinstance(answer, answers.Unsent):
        return _failed(msisdns, "unsent", settings.failed_rest_seconds, result="unsent")
    return Effect((), "unanswered", ask=True)


def result_of(msisdn: str, reading: lookup_codes.Reading, keep: Keep, **told: object) -> End:
    """The end of a number's look-up by its result; `told` are further fields of `End`."""
    outcome = reading.reachability or Reachability.UNKNOWN
    return End(
        msisdn,
        "known",
        reachability=outcome,
        reason=reading.reason,
        keep_ms=keep(outcome),
        **told,  # type: ignore[arg-type]
    )


def _looked_up(answer: answers.LookedUp, msisdn: str, keep: Keep) -> Effect:
    reading = lookup_codes.read(Profile.GUIDE, answer.code)
    end = result_of(msisdn, reading, keep, carrier=answer.carrier, region=answer.region)
    return Effect((end,), "answered", account=Said.GOOD)


def _accepted(answer: answers.Accepted, msisdns: Sequence[str], settings: HlrSettings) -> Effect:
    """A number that the answer does not name stays as it is, and is asked about with the others."""
    ends = []
    share = answer.cost / len(msisdns) if answer.cost is not None else None
    for msisdn in msisdns:
        number = answer.numbers.get(msisdn)
        if number is not None and number.refused:
            ends.append(_end_failed(msisdn, "refused", settings.failed_rest_seconds))
        elif msisdn not in answer.missing:
            cost = number.cost if number is not None and number.cost is not None else share
            ends.append(End(msisdn, "paid", cost=cost, estimated=cost is None))
    return Effect(tuple(ends), "answered", account=Said.GOOD, later=True)


_STOPS = frozenset({Said.LOGIN, Said.MONEY, Said.BLOCKED})


def _rejected(answer: answers.Rejected, msisdns: Sequence[str], settings: HlrSettings, keep: Keep) -> Effect:
    """A refused request was not charged (facts 3.5, 8.1)."""
    result = f"error_{answer.code}" if 0 < answer.code < 10 else "error_other"
    action = answer.action
    said = codes.SAYS[action]
    if said in _STOPS:
        return _failed(msisdns, said, settings.failed_rest_seconds, result=result, account=said)
    if action is codes.Action.DUPLICATE:
        return _failed(msisdns, "duplicate", settings.duplicate_rest_seconds, result=result)
    if action is codes.Action.BACK_OFF:
        return _failed(msisdns, "too_many", settings.failed_rest_seconds, result="too_many")
    if action is codes.Action.SPLIT and len(msisdns) > 1:
        effect = _failed(msisdns, "bad_number", 0.0, result=result, account=Said.BAD_REQUEST)
        return Effect(effect.ends, result, account=Said.BAD_REQUEST, halve=True)
    if action is codes.Action.SPLIT:
        nothing = lookup_codes.Reading(Reachability.UNKNOWN, "bad_number")
        end = result_of(msisdns[0], nothing, keep, cost=Decimal(0))
        return Effect((end,), result, account=Said.BAD_REQUEST)
    return _failed(msisdns, "refused", settings.failed_rest_seconds, result=result, account=Said.BAD_REQUEST)


def _failed(
    msisdns: Sequence[str], why: str, rest_seconds: float, *, result: str, account: Said = Said.NOTHING
) -> Effect:
    return Effect(tuple(_end_failed(m, why, rest_seconds) for m in msisdns), result, account=account)


def _end_failed(msisdn: str, why: str, rest_seconds: float) -> End:
    return End(msisdn, "failed", reason=why, rest_ms=round(rest_seconds * 1000))
