"""Look-ups by the whole hlr role against the sandbox's SMSC: what is bought, once, and what it costs."""

import asyncio
import time
from collections import Counter
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from smsbridge.api.v1 import hlr_pb2
from smsbridge.core import errors
from smsbridge.core.number import LookupState, Reachability
from smsbridge.core.provider import Batching, Profile, Provider
from smsbridge.sandbox.faults import Fault, FaultKind
from smsbridge.sandbox.server import Sandbox
from smsbridge.smsc import account as smsc_account
from smsbridge.store import account, tags
from smsbridge.store.connection import Store
from smsbridge.store.lookups import Lookups
from tests.store.journey import Journey
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
                assert sum(f.bought for f in found) == 1
                assert hlr_lab.bought(sandbox, login) == 1


DONE_FIRST = {FaultKind.TIMEOUT_AFTER_ACCEPT, FaultKind.RESET_AFTER_ACCEPT}


def fault(sandbox: Sandbox, kind: FaultKind, login: str = "guide", **how: Any) -> None:
    sandbox.smsc.accounts[login].faults.add(Fault(kind=kind, **how))


async def test_a_delivered_sms_is_proof_of_life_and_costs_nothing(store: Store) -> None:
    async with Sandbox.running(senders.sandbox_settings()) as sandbox:
        one = replace(hlr_lab.provider(sandbox.smsc_url), batching=Batching(interactive_linger_ms=0))
        way = Journey(store, one)
        [mid] = await way.sent([1], recipient=ACTIVE)
        await way.say(mid, 1)
        async with hlr_lab.running(store, one) as hlr:
            found = await hlr.one(ACTIVE)
            assert (found.state, found.reachability, found.reason, found.bought) == (
                LookupState.KNOWN,
                Reachability.ACTIVE,
                "delivered",
                False,
            )
            assert (found.carrier, found.cost) == ("", None)
            assert hlr_lab.bought(sandbox) == 0
            (described,) = await hlr.client.describe(hlr_lab.UID, [ACTIVE])
            assert described == found
            assert hlr.sample("lookups_total", namespace="crm", provider="p1", outcome="active",
                              source="delivery") == 1  # fmt: skip
            bought = await hlr.one(ABSENT)
            assert (bought.reachability, bought.bought) == (Reachability.ABSENT, True)


async def test_a_delivery_older_than_asked_for_proves_nothing(store: Store) -> None:
    async with Sandbox.running(senders.sandbox_settings()) as sandbox:
        one = hlr_lab.provider(sandbox.smsc_url)
        await store.redis.set(f"{tags.provider(one.uid)}al:{ACTIVE}", round(time.time() * 1000) - 3_600_000)
        async with hlr_lab.running(store, one) as hlr:
            assert (await hlr.one(ACTIVE, max_age_seconds=7200)).reason == "delivered"
            assert (await hlr.one(ACTIVE, max_age_seconds=1800)).bought


async def test_a_budget_of_zero_buys_nothing_and_says_so(store: Store) -> None:
    async with Sandbox.running(senders.sandbox_settings()) as sandbox:
        one = hlr_lab.provider(sandbox.smsc_url)
        async with hlr_lab.running(store, one, hlr={"dailyBudget": "0"}) as hlr:
            found = await hlr.one(ACTIVE)
            assert (found.state, found.reason, found.bought) == (LookupState.REFUSED, "budget", False)
            assert hlr_lab.bought(sandbox) == 0
            labels = {"namespace": "crm", "provider": "p1", "outcome": "refused", "source": "none"}
            assert hlr.sample("lookups_total", **labels) == 1
            assert hlr.sample("refused_total", namespace="crm", provider="p1", why="budget") == 1


async def test_what_rules_watch_is_there_before_anything_happens(store: Store) -> None:
    place = {"namespace": "crm", "provider": "p1"}
    async with hlr_lab.running(store, hlr_lab.provider("http://127.0.0.1:9")) as hlr:
        for name, labels in (
            ("lookups", {**place, "outcome": "refused", "source": "none"}),
            ("refused", {**place, "why": "budget"}),
            ("loop_errors", {"loop": "measure"}),
        ):
            assert hlr.metrics.get_sample_value(f"smsbridge_hlr_{name}_total", labels) == 0


