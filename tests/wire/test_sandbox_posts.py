"""What the portal stand-in posts, and when its rows appear and change."""

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import parse_qs

import pytest

from smsbridge.sandbox.orders import (
    BroadcastOrder,
    EventOrder,
    InstallOrder,
    MessageOrigin,
    PhoneRange,
    SendOrder,
    UninstallOrder,
)
from smsbridge.sandbox.settings import (
    ApplicationSettings,
)
from tests.wire import sandbox_world
from tests.wire.sandbox_world import CLIENT, DOMAIN, STATUS, World


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with sandbox_world.living() as world:
        yield world


AUTH = (
    "&auth%5Baccess_token%5D={auth[access_token]}&auth%5Bexpires%5D={auth[expires]}"
    "&auth%5Bexpires_in%5D={auth[expires_in]}"
    "&auth%5Bscope%5D=crm%2Cbizproc%2Cmessageservice%2Cplacement&auth%5Bdomain%5D=example.bitrix24.ru"
    "&auth%5Bserver_endpoint%5D={server}&auth%5Bstatus%5D=L&auth%5Bclient_endpoint%5D={client}"
    "&auth%5Bmember_id%5D=a223c6b3710f85df22e9377d6c4f7553&auth%5Buser_id%5D={user}"
    "&auth%5Bapplication_token%5D={auth[application_token]}"
)
COMMON = (
    "properties%5Bphone_number%5D=%2B79990000000&properties%5Bmessage_text%5D={text}&type=SMS&code=smsc"
    "&message_id={message_id}&message_to=%2B79990000000&message_body={text}&ts={ts}"
)
CARD = (
    "module_id=crm&bindings%5B0%5D%5BOWNER_TYPE_ID%5D=2&bindings%5B0%5D%5BOWNER_ID%5D=451"
    "&bindings%5B1%5D%5BOWNER_TYPE_ID%5D=3&bindings%5B1%5D%5BOWNER_ID%5D=123&"
)
ROBOT = (
    "module_id=bizproc&workflow_id=5a0d6f3c9b1e72.12345678&document_id%5B0%5D=crm"
    "&document_id%5B1%5D=CCrmDocumentLead&document_id%5B2%5D=LEAD_98&document_type%5B0%5D=crm"
    "&document_type%5B1%5D=CCrmDocumentLead&document_type%5B2%5D=LEAD&"
)
SAMPLES = [
    # origin, text, its encoding, form, user
    (
        MessageOrigin.CARD,
        "Ваш код: 1234",
        "%D0%92%D0%B0%D1%88+%D0%BA%D0%BE%D0%B4%3A+1234",
        CARD + COMMON + AUTH,
        7,
    ),
    (MessageOrigin.ROBOT, "Заявка", "%D0%97%D0%B0%D1%8F%D0%B2%D0%BA%D0%B0", ROBOT + COMMON + AUTH, 7),
    (MessageOrigin.MARKETING, "10% & ~", "10%25+%26+%7E", "module_id=sender&" + COMMON + AUTH, 1),
    (MessageOrigin.DEFAULT_ROBOT, "Test", "Test", COMMON + AUTH, 7),
    (MessageOrigin.OTP, "Test", "Test", COMMON, 0),
]


@pytest.mark.parametrize(("origin", "text", "encoded", "form", "user"), SAMPLES)
async def test_a_message_is_posted_byte_for_byte(
    world: World, origin: MessageOrigin, text: str, encoded: str, form: str, user: int
) -> None:
    await world.ready()
    report = await world.client.send(DOMAIN, SendOrder(origin=origin, text=text))
    path, query, body = world.listener.posts[-1]
    fields = {name: values[0] for name, values in parse_qs(body).items()}
    made = ("access_token", "expires", "expires_in", "application_token")
    quoted = {
        "server": world.sandbox.oauth_url + "/rest/",
        "client": world.sandbox.portal_url(DOMAIN),
    }
    assert (path, query, [post.status for post in report.posts]) == ("/handler", "key=k", [200])
    assert body == form.format(
        text=encoded,
        message_id=report.message_ids[0],
        ts=fields["ts"],
        user=user,
        auth={name: fields.get(f"auth[{name}]", "") for name in made},
        **{name: value.replace(":", "%3A").replace("/", "%2F") for name, value in quoted.items()},
    )
    assert len(report.message_ids[0]) == 32


