"""How many posts a second the door takes, durably, against a bare handler: the runs of both alternate."""

from collections import Counter
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from bench import bare, load, processes, report, stand
from bench.letters import Letter
from bench.sizes import Sizes

PACED_PER_SECOND = 500.0
_DOOR = "door"


async def measure(directory: Path, sizes: Sizes) -> report.AcceptReport:
    plan = stand.Plan(_DOOR, paused=True)
    async with stand.running(directory, plan) as running, bare.running() as bare_url:

        def letter(count: int, *, to_bare: bool = False, per_second: float = 0.0) -> Letter:
            made = running.letter(_DOOR, count, per_second=per_second)
            running.add_rows(made)
            return made.model_copy(update={"url": bare_url}) if to_bare else made

        await load.post(letter(sizes.warm, to_bare=True))
        await load.post(letter(sizes.warm))
        bare_runs, door_runs = [], []
        spent: Counter[str] = Counter()
        for _ in range(sizes.rounds):
            bare_runs += await load.post(letter(sizes.bare, to_bare=True))
            before = processes.cpu_ms(running.data)
            door_runs += await load.post(letter(sizes.door))
            for name, after in processes.cpu_ms(running.data).items():
                spent[name] += after - before[name]
        (paced,) = await load.post(letter(sizes.paced, per_second=PACED_PER_SECOND))
        _, unaccounted = await running.books()
        bare_rate, door_rate = rate(bare_runs), rate(door_runs)
        return report.AcceptReport(
            body_bytes=len(running.letter(_DOOR, 1).bodies()[0]),
            bare=bare_rate,
            door=door_rate,
            share=round(door_rate.median / bare_rate.median, 3),
            journalled=journalled(await running.metrics()),
            unaccounted=unaccounted,
            paced=report.Spread.of(paced.took),
            paced_per_second=PACED_PER_SECOND,
            cpu_ms_a_post={name: round(ms / sizes.door / sizes.rounds, 4) for name, ms in spent.items()},
        )


def rate(runs: list[load.Measured]) -> report.Rate:
    return report.Rate(
        runs=[round(run.per_second, 1) for run in runs], refused=sum(run.refused for run in runs)
    )


def journalled(page: str) -> int:
    """Messages that the gateway put into its journal since its start."""
    return sum(
        round(sample.value)
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.name == "smsbridge_gateway_accepts_total" and sample.labels["result"] == "journalled"
    )
