"""Who is sent to, as look-ups told: one row per case."""

from dataclasses import replace

import pytest

from smsbridge.core.message import Lane, Reason
from smsbridge.core.number import Facts, LookupState, Reachability
from smsbridge.sender import verdicts
from smsbridge.sender.settings import SenderSettings
from smsbridge.store.outbox import Member

SETTINGS = SenderSettings()
MEMBER = Member("m1|1", "79991234567", "Hello")
ABSENT, OFF, ACTIVE, UNKNOWN = (
    Facts(MEMBER.msisdn, LookupState.KNOWN, reachability=outcome)
    for outcome in (
        Reachability.ABSENT,
        Reachability.UNAVAILABLE,
        Reachability.ACTIVE,
        Reachability.UNKNOWN,
    )
)

LEFT_OUT = [
    (ABSENT, Lane.INTERACTIVE, False, Reason.NUMBER_ABSENT),
    (ABSENT, Lane.BULK, False, Reason.NUMBER_ABSENT),
    (OFF, Lane.BULK, False, None),
    (OFF, Lane.BULK, True, Reason.NUMBER_UNAVAILABLE),
    (OFF, Lane.INTERACTIVE, True, None),
    (ACTIVE, Lane.BULK, True, None),
    (UNKNOWN, Lane.BULK, True, None),
    (replace(ABSENT, state=LookupState.PENDING), Lane.BULK, True, None),
    (None, Lane.BULK, True, None),
]


@pytest.mark.parametrize(("facts", "lane", "skip", "reason"), LEFT_OUT)
def test_who_is_left_out(facts: Facts | None, lane: Lane, skip: bool, reason: Reason | None) -> None:
    known = {MEMBER.msisdn: facts} if facts else {}
    found = verdicts.left_out([MEMBER], known, lane=lane, skip_unavailable=skip)
    assert found == (((MEMBER, reason),) if reason else ())


def pending(reason: str = "") -> Facts:
    return Facts(MEMBER.msisdn, LookupState.PENDING, reason=reason)


def refused(reason: str) -> Facts:
    return Facts(MEMBER.msisdn, LookupState.REFUSED, reason=reason)


# facts, waited for ms, ms it waits on, why it is sent unchecked
JUDGED = [
    (ACTIVE, 0, None, None),
    (UNKNOWN, 0, None, None),
    (pending(), 0, 1000, None),
    (pending(), 4000, 4000, None),
    (pending(), 60_000, 15_000, None),
    (pending(), 119_500, 500, None),
    (pending(), 120_000, None, "pending"),
    (pending("unanswered"), 0, None, "unanswered"),
    (refused("budget"), 0, None, "budget"),
    (Facts(MEMBER.msisdn, LookupState.FAILED, reason="money"), 0, None, "money"),
    (Facts(MEMBER.msisdn, LookupState.FAILED), 0, None, "failed"),
    (None, 0, 1000, None),
    (None, 4500, 500, None),
    (None, 5000, None, "hlr_away"),
    (None, -1, None, None),
    (pending(), -1, None, None),
]


@pytest.mark.parametrize(("facts", "waited", "waits", "why"), JUDGED)
def test_who_waits_for_a_look_up_and_who_is_sent_to_without(
    facts: Facts | None, waited: int, waits: int | None, why: str | None
) -> None:
    member = replace(MEMBER, looked_ms=waited)
    known = {MEMBER.msisdn: facts} if facts else {}
    found = verdicts.judge([member], known, skip_unavailable=False, settings=SETTINGS)
    move = {"ref": "m1|1", "delay_ms": waits, "why": "looking_up", "looking": True}
    assert found.waits == ((move,) if waits is not None else ())
    assert found.unchecked == (({"ref": "m1|1", "why": why},) if why else ())
    assert found.left_out == ()
