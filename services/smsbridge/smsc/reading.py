"""SMSC's answers, read. Pure functions over the body of a 200; how it came is the client's business.

SMSC answers 200 with an error inside, plain text in spite of `fmt=3`, strings for numbers and numbers for
strings (3.4, 3.5, 6.3). What is no answer to rely on is said with a fixed word, never guessed at.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from smsbridge.core import msisdn
from smsbridge.core.delivery import AttemptState
from smsbridge.core.number import Carrier
from smsbridge.core.provider import Profile
from smsbridge.smsc import answers, codes, err_codes, errors, values

_PLAIN_ERROR = re.compile(r"ERROR = ([0-9]{1,9}) \(([^)]*)\)(?:, ID - (\S+))?\Z")
_PLAIN_OK = re.compile(r"OK - ([0-9]{1,9}) SMS, ID - (\S+)\Z")
_FAILED = frozenset({AttemptState.UNDELIVERED, AttemptState.FAILED, AttemptState.FORBIDDEN})
_NO_FAILURE = frozenset({0, err_codes.TEST_MODE, err_codes.NO_STATUS})
_NOT_EXTRA = frozenset({"status", "err", "last_date", "last_timestamp", "id", "phone", "cost", "message"})
_MAX_TEXT = 200  # of SMSC's error texts, which are a few words
_MAX_FACT = 100  # of a carrier's or a region's name
_LOCAL_DIGITS = 10  # 8 999 123-45-67 and 7 999 123-45-67 are one number


def read_send(profile: Profile, text: str, numbers: Sequence[str]) -> answers.SendAnswer:
    """What send.php said to a request for `numbers`."""
    if plain := _PLAIN_OK.match(text.strip()):
        return answers.Accepted(smsc_id=plain[2], segments=int(plain[1]))
    body = values.from_json(text)
    if rejected := _rejection(text, body):
        return rejected
    smsc_id = values.identifier(body.get("id")) if isinstance(body, dict) else None
    if smsc_id is None or body.get("error"):
        return answers.Unknown(unreadable(text))
    found, missing = _read_numbers(profile, body.get("phones"), numbers)
    return answers.Accepted(
        smsc_id=smsc_id,
        segments=values.whole(body.get("cnt")) or 0,
        cost=values.money(body.get("cost")),
        balance=values.money(body.get("balance")),
        numbers=found,
        missing=missing,
    )


def read_statuses(text: str, pairs: Sequence[tuple[str, str]]) -> list[answers.StatusAnswer]:
    """What status.php said of every (id, MSISDN) of `pairs`, in their order.

    Raises `SmscRejected` for an error code, `SmscAway` for anything that does not speak of every pair.
    """
    body = _answer_of(text)
    if isinstance(body, dict) and "status" in body:
        body = [body]
    by_pair: dict[tuple[str, str], answers.StatusAnswer] = {}
    for item in values.records(body):
        answer = _read_status(item, alone=pairs[0] if len(pairs) == 1 else None)
        if answer is not None:
            by_pair[answer.smsc_id, msisdn.digits_only(answer.msisdn)] = answer
    try:
        found = [by_pair[smsc_id, msisdn.digits_only(phone)] for smsc_id, phone in pairs]
    except KeyError:
        raise errors.SmscAway("short") from None
    return [replace(answer, msisdn=phone) for answer, (_, phone) in zip(found, pairs, strict=True)]


def read_lookup(text: str) -> answers.LookupAnswer:
    """What hlr.php said. Its error shapes are those of send.php (1.5)."""
    body = values.from_json(text)
    if rejected := _rejection(text, body):
        return rejected
    items = values.records(body) if isinstance(body, list) else [body]
    code = values.whole(items[0].get("status")) if len(items) == 1 and isinstance(items[0], dict) else None
    if code is None:
        return answers.Unknown(unreadable(text))
    return answers.LookedUp(code, carrier=told(items[0], "operator"), region=told(items[0], "region"))


def read_carriers(text: str, numbers: Sequence[str]) -> dict[str, Carrier]:
    """What info.php said of `numbers`; by the phone that an entry names, else by its place where there are as
    many entries as numbers. Raises as `read_statuses` does.
    """
    body = _answer_of(text)
    items = values.records([body] if isinstance(body, dict) and "operator" in body else body)
    found: dict[str, Carrier] = {}
    by_digits = {msisdn.digits_only(number): number for number in numbers}
    for place, item in enumerate(items):
        digits = msisdn.digits_only(values.text_of(item.get("phone")))
        alone = numbers[place] if not digits and len(items) == len(numbers) else None
        number = by_digits.get(digits) or alone
        if number is None and (like := _corrected(digits, [n for n in numbers if n not in found], [digits])):
            number = like
        if number is not None:
            found[number] = Carrier(told(item, "operator"), told(item, "region"))
    return found


def told(fields: Mapping[str, Any], name: str) -> str:
    """A field of a look-up; a blank or a lone dot means that SMSC has no data (4.1)."""
    text = values.text_of(fields.get(name)).strip()[:_MAX_FACT]
    return "" if text == "." else text


def read_balance(text: str) -> answers.Balance:
    """Raises as `read_statuses` does."""
    body = _answer_of(text)
    amount = values.money(body.get("balance")) if isinstance(body, dict) else None
    if amount is None:
        raise errors.SmscAway(unreadable(text))
    return answers.Balance(
        amount=amount, currency=values.text_of(body.get("currency")), credit=values.money(body.get("credit"))
    )


def read_cost(text: str) -> Decimal:
    """Raises as `read_statuses` does."""
    body = _answer_of(text)
    cost = values.money(body.get("cost")) if isinstance(body, dict) else None
    if cost is None:
        raise errors.SmscAway(unreadable(text))
    return cost


def unreadable(text: str) -> str:
    """The fixed word for a body that is no answer."""
    text = text.strip()
    if not text:
        return "empty"
    return "html" if text.startswith("<") else "unparsable"


def _answer_of(text: str) -> Any:
    body = values.from_json(text)
    if rejected := _rejection(text, body):
        raise errors.SmscRejected(rejected.code, rejected.text)
    if not isinstance(body, dict | list):
        raise errors.SmscAway(unreadable(text))
    return body


def _rejection(text: str, body: Any) -> answers.Rejected | None:
    """The error in an answer, in JSON or in plain text; None where there is none that has a code."""
    if plain := _PLAIN_ERROR.match(text.strip()):
        return answers.Rejected(code=int(plain[1]), text=plain[2][:_MAX_TEXT], smsc_id=plain[3])
    code = values.whole(body.get("error_code")) if isinstance(body, dict) else None
    if code is None:
        return None
    text = values.text_of(body.get("error"))[:_MAX_TEXT]
    return answers.Rejected(code=code, text=text, smsc_id=values.identifier(body.get("id")))


def _read_numbers(
    profile: Profile, phones: object, numbers: Sequence[str]
) -> tuple[dict[str, answers.NumberAnswer], tuple[str, ...]]:
    """`phones[]` by the MSISDN that was sent, and the MSISDNs it lacks. Without `phones[]` both are empty."""
    if not isinstance(phones, list | dict):
        return {}, ()
    found: dict[str, answers.NumberAnswer] = {}
    strangers: list[tuple[str, Mapping[str, Any]]] = []
    sent = frozenset(numbers)
    for item in values.records(phones):
        digits = msisdn.digits_only(values.text_of(item.get("phone")))
        if digits in sent:
            _keep(found, digits, _read_number(profile, item))
        else:
            strangers.append((digits, item))
    for digits, item in strangers:
        if member := _corrected(digits, [n for n in numbers if n not in found], [d for d, _ in strangers]):
            _keep(found, member, _read_number(profile, item))
    return found, tuple(number for number in numbers if number not in found)


def _keep(found: dict[str, answers.NumberAnswer], number: str, answer: answers.NumberAnswer) -> None:
    """Of two entries for one number the accepted one counts: it is the one that reached the person."""
    if number not in found or found[number].refused:
        found[number] = answer


def _corrected(digits: str, open_numbers: Sequence[str], strangers: Sequence[str]) -> str | None:
    """The sent number that SMSC rewrote to `digits`, if there can be only one."""
    local = digits[-_LOCAL_DIGITS:]
    alike = [number for number in open_numbers if number[-_LOCAL_DIGITS:] == local]
    rivals = [other for other in strangers if other[-_LOCAL_DIGITS:] == local]
    return alike[0] if len(local) == _LOCAL_DIGITS and len(alike) == 1 and len(rivals) == 1 else None


def _read_number(profile: Profile, item: Mapping[str, Any]) -> answers.NumberAnswer:
    status, err = values.whole(item.get("status")), values.whole(item.get("error"))
    return answers.NumberAnswer(
        smsc_id=values.identifier(item.get("id")),
        refused=_is_refusal(profile, status, err),
        status=status,
        err=err,
        cost=values.money(item.get("cost")),
    )


def _is_refusal(profile: Profile, status: int | None, err: int | None) -> bool:
    """An `error` stands only where the number failed (3.2); a `status` may say that it is on its way."""
    if err is not None and err not in _NO_FAILURE:
        return True
    if status is None:
        return False
    reading = codes.read_status(profile, status)
    if not reading.known:  # an answer's errors have the published shape in profile guide too
        reading = codes.read_status(Profile.HTTP, status)
    return reading.state in _FAILED


def _read_status(item: Mapping[str, Any], *, alone: tuple[str, str] | None) -> answers.StatusAnswer | None:
    """One status; `alone` is the pair of a question for one, whose answer may name neither id nor phone."""
    code = values.whole(item.get("status"))
    smsc_id = values.identifier(item.get("id")) or (alone[0] if alone else None)
    phone = values.text_of(item.get("phone")) or (alone[1] if alone else "")
    if code is None or smsc_id is None or not phone:
        return None
    return answers.StatusAnswer(
        smsc_id=smsc_id,
        msisdn=phone,
        code=code,
        err=values.whole(item.get("err")),
        at=values.moment(item.get("last_timestamp")),
        cost=values.money(item.get("cost")),
        extra={key: values.text_of(value) for key, value in item.items() if key not in _NOT_EXTRA},
    )