@pytest.mark.parametrize("profile", Profile)
async def test_a_budget_pays_for_so_many_and_no_more(store: Store, profile: Profile) -> None:
    """Also where all ask at once: 1.60 roubles are three look-ups of 0.50."""
    phones = [f"7999123{n:04d}" for n in range(20)]
    async with Sandbox.running(senders.sandbox_settings()) as sandbox:
        one = hlr_lab.provider(sandbox.smsc_url, profile, price="0.50")
        async with (
            hlr_lab.running(store, one, hlr={"dailyBudget": "1.60"}) as hlr,
            hlr_lab.running(store, one, hlr={"dailyBudget": "1.60"}) as replica,
        ):
            asked = [(hlr if n % 2 else replica).one(phone) for n, phone in enumerate(phones)]
            found = await asyncio.gather(*asked)
            states = Counter((one.state, one.reason) for one in found)
            assert states == {(LookupState.KNOWN, ""): 3, (LookupState.REFUSED, "budget"): 17}
            assert hlr_lab.bought(sandbox, profile.value) == 3
            spent, _, reserved = await hlr.spent()
            assert (spent, reserved) == (Decimal("1.5"), Decimal(0))


@pytest.mark.parametrize(
    "how",
    [
        {"kind": FaultKind.HTML, "accept": True},
        {"kind": FaultKind.HTML},
        {"kind": FaultKind.TIMEOUT_AFTER_ACCEPT, "seconds": 1},
        {"kind": FaultKind.RESET_AFTER_ACCEPT},
        {"kind": FaultKind.HTTP_500},
        {"kind": FaultKind.EMPTY},
    ],
    ids=lambda how: f"{how['kind']}{'-done' if how.get('accept') else ''}",
)
async def test_guide_an_unanswered_look_up_rests_and_counts_as_spent(
    store: Store, how: dict[str, Any]
) -> None:
    async with Sandbox.running(senders.sandbox_settings()) as sandbox:
        one = hlr_lab.provider(sandbox.smsc_url, price="0.30")
        async with hlr_lab.running(store, one) as hlr:
            fault(sandbox, call="hlr", count=1, **how)
            for _ in range(3):
                found = await hlr.one(ACTIVE)
                assert (found.state, found.reason) == (LookupState.PENDING, "unanswered")
            assert sum(sandbox.smsc.accounts["guide"].totals.requests["hlr"].values()) == 1 + (
                how["kind"] in DONE_FIRST or how.get("accept", False)
            )
            assert await hlr.spent() == (Decimal("0.3"), Decimal("0.3"), Decimal(0))


async def test_guide_after_its_rest_a_number_is_looked_up_again(store: Store) -> None:
    async with Sandbox.running(senders.sandbox_settings()) as sandbox:
        one = hlr_lab.provider(sandbox.smsc_url)
        async with hlr_lab.running(store, one, unanswered_rest_seconds=0.3) as hlr:
            fault(sandbox, FaultKind.HTML, call="hlr", count=1)
            assert (await hlr.one(ACTIVE)).reason == "unanswered"

            async def known() -> bool:
                return (await hlr.one(ACTIVE)).state is LookupState.KNOWN

            await senders.until(known)
            assert hlr_lab.bought(sandbox) == 1
            assert await hlr.spent() == (Decimal(1), Decimal(1), Decimal(0))


