"""A gateway that stops: clients that keep their connections are told to go, and lose no post."""

import asyncio
from pathlib import Path

from smsbridge.store.connection import Store
from tests.wire import gateway_harness as harness


async def test_a_post_on_a_kept_connection_is_taken_while_it_stops(store: Store, tmp_path: Path) -> None:
    await harness.register(store)
    async with (
        harness.running_owners() as owners,
        harness.running_gateway(store, owners.endpoints, tmp_path, leave_seconds=30.0) as gateway,
    ):
        assert (await gateway.post("handler", harness.form("a" * 32)))[0] == 200
        stopping = asyncio.create_task(gateway.role.stop())
        await asyncio.sleep(0.2)

        url = f"http://{gateway.role.address}{gateway.path('handler')}"
        headers = {"Content-Type": harness.FORM}
        async with gateway.session.post(url, data=harness.form("b" * 32), headers=headers) as answer:
            assert (answer.status, answer.headers["Connection"]) == (200, "close")

        async with asyncio.timeout(10):  # nobody is left, so it does not wait for its 30 s
            await stopping
        assert [item.message_id for item in owners.sender.items] == ["a" * 32, "b" * 32]


async def test_who_keeps_silent_is_cut_off_in_the_end(store: Store, tmp_path: Path) -> None:
    await harness.register(store)
    async with (
        harness.running_owners() as owners,
        harness.running_gateway(store, owners.endpoints, tmp_path, leave_seconds=0.2) as gateway,
    ):
        assert (await gateway.post("handler", harness.form()))[0] == 200
        async with asyncio.timeout(10):
            await gateway.role.stop()
