"""Numbers out of a file as spreadsheets write it: whatever encoding, separator and column it has.

Phones are named by their line, never by themselves. Knows nothing of what is done with them.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from smsbridge.core import errors
from smsbridge.smsc import numbers

_SEPARATORS = ";,\t"
_HEADINGS = (
    "phone", "телефон", "mobile", "мобильный", "сотовый", "msisdn", "tel", "тел", "номер", "number",
)  # fmt: skip
_LOOKED_AT = 200  # rows that tell which column it is
_ENOUGH = 0.5  # of a column without a heading must be phones


@dataclass(frozen=True, slots=True)
class FileNumbers:
    """Each number once, in their order; `bad_lines`: where the column holds something that is none."""

    msisdns: tuple[str, ...]
    bad_lines: tuple[int, ...]
    rows: int
    separator: str


@dataclass(frozen=True, slots=True)
class _Row:
    line: int
    cells: tuple[str, ...]

    def cell(self, column: int) -> str:
        return self.cells[column].strip() if column < len(self.cells) else ""


def read(path: Path, *, default_region: str) -> FileNumbers:
    """Raises InputError, which says in which line what is wrong."""
    try:
        text = decode(path.read_bytes())
    except OSError as error:
        raise errors.InputError(
            f"{path.name} cannot be read ({type(error).__name__})", field="--source"
        ) from None
    separator = _separator(text)
    try:
        rows = _rows(text, separator)
    except csv.Error as error:
        raise errors.InputError(f"{path.name} is no CSV: {error}", field="--source") from None
    if not rows:
        raise errors.InputError(f"{path.name} is empty", field="--source")
    column, has_heading = _column(rows, path.name, default_region)
    found: dict[str, None] = {}
    bad: list[int] = []
    for row in rows[1:] if has_heading else rows:
        number = numbers.normalise(row.cell(column), default_region=default_region)
        if number:
            found[number] = None
        else:
            bad.append(row.line)
    return FileNumbers(tuple(found), tuple(bad), len(rows) - has_heading, separator)


def decode(content: bytes) -> str:
    """UTF-8 with or without a mark, UTF-16 with one, else the code page of Russian Windows."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", "replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1251", "replace")


def _separator(text: str) -> str:
    """Which one splits the first lines into the most columns, the same in each."""
    lines = [line for line in text.splitlines() if line.strip()][:20]
    counts = {separator: [line.count(separator) for line in lines] for separator in _SEPARATORS}
    return max(_SEPARATORS, key=lambda one: (min(counts[one], default=0), sum(counts[one])))


def _rows(text: str, separator: str) -> list[_Row]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    found = []
    line = 1
    for cells in reader:
        if any(cell.strip() for cell in cells):
            found.append(_Row(line, tuple(cells)))
        line = reader.line_num + 1
    return found


def _column(rows: Sequence[_Row], name: str, default_region: str) -> tuple[int, bool]:
    """Which it is, and whether the first row is a heading."""
    width = max(len(row.cells) for row in rows)
    first, sample = rows[0], rows[: _LOOKED_AT + 1]

    def phones(column: int, some: Sequence[_Row]) -> int:
        cells = [row.cell(column) for row in some]
        return sum(bool(numbers.normalise(cell, default_region=default_region)) for cell in cells)

    heading = not any(phones(column, [first]) for column in range(width))
    body = sample[1:] if heading else sample
    if heading:
        titled = [
            column
            for word in _HEADINGS
            for column in range(width)
            if word in first.cell(column).lower() and phones(column, body)
        ]
        if titled:
            return titled[0], True
    best = max(range(width), key=lambda column: phones(column, body))
    filled = sum(bool(row.cell(best)) for row in body)
    if not filled or phones(best, body) < _ENOUGH * filled:
        line = body[0].line if body else first.line
        raise errors.InputError(
            f"{name}, line {line}: no cell is a phone number; give the column of phones the heading `phone`",
            field="--source",
        )
    return best, heading
