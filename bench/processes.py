"""CPU and memory of each process of a `run all`, by role."""

from collections.abc import Sequence
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from smsbridge.runtime import rundir


def of(data: Path) -> dict[str, psutil.Process]:
    found = rundir.read(data)
    if found is None:
        return {}
    supervisor = psutil.Process(found.pid)
    return {"supervisor": supervisor} | {_name(child.cmdline()): child for child in supervisor.children()}


def cpu_ms(data: Path) -> dict[str, float]:
    """Spent so far, by process."""
    return {name: spent_ms(process.pid) for name, process in of(data).items()}


def spent_ms(pid: int) -> float:
    """The kernel counts in hundredths of a second."""
    times = psutil.Process(pid).cpu_times()
    spent: float = (times.user + times.system) * 1000
    return spent


def memory_mib(data: Path) -> dict[str, float]:
    """Resident."""
    return {name: round(process.memory_info().rss / 2**20, 1) for name, process in of(data).items()}


def _name(command: Sequence[str]) -> str:
    return command[command.index("run") + 1] if "run" in command else "store"
