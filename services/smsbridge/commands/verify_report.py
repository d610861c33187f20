"""What a verification will cost, how far it is and what it found, for people and for programs."""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from smsbridge.commands import common
from smsbridge.core import verification
from smsbridge.core.number import Facts, LookupState
from smsbridge.core.verification import Progress, Quote, State, Verification


class Format(StrEnum):
    TABLE = "table"
    JSON = "json"
    CSV = "csv"


def quote_lines(one: Verification, quote: Quote) -> list[str]:
    """For a person who is to say yes."""
    guess = " (estimated)" if quote.estimated else ""
    what = "numbers" if one.source.entity is None else f"{_many(one.source.name)}"
    return [
        f"{quote.entities} {what} by {one.namespace}/{one.name}: "
        f"{quote.numbers} numbers to look up, {quote.known} known already",
        f"{money(quote.price)} roubles each, {money(quote.roubles)} roubles{guess}, "
        f"about {duration(quote.seconds)}",
    ]


def money(roubles: Decimal) -> str:
    """With its two digits, and more only where there are more."""
    return f"{roubles:.2f}" if roubles == round(roubles, 2) else f"{roubles.normalize():f}"


def duration(seconds: int) -> str:
    if seconds < 90:
        return f"{seconds} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes / 60:.1f} h"


def progress_line(progress: Progress) -> str:
    """What stands behind a bar."""
    left = "" if progress.seconds_left is None else f", {duration(progress.seconds_left)} left"
    return f"{progress.rate:g}/s, {money(progress.spent)} roubles{left}"


def sentence(one: Verification) -> str:
    """Why it stands, and what to do; empty where all is well."""
    why = verification.sentence(one.state, one.reason)
    if one.state is State.PAUSED:
        return f"paused: {why}; `smsbridge verify --resume {one.id}` shows it again and goes on"
    if one.state is State.FAILED:
        return f"not verified: {why}"
    if one.state is State.CANCELLED:
        return "it was cancelled"
    return ""


def as_map(one: Verification) -> dict[str, Any]:
    progress, quote = one.progress, one.quote
    return {
        "id": one.id,
        "provider": f"{one.namespace}/{one.name}",
        "state": one.state.value,
        "reason": one.reason,
        "reason_sentence": verification.sentence(one.state, one.reason),
        "source": one.source.name,
        "filter": dict(one.source.where),
        "created_at": common.iso_time(one.created_at_ms),
        "confirmed_at": common.iso_time(one.confirmed_at_ms),
        "ended_at": common.iso_time(one.ended_at_ms),
        "quote": None
        if quote is None
        else {
            "entities": quote.entities,
            "numbers": quote.numbers,
            "known": quote.known,
            "price": money(quote.price),
            "roubles": money(quote.roubles),
            "estimated": quote.estimated,
            "seconds": quote.seconds,
        },
        "entities": progress.entities,
        "without_phone": progress.without_phone,
        "gone": progress.gone,
        "written": progress.written,
        "unchanged": progress.unchanged,
        "refused": progress.refused,
        "numbers": progress.numbers,
        "bought": progress.bought,
        "spent": money(progress.spent),
        "estimated": money(progress.estimated),
        "saves": None if one.saves is None else money(one.saves),
        "outcomes": dict(one.outcomes),
        "operators": dict(one.carriers),
        "regions": dict(one.regions),
    }


def text_of(one: Verification, shape: Format) -> str:
    """The report, to be printed or written to a file."""
    if shape is Format.JSON:
        return json.dumps(as_map(one), ensure_ascii=False, indent=2) + "\n"
    if shape is Format.CSV:
        out = io.StringIO(newline="")
        csv.writer(out).writerows([("what", "name", "value"), *_rows(one)])
        return out.getvalue()
    out = io.StringIO()
    console = Console(file=out, highlight=False, width=100)
    for table in _tables(one):
        console.print(table)
    return out.getvalue()


def shape_of(path: Path) -> Format:
    """By its name's end; a table where that says nothing."""
    return {".json": Format.JSON, ".csv": Format.CSV}.get(path.suffix.lower(), Format.TABLE)


def listed(found: Sequence[Verification]) -> Table:
    table = common.table("Id", "Provider", "Source", "State", "Why", "Made (UTC)", "Done", "Spent")
    for one in found:
        entities = one.quote.entities if one.quote is not None else 0
        table.add_row(
            one.id, f"{one.namespace}/{one.name}", one.source.name, one.state.value, one.reason,
            common.iso_time(one.created_at_ms),
            f"{one.progress.entities}/{max(entities, one.progress.entities)}", money(one.progress.spent),
        )  # fmt: skip
    return table


def numbers_csv(found: Sequence[Facts], *, separator: str) -> str:
    """A line for each number of a file; empty cells where nothing is known."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=separator)
    writer.writerow(("number", "reachability", "operator", "region", "checked_at"))
    for one in found:
        known = one.state is LookupState.KNOWN
        reachability = one.reachability.value if known else ""
        checked_at = common.iso_time(one.checked_at_ms)
        writer.writerow((one.msisdn, reachability, one.carrier, one.region, checked_at))
    return out.getvalue()


def _many(name: str) -> str:
    return {"contact": "contacts", "lead": "leads", "company": "companies"}.get(name, name)


def _rows(one: Verification) -> Iterator[tuple[str, str, object]]:
    counts = ("outcomes", "operators", "regions")
    shown = as_map(one)
    for name, value in shown.items():
        if name not in (*counts, "quote", "filter"):
            yield "summary", name, "" if value is None else value
    for name in counts:
        for word, many in _most_first(shown[name]):
            yield name.removesuffix("s"), word, many


def _most_first(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _tables(one: Verification) -> Iterator[Table]:
    progress = one.progress
    summary = common.table("Verification", one.id)
    guess = f" ({money(progress.estimated)} estimated)" if progress.estimated else ""
    rows = [
        ("State", one.state.value + (f": {one.reason}" if one.reason else "")),
        ("Numbers", f"{progress.numbers}, of these {progress.bought} looked up now"),
        ("Spent", f"{money(progress.spent)} roubles{guess}"),
    ]
    if one.source.entity is not None:
        rows[1:1] = [
            (_many(one.source.name).capitalize(), str(progress.entities)),
            ("Written, unchanged", f"{progress.written}, {progress.unchanged}"),
            (
                "Without a phone, gone, refused",
                f"{progress.without_phone}, {progress.gone}, {progress.refused}",
            ),
        ]
    if one.saves is not None:
        rows.append(("A broadcast saves", f"{money(one.saves)} roubles"))
    for name, value in rows:
        summary.add_row(name, value)
    yield summary
    counted = {"Reachability": one.outcomes, "Operator": one.carriers, "Region": one.regions}
    for title, counts in counted.items():
        if counts:
            table = common.table(title, "Numbers")
            for word, many in _most_first(counts):
                table.add_row(word, str(many))
            yield table
