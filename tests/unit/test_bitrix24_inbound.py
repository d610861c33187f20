"""What Bitrix24 posts as a message: the documented samples byte for byte, and what may be odd in them."""

from dataclasses import replace

import pytest

from smsbridge.bitrix24 import forms, inbound
from smsbridge.core import errors
from smsbridge.core.errand import EntityType
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


STEP = (
    b"workflow_id=5a0d6f3c9b1e72.12345678&code=smsc_hlr&document_id%5B0%5D=crm"
    b"&document_id%5B1%5D=CCrmDocumentLead&document_id%5B2%5D=LEAD_98&document_type%5B0%5D=crm"
    b"&document_type%5B1%5D=CCrmDocumentLead&document_type%5B2%5D=LEAD"
    b"&event_token=5a0d6f3c9b1e72.12345678%7CA80391_60433_1%7CcZ8m...%2E6f1d..."
    b"&properties%5Bphone%5D=%2B79990000000&properties%5Bmode%5D=hlr&use_subscription=Y"
    b"&timeout_duration=600&ts=1742895604&auth%5Baccess_token%5D=...&auth%5Brefresh_token%5D=..."
    b"&auth%5Bapplication_token%5D=51856fefc120afa4b628cc82d3935cce"
)
EVENT_TOKEN = "5a0d6f3c9b1e72.12345678|A80391_60433_1|cZ8m....6f1d..."
STEP_RUN = inbound.StepRun(
    code="smsc_hlr",
    event_token=EVENT_TOKEN,
    document_type="LEAD",
    entity=(EntityType.LEAD, 98),
    settings={"phone": PHONE, "mode": "hlr"},
    waits=True,
    application_token=APPLICATION_TOKEN,
    member_id=None,
)


def test_the_documented_sample_of_a_step() -> None:
    assert inbound.read_step(forms.parse(STEP)) == STEP_RUN
    raw_brackets = STEP.replace(b"%5B", b"[").replace(b"%5D", b"]").replace(b"%7C", b"|")
    assert inbound.read_step(forms.parse(raw_brackets)) == STEP_RUN


def test_a_step_shows_no_phone_and_no_token_when_printed() -> None:
    shown = repr(STEP_RUN)
    assert not any(secret in shown for secret in (PHONE, EVENT_TOKEN, APPLICATION_TOKEN))


@pytest.mark.parametrize(
    ("posted", "first"),
    [
        (b"properties[phone]=1", "1"),
        (b"properties[phone]=", ""),
        (b"properties[phone][0]=1&properties[phone][1]=2", "1"),
        (b"properties[phone][]=&properties[phone][]=2", "2"),
        (b"properties[phone][7]=1&properties[phone][3]=2", "1"),
        (b"properties[phone][0][VALUE]=1", ""),
        (b"properties[phone][0][VALUE]=1&properties[phone][1]=2", "2"),
    ],
)
def test_a_setting_of_several_values_counts_by_its_first(posted: bytes, first: str) -> None:
    run = inbound.read_step(forms.parse(b"event_token=t&" + posted))
    assert run.settings == {"phone": first}


@pytest.mark.parametrize(
    ("word", "waits"), [("Y", True), ("N", False), ("n", False), ("", True), ("0", True), (None, True)]
)
def test_a_step_waits_unless_it_says_that_it_does_not(word: str | None, waits: bool) -> None:
    fields: forms.Fields = (
        {"event_token": "t"} if word is None else {"event_token": "t", "use_subscription": word}
    )
    assert inbound.read_step(fields).waits is waits


def test_a_step_with_a_token_is_never_refused() -> None:
    odd: forms.Fields = {"0": {"0": "x"}}
    fields: forms.Fields = {
        "event_token": "t",
        "code": odd,
        "document_id": "x",
        "document_type": odd,
        "properties": "x",
        "use_subscription": odd,
        "auth": {"application_token": odd, "member_id": ""},
    }
    assert inbound.read_step(fields) == inbound.StepRun(
        code="",
        event_token="t",
        document_type="",
        entity=None,
        settings={},
        waits=True,
        application_token=None,
        member_id=None,
    )


@pytest.mark.parametrize("token", ["t", "a|b|c.d", "+/=-_~", "x" * 1024, "Шаг|1"])
def test_event_tokens_are_kept_whole(token: str) -> None:
    assert inbound.read_step({"event_token": token}).event_token == token


