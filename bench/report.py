"""What the bench found: the models of bench-report.json, and the table."""

import platform
import statistics
from collections.abc import Sequence

import psutil  # type: ignore[import-untyped]
from pydantic import BaseModel
from rich.table import Table


class Machine(BaseModel):
    cores: int
    memory_gib: float
    python: str
    system: str

    @classmethod
    def this(cls) -> "Machine":
        return cls(
            cores=psutil.cpu_count() or 0,
            memory_gib=round(psutil.virtual_memory().total / 2**30, 1),
            python=platform.python_version(),
            system=f"{platform.system()} {platform.machine()}",
        )


class Spread(BaseModel):
    """Of many times, milliseconds."""

    count: int
    p50_ms: float
    p99_ms: float
    max_ms: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> "Spread":
        times = sorted(seconds)
        return cls(
            count=len(times),
            p50_ms=_ms(times, 0.50),
            p99_ms=_ms(times, 0.99),
            max_ms=round(times[-1] * 1000, 1),
        )

    def words(self) -> str:
        return f"{self.p50_ms:.1f} / {self.p99_ms:.1f} / {self.max_ms:.0f} ms"


def _ms(times: Sequence[float], share: float) -> float:
    return round(times[min(len(times) - 1, int(len(times) * share))] * 1000, 2)


class Rate(BaseModel):
    """Posts a second of each run; `median` is what is compared."""

    runs: list[float]
    refused: int

    @property
    def median(self) -> float:
        return statistics.median(self.runs)

    def words(self) -> str:
        return f"{self.median:.0f} a second ({', '.join(f'{run:.0f}' for run in self.runs)})"


class AcceptReport(BaseModel):
    """A provider that is paused: the door accepts and nothing is sent. `share` is of the bare handler's rate."""

    body_bytes: int
    bare: Rate
    door: Rate
    share: float
    journalled: int  # of all posts: to the gateway's journal, because the sender was slow
    unaccounted: int
    paced: Spread  # at `paced_per_second`
    paced_per_second: float
    cpu_ms_a_post: dict[str, float]


class SendingReport(BaseModel):
    """Providers that send, with a portal that has its usual limits."""

    door: Rate
    share: float  # of the bare handler's rate
    paced: Spread
    paced_per_second: float
    interactive_idle: Spread  # from the post's start to send.php
    interactive_in_broadcast: Spread
    broadcast: int
    sender_numbers_per_second: float
    sender_numbers: int
    hundreds_per_second: float
    singles_per_second: float
    gain: float
    gain_numbers: int
    gain_latency_ms: float
    portal_per_second: float
    portal_allowed_per_second: float
    portal_share: float
    portal_503: int
    journalled: int
    unaccounted: int
    memory_idle_mib: dict[str, float]
    memory_mib: dict[str, float]


class WritingReport(BaseModel):
    """A portal without limits."""

    updates: int
    updates_per_second: float
    calls: int


class Report(BaseModel):
    against: str = "the sandbox, on loopback"
    machine: Machine
    seconds: float
    accept: AcceptReport
    sending: SendingReport
    writing: WritingReport


def table(report: Report) -> Table:
    made = Table("What", "How much", title="smsbridge bench, against the sandbox")
    for what, how_much in rows(report):
        made.add_row(what, how_much)
    return made


def rows(report: Report) -> list[tuple[str, str]]:
    accept, sending, writing = report.accept, report.sending, report.writing
    gained = f"{sending.hundreds_per_second:.0f} against {sending.singles_per_second:.0f} numbers a second"
    found = [
        ("machine", f"{report.machine.cores} cores, Python {report.machine.python}, {report.seconds:.0f} s"),
        (f"bare aiohttp handler, {accept.body_bytes} byte forms", accept.bare.words()),
        ("accepted, durable (provider paused)", accept.door.words()),
        ("... share of the bare handler", f"{accept.share:.2f}"),
        ("accepted while sending", sending.door.words()),
        ("... share of the bare handler", f"{sending.share:.2f}"),
        (f"answer at {accept.paced_per_second:.0f} a second: p50 / p99 / max", accept.paced.words()),
        ("... while sending", sending.paced.words()),
        ("interactive, post to send.php: p50 / p99 / max", sending.interactive_idle.words()),
        (f"... during a broadcast of {sending.broadcast}", sending.interactive_in_broadcast.words()),
        (
            "through the sender",
            f"{sending.sender_numbers_per_second:.0f} numbers a second, of {sending.sender_numbers}",
        ),
        (
            f"gain of batches of 100 at {sending.gain_latency_ms:.0f} ms",
            f"{sending.gain:.0f} times: {gained}",
        ),
        ("portal updates, no limits", f"{writing.updates_per_second:.0f} a second, of {writing.updates}"),
        (
            "portal updates, usual limits",
            f"{sending.portal_per_second:.1f} a second, {sending.portal_share:.1%} of what is allowed, "
            f"{sending.portal_503} x 503",
        ),
        ("not answered 200", str(accept.bare.refused + accept.door.refused + sending.door.refused)),
        ("by way of the journal", str(accept.journalled + sending.journalled)),
        ("unaccounted", str(accept.unaccounted + sending.unaccounted)),
    ]
    for name, loaded in sending.memory_mib.items():
        spent = accept.cpu_ms_a_post.get(name, 0.0)
        idle = sending.memory_idle_mib.get(name, 0.0)
        words = f"{idle:.0f} MiB idle, {loaded:.0f} MiB loaded; {spent:.3f} ms CPU a post"
        found.append((name, words))
    return found
