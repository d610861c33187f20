"""SMSC's limits: sliding windows of an account, and the blocking of an IP over all accounts."""

from collections import Counter, defaultdict, deque
from collections.abc import Hashable

from smsbridge.sandbox.settings import IpGuardSettings

_SWEEP_ABOVE = 50_000  # keys; beyond it those with an empty window are thrown away


class Window:
    """Counts hits by key within the last so many seconds."""

    def __init__(self) -> None:
        self._hits: dict[Hashable, deque[float]] = {}

    def hit(self, key: Hashable, *, now: float, seconds: float) -> int:
        """Hits within the window, this one included. A refused call counts like any other."""
        hits = self._hits.get(key)
        if hits is None:
            if len(self._hits) > _SWEEP_ABOVE:
                self._sweep(now - seconds)
            hits = self._hits[key] = deque()
        while hits and hits[0] <= now - seconds:
            hits.popleft()
        hits.append(now)
        return len(hits)

    def _sweep(self, before: float) -> None:
        self._hits = {key: hits for key, hits in self._hits.items() if hits and hits[-1] > before}


class IpGuard:
    """Error 4: wrong logins within a window, or erroneous sends in a row, block the address for a time."""

    def __init__(self, settings: IpGuardSettings) -> None:
        self.settings = settings
        self.blocks: Counter[str] = Counter()
        self._until: dict[str, float] = {}
        self._logins: defaultdict[str, deque[float]] = defaultdict(deque)
        self._bad: defaultdict[str, deque[float]] = defaultdict(deque)

    def blocked(self, ip: str, now: float) -> bool:
        return self._until.get(ip, 0.0) > now

    def block(self, ip: str, *, until: float) -> None:
        self._until[ip] = until
        self.blocks[ip] += 1

    def release(self) -> None:
        self._until.clear()
        self._logins.clear()
        self._bad.clear()

    def wrong_login(self, ip: str, now: float) -> None:
        wrong = self._logins[ip]
        wrong.append(now)
        while wrong[0] <= now - self.settings.auth_window_seconds:
            wrong.popleft()
        if len(wrong) >= self.settings.auth_errors:
            wrong.clear()
            self.block(ip, until=now + self.settings.auth_block_seconds)

    @property
    def wrong_logins(self) -> int:
        """Within their window, over all addresses."""
        return sum(len(wrong) for wrong in self._logins.values())

    def sent(self, ip: str, *, good: bool, now: float) -> None:
        """The outcome of one send.php call."""
        bad = self._bad[ip]
        if good:
            bad.clear()
            return
        bad.append(now)
        while bad[0] <= now - self.settings.bad_window_seconds:
            bad.popleft()
        if len(bad) >= self.settings.bad_requests:
            bad.clear()
            self.block(ip, until=now + self.settings.bad_block_seconds)
