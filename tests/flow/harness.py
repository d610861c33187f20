"""The whole product against the sandbox, as a user runs it: `smsbridge run all`, or every role by itself.

The sandbox lives in the test's own process, so that a test can look into it; the product is real processes
that can be killed, stopped and started again. Times are shortened in both by the same measure.
"""

import asyncio
import contextlib
import dataclasses
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import yaml

from smsbridge.core.message import Channel, Route
from smsbridge.rpc import clients
from smsbridge.runtime import addresses, rpc, rundir
from smsbridge.sandbox import orders, reports, server
from smsbridge.sandbox.client import SandboxClient
from smsbridge.sandbox.expected import portal_status
from smsbridge.sandbox.settings import (
    AccountSettings,
    ApplicationSettings,
    PortalSettings,
    Profile,
    SandboxSettings,
    Timing,
)
from tests.flow import leaks

DOMAIN = "example.bitrix24.ru"
HOST = "127.0.0.1"
ROLES = ("gateway", "sender", "status", "hlr", "provisioner")

# A minute of SMSC's is a twelfth of one here: its duplicate guard lasts 6 s, a POST 1.5 s, a margin 2 s.
SHORT: dict[str, Any] = {
    "sender": {
        "lease_ms": 6000,
        "post_total_ms": 1500,
        "margin_ms": 2000,
        "idle_seconds": 0.2,
        "unsent_delay_seconds": 0.1,
        "unsent_delay_most_seconds": 1.0,
        "second_ask_seconds": 0.7,
        "repeat_within_seconds": 5.4,
        "late_repeat_seconds": 10.0,
        "ask_again_seconds": 1.0,
        "unproved_ask_seconds": 0.5,
        "proof_delays_seconds": [0.2, 0.5, 1.0],
        "held_check_seconds": 0.3,
        "upkeep_seconds": 0.3,
    },
    "smsc": {"total_timeout_seconds": 1.5, "connect_timeout_seconds": 1.0, "status_timeout_seconds": 1.5},
    "account": {"asks": 4, "asks_window_ms": 5000, "hold_ms": 6500},
    "status": {
        "poll_seconds": 0.3,
        "poll_lease_seconds": 3.0,
        "poll_refused_seconds": 1.0,
        "not_found_first_seconds": 0.3,
        "portal_retry_seconds": 0.5,
        "portal_parked_seconds": 1.0,
        "savings_seconds": 1.0,
    },
    "store": {
        "times": {
            "portal_quiet_ms": 1500,
            "portal_queued_after_ms": 60_000,
            "portal_flight_ms": 4000,
            "first_poll_ms": 1500,
            "poll_most_ms": 3000,
        }
    },
    "portal": {"requests_per_second": 20.0},
    "hlr": {
        "post_total_seconds": 1.5,
        "margin_seconds": 2.0,
        "first_question_seconds": 0.5,
        "second_ask_seconds": 0.5,
        "late_ask_seconds": 10.0,
        "idle_seconds": 0.2,
        "errand_lease_seconds": 8.0,
        "errand_idle_seconds": 0.5,
        "hand_rest_seconds": 1.0,
    },
    "gateway": {"leave_seconds": 0.2},
    "supervisor": {"restart_first_seconds": 0.1},
}


# For runs without faults: SMSC's own times, a quick portal.
CLEAN: dict[str, Any] = {
    "store": {"times": {"portal_quiet_ms": 1500}},
    "portal": {"requests_per_second": 20.0},
}

# What a command is asked for, and prints to whoever asks.
ASKED_FOR: dict[str, set[str]] = {"provider show": {"URL key"}, "hlr": {"phone"}}


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """One provider of a stack."""

    name: str = "smsc"
    code: str = "smsc"
    profile: Profile = Profile.GUIDE
    login: str = ""  # empty: the profile's own account
    domain: str = DOMAIN
    spec: dict[str, Any] = dataclasses.field(default_factory=dict)  # merged over the rest, by section

    @property
    def account(self) -> str:
        return self.login or self.profile.value

    def documents(self, *, public_url: str, sandbox: server.Sandbox) -> list[dict[str, Any]]:
        spec: dict[str, Any] = {
            "code": self.code,
            "name": "SMSC.ru",
            "publicUrl": public_url,
            "sandbox": True,
            "portal": {
                "domain": self.domain,
                "appSecretRef": {"name": "app"},
                "endpoint": sandbox.portal_url(self.domain),
                "oauthEndpoint": sandbox.oauth_url,
            },
            "smsc": {
                "accountSecretRef": {"name": f"account-{self.account}"},
                "api": self.profile.value,
                "baseUrl": sandbox.smsc_url,
            },
            "batching": {"linger": "1s", "interactiveLinger": "100ms"},
        }
        for section, values in self.spec.items():
            old = spec.get(section)
            spec[section] = {**old, **values} if isinstance(old, dict) else values
        return [
            {
                "apiVersion": "smsbridge.dev/v1alpha1",
                "kind": "SmscProvider",
                "metadata": {"name": self.name, "namespace": "crm"},
                "spec": spec,
            },
            _secret(f"account-{self.account}", login=self.account, password=f"secret-{self.account}"),
        ]


