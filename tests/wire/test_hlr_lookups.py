"""Look-ups by the whole hlr role against the sandbox's SMSC: what is bought, once, and what it costs."""

import asyncio
from decimal import Decimal

from smsbridge.core.number import LookupState, Reachability
from smsbridge.core.provider import Profile
from smsbridge.sandbox.server import Sandbox
from smsbridge.store.connection import Store
from tests.wire import hlr_lab, senders

ACTIVE, ABSENT, OFF = "79991234500", "79991234597", "79991234598"


async def test_guide_buys_once_and_knows_then(store: Store) -> None:
    async with Sandbox.running(senders.sandbox_settings()) as sandbox:
        one = hlr_lab.provider(sandbox.smsc_url, price="0.30")
        async with hlr_lab.running(store, one) as hlr:
            first = await hlr.client.lookup(hlr_lab.UID, [ACTIVE, ABSENT, OFF], wait_seconds=5)
            again = await hlr.client.lookup(hlr_lab.UID, [ACTIVE, ABSENT, OFF], wait_seconds=5)
            assert [(f.reachability, f.carrier, f.region, f.bought) for f in first] == [
                (Reachability.ACTIVE, "MegaFon", "Санкт-Петербург", True),
                (Reachability.ABSENT, "MegaFon", "Санкт-Петербург", True),
                (Reachability.UNAVAILABLE, "MegaFon", "Санкт-Петербург", True),
            ]
            assert [(f.state, f.bought, f.cost, f.cost_estimated) for f in again] == [
                (LookupState.KNOWN, False, Decimal("0.3"), True)
            ] * 3
            assert hlr_lab.bought(sandbox) == 3
            assert await hlr.spent() == (Decimal("0.9"), Decimal("0.9"), Decimal(0))


async def test_http_buys_a_hundred_with_one_request(store: Store) -> None:
    phones = [f"7999123{n:04d}" for n in range(80)]
    async with Sandbox.running(senders.sandbox_settings()) as sandbox:
        one = hlr_lab.provider(sandbox.smsc_url, Profile.HTTP)
        async with hlr_lab.running(store, one) as hlr:
            found = await hlr.client.lookup(hlr_lab.UID, phones, wait_seconds=10)
            assert {(f.state, f.reachability) for f in found} == {(LookupState.KNOWN, Reachability.ACTIVE)}
            assert {f.region for f in found} == {"Москва"}
            assert hlr_lab.bought(sandbox, "http") == 80
            assert sandbox.smsc.accounts["http"].totals.accepted_requests == 1
            assert {f.cost_estimated for f in found} == {False}


async def test_fifty_who_want_one_number_at_once_make_one_request(store: Store) -> None:
    async with Sandbox.running(senders.sandbox_settings()) as sandbox:
        for profile, login in ((Profile.GUIDE, "guide"), (Profile.HTTP, "http")):
            one = hlr_lab.provider(sandbox.smsc_url, profile)
            async with hlr_lab.running(store, one) as hlr, hlr_lab.running(store, one) as replica:
                asked = [hlr.one(ACTIVE) if n % 2 else replica.one(ACTIVE) for n in range(50)]
                found = await asyncio.gather(*asked)
                assert {f.reachability for f in found} == {Reachability.ACTIVE}
                assert hlr_lab.bought(sandbox, login) == 1
