"""What the hlr role is asked to do with an entity of the CRM, and waits for nobody who asked."""

from dataclasses import dataclass, field
from enum import StrEnum

from smsbridge.core.message import TokenCheck


class EntityType(StrEnum):
    """What in a CRM has phones of its own."""

    CONTACT = "contact"
    LEAD = "lead"
    COMPANY = "company"


class ErrandKind(StrEnum):
    ADDED = "added"  # a lead or contact is new: looked up where the provider's rules want it
    CHANGED = "changed"  # a contact was changed: its preferred channel may have been set by hand
    WEBHOOK = "webhook"  # a workflow's webhook step: looked up, and the result goes to the entity
    STEP = "step"  # a step of ours that waits for what is known of a number
    LEARNED = "learned"  # a number's preferred channel goes to the contacts that have it


@dataclass(frozen=True, slots=True)
class Errand:
    """`entity` None and `entity_id` 0 where only the number counts. `phone` as it was typed; empty: the
    entity's own. `event_token`: of a step's run. `accepted_at_ms`: when it came through the door.
    """

    provider_uid: str
    kind: ErrandKind
    entity: EntityType | None = None
    entity_id: int = 0
    phone: str = field(default="", repr=False)
    event_token: str = field(default="", repr=False)
    accepted_at_ms: int = 0
    token_check: TokenCheck = TokenCheck.ABSENT
    token_digest: str = ""  # of an application token that did not match, to compare it again


class ErrandResult(StrEnum):
    """What became of one at the hlr role; only a taken one, or a repeat of it, is on disk."""

    TAKEN = "taken"
    DUPLICATE = "duplicate"
    UNKNOWN_PROVIDER = "unknown_provider"
    REFUSED = "refused"  # its content says nothing that could be done
