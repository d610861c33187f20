"""What Bitrix24 posts besides messages: the events of application and CRM, and pages opened in the portal."""

from dataclasses import replace

import pytest

from smsbridge.bitrix24 import forms, inbound
from smsbridge.core import errors

INSTALL = (
    b"event=ONAPPINSTALL&data%5BVERSION%5D=1&data%5BACTIVE%5D=Y&data%5BINSTALLED%5D=Y"
    b"&data%5BLANGUAGE_ID%5D=ru&ts=1742895000&auth%5Baccess_token%5D=9d4c..."
    b"&auth%5Bexpires_in%5D=3600&auth%5Bscope%5D=crm%2Cbizproc%2Cmessageservice%2Cplacement"
    b"&auth%5Bdomain%5D=example.bitrix24.ru"
    b"&auth%5Bserver_endpoint%5D=https%3A%2F%2Foauth.bitrix.info%2Frest%2F&auth%5Bstatus%5D=L"
    b"&auth%5Bclient_endpoint%5D=https%3A%2F%2Fexample.bitrix24.ru%2Frest%2F"
    b"&auth%5Bmember_id%5D=a223c6b3710f85df22e9377d6c4f7553"
    b"&auth%5Bapplication_token%5D=51856fefc120afa4b628cc82d3935cce&auth%5Brefresh_token%5D=8c3b..."
)

MEMBER = "a223c6b3710f85df22e9377d6c4f7553"
APPLICATION_TOKEN = "51856fefc120afa4b628cc82d3935cce"


def test_an_installation() -> None:
    event = inbound.read_event(forms.parse(INSTALL))
    assert event == inbound.AppEvent(
        kind=inbound.AppEventKind.INSTALL,
        auth=inbound.AuthBlock(
            member_id=MEMBER,
            application_token=APPLICATION_TOKEN,
            access_token="9d4c...",
            refresh_token="8c3b...",
            expires_at=None,
            expires_in_seconds=3600,
            scope=frozenset({"crm", "bizproc", "messageservice", "placement"}),
            domain="example.bitrix24.ru",
            server_endpoint="https://oauth.bitrix.info/rest/",
            client_endpoint="https://example.bitrix24.ru/rest/",
            status="L",
            user_id="",
        ),
        ts=1742895000,
        version="1",
        clean=False,
    )
    assert event.auth.access_expires_at(now=1742895000) == 1742898600
    assert "9d4c" not in repr(event)
    assert "8c3b" not in repr(event)
    assert APPLICATION_TOKEN not in repr(event)


def test_when_an_access_token_expires() -> None:
    event = inbound.read_event(forms.parse(INSTALL))
    assert replace(event.auth, expires_at=5).access_expires_at(now=100) == 5
    assert replace(event.auth, expires_in_seconds=None).access_expires_at(now=100) == 100


def test_an_update_may_bring_another_application_token() -> None:
    event = inbound.read_event(
        forms.parse(
            b"event=OnAppUpdate&data[VERSION]=2&data[PREVIOUS_VERSION]=1&auth[application_token]=new&ts=1"
        )
    )
    assert isinstance(event, inbound.AppEvent)
    assert (event.kind, event.version, event.auth.application_token) == (
        inbound.AppEventKind.UPDATE,
        "2",
        "new",
    )


@pytest.mark.parametrize(("clean", "expected"), [("1", True), ("0", False)])
def test_an_uninstall_carries_no_usable_token(clean: str, expected: bool) -> None:
    body = (
        f"event=ONAPPUNINSTALL&data%5BLANGUAGE_ID%5D=ru&data%5BCLEAN%5D={clean}&ts=1742899000"
        f"&auth%5Bdomain%5D=example.bitrix24.ru&auth%5Bmember_id%5D={MEMBER}"
        f"&auth%5Bapplication_token%5D={APPLICATION_TOKEN}"
    )
    event = inbound.read_event(forms.parse(body.encode()))
    assert isinstance(event, inbound.AppEvent)
    assert event.kind is inbound.AppEventKind.UNINSTALL
    assert event.clean is expected
    assert event.ts == 1742899000
    assert (event.auth.access_token, event.auth.refresh_token) == ("", "")
    assert event.auth.application_token == APPLICATION_TOKEN


