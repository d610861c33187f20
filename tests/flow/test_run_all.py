"""`run all` as a user has it: real processes, the console script, and what survives `kill -9`."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from smsbridge.demo import orders, stack
from smsbridge.runtime import rundir
from smsbridge.sandbox.orders import MessageOrigin, SendOrder
from tests.flow import leaks

pytestmark = pytest.mark.slow

ROLES = {"gateway", "sender", "status", "hlr", "provisioner"}
PHONES, TEXTS = ("+79161000001", "8 (916) 100-00-02"), ("Готово", "Сами с усами")
PROVIDER = f"{orders.NAMESPACE}/{orders.PROVIDERS[0].name}"


async def command(*arguments: str) -> tuple[int, str, str]:
    """What it prints is kept beside the log of the stack, and looked through with that."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "smsbridge",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, error = await process.communicate()
    await asyncio.to_thread(keep, Path(arguments[arguments.index("--data") + 1]).parent, output + error)
    return process.returncode or 0, output.decode(), error.decode()


def keep(directory: Path, printed: bytes) -> None:
    with (directory / "printed.log").open("ab") as file:
        file.write(printed)


async def told(running: stack.Stack, *arguments: str) -> Any:
    """What a command says in JSON; it must end well."""
    code, output, error = await command(*arguments, "--data", str(running.data), "--output", "json")
    assert code == 0, error
    return json.loads(output)


async def get(running: stack.Stack, path: str) -> tuple[int, str]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://{running.internal}{path}") as answer,
    ):
        return answer.status, await answer.text()


@contextlib.asynccontextmanager
async def installed(directory: Path) -> AsyncIterator[stack.Stack]:
    async with stack.running(directory) as running:
        shown = await stack.until(
            lambda: running.provider(PROVIDER), what="the provider", directory=directory
        )
        login = orders.PROVIDERS[0].login
        await running.sandbox.change_account(login, callback={"url": shown["callbackUrl"]})
        installed = await running.sandbox.install(orders.DOMAIN, url=shown["installUrl"])

        async def registered() -> bool:
            senders = await running.sandbox.senders(orders.DOMAIN)
            codes = {one["code"].lower() for of_application in senders.values() for one in of_application}
            return orders.PROVIDERS[0].code in codes

        await stack.until(registered, what="the registration", directory=directory)
        yield running
        passed = leaks.Passed()
        passed.add_data(running.data)
        passed.add_urls([shown["installUrl"], shown["callbackUrl"]])
        passed.add("password", [plan.password for plan in orders.PROVIDERS])
        passed.add("client secret", ["sandbox-client-secret"])
        passed.add("application token", [installed.application_token])
        passed.add("access token", [installed.access_token])
        passed.add("refresh token", [installed.refresh_token])
        passed.add_texts(TEXTS)
        passed.add_phones(PHONES)
        found = await asyncio.to_thread(passed.found_in_logs, directory, but=frozenset({"sandbox.log"}))
        # "" where the test has ended the stack
        assert (found, passed.found(await running.metrics())) == ([], set())


async def until_state(running: stack.Stack, message_id: str, state: str) -> dict[str, Any]:
    async def look() -> dict[str, Any] | None:
        record = await told(running, "message", message_id)
        return record if record["state"] == f"MESSAGE_STATE_{state}" else None

    return await stack.until(look, what=f"state {state}", directory=running.directory)


def killed(running: stack.Stack) -> dict[str, Any]:
    found = rundir.read(running.data)
    assert found is not None
    os.kill(found.pid, signal.SIGKILL)
    return found.model_dump()


async def test_a_message_goes_its_way_and_the_commands_tell(tmp_path: Path) -> None:
    async with installed(tmp_path) as running:
        assert await get(running, "/livez") == (200, "ok\n")
        _, page = await get(running, "/metrics")
        assert {role for role in ROLES if f'{{role="{role}"' in page} == ROLES
        assert 'smsbridge_supervisor_child_up{role="supervisor",child="store"} 1.0' in page

        order = SendOrder(
            code=orders.PROVIDERS[0].code, origin=MessageOrigin.CARD, phone=PHONES[0], text=TEXTS[0]
        )
        sent = await running.sandbox.send(orders.DOMAIN, order)
        (message_id,) = sent.message_ids
        record = await until_state(running, message_id, "DELIVERED")
        assert record["recipient"] == "7916*****01"
        assert [attempt["state"] for attempt in record["attempts"]] == ["delivered"]
        assert TEXTS[0] not in json.dumps(record, ensure_ascii=False)

        by_hand = ("--provider", PROVIDER, "--to", PHONES[1], "--text", TEXTS[1], "--key", "k1")
        first = await told(running, "send", *by_hand)
        again = await told(running, "send", *by_hand)
        assert (first["result"], again["result"]) == ("accepted", "duplicate")
        assert first["message_id"] == again["message_id"]
        await until_state(running, first["message_id"], "DELIVERED")

        data = ("--data", str(running.data))
        code, _, error = await command("cancel", first["message_id"], "--provider", PROVIDER, *data)
        assert (code, error.count("\n")) == (1, 1)
        assert (await command("message", "unknown", *data))[0] == 1
        rows = await told(running, "provider", "list")
        assert {row["name"] for row in rows} == {plan.name for plan in orders.PROVIDERS}
        assert (await told(running, "provider", "check", PROVIDER))["good"] is True
        ledger = await running.sandbox.ledger(orders.PROVIDERS[0].login)
        assert (ledger.messages, ledger.sent_twice, ledger.secrets_in_url) == (2, 0, 0)


async def test_a_killed_supervisor_takes_all_with_it_and_the_next_one_goes_on(tmp_path: Path) -> None:
    async with installed(tmp_path) as running:
        before = killed(running)
        program = (sys.executable, "-m", "smsbridge", "run", "all", "--data", str(running.data))
        listening = ("--public", running.public, "--internal", running.internal)
        manifests = ("--providers", str(tmp_path / "providers.yaml"))
        with (tmp_path / "second.log").open("wb") as log:
            second = await asyncio.create_subprocess_exec(*program, *listening, *manifests, stderr=log)
        try:

            async def ready() -> bool:
                with contextlib.suppress(aiohttp.ClientError):
                    return (await get(running, "/readyz"))[0] == 200
                return False

            await stack.until(ready, what="the second stack", directory=tmp_path)
            after = rundir.read(running.data)
            assert after is not None
            assert after.pid == second.pid
            # The doors and the store are where they were; clients find them again without being told.
            assert (after.public, after.store_url) == (before["public"], before["store_url"])
            rows = await told(running, "provider", "list")
            assert all(row["ready"] for row in rows)
        finally:
            second.send_signal(signal.SIGTERM)
            assert await second.wait() == 0
