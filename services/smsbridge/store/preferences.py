"""By which channel a number is reached best, as cascades taught us.

Provider tag; numbers are kept as keyed digests, so that the store's files are no list of phones. An entry
goes by itself when nothing was learned for long: people come back to Viber.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from smsbridge.core.message import Channel
from smsbridge.store import connection, tags
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
        wanted = [
            (msisdn, digest) for msisdn in msisdns for digest in self._keyring.digests(_PURPOSE, msisdn)
        ]
        if not wanted:
            return {}
        tag = tags.provider(provider_uid)
        async with connection.translated():
            values = await self._store.redis.mget([f"{tag}pref:{digest}" for _, digest in wanted])
        newest: dict[str, tuple[int, Channel]] = {}
        for (msisdn, _), value in zip(wanted, values, strict=True):
            if value is None:
                continue
            channel, _, at = value.decode().partition("|")
            # After a change of the master key a number may be known by its old digest and its new one.
            newest[msisdn] = max(newest.get(msisdn, (0, Channel(channel))), (int(at), Channel(channel)))
        return {msisdn: channel for msisdn, (_, channel) in newest.items()}

    async def learn(self, provider_uid: str, learned: Iterable[Learned]) -> int:
        """How many were newer than what was known."""
        arguments: list[str | int] = []
        for item in learned:
            arguments += [self._keyring.digest(_PURPOSE, item.msisdn), item.channel.value, item.at_ms]
        if not arguments:
            return 0
        tag = tags.provider(provider_uid)
        return int(await self._store.run("preferences_learn", tag, self._kept_ms, *arguments, durable=True))
