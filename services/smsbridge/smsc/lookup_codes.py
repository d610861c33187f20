"""What a look-up's answer says of the number, by profile.

The two profiles use the same codes for opposite things (facts 1.3), so nothing is read without one. Only what
SMSC calls a subscriber that does not exist is absent: whoever is taken for absent gets no messages. A result
that says nothing of the number (forbidden, no money, test mode, an unknown code) is `UNKNOWN`, with a word.
"""

from dataclasses import dataclass

from smsbridge.core.number import Reachability
from smsbridge.core.provider import Profile
from smsbridge.smsc import err_codes


@dataclass(frozen=True, slots=True)
class Reading:
    """`reachability` is None while there is no result: pending, or SMSC does not know the look-up."""

    reachability: Reachability | None
    reason: str = ""  # why a result is UNKNOWN
    not_found: bool = False
    no_money: bool = False


# 1.3; hlr.php answers at once.
_GUIDE = {0: Reachability.ACTIVE, 1: Reachability.UNAVAILABLE, 2: Reachability.ABSENT}

_PENDING = Reading(None)
_HTTP_PENDING = frozenset({-2, -1, 0})
_HTTP_ANSWERED = frozenset({1, 2})
_HTTP_FAILED = frozenset({3, 20, 25})  # `err` says why

_DOES_NOT_EXIST = 1
# 6.2: what lies with the subscriber or the network, and may pass.
_NOT_REACHABLE = frozenset({6, 11, 12, 13, 21, 219, 220})


def read(profile: Profile, code: int, err: int | None = None) -> Reading:
    """What `code` with `err` says of a number that was looked up by `profile`."""
    if profile is Profile.GUIDE:
        found = _GUIDE.get(code)
        return Reading(found) if found is not None else _nothing("unknown_code")
    if err == err_codes.TEST_MODE:
        return _nothing("test_mode")
    if code == -3:
        return Reading(None, not_found=True)
    if code in _HTTP_PENDING or (code in _HTTP_ANSWERED and err is None):
        return _PENDING  # 4.2: answered without `err` is asked again
    if code in _HTTP_ANSWERED:
        return Reading(Reachability.ACTIVE if err == 0 else Reachability.UNAVAILABLE)
    if code in _HTTP_FAILED:
        return _failed(err)
    return _OTHERS.get(code, _nothing("unknown_code"))


def _failed(err: int | None) -> Reading:
    if err == _DOES_NOT_EXIST:
        return Reading(Reachability.ABSENT)
    return Reading(Reachability.UNAVAILABLE) if err in _NOT_REACHABLE else _nothing("no_result")


def _nothing(reason: str) -> Reading:
    return Reading(Reachability.UNKNOWN, reason)


_OTHERS = {
    22: _nothing("bad_number"),
    23: _nothing("forbidden"),
    24: Reading(Reachability.UNKNOWN, "money", no_money=True),
}
