"""From the door to SMSC: how fast, how soon, and what batches gain. Counted and timed at the sandbox."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from bench import accept, load, processes, report, stand
from bench.letters import Letter
from bench.sizes import Sizes
from bench.stand import Plan, Stand
from smsbridge.sandbox.orders import MessageOrigin

_LATENCY_MS = 50.0
_LIVE, _QUEUE, _HUNDREDS, _SINGLES = "live", "queue", "hundreds", "singles"
_PLANS = (
    Plan(_LIVE),
    Plan(_QUEUE, paused=True),
    Plan(_HUNDREDS, login="slow", paused=True),
    Plan(_SINGLES, login="slow", paused=True, batching={"maxNumbers": 1}),
)
_CARDS_PER_SECOND = 20.0
_SENT_SECONDS = 90.0
_UPDATES_A_REQUEST = 50


async def measure(directory: Path, sizes: Sizes, *, bare_per_second: float) -> report.SendingReport:
    async with stand.running(directory, *_PLANS, latency_ms={"slow": _LATENCY_MS}) as running:
        bench = _Sending(running, sizes)
        idle_mib = processes.memory_mib(running.data)
        await bench.settle()
        interactive_idle = await bench.interactive()
        interactive_busy, paced = await bench.interactive_in_broadcast()
        door = accept.rate([await bench.door() for _ in range(sizes.rounds)])
        through_sender = await bench.emptied(_QUEUE, sizes.through_sender)
        hundreds = await bench.emptied(_HUNDREDS, sizes.gain, latency_ms=_LATENCY_MS)
        singles = await bench.emptied(_SINGLES, sizes.gain, latency_ms=_LATENCY_MS)
        portal = await bench.portal()
        allowed = running.portal.settings.requests.leak_per_second * _UPDATES_A_REQUEST
        _, unaccounted = await running.books()
        return report.SendingReport(
            door=door,
            share=round(door.median / bare_per_second, 3),
            paced=paced,
            paced_per_second=accept.PACED_PER_SECOND,
            interactive_idle=interactive_idle,
            interactive_in_broadcast=interactive_busy,
            broadcast=sizes.broadcast,
            sender_numbers_per_second=round(through_sender, 1),
            sender_numbers=sizes.through_sender,
            hundreds_per_second=round(hundreds, 1),
            singles_per_second=round(singles, 1),
            gain=round(hundreds / singles, 1),
            gain_numbers=sizes.gain,
            gain_latency_ms=_LATENCY_MS,
            portal_per_second=round(portal, 1),
            portal_allowed_per_second=allowed,
            portal_share=round(portal / allowed, 3),
            portal_503=running.portal.seen.status_503,
            journalled=accept.journalled(await running.metrics()),
            unaccounted=unaccounted,
            memory_idle_mib=idle_mib,
            memory_mib=processes.memory_mib(running.data),
        )


class _Sending:
    def __init__(self, running: Stand, sizes: Sizes) -> None:
        self._stand = running
        self._sizes = sizes

    def _letter(self, name: str, count: int, *, per_second: float = 0.0) -> Letter:
        letter = self._stand.letter(name, count, per_second=per_second)
        self._stand.add_rows(letter)
        return letter

    def _cards(self) -> Letter:
        """Each with a text of its own, as people write them."""
        letter = self._stand.letter(
            _LIVE,
            self._sizes.interactive,
            origin=MessageOrigin.CARD,
            text="Ваш заказ {n} собран, ждём вас.",
            per_second=_CARDS_PER_SECOND,
        )
        self._stand.add_rows(letter)
        return letter

    async def settle(self) -> None:
        """Warm, and status.php has proved that it knows our ids, so that permits are no longer one by one."""
        letter = self._letter(_LIVE, self._sizes.warm)
        await load.post(letter)
        await self._sent(letter)

    async def interactive(self) -> report.Spread:
        letter = self._cards()
        (measured,) = await load.post(letter)
        return await self._hand_over(letter, measured)

    async def interactive_in_broadcast(self) -> tuple[report.Spread, report.Spread]:
        """The hand-over of interactive messages, and the answers to the broadcast's posts."""
        cards = self._cards()
        broadcast = self._letter(_LIVE, self._sizes.broadcast, per_second=accept.PACED_PER_SECOND)
        measured, posted = await load.post(cards, broadcast)
        spread = await self._hand_over(cards, measured)
        await self._sent(broadcast)
        return spread, report.Spread.of(posted.took)

    async def door(self) -> load.Measured:
        letter = self._letter(_LIVE, self._sizes.door)
        (measured,) = await load.post(letter)
        await self._sent(letter)
        return measured

    async def emptied(self, name: str, count: int, *, latency_ms: float = 0.0) -> float:
        """Numbers a second at SMSC while a full queue empties: from the first request's start to the last's end."""
        letter = self._letter(name, count)
        await load.post(letter)
        self._stand.pause(name, paused=False)
        times = sorted(await self._sent(letter))
        self._stand.pause(name, paused=True)
        return len(times) / (times[-1] - times[0] + latency_ms / 1000)

    async def portal(self) -> float:
        """Updates a second over a while in which nothing else goes on and enough of them wait."""
        seconds = self._sizes.portal_window_seconds
        before = self._written()
        await asyncio.sleep(seconds)
        return (self._written() - before) / seconds

    def _written(self) -> int:
        return sum(row.writes for row in self._stand.portal.rows.values())

    async def _hand_over(self, letter: Letter, measured: load.Measured) -> report.Spread:
        taken_at = await self._sent(letter)
        offset = self._stand.clock_offset
        return report.Spread.of([at - offset - due for at, due in zip(taken_at, measured.due, strict=True)])

    async def _sent(self, letter: Letter) -> Sequence[float]:
        """When send.php took each message of the letter, in its order, by the sandbox's clock."""
        phones = [letter.phone(number).lstrip("+") for number in range(letter.count)]
        account = self._stand.account("slow" if letter.code in (_HUNDREDS, _SINGLES) else "plain")
        taken: dict[str, float] = {}
        seen = 0

        async def all_of_them() -> bool:
            nonlocal seen
            for message in account.messages[seen:]:
                if message.accepted:
                    taken[message.phone] = message.accepted_at
            seen = len(account.messages)
            return taken.keys() >= set(phones)

        await self._stand.until(all_of_them, what=f"the letter at {letter.code}", seconds=_SENT_SECONDS)
        return [taken[phone] for phone in phones]
