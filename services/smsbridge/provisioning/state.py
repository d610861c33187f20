"""What is remembered of a provider from one reconciliation to the next, and shown to people. It holds no
secret.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from smsbridge.provisioning import conditions
from smsbridge.provisioning.conditions import Condition, Status, Type


@dataclass(frozen=True, slots=True)
class State:
    """`registered` tells for which registrations_version and handler the portal was told of us.

    `errors` are those of the manifest, where the resource is not valid. `last_sync`: when the portal was last
    seen to show what it should.
    """

    uid: str = ""
    generation: int = 0
    conditions: tuple[Condition, ...] = ()
    member_id: str = ""
    registered: str = ""
    account_fingerprint: str = ""
    account_asked_at: datetime | None = None
    balance: Decimal | None = None
    last_sync: datetime | None = None
    errors: tuple[str, ...] = ()
    removed: bool = False

    def find(self, type_: Type) -> Condition | None:
        return next((item for item in self.conditions if item.type is type_), None)

    def with_condition(self, item: Condition, *, now: datetime) -> "State":
        """With another word for one condition since `now`, and with the Ready that follows from it."""
        merged = conditions.merge(self.conditions, [item], generation=self.generation, now=now)
        return replace(self, conditions=merged)

    @property
    def ready(self) -> bool:
        found = self.find(Type.READY)
        return found is not None and found.status is Status.TRUE

    def to_json(self) -> dict[str, Any]:
        return {
            "uid": self.uid,
            "observedGeneration": self.generation,
            "conditions": [item.to_json() for item in self.conditions],
            "memberId": self.member_id,
            "registered": self.registered,
            "accountFingerprint": self.account_fingerprint,
            "accountAskedAt": self.account_asked_at.isoformat() if self.account_asked_at else None,
            "balance": None if self.balance is None else str(self.balance),
            "lastSync": self.last_sync.isoformat(timespec="seconds") if self.last_sync else None,
            "errors": list(self.errors),
            "removed": self.removed,
        }


def from_json(body: Mapping[str, Any]) -> State:
    """What another version wrote and we cannot read counts as nothing known."""
    asked, balance, synced = (body.get(key) for key in ("accountAskedAt", "balance", "lastSync"))
    try:
        return State(
            uid=str(body.get("uid", "")),
            generation=int(body.get("observedGeneration", 0)),
            conditions=tuple(conditions.from_json(item) for item in body.get("conditions", ())),
            member_id=str(body.get("memberId", "")),
            registered=str(body.get("registered", "")),
            account_fingerprint=str(body.get("accountFingerprint", "")),
            account_asked_at=datetime.fromisoformat(asked) if asked else None,
            balance=None if balance is None else Decimal(balance),
            last_sync=datetime.fromisoformat(synced) if synced else None,
            errors=tuple(str(item) for item in body.get("errors", ())),
            removed=bool(body.get("removed", False)),
        )
    except (KeyError, ValueError, TypeError, ArithmeticError):
        return State()
