"""When each provider is reconciled again: at an interval where all is well, at doubling distances where it
is not.

Local time; it starts anew with the process. What is done then is `service`'s business.
"""

import random
from collections.abc import Callable

from smsbridge.provisioning.settings import ProvisioningSettings
from smsbridge.runtime import clock as clocks
from smsbridge.runtime import retry

_IDLE_SECONDS = 5.0


class Schedule:
    def __init__(
        self, settings: ProvisioningSettings, clock: clocks.Clock, rng: Callable[[], float] = random.random
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._rng = rng
        self._backoff = retry.Backoff(settings.retry_first_seconds, settings.retry_cap_seconds)
        self._due: dict[str, float] = {}
        self._failures: dict[str, int] = {}

    def now(self, uid: str) -> None:
        self._due[uid] = self._clock.monotonic()
        self._failures.pop(uid, None)

    def know(self, uids: set[str]) -> None:
        """New ones are due at once; what is gone is forgotten."""
        for uid in self._due.keys() - uids:
            del self._due[uid]
            self._failures.pop(uid, None)
        for uid in uids - self._due.keys():
            self.now(uid)

    def take(self) -> list[str]:
        """Those that are due, until `done` plans them again."""
        now = self._clock.monotonic()
        return [uid for uid, due in self._due.items() if due <= now]

    def done(self, uid: str, *, again: bool, started: float) -> None:
        """`again`: before the usual interval. A call for it since `started` stands."""
        if uid not in self._due or self._due[uid] > started:
            return
        if again:
            failures = self._failures[uid] = self._failures.get(uid, 0) + 1
            wait = self._backoff.delay(failures, rng=self._rng)
        else:
            self._failures.pop(uid, None)
            jitter = self._settings.interval_jitter
            wait = self._settings.interval_seconds * (1 - jitter + 2 * jitter * self._rng())
        self._due[uid] = self._clock.monotonic() + wait

    def later(self, uid: str, *, seconds: float, started: float) -> None:
        """Its turn at a portal's limits did not come: that is no failure of its own, so no distance doubles.
        A call for it since `started` stands.
        """
        if uid in self._due and self._due[uid] <= started:
            first, cap = self._settings.retry_first_seconds, self._settings.retry_cap_seconds
            wait = min(max(seconds, first), cap) * (0.5 + self._rng())
            self._due[uid] = self._clock.monotonic() + wait

    def wait_seconds(self) -> float:
        if not self._due:
            return _IDLE_SECONDS
        return min(max(0.0, min(self._due.values()) - self._clock.monotonic()), _IDLE_SECONDS)
