"""Group commit: who travels together, and who is told what."""

import asyncio
from collections.abc import Sequence

import pytest

from smsbridge.core import errors
from smsbridge.rpc.coalescer import Coalescer, Limits


class Peer:
    """Calls that end when the test says so."""

    def __init__(self) -> None:
        self.calls: list[tuple[list[int], asyncio.Future[None]]] = []

    async def __call__(self, items: list[int], seconds: float) -> Sequence[int]:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.calls.append((items, future))
        await future
        return [item * 10 for item in items]

    @property
    def batches(self) -> list[list[int]]:
        return [items for items, _ in self.calls]

    def finish(self, number: int) -> None:
        self.calls[number][1].set_result(None)

    def fail(self, number: int, error: Exception) -> None:
        self.calls[number][1].set_exception(error)


async def turns(number: int = 5) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


async def test_items_of_one_turn_and_of_one_wait_travel_together() -> None:
    peer = Peer()
    coalescer = Coalescer(peer, limits=Limits(second_from=100))
    first = [coalescer.submit(1), coalescer.submit(2)]
    await turns()
    second = [coalescer.submit(number) for number in (3, 4, 5)]
    await turns()
    assert peer.batches == [[1, 2]]
    peer.finish(0)
    await turns()
    assert peer.batches == [[1, 2], [3, 4, 5]]
    peer.finish(1)
    assert await asyncio.gather(*first, *second) == [10, 20, 30, 40, 50]


async def test_a_second_call_starts_when_enough_wait_but_never_a_third() -> None:
    peer = Peer()
    coalescer = Coalescer(peer, limits=Limits(second_from=3))
    futures = [coalescer.submit(0)]
    await turns()
    futures += [coalescer.submit(number) for number in (1, 2)]
    await turns()
    assert peer.batches == [[0]]
    futures.append(coalescer.submit(3))
    await turns()
    assert peer.batches == [[0], [1, 2, 3]]
    futures += [coalescer.submit(number) for number in range(4, 10)]
    await turns()
    assert len(peer.calls) == 2
    peer.finish(1)
    await turns()
    assert peer.batches[2] == [4, 5, 6, 7, 8, 9]
    peer.finish(0)
    peer.finish(2)
    assert await asyncio.gather(*futures) == [number * 10 for number in range(10)]


@pytest.mark.parametrize(
    ("limits", "weights", "batches"),
    [
        (Limits(max_items=2, max_in_flight=5, second_from=1), [0] * 5, [[0, 1], [2, 3], [4]]),
        (Limits(max_weight=10, max_in_flight=5, second_from=1), [4, 4, 4, 20, 1], [[0, 1], [2], [3], [4]]),
    ],
)
async def test_a_call_is_limited_in_items_and_weight(
    limits: Limits, weights: list[int], batches: list[list[int]]
) -> None:
    peer = Peer()
    coalescer = Coalescer(peer, limits=limits)
    futures = [coalescer.submit(number, weight=weight) for number, weight in enumerate(weights)]
    await turns()
    assert peer.batches == batches
    for number in range(len(batches)):
        peer.finish(number)
    await asyncio.gather(*futures)


async def test_an_error_is_everybodys_and_away_also_theirs_who_wait() -> None:
    peer = Peer()
    coalescer = Coalescer(peer, limits=Limits(second_from=100))
    travelling = coalescer.submit(1)
    await turns()
    waiting = coalescer.submit(2)
    peer.fail(0, errors.ServiceAway("gone"))
    results = await asyncio.gather(travelling, waiting, return_exceptions=True)
    assert [type(result) for result in results] == [errors.ServiceAway] * 2
    assert peer.batches == [[1]]


async def test_another_error_leaves_those_who_wait_their_own_call() -> None:
    peer = Peer()
    coalescer = Coalescer(peer, limits=Limits(second_from=100))
    travelling = coalescer.submit(1)
    await turns()
    waiting = coalescer.submit(2)
    peer.fail(0, errors.InputError("bad"))
    await turns()
    peer.finish(1)
    assert await waiting == 20
    with pytest.raises(errors.InputError):
        await travelling


async def test_the_time_of_waiting_counts() -> None:
    seconds: list[float] = []

    async def call(items: list[int], left: float) -> Sequence[int]:
        seconds.append(left)
        return items

    await Coalescer(call, limits=Limits(timeout_seconds=0.5)).submit(1)
    assert 0.4 < seconds[0] <= 0.5
    with pytest.raises(errors.Away):
        await Coalescer(call, limits=Limits(timeout_seconds=0)).submit(1)
    assert len(seconds) == 1


async def test_an_answer_of_another_length_is_no_answer() -> None:
    async def call(items: list[int], left: float) -> Sequence[int]:
        return items[1:]

    with pytest.raises(errors.Uncertain):
        await Coalescer(call).submit(1)


async def test_who_went_away_is_left_out() -> None:
    peer = Peer()
    coalescer = Coalescer(peer, limits=Limits(second_from=100))
    futures = [coalescer.submit(number) for number in range(3)]
    futures[1].cancel()
    await turns()
    assert peer.batches == [[0, 2]]
    futures[0].cancel()
    peer.finish(0)
    assert await futures[2] == 20
    await coalescer.close()


async def test_close_waits_for_what_is_in_hand() -> None:
    peer = Peer()
    coalescer = Coalescer(peer, limits=Limits(second_from=100))
    first = coalescer.submit(1)
    await turns()
    second = coalescer.submit(2)
    closing = asyncio.create_task(coalescer.close())
    await turns()
    peer.finish(0)
    await turns()
    assert not closing.done()
    peer.finish(1)
    await closing
    assert (first.result(), second.result()) == (10, 20)
