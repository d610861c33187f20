"""Updates a second through the writer of portal statuses, where the portal and our limiter set no limits."""

from pathlib import Path

from bench import load, report, stand
from bench.plans import Plan
from bench.sizes import Sizes

_QUEUE = "queue"
_NO_LIMITS = {"portal": {"requests_per_second": 1000.0, "burst": 1000, "operating_limit_seconds": 0}}


async def measure(directory: Path, sizes: Sizes) -> report.WritingReport:
    """The messages leave a full queue together, so that their statuses fall due together."""
    plan = Plan(_QUEUE, paused=True)
    async with stand.running(directory, plan, config=_NO_LIMITS, portal_limited=False) as running:
        letter = running.letter(_QUEUE, sizes.writing)
        rows = running.add_rows(letter)
        await load.post(letter)
        calls_before = running.portal.seen.batches
        running.pause(_QUEUE, paused=False)

        async def written() -> bool:
            return all(row.writes for row in rows)

        await running.until(written, what="the statuses in the portal")
        times = [at for row in rows for at, _, by in row.history if by == "app"]
        return report.WritingReport(
            updates=len(times),
            updates_per_second=round(report.per_second(times), 1),
            calls=running.portal.seen.batches - calls_before,
        )
