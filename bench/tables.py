"""The report as tables: what was reached, and what each process used."""

from rich.console import Console
from rich.table import Table

from bench.report import (
    AcceptReport,
    NumbersReport,
    OperatorReport,
    Rate,
    Report,
    SendingReport,
    Spread,
    WritingReport,
)

Rows = list[tuple[str, str]]


def show(report: Report, console: Console) -> None:
    figures = Table("What", "How much", title=f"smsbridge bench, against {report.against}")
    for what, how_much in _rows(report):
        figures.add_row(what, how_much)
    console.print(figures)
    used = Table("Process", "CPU ms a post", "MiB idle", "MiB loaded", title="Processes")
    for cells in _processes(report):
        used.add_row(*cells)
    if used.row_count:
        console.print(used)


def _rows(report: Report) -> Rows:
    machine = report.machine
    words = (
        f"{machine.cores} cores, Python {machine.python}; others used {machine.others_cores:.2f} of a core"
    )
    rows = [("machine", words), ("the whole bench", f"{report.seconds:.0f} s")]
    if report.accept is not None:
        rows += _accept(report.accept)
    if report.sending is not None:
        rows += _sending(report.sending, share=report.sending_share)
    if report.writing is not None:
        rows += _writing(report.writing)
    if report.numbers is not None:
        rows += _numbers(report.numbers)
    if report.operator is not None:
        rows += _operator(report.operator)
    books = [part.books for part in (report.accept, report.sending) if part is not None]
    if books:
        posts, accepted = sum(one.posts for one in books), sum(one.accepted for one in books)
        rows += [
            ("posts to the door", f"{posts}, {sum(one.not_200 for one in books)} not answered 200"),
            ("in the books", f"{accepted} accepted, {sum(one.unaccounted for one in books)} unaccounted"),
            (
                "of these journalled, held",
                f"{sum(one.journalled for one in books)}, {sum(one.held for one in books)}",
            ),
        ]
    return rows


def _accept(accept: AcceptReport) -> Rows:
    return [
        (
            "bare aiohttp form handler",
            f"{_rate(accept.bare)}; {accept.bare_cpu_ms_a_post:.3f} ms CPU for {accept.body_bytes} bytes",
        ),
        ("accepted, durable", _rate(accept.door)),
        ("- of the bare handler", f"{accept.share:.2f}"),
        (f"answer at {accept.paced_per_second:.0f}/s", _spread(accept.paced)),
    ]


def _sending(sending: SendingReport, *, share: float | None) -> Rows:
    rows = [("accepted while sending", _rate(sending.door))]
    if share is not None:
        rows.append(("- of the bare handler", f"{share:.2f}"))
    portal = f"{sending.portal_per_second:.1f}/s, {sending.portal_share:.0%} of what is allowed"
    if not sending.portal_waiting:
        portal = "no figure: too few statuses waited"
    return [
        *rows,
        (f"answer at {sending.paced_per_second:.0f}/s while sending", _spread(sending.paced)),
        ("interactive: post to send.php", _spread(sending.interactive_idle)),
        (f"- during a broadcast of {sending.broadcast}", _spread(sending.interactive_in_broadcast)),
        (
            "numbers through the sender",
            f"{sending.sender_numbers_per_second:.0f}/s, of {sending.sender_numbers}",
        ),
        (
            f"gain of batches at {sending.gain_latency_ms:.0f} ms of latency",
            f"{sending.gain:.0f} times: {sending.hundreds_per_second:.0f}/s by hundreds, "
            f"{sending.singles_per_second:.0f}/s one by one",
        ),
        ("portal updates, usual limits", f"{portal}, {sending.portal_503} x 503"),
    ]


def _writing(writing: WritingReport) -> Rows:
    words = f"{writing.updates_per_second:.0f}/s, of {writing.updates} in {writing.calls} calls"
    return [("portal updates, no limits", words)]


def _numbers(numbers: NumbersReport) -> Rows:
    again = f"{numbers.look_ups} look-ups, {numbers.bought_again} of them a second time"
    share = f"{numbers.portal_share:.2f} of {numbers.portal_allowed_per_second:.0f} requests/s"
    return [
        ("cached look-ups through gRPC", f"{numbers.cached_lookups_per_second:.0f} numbers/s"),
        (
            f"contacts verified, no limits, of {numbers.contacts}",
            f"{numbers.contacts_per_second:.0f}/s; {again}",
        ),
        (
            f"contacts verified, limited portal, of {numbers.governed_contacts}",
            f"{numbers.governed_per_second:.0f}/s; {share}, {numbers.portal_503} x 503",
        ),
    ]


def _operator(operator: OperatorReport) -> Rows:
    if operator.why_not:
        return [("operator", f"no figure: {operator.why_not}")]
    many = operator.together
    return [
        (
            "applied resource to Ready",
            f"{operator.ready_seconds:.1f} s, slowest {operator.ready_slowest_seconds:.1f} s",
        ),
        (
            f"- {many} at once",
            f"{operator.together_seconds:.0f} s; {operator.portal_requests} requests to the portal, "
            f"{operator.portal_503} x 503; {operator.balance_requests} to the account",
        ),
        (
            "operator's memory",
            f"{operator.memory_idle_mib:.0f} MiB idle, {operator.memory_mib:.0f} MiB after",
        ),
    ]


def _rate(rate: Rate) -> str:
    return f"{rate.median:.0f}/s (runs: {', '.join(f'{run:.0f}' for run in rate.runs)})"


def _spread(spread: Spread) -> str:
    return f"p50 {spread.p50_ms:.1f}, p99 {spread.p99_ms:.1f}, max {spread.max_ms:.0f} ms"


def _processes(report: Report) -> list[tuple[str, str, str, str]]:
    cpu = report.accept.cpu_ms_a_post if report.accept is not None else {}
    idle = report.sending.memory_idle_mib if report.sending is not None else {}
    loaded = report.sending.memory_mib if report.sending is not None else {}
    return [
        (
            name,
            f"{cpu[name]:.3f}" if name in cpu else "",
            f"{idle[name]:.0f}" if name in idle else "",
            f"{loaded[name]:.0f}" if name in loaded else "",
        )
        for name in loaded or cpu
    ]
