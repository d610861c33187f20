"""The trace of a message from the door to the portal, as a collector sees it; and with none that answers."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from smsbridge.runtime import addresses
from smsbridge.sandbox.orders import SendOrder
from smsbridge.sandbox.settings import Profile
from tests.flow import collector, harness

PLAN = harness.Plan(profile=Profile.HTTP, spec={"routing": {"channel": "cascade", "viberTimeout": "2s"}})
ON_VIBER, NOT_ON_VIBER = "+79990000001", "+79990000080"


def config(endpoint: str) -> dict[str, Any]:
    return {**harness.SHORT, "tracing": {"endpoint": endpoint}}


def of(spans: Sequence[collector.Seen], name: str, *attributes: str) -> list[tuple[Any, ...]]:
    """Service and attributes of the spans of that name, by their attributes."""
    found = [(one.service, *(one.attributes[key] for key in attributes)) for one in spans if one.name == name]
    return sorted(found)


async def test_a_message_is_one_trace_over_all_roles(tmp_path: Path) -> None:
    async with collector.running() as seen:
        async with harness.running(tmp_path, PLAN, config=config(seen.endpoint)) as stack:
            for phone in (ON_VIBER, NOT_ON_VIBER):
                await stack.control.send(harness.DOMAIN, SendOrder(phone=phone, text="Письмо"))
            ids = await delivered(stack, 2)
        # What a process had still to send it has sent before it ended.
        assert {one.trace_id for one in seen.spans} == set(ids.values())
        check(seen.of(ids[ON_VIBER]), ["viber"])
        check(seen.of(ids[NOT_ON_VIBER]), ["viber", "sms"])
        said = json.dumps([one.attributes for one in seen.spans], ensure_ascii=False)
        assert stack.passed().found(said) == set()


def check(spans: list[collector.Seen], channels: list[str]) -> None:
    """All of one message, sent by these channels, the last of which arrived."""
    attempts = list(enumerate(channels, start=1))
    assert of(spans, "message", "provider", "origin", "lane") == [
        ("smsbridge-sender", "smsc", "card", "interactive")
    ]
    # Held where the gateway has not seen the new installation's token yet: released a moment later.
    kept = {word for _, word in of(spans, "message", "result")}
    assert kept <= {"accepted", "held"}
    assert of(spans, "door", "door", "result") == [("smsbridge-gateway", "handler", *kept)]
    assert of(spans, "smsc.send", "attempt", "channel", "result") == [
        ("smsbridge-sender", number, channel, "accepted") for number, channel in attempts
    ]
    states = [*["undelivered"] * (len(channels) - 1), "delivered"]
    found = of(spans, "smsc.receipt", "attempt", "state")
    assert set(found) >= {("smsbridge-status", number, state) for number, state in enumerate(states, start=1)}
    assert of(spans, "portal.write", "status", "result") == [("smsbridge-status", "delivered", "written")]
    [root] = [one for one in spans if one.name == "message"]
    assert (root.parent, root.span_id) == ("", root.trace_id[16:])
    assert {one.parent for one in spans if one is not root} == {root.span_id}
    assert len({one.span_id for one in spans}) == len(spans)


async def test_a_collector_that_is_away_delays_nothing_and_nobody(tmp_path: Path) -> None:
    nobody = f"http://{harness.HOST}:{addresses.free_port(harness.HOST)}/v1/traces"
    async with harness.running(tmp_path, PLAN, config=config(nobody)) as stack:
        await stack.control.send(harness.DOMAIN, SendOrder(phone=ON_VIBER, text="Письмо"))
        await delivered(stack, 1)
        assert (await stack.unaccounted())["unaccounted"] == 0
    assert stack.process is not None
    assert stack.process.returncode == 0  # not killed: every role ended in its time


async def delivered(stack: harness.Stack, count: int) -> dict[str, str]:
    """The message ids by phone, once the portal shows all as delivered."""

    async def there() -> bool:
        return [row.status for row in await stack.rows()] == ["delivered"] * count

    await harness.until(there, seconds=60, what=stack.log_tail)
    return {row.phone: row.message_id for row in await stack.rows()}
