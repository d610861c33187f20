"""What the demo has to tell at its end, from three books: ours, SMSC's and the portal's. As JSON and a table.

A message counts as unaccounted where the books disagree about it: posted but not accepted, accepted but in no
state, or shown in the portal otherwise than its number must end.
"""

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal

from prometheus_client.parser import text_string_to_metric_families
from pydantic import BaseModel, ConfigDict, Field
from rich.table import Table

from smsbridge.api.v1 import status_pb2
from smsbridge.demo.numbers import NumbersReport
from smsbridge.sandbox import reports


class Report(BaseModel):
    """`unaccounted` is the word that the exit code follows, together with `sent_twice`."""

    model_config = ConfigDict(hide_input_in_errors=True)

    unaccounted: int
    sent_twice: int
    posted: int = Field(description="messages that the portal handed over")
    accepted: int
    not_accepted: int
    in_no_state: int
    portal_differs: int
    by_state: dict[str, int]
    under_way: int
    requests_to_smsc: int
    largest_request: int
    delivered_by_channel: dict[str, int]
    failed_by_reason: dict[str, int]
    portal_statuses: dict[str, int]
    portal_requests: int
    bill_roubles: Decimal
    slowest_answer_ms: float
    numbers: NumbersReport | None = Field(description="what was done with numbers; null where it was not")
    seconds: float

    @property
    def good(self) -> bool:
        numbers = self.numbers is None or self.numbers.good
        return self.unaccounted == 0 and self.sent_twice == 0 and numbers

    def table(self) -> Table:
        table = Table("What", "How many", title="smsbridge demo")
        table.columns[1].justify = "right"
        for what, value in self._rows():
            table.add_row(what, value)
        return table

    def _rows(self) -> list[tuple[str, str]]:
        rows = [
            ("accepted", _count(self.accepted)),
            ("  slowest answer to the portal", f"{self.slowest_answer_ms:.0f} ms"),
            ("requests to SMSC", _count(self.requests_to_smsc)),
            ("  numbers in the largest", _count(self.largest_request)),
        ]
        rows += [(f"delivered by {name}", _count(count)) for name, count in self.delivered_by_channel.items()]
        rows += [(f"failed: {reason}", _count(count)) for reason, count in self.failed_by_reason.items()]
        rows += [(f"in the portal: {status}", _count(n)) for status, n in self.portal_statuses.items()]
        if self.numbers is not None:
            rows += self._of_numbers(self.numbers)
        rows += [
            ("requests to the portal", _count(self.portal_requests)),
            ("bill", _roubles(self.bill_roubles)),
            ("seconds", f"{self.seconds:.0f}"),
            ("sent twice", _count(self.sent_twice)),
            ("unaccounted", _count(self.unaccounted)),
        ]
        return rows

    def _of_numbers(self, numbers: NumbersReport) -> list[tuple[str, str]]:
        return [
            ("contacts verified", _count(numbers.contacts)),
            ("  show something wrong", _count(numbers.contacts_wrong)),
            ("  look-ups cost", _roubles(numbers.spent_roubles)),
            ("  a letter to them costs less", _roubles(numbers.saves_roubles)),
            ("look-ups at SMSC, all", _count(numbers.look_ups)),
            ("  of numbers looked up before", _count(numbers.looked_up_again)),
            ("a call's lead shows", numbers.lead_operator),
            ("a robot was answered", numbers.robot_answer),
            (f"not on Viber: of {numbers.letters}, learnt", _count(numbers.learnt)),
            ("  next letter by SMS at once", _count(numbers.viber_skipped)),
        ]


def build(
    *,
    expected: Sequence[tuple[str, str]],
    rows: Sequence[reports.RowReport],
    ledger: status_pb2.GetLedgerResponse,
    smsc: Sequence[reports.Ledger],
    traffic: reports.Traffic,
    handovers: reports.HandoverReport,
    metrics: str,
    reasons: Counter[str],
    numbers: NumbersReport | None,
    seconds: float,
) -> Report:
    """`expected`: phone and portal status of all that was posted."""
    accepted = sum(one.accepted for one in ledger.ledgers)
    by_state: Counter[str] = Counter()
    for one in ledger.ledgers:
        by_state.update(dict(one.final))
    under_way = sum(one.held + one.waiting + one.sending + one.sent for one in ledger.ledgers)
    shown = Counter((row.phone, row.status) for row in rows)
    differs = (Counter(expected) - shown).total()
    not_accepted = max(0, len(expected) - accepted)
    return Report(
        unaccounted=max(
            not_accepted + abs(ledger.unaccounted), differs
        ),  # a lost one differs in the portal too
        sent_twice=sum(one.sent_twice for one in smsc),
        posted=len(expected),
        accepted=accepted,
        not_accepted=not_accepted,
        in_no_state=ledger.unaccounted,
        portal_differs=differs,
        by_state={state: count for state, count in sorted(by_state.items()) if count},
        under_way=under_way,
        requests_to_smsc=sum(one.accepted_requests for one in smsc),
        largest_request=max((size for one in smsc for size in one.by_numbers_per_request), default=0),
        delivered_by_channel=delivered_by_channel(metrics),
        failed_by_reason=dict(reasons.most_common()),
        portal_statuses=dict(Counter(row.status for row in rows).most_common()),
        portal_requests=traffic.requests,
        bill_roubles=sum((one.charged for one in smsc), Decimal(0)),
        slowest_answer_ms=handovers.max_ms,
        numbers=numbers,
        seconds=round(seconds, 1),
    )


def delivered_by_channel(metrics: str) -> dict[str, int]:
    """From smsbridge_messages_final_total{channel,state}; a counter of several replicas would be added up."""
    found: Counter[str] = Counter()
    for family in text_string_to_metric_families(metrics):
        for sample in family.samples:
            if sample.name == "smsbridge_messages_final_total" and sample.labels.get("state") == "delivered":
                found[sample.labels["channel"]] += round(sample.value)
    return dict(sorted(found.items()))


def _count(number: int) -> str:
    return f"{number:,}".replace(",", " ")


def _roubles(amount: Decimal) -> str:
    return f"{amount:,.2f} RUB".replace(",", " ")
