"""`smsbridge tryout` against a sandbox and `run all`, and what it says where a step does not come true."""

import asyncio
import contextlib
import sys
from pathlib import Path

import pytest

from smsbridge.core import errors
from smsbridge.runtime import addresses
from smsbridge.sandbox.client import SandboxClient
from smsbridge.sandbox.faults import Fault, FaultKind
from tests.flow import harness

pytestmark = pytest.mark.slow


async def test_one_message_goes_through_and_every_step_is_told(tmp_path: Path) -> None:
    async with harness.running(tmp_path, connected=False) as stack:
        code, out, err = await stack.command(
            "tryout", "--sandbox", stack.sandbox.base_url, "--provider", "crm/smsc", "--data", str(stack.data)
        )

        assert (code, err) == (0, "")
        lines = out.splitlines()
        assert lines[:4] == [
            "waiting for provider crm/smsc",
            "setting the callback URL of account guide",
            f"installing the application in {harness.DOMAIN}",
            "registered as smsc",
        ]
        assert lines[-1] == "the portal shows delivered"
        (row,) = await stack.rows()
        assert row.status == "delivered"
        ledger = await stack.smsc_ledger()
        assert (ledger.messages, ledger.sent_twice) == (1, 0)


async def test_a_step_that_does_not_come_true_is_named(tmp_path: Path) -> None:
    async with harness.running(tmp_path, connected=False) as stack:
        sandbox = ("tryout", "--sandbox", stack.sandbox.base_url, "--data", str(stack.data), "--seconds", "3")
        code, _, err = await stack.command(*sandbox, "--provider", "crm/stranger")
        assert code == 1
        assert err.startswith("smsbridge: provider crm/stranger was not published")

        nobody = ("tryout", "--sandbox", f"http://{stack.public}/nobody", "--data", str(stack.data))
        code, out, err = await stack.command(*nobody, "--seconds", "3", "--provider", "crm/smsc")
        assert (code, out.splitlines()[-1]) == (1, "setting the callback URL of account guide")
        assert err.startswith("smsbridge: the sandbox does not answer; check --sandbox")
        assert err.count("\n") == 1


async def test_what_the_provider_says_of_itself_is_told_too(tmp_path: Path) -> None:
    async with harness.running(tmp_path, connected=False) as stack:
        await stack.control.portal_fault(
            harness.DOMAIN,
            Fault(
                kind=FaultKind.COMMAND_ERROR,
                call="messageservice.sender.add",
                error="ERROR_WRONG_HANDLER_URL",
            ),
        )
        code, _, err = await stack.command(
            "tryout", "--sandbox", stack.sandbox.base_url, "--provider", "crm/smsc",
            "--data", str(stack.data), "--seconds", "8",
        )  # fmt: skip
        assert code == 1
        assert err.startswith(f"smsbridge: smsc was not registered in {harness.DOMAIN}; gave up after 8 s (")


async def test_a_message_that_does_not_arrive_is_told(tmp_path: Path) -> None:
    async with harness.running(tmp_path) as stack:
        await stack.control.change_account("guide", timing={"delivery_seconds": 3600.0})
        code, out, err = await stack.command(
            "tryout", "--sandbox", stack.sandbox.base_url, "--provider", "crm/smsc",
            "--data", str(stack.data), "--seconds", "8",
        )  # fmt: skip
        assert code == 1
        assert "the portal shows sent" in out
        assert "not delivered; see `smsbridge message" in err


async def test_a_sandbox_tells_the_address_by_which_others_reach_it(tmp_path: Path) -> None:
    listen = f"{harness.HOST}:{addresses.free_port(harness.HOST)}"
    arguments = ("sandbox", "--listen", listen, "--public-url", "http://sandbox.example:8090/")
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "smsbridge", *arguments)
    try:
        async with SandboxClient(f"http://{listen}/sandbox") as client:
            for _ in range(100):
                with contextlib.suppress(errors.ServiceAway):
                    told = await client.overview()
                    break
                await asyncio.sleep(0.1)
        assert told.smsc_url == "http://sandbox.example:8090/smsc"
        assert told.portals[0].endpoint.startswith("http://sandbox.example:8090/portal/")
    finally:
        process.terminate()
        await process.wait()
