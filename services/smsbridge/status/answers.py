"""Reports and lists of messages as protobuf."""

from datetime import date
from decimal import Decimal

from smsbridge.api.v1 import status_pb2, types_pb2
from smsbridge.core import msisdn
from smsbridge.core.delivery import MessageState
from smsbridge.core.message import Channel, Origin
from smsbridge.core.provider import Provider
from smsbridge.rpc import enums
from smsbridge.status import telling
from smsbridge.status.report import By, Report, Row
from smsbridge.store.delivery import FoundView

_BY = {
    status_pb2.REPORT_BY_UNSPECIFIED: By.CHANNEL,
    status_pb2.REPORT_BY_CHANNEL: By.CHANNEL,
    status_pb2.REPORT_BY_OPERATOR: By.OPERATOR,
    status_pb2.REPORT_BY_REGION: By.REGION,
    status_pb2.REPORT_BY_DAY: By.DAY,
}


def report_by(number: int) -> By | None:
    """None for a number of a newer client."""
    return _BY.get(number)  # type: ignore[call-overload,no-any-return]


def report_response(report: Report) -> status_pb2.ReportResponse:
    return status_pb2.ReportResponse(
        since=_day(report.since),
        until=_day(report.until),
        rows=[_row(row) for row in report.rows],
        total=_row(report.total),
    )


def summary(provider: Provider, view: FoundView) -> status_pb2.MessageSummary:
    record = view.record
    return status_pb2.MessageSummary(
        provider_uid=provider.uid,
        namespace=provider.namespace,
        provider_name=provider.name,
        message_id=view.message_id,
        state=enums.MESSAGE_STATE.to_proto(MessageState(record["st"])),
        reason=record.get("rs", ""),
        reason_sentence=telling.reason_sentence(record.get("rs", "")),
        origin=enums.ORIGIN.to_proto(Origin(record["org"])),
        recipient=msisdn.mask(record.get("to", "")),
        accepted_at_ms=view.accepted_at_ms,
        channel=_channel(view),
    )


def _channel(view: FoundView) -> types_pb2.Channel.ValueType:
    numbers = range(1, view.attempts + 1)
    number = next((n for n in numbers if view.of_attempt(n, "st") == "delivered"), view.attempts)
    word = view.of_attempt(number, "by") or view.of_attempt(number, "ch")
    return enums.CHANNEL.to_proto(Channel(word)) if word else types_pb2.CHANNEL_UNSPECIFIED


def _row(row: Row) -> status_pb2.ReportRow:
    return status_pb2.ReportRow(
        key=row.key,
        messages=row.messages,
        sent=row.sent,
        delivered=row.delivered,
        delivered_by_viber=row.delivered_by_viber,
        read=row.read,
        failed=row.failed,
        delivery_rate=row.delivery_rate,
        read_share=row.read_share,
        median_seconds=row.median_seconds,
        p90_seconds=row.p90_seconds,
        cost=money(row.cost),
        cost_estimated=money(row.cost_estimated),
        cost_unknown=row.cost_unknown,
        cost_per_delivered=money(row.cost_per_delivered),
        cascade_cost=money(row.cascade_cost),
        sms_only_cost=money(row.sms_only),
        savings=money(row.savings),
    )


def money(value: Decimal | None) -> str:
    """Two digits after the point, or as many more as it has; empty for nothing."""
    if value is None:
        return ""
    plain = value.normalize()
    return f"{value:.2f}" if -int(plain.as_tuple().exponent) <= 2 else f"{plain:f}"


def _day(day: date) -> str:
    return day.isoformat()