@pytest.mark.parametrize("token", [None, "", "x" * 1025, "a b", "a\n", "a\x7f", "a\ufffd", {"0": "t"}])
def test_without_a_readable_event_token_it_is_no_step(token: forms.Value | None) -> None:
    fields: forms.Fields = {"code": "smsc.send"} if token is None else {"event_token": token}
    with pytest.raises(errors.InputError) as refusal:
        inbound.read_step(fields)
    assert refusal.value.field == "event_token"


CONTACT, LEAD, COMPANY = EntityType.CONTACT, EntityType.LEAD, EntityType.COMPANY


@pytest.mark.parametrize(
    ("name", "entity", "entity_id"),
    [
        ("contact_12", CONTACT, 12),
        ("LEAD_98", LEAD, 98),
        ("lead/98", LEAD, 98),
        ("Company_7", COMPANY, 7),
        ("C_12", CONTACT, 12),
        ("l_98", LEAD, 98),
        ("CO_7", COMPANY, 7),
        ("lead_0098", LEAD, 98),
        ("+lead_98%20", LEAD, 98),
        ("lead%5F98", LEAD, 98),
        ("lead_" + "9" * 18, LEAD, int("9" * 18)),
    ],
)
def test_entities_of_a_webhook_step(name: str, entity: EntityType, entity_id: int) -> None:
    expected = inbound.WebhookStep(entity, entity_id, "")
    assert inbound.read_webhook(f"entity={name}".encode(), {"document_id": "LEAD_1"}) == expected


@pytest.mark.parametrize(
    "name",
    [
        "lead",
        "lead_",
        "lead_0",
        "lead_-1",
        "lead_1.5",
        "lead_x",
        "lead-98",
        "lead98",
        "98",
        "_98",
        "deal_5",
        "D_5",
        "lead_98_1",
        "lead_98 lead_99",
        "leads_98",
        "лид_98",
        "lead_٩",
        "lead_" + "9" * 19,
        "%00",
        "dynamic_183_5",
    ],
)
def test_an_entity_that_is_none_is_not_replaced_by_the_document(name: str) -> None:
    with pytest.raises(errors.InputError) as refusal:
        inbound.read_webhook(f"entity={name}".encode(), {"document_id": {"2": "LEAD_98"}})
    assert refusal.value.field == "entity"


@pytest.mark.parametrize(
    "body",
    [
        b"document_id%5B0%5D=crm&document_id%5B1%5D=CCrmDocumentLead&document_id%5B2%5D=LEAD_98",
        b"document_id[]=crm&document_id[]=CCrmDocumentLead&document_id[]=LEAD_98",
        b"document_id[]=LEAD_98",
        b"document_id=LEAD_98",
    ],
)
@pytest.mark.parametrize("query", [b"", b"entity=", b"entity=+", b"phone=1"])
def test_a_webhook_step_names_its_document(query: bytes, body: bytes) -> None:
    phone = "1" if b"phone" in query else ""
    assert inbound.read_webhook(query, forms.parse(body)) == inbound.WebhookStep(LEAD, 98, phone)


@pytest.mark.parametrize(
    "body",
    [b"", b"document_id=", b"document_id[]=DEAL_5", b"document_id[0][0]=LEAD_98", b"phone=1&entity=lead_1"],
)
def test_a_webhook_step_without_an_entity_is_refused(body: bytes) -> None:
    with pytest.raises(errors.InputError) as refusal:
        inbound.read_webhook(b"phone=%2B79990000000", forms.parse(body))
    assert refusal.value.field == "entity"


@pytest.mark.parametrize(
    ("query", "phone"),
    [
        (b"phone=%2B79990000000", "+79990000000"),
        (b"phone=+79990000000", "+79990000000"),
        (b"x=1&phone=+7+999+000-00-00", "+7 999 000-00-00"),
        (b"phone=%208%20999", "8 999"),
        (b"myphone=+7", ""),
        (b"phone=", ""),
        (b"phone[]=7", ""),
        (b"phone=1&phone=2", "2"),
        (b"phone=%D1%82%D0%B5%D0%BB", "тел"),
        (b"phone=%FF%zz", "\ufffd%zz"),
        (b"phone=" + b"7" * 1000, "7" * 256),
    ],
)
def test_phones_of_a_webhook_step(query: bytes, phone: str) -> None:
    step = inbound.read_webhook(query + b"&entity=lead_98", {})
    assert step == inbound.WebhookStep(LEAD, 98, phone)
    assert not phone or phone not in repr(step)
