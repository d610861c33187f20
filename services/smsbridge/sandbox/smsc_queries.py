"""What SMSC can be asked: status.php, balance.php, info.php, senders.php, and hlr.php of profile guide."""

from typing import Any

from smsbridge.sandbox import phones
from smsbridge.sandbox.clock import moscow
from smsbridge.sandbox.settings import Profile
from smsbridge.sandbox.smsc_account import Account, Message, corrected, delivered_by
from smsbridge.sandbox.smsc_callbacks import look_up_fields
from smsbridge.sandbox.smsc_wire import Answer, ApiError, Call, as_xml, money

_STATUS_NAMES = {
    -3: "Сообщение не найдено",
    -1: "Ожидает отправки",
    0: "Передано оператору",
    1: "Доставлено",
    2: "Прочитано",
    3: "Просрочено",
    20: "Невозможно доставить",
    22: "Неверный номер",
    23: "Запрещено",
    24: "Недостаточно средств",
    25: "Недоступный номер",
}


def status(account: Account, call: Call, now: float) -> Answer:
    """Single form, or paired comma lists; a trailing comma makes a single value a list."""
    ids, asked = call.text("id"), call.text("phone")
    if not ids or not asked:
        raise ApiError(1)
    as_list = "," in ids or "," in asked
    pairs = list(zip(_items(ids), _items(asked), strict=False))
    if not pairs or len(_items(ids)) != len(_items(asked)):
        raise ApiError(1)
    for smsc_id, phone in pairs:
        key = ("status", smsc_id, corrected(phone))
        hits = account.window.hit(key, now=now, seconds=account.settings.limit_window_seconds)
        if hits > account.settings.status_limit:
            raise ApiError(9)
    detail = call.number("all", high=2)
    found = [account.find(smsc_id, phone, now) for smsc_id, phone in pairs]
    documents = [_record(account, message, detail) for message in found]
    if not as_list:
        document = documents[0]
        return Answer(document, _line(document), as_xml(document), _plain(document))
    for document, (smsc_id, phone) in zip(documents, pairs, strict=True):
        document["id"] = int(smsc_id) if smsc_id.isascii() and smsc_id.isdigit() else smsc_id
        document["phone"] = phone  # echoed as it was asked
    lines = [f"{_line(document)},{document['id']},{document['phone']}" for document in documents]
    return Answer(documents, "\n".join(lines), "".join(as_xml(document) for document in documents))


def _items(value: str) -> list[str]:
    return [item.strip() for item in value.split(",") if item.strip()]


def _record(account: Account, message: Message | None, detail: int) -> dict[str, Any]:
    if message is None:
        return {"status": -3}
    document: dict[str, Any] = {
        "status": message.status,
        "last_date": moscow(message.changed_at),
        "last_timestamp": int(message.changed_at),
    }
    is_look_up = message.kind is phones.Kind.HLR
    delivered = message.status in {1, 2, 4}
    if account.profile is Profile.HTTP and (message.err or (is_look_up and delivered)):
        document["err"] = message.err  # absent for a delivered SMS
    if is_look_up and message.status > 0:
        document |= look_up_fields(message, message.status)
    if detail:
        document |= _history(account, message)
    if detail == 2:
        carrier = phones.carrier(message.phone)
        document |= {"country": "Россия", "operator": carrier.name, "region": carrier.region}
    return document


def _history(account: Account, message: Message) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "send_date": moscow(message.accepted_at),
        "send_timestamp": int(message.accepted_at),
        "phone": message.phone,
        "sender_id": message.sender,
        "status_name": _STATUS_NAMES.get(message.status, ""),
        "message": message.body,
    }
    if account.profile is Profile.HTTP:
        return fields | {"cost": money(message.cost)}
    return fields | {"status_name": delivered_by(message, account.profile)}


def _line(document: dict[str, Any]) -> str:
    line = f"{document['status']},{document.get('last_timestamp', 0)}"
    return f"{line},{document['err']}" if "err" in document else line


def _plain(document: dict[str, Any]) -> str:
    return f"Status = {document['status']}, check_time = {document.get('last_date', '')}"


def balance(account: Account, call: Call, now: float) -> Answer:
    seconds = account.settings.limit_window_seconds
    if account.window.hit("balance", now=now, seconds=seconds) > account.settings.balance_limit:
        raise ApiError(9)
    document = {"balance": money(account.balance)}
    if call.flag("cur"):
        document["currency"] = "RUR"
    return Answer(document, document["balance"], as_xml(document))


def info(account: Account, call: Call, now: float) -> Answer:
    """get_operator: country, operator and region, without the HLR."""
    if not call.flag("get_operator"):
        raise ApiError(1)
    asked = _items(call.text("phone"))
    if not asked:
        raise ApiError(1)
    seconds = account.settings.limit_window_seconds
    same = account.window.hit(("info", *asked), now=now, seconds=seconds)
    every = account.window.hit("info", now=now, seconds=seconds)
    if same > account.settings.info_same_limit or every > account.settings.info_limit:
        raise ApiError(9)
    documents = [_operator(phone) for phone in asked]
    lines = [", ".join(f"{name} = {value}" for name, value in document.items()) for document in documents]
    document: Any = documents if "," in call.text("phone") else documents[0]
    return Answer(document, "\n".join(lines), "".join(as_xml(item) for item in documents))


def _operator(asked: str) -> dict[str, str]:
    phone = corrected(asked)
    if not 7 <= len(phone) <= 15 or phones.behaviour(phone) is phones.Behaviour.NO_ROUTE:
        raise ApiError(3, "operator not found")  # code 3 of info.php is no matter of money
    carrier = phones.carrier(phone)
    return {
        "phone": phone,
        "country": "Россия",
        "operator": carrier.name,
        "region": carrier.region,
        "mcc": carrier.mcc,
        "mnc": carrier.mnc,
    }


def senders(account: Account, call: Call) -> Answer:
    if not call.flag("get"):
        raise ApiError(1)
    document = [{"sender": sender} for sender in account.settings.senders]
    return Answer(document, "\n".join(account.settings.senders), "".join(as_xml(row) for row in document))


def hlr(account: Account, call: Call, *, no_money: bool = False) -> Answer:
    """Profile guide: one number a request, answered at once: 0 active, 1 unavailable, 2 does not exist."""
    asked = [number for number in call.text("phones").replace(";", ",").split(",") if number.strip()]
    if len(asked) != 1:
        raise ApiError(1)
    phone = corrected(asked[0])
    if not 7 <= len(phone) <= 15 or phones.behaviour(phone) is phones.Behaviour.REFUSED:
        raise ApiError(7, smsc_id=account.next_id())
    if no_money or account.balance < account.settings.prices.hlr:
        raise ApiError(3)
    account.charge(account.settings.prices.hlr)
    account.totals.look_ups[phone] += 1
    result = {phones.Behaviour.ABSENT: 2, phones.Behaviour.OFF: 1}.get(phones.behaviour(phone), 0)
    carrier = phones.carrier(phone)
    document = {"status": result, "operator": carrier.name, "region": carrier.region}
    return Answer(document, f"{result},{carrier.name},{carrier.region}", as_xml(document))