@pytest.mark.parametrize(
    ("kind", "taken"),
    [
        (FaultKind.TIMEOUT_AFTER_ACCEPT, True),
        (FaultKind.HTTP_502_AFTER_ACCEPT, True),
        (FaultKind.HTTP_502_THEN_ACCEPT_AFTER, True),
        (FaultKind.TIMEOUT_BEFORE_ACCEPT, False),
        (FaultKind.HTTP_500, False),
    ],
)
async def test_http_an_unanswered_look_up_is_asked_about_and_bought_once(
    store: Store, kind: FaultKind, taken: bool
) -> None:
    async with Sandbox.running(senders.sandbox_settings()) as sandbox:
        one = hlr_lab.provider(sandbox.smsc_url, Profile.HTTP)
        async with hlr_lab.running(store, one) as hlr:
            assert (await hlr.one(ABSENT)).reachability is Reachability.ABSENT  # status.php is proved now
            fault(sandbox, kind, "http", count=1, seconds=1)
            found = await hlr.one(ACTIVE)
            if taken:
                assert (found.state, found.reachability) == (LookupState.KNOWN, Reachability.ACTIVE)
            else:
                assert (found.state, found.reason) in {
                    (LookupState.FAILED, "not_taken"),
                    (LookupState.PENDING, ""),
                }
                assert await hlr.spent() == (Decimal("0.5"), Decimal(0), Decimal(0))
                assert (await hlr.one(ACTIVE)).reachability is Reachability.ACTIVE
            assert hlr_lab.bought(sandbox, "http") == 2
            assert await hlr.spent() == (Decimal(1), Decimal(0), Decimal(0))


async def test_http_who_cannot_be_asked_about_rests_and_counts_as_spent(store: Store) -> None:
    """status.php has never shown that it finds our ids: its "not found" means nothing."""
    async with Sandbox.running(senders.sandbox_settings()) as sandbox:
        one = hlr_lab.provider(sandbox.smsc_url, Profile.HTTP)
        async with hlr_lab.running(store, one) as hlr:
            fault(sandbox, FaultKind.HTTP_500, "http", count=2)  # the price question and the look-up
            found = await hlr.one(ACTIVE, wait_seconds=3)
            assert (found.state, found.reason) == (LookupState.PENDING, "unanswered")
            assert hlr_lab.bought(sandbox, "http") == 0
            assert await hlr.spent() == (Decimal("0.5"), Decimal("0.5"), Decimal(0))


@pytest.mark.parametrize("profile", Profile)
async def test_an_account_without_money_says_so_and_is_paused(store: Store, profile: Profile) -> None:
    async with Sandbox.running(senders.sandbox_settings()) as sandbox:
        one = hlr_lab.provider(sandbox.smsc_url, profile)
        async with hlr_lab.running(store, one) as hlr:
            fault(
                sandbox, FaultKind.NO_MONEY, profile.value, call="hlr" if profile is Profile.GUIDE else "send"
            )
            found = await hlr.one(ACTIVE)
            assert (found.state, found.reason) == (LookupState.FAILED, "money")
            other = await hlr.one(ABSENT)
            assert (other.state, other.reason) == (LookupState.REFUSED, "money")
            assert await hlr.spent() == (Decimal(0), Decimal(0), Decimal(0))
            paused = await senders_account(store, one)
            assert paused.pause == "money"
            # Looked at once: what there is now is the mark that a top-up has to pass.
            assert paused.next_probe_at_ms <= await store.now_ms(tags.EGRESS)


async def senders_account(store: Store, one: Provider) -> account.AccountState:
    key = smsc_account.of(one.account).key
    return await account.Accounts(store, senders.LIMITS).state(key)


async def test_http_a_bad_number_does_not_spoil_the_others(store: Store) -> None:
    """Ending 94 makes SMSC refuse the request: it is found by halving, and the others are looked up."""
    phones = [f"7999123{n:04d}" for n in (*range(30), 94)]
    async with Sandbox.running(senders.sandbox_settings()) as sandbox:
        one = hlr_lab.provider(sandbox.smsc_url, Profile.HTTP)
        async with hlr_lab.running(store, one) as hlr:
            found = await hlr.client.lookup(hlr_lab.UID, phones, wait_seconds=10)
            assert [f.reachability for f in found[:30]] == [Reachability.ACTIVE] * 30
            bad = found[30]
            assert (bad.state, bad.reachability, bad.reason) == (
                LookupState.KNOWN,
                Reachability.UNKNOWN,
                "bad_number",
            )
            assert hlr_lab.bought(sandbox, "http") == 30
            assert await hlr.spent() == (Decimal(15), Decimal(0), Decimal(0))