def test_a_crm_event() -> None:
    body = (
        b"event=ONCRMLEADADD&event_handler_id=7&data[FIELDS][ID]=1000983&ts=1742895000"
        b"&auth[member_id]=m&auth[application_token]=t"
    )
    event = inbound.read_event(forms.parse(body))
    assert isinstance(event, inbound.CrmEvent)
    assert (event.event, event.entity_id, event.ts) == ("ONCRMLEADADD", 1000983, 1742895000)
    assert (event.auth.member_id, event.auth.application_token) == ("m", "t")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"event=",
        b"event=ONTASKADD&data[FIELDS][ID]=1",
        b"event=ONCRMLEADADD",
        b"event=ONCRMLEADADD&data[FIELDS][ID]=x",
        b"event=ONCRMLEADADD&data[FIELDS][ID]=0",
        b"event=ONCRMLEADADD&data[FIELDS][ID]=-5",
        b"event=ONCRMLEADADD&data[FIELDS][ID][0]=5",
    ],
)
def test_other_events_are_refused(body: bytes) -> None:
    with pytest.raises(errors.InputError) as refusal:
        inbound.read_event(forms.parse(body))
    assert refusal.value.field == "event"


FRAME_QUERY = {"DOMAIN": "example.bitrix24.ru", "PROTOCOL": "1", "LANG": "ru", "APP_SID": "sid1"}
FRAME_BODY = (
    b"AUTH_ID=at1&AUTH_EXPIRES=3600&REFRESH_ID=rt1&SERVER_ENDPOINT=https%3A%2F%2Foauth.bitrix.info%2Frest%2F"
    b"&APPLICATION_TOKEN=apt1&APPLICATION_SCOPE=crm%2Cmessageservice&member_id=m1&status=L"
    b"&PLACEMENT=CRM_LEAD_DETAIL_TAB&PLACEMENT_OPTIONS=%7B%22ID%22%3A%228061%22%7D"
)


def test_a_page_opened_in_the_portal() -> None:
    frame = inbound.read_frame(FRAME_QUERY, forms.parse(FRAME_BODY))
    assert frame == inbound.FrameOpened(
        auth=inbound.AuthBlock(
            member_id="m1",
            application_token="apt1",
            access_token="at1",
            refresh_token="rt1",
            expires_at=None,
            expires_in_seconds=3600,
            scope=frozenset({"crm", "messageservice"}),
            domain="example.bitrix24.ru",
            server_endpoint="https://oauth.bitrix.info/rest/",
            client_endpoint="",
            status="L",
            user_id="",
        ),
        placement="CRM_LEAD_DETAIL_TAB",
        placement_options={"ID": "8061"},
        language="ru",
        app_sid="sid1",
    )
    assert not any(secret in repr(frame) for secret in ("at1", "rt1", "apt1", "sid1"))


def test_an_older_portals_page() -> None:
    frame = inbound.read_frame({}, forms.parse(b"DOMAIN=d.ru&AUTH_ID=a&MEMBER_ID=m&placement_options=[]"))
    assert (frame.auth.domain, frame.auth.member_id, frame.auth.application_token) == ("d.ru", "m", "")
    assert (frame.placement, frame.placement_options, frame.language) == ("DEFAULT", {}, "")


@pytest.mark.parametrize("options", ["", "{", "[1]", "null", "[" * 5000])
def test_odd_placement_options_are_none(options: str) -> None:
    frame = inbound.read_frame({}, {"AUTH_ID": "a", "member_id": "m", "PLACEMENT_OPTIONS": options})
    assert frame.placement_options == {}


@pytest.mark.parametrize(
    "fields", [{}, {"AUTH_ID": "a"}, {"member_id": "m"}, {"AUTH_ID": {"0": "a"}, "member_id": "m"}]
)
def test_a_page_opened_elsewhere_is_refused(fields: forms.Fields) -> None:
    with pytest.raises(errors.InputError, match="inside the portal"):
        inbound.read_frame(FRAME_QUERY, fields)


@pytest.mark.parametrize(
    ("scope", "parts"),
    [("", set()), ("crm", {"crm"}), ("crm,im user", {"crm", "im", "user"}), (" crm, im ,", {"crm", "im"})],
)
def test_scopes_are_separated_by_commas_or_spaces(scope: str, parts: set[str]) -> None:
    assert inbound.split_scope(scope) == parts
