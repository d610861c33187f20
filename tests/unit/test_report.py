"""Figures out of measures, days out of what was typed, and the picture."""

from datetime import date
from decimal import Decimal
from xml.etree import ElementTree as etree

import pytest

from smsbridge.api.v1 import status_pb2
from smsbridge.commands import chart
from smsbridge.commands import report as command
from smsbridge.core import errors
from smsbridge.status import answers, report
from smsbridge.status.report import By, Row

DAY = date(2026, 9, 21)
OTHER = date(2026, 9, 22)


@pytest.mark.parametrize(
    ("within", "median", "p90"),
    [
        ({}, None, None),
        ({5: 1}, 5, 5),
        ({5: 1, 60: 1}, 5, 60),
        ({5: 5, 60: 5}, 5, 60),
        ({1: 9, 30: 1}, 1, 1),
        ({1: 89, 30: 10, 600: 1}, 1, 30),
        ({1: 1, 2: 1, 3: 1}, 2, 3),
    ],
)
def test_median_and_p90_are_bounds_of_buckets(
    within: dict[int, int], median: int | None, p90: int | None
) -> None:
    row = Row("x", {"n": 100, **{f"h{seconds}": count for seconds, count in within.items()}})
    assert (row.median_seconds, row.p90_seconds) == (median, p90)


def test_a_row_s_figures() -> None:
    measures = {"n": 8, "x": 1, "h5": 4, "h60": 1, "v": 4, "r": 3, "ck": 123_400, "ce": 40_000, "cu": 1}
    row = Row("x", {**measures, "f:Expired": 1, "f:NotDelivered": 2, "f:Gone": 0})

    assert (row.messages, row.sent, row.delivered) == (8, 7, 5)
    assert (row.delivery_rate, row.read_share) == (0.625, 0.75)
    assert row.failed == {"Expired": 1, "NotDelivered": 2}
    assert (row.cost, row.cost_estimated, row.cost_unknown) == (Decimal("16.34"), Decimal(4), 1)
    assert row.cost_per_delivered == Decimal("3.27")  # 3.268


def test_a_cost_each_is_rounded_half_up() -> None:
    assert Row("x", {"n": 8, "h1": 8, "ck": 80_200}).cost_per_delivered == Decimal("1.00")  # 1.0025
    assert Row("x", {"n": 8, "h1": 8, "ck": 80_400}).cost_per_delivered == Decimal("1.01")  # 1.005


def test_each_provider_has_its_own_price_of_sms() -> None:
    cascade = {"n": 2, "h5": 2, "cc": 46_000, "ck": 46_000, "sg": 3}
    cheap = {DAY: {"cascade_viber": cascade, "sms": {"n": 1, "h5": 1, "ck": 30_000, "ks": 30_000, "kg": 1}}}
    dear = {DAY: {"cascade_viber": cascade, "sms": {"n": 1, "h5": 1, "ck": 100_000, "ks": 100_000, "kg": 2}}}

    found = report.make([(cheap, cheap), (dear, dear)], by=By.CHANNEL, since=DAY, until=DAY)

    rows = {row.key: row for row in found.rows}
    assert rows["cascade_viber"].sms_only == Decimal("24.00")  # 3 at 3.00 and 3 at 5.00
    assert rows["cascade_viber"].savings == found.total.savings == Decimal("14.80")
    assert rows["sms"].savings is None


def test_without_any_price_there_are_no_savings() -> None:
    days = {DAY: {"cascade_viber": {"n": 1, "h5": 1, "cc": 23_000, "ck": 23_000, "sg": 1}}}
    priced = {DAY: {"cascade_viber": {"n": 1, "h5": 1, "cc": 23_000, "ck": 23_000, "so": 40_000}}}

    found = report.make([(days, days), (priced, priced)], by=By.CHANNEL, since=DAY, until=DAY)

    assert found.total.savings is None
    assert found.total.cascade_cost == Decimal("4.60")


def test_the_rest_is_unknown() -> None:
    ways = {
        DAY: {"sms": {"n": 3, "h5": 2, "f:Expired": 1}, "none": {"n": 1, "x": 1, "f:BadNumber": 1}},
        OTHER: {"sms": {"n": 2, "h1": 2}},
    }
    carriers = {DAY: {"МТС": {"n": 2, "h5": 2}}, OTHER: {"Beeline": {"n": 2, "h1": 2}}}

    found = report.make([(ways, carriers)], by=By.OPERATOR, since=DAY, until=OTHER)

    assert [(row.key, row.messages, row.delivered) for row in found.rows] == [
        ("Beeline", 2, 2),
        ("МТС", 2, 2),
        ("", 2, 0),
    ]
    assert found.rows[-1].failed == {"BadNumber": 1, "Expired": 1}
    by_day = report.make([(ways, ways)], by=By.DAY, since=DAY, until=OTHER)
    assert [(row.key, row.messages) for row in by_day.rows] == [("2026-09-21", 4), ("2026-09-22", 2)]


