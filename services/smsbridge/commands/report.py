"""`smsbridge report`: channel analytics as a table, CSV, JSON, and a chart."""

import asyncio
import csv
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from smsbridge.api.v1 import status_pb2
from smsbridge.commands import chart as charts
from smsbridge.commands import common
from smsbridge.core import errors
from smsbridge.core.message import REASON_SENTENCES, Reason
from smsbridge.rpc import clients
from smsbridge.runtime import rpc
from smsbridge.store import rollups


class By(StrEnum):
    CHANNEL = "channel"
    OPERATOR = "operator"
    REGION = "region"
    DAY = "day"


class Output(StrEnum):
    TABLE = "table"
    CSV = "csv"
    JSON = "json"


_BY = {
    By.CHANNEL: status_pb2.REPORT_BY_CHANNEL,
    By.OPERATOR: status_pb2.REPORT_BY_OPERATOR,
    By.REGION: status_pb2.REPORT_BY_REGION,
    By.DAY: status_pb2.REPORT_BY_DAY,
}
WAYS = {
    "sms": "SMS",
    "viber": "Viber",
    "cascade_viber": "cascade, ended by Viber",
    "cascade_sms": "cascade, ended by SMS",
    "none": "never with SMSC",
}
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet would run it


def report(
    since: Annotated[
        str,
        typer.Option("--since", metavar="DAYS", help="So many days with today (7d), or the first day."),
    ] = "7d",
    until: Annotated[
        str, typer.Option("--until", metavar="YYYY-MM-DD", help="The last day, in Moscow; today if left out.")
    ] = "",
    by: Annotated[By, typer.Option("--by", help="What a line is.")] = By.CHANNEL,
    data: common.Data = None,
    address: common.Address = "",
    provider: common.ProviderName = "",
    output: Annotated[
        Output, typer.Option("--output", help="`csv` is for spreadsheets, `json` for programs.")
    ] = Output.TABLE,
    chart: Annotated[
        Path | None, typer.Option("--chart", metavar="FILE.svg", help="Draw it as well.")
    ] = None,
) -> None:
    """What arrived, by what, how fast and for how much. `--address` is the status role's."""
    status_address = common.address_of("status", data=data, address=address)
    if chart is not None and chart.suffix.lower() != ".svg":
        raise errors.InputError("draws SVG: give a file that ends in .svg", field="--chart")
    first, last = days(since, until, today=rollups.today(time.time()))
    request = status_pb2.ReportRequest(since=first.isoformat(), until=last.isoformat(), by=_BY[by])
    found = asyncio.run(_ask(request, status_address, provider=provider))
    if output is Output.JSON:
        common.print_json(as_json(found, by))
    elif output is Output.CSV:
        write_csv(found, by)
    else:
        _print(found, by)
    if chart is not None:
        common.write(chart, charts.draw(found, by=by.value, names=names(found, by)))


async def _ask(
    request: status_pb2.ReportRequest, address: str, *, provider: str
) -> status_pb2.ReportResponse:
    async with rpc.channel(address) as channel:
        client = clients.StatusClient(channel)
        if provider:
            ledgers = (await client.get_ledger()).ledgers
            known = [common.Named(one.provider_uid, one.namespace, one.name) for one in ledgers]
            request.provider_uid = common.choose(known, provider).uid
        return await client.report(request)


def days(since: str, until: str, *, today: date) -> tuple[date, date]:
    """The first and the last day, both included. Raises InputError."""
    last = _day(until, "--until") if until else today
    count = since.removesuffix("d")
    if since.endswith("d") and count.isdecimal() and int(count) > 0:
        return last - timedelta(days=min(int(count), rollups.KEPT_DAYS) - 1), last
    return _day(since, "--since"), last


