"""The demo's bookkeeping: when it must say that something is missing, and what it sends."""

from collections import Counter
from decimal import Decimal
from typing import Any

import pytest

from smsbridge.api.v1 import status_pb2
from smsbridge.demo import orders, report
from smsbridge.demo.numbers import NumbersReport
from smsbridge.provisioning import manifests
from smsbridge.sandbox import reports

METRICS = """\
# TYPE smsbridge_messages_final_total counter
smsbridge_messages_final_total{role="status",channel="sms",provider="a",state="delivered"} 2.0
smsbridge_messages_final_total{role="status",channel="sms",provider="b",state="delivered"} 3.0
smsbridge_messages_final_total{role="status",channel="sms",provider="b",state="failed"} 9.0
smsbridge_messages_final_total{role="status",channel="viber",provider="b",state="delivered"} 1.0
"""


def row(phone: str, status: str) -> reports.RowReport:
    return reports.RowReport(
        message_id=phone, phone=phone, origin="card", status=status, inserted=True, history=[], writes=1
    )


def built(
    *,
    accepted: int = 2,
    unaccounted: int = 0,
    second: str = "undelivered",
    twice: int = 0,
    numbers: NumbersReport | None = None,
    **books: Any,
) -> report.Report:
    ledger = status_pb2.Ledger(
        accepted=accepted, unaccounted=unaccounted, final={"delivered": 1, "undelivered": 1}
    )
    given: dict[str, Any] = {
        "expected": [("+1", "delivered"), ("+2", "undelivered")],
        "rows": [row("+1", "delivered"), row("+2", second)],
        "ledger": status_pb2.GetLedgerResponse(ledgers=[ledger], unaccounted=unaccounted),
    }
    return report.build(
        **(given | books),
        smsc=[
            reports.Ledger.model_construct(
                sent_twice=twice,
                accepted_requests=3,
                by_numbers_per_request={1: 2, 2: 1},
                charged=Decimal("6.30"),
            )
        ],
        traffic=reports.Traffic.model_construct(requests=4),
        handovers=reports.HandoverReport.model_construct(max_ms=12.0),
        metrics=METRICS,
        reasons=Counter({"NotDelivered": 1}),
        numbers=numbers,
        seconds=7.0,
    )


def test_books_that_agree_are_good() -> None:
    made = built()
    assert made.good
    assert (made.unaccounted, made.requests_to_smsc, made.largest_request) == (0, 3, 2)
    assert made.delivered_by_channel == {"sms": 5, "viber": 1}
    assert made.bill_roubles == Decimal("6.30")


@pytest.mark.parametrize(
    ("made", "unaccounted"),
    [
        (built(accepted=1), 1),  # posted, but not accepted
        (built(unaccounted=3), 3),  # accepted, but in no state
        (built(unaccounted=-1), 1),  # more than was accepted is as wrong as less
        (built(second="sent"), 1),  # the portal shows something else
    ],
)
def test_books_that_differ_are_unaccounted(made: report.Report, unaccounted: int) -> None:
    assert made.unaccounted == unaccounted
    assert not made.good


def test_what_was_sent_twice_is_not_good_either() -> None:
    made = built(twice=1)
    assert made.unaccounted == 0
    assert not made.good


def all_well(**changes: object) -> NumbersReport:
    figures = {
        "contacts": 3, "contacts_wrong": 0, "look_ups": 5, "looked_up_again": 0, "spent_roubles": "1.50",
        "saves_roubles": "4.00", "lead_operator": "MTS", "robot_answer": "active", "learnt": 2,
        "viber_skipped": 2, "letters": 2,
    }  # fmt: skip
    return NumbersReport.model_validate(figures | changes)


def test_numbers_that_are_all_well_are_good() -> None:
    assert built(numbers=all_well()).good


@pytest.mark.parametrize(
    "change",
    [
        {"contacts_wrong": 1},
        {"looked_up_again": 1},
        {"lead_operator": ""},
        {"robot_answer": "unknown"},
        {"learnt": 1},
        {"viber_skipped": 1},
    ],
)
def test_one_thing_wrong_with_numbers_is_not_good(change: dict[str, object]) -> None:
    assert not built(numbers=all_well(**change)).good


def test_a_letter_that_was_sent_twice_to_the_same_number_is_two_messages() -> None:
    ledger = status_pb2.Ledger(accepted=2, final={"delivered": 2})
    books = {"expected": [("+1", "delivered")] * 2, "ledger": status_pb2.GetLedgerResponse(ledgers=[ledger])}
    assert built(**books, rows=[row("+1", "delivered")]).portal_differs == 1
    assert built(**books, rows=[row("+1", "delivered")] * 2).good


def test_the_letter_has_as_many_different_numbers_as_were_asked_for() -> None:
    phones = orders.broadcast_phones(1000)
    assert len(set(phones)) == 1000
    assert {phone[-2:] for phone in phones}.isdisjoint({"91", "94", "95", "96"})


def test_the_manifests_are_valid() -> None:
    text = orders.manifests(public_url="http://127.0.0.1:1", sandbox_url="http://127.0.0.1:2")
    read = manifests.read(text)
    assert read.errors == ()
    assert [one.provider.name for one in read.declared] == [plan.name for plan in orders.PROVIDERS]
