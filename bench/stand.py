"""What is measured: `smsbridge run all` as real processes, against a sandbox in the bench's own process.

The sandbox is here so that what it took and when can be read from its own books, on the machine's one clock.
"""

import asyncio
import contextlib
import dataclasses
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import yaml

from bench import doorbook, load, plans, profiled, waiting
from bench.letters import Letter
from bench.plans import Plan
from bench.report import Books
from smsbridge.api.v1 import status_pb2
from smsbridge.rpc import clients
from smsbridge.runtime import addresses, rpc, rundir
from smsbridge.sandbox import portal_posts, server
from smsbridge.sandbox.client import SandboxClient
from smsbridge.sandbox.portal import Application, Portal, Row
from smsbridge.sandbox.settings import AccountSettings, SandboxSettings
from smsbridge.sandbox.smsc_account import Account

_HOST = "127.0.0.1"
_START_SECONDS = 60.0
_STOP_SECONDS = 40.0
_LOG_LINES = 20
_AUTHOR = 1


class Stand:
    def __init__(
        self, directory: Path, sandbox: server.Sandbox, providers: Sequence[Plan], config: dict[str, Any]
    ) -> None:
        self.directory = directory
        self.data = directory / "data"
        self.sandbox = sandbox
        self._plans = {plan.name: plan for plan in providers}
        self._config = config
        public = addresses.free_port(_HOST)
        internal = addresses.free_port(_HOST, taken=frozenset({public}))
        self.public, self.internal = f"{_HOST}:{public}", f"{_HOST}:{internal}"
        self._process: asyncio.subprocess.Process | None = None
        self._numbers = 0
        self._letters = 0
        self._posts = self._not_200 = 0
        # The sandbox's time less the load generator's: both run on the machine's monotonic clock.
        self.clock_offset = sandbox.clock.now() - time.monotonic()

    @property
    def portal(self) -> Portal:
        return self.sandbox.portals.by_domain[plans.DOMAIN]

    @property
    def application(self) -> Application:
        return next(iter(self.portal.applications.values()))

    def account(self, login: str) -> Account:
        return self.sandbox.smsc.accounts[login]

    def letter(self, name: str, count: int, **changes: Any) -> Letter:
        """A letter to the provider's door, as its portal posts it, to numbers that no other letter has."""
        self._letters += 1
        letter = Letter(
            url=self.application.senders[name].handler,
            code=name,
            count=count,
            first=self._numbers,
            salt=f"{self._letters}-",
            auth=self._auth(),
            **changes,
        )
        self._numbers += count
        return letter

    def _auth(self) -> list[tuple[str, str]]:
        portals, now = self.sandbox.portals, self.sandbox.clock.now()
        grant = portal_posts.grant(self.portal, self.application, _AUTHOR)
        pair = portals.tokens.issue_access(grant, now=now, seconds=3600)
        return portal_posts.auth_pairs(
            portals, self.portal, self.application, user_id=_AUTHOR, pair=pair, now=now
        )

    def add_rows(self, letter: Letter) -> list[Row]:
        """The portal's rows of a letter that the load generator posts, so that its statuses find them."""
        now = self.sandbox.clock.now()
        rows = []
        for number in range(letter.count):
            row = self.portal.new_row(
                message_id=letter.message_id(number),
                phone=letter.phone(number),
                origin=letter.origin.value,
                author_id=_AUTHOR,
                now=now,
            )
            self.portal.insert(row, status="sent", now=now)
            rows.append(row)
        return rows

    def pause(self, name: str, *, paused: bool) -> None:
        self._plans[name] = dataclasses.replace(self._plans[name], paused=paused)
        self._write_providers()

    async def start(self) -> None:
        (self.directory / "config.yaml").write_text(yaml.safe_dump(self._config), encoding="utf-8")
        self._write_providers()
        command = [
            sys.executable, "-m", "smsbridge.runtime.launch", str(os.getpid()),
            sys.executable, "-m", "smsbridge", "run", "all", "--providers", "providers.yaml", "--data",
            str(self.data), "--public", self.public, "--internal", self.internal, "--config", "config.yaml",
        ]  # fmt: skip
        with (self.directory / "smsbridge.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *command, cwd=self.directory, stdout=log, stderr=log, env=profiled.environment(os.environ)
            )
        await self.until(lambda: waiting.answers(f"http://{self.internal}/readyz"), what="smsbridge")

    async def stop(self) -> None:
        if self._process is None or self._process.returncode is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    async def connect(self) -> None:
        """Callbacks set in SMSC's accounts, the application installed, every provider registered."""
        first_of = {plan.login: plan.name for plan in reversed(self._plans.values())}
        install_url = ""
        for login, name in first_of.items():
            shown = await self.until(lambda name=name: self._shown(name), what=f"provider {name}")  # type: ignore[misc]
            self.account(login).settings.callback.url = shown["callbackUrl"]
            install_url = shown["installUrl"]
        async with SandboxClient(self.sandbox.control_url) as control:
            await self.until(
                lambda: self._install(control, install_url), what="an answer to the install event"
            )
        await self.until(self._registered, what="the registration in the portal")
        await self.until(self._token_known, what="the application token at the gateway")

    async def _install(self, control: SandboxClient, url: str) -> bool:
        """The gateway follows the registry with a delay, and answers 404 until it knows the provider."""
        report = await control.install(plans.DOMAIN, url=url)
        return all(post.status == 200 for post in report.posts)

    async def _registered(self) -> bool:
        return self._plans.keys() <= self.application.senders.keys()

    async def _token_known(self) -> bool:
        """The gateway follows installations with a delay too; until then it holds what is posted."""
        letter = self.letter(next(iter(self._plans)), 1)
        self.add_rows(letter)
        self.posted(await load.post(letter))
        return (await doorbook.accepts(self.internal))["accepted"] > 0

    async def _shown(self, name: str) -> dict[str, Any]:
        """Empty until the provisioner has taken the manifest."""
        arguments = ("show", f"{plans.NAMESPACE}/{name}", "--data", str(self.data), "--output", "json")
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "smsbridge", "provider", *arguments,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        output, _ = await process.communicate()
        return dict(json.loads(output)) if process.returncode == 0 else {}

    def posted(self, measured: Sequence[load.Measured]) -> None:
        """Notes what the load generator posted to this stand's doors."""
        self._posts += sum(len(one.took) for one in measured)
        self._not_200 += sum(one.not_200 for one in measured)

    async def books(self) -> Books:
        ledger = await self.ledger()
        results = await doorbook.accepts(self.internal)
        return Books(
            posts=self._posts,
            not_200=self._not_200,
            journalled=results["journalled"],
            held=results["held"],
            accepted=sum(one.accepted for one in ledger.ledgers),
            unaccounted=ledger.unaccounted,
        )

    async def ledger(self) -> status_pb2.GetLedgerResponse:
        """The product's own."""
        found = rundir.read(self.data)
        assert found is not None
        async with rpc.channel(found.processes["status"].rpc) as channel:
            return await clients.StatusClient(channel).get_ledger()

    async def until(
        self, read: Callable[[], Awaitable[Any]], *, what: str, seconds: float = _START_SECONDS
    ) -> Any:
        try:
            return await waiting.until(read, what=what, seconds=seconds)
        except waiting.StandFailed as error:
            raise waiting.StandFailed(f"{error}\n{self._log_tail()}") from None

    def _log_tail(self) -> str:
        text = (self.directory / "smsbridge.log").read_text(encoding="utf-8", errors="replace")
        return "\n".join(text.splitlines()[-_LOG_LINES:])

    def _write_providers(self) -> None:
        text = plans.manifests(self._plans.values(), sandbox=self.sandbox, public_url=f"http://{self.public}")
        draft = self.directory / "providers.new"
        draft.write_text(text, encoding="utf-8")
        draft.replace(self.directory / "providers.yaml")


@contextlib.asynccontextmanager
async def running(
    directory: Path,
    *providers: Plan,
    config: dict[str, Any] | None = None,
    portal_limited: bool = True,
    leak_per_second: float | None = None,
    latency_ms: dict[str, float] | None = None,
) -> AsyncIterator[Stand]:
    """`leak_per_second`: requests that the portal allows, instead of the usual 2. `latency_ms`: of each
    account of SMSC that is not quick.
    """
    slow = latency_ms or {}
    profiles = {plan.login: plan.profile for plan in providers}
    settings = SandboxSettings(
        accounts=[
            AccountSettings(
                login=login, password=plans.PASSWORD, profile=profile, latency_ms=slow.get(login, 0.0)
            )
            for login, profile in sorted(profiles.items())
        ]
    )
    settings.portals[0].requests.enabled = portal_limited
    if leak_per_second is not None:
        settings.portals[0].requests.leak_per_second = leak_per_second
    await asyncio.to_thread(directory.mkdir, parents=True)
    async with server.Sandbox.running(settings) as sandbox:
        stand = Stand(directory, sandbox, providers, config or {})
        try:
            await stand.start()
            await stand.connect()
            yield stand
        finally:
            await stand.stop()
