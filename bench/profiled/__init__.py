"""Profiles of the product's processes: `BENCH_PROFILE=DIR python -m bench` leaves ROLE-PID.pstats in DIR.

For finding hot spots only: a profiled run is several times slower, and its figures mean nothing.
"""

from collections.abc import Mapping
from pathlib import Path

VARIABLE = "BENCH_PROFILE"
_HOOK = Path(__file__).resolve().parent / "hook"


def environment(current: Mapping[str, str]) -> dict[str, str]:
    """For the product's processes: with the hook on Python's path where profiles are asked for."""
    directory = current.get(VARIABLE, "")
    if not directory:
        return dict(current)
    path = ":".join(part for part in (str(_HOOK), current.get("PYTHONPATH", "")) if part)
    return {**current, VARIABLE: str(Path(directory).resolve()), "PYTHONPATH": path}
