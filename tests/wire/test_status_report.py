"""Reports, lists by phone and stories over gRPC and by the command line, with exact figures."""

import asyncio
import csv
import io
import json
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from smsbridge import cli
from smsbridge.api.v1 import status_pb2
from smsbridge.core import errors
from smsbridge.core.message import Route
from smsbridge.core.provider import Prices, Profile, Routing
from smsbridge.rpc import errors as rpc_errors
from smsbridge.sandbox.server import Sandbox
from smsbridge.store import connection, embedded, rollups, tags
from tests.store import messages
from tests.store.journey import now_ms
from tests.wire import status_lab
from tests.wire.senders import until
from tests.wire.status_lab import Lab

PRICES = Prices(sms=Decimal("4.00"), viber=Decimal("2.30"))
GUIDE: dict[str, Any] = {"profile": Profile.GUIDE, "prices": PRICES}
CASCADE: dict[str, Any] = {**GUIDE, "routing": Routing(route=Route.CASCADE, viber_timeout_seconds=60)}


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox.running() as running:
        yield running


@pytest.fixture
async def store(valkey: embedded.EmbeddedValkey) -> AsyncIterator[connection.Store]:
    async with status_lab.quick_store(valkey) as made:
        yield made


@pytest.fixture
async def lab(store: connection.Store, sandbox: Sandbox) -> AsyncIterator[Lab]:
    async with status_lab.running(store, sandbox, status_lab.provider(sandbox, **GUIDE)) as running:
        yield running


@pytest.fixture
async def cascades(store: connection.Store, sandbox: Sandbox) -> AsyncIterator[Lab]:
    async with status_lab.running(store, sandbox, status_lab.provider(sandbox, **CASCADE)) as running:
        yield running


def today() -> str:
    return rollups.today(time.time()).isoformat()


def phone(number: int) -> str:
    return messages.phone(number).lstrip("+")


async def report(lab: Lab, by: Any = status_pb2.REPORT_BY_CHANNEL, **changes: str) -> Any:
    request = status_pb2.ReportRequest(**{"since": today(), "by": by, **changes})
    return await lab.client.report(request)


async def ages(lab: Lab, mid: str, seconds: float) -> None:
    """The message was accepted so long ago."""
    key = f"{tags.provider(lab.way.uid)}m:{mid}"
    await lab.store.redis.hset(key, "acc", now_ms() - round(seconds * 1000))


async def deliver(lab: Lab, found: list[str], seconds: float, *, code: int = 1) -> None:
    for mid in found:
        await ages(lab, mid, seconds)
        assert await lab.way.say(mid, code) == "changed"


async def test_figures_of_a_mixed_day(cascades: Lab) -> None:
    lab = cascades
    by_viber = await lab.way.sent(range(6))
    by_sms = await lab.way.sent(range(6, 8), text="Очень длинный текст. " * 5)  # two segments
    lost = await lab.way.sent([8])
    plain = await lab.way.sent([9], route=Route.SMS)
    await lab.way.accepted([10], text="")
    await deliver(lab, by_viber, 3.5, code=20)
    for mid in by_sms:
        await lab.way.say(mid, 22)
    await deliver(lab, by_sms, 100)
    await deliver(lab, plain, 50)
    await lab.way.say(lost[0], 2)

    found = await report(lab)

    assert [row.key for row in found.rows] == ["sms", "cascade_viber", "cascade_sms", "none"]
    sms, viber, fell_back, none = found.rows
    assert (sms.messages, sms.sent, sms.delivered, sms.cost, sms.savings) == (1, 1, 1, "4.00", "")
    assert (viber.messages, viber.delivered, viber.delivered_by_viber) == (7, 6, 6)
    assert dict(viber.failed) == {"NotDelivered": 1}
    # 7 at 2.30, where an SMS each would have been 4.00.
    assert (viber.cost, viber.sms_only_cost, viber.savings) == ("16.10", "28.00", "11.90")
    assert viber.cost_per_delivered == "2.68"  # 16.10 / 6 = 2.683
    assert (viber.median_seconds, viber.p90_seconds) == (5, 5)
    # Two segments each; Viber is given back by SMSC where it did not arrive.
    assert (fell_back.cost, fell_back.savings, fell_back.cost_per_delivered) == ("16.00", "0.00", "8.00")
    assert (none.messages, none.sent, dict(none.failed)) == (1, 0, {"EmptyText": 1})
    assert (none.cost, none.cost_per_delivered, none.HasField("median_seconds")) == ("0.00", "", False)
    total = found.total
    assert (total.messages, total.sent, total.delivered) == (11, 10, 9)
    assert total.delivery_rate == pytest.approx(9 / 11)
    assert (total.cost, total.cost_estimated, total.cost_unknown) == ("36.10", "36.10", 0)
    assert (total.cascade_cost, total.sms_only_cost, total.savings) == ("32.10", "44.00", "11.90")
    place = {"namespace": "crm", "provider": "smsc"}
    await lab.figures(11.9, "smsbridge_cascade_saved_today_roubles", **place)
    # Nine deliveries: six within 5 s, one within 60 s, two within 120 s.
    assert (total.median_seconds, total.p90_seconds) == (5, 120)
    assert not sms.HasField("read_share")
    assert (total.HasField("read_share"), total.read_share) == (True, 0.0)


