"""Runs the benchmarks: `python -m bench [--quick] [--only PART]`. Its figures are this machine's."""

import argparse
import asyncio
import logging
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import structlog
from pydantic import BaseModel
from rich.console import Console

from bench import accept, numbers, reconciling, report, sending, sizes, tables, writing

_REPORT = Path("bench-report.json")
_Measure = Callable[[Path, sizes.Sizes], Awaitable[BaseModel]]
_PARTS: dict[str, _Measure] = {
    "accept": accept.measure,
    "sending": sending.measure,
    "writing": writing.measure,
    "numbers": numbers.measure,
    "operator": reconciling.measure,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench", description="Measures on this machine, with the sandbox.")
    parser.add_argument("--quick", action="store_true", help="small counts: only to see that it works")
    parser.add_argument("--only", choices=_PARTS, action="append", help="one part; may be given again")
    given = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    console = Console()
    made = asyncio.run(
        _measure(given.only or list(_PARTS), sizes.QUICK if given.quick else sizes.WHOLE, console)
    )
    tables.show(made, console)
    _REPORT.write_text(made.model_dump_json(indent=2) + "\n", encoding="utf-8")


async def _measure(parts: Sequence[str], how_much: sizes.Sizes, console: Console) -> report.Report:
    started = time.monotonic()
    watch = report.CpuWatch()
    found: dict[str, BaseModel] = {}
    with tempfile.TemporaryDirectory(prefix="smsbridge-bench-") as name:
        for part, measure in _PARTS.items():
            if part in parts:
                console.print(f"Measuring: {part} ...")
                found[part] = await measure(Path(name) / part, how_much)
    seconds = time.monotonic() - started
    return report.Report.model_validate(
        {"seconds": round(seconds, 1), "machine": watch.machine(seconds=seconds), **found}
    )


if __name__ == "__main__":
    main()
