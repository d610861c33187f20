"""Runs the benchmarks: `python -m bench [--posts N]`."""

import argparse
import asyncio
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench import accept

_REPORT = Path("bench-report.json")


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench", description="Measures on this machine.")
    parser.add_argument("--posts", type=int, default=20_000, help="messages posted to the door")
    posts: int = parser.parse_args().posts
    report = asyncio.run(accept.measure(posts))
    table = Table("What", "How much", title="smsbridge bench")
    table.add_row("posts to the door", f"{report.posts}, {report.refused} not answered 200")
    table.add_row("accepted a second", f"{report.per_second:.0f}")
    table.add_row("answer, median and 99 %", f"{report.p50_ms:.1f} ms, {report.p99_ms:.1f} ms")
    table.add_row("a bare handler a second", f"{report.bare_per_second:.0f}")
    table.add_row("share of the bare handler", f"{report.share:.2f}")
    for name, megabytes in report.memory_mb.items():
        spent = report.cpu_ms_a_post[name]
        table.add_row(name, f"{spent:.3f} ms CPU a post, {megabytes:.0f} MiB")
    Console().print(table)
    _REPORT.write_text(report.model_dump_json(indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
