"""What SMSC's answer to a look-up does to its numbers and to the account: one row per answer."""

from decimal import Decimal

import pytest

from smsbridge.core.number import Reachability
from smsbridge.hlr import effects
from smsbridge.hlr.settings import HlrSettings
from smsbridge.smsc.answers import Accepted, LookedUp, NumberAnswer, Rejected, Unknown, Unsent
from smsbridge.store.lookups import End

PHONE, OTHER = "79991234567", "79991234568"
SETTINGS = HlrSettings()


def read(answer: object, *phones: str) -> effects.Effect:
    return effects.read(
        answer,  # type: ignore[arg-type]
        phones or (PHONE,),
        settings=SETTINGS,
        keep=lambda outcome: len(outcome.value),
    )


def failed(phone: str, why: str, rest_ms: int = 30_000) -> End:
    return End(phone, "failed", reason=why, rest_ms=rest_ms)


ONE = [
    (LookedUp(0, "MTS", "Москва"), "known", "", "answered", "good"),
    (LookedUp(7), "known", "unknown_code", "answered", "good"),
    (Rejected(1, "parameters error"), "failed", "refused", "error_1", "bad_request"),
    (Rejected(2, "authorise error"), "failed", "login", "error_2", "login"),
    (Rejected(3, "no money", "12"), "failed", "money", "error_3", "money"),
    (Rejected(4, "ip is blocked"), "failed", "blocked", "error_4", "blocked"),
    (Rejected(7, "invalid number", "12"), "known", "bad_number", "error_7", "bad_request"),
    (Rejected(9, "duplicate request, wait a minute"), "failed", "duplicate", "error_9", ""),
    (Rejected(9, "too many requests"), "failed", "too_many", "too_many", ""),
    (Rejected(77, "?"), "failed", "refused", "error_other", "bad_request"),
    (Unsent("dns"), "failed", "unsent", "unsent", ""),
]


@pytest.mark.parametrize(("answer", "how", "why", "result", "account"), ONE)
def test_one_number(answer: object, how: str, why: str, result: str, account: str) -> None:
    found = read(answer)
    (end,) = found.ends
    assert (end.msisdn, end.how, end.reason) == (PHONE, how, why)
    assert (found.result, found.account) == (result, account)
    assert (found.later, found.ask, found.halve) == (False, False, False)


def test_a_result_is_kept_as_long_as_its_outcome() -> None:
    (end,) = read(LookedUp(2, "MTS")).ends
    assert (end.reachability, end.carrier, end.keep_ms, end.cost) == (Reachability.ABSENT, "MTS", 6, None)


def test_a_refused_number_costs_nothing() -> None:
    (end,) = read(Rejected(7, "invalid number")).ends
    assert (end.cost, end.estimated) == (Decimal(0), False)


@pytest.mark.parametrize("reason", ["timeout", "html", "empty", "http_502", "reset"])
def test_without_an_answer_nothing_is_ended(reason: str) -> None:
    assert read(Unknown(reason), PHONE, OTHER) == effects.Effect((), "unanswered", ask=True)


def test_a_request_with_a_bad_number_is_halved() -> None:
    found = read(Rejected(7, "invalid number"), PHONE, OTHER)
    assert found.halve
    assert found.ends == (failed(PHONE, "bad_number", 0), failed(OTHER, "bad_number", 0))


def test_an_accepted_request_is_paid_number_by_number() -> None:
    numbers = {PHONE: NumberAnswer(cost=Decimal("0.30")), OTHER: NumberAnswer(refused=True, status=23)}
    found = read(Accepted("01J", 2, cost=Decimal("0.60"), numbers=numbers), PHONE, OTHER)
    assert found.ends == (End(PHONE, "paid", cost=Decimal("0.30")), failed(OTHER, "refused"))
    assert found.later


def test_without_single_prices_the_whole_is_shared() -> None:
    found = read(Accepted("01J", 2, cost=Decimal("0.60")), PHONE, OTHER)
    assert [end.cost for end in found.ends] == [Decimal("0.30"), Decimal("0.30")]
    (end,) = read(Accepted("01J", 1)).ends
    assert (end.cost, end.estimated) == (None, True)


def test_a_number_that_the_answer_does_not_name_is_asked_about() -> None:
    found = read(Accepted("01J", 2, missing=(OTHER,)), PHONE, OTHER)
    assert ([end.msisdn for end in found.ends], found.later) == ([PHONE], True)
