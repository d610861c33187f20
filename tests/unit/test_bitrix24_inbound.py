"""What Bitrix24 posts as a message: the documented samples byte for byte, and what may be odd in them."""

from dataclasses import replace

import pytest

from smsbridge.bitrix24 import forms, inbound
from smsbridge.core import errors
from smsbridge.core.message import Origin

CARD = (
    b"module_id=crm&bindings%5B0%5D%5BOWNER_TYPE_ID%5D=2&bindings%5B0%5D%5BOWNER_ID%5D=451"
    b"&bindings%5B1%5D%5BOWNER_TYPE_ID%5D=3&bindings%5B1%5D%5BOWNER_ID%5D=123"
    b"&properties%5Bphone_number%5D=%2B79990000000"
    b"&properties%5Bmessage_text%5D=%D0%92%D0%B0%D1%88+%D0%BA%D0%BE%D0%B4%3A+1234&type=SMS&code=smsc"
    b"&message_id=65575980fa531ac284c2ee68f81ebebd&message_to=%2B79990000000"
    b"&message_body=%D0%92%D0%B0%D1%88+%D0%BA%D0%BE%D0%B4%3A+1234&ts=1742895600"
    b"&auth%5Baccess_token%5D=9d4c7166007e9c94001e30ba00000001f0f107e28b5a4310c7f6d9b3025ea814"
    b"&auth%5Bexpires%5D=1742899200&auth%5Bexpires_in%5D=3600"
    b"&auth%5Bscope%5D=crm%2Cbizproc%2Cmessageservice%2Cplacement"
    b"&auth%5Bdomain%5D=example.bitrix24.ru"
    b"&auth%5Bserver_endpoint%5D=https%3A%2F%2Foauth.bitrix.info%2Frest%2F&auth%5Bstatus%5D=L"
    b"&auth%5Bclient_endpoint%5D=https%3A%2F%2Fexample.bitrix24.ru%2Frest%2F"
    b"&auth%5Bmember_id%5D=a223c6b3710f85df22e9377d6c4f7553&auth%5Buser_id%5D=7"
    b"&auth%5Bapplication_token%5D=51856fefc120afa4b628cc82d3935cce"
)
ROBOT = (
    b"module_id=bizproc&workflow_id=5a0d6f3c9b1e72.12345678&document_id%5B0%5D=crm"
    b"&document_id%5B1%5D=CCrmDocumentLead&document_id%5B2%5D=LEAD_98&document_type%5B0%5D=crm"
    b"&document_type%5B1%5D=CCrmDocumentLead&document_type%5B2%5D=LEAD"
    b"&properties%5Bphone_number%5D=%2B79990000000"
    b"&properties%5Bmessage_text%5D=%D0%97%D0%B0%D1%8F%D0%B2%D0%BA%D0%B0+%D0%BF%D1%80%D0%B8%D0%BD%D1%"
    b"8F%D1%82%D0%B0&type=SMS&code=smsc&message_id=72dd742c8270db0ddbbab92f98877537"
    b"&message_to=%2B79990000000"
    b"&message_body=%D0%97%D0%B0%D1%8F%D0%B2%D0%BA%D0%B0+%D0%BF%D1%80%D0%B8%D0%BD%D1%8F%D1%82%D0%B0"
    b"&ts=1742895601"
    b"&auth%5Baccess_token%5D=9d4c7166007e9c94001e30ba00000001f0f107e28b5a4310c7f6d9b3025ea814"
    b"&auth%5Bexpires%5D=1742899200&auth%5Bexpires_in%5D=3600"
    b"&auth%5Bscope%5D=crm%2Cbizproc%2Cmessageservice%2Cplacement"
    b"&auth%5Bdomain%5D=example.bitrix24.ru"
    b"&auth%5Bserver_endpoint%5D=https%3A%2F%2Foauth.bitrix.info%2Frest%2F&auth%5Bstatus%5D=L"
    b"&auth%5Bclient_endpoint%5D=https%3A%2F%2Fexample.bitrix24.ru%2Frest%2F"
    b"&auth%5Bmember_id%5D=a223c6b3710f85df22e9377d6c4f7553&auth%5Buser_id%5D=7"
    b"&auth%5Bapplication_token%5D=51856fefc120afa4b628cc82d3935cce"
)
MARKETING = (
    b"module_id=sender&properties%5Bphone_number%5D=%2B79990000000"
    b"&properties%5Bmessage_text%5D=%D0%A1%D0%BA%D0%B8%D0%B4%D0%BA%D0%B0+10%25+%26+%D0%BF%D0%BE%D0%B4"
    b"%D0%B0%D1%80%D0%BE%D0%BA&type=SMS&code=smsc&message_id=0c1e9f0a4b6d47f2a9c1b2d3e4f50617"
    b"&message_to=%2B79990000000"
    b"&message_body=%D0%A1%D0%BA%D0%B8%D0%B4%D0%BA%D0%B0+10%25+%26+%D0%BF%D0%BE%D0%B4%D0%B0%D1%80%D0%"
    b"BE%D0%BA&ts=1742895602"
    b"&auth%5Baccess_token%5D=9d4c7166007e9c94001e30ba00000001f0f107e28b5a4310c7f6d9b3025ea814"
    b"&auth%5Bexpires%5D=1742899200&auth%5Bexpires_in%5D=3600"
    b"&auth%5Bscope%5D=crm%2Cbizproc%2Cmessageservice%2Cplacement"
    b"&auth%5Bdomain%5D=example.bitrix24.ru"
    b"&auth%5Bserver_endpoint%5D=https%3A%2F%2Foauth.bitrix.info%2Frest%2F&auth%5Bstatus%5D=L"
    b"&auth%5Bclient_endpoint%5D=https%3A%2F%2Fexample.bitrix24.ru%2Frest%2F"
    b"&auth%5Bmember_id%5D=a223c6b3710f85df22e9377d6c4f7553&auth%5Buser_id%5D=1"
    b"&auth%5Bapplication_token%5D=51856fefc120afa4b628cc82d3935cce"
)
SERVICE = (
    b"properties%5Bphone_number%5D=%2B79990000000&properties%5Bmessage_text%5D=Test&type=SMS"
    b"&code=smsc&message_id=2f6b8b1f0f3c4e6d8a9b0c1d2e3f4a5b&message_to=%2B79990000000"
    b"&message_body=Test&ts=1742895603"
)
PHONE = "+79990000000"
MEMBER = "a223c6b3710f85df22e9377d6c4f7553"
APPLICATION_TOKEN = "51856fefc120afa4b628cc82d3935cce"

