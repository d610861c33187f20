"""The OAuth host: the refresh and `app.info`, request by request, and that no secret leaks out of them."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from aiohttp import test_utils, web

from smsbridge.bitrix24 import app, errors, oauth, transport

SECRETS = ("secret1", "rt1", "at1")
PAIR = {
    "access_token": "at2",
    "refresh_token": "rt2",
    "expires": 1742899200,
    "expires_in": 3600,
    "client_endpoint": "https://example.bitrix24.ru/rest/",
    "server_endpoint": "https://oauth.bitrix.info/rest/",
    "domain": "oauth.bitrix.info",
    "member_id": "m1",
    "scope": "crm,messageservice",
    "status": "L",
    "user_id": 7,
}
INFO = {
    "client_id": "local.1",
    "scope": "crm,messageservice",
    "expires": 1742899200,
    "user_id": 7,
    "install": {
        "installed": True,
        "version": 1,
        "status": "L",
        "domain": "example.bitrix24.ru",
        "client_endpoint": "https://example.bitrix24.ru/rest/",
        "member_id": "m1",
    },
}


@dataclass
class Host:
    """Answers `status` and `body` to everything; breaks the connection where `broken`."""

    status: int = 200
    body: object = None
    broken: bool = False
    url: str = ""
    calls: list[tuple[str, str, dict[str, str], str]] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.Response:
        self.calls.append((request.method, request.path, dict(request.query), await request.text()))
        if self.broken:
            assert request.transport is not None
            request.transport.abort()
        text = self.body if isinstance(self.body, str) else json.dumps(self.body)
        return web.Response(status=self.status, text=text)


@pytest.fixture
async def host() -> AsyncIterator[Host]:
    stub = Host()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", stub.handle)
    async with test_utils.TestServer(application) as server:
        stub.url = str(server.make_url("/oauth"))
        yield stub


@pytest.fixture
async def http() -> AsyncIterator[transport.Transport]:
    async with transport.Transport() as opened:
        yield opened


async def refresh(http: transport.Transport, host: Host) -> oauth.TokenPair:
    return await oauth.refresh(
        http,
        host.url,
        client_id="local.1",
        client_secret="secret1",
        refresh_token="rt1",
        clock=lambda: 1000.5,
    )


async def test_a_refresh(http: transport.Transport, host: Host) -> None:
    host.body = PAIR
    pair = await refresh(http, host)
    query = {
        "grant_type": "refresh_token",
        "client_id": "local.1",
        "client_secret": "secret1",
        "refresh_token": "rt1",
    }
    assert host.calls == [("GET", "/oauth/oauth/token/", query, "")]
    assert pair == oauth.TokenPair(
        access_token="at2",
        refresh_token="rt2",
        expires_at=1742899200,
        client_endpoint="https://example.bitrix24.ru/rest/",
        server_endpoint="https://oauth.bitrix.info/rest/",
        member_id="m1",
        user_id="7",
        scope=frozenset({"crm", "messageservice"}),
    )
    assert "at2" not in repr(pair)
    assert "rt2" not in repr(pair)


@pytest.mark.parametrize(
    ("without", "given", "expires_at"),
    [
        (["expires"], {"expires_in": "1800"}, 2800),
        (["expires", "expires_in"], {}, 4600),
        ([], {"expires": "77"}, 77),
    ],
)
async def test_when_the_new_token_expires(
    http: transport.Transport, host: Host, without: list[str], given: dict[str, object], expires_at: int
) -> None:
    host.body = {name: value for name, value in PAIR.items() if name not in without} | given
    assert (await refresh(http, host)).expires_at == expires_at


REFUSALS = [
    (400, {"error": "invalid_request"}, errors.PortalRefused),
    (400, {"error": "invalid_client"}, errors.ClientRefused),
    (401, {"error": "invalid_client"}, errors.ClientRefused),
    (200, {"error": "wrong_client"}, errors.ClientRefused),
    (400, {"error": "invalid_grant"}, errors.GrantRefused),
    (403, {"error": "insufficient_scope"}, errors.InsufficientScope),
    (400, {"error": "invalid_scope"}, errors.InsufficientScope),
    (401, {"error": "PAYMENT_REQUIRED"}, errors.InstallationBroken),
    (400, {"error": "NOT_INSTALLED"}, errors.InstallationBroken),
    (400, {"error": "APPLICATION_NOT_FOUND"}, errors.InstallationBroken),
    (400, {"error": ""}, errors.PortalRefused),
    (503, {"error": "QUERY_LIMIT_EXCEEDED"}, errors.RateLimited),
    (500, {"error": "INTERNAL_SERVER_ERROR"}, errors.PortalAway),
    (502, "<html></html>", errors.PortalAway),
    (200, "<html></html>", errors.PortalAway),
    (302, "", errors.PortalAway),
    (200, {}, errors.PortalAway),
    (200, {"access_token": "at2"}, errors.PortalAway),
]


@pytest.mark.parametrize(("status", "body", "expected"), REFUSALS)
async def test_a_refused_refresh(
    http: transport.Transport, host: Host, status: int, body: object, expected: type[errors.PortalError]
) -> None:
    host.status, host.body = status, body
    with pytest.raises(errors.PortalError) as raised:
        await refresh(http, host)
    assert type(raised.value) is expected
    assert not any(secret in str(raised.value) for secret in SECRETS)
    assert len(host.calls) == 1
    if isinstance(raised.value, errors.PortalAway):
        assert raised.value.after_first_byte


async def test_a_refresh_is_never_sent_twice(http: transport.Transport, host: Host) -> None:
    """On a kept connection that breaks, an ordinary client repeats a GET by itself."""
    host.body = PAIR
    await refresh(http, host)
    host.broken = True
    with pytest.raises(errors.PortalAway) as raised:
        await refresh(http, host)
    assert len(host.calls) == 2
    assert raised.value.after_first_byte
    assert raised.value.__cause__ is None
    assert raised.value.__context__ is None
    assert not any(secret in str(raised.value) for secret in SECRETS)


async def test_a_refresh_that_never_left_spent_nothing(http: transport.Transport, host: Host) -> None:
    async with test_utils.TestServer(web.Application()) as gone:
        host.url = str(gone.make_url("/oauth"))
    with pytest.raises(errors.PortalAway) as raised:
        await refresh(http, host)
    assert not raised.value.after_first_byte


async def test_whose_token_it_is(http: transport.Transport, host: Host) -> None:
    host.body = {"result": INFO}
    info = await oauth.app_info(http, host.url, "at1")
    assert host.calls == [("POST", "/oauth/rest/app.info", {}, '{"auth": "at1"}')]
    assert info == oauth.AppInfo(
        client_id="local.1",
        member_id="m1",
        user_id="7",
        scopes=frozenset({"crm", "messageservice"}),
        installed=True,
        client_endpoint="https://example.bitrix24.ru/rest/",
        domain="example.bitrix24.ru",
    )


@pytest.mark.parametrize(
    ("result", "installed"),
    [
        ([], False),
        ({"install": []}, False),
        ({"install": {"installed": "Y"}}, True),
        ({"install": {"installed": 0}}, False),
    ],
)
async def test_an_incomplete_app_info(
    http: transport.Transport, host: Host, result: object, installed: bool
) -> None:
    host.body = {"result": result}
    info = await oauth.app_info(http, host.url, "at1")
    assert (info.client_id, info.member_id, info.installed) == ("", "", installed)


async def test_a_dead_token_has_no_app_info(http: transport.Transport, host: Host) -> None:
    host.status, host.body = 401, {"error": "expired_token"}
    with pytest.raises(errors.TokenExpired):
        await oauth.app_info(http, host.url, "at1")


OURS = oauth.AppInfo(
    client_id="local.1",
    member_id="m1",
    user_id="7",
    scopes=frozenset(),
    installed=True,
    client_endpoint="",
    domain="",
)


@pytest.mark.parametrize("member_id", ["m1", ""])
def test_a_token_of_ours(member_id: str) -> None:
    app.check_owner(OURS, client_id="local.1", member_id=member_id)


@pytest.mark.parametrize(
    ("client_id", "member_id", "sentence"),
    [
        ("local.2", "m1", "another application"),
        ("", "m1", "another application"),
        ("local.1", "m2", "another portal"),
    ],
)
def test_a_strangers_token(client_id: str, member_id: str, sentence: str) -> None:
    with pytest.raises(errors.PortalRefused, match=sentence):
        app.check_owner(OURS, client_id=client_id, member_id=member_id)