def _secret(name: str, **values: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "crm"}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": values}


def sandbox_settings(**portal: Any) -> SandboxSettings:
    timing = Timing(
        handover_seconds=0.1,
        delivery_seconds=0.3,
        jitter_seconds=0.2,
        moderation_seconds=1.0,
        late_seconds=1.0,
    )
    common = {"timing": timing, "duplicate_window_seconds": 6.0, "limit_window_seconds": 4.0}
    application = ApplicationSettings(
        client_id="local.5f3c1a.00000001",
        client_secret="sandbox-client-secret",
    )
    limits = {"requests": {"leak_per_second": 20.0, "block_above": 50.0}, **portal}
    return SandboxSettings(
        accounts=[
            AccountSettings(login="guide", password="secret-guide", **common),
            AccountSettings(
                login="http",
                password="secret-http",
                profile=Profile.HTTP,
                viber_timeout_min_seconds=1,
                **common,
            ),
        ],
        portals=[PortalSettings(domain=DOMAIN, applications=[application], sent_after_seconds=0.3, **limits)],
    )


class Stack:
    def __init__(
        self, directory: Path, sandbox: server.Sandbox, plans: Iterable[Plan], config: dict[str, Any]
    ) -> None:
        self.directory = directory
        self.data = directory / "data"
        self.sandbox = sandbox
        self.control = SandboxClient(sandbox.control_url)
        self.plans = list(plans)
        self.config = config
        taken: set[int] = set()
        for _ in range(2):
            taken.add(addresses.free_port(HOST, taken=frozenset(taken)))
        public, internal = taken
        self.public, self.internal = f"{HOST}:{public}", f"{HOST}:{internal}"
        self.process: asyncio.subprocess.Process | None = None
        self.urls: list[str] = []  # with their keys
        self.printed: list[tuple[str, str]] = []  # by commands: as what, and what
        self._log = (directory / "smsbridge.log").open("ab")

    def write_providers(self) -> None:
        """All portals have the same application."""
        portal = next(iter(self.sandbox.portals.by_domain.values()))
        application = portal.settings.applications[0]
        documents = [_secret("app", clientId=application.client_id, clientSecret=application.client_secret)]
        for plan in self.plans:
            made = plan.documents(public_url=f"http://{self.public}", sandbox=self.sandbox)
            documents += [one for one in made if one not in documents]  # providers may share an account
        draft = self.directory / "providers.new"
        draft.write_text(yaml.safe_dump_all(documents, allow_unicode=True), encoding="utf-8")
        draft.replace(self.directory / "providers.yaml")

    async def start(self) -> None:
        """Starts `run all`; does not wait for it."""
        (self.directory / "config.yaml").write_text(yaml.safe_dump(self.config), encoding="utf-8")
        self.write_providers()
        arguments = [
            "run", "all", "--providers", "providers.yaml", "--data", str(self.data),
            "--public", self.public, "--internal", self.internal, "--config", "config.yaml",
        ]  # fmt: skip
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "smsbridge", *arguments,
            cwd=self.directory, stdout=self._log, stderr=self._log, stdin=asyncio.subprocess.DEVNULL,
        )  # fmt: skip

    async def ready(self) -> None:
        async def good() -> bool:
            return (await get(f"http://{self.internal}/readyz"))[0] == 200

        await until(good, seconds=60, what=self.log_tail)

    async def stop(self) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(40):
                    await self.process.wait()
            except TimeoutError:
                self.process.kill()
                await self.process.wait()
        self._log.close()
        await self.control.close()

    def pid(self, role: str) -> int:
        """Of a child of the supervisor; 0 while it is not there. `store` is Valkey."""
        if self.process is None:
            return 0
        wanted = "valkey" if role == "store" else f"run {role} "
        for child in psutil.Process(self.process.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                line = " ".join(child.cmdline()) + " "
                if wanted in line and (role != "store" or "smsbridge" not in line):
                    return child.pid
        return 0

    def kill(self, role: str, sig: signal.Signals = signal.SIGKILL) -> bool:
        pid = self.pid(role)
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, sig)
        return bool(pid)

    async def alive(self, role: str) -> None:
        """Waits until the process is there and, of a role, until it answers."""
        if role == "supervisor":
            await self.ready()
            return

        async def there() -> bool:
            if not self.pid(role):
                return False
            found = rundir.read(self.data)
            if role == "store" or found is None:
                return found is not None
            return (await get(f"http://{found.processes[role].internal}/livez"))[0] == 200

        await until(there, seconds=30, what=self.log_tail)

    async def kill_supervisor(self) -> None:
        """With -9; a new one is started in the same directory at once and waits for its lock."""
        assert self.process is not None
        self.process.kill()
        await self.process.wait()
        await self.start()

    async def command(self, *arguments: str) -> tuple[int, str, str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "smsbridge", *arguments,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, cwd=self.directory,
        )  # fmt: skip
        out, err = await process.communicate()
        name = " ".join(arguments[: 2 if arguments[0] == "provider" else 1])
        self.printed += [(name, out.decode()), (f"{name}, error", err.decode())]
        return process.returncode or 0, out.decode(), err.decode()

    async def shown(self, name: str) -> dict[str, Any]:
        code, out, _ = await self.command(
            "provider", "show", f"crm/{name}", "--data", str(self.data), "--output", "json"
        )
        return dict(json.loads(out)) if code == 0 else {}

    async def connect(self) -> None:
        """Callbacks set in SMSC's accounts, the application installed, every provider registered."""
        installs: dict[str, str] = {}  # by portal
        for plan in self.plans:
            shown: dict[str, Any] = {}

            async def known(name: str = plan.name) -> bool:
                nonlocal shown
                shown = await self.shown(name)
                return bool(shown.get("callbackUrl"))

            await until(known, seconds=30, what=self.log_tail)
            account = self.sandbox.smsc.accounts[plan.account]
            if not account.settings.callback.url:
                account.settings.callback.url = shown["callbackUrl"]
            installs.setdefault(plan.domain, shown["installUrl"])
            self.urls += [shown["installUrl"], shown["callbackUrl"]]
        for domain, url in installs.items():
            await self.install(url, domain=domain)

    async def install(self, url: str, *, domain: str = DOMAIN) -> None:
        async def taken() -> bool:
            """The gateway sees a new provider within a second; what is posted before that finds no door."""
            report = await self.control.install(domain, url=url)
            return all(post.status == 200 for post in report.posts)

        await until(taken, seconds=10, what=self.log_tail, pause=0.5)
        codes = {plan.code for plan in self.plans if plan.domain == domain}

        async def registered() -> bool:
            found = await self.control.senders(domain)
            return codes <= {item.get("CODE", item.get("code")) for items in found.values() for item in items}

        await until(registered, seconds=30, what=self.log_tail)

    def rpc_address(self, role: str) -> str:
        found = rundir.read(self.data)
        assert found is not None
        return found.processes[role].rpc

    async def preferences(self, phones: list[str]) -> dict[str, Channel]:
        """Of the stack's first provider."""
        channel = rpc.channel(self.rpc_address("hlr"))
        try:
            client = clients.HlrClient(channel)
            uids = {one.name: one.provider_uid for one in await client.budgets()}
            return await client.get_preferences(uids[self.plans[0].name], phones)
        finally:
            await channel.close(None)

    async def unaccounted(self) -> dict[str, Any]:
        """The ledger over all providers."""
        channel = rpc.channel(self.rpc_address("status"))
        try:
            ledger = await clients.StatusClient(channel).get_ledger()
        finally:
            await channel.close(None)
        total: Counter[str] = Counter()
        for one in ledger.ledgers:
            total.update(
                accepted=one.accepted, held=one.held, waiting=one.waiting, sending=one.sending, sent=one.sent
            )
            total.update(one.final)
        return {**total, "journalled": ledger.journalled, "unaccounted": ledger.unaccounted}

    async def all_is_over(self, *, seconds: float = 60) -> None:
        """Every message in a final state, and none unaccounted for."""

        async def no_more() -> bool:
            books = await self.unaccounted()
            assert books["unaccounted"] == 0
            return not (books["waiting"] or books["sending"] or books["sent"])

        await until(no_more, seconds=seconds, what=self.log_tail)

    async def metrics(self) -> str:
        return (await get(f"http://{self.internal}/metrics"))[1]

    async def broadcast(
        self, phones: list[str], *, text: str = "Скидка 20 %", domain: str = DOMAIN, **changes: Any
    ) -> str:
        order = orders.BroadcastOrder.model_validate({"phones": phones, "text": text, **changes})
        return (await self.control.broadcast(domain, order)).broadcast_id

    async def posted(self, broadcast_id: str, *, seconds: float = 120) -> None:
        async def done() -> bool:
            return (await self.control.broadcast_progress(broadcast_id)).done

        await until(done, seconds=seconds, what=self.log_tail)

    async def rows(self) -> list[reports.RowReport]:
        found: list[reports.RowReport] = []
        while page := await self.control.rows(DOMAIN, offset=len(found), limit=10_000):
            found += page
        return found

    async def rows_right(
        self, *, route: Route = Route.SMS, profile: Profile = Profile.GUIDE, seconds: float = 90
    ) -> None:
        """Every row of the portal comes to show what its number makes of it; of a message that nobody took at
        the door (it was not answered 200) only that it is not wrong.
        """
        wrong: Counter[tuple[str, str, str]] = Counter()

        async def right() -> bool:
            wrong.clear()
            found = await self.rows()
            handovers = await self.control.handovers(DOMAIN)
            posted, refused = handovers.posts, frozenset(handovers.failed_message_ids)
            if len(found) < posted or not all(row.inserted for row in found):
                wrong["", "posted", "a row"] = posted - len(found)
            for row in found:
                expected = portal_status(row.phone, route=route, profile=profile)
                if row.status != expected and not (row.message_id in refused and row.status == "sent"):
                    wrong[row.phone[-2:], row.status, expected] += 1
            return not wrong

        await until(
            right, seconds=seconds, what=lambda: f"wrong rows: {dict(wrong)}\n{self.log_tail()}", pause=0.5
        )

    async def smsc_ledger(self, login: str = "guide") -> Any:
        return await self.control.ledger(login)

    def passed(self) -> leaks.Passed:
        found = leaks.of_sandbox(self.sandbox)
        found.add_data(self.data)
        found.add_urls(self.urls)
        return found

    def check_leaks(self, metrics: str) -> None:
        """Nothing that passed through may stand in a log, in what a command printed, or in these metrics."""
        passed = self.passed()
        found = passed.found_in_logs(self.directory)
        for command, printed in self.printed:
            found += [
                f"{kind} in {command}" for kind in passed.found(printed) - ASKED_FOR.get(command, set())
            ]
        found += [f"{kind} in metrics" for kind in passed.found(metrics)]
        assert not found, f"it leaks: {found}"

    def log_tail(self, lines: int = 40) -> str:
        self._log.flush()
        text = (self.directory / "smsbridge.log").read_text(encoding="utf-8", errors="replace")
        return "\n".join(text.splitlines()[-lines:])


