"""One batch of portal statuses on its way: what was taken is written, and each command's own result decides.

How the portal's errors are read is decided here; when and how often batches leave is `writer`'s business.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from smsbridge.bitrix24 import batch, client, limiter, messageservice
from smsbridge.bitrix24 import errors as portal_errors
from smsbridge.core import errors
from smsbridge.core.provider import Provider
from smsbridge.store.portal_outbox import Entry, PortalOutbox, Result, Written


@dataclass(frozen=True, slots=True)
class Cargo:
    """What one flight carries: entries of providers that share an installation. `token` is its own."""

    token: str
    entries: Sequence[tuple[Provider, Entry]]


@dataclass(frozen=True, slots=True)
class Landing:
    """`error` is what the whole batch met, or the first of its commands that stops more than itself."""

    counts: Mapping[str, Counter[str]]  # by provider uid
    error: errors.SmsbridgeError | None

    @property
    def outcome(self) -> messageservice.StatusOutcome:
        return messageservice.classify(self.error)


class Flight:
    def __init__(self, outbox: PortalOutbox, *, retry_seconds: float) -> None:
        self._outbox = outbox
        self._retry_seconds = retry_seconds

    async def fly(self, api: client.PortalApi, cargo: Cargo) -> Landing:
        """Raises StoreAway where the results could not be kept: the entries rest, then are written again."""
        commands = [
            messageservice.status_command(provider.code, entry.message_id, entry.status)
            for provider, entry in cargo.entries
        ]
        error: errors.SmsbridgeError | None = None
        try:
            answer = await api.batch(commands, priority=limiter.Priority.STATUSES)
        except errors.SmsbridgeError as failure:
            # Nothing of it was done, or nobody knows.
            error = failure
            results = [self._all_failed(entry, failure) for _, entry in cargo.entries]
        else:
            results = [
                self._one(entry, result)
                for (_, entry), result in zip(cargo.entries, answer.results, strict=True)
            ]
            error = next((r.error for r in answer.results if _stops(r.error)), None)
        return Landing(await self._settle(cargo, results), error)

    async def _settle(self, cargo: Cargo, results: Sequence[Result]) -> dict[str, Counter[str]]:
        by_uid: dict[str, list[Result]] = {}
        for (provider, _), result in zip(cargo.entries, results, strict=True):
            by_uid.setdefault(provider.uid, []).append(result)
        return {
            uid: await self._outbox.settle(uid, token=cargo.token, results=found)
            for uid, found in by_uid.items()
        }

    def _all_failed(self, entry: Entry, failure: errors.SmsbridgeError) -> Result:
        if isinstance(failure, portal_errors.PortalAway) and failure.after_first_byte:
            return Result(entry, Written.UNANSWERED)
        return Result(entry, Written.LATER, delay_seconds=self._retry_seconds)

    def _one(self, entry: Entry, result: batch.CommandResult) -> Result:
        match messageservice.classify(result.error):
            case messageservice.StatusOutcome.OK:
                return Result(entry, Written.WRITTEN)
            case messageservice.StatusOutcome.NOT_FOUND_YET:
                return Result(entry, Written.NOT_FOUND)
            case messageservice.StatusOutcome.REFUSED:
                return Result(entry, Written.REFUSED, why=_word(result.error))
        if isinstance(result.error, portal_errors.PortalAway):
            return Result(entry, Written.UNANSWERED)
        return Result(entry, Written.LATER, delay_seconds=self._retry_seconds)


def _stops(error: errors.SmsbridgeError | None) -> bool:
    stop = (messageservice.StatusOutcome.STOP_METHOD, messageservice.StatusOutcome.STOP_PORTAL)
    return messageservice.classify(error) in stop


def _word(error: portal_errors.PortalError | None) -> str:
    """The portal's own code where it is fit to be shown."""
    return portal_errors.readable_code(error.rest_code) if error is not None else "refused"