CARD_MESSAGE = inbound.InboundMessage(
    message_id="65575980fa531ac284c2ee68f81ebebd",
    recipient=PHONE,
    text="Ваш код: 1234",
    code="smsc",
    origin=Origin.CARD,
    document_type="DEAL",
    document_id=(),
    bindings=((2, 451), (3, 123)),
    application_token=APPLICATION_TOKEN,
    member_id=MEMBER,
    user_id="7",
    ts=1742895600,
)
ROBOT_MESSAGE = replace(
    CARD_MESSAGE,
    message_id="72dd742c8270db0ddbbab92f98877537",
    text="Заявка принята",
    origin=Origin.ROBOT,
    document_type="LEAD",
    document_id=("crm", "CCrmDocumentLead", "LEAD_98"),
    bindings=(),
    ts=1742895601,
)
MARKETING_MESSAGE = replace(
    CARD_MESSAGE,
    message_id="0c1e9f0a4b6d47f2a9c1b2d3e4f50617",
    text="Скидка 10% & подарок",
    origin=Origin.MARKETING,
    document_type="",
    bindings=(),
    user_id="1",
    ts=1742895602,
)
SERVICE_MESSAGE = inbound.InboundMessage(
    message_id="2f6b8b1f0f3c4e6d8a9b0c1d2e3f4a5b",
    recipient=PHONE,
    text="Test",
    code="smsc",
    origin=Origin.SERVICE,
    document_type="",
    document_id=(),
    bindings=(),
    application_token=None,
    member_id=None,
    user_id=None,
    ts=1742895603,
)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (CARD, CARD_MESSAGE),
        (ROBOT, ROBOT_MESSAGE),
        (MARKETING, MARKETING_MESSAGE),
        (SERVICE, SERVICE_MESSAGE),
    ],
    ids=["card", "robot", "marketing", "service"],
)
def test_the_documented_samples(body: bytes, message: inbound.InboundMessage) -> None:
    assert inbound.read_message(forms.parse(body)) == message
    raw_brackets = body.replace(b"%5B", b"[").replace(b"%5D", b"]").replace(b"+", b"%20")
    assert inbound.read_message(forms.parse(raw_brackets)) == message


