"""From what SMSC said to what it means for an attempt of ours: one reading, by the profile it was sent with.

Pure. The table of codes is smsc.codes; rank and cascades are decided by the store's scripts.
"""

from dataclasses import dataclass

from smsbridge.core.delivery import AttemptState
from smsbridge.core.message import Channel
from smsbridge.core.provider import Profile, Provider, ViberStop
from smsbridge.smsc import codes
from smsbridge.store.delivery import Change

CALLBACK, STATUS = "callback", "status"
_FALL_BACK = frozenset({AttemptState.UNDELIVERED, AttemptState.FAILED})


@dataclass(frozen=True, slots=True)
class Said:
    """`source` is CALLBACK or STATUS; `err` None and `cost` empty where SMSC said nothing of them."""

    code: int
    source: str
    err: int | None = None
    cost: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to apply, and what concerns more than this attempt."""

    change: Change
    reading: codes.Reading


def read(
    said: Said, *, message_id: str, attempt: int, profile: Profile, channel: Channel, provider: Provider
) -> Verdict:
    reading = codes.read_status(profile, said.code, said.err, channel)
    routing = provider.routing
    change = Change(
        message_id=message_id,
        attempt=attempt,
        code=said.code,
        source=said.source,
        # A pending status tells nothing that the acceptance did not.
        state=None if reading.pending else reading.state,
        err=said.err,
        by=reading.delivered_by,
        reason=reading.reason,
        cost=said.cost,
        read=reading.read,
        fell_back=reading.fell_back,
        # Without money the next leg would fail as well; it starts when its time comes.
        falls_back=profile is Profile.HTTP and reading.state in _FALL_BACK and not reading.no_money,
        stops_on_read=profile is Profile.HTTP and routing.viber_stops_on is ViberStop.READ,
        learn=routing.learn_preferred_channel,
        known=reading.known,
        asked=said.source == STATUS,
    )
    return Verdict(change, reading)
