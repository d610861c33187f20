"""Statuses are written as fast as a portal's limits allow, and never faster: counted by the portal's clock.

A portal answers 503 above its bucket of requests and 429 above a method's operating time. Rates are told as
a share of what the limit allows in the same span of the portal's time, so a slow machine changes nothing as
long as it can write that fast at all.
"""

from collections import Counter
from pathlib import Path

import pytest

from tests.flow import harness

pytestmark = pytest.mark.slow

BATCH = 50
UPDATE_SECONDS = 0.02  # operating time of one status update


async def updates(stack: harness.Stack) -> list[tuple[float, int]]:
    """Every batch of updates that reached the portal: when, by its clock, and how many rows it changed."""
    counted = Counter(at for row in await stack.rows() for at, _, by in row.history if by == "app")
    return sorted(counted.items())


async def test_statuses_are_written_at_95_percent_of_the_request_limit_without_a_503(tmp_path: Path) -> None:
    """Two requests a second above a bucket of 50, as Bitrix24 has it: a hundred updates a second at most."""
    leak = 2.0
    settings = harness.sandbox_settings(requests={"leak_per_second": leak, "block_above": 50.0})
    config = {"store": {"times": {"portal_quiet_ms": 8000}}}
    async with harness.running(tmp_path, config=config, settings=settings) as stack:
        await stack.posted(await stack.broadcast(harness.good_phones(3600), concurrency=64))
        await stack.rows_right(seconds=90)
        traffic = await stack.control.traffic(harness.DOMAIN)
        assert (traffic.status_503, traffic.status_429, traffic.largest_batch) == (0, 0, BATCH)
        # The bucket is full after the first 39; from then on the limit alone sets the pace.
        steady = (await updates(stack))[45:-1]
        seconds = steady[-1][0] - steady[0][0]
        written = sum(rows for _, rows in steady[1:])
        print("MEASURED", len(steady), written / (BATCH * leak * seconds))
        assert len(steady) >= 20
        assert written >= 0.95 * BATCH * leak * seconds
        assert (await stack.control.summary(harness.DOMAIN)).writes == 3600


async def test_95_percent_of_the_operating_time_is_used_without_a_429(tmp_path: Path) -> None:
    """The documented 480 s in 600 s, a twentieth of both; 20 ms an update, so one batch takes a second of 24.

    A batch that is not full would be a coarse part of that: one message goes ahead, the others wait for it.
    """
    window, limit = 30.0, 24.0
    operating = {"enabled": True, "limit_seconds": limit, "window_seconds": window}
    settings = harness.sandbox_settings(operating=operating)
    config = {
        "store": {"times": {"portal_quiet_ms": 5000}},
        "status": {"portal_linger_seconds": 60.0},
        "portal": {
            "requests_per_second": 20.0,
            "operating_limit_seconds": limit,
            "operating_window_seconds": window,
        },
    }
    async with harness.running(tmp_path, config=config, settings=settings) as stack:
        await stack.posted(await stack.broadcast(harness.good_phones(1, start=5000), text="Первое"))
        await stack.rows_right(seconds=30)
        await stack.posted(await stack.broadcast(harness.good_phones(30 * BATCH)))
        await stack.rows_right(seconds=90)
        traffic = await stack.control.traffic(harness.DOMAIN)
        assert (traffic.status_503, traffic.status_429, traffic.largest_batch) == (0, 0, BATCH)
        used = [(at, rows * UPDATE_SECONDS) for at, rows in (await updates(stack))[1:]]
        first, last = used[0][0], used[-1][0]
        print("MEASURED", sum(c for at, c in used if at < first + window * 0.9) / limit, sum(c for _, c in used) / (limit * (last - first) / window), last - first)
        # Ten buckets: the oldest of them leaves after nine to ten tenths of the window.
        assert sum(cost for at, cost in used if at < first + window * 0.9) >= 0.95 * limit
        assert sum(cost for _, cost in used) >= 0.95 * limit * (last - first) / window
        assert last - first > window * 0.9  # it did wait for the limit
