"""How a provider wants its numbers looked up: its budget, and how long each outcome counts as fresh."""

from dataclasses import dataclass, replace
from decimal import Decimal

from smsbridge.core.number import Reachability
from smsbridge.core.provider import Provider
from smsbridge.provisioning import sections
from smsbridge.smsc import account as smsc_account


@dataclass(frozen=True, slots=True)
class Rules:
    provider: Provider
    account: smsc_account.Account
    budget: Decimal
    fresh_ms: dict[Reachability, int]
    verification: str = ""  # its quote pays, and `budget` is that; else the provider's day

    def paid_by(self, verification: str, roubles: Decimal) -> "Rules":
        return replace(self, budget=roubles, verification=verification)

    def ages(self, max_age_seconds: int) -> dict[Reachability, int]:
        """How old each outcome may be: what the cache times say, and not more than the caller allows."""
        if max_age_seconds <= 0:
            return self.fresh_ms
        return {outcome: min(age, max_age_seconds * 1000) for outcome, age in self.fresh_ms.items()}

    def keep_ms(self, outcome: Reachability) -> int:
        return self.fresh_ms[outcome]


def of(entries: sections.Entries, uid: str, *, unknown_kept_seconds: float) -> Rules | None:
    """None where nobody knows the provider, or it was removed."""
    entry = entries.entry(uid)
    if entry is None or entry.provider.removed:
        return None
    section = sections.hlr(entry)
    ttl = section.cache_ttl
    seconds = {
        Reachability.ACTIVE: ttl.active.total_seconds(),
        Reachability.UNAVAILABLE: ttl.unavailable.total_seconds(),
        Reachability.ABSENT: ttl.absent.total_seconds(),
        Reachability.UNKNOWN: unknown_kept_seconds,
    }
    return Rules(
        provider=entry.provider,
        account=smsc_account.of(entry.provider.account),
        budget=section.daily_budget,
        fresh_ms={outcome: round(value * 1000) for outcome, value in seconds.items()},
    )
