"""By which channel a number is reached best: as cascades taught us, or as somebody set it in the CRM.

Provider tag; numbers are kept as keyed digests, so that the store's files are no list of phones. What was
learned goes by itself when nothing new was for long: people come back to Viber. What a hand set stays until a
hand takes it away, and wins.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from smsbridge.core.errand import EntityType
from smsbridge.core.message import Channel
from smsbridge.store import connection, scripts, tags
from smsbridge.store.keyring import Keyring

_PURPOSE = "number"


@dataclass(frozen=True, slots=True)
class Learned:
    """`at_ms`: when it was learned, Unix milliseconds."""

    msisdn: str
    channel: Channel
    at_ms: int


class Preferences:
    """Raises StoreAway. Learning may be repeated: the newest word wins."""

    def __init__(self, store: connection.Store, keyring: Keyring, *, kept_days: float) -> None:
        self._store = store
        self._keyring = keyring
        self._kept_ms = round(kept_days * 86_400_000)

    async def get(self, provider_uid: str, msisdns: Sequence[str]) -> dict[str, Channel]:
        """One round trip; a number without a preference is left out."""
        if not msisdns:
            return {}
        # After a change of the master key a number may be known by its old digest and its new one.
        asked = scripts.encode([self._keyring.digests(_PURPOSE, msisdn) for msisdn in msisdns])
        found = await self._store.run("preferences_read", tags.provider(provider_uid), asked)
        return {msisdn: Channel(word) for msisdn, word in zip(msisdns, found, strict=True) if word}

    async def learn(
        self,
        provider_uid: str,
        learned: Iterable[Learned],
        *,
        errand: Callable[[Learned], str] | None = None,
    ) -> int:
        """How many were newer than what was known. `errand`: what then tells the CRM (`Errands.sealed`)."""
        arguments: list[str | int] = []
        for item in learned:
            follows = errand(item) if errand is not None else ""
            arguments += [self._digest(item.msisdn), item.channel.value, item.at_ms, follows]
        if not arguments:
            return 0
        tag = tags.provider(provider_uid)
        return int(await self._store.run("preferences_learn", tag, self._kept_ms, *arguments, durable=True))

    async def unlearn(self, provider_uid: str, msisdns: Iterable[str]) -> None:
        """What was learned of these numbers counts no more."""
        tag = tags.provider(provider_uid)
        digests = [digest for msisdn in msisdns for digest in self._keyring.digests(_PURPOSE, msisdn)]
        if digests:
            async with connection.translated():
                await self._store.redis.delete(*(f"{tag}pref:{digest}" for digest in digests))

    async def set_by_hand(
        self,
        provider_uid: str,
        entity: EntityType,
        entity_id: int,
        *,
        channel: Channel | None,
        msisdns: Sequence[str],
    ) -> bool:
        """What somebody set in this entity holds for its numbers, and for no others any more; None: nothing.

        True where that is new.
        """
        digests = scripts.encode([self._digest(msisdn) for msisdn in msisdns])
        ref = f"{entity}:{entity_id}"
        tag = tags.provider(provider_uid)
        return bool(await self._store.run("preferences_hand", tag, ref, channel or "", digests))

    def _digest(self, msisdn: str) -> str:
        return self._keyring.digest(_PURPOSE, msisdn)
