"""Runs the benchmarks: `python -m bench [--quick]`. Figures are this machine's, against the sandbox."""

import argparse
import asyncio
import tempfile
import time
from pathlib import Path

import structlog
from rich.console import Console

from bench import accept, report, sending, sizes, writing

_REPORT = Path("bench-report.json")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="bench", description="Measures on this machine, against the sandbox."
    )
    parser.add_argument("--quick", action="store_true", help="small counts: to see that it works")
    how_much = sizes.QUICK if parser.parse_args().quick else sizes.WHOLE
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))  # the sandbox's: warnings
    console = Console()
    made = asyncio.run(_measure(how_much, console))
    console.print(report.table(made))
    _REPORT.write_text(made.model_dump_json(indent=2) + "\n", encoding="utf-8")


async def _measure(how_much: sizes.Sizes, console: Console) -> report.Report:
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="smsbridge-bench-") as name:
        directory = Path(name)
        console.print("Accepting, in turn with a bare handler ...")
        accepted = await accept.measure(directory / "accept", how_much)
        console.print("Sending ...")
        sent = await sending.measure(directory / "sending", how_much, bare_per_second=accepted.bare.median)
        console.print("Writing to a portal without limits ...")
        written = await writing.measure(directory / "writing", how_much)
    return report.Report(
        machine=report.Machine.this(),
        seconds=round(time.monotonic() - started, 1),
        accept=accepted,
        sending=sent,
        writing=written,
    )


if __name__ == "__main__":
    main()
