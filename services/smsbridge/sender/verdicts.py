"""What is known of a batch's numbers decides who is sent to: `hlr.beforeSend`.

Pure; `checking` asks and writes. A number that does not exist is left out. One that cannot be reached is left
out only in bulk, and only where the provider wants that. One that is being looked up waits, in bulk only, and
never for long; whatever else is not known is sent as if nobody had asked.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from smsbridge.core.message import Lane, Reason
from smsbridge.core.number import Facts, LookupState, Reachability
from smsbridge.sender.settings import SenderSettings
from smsbridge.store import outbox

HLR_AWAY = "hlr_away"
_WILL_NOT_COME = frozenset({"unanswered"})  # pending, but nobody asks again for long


@dataclass(frozen=True, slots=True)
class Verdicts:
    left_out: tuple[tuple[outbox.Member, Reason], ...] = ()
    waits: tuple[dict[str, Any], ...] = ()  # moves of store/release.lua
    unchecked: tuple[dict[str, str], ...] = ()  # {ref, why}


def left_out(
    members: Sequence[outbox.Member], facts: Mapping[str, Facts], *, lane: Lane, skip_unavailable: bool
) -> tuple[tuple[outbox.Member, Reason], ...]:
    """Who is not sent to, and why."""
    found = []
    for member in members:
        one = facts.get(member.msisdn)
        if one is None or one.state is not LookupState.KNOWN:
            continue
        if one.reachability is Reachability.ABSENT:
            found.append((member, Reason.NUMBER_ABSENT))
        elif one.reachability is Reachability.UNAVAILABLE and skip_unavailable and lane is Lane.BULK:
            found.append((member, Reason.NUMBER_UNAVAILABLE))
    return tuple(found)


def judge(
    members: Sequence[outbox.Member],
    facts: Mapping[str, Facts],
    *,
    skip_unavailable: bool,
    settings: SenderSettings,
) -> Verdicts:
    """Of bulk messages whose numbers were asked to be looked up; `facts` is empty where hlr is away."""
    waits: list[dict[str, Any]] = []
    unchecked: list[dict[str, str]] = []
    for member in members:
        if member.looked_ms < 0:  # decided before: it is sent
            continue
        one = facts.get(member.msisdn)
        if one is not None and one.state is LookupState.KNOWN:
            continue
        why, most = _why(one), settings.lookup_most_seconds
        if one is None:
            most = settings.lookup_away_seconds
        if (one is None or why == "pending") and member.looked_ms < most * 1000:
            waits.append(_wait(member, most))
        else:
            unchecked.append({"ref": member.ref, "why": why})
    return Verdicts(
        left_out(members, facts, lane=Lane.BULK, skip_unavailable=skip_unavailable),
        tuple(waits),
        tuple(unchecked),
    )


def _why(one: Facts | None) -> str:
    if one is None:
        return HLR_AWAY
    if one.state is LookupState.PENDING and one.reason not in _WILL_NOT_COME:
        return "pending"
    return one.reason or one.state.value


def _wait(member: outbox.Member, most_seconds: float) -> dict[str, Any]:
    """As long as it has waited already, from a second on: its story is not filled with waiting."""
    delay = min(max(member.looked_ms, 1000), 15_000, round(most_seconds * 1000) - member.looked_ms)
    return {"ref": member.ref, "delay_ms": max(delay, 50), "why": "looking_up", "looking": True}
