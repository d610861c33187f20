"""Development in a cluster: a command follows its sources. A real process, waited for by what it writes."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

SCRIPT = (
    "import pathlib, sys, time; from smsbridge.runtime import addresses;"
    "pathlib.Path(sys.argv[1]).write_text(f'{addresses.__file__} {getattr(addresses, \"MARK\", 0)}');"
    "time.sleep(600)"
)


@pytest.fixture
def told(tmp_path: Path) -> Path:
    return tmp_path / "told"


@pytest.fixture
def sources(tmp_path: Path, told: Path) -> Iterator[Path]:
    directory = tmp_path / "live"
    command = [sys.executable, "-m", "smsbridge.runtime.live", str(directory)]
    process = subprocess.Popen([*command, sys.executable, "-c", SCRIPT, str(told)])
    try:
        yield directory
    finally:
        process.terminate()
        process.wait(20)


def wait(told: Path, text: str) -> None:
    deadline = time.monotonic() + 20
    while not told.exists() or told.read_text() != text:
        assert time.monotonic() < deadline, (
            f"{told.read_text() if told.exists() else 'nothing'!r}, not {text!r}"
        )
        time.sleep(0.05)


def test_a_changed_source_is_run(sources: Path, told: Path) -> None:
    module = sources / "smsbridge" / "runtime" / "addresses.py"
    wait(told, f"{module} 0")

    module.write_text(module.read_text() + "\nMARK = 7\n")

    wait(told, f"{module} 7")


def test_what_fell_over_starts_again_once_it_is_mended(sources: Path, told: Path) -> None:
    module = sources / "smsbridge" / "runtime" / "addresses.py"
    wait(told, f"{module} 0")
    good = module.read_text()

    module.write_text(
        f"import pathlib; pathlib.Path({str(told)!r}).write_text('fell over'); raise ValueError"
    )
    wait(told, "fell over")
    module.write_text(good)

    wait(told, f"{module} 0")
