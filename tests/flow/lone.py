"""One sender as a real process on the test's store, to be stopped, killed and let go on at an exact point.

Registry, store and SMSC are the test's; times are those of tests/wire/senders.py. Nobody answers as status or
hlr: what status would be told stays in the sender's outbox.
"""

import asyncio
import base64
import contextlib
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import yaml

from smsbridge.rpc import clients
from smsbridge.runtime import addresses, rpc
from smsbridge.store import connection
from tests.wire import senders

HOST = "127.0.0.1"


@dataclass(slots=True)
class LoneSender:
    process: asyncio.subprocess.Process
    client: clients.SenderClient
    log: Path

    async def freeze(self) -> None:
        """SIGSTOP; returns when it stands still."""
        self.process.send_signal(signal.SIGSTOP)
        seen = psutil.Process(self.process.pid)
        while seen.status() != psutil.STATUS_STOPPED:
            await asyncio.sleep(0.001)

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()


@contextlib.asynccontextmanager
async def running(
    directory: Path, name: str, settings: connection.StoreSettings, *, store_port: int = 0
) -> AsyncIterator[LoneSender]:
    """`settings` of the store; `store_port`: of the proxy in front of it, 0 for none."""
    home = directory / name
    home.mkdir()
    listen = f"{HOST}:{addresses.free_port(HOST)}"
    (home / "config.yaml").write_text(_config(home, listen, settings, store_port), encoding="utf-8")
    log = home / "sender.log"
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "smsbridge", "run", "sender", "--config", "config.yaml",
            cwd=home, stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output,
        )  # fmt: skip
    channel = rpc.channel(listen)
    sender = LoneSender(process, clients.SenderClient(channel), log)
    try:
        await _answers(sender)
        yield sender
    finally:
        await channel.close(None)
        sender.kill()
        await process.wait()


def _config(home: Path, listen: str, settings: connection.StoreSettings, store_port: int) -> str:
    key = home / "master.key"
    key.touch(mode=0o600)
    key.write_bytes(base64.b64encode(senders.MASTER_KEY) + b"\n")
    total = senders.SHORT["post_total_ms"] / 1000
    sender = {name: list(v) if isinstance(v, tuple) else v for name, v in senders.SHORT.items()}
    return yaml.safe_dump(
        {
            "process": {"internal": "", "master_key_file": str(key)},
            "store": {
                "url": f"valkey://{HOST}:{store_port}/0" if store_port else settings.url,
                "password": settings.password.get_secret_value(),
            },
            "endpoints": {"sender": listen, "status": senders.NOWHERE, "hlr": senders.NOWHERE},
            "sender": {**sender, "listen": listen},
            "smsc": {"total_timeout_seconds": total, "connect_timeout_seconds": total},
            "account": senders.LIMITS.model_dump(mode="json"),
            "egress": senders.EGRESS.model_dump(mode="json"),
        }
    )


async def _answers(sender: LoneSender) -> None:
    async def there() -> bool:
        assert sender.process.returncode is None, sender.log.read_text(encoding="utf-8")
        try:
            return bool(await sender.client.describe_queue())
        except Exception:
            return False

    await senders.until(there, seconds=30)