@contextlib.asynccontextmanager
async def running(
    directory: Path,
    *plans: Plan,
    config: dict[str, Any] | None = None,
    settings: SandboxSettings | None = None,
    connected: bool = True,
    kind: type[Stack] = Stack,
) -> AsyncIterator[Stack]:
    async with server.Sandbox.running(settings or sandbox_settings()) as sandbox:
        stack = kind(directory, sandbox, plans or (Plan(),), SHORT if config is None else config)
        try:
            await stack.start()
            await stack.ready()
            if connected:
                await stack.connect()
            yield stack
            metrics = await stack.metrics()
        finally:
            await stack.stop()
        stack.check_leaks(metrics)


async def get(url: str) -> tuple[int, str]:
    """Status 0 where nobody answers."""
    timeout = aiohttp.ClientTimeout(total=5)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url) as answer:
            return answer.status, await answer.text()
    except (aiohttp.ClientError, TimeoutError):
        return 0, ""


async def until(
    condition: Callable[[], Awaitable[bool]],
    *,
    seconds: float,
    what: Callable[[], str] = lambda: "",
    pause: float = 0.1,
) -> None:
    """Waits for a state. Fails with `what()` where it does not come."""
    deadline = time.monotonic() + seconds
    while not await condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"it did not come within {seconds:.0f} s\n{what()}")
        await asyncio.sleep(pause)


def good_phones(count: int, *, start: int = 0) -> list[str]:
    """Numbers that everything is delivered to."""
    return [f"+7999{n // 80 * 100 + n % 80:07d}" for n in range(start, start + count)]


def mixed_phones(count: int, *, without: frozenset[int] = frozenset({91, 94, 95, 96})) -> list[str]:
    """Numbers of every kind but those in `without` (silent ones, and those that refuse a whole request)."""
    found: list[str] = []
    number = 0
    while len(found) < count:
        if number % 100 not in without:
            found.append(f"+7998{number:07d}")
        number += 1
    return found