def test_the_tutorials_json() -> None:
    body = b"""{"module_id": "crm", "bindings": [{"OWNER_TYPE_ID": 3, "OWNER_ID": 123}],
      "properties": {"phone_number": "+19990000000", "message_text": "Your confirmation code: 1234"},
      "type": "SMS", "code": "provider1", "message_id": "65575980fa531ac284c2ee68f81ebebd",
      "message_to": "+19990000000", "message_body": "Your confirmation code: 1234", "ts": 1742895600}"""
    message = inbound.read_message(forms.parse_json(body))
    assert message == inbound.InboundMessage(
        message_id="65575980fa531ac284c2ee68f81ebebd",
        recipient="+19990000000",
        text="Your confirmation code: 1234",
        code="provider1",
        origin=Origin.CARD,
        document_type="CONTACT",
        document_id=(),
        bindings=((3, 123),),
        application_token=None,
        member_id=None,
        user_id=None,
        ts=1742895600,
    )


def test_a_message_shows_no_phone_text_or_token_when_printed() -> None:
    shown = repr(CARD_MESSAGE)
    assert PHONE not in shown
    assert "1234" not in shown.replace(CARD_MESSAGE.message_id, "")
    assert APPLICATION_TOKEN not in shown


@pytest.mark.parametrize(
    ("module_id", "origin"),
    [
        ("crm", Origin.CARD),
        ("bizproc", Origin.ROBOT),
        ("sender", Origin.MARKETING),
        ("", Origin.SERVICE),
        ("voximplant", Origin.SERVICE),
        ("CRM", Origin.SERVICE),
    ],
)
def test_origins(module_id: str, origin: Origin) -> None:
    assert inbound.read_message({"message_id": "m", "module_id": module_id}).origin is origin


@pytest.mark.parametrize(
    ("owner_type", "document_type"),
    [
        ("1", "LEAD"),
        ("2", "DEAL"),
        ("3", "CONTACT"),
        ("4", "COMPANY"),
        ("5", "INVOICE"),
        ("7", "QUOTE"),
        ("14", "ORDER"),
        ("31", "SMART_INVOICE"),
        ("128", "DYNAMIC_128"),
        ("183", "DYNAMIC_183"),
        ("36", ""),
        ("x", ""),
        ("", ""),
    ],
)
def test_document_types_of_a_card(owner_type: str, document_type: str) -> None:
    bindings: forms.Fields = {"0": {"OWNER_TYPE_ID": owner_type, "OWNER_ID": "5"}}
    fields: forms.Fields = {"message_id": "m", "module_id": "crm", "bindings": bindings}
    assert inbound.read_message(fields).document_type == document_type


def test_a_robot_on_a_smart_process() -> None:
    document_class = r"Bitrix\Crm\Integration\BizProc\Document\Dynamic"
    fields: forms.Fields = {
        "message_id": "m",
        "module_id": "bizproc",
        "document_id": {
            "0": "crm",
            "1": r"Bitrix\Crm\Integration\BizProc\Document\Dynamic",
            "2": "DYNAMIC_183_5",
        },
        "document_type": {
            "0": "crm",
            "1": r"Bitrix\Crm\Integration\BizProc\Document\Dynamic",
            "2": "DYNAMIC_183",
        },
    }
    message = inbound.read_message(fields)
    assert message.document_type == "DYNAMIC_183"
    assert message.document_id == ("crm", document_class, "DYNAMIC_183_5")


