"""Groups that the account's profile cannot say: it was changed while their messages waited. Pure functions.

Without this such a batch could never be encoded and would come back until its messages expire.
"""

from typing import Any

from smsbridge.core import cascade
from smsbridge.core.message import Channel, Lane, Route
from smsbridge.core.provider import Profile, Provider
from smsbridge.sender import intake
from smsbridge.store import outbox


def moves(provider: Provider, claim: outbox.Claim) -> list[dict[str, Any]]:
    """What store/release.lua takes: every member into a group that fits; empty where this one does."""
    legs = _other_legs(provider, claim.group)
    if legs:
        changed = {"legs": intake.dump_legs(legs), "nx": "1" if len(legs) > 1 else "0"}
        return [_move(provider, claim, member, legs) | changed for member in claim.members]
    if _mixes_texts(provider, claim):
        return [_move(provider, claim, member, (_leg(claim.group),)) for member in claim.members]
    return []


def _other_legs(provider: Provider, group: outbox.Group) -> tuple[cascade.Leg, ...]:
    """A cascade's legs by the present profile, where the group is the first leg by the other one."""
    guide = provider.account.profile is Profile.GUIDE
    wait = group.valid_seconds if guide else group.native_wait
    if not wait:
        return ()
    return cascade.plan(Route.CASCADE, provider.routing, provider.account.profile, wait_seconds=wait)


def _mixes_texts(provider: Provider, claim: outbox.Claim) -> bool:
    several = len({member.text for member in claim.members}) > 1
    return provider.account.profile is Profile.GUIDE and not claim.group.th and several


def _leg(group: outbox.Group) -> cascade.Leg:
    return cascade.Leg(Channel(group.channel), group.native_wait, native=group.native_wait > 0)


def _move(
    provider: Provider, claim: outbox.Claim, member: outbox.Member, legs: tuple[cascade.Leg, ...]
) -> dict[str, Any]:
    group = intake.group_of(provider, Lane(claim.group.lane), legs, 1, member.text)
    return {
        "ref": member.ref,
        "gid": group.gid,
        "gi": group.dump(),
        "ch": group.channel,
        "why": "profile_changed",
    }
