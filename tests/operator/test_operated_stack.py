"""The whole product with the operator instead of a file: a real API server on one side, the sandbox on the
other, and a broadcast under way while the resource is paused and deleted.
"""

import contextlib
import sys
from asyncio import create_subprocess_exec, subprocess
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from lightkube.resources.core_v1 import Secret

from smsbridge.rpc import clients
from smsbridge.runtime import rpc, rundir
from smsbridge.sandbox.server import Sandbox
from smsbridge.store import embedded
from tests.flow import harness
from tests.operator import lab as labs
from tests.operator import resources
from tests.operator.apiserver import ApiServer
from tests.operator.resources import Provider


class OperatedStack(harness.Stack):
    """`run all` without a file of providers; the plans' documents go to the API server."""

    cluster: labs.Lab

    def write_providers(self) -> None:
        """Nothing is read from a file."""

    async def start(self) -> None:
        (self.directory / "config.yaml").write_text(yaml.safe_dump(self.config), encoding="utf-8")
        self.process = await create_subprocess_exec(
            sys.executable, "-m", "smsbridge", "run", "all", "--data", str(self.data),
            "--public", self.public, "--internal", self.internal, "--config", "config.yaml",
            cwd=self.directory, stdout=self._log, stderr=self._log, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def environ(self) -> dict[str, str]:
        """What an operator needs to work for this stack."""
        found = rundir.read(self.data)
        assert found is not None
        return {
            "SMSBRIDGE_STORE__URL": found.store_url,
            "SMSBRIDGE_STORE__PASSWORD": embedded.read_password(self.data),
            "SMSBRIDGE_PROCESS__MASTER_KEY_FILE": str(self.data / "master.key"),
            "SMSBRIDGE_ENDPOINTS__SENDER": self.rpc_address("sender"),
        }

    def declare(self) -> None:
        application = self.sandbox.portals.by_domain[harness.DOMAIN].settings.applications[0]
        names = {"clientId": application.client_id, "clientSecret": application.client_secret}
        self.cluster.secret("app", **names)
        for plan in self.plans:
            provider, secret = plan.documents(public_url=f"http://{self.public}", sandbox=self.sandbox)
            self.cluster.client.apply(Secret.from_dict(secret), field_manager="tests", force=True)
            self.cluster.client.apply(Provider.from_dict(provider), field_manager="tests", force=True)


@contextlib.asynccontextmanager
async def running(server: ApiServer, directory: Path, plan: harness.Plan) -> AsyncIterator[OperatedStack]:
    client = server.client()
    resources.install_definition(client)
    resources.ensure_namespace(client, "crm")
    labs.grant(client, "crm")
    async with Sandbox.running(harness.sandbox_settings()) as sandbox:
        config = {**harness.SHORT, "account": {**harness.SHORT["account"], "money_probe_seconds": 1.0}}
        stack = OperatedStack(directory, sandbox, [plan], config)
        try:
            await stack.start()
            await stack.ready()
            stack.cluster = labs.Lab(server, client, "crm", directory, sandbox, stack.environ())
            await stack.cluster.operator(OPERATOR__QUEUE_POLL_SECONDS="0.5").start()
            stack.declare()
            await stack.connect()
            yield stack
            stack.cluster.check_logs()
            metrics = await stack.metrics()
        finally:
            await stack.cluster.close()
            await stack.stop()
        stack.check_leaks(metrics)


async def settled(stack: OperatedStack) -> dict[str, Any]:
    """The ledger once nothing is under way any more."""
    found: dict[str, Any] = {}

    async def done() -> bool:
        nonlocal found
        found = await stack.unaccounted()
        return not any(found.get(state) for state in ("held", "waiting", "sending", "sent", "journalled"))

    await harness.until(done, seconds=120, what=lambda: f"{found}\n{stack.log_tail()}", pause=0.5)
    return found


async def reasons(stack: OperatedStack, message_ids: list[str]) -> Counter[str]:
    channel = rpc.channel(stack.rpc_address("status"))
    status = clients.StatusClient(channel)
    try:
        return Counter([(await status.get_message(message_id)).reason for message_id in message_ids])
    finally:
        await channel.close(None)


@pytest.mark.slow
async def test_deleted_in_the_middle_of_a_broadcast(api_server: ApiServer, tmp_path: Path) -> None:
    # Every text another one, which profile guide can only send alone: a thousand requests.
    plan = harness.Plan(spec={"batching": {"linger": "1s"}})
    async with running(api_server, tmp_path, plan) as stack:
        await stack.cluster.comes("smsc", "Ready", "AllGood")
        await stack.control.change_account("guide", latency_ms=50)
        phones = harness.good_phones(1000)
        await stack.posted(await stack.broadcast(phones, text="Скидка {n}"))

        async def under_way() -> bool:
            return bool((await stack.smsc_ledger()).messages >= 100)

        await harness.until(under_way, seconds=60, what=stack.log_tail)

        stack.cluster.delete("smsc")
        await stack.cluster.goes("smsc")
        ledger = await settled(stack)

        smsc = await stack.smsc_ledger()
        assert ledger["unaccounted"] == 0
        assert ledger["accepted"] == 1000
        assert (smsc.sent_twice, smsc.messages) == (0, ledger["delivered"])
        assert 100 <= ledger["delivered"] < 1000
        assert ledger["failed"] == 1000 - ledger["delivered"]

        async def told() -> bool:
            rows = Counter(row.status for row in await stack.rows())
            return rows == {"delivered": ledger["delivered"], "failed": ledger["failed"]}

        await harness.until(told, seconds=120, what=stack.log_tail, pause=0.5)
        rows = await stack.rows()
        failed = [row.message_id for row in rows if row.status == "failed"]
        assert await reasons(stack, failed[:50]) == {"ProviderRemoved": 50}
        assert (await stack.control.senders(harness.DOMAIN)) == {"local.5f3c1a.00000001": []}


@pytest.mark.slow
async def test_paused_it_accepts_and_says_what_waits(api_server: ApiServer, tmp_path: Path) -> None:
    async with running(api_server, tmp_path, harness.Plan()) as stack:
        await stack.cluster.comes("smsc", "Ready", "AllGood")
        stack.cluster.change("smsc", paused=True)
        await stack.cluster.comes("smsc", "Sending", "Paused")
        phones = harness.good_phones(30)
        await stack.posted(await stack.broadcast(phones))

        async def waiting() -> bool:
            return bool(((stack.cluster.find("smsc") or {}).get("status") or {}).get("queued") == 30)

        await harness.until(waiting, seconds=30, what=stack.cluster.what)
        assert (await stack.smsc_ledger()).messages == 0

        stack.cluster.change("smsc", paused=False)
        await stack.rows_right()
        await stack.cluster.comes("smsc", "Ready", "AllGood")
        assert (await stack.smsc_ledger()).messages == 30
        assert {row.status for row in await stack.rows()} == {"delivered"}
        traffic = await stack.control.traffic(harness.DOMAIN)

        async def counted() -> bool:
            status = (stack.cluster.find("smsc") or {}).get("status") or {}
            return bool(status.get("apiCallsToday", 0) >= traffic.requests - 1 and status.get("queued") == 0)

        # user.admin, which proves an install event, is asked with a limiter of the gateway's own.
        await harness.until(counted, seconds=30, what=stack.cluster.what)


@pytest.mark.slow
async def test_an_account_without_money_is_a_condition_at_once(api_server: ApiServer, tmp_path: Path) -> None:
    async with running(api_server, tmp_path, harness.Plan()) as stack:
        await stack.cluster.comes("smsc", "Ready", "AllGood")
        await stack.control.change_account("guide", balance="0.00")
        await stack.posted(await stack.broadcast(harness.good_phones(3)))

        paused = await stack.cluster.comes("smsc", "Sending", "AccountPaused")
        assert "money" in paused["message"]
        assert (await stack.cluster.told("smsc", "AccountPaused"))[0] == "Warning"

        await stack.control.change_account("guide", balance="1000.00")
        await stack.rows_right()
        await stack.cluster.comes("smsc", "Ready", "AllGood")
