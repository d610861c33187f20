"""Registration and rights, against a small portal that keeps providers as Bitrix24 does: add is no upsert."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

import pytest
from aiohttp import test_utils, web

from smsbridge.bitrix24 import app, batch, client, errors, limiter, messageservice, transport
from smsbridge.bitrix24.messageservice import Caption, Registered
from smsbridge.core import errors as core_errors

HANDLER = "https://sms.example.com/bitrix24/crm/smsc/key/handler"


@dataclass
class Portal:
    senders: dict[str, dict[str, object]] = field(default_factory=dict)
    events: list[dict[str, object]] = field(default_factory=list)
    listed: list[str] | None = None  # what sender.list says, where it is not the truth
    knows_update: bool = True
    admin: bool = True
    answers: dict[str, object] = field(default_factory=dict)
    methods: list[str] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.Response:
        method = request.match_info["method"]
        self.methods.append(method)
        params = await request.json()
        assert params.pop("auth") == "at1"
        if method in self.answers:
            return web.json_response({"result": self.answers[method]})
        status, code, result = self._answer(method, params)
        body = {"error": code, "error_description": "no"} if code else {"result": result}
        return web.json_response(body, status=status)

    def _answer(self, method: str, params: dict[str, object]) -> tuple[int, str, object]:
        if not self.admin:
            return 403, "ACCESS_DENIED", None
        if method == "event.get":
            return 200, "", self.events
        if method == "event.bind":
            self.events.append(params)
            return 200, "", True
        if method == "event.unbind":
            self.events.remove(params)
            return 200, "", {"count": 1}
        if method == "messageservice.sender.list":
            return 200, "", list(self.senders) if self.listed is None else self.listed
        if method == "messageservice.sender.update" and not self.knows_update:
            return 404, "ERROR_METHOD_NOT_FOUND", None
        failure = self._change(method, params)
        return (400, failure, None) if failure else (200, "", True)

    def _change(self, method: str, params: dict[str, object]) -> str:
        code = str(params["CODE"])
        adding = method == "messageservice.sender.add"
        if adding == (code in self.senders):
            return "ERROR_SENDER_ALREADY_INSTALLED" if adding else "ERROR_SENDER_NOT_FOUND"
        if adding:
            assert params["TYPE"] == "SMS"
            self.senders[code] = params
        elif method == "messageservice.sender.update":
            self.senders[code].update(params)
        else:
            assert method == "messageservice.sender.delete"
            del self.senders[code]
        return ""

    def called(self) -> list[str]:
        return [method.rsplit(".", 1)[1] for method in self.methods]


@dataclass
class Bench:
    portal: Portal
    api: client.PortalApi

    async def register(
        self,
        *,
        code: str = "smsc",
        name: Caption = "SMSC.ru",
        description: Caption | None = None,
        handler: str = HANDLER,
    ) -> Registered:
        return await messageservice.register(
            self.api, code=code, name=name, description=description, handler=handler
        )


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    portal = Portal()
    application = web.Application()
    application.router.add_post("/rest/{method}", portal.handle)
    async with test_utils.TestServer(application) as server, transport.Transport() as http:
        caller = client.Bitrix24Client(http, limiter.LocalLimiter(), client.ClientSettings(sandbox=True))
        token = client.FixedToken(client.Token("at1", 0, str(server.make_url("/rest/"))))
        yield Bench(portal, client.PortalApi(caller, "m1", token))


async def test_a_new_provider_is_added(bench: Bench) -> None:
    assert await bench.register(description="SMS") is Registered.ADDED
    assert bench.portal.called() == ["list", "add"]
    assert bench.portal.senders == {
        "smsc": {"CODE": "smsc", "TYPE": "SMS", "HANDLER": HANDLER, "NAME": "SMSC.ru", "DESCRIPTION": "SMS"}
    }


async def test_a_known_one_is_updated(bench: Bench) -> None:
    await bench.register()
    assert await bench.register(name="New") is Registered.UPDATED
    assert bench.portal.called() == ["list", "add", "list", "update"]
    assert bench.portal.senders["smsc"]["NAME"] == "New"


async def test_one_that_was_not_listed_is_updated(bench: Bench) -> None:
    bench.portal.senders["smsc"] = {}
    bench.portal.listed = []
    assert await bench.register() is Registered.UPDATED
    assert bench.portal.called() == ["list", "add", "update"]
    assert bench.portal.senders["smsc"]["HANDLER"] == HANDLER


async def test_one_that_went_after_it_was_listed_is_added(bench: Bench) -> None:
    bench.portal.listed = ["SMSC"]
    assert await bench.register() is Registered.ADDED
    assert bench.portal.called() == ["list", "update", "add"]
    assert list(bench.portal.senders) == ["smsc"]


async def test_an_old_box_without_update_gets_it_anew(bench: Bench) -> None:
    bench.portal.knows_update = False
    await bench.register(name="Old")
    assert await bench.register(name="New") is Registered.REPLACED
    assert bench.portal.called() == ["list", "add", "list", "update", "delete", "add"]
    assert bench.portal.senders["smsc"]["NAME"] == "New"


async def test_languages_go_in_lower_case(bench: Bench) -> None:
    await bench.register(name={"RU": "СМС", "en": "SMS"}, description={"ru": "о", "EN": "d"})
    sender = bench.portal.senders["smsc"]
    assert sender["NAME"] == {"ru": "СМС", "en": "SMS"}
    assert sender["DESCRIPTION"] == {"ru": "о", "en": "d"}


async def test_a_refusal_is_not_taken_for_a_known_provider(bench: Bench) -> None:
    bench.portal.admin = False
    with pytest.raises(errors.AccessDenied):
        await bench.register()
    assert bench.portal.called() == ["list"]


@pytest.mark.parametrize(
    ("settings", "wrong"),
    [
        ({"code": ""}, "code"),
        ({"code": "смс"}, "code"),
        ({"code": "a" * 129}, "code"),
        ({"handler": "https://" + "x" * 1000}, "handler"),
        ({"name": ""}, "name"),
        ({"name": {}}, "name"),
        ({"name": {"ru": ""}}, "name"),
        ({"name": {"rus": "x"}}, "name"),
        ({"name": "x" * 501}, "name"),
        ({"description": "x" * 1001}, "description"),
        ({"description": {"ru": "x"}}, "description"),
        ({"name": {"ru": "x"}, "description": "x"}, "description"),
    ],
)
async def test_settings_the_portal_would_refuse_or_lose(
    bench: Bench, settings: Mapping[str, object], wrong: str
) -> None:
    with pytest.raises(core_errors.InputError) as refusal:
        await bench.register(**settings)  # type: ignore[arg-type]
    assert refusal.value.field == wrong
    assert bench.portal.methods == []


async def test_unregistering_what_is_not_there_is_fine(bench: Bench) -> None:
    await bench.register()
    assert await messageservice.unregister(bench.api, code="smsc") is True
    assert await messageservice.unregister(bench.api, code="smsc") is False
    assert bench.portal.senders == {}


async def test_no_providers_at_all(bench: Bench) -> None:
    assert await messageservice.list_senders(bench.api) == ()


@pytest.mark.parametrize(("answer", "admin"), [(True, True), (False, False), ("true", False), (None, False)])
async def test_administrators(bench: Bench, answer: object, admin: bool) -> None:
    bench.portal.answers["user.admin"] = answer
    assert await app.is_admin(bench.api) is admin


@pytest.mark.parametrize(
    ("answer", "scopes"), [(["crm", "im"], {"crm", "im"}), ("crm,im", {"crm", "im"}), ([], set())]
)
async def test_scopes(bench: Bench, answer: object, scopes: set[str]) -> None:
    bench.portal.answers["scope"] = answer
    assert await app.scopes(bench.api) == scopes


@pytest.mark.parametrize(
    ("answer", "installed"),
    [({"INSTALLED": True}, True), ({"INSTALLED": "Y"}, True), ({"INSTALLED": False}, False), ([], False)],
)
async def test_an_installation_may_not_be_finished(bench: Bench, answer: object, installed: bool) -> None:
    bench.portal.answers["app.info"] = answer
    assert await app.is_installed(bench.api) is installed


async def test_a_bound_event_is_seen(bench: Bench) -> None:
    bench.portal.events = [{"event": "OnAppUninstall", "handler": "https://other.example.com/"}]
    own = app.Binding("ONAPPUNINSTALL", HANDLER)

    async def ask(command: batch.Command) -> object:
        answer = await bench.api.call(command.method, command.params, priority=limiter.Priority.TOKENS)
        return answer.result

    other = app.Binding("ONAPPUNINSTALL", "https://other.example.com/")
    assert app.read_bindings(await ask(app.bindings_command())) == [other]
    await ask(app.bind_command(own))
    assert app.read_bindings(await ask(app.bindings_command())) == [other, own]
    await ask(app.unbind_command(own))
    assert app.read_bindings(await ask(app.bindings_command())) == [other]
    assert app.read_bindings([]) == []
