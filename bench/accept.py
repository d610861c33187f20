"""How many posts a second the door takes, durably, against a bare handler: the runs of both alternate."""

from collections import defaultdict
from pathlib import Path

from bench import bare, load, processes, stand
from bench.letters import Letter
from bench.plans import Plan
from bench.report import AcceptReport, Rate, Spread
from bench.sizes import Sizes

PACED_PER_SECOND = 500.0
_DOOR = "door"


async def measure(directory: Path, sizes: Sizes) -> AcceptReport:
    async with stand.running(directory, Plan(_DOOR, paused=True)) as running, bare.running() as yardstick:
        bench = _Accepting(running, yardstick)
        await bench.post_to_bare(sizes.warm)
        await bench.post(sizes.warm)
        bare_runs, door_runs = [], []
        bench.spent.clear()
        for _ in range(sizes.rounds):
            bare_runs.append(await bench.post_to_bare(sizes.bare))
            door_runs.append(await bench.post(sizes.door))
        spent = {name: round(ms / sizes.door / sizes.rounds, 4) for name, ms in bench.spent.items()}
        bare_ms = spent.pop(_BARE) * sizes.door / sizes.bare
        paced = await load.post(bench.letter(sizes.paced, per_second=PACED_PER_SECOND))
        running.posted(paced)
        bare_rate = Rate.of([run.per_second for run in bare_runs])
        door_rate = Rate.of([run.per_second for run in door_runs])
        sample = bench.letter(1)
        return AcceptReport(
            connections=sample.connections,
            body_bytes=len(sample.bodies()[0]),
            bare=bare_rate,
            door=door_rate,
            share=round(door_rate.median / bare_rate.median, 3),
            paced=Spread.of(paced[0].took),
            paced_per_second=PACED_PER_SECOND,
            cpu_ms_a_post=spent,
            bare_cpu_ms_a_post=round(bare_ms, 4),
            books=await running.books(),
        )


_BARE = "bare handler"


class _Accepting:
    def __init__(self, running: stand.Stand, yardstick: bare.Bare) -> None:
        self._stand = running
        self._bare = yardstick
        self.spent: defaultdict[str, float] = defaultdict(
            float
        )  # CPU milliseconds by process, while it was posted to

    def letter(self, count: int, *, per_second: float = 0.0) -> Letter:
        letter = self._stand.letter(_DOOR, count, per_second=per_second)
        self._stand.add_rows(letter)
        return letter

    async def post(self, count: int) -> load.Measured:
        letter = self.letter(count)
        before = processes.cpu_ms(self._stand.data)
        measured = await load.post(letter)
        for name, after in processes.cpu_ms(self._stand.data).items():
            self.spent[name] += after - before[name]
        self._stand.posted(measured)
        return measured[0]

    async def post_to_bare(self, count: int) -> load.Measured:
        """The same forms by the same client; only the address is another."""
        letter = self.letter(count).model_copy(update={"url": self._bare.url})
        before = processes.spent_ms(self._bare.pid)
        (measured,) = await load.post(letter)
        self.spent[_BARE] += processes.spent_ms(self._bare.pid) - before
        if measured.not_200:
            raise load.LoadFailed("the bare handler refused posts: there is nothing to compare with")
        return measured