async def test_installing_posts_the_tokens_once(world: World) -> None:
    report = await world.client.install(DOMAIN, url=world.listener.url + "/install")
    fields = {name: values[0] for name, values in parse_qs(world.listener.last).items()}
    ts, expires = fields.pop("ts"), fields.pop("auth[expires]")
    assert int(expires) - int(ts) in {3600, 3601}
    assert abs(int(fields.pop("auth[expires_in]")) - 3600) <= 1
    assert fields == {
        "event": "ONAPPINSTALL",
        "data[VERSION]": "1",
        "data[ACTIVE]": "Y",
        "data[INSTALLED]": "Y",
        "data[LANGUAGE_ID]": "ru",
        "auth[access_token]": report.access_token,
        "auth[scope]": "crm,bizproc,messageservice,placement",
        "auth[domain]": DOMAIN,
        "auth[server_endpoint]": world.sandbox.oauth_url + "/rest/",
        "auth[status]": "L",
        "auth[client_endpoint]": world.sandbox.portal_url(DOMAIN),
        "auth[member_id]": "a223c6b3710f85df22e9377d6c4f7553",
        "auth[user_id]": "1",
        "auth[application_token]": report.application_token,
        "auth[refresh_token]": report.refresh_token,
    }


async def test_an_application_with_pages_is_installed_by_its_frame(world: World) -> None:
    settings = ApplicationSettings(client_id="local.ui", client_secret="s", ui=True)
    await world.client.add_application(DOMAIN, settings)
    world.listener.page = "<html>not yet</html>"
    url = world.listener.url + "/install"
    report = await world.client.install(DOMAIN, url=url, client_id="local.ui")
    _, query, body = world.listener.posts[-1]
    assert query.startswith(f"DOMAIN={DOMAIN}&PROTOCOL=1&LANG=ru&APP_SID=")
    fields = {name: values[0] for name, values in parse_qs(body).items()}
    assert list(fields) == [
        *("AUTH_ID", "AUTH_EXPIRES", "REFRESH_ID", "SERVER_ENDPOINT", "APPLICATION_TOKEN"),
        *("APPLICATION_SCOPE", "member_id", "status", "PLACEMENT", "PLACEMENT_OPTIONS"),
    ]
    assert (fields["AUTH_ID"], fields["REFRESH_ID"]) == (report.access_token, report.refresh_token)
    application = world.sandbox.portals.by_domain[DOMAIN].applications["local.ui"]
    assert application.installed is False
    world.listener.page = "<script>BX24.installFinish()</script>"
    await world.client.open_frame(DOMAIN, InstallOrder(client_id="local.ui"))
    assert application.installed is True


async def test_an_update_drops_registrations_and_may_change_the_token(world: World) -> None:
    await world.ready()
    await world.rest("event.bind", event="ONAPPUPDATE", handler=world.listener.url + "/events")
    before = world.listener.field("auth[application_token]")
    report = await world.client.update(DOMAIN, InstallOrder(new_application_token=True))
    assert [post.url for post in report.posts] == [
        world.listener.url + "/install",
        world.listener.url + "/events",
    ]
    assert world.listener.field("event") == "ONAPPUPDATE"
    assert (world.listener.field("data[VERSION]"), world.listener.field("data[PREVIOUS_VERSION]")) == (
        "2",
        "1",
    )
    assert world.listener.field("auth[application_token]") == report.application_token != before
    assert await world.client.senders(DOMAIN) == {CLIENT: []}


async def test_an_uninstall_is_told_to_bound_handlers_alone_and_without_tokens(world: World) -> None:
    await world.ready()
    await world.rest("event.bind", event="ONAPPUNINSTALL", handler=world.listener.url + "/events")
    report = await world.client.uninstall(DOMAIN, UninstallOrder(clean=True))
    assert [post.url for post in report.posts] == [world.listener.url + "/events"]
    fields = parse_qs(world.listener.last)
    assert [name for name in fields if name.startswith("auth")] == [
        *("auth[domain]", "auth[server_endpoint]", "auth[client_endpoint]", "auth[member_id]"),
        "auth[application_token]",
    ]
    assert fields["data[CLEAN]"] == ["1"]
    assert (await world.rest("user.admin"))["error"] == "NOT_INSTALLED"


async def test_a_crm_event_carries_the_id_and_tokens_only_with_a_user(world: World) -> None:
    await world.ready()
    await world.rest("event.bind", event="ONCRMLEADADD", handler=world.listener.url + "/events")
    await world.client.event(DOMAIN, EventOrder(entity_id=1000983))
    assert world.listener.field("data[FIELDS][ID]") == "1000983"
    assert "auth[access_token]" not in parse_qs(world.listener.last)
    await world.client.event(DOMAIN, EventOrder(entity_id=5, user_id=7))
    assert world.listener.field("auth[user_id]") == "7"


