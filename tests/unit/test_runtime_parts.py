"""Back-off, addresses, metrics of several processes, and loops that outlive their errors."""

import asyncio
import contextlib
import socket

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge

from smsbridge.runtime import addresses, metrics, retry, tasks


class Slept:
    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


async def test_backoff_doubles_up_to_its_cap() -> None:
    slept = Slept()
    backoff = retry.Backoff(first_seconds=1, cap_seconds=5, jitter=0)
    assert [n async for n in retry.attempts(backoff, limit=5, sleep=slept)] == [1, 2, 3, 4, 5]
    assert slept.seconds == [1, 2, 4, 5]


@pytest.mark.parametrize(("chance", "seconds"), [(0.0, 8.0), (0.5, 10.0), (1.0, 12.0)])
def test_jitter_goes_both_ways(chance: float, seconds: float) -> None:
    backoff = retry.Backoff(first_seconds=10, jitter=0.2)
    assert backoff.delay(1, rng=lambda: chance) == pytest.approx(seconds)
    assert backoff.delay(10_000, rng=lambda: 0.5) == 10


async def test_call_gives_the_last_error_to_its_caller() -> None:
    slept, calls = Slept(), 0

    async def fail() -> None:
        nonlocal calls
        calls += 1
        raise ConnectionError(str(calls))

    with pytest.raises(ConnectionError, match="3"):
        await retry.call(fail, retry_on=ConnectionError, limit=3, sleep=slept)
    assert (calls, len(slept.seconds)) == (3, 2)


async def test_call_does_not_repeat_other_errors() -> None:
    calls = 0

    async def fail() -> None:
        nonlocal calls
        calls += 1
        raise KeyError("x")

    with pytest.raises(KeyError):
        await retry.call(fail, retry_on=ConnectionError, limit=3, sleep=Slept())
    assert calls == 1


@pytest.mark.parametrize(
    ("text", "parts"),
    [("127.0.0.1:80", ("127.0.0.1", 80)), ("[::1]:8080", ("::1", 8080)), (":90", ("0.0.0.0", 90))],  # noqa: S104
)
def test_addresses(text: str, parts: tuple[str, int]) -> None:
    assert addresses.split(text) == parts


@pytest.mark.parametrize("text", ["", "localhost", "localhost:", "localhost:http", "h:70000"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match="no HOST:PORT"):
        addresses.split(text)


def test_a_wanted_port_is_kept_unless_it_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        other = addresses.free_port("127.0.0.1", wanted=taken)
    assert other != taken
    assert addresses.free_port("127.0.0.1", wanted=other) == other
    assert addresses.free_port("127.0.0.1", wanted=other, taken=frozenset({other})) != other


def page(**samples: int) -> bytes:
    registry = CollectorRegistry()
    counter = Counter("smsbridge_sent", "Sent.", ["channel"], registry=registry)
    for channel, count in samples.items():
        counter.labels(channel=channel).inc(count)
    Gauge("smsbridge_depth", "Depth.", registry=registry).set(7)
    return metrics.render(registry)


def test_merged_metrics_describe_each_family_once_and_name_the_role() -> None:
    lines = metrics.merge({"sender": page(sms=2), "status": page(viber=3)}).decode().splitlines()
    assert lines.count("# TYPE smsbridge_sent_total counter") == 1
    assert lines.count("# HELP smsbridge_depth Depth.") == 1
    assert 'smsbridge_sent_total{role="sender",channel="sms"} 2.0' in lines
    assert 'smsbridge_sent_total{role="status",channel="viber"} 3.0' in lines
    assert 'smsbridge_depth{role="sender"} 7.0' in lines
    depth = [n for n, line in enumerate(lines) if line.startswith("smsbridge_depth{")]
    assert depth[1] - depth[0] == 1  # a family's samples stand together


def test_merging_nothing_is_an_empty_page() -> None:
    assert metrics.merge({}) == b""


def test_metrics_of_a_provider_go_with_it() -> None:
    registry = CollectorRegistry()
    sent = Counter("smsbridge_sent", "Sent.", ["namespace", "provider", "channel"], registry=registry)
    of_providers = metrics.OfProviders(sent)
    for name in ("stays", "goes"):
        sent.labels("crm", name, "sms").inc()

    def shown(name: str) -> float | None:
        labels = {"namespace": "crm", "provider": name, "channel": "sms"}
        return registry.get_sample_value("smsbridge_sent_total", labels)

    of_providers.keep([("crm", "stays"), ("crm", "goes")])
    of_providers.keep([("crm", "stays")])
    assert (shown("stays"), shown("goes")) == (1.0, None)
    sent.labels("crm", "goes", "sms").inc()  # what was in hand
    of_providers.keep([("crm", "stays")])
    assert (shown("stays"), shown("goes")) == (1.0, None)
    sent.labels("crm", "goes", "sms").inc()  # another of that name
    of_providers.keep([("crm", "stays"), ("crm", "goes")])
    assert (shown("stays"), shown("goes")) == (1.0, 1.0)


async def test_a_loop_goes_on_after_an_error_and_counts_it() -> None:
    registry = CollectorRegistry()
    errors = Counter("errors", "Errors.", ["loop"], registry=registry)
    done = asyncio.Event()
    steps = 0

    async def step() -> float | None:
        nonlocal steps
        steps += 1
        if steps <= 2:
            raise ValueError("bad step")
        done.set()
        return None

    loops = tasks.Loops(errors=errors)
    loops.start("work", step, pause_seconds=60, error_pause_seconds=0)
    assert registry.get_sample_value("errors_total", {"loop": "work"}) == 0  # before its first step
    async with asyncio.timeout(5):
        await done.wait()
    await loops.stop()
    assert steps == 3
    assert registry.get_sample_value("errors_total", {"loop": "work"}) == 2


async def test_a_wake_ends_the_pause_and_stopping_finishes_the_step_in_hand() -> None:
    begun, allowed = asyncio.Queue[int](), asyncio.Event()
    finished = 0

    async def step() -> float | None:
        nonlocal finished
        begun.put_nowait(1)
        await allowed.wait()
        finished += 1
        return None

    loops = tasks.Loops()
    loop = loops.start("work", step, pause_seconds=3600)
    async with asyncio.timeout(5):
        await begun.get()
        loop.wake()
        allowed.set()
        await begun.get()  # a wake during a step makes the next one follow
        allowed.clear()
        loop.wake()
        await begun.get()
        stopping = asyncio.create_task(loops.stop())
        await asyncio.sleep(0)
        assert not stopping.done()
        allowed.set()
        await stopping
    assert finished == 3


async def test_a_step_that_does_not_end_is_cancelled_after_the_grace_time() -> None:
    async def step() -> float | None:
        await asyncio.Event().wait()
        return None

    loops = tasks.Loops()
    loops.start("stuck", step, pause_seconds=1)
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await loops.stop(grace_seconds=0.01)


async def test_whoever_ends_tasks_and_is_ended_meanwhile_leaves_none_running() -> None:
    async def stubborn() -> None:
        for _ in range(3):  # a driver may swallow a cancellation
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(60)

    inner = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    outer = asyncio.create_task(tasks.end(inner))
    await asyncio.sleep(0.1)
    await tasks.end(outer)
    assert (inner.done(), outer.cancelled()) == (True, True)