def _day(text: str, option: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise errors.InputError("wants a day as YYYY-MM-DD, or --since 7d", field=option) from None


def names(found: status_pb2.ReportResponse, by: By) -> dict[str, str]:
    """What lines are called, by their keys."""
    if by is By.CHANNEL:
        return {row.key: WAYS.get(row.key, row.key) for row in found.rows}
    return {row.key: row.key or "unknown" for row in found.rows}


def figures(row: status_pb2.ReportRow) -> dict[str, Any]:
    """The figures of a line as programs want them; what is not known is None."""
    return {
        "messages": row.messages,
        "sent": row.sent,
        "delivered": row.delivered,
        "delivered_by_viber": row.delivered_by_viber,
        "read": row.read,
        "delivery_rate": round(row.delivery_rate, 4) if row.HasField("delivery_rate") else None,
        "read_share": round(row.read_share, 4) if row.HasField("read_share") else None,
        "median_seconds": row.median_seconds if row.HasField("median_seconds") else None,
        "p90_seconds": row.p90_seconds if row.HasField("p90_seconds") else None,
        "cost": row.cost,
        "cost_estimated": row.cost_estimated,
        "cost_unknown": row.cost_unknown,
        "cost_per_delivered": row.cost_per_delivered or None,
        "cascade_cost": row.cascade_cost,
        "sms_only_cost": row.sms_only_cost or None,
        "savings": row.savings or None,
    }


def as_json(found: status_pb2.ReportResponse, by: By) -> dict[str, Any]:
    def line(row: status_pb2.ReportRow) -> dict[str, Any]:
        return {"key": row.key, **figures(row), "failed": dict(sorted(row.failed.items()))}

    return {
        "since": found.since,
        "until": found.until,
        "by": by.value,
        "rows": [line(row) for row in found.rows],
        "total": line(found.total),
    }


def write_csv(found: status_pb2.ReportResponse, by: By) -> None:
    """A line for each row, the total last; reasons as NAME=N, parted by spaces."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow([by.value, *figures(found.total), "failed"])
    for row in (*found.rows, found.total):
        failed = " ".join(f"{reason}={count}" for reason, count in sorted(row.failed.items()))
        values = ["" if value is None else value for value in figures(row).values()]
        writer.writerow([_cell(row.key or "unknown"), *values, failed])


def _cell(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text


def _print(found: status_pb2.ReportResponse, by: By) -> None:
    console = common.wide_console()
    console.print(f"Messages accepted from {found.since} to {found.until} (days of Moscow) that are final")
    console.print(as_table(found, by))
    for line in notes(found.total):
        console.print(line)


def as_table(found: status_pb2.ReportResponse, by: By) -> Table:
    table = common.table(by.value.capitalize())
    for name in ("Messages", "Sent", "Delivered", "Rate", "Read", "Median", "p90", "Cost", "Each", "Saved"):
        table.add_column(name, justify="right", overflow="fold")
    called = names(found, by)
    for row in found.rows:
        table.add_row(called[row.key], *_cells(row))
    table.add_section()
    table.add_row("total", *_cells(found.total), style="bold")
    return table


def _cells(row: status_pb2.ReportRow) -> Sequence[str]:
    found: Mapping[str, Any] = figures(row)
    return (
        str(row.messages),
        str(row.sent),
        str(row.delivered),
        percent(found["delivery_rate"]),
        percent(found["read_share"]),
        within(found["median_seconds"]),
        within(found["p90_seconds"]),
        row.cost,
        row.cost_per_delivered,
        row.savings,
    )


def percent(share: float | None) -> str:
    return "" if share is None else f"{share * 100:.1f} %"


def within(seconds: int | None) -> str:
    """Of a bucket's bound: so long at most."""
    if seconds is None:
        return ""
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size and seconds % size == 0:
            return f"≤ {seconds // size} {unit}"
    return f"≤ {seconds} s"


def notes(total: status_pb2.ReportRow) -> list[str]:
    """What a reader of the table has to know besides."""
    found = ["Costs in roubles; Each: for one that was delivered; Read: of those delivered by Viber."]
    if total.cost_estimated not in ("", "0.00"):
        found.append(f"Of the cost, {total.cost_estimated} are estimated from the provider's prices.")
    if total.cost_unknown:
        found.append(f"Of {total.cost_unknown} messages nobody knows the whole cost.")
    if total.savings:
        found.append(
            f"Saved: the cascades cost {total.cascade_cost}; "
            f"by SMS only they would have cost {total.sms_only_cost}."
        )
    for reason, count in sorted(total.failed.items(), key=lambda item: (-item[1], item[0])):
        found.append(f"{count} not delivered: {_sentence(reason)}")
    return found


def _sentence(reason: str) -> str:
    try:
        return f"{REASON_SENTENCES[Reason(reason)]} ({reason})"
    except ValueError:
        return reason