async def test_the_job_writes_sent_over_an_early_status(world: World) -> None:
    await world.ready()
    (message_id,) = (await world.client.send(DOMAIN, SendOrder())).message_ids
    assert await world.status(message_id) == "sending"
    await world.rest(STATUS, CODE="smsc", MESSAGE_ID=message_id, STATUS="delivered")
    assert await world.status(message_id) == "delivered"
    await world.client.advance(10)
    assert await world.status(message_id) == "sent"


async def test_marketing_rows_are_inserted_after_the_hand_over(world: World) -> None:
    await world.ready()
    order = SendOrder(origin=MessageOrigin.MARKETING)
    (message_id,) = (await world.client.send(DOMAIN, order)).message_ids
    update = {"CODE": "smsc", "MESSAGE_ID": message_id, "STATUS": "delivered"}
    assert (await world.rest(STATUS, **update))["error"] == "ERROR_MESSAGE_NOT_FOUND"
    await world.client.advance(10)
    assert await world.status(message_id) == "sent"
    assert (await world.rest(STATUS, **update))["result"] is True
    await world.client.drop_rows(DOMAIN, message_id)
    assert (await world.rest(STATUS, **update))["error"] == "ERROR_MESSAGE_NOT_FOUND"


async def test_a_failed_hand_over_is_recorded_and_never_repeated(world: World) -> None:
    await world.ready()
    world.listener.status = 503
    (message_id,) = (await world.client.send(DOMAIN, SendOrder())).message_ids
    handovers = await world.client.handovers(DOMAIN)
    assert (handovers.by_status, handovers.failures, handovers.failed_message_ids) == (
        {"503": 1},
        1,
        [message_id],
    )
    await world.client.advance(3600)
    assert [path for path, _, _ in world.listener.posts].count("/handler") == 1
    assert await world.status(message_id) == "sent"  # whatever the handler said


async def test_copies_have_the_same_message_id(world: World) -> None:
    await world.ready()
    await world.client.send(DOMAIN, SendOrder(copies=2))
    first, second = (
        parse_qs(body)["message_id"] for path, _, body in world.listener.posts if path == "/handler"
    )
    assert first == second


async def test_a_broadcast_posts_every_number_once_with_its_own_text(world: World) -> None:
    await world.ready(insert_after_seconds=0)
    span = PhoneRange(prefix="+7999", start=100, count=250)
    order = BroadcastOrder(range=span, text="Скидка {n}%", concurrency=16)
    state = await world.client.broadcast(DOMAIN, order)
    while not state.done:
        await asyncio.sleep(0.01)
        state = await world.client.broadcast_progress(state.broadcast_id)
    assert (state.total, state.posted) == (250, 250)
    posted = [parse_qs(body) for path, _, body in world.listener.posts if path == "/handler"]
    assert sorted(form["message_to"][0] for form in posted) == [f"+7999{n:07d}" for n in range(100, 350)]
    assert {form["message_body"][0] for form in posted} == {f"Скидка {n}%" for n in range(250)}
    assert len({form["message_id"][0] for form in posted}) == 250
    await world.client.advance(1)
    summary = await world.client.summary(DOMAIN)
    assert (summary.total, summary.by_status, summary.written) == (250, {"sent": 250}, 0)
    assert (await world.client.handovers(DOMAIN)).posts == 250


async def test_the_summary_tells_statuses_that_went_back(world: World) -> None:
    await world.ready(sent_after_seconds=0)
    ids = [
        (await world.client.send(DOMAIN, SendOrder(phone=f"+799900000{n}"))).message_ids[0] for n in (10, 87)
    ]
    await world.client.advance(1)
    for status in ("delivered", "sent"):
        await world.rest(STATUS, CODE="smsc", MESSAGE_ID=ids[0], STATUS=status)
    await world.rest(STATUS, CODE="smsc", MESSAGE_ID=ids[1], STATUS="undelivered")
    summary = await world.client.summary(DOMAIN)
    assert (summary.written, summary.writes, summary.regressions) == (2, 3, 1)
    assert summary.by_ending == {"10": {"sent": 1}, "87": {"undelivered": 1}}
    traffic = await world.client.traffic(DOMAIN)
    assert (traffic.by_method[STATUS], traffic.operating_seconds[STATUS]) == (3, 0.06)
