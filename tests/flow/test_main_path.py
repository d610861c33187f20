"""The main path, whole: from the portal's post to its row, counted at the sandbox."""

from pathlib import Path

from smsbridge.sandbox.orders import MessageOrigin, SendOrder
from tests.flow import harness


async def test_one_message_from_a_card_comes_back_delivered(tmp_path: Path) -> None:
    async with harness.running(tmp_path) as stack:
        await stack.control.send(harness.DOMAIN, SendOrder(origin=MessageOrigin.CARD, phone="+79990000001"))
        await stack.rows_right(seconds=30)
        ledger = await stack.smsc_ledger()
        assert (ledger.messages, ledger.accepted_requests) == (1, 1)
        assert (await stack.unaccounted())["unaccounted"] == 0
