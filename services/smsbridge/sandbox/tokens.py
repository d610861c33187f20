"""OAuth tokens of all portals: access tokens that expire, refresh tokens that work once.

A second use of a refresh token kills its whole chain, and a refresh ends the access token issued with it:
the stricter of the documented readings.
"""

import secrets
from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True, eq=False)
class Grant:
    """One application on one portal for one user; a chain of token pairs."""

    client_id: str
    member_id: str
    user_id: int
    alive: bool = True


@dataclass(slots=True)
class Pair:
    access_token: str
    refresh_token: str
    expires_at: int  # unix seconds


@dataclass(slots=True)
class _Access:
    grant: Grant
    expires_at: float
    revoked: bool = False
    depth: int = 0  # how many events it stands behind


@dataclass(slots=True)
class _Refresh:
    grant: Grant
    access_token: str
    used: bool = False


@dataclass(slots=True)
class TokenBook:
    results: Counter[str] = field(default_factory=Counter)
    _access: dict[str, _Access] = field(default_factory=dict)
    _refresh: dict[str, _Refresh] = field(default_factory=dict)

    def issued(self) -> dict[str, set[str]]:
        """Every one, of whatever age, by its kind: what must stand nowhere."""
        return {"access token": set(self._access), "refresh token": set(self._refresh)}

    def issue(self, grant: Grant, *, now: float, seconds: float) -> Pair:
        pair = Pair(secrets.token_hex(35), secrets.token_hex(35), int(now + seconds))
        self._access[pair.access_token] = _Access(grant, now + seconds)
        self._refresh[pair.refresh_token] = _Refresh(grant, pair.access_token)
        return pair

    def issue_access(self, grant: Grant, *, now: float, seconds: float, depth: int = 0) -> Pair:
        """What a handler gets: a token of the author without a refresh token. `depth`: of an event's."""
        pair = Pair(secrets.token_hex(35), "", int(now + seconds))
        self._access[pair.access_token] = _Access(grant, now + seconds, depth=depth)
        return pair

    def depth(self, access_token: str) -> int:
        held = self._access.get(access_token)
        return held.depth if held is not None else 0

    def grant_of_refresh(self, refresh_token: str) -> Grant | None:
        held = self._refresh.get(refresh_token)
        return held.grant if held is not None else None

    def refresh(self, refresh_token: str, *, now: float, seconds: float) -> Pair | None:
        """A new pair, or None where the token is unknown, used before, or its chain is dead."""
        held = self._refresh.get(refresh_token)
        if held is None or not held.grant.alive:
            return None
        if held.used:
            held.grant.alive = False
            return None
        held.used = True
        self._access[held.access_token].revoked = True
        return self.issue(held.grant, now=now, seconds=seconds)

    def look_up(self, access_token: str, now: float) -> Grant | str:
        """The grant, or the error code why it is of no use."""
        held = self._access.get(access_token)
        if held is None or not held.grant.alive:
            return "invalid_token"
        if held.revoked or held.expires_at <= now:
            return "expired_token"
        return held.grant

    def owner(self, access_token: str) -> Grant | None:
        """Whose it is or was."""
        held = self._access.get(access_token)
        return held.grant if held is not None else None

    def expire(self, *, member_id: str, now: float) -> int:
        """Lets every access token of a portal run out; says how many."""
        mine = [held for held in self._access.values() if held.grant.member_id == member_id]
        running = [held for held in mine if not held.revoked and held.expires_at > now]
        for held in running:
            held.expires_at = now
        return len(running)

    def revoke(self, *, member_id: str, client_id: str) -> None:
        grants = [held.grant for held in self._access.values()]
        for grant in grants:
            if grant.member_id == member_id and grant.client_id == client_id:
                grant.alive = False
