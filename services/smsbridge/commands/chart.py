"""A report as an SVG picture: a bar for each line, what was delivered and what was not.

Written by hand: it is forty elements of five kinds, and a drawing library would weigh more than all else that
the command line needs.
"""

from collections.abc import Iterator, Mapping
from xml.sax import saxutils

from smsbridge.api.v1 import status_pb2

_WIDTH, _LEFT, _RIGHT, _ROW, _TOP, _BAR = 960, 220, 300, 30, 76, 18
_DELIVERED, _NOT, _TEXT, _FAINT = "#1565c0", "#ef6c00", "#222222", "#767676"  # told apart by all eyes
_FONT = "font-family='DejaVu Sans, Arial, sans-serif'"


def draw(found: status_pb2.ReportResponse, *, by: str, names: Mapping[str, str]) -> str:
    """`names`: what the lines are called. The picture needs nothing from elsewhere: no font, no script."""
    height = _TOP + _ROW * max(1, len(found.rows)) + 34
    return "\n".join(
        [
            f"<svg xmlns='http://www.w3.org/2000/svg' width='{_WIDTH}' height='{height}' "
            f"viewBox='0 0 {_WIDTH} {height}' role='img' {_FONT} font-size='13'>",
            f"<title>{_escaped(_title(found, by))}</title>",
            f"<rect width='{_WIDTH}' height='{height}' fill='#ffffff'/>",
            _text(16, 28, _title(found, by), size=16),
            *_legend(),
            *_lines(found, names),
            _text(16, height - 14, _sum(found.total), fill=_FAINT),
            "</svg>\n",
        ]
    )


def _title(found: status_pb2.ReportResponse, by: str) -> str:
    return f"Messages by {by}, {found.since} to {found.until}"


def _sum(total: status_pb2.ReportRow) -> str:
    parts = [f"{total.delivered} of {total.messages} delivered", f"{total.cost} roubles"]
    if total.savings:
        parts.append(f"{total.savings} roubles saved against SMS only")
    return ", ".join(parts)


def _legend() -> Iterator[str]:
    for x, colour, word in ((_LEFT, _DELIVERED, "delivered"), (_LEFT + 110, _NOT, "not delivered")):
        yield f"<rect x='{x}' y='46' width='12' height='12' fill='{colour}'/>"
        yield _text(x + 18, 57, word)


def _lines(found: status_pb2.ReportResponse, names: Mapping[str, str]) -> Iterator[str]:
    if not found.rows:
        yield _text(_LEFT, _TOP + 18, "no message of these days is final", fill=_FAINT)
    most = max((row.messages for row in found.rows), default=1)
    room = _WIDTH - _LEFT - _RIGHT
    for place, row in enumerate(found.rows):
        y = _TOP + _ROW * place
        delivered, whole = room * row.delivered / most, room * row.messages / most
        yield _text(_LEFT - 10, y + 14, _short(names[row.key]), anchor="end")
        if row.delivered:
            yield _bar(_LEFT, y, delivered, _DELIVERED, f"{row.delivered} delivered")
        if rest := row.messages - row.delivered:
            yield _bar(_LEFT + delivered, y, whole - delivered, _NOT, f"{rest} not delivered")
        yield _text(_LEFT + whole + 8, y + 14, _figures(row))


def _figures(row: status_pb2.ReportRow) -> str:
    rate = f", {row.delivery_rate * 100:.1f} %" if row.HasField("delivery_rate") else ""
    each = f", {row.cost_per_delivered} each" if row.cost_per_delivered else ""
    return f"{row.delivered} of {row.messages}{rate}{each}"


def _bar(x: float, y: float, width: float, colour: str, told: str) -> str:
    return (
        f"<rect x='{x:.1f}' y='{y}' width='{width:.1f}' height='{_BAR}' fill='{colour}'>"
        f"<title>{_escaped(told)}</title></rect>"
    )


def _text(x: float, y: float, words: str, *, size: int = 13, fill: str = _TEXT, anchor: str = "start") -> str:
    return (
        f"<text x='{x:.1f}' y='{y}' font-size='{size}' fill='{fill}' text-anchor='{anchor}'>"
        f"{_escaped(words)}</text>"
    )


def _short(name: str) -> str:
    return name if len(name) <= 28 else f"{name[:27]}…"


def _escaped(words: str) -> str:
    """Names of operators and regions come from elsewhere; what XML cannot hold is left out."""
    return saxutils.escape("".join(ch for ch in words if ch.isprintable()))
