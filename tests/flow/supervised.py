"""A small stack for test_supervisor.py: the bundled store and one helper process under a real supervisor.

Runs as a program, `python supervised.py DIRECTORY HELPER_COMMAND...`, so that it can be killed.
"""

import asyncio
import json
import sys
from pathlib import Path

from prometheus_client import CollectorRegistry

from smsbridge.runtime import process, supervisor
from smsbridge.store import embedded


async def main(directory: Path, helper: list[str]) -> None:
    stop = process.stop_on_signals()
    settings = supervisor.SupervisorSettings(restart_first_seconds=0.05, stop_grace_seconds=5)
    async with supervisor.hold_directory(directory, wait_seconds=20) as lock:
        valkey = embedded.prepare(directory, port=embedded.free_port(), settings=embedded.EmbeddedSettings())
        children = [
            supervisor.Child("store", valkey.command, ready=valkey.ready, output=directory / "valkey.log"),
            supervisor.Child("helper", tuple(helper)),
        ]
        registry = CollectorRegistry()
        keeper = supervisor.Supervisor(children, settings=settings, lock=lock, registry=registry)
        report = asyncio.create_task(tell(directory, keeper, valkey))
        await keeper.run(stop)
        report.cancel()


async def tell(directory: Path, keeper: supervisor.Supervisor, valkey: embedded.EmbeddedValkey) -> None:
    """Writes who runs, again at each change."""
    told: dict[str, int] = {}
    while True:
        pids = keeper.pids()
        if pids != told and "helper" in pids:
            told = dict(pids)
            state = {"pids": told, "port": valkey.port}
            draft = directory / "state.new"
            await asyncio.to_thread(draft.write_text, json.dumps(state))
            await asyncio.to_thread(draft.replace, directory / "state.json")
        await asyncio.sleep(0.02)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2:]))