async def test_known_costs_stand_where_no_price_is_set(store: connection.Store, sandbox: Sandbox) -> None:
    made = status_lab.provider(
        sandbox, profile=Profile.HTTP, routing=Routing(route=Route.CASCADE, viber_timeout_seconds=60)
    )
    async with status_lab.running(store, sandbox, made) as lab:
        lab.way.cost = "2.30"
        [mid] = await lab.way.sent([1])
        await lab.way.say(mid, 2)
        found = await report(lab)
        assert (found.total.savings, found.total.sms_only_cost, found.total.cascade_cost) == ("", "", "2.30")
        assert (found.total.read, found.total.read_share) == (1, 1.0)

        # One SMS tells what a segment costs.
        lab.way.cost = "4.1055"
        await deliver(lab, await lab.way.sent([2], route=Route.SMS), 1)
        found = await report(lab)
        assert (found.total.sms_only_cost, found.total.savings) == ("4.11", "1.81")
        assert found.total.cost == "6.4055"


async def test_by_operator_and_region(lab: Lab) -> None:
    lab.hlr.known = {phone(1): ("МТС", "Москва"), phone(2): ("МТС", "Тверь"), phone(3): ("", "Москва")}
    found = await lab.way.sent(range(1, 6))
    await deliver(lab, found[:4], 1)

    async def placed() -> bool:
        return len(lab.hlr.described) >= 4

    await until(placed)
    await deliver(lab, found[4:], 1)
    await until(lambda: _described(lab, 5))
    await until(lambda: _empty(lab))
    operators = await report(lab, status_pb2.REPORT_BY_OPERATOR)
    regions = await report(lab, status_pb2.REPORT_BY_REGION)

    assert [(row.key, row.delivered, row.cost) for row in operators.rows] == [
        ("МТС", 2, "8.00"),
        ("", 3, "12.00"),
    ]
    assert [(row.key, row.delivered) for row in regions.rows] == [("Москва", 2), ("Тверь", 1), ("", 2)]
    assert operators.total == regions.total == (await report(lab)).total
    assert sorted(lab.hlr.described) == sorted(set(lab.hlr.described))  # nobody is asked about twice


async def _described(lab: Lab, count: int) -> bool:
    return len(lab.hlr.described) >= count


async def _empty(lab: Lab) -> bool:
    return await rollups.Rollups(lab.store).unplaced(lab.way.uid, most=1) == []


async def test_by_day_and_between_days(lab: Lab) -> None:
    first, second = await lab.way.sent([1, 2])
    yesterday = (rollups.today(time.time()) - timedelta(days=1)).isoformat()
    await deliver(lab, [first], 86_400)
    await deliver(lab, [second], 0)

    both = await report(lab, status_pb2.REPORT_BY_DAY, since=yesterday)
    only = await report(lab, status_pb2.REPORT_BY_DAY, since=yesterday, until=yesterday)

    assert [(row.key, row.delivered) for row in both.rows] == [(yesterday, 1), (today(), 1)]
    assert [row.key for row in only.rows] == [yesterday]
    assert (both.since, both.until) == (yesterday, today())
    assert (only.total.messages, only.total.median_seconds) == (1, 86_400 + 86_400)


async def test_nothing_is_a_report_too(lab: Lab) -> None:
    found = await report(lab)

    assert list(found.rows) == []
    assert (found.total.messages, found.total.cost, found.total.HasField("delivery_rate")) == (
        0,
        "0.00",
        False,
    )


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"since": "yesterday"}, "since"),
        ({"since": ""}, "since"),
        ({"until": "2026-13-01"}, "until"),
        ({"since": "2026-02-01", "until": "2026-01-31"}, "since"),
        ({"since": "2020-01-01"}, "since"),
    ],
)
async def test_days_that_are_none_are_refused(lab: Lab, changes: dict[str, str], field: str) -> None:
    with pytest.raises(errors.InputError) as caught:
        await report(lab, **changes)
    assert caught.value.field == field


async def test_a_provider_that_nobody_knows(lab: Lab) -> None:
    with pytest.raises(rpc_errors.NotFound):
        await report(lab, provider_uid="nobody")
    with pytest.raises(rpc_errors.NotFound):
        await lab.client.find_messages("79991234567", provider_uid="nobody")


async def test_messages_of_a_number(lab: Lab) -> None:
    [first] = await lab.way.sent([1])
    [second] = await lab.way.sent([1], text="Ещё", message_id="f" * 32)
    await lab.way.accepted([2])
    await ages(lab, first, 60)
    await lab.way.say(first, 1)
    await lab.way.say(second, 3)

    found = await lab.client.find_messages(f"+{phone(1)}")

    assert [one.message_id for one in found] == [second, first]
    assert found[0].recipient == "7999*****01"
    assert found[0].reason == "NotDeliveredInTime"
    assert "within its life time" in found[0].reason_sentence
    assert (found[1].namespace, found[1].provider_name) == ("crm", "smsc")
    assert list(await lab.client.find_messages("79990009999")) == []


