"""The OAuth host: a new pair of tokens for an old refresh token, and whose token one is.

A refresh token works once. Who calls `refresh` holds the lock, and stores the new pair before using it.
The refresh is a GET with secrets in its query, as documented: the one exception to "no secret in a URL".
It is never logged, and no error carries it.
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from smsbridge.bitrix24 import answers, errors, inbound, transport

REFRESH_SECONDS = 20.0
APP_INFO_SECONDS = 20.0
_TOKEN_SECONDS = 3600  # documented life of an access token


@dataclass(frozen=True, slots=True)
class TokenPair:
    """`expires_at` in unix seconds. Empty where the host did not tell."""

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_at: int
    client_endpoint: str
    server_endpoint: str
    member_id: str
    user_id: str
    scope: frozenset[str]


@dataclass(frozen=True, slots=True)
class AppInfo:
    """What the OAuth host knows about an access token: the one statement about it that can be trusted."""

    client_id: str
    member_id: str
    user_id: str
    scopes: frozenset[str]
    installed: bool
    client_endpoint: str
    domain: str


async def refresh(
    http: transport.Transport,
    oauth_endpoint: str,
    *,
    client_id: str,
    client_secret: str,
    refresh_token: str,
    total_seconds: float = REFRESH_SECONDS,
    clock: Callable[[], float] = time.time,
) -> TokenPair:
    """`oauth_endpoint` as `endpoints.oauth_base` makes it.

    Raises GrantRefused (the chain is dead), ClientRefused (id or secret), InstallationBroken, another
    PortalRefused, or PortalAway: with `after_first_byte` the old token may be spent already.
    """
    method = "oauth/token"
    reply = await http.get(
        f"{oauth_endpoint.rstrip('/')}/{method}/",
        params={
            "grant_type": "refresh_token",
            "client_id": client_id,
            "client_secret": client_secret,
            "refresh_token": refresh_token,
        },
        total_seconds=total_seconds,
    )
    body = answers.read_object(reply, method=method)
    access_token, new_refresh_token = _text(body, "access_token"), _text(body, "refresh_token")
    if not access_token or not new_refresh_token:
        raise errors.PortalAway(
            "the OAuth host answered without tokens", method=method, after_first_byte=True
        )
    return TokenPair(
        access_token=access_token,
        refresh_token=new_refresh_token,
        expires_at=_expires_at(body, now=clock()),
        client_endpoint=_text(body, "client_endpoint"),
        server_endpoint=_text(body, "server_endpoint"),
        member_id=_text(body, "member_id"),
        user_id=_text(body, "user_id"),
        scope=inbound.split_scope(_text(body, "scope")),
    )


async def app_info(
    http: transport.Transport,
    oauth_endpoint: str,
    access_token: str,
    *,
    total_seconds: float = APP_INFO_SECONDS,
) -> AppInfo:
    """Asks the OAuth host, not the portal: a stranger's portal would confirm anything. Raises a PortalError.

    A POST with the token in its body, so that it stays out of URLs; Bitrix24's own SDK does the same.
    """
    method = "app.info"
    body = json.dumps({"auth": access_token}).encode()
    reply = await http.post_json(
        f"{oauth_endpoint.rstrip('/')}/rest/{method}", body, total_seconds=total_seconds
    )
    result = answers.as_map(answers.read(reply, method=method).result)
    install = answers.as_map(result.get("install"))
    return AppInfo(
        client_id=_text(result, "client_id"),
        member_id=_text(install, "member_id"),
        user_id=_text(result, "user_id"),
        scopes=inbound.split_scope(_text(result, "scope")),
        installed=_truth(install.get("installed")),
        client_endpoint=_text(install, "client_endpoint"),
        domain=_text(install, "domain"),
    )


def _expires_at(body: Mapping[str, object], *, now: float) -> int:
    expires = _text(body, "expires")
    if expires.isdigit():
        return int(expires)
    lifetime = _text(body, "expires_in")
    return int(now) + (int(lifetime) if lifetime.isdigit() else _TOKEN_SECONDS)


def _text(body: Mapping[str, object], name: str) -> str:
    return answers.text_of(body.get(name))


def _truth(value: object) -> bool:
    return value is True or answers.text_of(value).lower() in {"1", "y", "true"}