async def test_http_a_callback_tells_before_status_does(store: Store) -> None:
    """status.php is down: what the callback said counts, without the region."""
    async with Sandbox.running(senders.sandbox_settings()) as sandbox:
        one = hlr_lab.provider(sandbox.smsc_url, Profile.HTTP)
        async with hlr_lab.running(store, one) as hlr:
            fault(sandbox, FaultKind.STATUS_DOWN, "http", call="status")
            assert (await hlr.one(ABSENT, wait_seconds=0.5)).state is LookupState.PENDING
            (message,) = [m for m in sandbox.smsc.accounts["http"].messages if m.phone == ABSENT]
            key = smsc_account.of(one.account).key
            result = hlr_pb2.HlrResult(
                account_key=key, smsc_id=str(message.smsc_id), msisdn=ABSENT, code=20, err=1,
                extra={"net": "MegaFon"},
            )  # fmt: skip
            for _ in range(2):
                await hlr.client.record_results([result])
            found = await hlr.one(ABSENT, wait_seconds=0)
            assert (found.state, found.reachability, found.carrier, found.region) == (
                LookupState.KNOWN,
                Reachability.ABSENT,
                "MegaFon",
                "",
            )
            sandbox.smsc.accounts["http"].faults.clear()

            async def whole() -> bool:
                return (await hlr.one(ABSENT, wait_seconds=0)).region == "Санкт-Петербург"

            await senders.until(whole)
            assert hlr_lab.bought(sandbox, "http") == 1


async def test_strange_results_change_nothing(store: Store) -> None:
    async with Sandbox.running(senders.sandbox_settings()) as sandbox:
        one = hlr_lab.provider(sandbox.smsc_url, Profile.HTTP)
        async with hlr_lab.running(store, one) as hlr:
            key = smsc_account.of(one.account).key
            strange = [
                hlr_pb2.HlrResult(account_key=key, smsc_id="nobody", msisdn=ACTIVE, code=1, err=0),
                hlr_pb2.HlrResult(account_key="nobody", smsc_id="x", msisdn=ACTIVE, code=1, err=0),
                hlr_pb2.HlrResult(account_key=key, smsc_id="x", msisdn="", code=20, err=1),
                hlr_pb2.HlrResult(account_key=key, smsc_id="x", msisdn=ACTIVE, code=0, err=-1),
            ]
            await hlr.client.record_results(strange)
            (found,) = await hlr.client.describe(hlr_lab.UID, [ACTIVE])
            assert found.reachability is Reachability.UNKNOWN
            assert (
                hlr.sample("results_total", result="unknown"),
                hlr.sample("results_total", result="pending"),
            ) == (
                3,
                1,
            )


async def test_a_crash_between_intent_and_answer_buys_nothing_twice(store: Store) -> None:
    """A role ends with its request under way: the next one asks (http), or lets the number rest (guide)."""
    async with Sandbox.running(senders.sandbox_settings()) as sandbox:
        for profile, login in ((Profile.GUIDE, "guide"), (Profile.HTTP, "http")):
            one = hlr_lab.provider(sandbox.smsc_url, profile)
            script = "hlr" if profile is Profile.GUIDE else "send"
            fault(sandbox, FaultKind.TIMEOUT_AFTER_ACCEPT, login, call=script, count=1, seconds=30)
            if profile is Profile.HTTP:
                await seen_price(store, one)
            async with hlr_lab.running(store, one, total_seconds=20, stop_grace_seconds=0.1) as hlr:
                assert (await hlr.one(OFF, wait_seconds=0.3)).state is LookupState.PENDING

                async def taken(login: str = login) -> bool:
                    return hlr_lab.bought(sandbox, login) == 1

                await senders.until(taken)
            async with hlr_lab.running(store, one) as hlr:
                found = await hlr.one(OFF)
                if profile is Profile.HTTP:
                    assert (found.state, found.reachability) == (LookupState.KNOWN, Reachability.UNAVAILABLE)
                else:
                    assert found.state is LookupState.PENDING
            assert hlr_lab.bought(sandbox, login) == 1


