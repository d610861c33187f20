"""Runs a command on sources that change under it: `python -m smsbridge.runtime.live DIRECTORY COMMAND...`

For development in a cluster only (skaffold.yaml), where nobody can write to the image: the installed packages
are copied to DIRECTORY, COMMAND imports them from there, and is started again when a file there has changed.
Several containers of a pod may share the directory.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType

_LOOK_SECONDS = 0.5
_SUFFIXES = frozenset({".py", ".lua"})


def main(arguments: list[str]) -> int:
    directory, *command = arguments
    sources = Path(directory)
    _copy(Path(__file__).parents[2], sources)
    watch = _Watch(sources, command)
    signal.signal(signal.SIGTERM, watch.stop)
    signal.signal(signal.SIGINT, watch.stop)
    return watch.run()


def _copy(installed: Path, sources: Path) -> None:
    """What is there already stays: it is newer."""
    sources.mkdir(parents=True, exist_ok=True)
    for package in installed.glob("smsbridge*"):
        if not (package / "__init__.py").exists() or (sources / package.name).exists():
            continue
        with tempfile.TemporaryDirectory(dir=sources) as draft:
            copied = shutil.copytree(package, Path(draft, package.name))
            try:
                copied.rename(sources / package.name)
            except OSError:  # another container was quicker
                continue


class _Watch:
    def __init__(self, sources: Path, command: list[str]) -> None:
        self._sources = sources
        self._command = command
        self._stopping = False

    def stop(self, _signal: int, _frame: FrameType | None) -> None:
        self._stopping = True

    def run(self) -> int:
        """Until it is told to stop; gives the command's own code."""
        environment = {**os.environ, "PYTHONPATH": str(self._sources)}
        while True:
            seen = self._state()
            child = subprocess.Popen(self._command, env=environment)  # noqa: S603 (the caller's own command)
            while child.poll() is None and not self._stopping and self._state() == seen:
                time.sleep(_LOOK_SECONDS)
            if child.poll() is None:
                child.terminate()
            code = child.wait()
            while not self._stopping and self._state() == seen:  # it fell over: wait for what mends it
                time.sleep(_LOOK_SECONDS)
            if self._stopping:
                return code

    def _state(self) -> dict[str, int]:
        found = {}
        for path in self._sources.rglob("*"):
            if path.suffix in _SUFFIXES:
                try:
                    found[str(path)] = path.stat().st_mtime_ns
                except FileNotFoundError:
                    continue
        return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
