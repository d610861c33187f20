"""Install, update, uninstall, and the page in the portal's frame: what counts, and what the caller sees."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode

import pytest
from aiohttp import web

from smsbridge.core.installation import Broken, Installation
from smsbridge.core.provider import PortalSettings, Provider
from smsbridge.store.connection import Store
from smsbridge.store.installations import Installations
from smsbridge.store.keyring import Keyring
from tests.wire import gateway_harness as harness


@dataclass
class Bitrix24:
    """The OAuth host and the portal, as far as an installation needs them."""

    address: str = ""
    client_id: str = harness.CLIENT_ID
    member_id: str = harness.MEMBER_ID
    installed: bool = True
    admin: bool = True
    away: bool = False
    calls: list[str] = field(default_factory=list)

    @property
    def endpoint(self) -> str:
        return f"http://{self.address}/portal/rest/"

    @property
    def provider(self) -> Provider:
        portal = PortalSettings(
            domain="example.bitrix24.ru",
            client_id=harness.CLIENT_ID,
            client_secret="s3cret",
            endpoint=self.endpoint,
            oauth_endpoint=f"http://{self.address}/oauth",
        )
        return harness.provider(portal=portal, sandbox=True)

    async def app_info(self, request: web.Request) -> web.Response:
        self.calls.append("app.info")
        if self.away:
            return web.Response(status=502)
        assert await request.json() == {"auth": "access-1"}
        install = {
            "installed": self.installed,
            "client_endpoint": "https://example.bitrix24.ru/rest/",
            "member_id": self.member_id,
            "domain": "example.bitrix24.ru",
        }
        result = {
            "client_id": self.client_id,
            "user_id": 7,
            "scope": "messageservice,crm",
            "install": install,
        }
        return web.json_response({"result": result})

    async def user_admin(self, request: web.Request) -> web.Response:
        self.calls.append("user.admin")
        return web.json_response({"result": self.admin})


@asynccontextmanager
async def running_bitrix24() -> AsyncIterator[Bitrix24]:
    far = Bitrix24()
    application = web.Application()
    application.router.add_post("/oauth/rest/app.info", far.app_info)
    application.router.add_post("/portal/rest/user.admin", far.user_admin)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    far.address = f"127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield far
    finally:
        await runner.cleanup()


def event(kind: str, *, at: int = 1_742_895_000, token: str = harness.TOKEN, **auth: str) -> str:
    block = {
        "domain": "evil.example.org",
        "server_endpoint": "https://oauth.bitrix.info/rest/",
        "client_endpoint": "https://evil.example.org/rest/",
        "member_id": harness.MEMBER_ID,
        "application_token": token,
        "expires_in": "3600",
        **auth,
    }
    if kind != "ONAPPUNINSTALL":
        block = {"access_token": "access-1", "refresh_token": "refresh-1", **block}
    fields = {"event": kind, "data[VERSION]": "1", "ts": str(at)}
    return urlencode({**fields, **{f"auth[{name}]": value for name, value in block.items()}})


FRAME = urlencode(
    {
        "AUTH_ID": "access-1",
        "AUTH_EXPIRES": "3600",
        "REFRESH_ID": "refresh-1",
        "SERVER_ENDPOINT": "https://oauth.bitrix.info/rest/",
        "APPLICATION_TOKEN": harness.TOKEN,
        "APPLICATION_SCOPE": "crm,messageservice",
        "member_id": harness.MEMBER_ID,
        "status": "L",
        "PLACEMENT": "DEFAULT",
    }
)


@dataclass
class Stage:
    far: Bitrix24
    gateway: harness.Gateway
    store: Store

    async def installation(self) -> Installation | None:
        source = Installations(self.store, Keyring([harness.MASTER]))
        return await source.get(harness.CLIENT_ID, harness.MEMBER_ID)

    async def settled(self, kind: str, outcome: str, number: int = 1) -> None:
        await harness.until(
            lambda: (
                self.gateway.metric("smsbridge_gateway_events_total", event=kind, result=outcome) == number
            )
        )
        await harness.until(lambda: self.gateway.metric("smsbridge_journal_depth", kind="event") == 0)

    async def open_frame(self) -> tuple[str, str]:
        """The page and its Content-Security-Policy."""
        path = self.gateway.path("install") + "?DOMAIN=example.bitrix24.ru&PROTOCOL=1&LANG=ru&APP_SID=x"
        async with self.gateway.session.post(
            f"http://{self.gateway.role.address}{path}", data=FRAME, headers={"Content-Type": harness.FORM}
        ) as response:
            assert response.status == 200
            assert response.content_type == "text/html"
            assert "X-Frame-Options" not in response.headers
            return await response.text(), response.headers["Content-Security-Policy"]


@pytest.fixture
async def stage(store: Store, tmp_path: Path) -> AsyncIterator[Stage]:
    async with running_bitrix24() as far, harness.running_owners() as owners:
        await harness.register(store, far.provider)
        async with harness.running_gateway(
            store, owners.endpoints, tmp_path, frame_wait_seconds=3
        ) as gateway:
            yield Stage(far, gateway, store)


@pytest.mark.parametrize("door", ["install", "events"])
async def test_an_install_event_is_confirmed_and_stored(stage: Stage, door: str) -> None:
    assert await stage.gateway.post(door, event("ONAPPINSTALL")) == (200, "{}")
    await stage.settled("install", "applied")
    found = await stage.installation()
    assert found is not None
    assert (found.access_token, found.refresh_token, found.user_id) == ("access-1", "refresh-1", "7")
    assert (found.application_token, found.installed_at) == (harness.TOKEN, 1_742_895_000)
    assert found.domain == "example.bitrix24.ru"  # the OAuth host's word, not the caller's
    assert found.client_endpoint == stage.far.endpoint
    assert found.scopes == ("crm", "messageservice")
    assert stage.far.calls == ["app.info", "user.admin"]
    assert (await stage.gateway.post("handler", harness.form()))[0] == 200


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({"client_id": "local.another.1"}, "not_confirmed"),
        ({"member_id": "f" * 32}, "not_confirmed"),
        ({"admin": False}, "not_administrator"),
    ],
)
async def test_what_the_oauth_host_does_not_confirm_changes_nothing(
    stage: Stage, changes: dict[str, object], outcome: str
) -> None:
    for name, value in changes.items():
        setattr(stage.far, name, value)
    assert (await stage.gateway.post("install", event("ONAPPINSTALL")))[0] == 200
    await stage.settled("install", outcome)
    assert await stage.installation() is None


async def test_an_install_waits_for_the_oauth_host(stage: Stage) -> None:
    stage.far.away = True
    assert (await stage.gateway.post("install", event("ONAPPINSTALL")))[0] == 200
    await harness.until(lambda: len(stage.far.calls) >= 2)
    assert stage.gateway.metric("smsbridge_journal_depth", kind="event") == 1
    assert await stage.installation() is None
    stage.far.away = False
    await stage.settled("install", "applied")
    assert await stage.installation() is not None


async def test_an_update_changes_the_application_token_and_keeps_the_old_one(stage: Stage) -> None:
    await stage.gateway.post("install", event("ONAPPINSTALL"))
    await stage.settled("install", "applied")
    await stage.gateway.post("install", event("ONAPPUPDATE", at=1_742_896_000, token="e" * 32))
    await stage.settled("update", "applied")
    found = await stage.installation()
    assert found is not None
    assert (found.application_token, found.previous_application_token) == ("e" * 32, harness.TOKEN)


@pytest.mark.parametrize(
    ("token", "at", "outcome"),
    [
        (harness.TOKEN, 1_742_899_000, "applied"),
        ("0" * 32, 1_742_899_000, "not_counted"),
        ("", 1_742_899_000, "not_counted"),
        (harness.TOKEN, 1_742_894_000, "not_counted"),  # older than the install
    ],
)
async def test_an_uninstall_counts_with_the_current_token_alone(
    stage: Stage, token: str, at: int, outcome: str
) -> None:
    await harness.installed(stage.store)
    assert (await stage.gateway.post("events", event("ONAPPUNINSTALL", token=token, at=at)))[0] == 200
    await stage.settled("uninstall", outcome)
    found = await stage.installation()
    assert found is not None
    assert (found.broken is Broken.UNINSTALLED) == (outcome == "applied")
    assert stage.far.calls == []


async def test_the_frame_ends_the_installation_once(stage: Stage) -> None:
    stage.far.installed = False
    page, policy = await stage.open_frame()
    assert page.count("BX24.init(") == 1
    assert page.count("BX24.installFinish()") == 1
    assert 'src="https://api.bitrix24.com/api/v1/"' in page
    assert f"frame-ancestors 'self' http://{stage.far.address};" in policy
    nonces = set(re.findall(r"nonce-([\w-]+)", policy))
    assert nonces == set(re.findall(r'nonce="([\w-]+)"', page))
    assert len(nonces) == 1
    found = await stage.installation()
    assert found is not None
    assert found.application_token == harness.TOKEN
    for secret in ("access-1", "refresh-1", harness.TOKEN):
        assert secret not in page


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"installed": True}, "Приложение установлено"),
        ({"installed": False, "admin": False}, "только администратор"),
        ({"installed": True, "admin": False}, "Приложение установлено"),
        ({"client_id": "local.another.1"}, "не подтвердил"),
    ],
)
async def test_other_frames_finish_nothing(stage: Stage, changes: dict[str, object], sentence: str) -> None:
    for name, value in changes.items():
        setattr(stage.far, name, value)
    page, _ = await stage.open_frame()
    assert sentence in page
    assert "installFinish" not in page
    stored = await stage.installation() is not None
    assert stored == (changes == {"installed": True})


async def test_a_frame_does_not_wait_for_ever(store: Store, tmp_path: Path) -> None:
    async with running_bitrix24() as far, harness.running_owners() as owners:
        await harness.register(store, far.provider)
        async with harness.running_gateway(
            store, owners.endpoints, tmp_path, frame_wait_seconds=0.1, event_retry_seconds=60
        ) as gateway:
            far.away = True
            stage = Stage(far, gateway, store)
            async with asyncio.timeout(5):
                page, policy = await stage.open_frame()
            assert "проверяется" in page
            assert f"frame-ancestors 'self' http://{far.address};" in policy
            assert "installFinish" not in page
            assert gateway.metric("smsbridge_journal_depth", kind="event") == 1


async def test_other_crm_events_are_counted(stage: Stage) -> None:
    body = "event=ONCRMDEALADD&data%5BFIELDS%5D%5BID%5D=1000983&ts=1742895600"
    assert await stage.gateway.post("events", body) == (200, "{}")
    assert stage.gateway.metric("smsbridge_gateway_events_total", event="crm", result="counted") == 1
