"""What the bench found: the models of bench-report.json. How it is printed is `tables`' business."""

import os
import platform
import statistics
from collections import Counter
from collections.abc import Sequence

import psutil  # type: ignore[import-untyped]
from pydantic import BaseModel


class Machine(BaseModel):
    """`others_cores`: what other programs used meanwhile; well above 0 the run was disturbed."""

    cores: int
    memory_gib: float
    python: str
    system: str
    others_cores: float


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
            max_ms=_ms(times, 1.0),
        )


def _ms(times: Sequence[float], share: float) -> float:
    return round(times[min(len(times) - 1, int(len(times) * share))] * 1000, 2)


class Rate(BaseModel):
    """Posts a second of each run; `median` is what is compared."""

    runs: list[float]
    median: float

    @classmethod
    def of(cls, runs: Sequence[float]) -> "Rate":
        return cls(runs=[round(run, 1) for run in runs], median=round(statistics.median(runs), 1))


class Books(BaseModel):
    """At the end of a part: whether what was measured was also right."""

    posts: int  # to the product's door
    not_200: int
    journalled: int  # went by way of the gateway's journal, because the sender was away or slow
    held: int  # the application token was not known at the door yet
    accepted: int
    unaccounted: int


class AcceptReport(BaseModel):
    """The provider is paused: the door accepts, nothing is sent. `share` is of the bare handler's rate."""

    connections: int
    body_bytes: int
    bare: Rate
    door: Rate
    share: float
    paced: Spread  # at `paced_per_second`
    paced_per_second: float
    cpu_ms_a_post: dict[str, float]  # by process
    bare_cpu_ms_a_post: float
    books: Books


class SendingReport(BaseModel):
    """Providers that send, with a portal that has its usual limits."""

    door: Rate
    paced: Spread
    paced_per_second: float
    interactive_idle: Spread  # from the post's start to send.php
    interactive_in_broadcast: Spread
    broadcast: int
    sender_numbers: int
    sender_numbers_per_second: float
    gain: float
    gain_numbers: int
    gain_latency_ms: float
    hundreds_per_second: float
    singles_per_second: float
    portal_per_second: float
    portal_allowed_per_second: float
    portal_share: float
    portal_waiting: int  # statuses that still waited at the end: 0 means that too few were there to measure
    portal_503: int
    memory_idle_mib: dict[str, float]  # by process, before the first message
    memory_mib: dict[str, float]  # and at the end
    books: Books


class WritingReport(BaseModel):
    """A portal without limits."""

    updates: int
    updates_per_second: float
    calls: int


class NumbersReport(BaseModel):
    """Profile http. `bought_again`: look-ups that SMSC made for what was known already: 0, or a fault."""

    cached_lookups_per_second: float  # numbers, through gRPC
    bought_again: int
    contacts: int
    contacts_per_second: float  # verified, with a portal without limits
    look_ups: int
    governed_contacts: int
    governed_per_second: float
    portal_allowed_per_second: float
    portal_share: float  # requests that were made, of those that the portal's rate allows
    portal_503: int


class OperatorReport(BaseModel):
    """From an applied resource to Ready. `why_not`: why there is no figure; empty where there is."""

    why_not: str = ""
    ready_seconds: float = 0.0  # median
    ready_slowest_seconds: float = 0.0
    together: int = 0
    together_seconds: float = 0.0
    portal_requests: int = 0  # of those together
    portal_503: int = 0
    balance_requests: int = 0  # in all: they share one account
    memory_idle_mib: float = 0.0
    memory_mib: float = 0.0


class Report(BaseModel):
    """A part that was not asked for is null."""

    against: str = "the sandbox, on loopback"
    seconds: float
    machine: Machine
    accept: AcceptReport | None = None
    sending: SendingReport | None = None
    writing: WritingReport | None = None
    numbers: NumbersReport | None = None
    operator: OperatorReport | None = None

    @property
    def sending_share(self) -> float | None:
        """The rate while sending, of the bare handler's."""
        if self.accept is None or self.sending is None:
            return None
        return round(self.sending.door.median / self.accept.bare.median, 3)


class CpuWatch:
    """From its making: the machine's CPU time less that of this process and all it has started and ended."""

    def __init__(self) -> None:
        self._machine, self._own = _machine_seconds(), _own_seconds()

    def machine(self, *, seconds: float) -> Machine:
        others = (_machine_seconds() - self._machine) - (_own_seconds() - self._own)
        return Machine(
            cores=psutil.cpu_count() or 0,
            memory_gib=round(psutil.virtual_memory().total / 2**30, 1),
            python=platform.python_version(),
            system=f"{platform.system()} {platform.machine()}",
            others_cores=round(max(0.0, others / seconds), 2),
        )


def _machine_seconds() -> float:
    times = psutil.cpu_times()
    spent: float = times.user + times.nice + times.system
    return spent


def _own_seconds() -> float:
    return sum(os.times()[:4])


def per_second(times: Sequence[float]) -> float:
    """Of events that come in bunches: the first bunch is where the clock starts, so it does not count."""
    bunches = Counter(times)
    first, last = min(bunches), max(bunches)
    return (len(times) - bunches[first]) / (last - first)
