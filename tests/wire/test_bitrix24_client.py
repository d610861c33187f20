"""The client against a portal that answers what each test tells it to: exact requests, exact replies."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import pytest
from aiohttp import test_utils, web

from smsbridge.bitrix24 import batch, client, errors, limiter, transport
from smsbridge.bitrix24.limiter import Observation, Priority, Seen
from smsbridge.core import errors as core_errors

Script = Callable[["Call"], Awaitable[web.StreamResponse]]
METHOD = "messageservice.sender.list"
MEMBER = "a223c6b3710f85df22e9377d6c4f7553"


@dataclass
class Call:
    path: str
    body: dict[str, object]
    request: web.Request = field(repr=False)


def says(body: object, status: int = 200, headers: dict[str, str] | None = None) -> Script:
    async def answer(_: Call) -> web.StreamResponse:
        text = body if isinstance(body, str) else json.dumps(body)
        return web.Response(status=status, text=text, headers=headers)

    return answer


async def resets(call: Call) -> web.StreamResponse:
    transport_ = call.request.transport
    assert transport_ is not None
    transport_.abort()
    return web.Response()


async def hangs(_: Call) -> web.StreamResponse:
    await asyncio.sleep(30)
    return web.Response()


class Portal:
    """Answers the scripts in order; the last one again and again."""

    def __init__(self) -> None:
        self.scripts: list[Script] = [says({"result": True})]
        self.calls: list[Call] = []
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        self.server = test_utils.TestServer(app)

    @property
    def url(self) -> str:
        return str(self.server.make_url("/rest/"))

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        call = Call(request.path_qs, await request.json(), request)
        self.calls.append(call)
        script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
        return await script(call)


@dataclass
class Tokens:
    endpoint: str
    current: str = "at1"
    renewed: str = "at2"
    asked: list[str] = field(default_factory=list)

    async def token(self) -> client.Token:
        return client.Token(access_token=self.current, expires_at=0, client_endpoint=self.endpoint)

    async def expired(self, token: client.Token) -> client.Token:
        self.asked.append(token.access_token)
        self.current = self.renewed
        return await self.token()


@dataclass
class Limits:
    acquired: list[tuple[str, Priority, str, int]] = field(default_factory=list)
    seen: list[Observation] = field(default_factory=list)
    away: bool = False

    async def acquire(self, portal: str, *, priority: Priority, method: str = "", commands: int = 1) -> None:
        self.acquired.append((portal, priority, method, commands))

    async def observed(self, portal: str, observation: Observation) -> None:
        if self.away:
            raise core_errors.StoreAway("no store")
        assert portal == MEMBER
        self.seen.append(observation)


@dataclass
class Bench:
    portal: Portal
    tokens: Tokens
    limits: Limits
    http: transport.Transport
    moved_to: list[str] = field(default_factory=list)

    def api(self, settings: client.ClientSettings | None = None) -> client.PortalApi:
        settings = settings or client.ClientSettings(sandbox=True)

        async def on_moved(endpoint: str) -> None:
            self.moved_to.append(endpoint)

        caller = client.Bitrix24Client(self.http, self.limits, settings)
        return client.PortalApi(caller, MEMBER, self.tokens, on_moved)

    async def call(self) -> object:
        return (await self.api().call(METHOD, priority=Priority.TOKENS)).result


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    portal = Portal()
    async with portal.server, transport.Transport() as http:
        yield Bench(portal, Tokens(portal.url), Limits(), http)


async def test_a_call_is_a_json_post_with_the_token_in_its_body(bench: Bench) -> None:
    bench.portal.scripts = [
        says({"result": ["smsc"], "next": 50, "time": {"operating": 0.5, "operating_reset_at": 77}})
    ]
    answer = await bench.api().call("crm.lead.list", {"filter": {">ID": 5}}, priority=Priority.LEADS)
    (call,) = bench.portal.calls
    assert (call.request.method, call.path) == ("POST", "/rest/crm.lead.list")
    assert call.body == {"filter": {">ID": 5}, "auth": "at1"}
    assert call.request.content_type == "application/json"
    assert call.request.headers["User-Agent"] == "smsbridge"
    assert (answer.result, answer.next) == (["smsc"], 50)
    assert bench.limits.acquired == [(MEMBER, Priority.LEADS, "crm.lead.list", 1)]
    assert bench.limits.seen == [Observation(Seen.OPERATING, "crm.lead.list", 0.5, 77)]


async def test_a_batch_is_one_request(bench: Bench) -> None:
    result = {"result": {"m_0": True}, "result_error": {"m_1": {"error": "ERROR_MESSAGE_NOT_FOUND"}}}
    times = {
        "m_0": {"operating": 1.5, "operating_reset_at": 9},
        "m_1": {"operating": 1.6, "operating_reset_at": 9},
    }
    bench.portal.scripts = [says({"result": {**result, "result_time": times}})]
    commands = [batch.Command("a", {"T": "#?&+ я"}), batch.Command("a")]
    answer = await bench.api().batch(commands, priority=Priority.STATUSES)
    (call,) = bench.portal.calls
    assert call.path == "/rest/batch"
    assert call.body == {
        "halt": 0,
        "cmd": {"m_0": "a?T=%23%3F%26%2B%20%D1%8F", "m_1": "a"},
        "auth": "at1",
    }
    assert [r.ok for r in answer.results] == [True, False]
    assert bench.limits.acquired == [(MEMBER, Priority.STATUSES, "a", 2)]
    assert bench.limits.seen == [Observation(Seen.OPERATING, "a", 1.6, 9)]


async def test_a_mixed_batch_is_reckoned_as_the_method_that_is_named(bench: Bench) -> None:
    commands = [batch.Command("a"), batch.Command("b"), batch.Command("b")]
    bench.portal.scripts = [says({"result": {"result": [True, True, True]}})] * 2
    await bench.api().batch(commands, priority=Priority.ROBOTS, limited_as="b")
    await bench.api().batch(commands, priority=Priority.ROBOTS)
    assert bench.limits.acquired == [(MEMBER, Priority.ROBOTS, "b", 2), (MEMBER, Priority.ROBOTS, "", 3)]


async def test_a_stopped_method_inside_a_batch_is_told_to_the_limiter_once(bench: Bench) -> None:
    stopped = {"error": "OPERATION_TIME_LIMIT"}
    bench.portal.scripts = [
        says({"result": {"result": [], "result_error": {"m_0": stopped, "m_1": stopped}}})
    ]
    await bench.api().batch([batch.Command("a")] * 2, priority=Priority.STATUSES)
    assert bench.limits.seen == [Observation(Seen.OPERATING_TIME_OVER, "a")]


async def test_too_long_a_batch_is_not_sent(bench: Bench) -> None:
    with pytest.raises(ValueError, match="1 to 50"):
        await bench.api().batch([batch.Command("a")] * 51, priority=Priority.STATUSES)
    assert bench.portal.calls == []


@pytest.mark.parametrize("result", [[], {}, "", False, None])
async def test_an_empty_result_is_a_result(bench: Bench, result: object) -> None:
    bench.portal.scripts = [says({"result": result})]
    assert await bench.call() == result


async def test_an_expired_token_is_renewed_once_and_the_call_repeated(bench: Bench) -> None:
    bench.portal.scripts = [says({"error": "expired_token"}, 401), says({"result": True})]
    assert await bench.call() is True
    assert [call.body["auth"] for call in bench.portal.calls] == ["at1", "at2"]
    assert bench.tokens.asked == ["at1"]
    assert len(bench.limits.acquired) == 2


async def test_a_renewed_token_that_expires_too_ends_it(bench: Bench) -> None:
    bench.portal.scripts = [says({"error": "expired_token"}, 401)]
    with pytest.raises(errors.InstallationBroken):
        await bench.call()
    assert len(bench.portal.calls) == 2
    assert bench.tokens.asked == ["at1"]


async def test_a_token_source_without_a_newer_token_ends_it(bench: Bench) -> None:
    bench.portal.scripts = [says({"error": "expired_token"}, 401)]
    bench.tokens.renewed = "at1"
    with pytest.raises(errors.InstallationBroken):
        await bench.call()
    assert len(bench.portal.calls) == 1


@pytest.mark.parametrize("code", ["NOT_INSTALLED", "NO_AUTH_FOUND", "invalid_token", "PAYMENT_REQUIRED", ""])
async def test_other_401s_do_not_loop(bench: Bench, code: str) -> None:
    bench.portal.scripts = [says({"error": code}, 401)]
    with pytest.raises(errors.InstallationBroken):
        await bench.call()
    assert len(bench.portal.calls) == 1
    assert bench.tokens.asked == []


async def test_a_token_that_another_process_replaced_is_looked_up(bench: Bench) -> None:
    async def replaces(_: Call) -> web.StreamResponse:
        bench.tokens.current = "at9"
        return web.json_response({"error": "invalid_token"}, status=401)

    bench.portal.scripts = [replaces, says({"result": True})]
    assert await bench.call() is True
    assert [call.body["auth"] for call in bench.portal.calls] == ["at1", "at9"]
    assert bench.tokens.asked == []


@pytest.mark.parametrize(
    ("body", "status", "expected", "seen"),
    [
        ({"error": "QUERY_LIMIT_EXCEEDED"}, 503, errors.RateLimited, [Observation(Seen.RATE_LIMITED)]),
        ({"error": "OVERLOAD_LIMIT"}, 503, errors.Overloaded, [Observation(Seen.OVERLOADED)]),
        (
            {"error": "OPERATION_TIME_LIMIT", "time": {"operating_reset_at": 55}},
            429,
            errors.OperatingTimeOver,
            [Observation(Seen.OPERATING_TIME_OVER, METHOD, reset_at=55)],
        ),
        ({"error": "ACCESS_DENIED"}, 403, errors.AccessDenied, []),
        ({"error": "PORTAL_DELETED"}, 410, errors.PortalGone, []),
        ({"error": "INTERNAL_SERVER_ERROR"}, 500, errors.PortalAway, []),
        ("<html>502</html>", 502, errors.PortalAway, []),
        ("<html>a portal's login page</html>", 200, errors.PortalAway, []),
        ("", 200, errors.PortalAway, []),
    ],
)
async def test_no_other_answer_is_repeated(
    bench: Bench,
    body: object,
    status: int,
    expected: type[errors.PortalError],
    seen: list[Observation],
) -> None:
    bench.portal.scripts = [says(body, status)]
    with pytest.raises(errors.PortalError) as raised:
        await bench.call()
    assert type(raised.value) is expected
    assert len(bench.portal.calls) == 1
    assert bench.limits.seen == seen


async def test_an_answer_is_not_lost_with_the_limiters_store(bench: Bench) -> None:
    bench.limits.away = True
    bench.portal.scripts = [says({"result": True, "time": {"operating": 1}})]
    assert await bench.call() is True


SHORT = client.ClientSettings(call_seconds=0.1, batch_seconds=0.2, sandbox=True)


async def test_no_answer_in_time_is_away_and_perhaps_done(bench: Bench) -> None:
    bench.portal.scripts = [hangs]
    with pytest.raises(errors.PortalAway, match="in time") as raised:
        await bench.api(SHORT).call(METHOD, priority=Priority.TOKENS)
    assert raised.value.after_first_byte
    with pytest.raises(errors.PortalAway, match="in time"):
        await bench.api(SHORT).batch([batch.Command("a")], priority=Priority.STATUSES)
    assert len(bench.portal.calls) == 2


async def test_a_broken_connection_is_away_and_perhaps_done(bench: Bench) -> None:
    bench.portal.scripts = [says({"result": True}), resets]
    await bench.call()  # so that the second one goes out on a kept connection
    with pytest.raises(errors.PortalAway) as raised:
        await bench.call()
    assert raised.value.after_first_byte
    assert len(bench.portal.calls) == 2


async def test_where_nobody_listens_nothing_was_done(bench: Bench) -> None:
    await bench.portal.server.close()
    with pytest.raises(errors.PortalAway) as raised:
        await bench.call()
    assert not raised.value.after_first_byte
    assert raised.value.__cause__ is None
    assert raised.value.__context__ is None


async def test_too_long_an_answer_is_away(bench: Bench) -> None:
    bench.portal.scripts = [says({"result": "x" * 1000})]
    async with transport.Transport(transport.TransportSettings(max_answer_bytes=500)) as http:
        bench.http = http
        with pytest.raises(errors.PortalAway):
            await bench.call()


async def test_plain_http_is_for_the_sandbox(bench: Bench) -> None:
    with pytest.raises(errors.InstallationBroken, match="not an https address"):
        await bench.api(client.ClientSettings()).call(METHOD, priority=Priority.TOKENS)
    assert bench.portal.calls == []


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_renamed_portal_is_followed_with_a_post(bench: Bench, status: int) -> None:
    new = Portal()
    new.scripts = [says({"result": ["smsc"]})]
    async with new.server:
        bench.portal.scripts = [says("", status, {"Location": f"{new.url}{METHOD}"})]
        assert await bench.call() == ["smsc"]
        assert bench.moved_to == [new.url]
    (call,) = new.calls
    assert (call.request.method, call.path, call.body) == ("POST", f"/rest/{METHOD}", {"auth": "at1"})
    assert len(bench.limits.acquired) == 2


async def test_a_renewal_after_a_move_stays_at_the_new_address(bench: Bench) -> None:
    new = Portal()
    new.scripts = [says({"error": "expired_token"}, 401), says({"result": True})]
    async with new.server:
        bench.portal.scripts = [says("", 302, {"Location": f"{new.url}{METHOD}"})]
        assert await bench.call() is True
        assert bench.moved_to == [new.url]
    assert [call.body["auth"] for call in new.calls] == ["at1", "at2"]


async def test_a_move_counts_only_when_the_new_address_answers(bench: Bench) -> None:
    new = Portal()
    new.scripts = [says("<html>parked</html>")]
    async with new.server:
        bench.portal.scripts = [says("", 302, {"Location": f"{new.url}{METHOD}"})]
        with pytest.raises(errors.PortalAway):
            await bench.call()
    assert bench.moved_to == []


@pytest.mark.parametrize("location", ["", "/auth/", "javascript:alert(1)", "https://u:p@example.com/rest/x"])
async def test_other_redirects_are_not_followed(bench: Bench, location: str) -> None:
    bench.portal.scripts = [says("", 302, {"Location": location} if location else None)]
    with pytest.raises(errors.PortalAway, match="redirected"):
        await bench.call()
    assert len(bench.portal.calls) == 1


async def test_a_circle_of_redirects_ends(bench: Bench) -> None:
    new = Portal()
    async with new.server:
        new.scripts = [says("", 302, {"Location": f"{bench.portal.url}{METHOD}"})]
        bench.portal.scripts = [says("", 302, {"Location": f"{new.url}{METHOD}"})]
        with pytest.raises(errors.PortalAway, match="redirected"):
            await bench.call()
    assert (len(bench.portal.calls), len(new.calls)) == (1, 1)


async def test_a_token_handed_to_us_is_proved_without_renewing(bench: Bench) -> None:
    bench.portal.scripts = [says({"error": "expired_token"}, 401)]
    proof = client.FixedToken(client.Token("frame", 0, bench.portal.url))
    caller = client.Bitrix24Client(bench.http, limiter.LocalLimiter(), client.ClientSettings(sandbox=True))
    with pytest.raises(errors.InstallationBroken):
        await caller.call("user.admin", tokens=proof, portal=MEMBER, priority=Priority.TOKENS)
    assert [call.body["auth"] for call in bench.portal.calls] == ["frame"]
    assert "frame" not in repr(proof)
