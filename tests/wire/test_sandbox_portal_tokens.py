"""The portal stand-in and its OAuth host: tokens that end, renamed and removed portals, ordered faults."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from smsbridge.sandbox.faults import Fault, FaultKind
from tests.wire import sandbox_portal
from tests.wire.sandbox_portal import ADMIN, CLIENT, DOMAIN, Rest, refused, update_command


@pytest.fixture
async def rest() -> AsyncIterator[Rest]:
    async with sandbox_portal.calling() as rest:
        yield rest


TOKENS = [
    ("", 401, ("NO_AUTH_FOUND", "Wrong authorization data")),
    ("unknown", 401, ("invalid_token", "Unable to get application by token")),
]


@pytest.mark.parametrize(("token", "status", "answer"), TOKENS)
async def test_bad_tokens(rest: Rest, token: str, status: int, answer: tuple[str, str]) -> None:
    assert await rest.call("user.admin", token=token) == (status, refused(*answer))


EXPIRED = (401, refused("expired_token", "The access token provided has expired."))


async def test_access_tokens_live_an_hour(rest: Rest) -> None:
    rest.sandbox.clock.advance(3590)
    assert (await rest.call("user.admin"))[0] == 200
    rest.sandbox.clock.advance(10)
    assert await rest.call("user.admin") == EXPIRED


async def test_a_refresh_gives_a_pair_and_ends_the_old_one(rest: Rest) -> None:
    old = rest.admin
    status, answer = await rest.token()
    assert status == 200
    new = {name: answer.pop(name) for name in ("access_token", "refresh_token", "expires")}
    assert answer == {
        "expires_in": 3600,
        "client_endpoint": rest.sandbox.portal_url(DOMAIN),
        "server_endpoint": rest.sandbox.oauth_url + "/rest/",
        "domain": "oauth.bitrix.info",
        "member_id": rest.portal.member_id,
        "scope": "crm,bizproc,messageservice,placement",
        "status": "L",
        "user_id": ADMIN,
    }
    assert await rest.call("user.admin", token=old.access_token) == EXPIRED
    assert (await rest.call("user.admin", token=new["access_token"]))[0] == 200


async def test_a_refresh_token_used_twice_kills_its_chain(rest: Rest) -> None:
    new = (await rest.token())[1]
    assert (await rest.token())[1]["error"] == "invalid_grant"
    assert (await rest.token(refresh_token=new["refresh_token"]))[1]["error"] == "invalid_grant"
    assert (await rest.call("user.admin", token=new["access_token"]))[1]["error"] == "invalid_token"
    assert rest.sandbox.portals.tokens.results == {"ok": 1, "invalid_grant": 2}


REFRESHES = [
    ({"client_secret": "wrong"}, 401, "invalid_client"),
    ({"client_id": "nobody"}, 401, "invalid_client"),
    ({"refresh_token": "unknown"}, 400, "invalid_grant"),
    ({"grant_type": "password"}, 400, "invalid_request"),
]


@pytest.mark.parametrize(("changes", "status", "error"), REFRESHES)
async def test_refused_refreshes(rest: Rest, changes: dict[str, str], status: int, error: str) -> None:
    got = await rest.token(**changes)
    assert (got[0], got[1]["error"]) == (status, error)


async def test_app_info_at_the_oauth_host_proves_a_token(rest: Rest) -> None:
    url = rest.sandbox.oauth_url + "/rest/app.info"
    async with rest.session.get(url, params={"auth": rest.admin.access_token}) as response:
        result = (await response.json())["result"]
    assert (result["client_id"], result["user_id"]) == (CLIENT, ADMIN)
    assert result["install"]["member_id"] == rest.portal.member_id
    assert result["install"]["client_endpoint"] == rest.sandbox.portal_url(DOMAIN)
    async with rest.session.get(url, params={"auth": "unknown"}) as response:
        assert (response.status, (await response.json())["error"]) == (401, "invalid_token")


async def test_a_renamed_portal_answers_302_at_its_old_domain(rest: Rest) -> None:
    old = rest.sandbox.portal_url(DOMAIN)
    rest.sandbox.portals.rename(rest.portal, "renamed.bitrix24.ru")
    async with rest.session.post(old + "user.admin", json={}, allow_redirects=False) as response:
        new = rest.sandbox.portal_url("renamed.bitrix24.ru")
        assert (response.status, response.headers["Location"]) == (302, new + "user.admin")
    assert (await rest.call("user.admin"))[0] == 200


async def test_an_application_that_was_removed_is_not_installed(rest: Rest) -> None:
    rest.application.present = rest.application.installed = False
    assert await rest.call("user.admin") == (401, refused("NOT_INSTALLED", "Application not installed"))
    assert (await rest.token())[1]["error"] == "invalid_client"


async def test_a_scope_that_was_not_granted(rest: Rest) -> None:
    rest.application.settings.scope = ["crm"]
    status, answer = await rest.call("messageservice.sender.list")
    assert (status, answer["error"]) == (403, "insufficient_scope")


FAULTS = [
    (FaultKind.QUERY_LIMIT, 503, "QUERY_LIMIT_EXCEEDED"),
    (FaultKind.OVERLOAD, 503, "OVERLOAD_LIMIT"),
    (FaultKind.OPERATION_TIME_LIMIT, 429, "OPERATION_TIME_LIMIT"),
    (FaultKind.NOT_INSTALLED, 401, "NOT_INSTALLED"),
    (FaultKind.APPLICATION_NOT_FOUND, 401, "APPLICATION_NOT_FOUND"),
    (FaultKind.PAYMENT_REQUIRED, 401, "PAYMENT_REQUIRED"),
    (FaultKind.INSUFFICIENT_SCOPE, 403, "insufficient_scope"),
    (FaultKind.EXPIRED_TOKEN, 401, "expired_token"),
    (FaultKind.PORTAL_DELETED, 410, "PORTAL_DELETED"),
    (FaultKind.COMMAND_ERROR, 400, "ERROR_MESSAGE_NOT_FOUND"),
]


@pytest.mark.parametrize(("kind", "status", "error"), FAULTS)
async def test_faults_strike_as_often_as_ordered(
    rest: Rest, kind: FaultKind, status: int, error: str
) -> None:
    rest.portal.faults.add(Fault(kind=kind, count=1))
    got = await rest.call("user.admin")
    assert (got[0], got[1]["error"]) == (status, error)
    assert (await rest.call("user.admin"))[0] == 200


async def test_an_answer_can_be_lost_after_the_work_was_done(rest: Rest) -> None:
    rest.portal.faults.add(Fault(kind=FaultKind.RESET_AFTER_ACCEPT, count=1, call="batch"))
    rest.row("m1")
    with pytest.raises(aiohttp.ClientError):
        await rest.batch({"a": update_command("m1")})
    assert rest.portal.rows["m1"].status == "delivered"
    rest.sandbox.oauth.faults.add(Fault(kind=FaultKind.RESET_AFTER_ACCEPT, count=1))
    with pytest.raises(aiohttp.ClientError):
        await rest.token("POST")
    assert (await rest.token())[1]["error"] == "invalid_grant"  # the lost answer had the only good token


async def test_oauth_faults(rest: Rest) -> None:
    rest.sandbox.oauth.faults.add(Fault(kind=FaultKind.WRONG_CLIENT, count=1))
    status, answer = await rest.token()
    assert (status, answer["error"]) == (200, "wrong_client")
    assert (await rest.token())[0] == 200
