"""`hlr.beforeSend` at the sender: an hlr role that is away stops nothing, and one that answers is heeded."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from smsbridge.core.message import Origin
from smsbridge.core.provider import Prices
from smsbridge.sandbox.faults import Fault, FaultKind
from smsbridge.sandbox.server import Sandbox
from smsbridge.store import registry, scripts, tags
from smsbridge.store.connection import Store
from tests.store import messages
from tests.wire import hlr_lab, senders

UID = messages.UID


@contextlib.asynccontextmanager
async def both(
    store: Store, sandbox: Sandbox, hlr: dict[str, Any], *, away: bool = False, **changes: Any
) -> AsyncIterator[senders.Sender]:
    """A sender and, where it is not away, the hlr role that it asks."""
    one = messages.provider(base_url=sandbox.smsc_url, prices=Prices())
    async with contextlib.AsyncExitStack() as stack:
        address = senders.NOWHERE
        if not away:
            lab = await stack.enter_async_context(hlr_lab.running(store, one, hlr=hlr))
            address = lab.role.address
        await registry.Registry(store, senders.KEYRING).put(one, sections={"hlr": hlr})
        yield await stack.enter_async_context(senders.running(store, sandbox, hlr=address, **changes))


async def whys(sender: senders.Sender, number: int) -> list[str]:
    found = await sender.store.redis.lrange(f"{tags.provider(UID)}h:{number:032x}", 0, -1)
    events = [scripts.decode(event) for event in found]
    return [event["why"] for event in events if event["what"] == "unchecked"]


@pytest.mark.parametrize(
    ("before_send", "origin", "why"),
    [
        ("always", Origin.MARKETING, ["hlr_away"]),
        ("always", Origin.CARD, []),
        ("cached", Origin.MARKETING, []),
    ],
)
async def test_an_hlr_that_is_away_stops_nothing(
    store: Store, before_send: str, origin: Origin, why: list[str]
) -> None:
    async with Sandbox.running(senders.sandbox_settings()) as sandbox:
        rules = {"beforeSend": before_send}
        async with both(store, sandbox, rules, away=True, lookup_away_seconds=0.5) as sender:
            await senders.submit(sender.client, range(3), origin=origin)
            await senders.all_sent(store, 3)
            assert await whys(sender, 0) == why
            assert sorted(m.phone for m in sender.account().messages) == sorted(
                messages.phone(n).lstrip("+") for n in range(3)
            )


async def test_interactive_messages_are_sent_without_buying(store: Store) -> None:
    async with (
        Sandbox.running(senders.sandbox_settings()) as sandbox,
        both(store, sandbox, {"beforeSend": "always"}) as sender,
    ):
        await senders.submit(sender.client, range(3), origin=Origin.CARD)
        await senders.all_sent(store, 3)
        assert hlr_lab.bought(sandbox) == 0
        await senders.submit(sender.client, range(3, 6), origin=Origin.MARKETING)
        await senders.all_sent(store, 6)
        assert hlr_lab.bought(sandbox) == 3


async def test_a_look_up_that_takes_too_long_is_not_waited_for(store: Store) -> None:
    async with Sandbox.running(senders.sandbox_settings()) as sandbox:
        rules = {"beforeSend": "always"}
        async with both(store, sandbox, rules, lookup_most_seconds=0.5) as sender:
            hangs = Fault(kind=FaultKind.TIMEOUT_BEFORE_ACCEPT, call="hlr", seconds=5)
            sandbox.smsc.accounts["guide"].faults.add(hangs)
            await senders.submit(sender.client, range(1), origin=Origin.MARKETING)
            await senders.all_sent(store, 1)
            assert await whys(sender, 0) in (["pending"], ["unanswered"])
