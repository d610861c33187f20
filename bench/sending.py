"""From the door to SMSC: how fast, how soon, and what batches gain. Counted and timed at the sandbox."""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

from bench import accept, load, processes, report, stand
from bench.letters import Letter
from bench.plans import Plan
from bench.report import SendingReport, Spread
from bench.sizes import Sizes
from smsbridge.sandbox.orders import MessageOrigin

_LATENCY_MS = 50.0
_LIVE, _QUEUE, _SLOW, _HUNDREDS, _SINGLES = "live", "queue", "slow", "hundreds", "singles"
_PLANS = (
    Plan(_LIVE),
    Plan(_QUEUE, paused=True),
    Plan(_SLOW, login="slow"),
    Plan(_HUNDREDS, login="slow", paused=True),
    Plan(_SINGLES, login="slow", paused=True, batching={"maxNumbers": 1}),
)
_LOGINS = {plan.name: plan.login for plan in _PLANS}
_CARDS_PER_SECOND = 20.0
_SENT_SECONDS = 90.0
_UPDATES_A_REQUEST = 50


async def measure(directory: Path, sizes: Sizes) -> SendingReport:
    async with stand.running(directory, *_PLANS, latency_ms={"slow": _LATENCY_MS}) as running:
        bench = _Sending(running, sizes)
        idle_mib = processes.memory_mib(running.data)
        await bench.settle()
        interactive_idle = await bench.interactive()
        interactive_busy, paced = await bench.interactive_in_broadcast()
        door = report.Rate.of([await bench.door() for _ in range(sizes.rounds)])
        through_sender = report.per_second(await bench.emptied(_QUEUE, sizes.through_sender))
        hundreds = _whole_rate(await bench.emptied(_HUNDREDS, sizes.gain))
        singles = _whole_rate(await bench.emptied(_SINGLES, sizes.gain))
        portal = await bench.portal()
        allowed = running.portal.settings.requests.leak_per_second * _UPDATES_A_REQUEST
        ledger = await running.ledger()
        return SendingReport(
            door=door,
            paced=paced,
            paced_per_second=accept.PACED_PER_SECOND,
            interactive_idle=interactive_idle,
            interactive_in_broadcast=interactive_busy,
            broadcast=sizes.broadcast,
            sender_numbers=sizes.through_sender,
            sender_numbers_per_second=round(through_sender, 1),
            gain=round(hundreds / singles, 1),
            gain_numbers=sizes.gain,
            gain_latency_ms=_LATENCY_MS,
            hundreds_per_second=round(hundreds, 1),
            singles_per_second=round(singles, 1),
            portal_per_second=round(portal, 1),
            portal_allowed_per_second=allowed,
            portal_share=round(portal / allowed, 3),
            portal_waiting=sum(one.portal_outbox for one in ledger.ledgers),
            portal_503=running.portal.seen.status_503,
            memory_idle_mib=idle_mib,
            memory_mib=processes.memory_mib(running.data),
            books=await running.books(),
        )


def _whole_rate(times: Sequence[float]) -> float:
    """From the start of the first request to the end of the last: requests are on their way for a while."""
    return len(times) / (max(times) - min(times) + _LATENCY_MS / 1000)


class _Sending:
    def __init__(self, running: stand.Stand, sizes: Sizes) -> None:
        self._stand = running
        self._sizes = sizes

    async def settle(self) -> None:
        """Warm; and a new account has had its first success, until which requests go one by one."""
        for name, count in ((_LIVE, self._sizes.warm), (_SLOW, 1)):
            letter = self._letter(name, count)
            await self._post(letter)
            await self._sent(letter)

    async def interactive(self) -> Spread:
        letter = self._cards()
        (measured,) = await self._post(letter)
        return await self._hand_over(letter, measured)

    async def interactive_in_broadcast(self) -> tuple[Spread, Spread]:
        """The hand-over of interactive messages, and the answers to the broadcast's posts."""
        cards = self._cards()
        broadcast = self._letter(_LIVE, self._sizes.broadcast, per_second=accept.PACED_PER_SECOND)
        measured, posted = await self._post(cards, broadcast)
        spread = await self._hand_over(cards, measured)
        await self._sent(broadcast)
        return spread, Spread.of(posted.took)

    async def door(self) -> float:
        letter = self._letter(_LIVE, self._sizes.while_sending)
        (measured,) = await self._post(letter)
        await self._sent(letter)
        return measured.per_second

    async def emptied(self, name: str, count: int) -> Sequence[float]:
        """When each number was at SMSC, of a queue that was full and then let go."""
        letter = self._letter(name, count)
        await self._post(letter)
        self._stand.pause(name, paused=False)
        return await self._sent(letter)

    async def portal(self) -> float:
        """Updates a second over a while in which nothing else goes on, from one batch to a later one."""
        began, before = await self._next_batch()
        await asyncio.sleep(self._sizes.portal_window_seconds)
        ended, after = await self._next_batch()
        return (after - before) / (ended - began)

    async def _next_batch(self) -> tuple[float, int]:
        """When it came, and what was written until then; gives up on one that does not come."""
        seen = self._stand.portal.seen
        batches, deadline = seen.batches, time.monotonic() + 5.0
        while seen.batches == batches and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        return time.monotonic(), sum(row.writes for row in self._stand.portal.rows.values())

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

    async def _post(self, *letters: Letter) -> list[load.Measured]:
        measured = await load.post(*letters)
        self._stand.posted(measured)
        return measured

    async def _hand_over(self, letter: Letter, measured: load.Measured) -> Spread:
        taken_at = await self._sent(letter)
        offset = self._stand.clock_offset
        return Spread.of([at - offset - due for at, due in zip(taken_at, measured.due, strict=True)])

    async def _sent(self, letter: Letter) -> Sequence[float]:
        """When send.php took each message of the letter, in its order, by the sandbox's clock."""
        phones = [letter.phone(number).lstrip("+") for number in range(letter.count)]
        wanted = set(phones)
        account = self._stand.account(_LOGINS[letter.code])
        taken: dict[str, float] = {}
        seen = 0

        async def all_of_them() -> bool:
            nonlocal seen
            new = account.messages[seen:]
            seen += len(new)
            taken.update({m.phone: m.accepted_at for m in new if m.accepted and m.phone in wanted})
            return len(taken) == len(wanted)

        await self._stand.until(all_of_them, what=f"the letter at {letter.code}", seconds=_SENT_SECONDS)
        return [taken[phone] for phone in phones]