@pytest.mark.parametrize("phone", ["", "12", "abc", "0" * 11, "7" * 16])
async def test_what_is_no_number_finds_nothing(lab: Lab, phone: str) -> None:
    with pytest.raises(errors.InputError) as caught:
        await lab.client.find_messages(phone)
    assert caught.value.field == "phone"


async def test_a_message_tells_its_story(lab: Lab) -> None:
    [mid] = await lab.way.sent([1])
    waiting = await lab.client.get_message(mid)
    assert waiting.headline.startswith("With SMSC by SMS since ")
    assert (waiting.cost, waiting.cost_estimated) == ("4.00", "4.00")
    await ages(lab, mid, 12)
    await lab.way.say(mid, 1)

    told = await lab.client.get_message(mid)

    assert told.headline.startswith("Delivered by SMS ")
    assert told.headline.endswith(", 12 s after it was accepted")
    assert [event.sentence for event in told.events][:4] == [
        "accepted from a CRM card, to go by SMS",
        "on its way to SMSC, by SMS",
        "SMSC took it, by SMS, for 4.00 roubles (estimated)",
        "SMSC called, SMS: delivered (status 1)",
    ]


async def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """The command itself, in a thread: it has an event loop of its own."""

    def call() -> int:
        try:
            cli.app(args=list(arguments), standalone_mode=False)
        except errors.SmsbridgeError as error:
            print(error.sentence, end="")
            return 1
        return 0

    code = await asyncio.to_thread(call)
    out, err = capsys.readouterr()
    return code, out, err


async def test_the_command_in_every_form(
    cascades: Lab, capsys: pytest.CaptureFixture[str], tmp_path: Any
) -> None:
    lab = cascades
    await deliver(lab, await lab.way.sent(range(3)), 1.5, code=20)
    [lost] = await lab.way.sent([3], route=Route.SMS)
    await lab.way.say(lost, 3)
    address = lab.status.address
    chart = tmp_path / "r.svg"
    capsys.readouterr()

    _, out, _ = await run(capsys, "report", "--address", address, "--output", "csv", "--chart", str(chart))
    assert out.splitlines() == [
        "channel,messages,sent,delivered,delivered_by_viber,read,delivery_rate,read_share,median_seconds,"
        "p90_seconds,cost,cost_estimated,cost_unknown,cost_per_delivered,cascade_cost,sms_only_cost,savings,failed",
        "sms,1,1,0,0,0,0.0,,,,4.00,4.00,0,,0.00,,,NotDeliveredInTime=1",
        "cascade_viber,3,3,3,3,0,1.0,0.0,2,2,6.90,6.90,0,2.30,6.90,12.00,5.10,",
        "total,4,4,3,3,0,0.75,0.0,2,2,10.90,10.90,0,3.63,6.90,12.00,5.10,NotDeliveredInTime=1",
    ]
    assert "3 of 3, 100.0 %, 2.30 each" in chart.read_text(encoding="utf-8")

    _, out, _ = await run(capsys, "report", "--address", address, "--output", "json", "--by", "day")
    found = json.loads(out)
    assert (found["by"], [row["key"] for row in found["rows"]]) == ("day", [today()])
    assert found["total"]["savings"] == "5.10"
    assert found["rows"][0]["failed"] == {"NotDeliveredInTime": 1}

    _, out, _ = await run(capsys, "report", "--address", address)
    for words in ("75.0 %", "≤ 2 s", "10.90", "NotDeliveredInTime", "by SMS only they would have cost 12.00"):
        assert words in out

    _, out, _ = await run(capsys, "report", "--address", address, "--output", "csv", "--by", "operator")
    assert [row["operator"] for row in csv.DictReader(io.StringIO(out))] == ["unknown", "total"]

    code, out, _ = await run(capsys, "report", "--address", address, "--provider", "crm/other")
    assert (code, "known: crm/smsc" in out) == (1, True)


async def test_the_command_finds_by_phone(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    [first] = await lab.way.sent([1])
    address = lab.status.address
    capsys.readouterr()
    _, out, _ = await run(capsys, "message", "8 (999) 000-00-01", "--address", address)
    assert out.startswith("With SMSC by SMS since")
    assert first in out

    await lab.way.accepted([1], text="Ещё", message_id="f" * 32)
    _, out, _ = await run(capsys, "message", "+79990000001", "--address", address)
    assert out.startswith("2 messages to 7999*****01, newest first")
    assert "79990000001" not in out

    _, out, _ = await run(capsys, "message", first, "--address", address)
    assert first in out

    # Digits alone may be an id.
    await lab.way.accepted([2], message_id="79990000001")
    _, out, _ = await run(capsys, "message", "79990000001", "--address", address)
    assert "7999*****02" in out

    code, out, _ = await run(capsys, "message", "+79995556677", "--address", address)
    assert (code, "nobody knows a message to this number" in out) == (1, True)
