"""Conditions: a closed list of reasons with a mending each, Ready out of the others, dates that move on
change only.
"""

from datetime import UTC, datetime, timedelta

import pytest

from smsbridge.provisioning import conditions
from smsbridge.provisioning.conditions import Condition, Reason, Status, Type, condition

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
GOOD = condition(Type.REGISTERED, Status.TRUE, Reason.REGISTERED)
AWAY = condition(Type.PORTAL_AUTHORIZED, Status.UNKNOWN, Reason.PORTAL_AWAY)
BAD = condition(Type.CREDENTIALS_VALID, Status.FALSE, Reason.LOGIN_REFUSED)


def test_every_reason_has_a_sentence() -> None:
    assert set(conditions.SENTENCES) == set(Reason)
    assert all(conditions.SENTENCES.values())


@pytest.mark.parametrize(
    ("others", "status", "reason"),
    [
        ([GOOD], Status.TRUE, Reason.ALL_GOOD),
        ([GOOD, AWAY], Status.UNKNOWN, Reason.PORTAL_AWAY),
        ([AWAY, BAD, GOOD], Status.FALSE, Reason.LOGIN_REFUSED),
        ([], Status.TRUE, Reason.ALL_GOOD),
    ],
)
def test_ready_repeats_the_first_that_is_not_good(
    others: list[Condition], status: Status, reason: Reason
) -> None:
    found = conditions.ready(others)

    assert (found.type, found.status, found.reason) == (Type.READY, status, reason)


def test_a_date_moves_when_the_status_does_and_not_when_words_do() -> None:
    first = conditions.merge([], [BAD], generation=1, now=NOON)
    other_words = condition(Type.CREDENTIALS_VALID, Status.FALSE, Reason.ADDRESS_BLOCKED)
    second = conditions.merge(first, [other_words], generation=2, now=NOON + timedelta(hours=1))
    good = condition(Type.CREDENTIALS_VALID, Status.TRUE, Reason.ACCOUNT_ANSWERS)
    third = conditions.merge(second, [good], generation=2, now=NOON + timedelta(hours=2))

    assert [item.at for item in first] == [NOON, NOON]
    assert [(item.at, item.reason) for item in second] == [(NOON, Reason.ADDRESS_BLOCKED)] * 2
    assert [item.observed_generation for item in second] == [2, 2]
    assert {item.at for item in third} == {NOON + timedelta(hours=2)}


def test_what_was_not_looked_at_keeps_what_was_said() -> None:
    first = conditions.merge([], [GOOD, BAD], generation=1, now=NOON)

    second = conditions.merge(first, [AWAY], generation=2, now=NOON)

    kept = {item.type: (item.status, item.observed_generation) for item in second}
    assert kept[Type.REGISTERED] == (Status.TRUE, 1)
    assert kept[Type.PORTAL_AUTHORIZED] == (Status.UNKNOWN, 2)
    assert [item.type for item in second] == [
        Type.CREDENTIALS_VALID,
        Type.PORTAL_AUTHORIZED,
        Type.REGISTERED,
        Type.READY,
    ]


def test_conditions_come_back_from_json() -> None:
    (kept, _) = conditions.merge([], [GOOD], generation=4, now=NOON)

    body = kept.to_json()

    assert conditions.from_json(body) == kept
    assert body == {
        "type": "Registered",
        "status": "True",
        "reason": "Registered",
        "message": "the portal shows the provider",
        "observedGeneration": 4,
        "lastTransitionTime": "2026-11-01T12:00:00+00:00",
    }
