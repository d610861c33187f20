"""Delivery states: of an attempt (one hand-over to SMSC by one channel) and of a message, which follows.

`delivered` is above everything: it may still replace a failure (moderation, a late receipt) and nothing
replaces it. Otherwise states only go forward. The store's scripts compare `rank`, so the rule stands once.
"""

from collections.abc import Sequence
from enum import StrEnum


class AttemptState(StrEnum):
    PLANNED = "planned"
    QUEUED = "queued"
    SENDING = "sending"
    SENT = "sent"  # SMSC accepted it
    FORBIDDEN = "forbidden"  # status 23: a moderator may still release it; not final before its grace time
    UNDELIVERED = "undelivered"
    FAILED = "failed"
    UNKNOWN = "unknown"  # closed without a receipt
    DELIVERED = "delivered"

    @property
    def rank(self) -> int:
        return _RANK[self]

    @property
    def final(self) -> bool:
        return self.rank >= FINAL_RANK


_RANK = {
    AttemptState.PLANNED: 0,
    AttemptState.QUEUED: 1,
    AttemptState.SENDING: 2,
    AttemptState.SENT: 3,
    AttemptState.FORBIDDEN: 4,
    AttemptState.UNKNOWN: 5,
    AttemptState.UNDELIVERED: 6,
    AttemptState.FAILED: 6,
    AttemptState.DELIVERED: 9,
}
FINAL_RANK = 5


class MessageState(StrEnum):
    HELD = "held"
    QUEUED = "queued"
    SENDING = "sending"
    SENT = "sent"
    DELIVERED = "delivered"
    UNDELIVERED = "undelivered"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    OUTCOME_UNKNOWN = "outcome_unknown"

    @property
    def final(self) -> bool:
        return self in _FINAL


_FINAL = frozenset(
    {
        MessageState.DELIVERED,
        MessageState.UNDELIVERED,
        MessageState.FAILED,
        MessageState.EXPIRED,
        MessageState.CANCELLED,
        MessageState.OUTCOME_UNKNOWN,
    }
)


class PortalStatus(StrEnum):
    """Bitrix24's five words for messageservice.message.status.update."""

    QUEUED = "queued"
    SENT = "sent"
    DELIVERED = "delivered"
    UNDELIVERED = "undelivered"
    FAILED = "failed"


class StepStatus(StrEnum):
    """What a workflow step is told of its message: how it ended, or that it was taken."""

    QUEUED = "queued"
    DELIVERED = "delivered"
    UNDELIVERED = "undelivered"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"


PORTAL_STATUS: dict[MessageState, PortalStatus] = {
    MessageState.HELD: PortalStatus.QUEUED,
    MessageState.QUEUED: PortalStatus.QUEUED,
    MessageState.SENDING: PortalStatus.QUEUED,
    MessageState.SENT: PortalStatus.SENT,
    MessageState.DELIVERED: PortalStatus.DELIVERED,
    MessageState.UNDELIVERED: PortalStatus.UNDELIVERED,
    MessageState.FAILED: PortalStatus.FAILED,
    MessageState.EXPIRED: PortalStatus.FAILED,
    MessageState.CANCELLED: PortalStatus.FAILED,
    MessageState.OUTCOME_UNKNOWN: PortalStatus.SENT,
}


def advances(current: AttemptState, new: AttemptState) -> bool:
    """True where a receipt that says `new` may replace `current`."""
    return new.rank > current.rank


_OF_ATTEMPT = {
    AttemptState.PLANNED: MessageState.QUEUED,
    AttemptState.QUEUED: MessageState.QUEUED,
    AttemptState.SENDING: MessageState.SENDING,
    AttemptState.SENT: MessageState.SENT,
    AttemptState.FORBIDDEN: MessageState.SENT,
    AttemptState.UNDELIVERED: MessageState.UNDELIVERED,
    AttemptState.FAILED: MessageState.FAILED,
    AttemptState.UNKNOWN: MessageState.OUTCOME_UNKNOWN,
    AttemptState.DELIVERED: MessageState.DELIVERED,
}


def derive(attempts: Sequence[AttemptState], *, planned: bool = False) -> MessageState:
    """A message's state from its attempts' in order: delivered if any is; open while one is open or
    `planned`; else what the last one says; an unknown outcome of any makes the whole unknown.
    """
    if not attempts:
        return MessageState.QUEUED
    if AttemptState.DELIVERED in attempts:
        return MessageState.DELIVERED
    still_open = [a for a in attempts if not a.final]
    if still_open:
        return _OF_ATTEMPT[max(still_open, key=lambda a: a.rank)]
    if planned:
        return MessageState.SENT
    if AttemptState.UNKNOWN in attempts:
        return MessageState.OUTCOME_UNKNOWN
    return _OF_ATTEMPT[attempts[-1]]