@pytest.mark.parametrize(
    "fields",
    [
        {"message_to": "", "message_body": ""},
        {},
        {"message_to": {"0": "x"}, "message_body": {"0": "x"}},
    ],
)
def test_phone_and_text_fall_back_to_their_copies(fields: forms.Fields) -> None:
    properties: forms.Fields = {"phone_number": "+7999", "message_text": "t"}
    message = inbound.read_message({"message_id": "m", "properties": properties, **fields})
    assert (message.recipient, message.text) == ("+7999", "t")


@pytest.mark.parametrize(
    "fields",
    [
        {
            "auth": "x",
            "properties": "x",
            "bindings": "x",
            "module_id": "crm",
            "code": {"0": "x"},
            "ts": "soon",
        },
        {
            "auth": {"application_token": {"0": "x"}, "member_id": ""},
            "bindings": {"0": "x"},
            "module_id": "crm",
        },
        {"document_id": "x", "document_type": {"0": {"0": "x"}}, "module_id": "bizproc", "ts": "9" * 30},
        {"module_id": {"0": "crm"}, "ts": "-1"},
        {"ts": "²"},
    ],
)
def test_a_message_with_an_id_is_never_refused(fields: forms.Fields) -> None:
    message = inbound.read_message({"message_id": "m1", **fields})
    assert message.message_id == "m1"
    assert (message.recipient, message.text, message.code, message.document_type) == ("", "", "", "")
    assert message.application_token is None
    assert message.member_id is None
    assert message.ts is None


@pytest.mark.parametrize("message_id", ["m", "0-9A.z_", "x" * 64])
def test_message_ids(message_id: str) -> None:
    assert inbound.read_message({"message_id": message_id}).message_id == message_id


@pytest.mark.parametrize("message_id", [None, "", "x" * 65, "a b", "a\n", "Код", "a/b", "\ufffd", {"0": "m"}])
def test_without_a_readable_message_id_it_is_no_message(message_id: forms.Value | None) -> None:
    fields: forms.Fields = {"code": "smsc"} if message_id is None else {"message_id": message_id}
    with pytest.raises(errors.InputError) as refusal:
        inbound.read_message(fields)
    assert refusal.value.field == "message_id"


@pytest.mark.parametrize("missing", ["", "message_to", "message_body", "message_to message_body"])
def test_message_fields_reads_the_same_message_as_the_whole_form(missing: str) -> None:
    """What is passed over for speed must not be missed: the copies in `properties` stand in."""
    pairs = [
        (b"module_id", b"sender"),
        (b"properties%5Bphone_number%5D", b"%2B79990000000"),
        (b"properties[message_text]", b"%D0%9A%D0%BE%D0%B4+1"),
        (b"type", b"SMS"),
        (b"code", b"smsc"),
        (b"message_id", b"0c1e9f0a4b6d47f2a9c1b2d3e4f50617"),
        (b"message_to", b"%2B79990000000"),
        (b"message_body", b"%D0%9A%D0%BE%D0%B4+1"),
        (b"auth%5Baccess_token%5D", b"9d4c"),
        (b"auth%5Bapplication_token%5D", b"5185"),
        (b"auth%5Bmember_id%5D", b"a223"),
    ]
    body = b"&".join(name + b"=" + value for name, value in pairs if name.decode() not in missing.split())
    whole = inbound.read_message(forms.parse_what_fits(body, wanted=inbound.MESSAGE_NAMES).fields)
    assert inbound.read_message(inbound.message_fields(body)) == whole
    assert (whole.recipient, whole.text, whole.application_token) == ("+79990000000", "Код 1", "5185")