async def seen_price(store: Store, one: Provider) -> None:
    lookups = Lookups(store, senders.KEYRING)
    await lookups.saw_price(smsc_account.of(one.account).key, Decimal("0.50"), seconds=60)


async def test_what_an_account_bought_serves_its_other_provider_and_not_its_budget(store: Store) -> None:
    async with Sandbox.running(senders.sandbox_settings()) as sandbox:
        one = hlr_lab.provider(sandbox.smsc_url, price="0.30")
        other = hlr_lab.provider(sandbox.smsc_url, price="0.30", uid=hlr_lab.OTHER_UID)
        async with hlr_lab.running(store, one, other) as hlr:
            assert (await hlr.one(ACTIVE)).bought
            found = await hlr.one(ACTIVE, uid=hlr_lab.OTHER_UID)
            assert (found.reachability, found.bought) == (Reachability.ACTIVE, False)
            assert (await hlr.spent(), await hlr.spent(hlr_lab.OTHER_UID)) == (
                (Decimal("0.3"), Decimal("0.3"), Decimal(0)),
                (Decimal(0), Decimal(0), Decimal(0)),
            )


async def test_describe_spends_nothing_and_age_counts(store: Store) -> None:
    async with Sandbox.running(senders.sandbox_settings()) as sandbox:
        one = hlr_lab.provider(sandbox.smsc_url)
        async with hlr_lab.running(store, one) as hlr:
            (unknown,) = await hlr.client.describe(hlr_lab.UID, [ABSENT])
            assert (unknown.state, unknown.reason) == (LookupState.REFUSED, "not_known")
            assert (unknown.reachability, hlr_lab.bought(sandbox)) == (Reachability.UNKNOWN, 0)
            await hlr.one(ABSENT)
            (known,) = await hlr.client.describe(hlr_lab.UID, [ABSENT])
            assert (known.state, known.reachability) == (LookupState.KNOWN, Reachability.ABSENT)
            await asyncio.sleep(1.1)
            assert (await hlr.one(ABSENT, max_age_seconds=1)).bought
            assert hlr_lab.bought(sandbox) == 2


@pytest.mark.parametrize(
    ("phones", "sentence"),
    [
        ([ACTIVE] * 1001, "msisdns: at most 1000 numbers at a time"),
        (["call me"], "msisdns: holds something that is no full international number in digits"),
    ],
)
async def test_wrong_questions_are_refused(store: Store, phones: list[str], sentence: str) -> None:
    async with hlr_lab.running(store, hlr_lab.provider("http://127.0.0.1:9")) as hlr:
        for call in (hlr.client.lookup, hlr.client.describe):
            with pytest.raises(errors.InputError) as wrong:
                await call(hlr_lab.UID, phones)
            assert wrong.value.sentence == sentence
        assert await hlr.client.lookup(hlr_lab.UID, []) == []
        (stranger,) = await hlr.client.lookup("nobody", [ACTIVE])
        assert (stranger.state, stranger.reason) == (LookupState.REFUSED, "removed")


async def test_no_number_is_readable_in_the_store(store: Store) -> None:
    async with Sandbox.running(senders.sandbox_settings()) as sandbox:
        for profile in Profile:
            one = hlr_lab.provider(sandbox.smsc_url, profile)
            async with hlr_lab.running(store, one) as hlr:
                await hlr.one(ACTIVE, wait_seconds=0.05)
        for key in await store.redis.keys("*"):
            kind = await store.redis.type(key)
            value = await store.redis.hgetall(key) if kind == b"hash" else key
            assert ACTIVE.encode() not in key
            assert ACTIVE not in str(value)