def test_what_was_all_taken_back_is_no_row() -> None:
    days = {DAY: {"sms": {"n": 0, "h5": 0}, "viber": {"n": 1, "v": 1, "h5": 1}}}
    found = report.make([(days, days)], by=By.CHANNEL, since=DAY, until=DAY)
    assert [row.key for row in found.rows] == ["viber"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("0", "0.00"),
        ("4", "4.00"),
        ("4.1", "4.10"),
        ("-5.1000", "-5.10"),
        ("3.9955", "3.9955"),
        ("100", "100.00"),
    ],
)
def test_money_as_text(value: str, text: str) -> None:
    assert answers.money(Decimal(value)) == text
    assert answers.money(None) == ""


@pytest.mark.parametrize(
    ("since", "until", "days"),
    [
        ("7d", "", ("2026-09-15", "2026-09-21")),
        ("1d", "", ("2026-09-21", "2026-09-21")),
        ("2d", "2026-09-01", ("2026-08-31", "2026-09-01")),
        ("2026-09-01", "", ("2026-09-01", "2026-09-21")),
        ("2026-09-01", "2026-09-02", ("2026-09-01", "2026-09-02")),
        ("99999d", "", ("2025-08-18", "2026-09-21")),
    ],
)
def test_days_as_they_are_typed(since: str, until: str, days: tuple[str, str]) -> None:
    first, last = command.days(since, until, today=DAY)
    assert (first.isoformat(), last.isoformat()) == days


@pytest.mark.parametrize("since", ["", "d", "0d", "-1d", "7h", "²d", "2026-02-30", "yesterday"])
def test_days_that_are_none(since: str) -> None:
    with pytest.raises(errors.InputError):
        command.days(since, "", today=DAY)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(None, ""), (1, "≤ 1 s"), (90, "≤ 90 s"), (120, "≤ 2 min"), (3600, "≤ 60 min"), (14_400, "≤ 4 h"),
     (86_400, "≤ 24 h"), (172_800, "≤ 2 d")],
)  # fmt: skip
def test_times_as_words(seconds: int | None, words: str) -> None:
    assert command.within(seconds) == words


def row(key: str, delivered: int, messages: int, **more: object) -> status_pb2.ReportRow:
    rate = delivered / messages if messages else None
    return status_pb2.ReportRow(key=key, delivered=delivered, messages=messages, delivery_rate=rate, **more)  # type: ignore[arg-type]


def response(*rows: status_pb2.ReportRow) -> status_pb2.ReportResponse:
    total = row("total", sum(one.delivered for one in rows), sum(one.messages for one in rows), cost="9.20")
    return status_pb2.ReportResponse(since="2026-09-15", until="2026-09-21", rows=rows, total=total)


def test_the_chart_is_a_picture_with_the_figures() -> None:
    found = response(row("sms", 30, 40, cost_per_delivered="4.00"), row("none", 0, 10))

    picture = chart.draw(found, by="channel", names={"sms": "SMS", "none": "never with SMSC"})

    tree = etree.fromstring(picture)  # noqa: S314 - our own
    space = "{http://www.w3.org/2000/svg}"
    texts = [one.text for one in tree.iter(f"{space}text")]
    assert "30 of 40, 75.0 %, 4.00 each" in texts
    assert "0 of 10, 0.0 %" in texts
    assert "30 of 50 delivered, 9.20 roubles" in texts
    bars = {
        bar.findtext(f"{space}title"): float(bar.get("width", "0"))
        for bar in tree.iter(f"{space}rect")
        if bar.find(f"{space}title") is not None
    }
    assert bars["30 delivered"] == 3 * bars["10 not delivered"] > 0


def test_a_chart_of_nothing_and_of_evil_names() -> None:
    assert "no message of these days is final" in chart.draw(response(), by="day", names={})
    evil = "<script>&\x00'\"" + "x" * 50
    picture = chart.draw(response(row(evil, 1, 1)), by="operator", names={evil: evil})
    etree.fromstring(picture)  # noqa: S314 - our own
    assert "<script>" not in picture


def test_a_name_that_a_spreadsheet_would_run(capsys: pytest.CaptureFixture[str]) -> None:
    command.write_csv(response(row("=cmd()", 1, 1), row("", 1, 1)), command.By.OPERATOR)
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("'=cmd(),1,")
    assert lines[2].startswith("unknown,1,")


def test_notes_say_what_the_table_does_not() -> None:
    total = status_pb2.ReportRow(
        cost="10.00", cost_estimated="4.00", cost_unknown=2, cascade_cost="3.00", sms_only_cost="5.00",
        savings="2.00", failed={"Expired": 1, "NotDelivered": 3, "NewerWord": 1},
    )  # fmt: skip
    found = command.notes(total)
    assert found[1:] == [
        "Of the cost, 4.00 are estimated from the provider's prices.",
        "Of 2 messages nobody knows the whole cost.",
        "Saved: the cascades cost 3.00; by SMS only they would have cost 5.00.",
        "3 not delivered: the operator could not deliver it (NotDelivered)",
        "1 not delivered: it could not be handed to SMSC within its validity (Expired)",
        "1 not delivered: NewerWord",
    ]
