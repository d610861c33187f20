"""The demo's progress on the screen: where its messages are, once a second."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from smsbridge.api.v1 import status_pb2
from smsbridge.sandbox import reports


class Watch:
    def __init__(self, console: Console, *, total: int) -> None:
        self._progress = Progress(
            TextColumn("{task.description:<28}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
        )
        self._posted, self._accepted, self._handed, self._final, self._written = (
            self._progress.add_task(what, total=total)
            for what in (
                "handed over by the portal",
                "accepted",
                "taken by SMSC",
                "final",
                "status in the portal",
            )
        )

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def final(self, ledger: status_pb2.GetLedgerResponse) -> int:
        return sum(count for one in ledger.ledgers for count in one.final.values())

    def show(self, *, posted: int, ledger: status_pb2.GetLedgerResponse, summary: reports.RowSummary) -> None:
        final = self.final(ledger)
        handed = final + sum(one.sent for one in ledger.ledgers)
        self._progress.update(self._posted, completed=posted)
        self._progress.update(self._written, completed=summary.written)
        if ledger.ledgers:  # empty where the status role did not answer this time
            self._progress.update(self._accepted, completed=sum(one.accepted for one in ledger.ledgers))
            self._progress.update(self._handed, completed=handed)
            self._progress.update(self._final, completed=final)
