"""The verification of a contact base by the whole hlr role, against the sandbox's portal and SMSC."""

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from smsbridge.core import errors
from smsbridge.core.errand import EntityType
from smsbridge.core.message import Channel
from smsbridge.core.provider import Profile
from smsbridge.core.verification import Source, State
from smsbridge.rpc.errors import NotFound
from smsbridge.sandbox.crm import Kind
from smsbridge.sandbox.faults import Fault, FaultKind
from smsbridge.store.connection import Store
from tests.wire import verification_lab
from tests.wire.verification_lab import role, world

ACTIVE, ABSENT, OFF = "+79991234500", "+79991234597", "+79991234598"
MSK = "+7999200{:04d}"


@pytest.mark.parametrize("profile", Profile)
async def test_contacts_are_looked_up_once_and_written(store: Store, profile: Profile) -> None:
    async with world(store, profile) as one, role(one):
        entities = one.add([ACTIVE], [ABSENT], [OFF], [], [ABSENT, ACTIVE])
        quoted = await one.quoted()
        assert quoted.state is State.QUOTED
        assert quoted.quote is not None
        assert (quoted.quote.entities, quoted.quote.numbers, quoted.quote.known) == (5, 3, 0)
        assert one.looked_up == {}
        await one.client.confirm_verification(quoted.id, roubles=quoted.quote.roubles)
        done = await one.stands(quoted.id)
        assert (done.state, done.reason) == (State.DONE, "")
        assert [one.shows(entity)[0] for entity in entities] == [
            "active", "absent", "unavailable", "", "active",
        ]  # fmt: skip
        assert one.shows(entities[0]) == ("active", "MegaFon", "Санкт-Петербург", True)
        assert set(one.looked_up.values()) == {1}
        assert len(one.looked_up) == 3
        assert dict(done.outcomes) == {"active": 1, "absent": 1, "unavailable": 1}
        progress = done.progress
        assert (progress.entities, progress.without_phone, progress.written) == (5, 1, 4)
        assert (progress.numbers, progress.bought) == (3, 3)
        assert progress.spent == quoted.quote.roubles
        assert done.saves == Decimal("4.00")
        assert await one.budget_spent() == 0


async def test_nothing_is_spent_before_a_yes_to_that_very_quote(store: Store) -> None:
    async with world(store) as one, role(one):
        one.add([ACTIVE], [ABSENT])
        quoted = await one.quoted()
        with pytest.raises(errors.Refused, match=r"its quote is 1\.00 roubles, not 0\.50"):
            await one.client.confirm_verification(quoted.id, roubles=Decimal("0.50"))
        await asyncio.sleep(0.3)
        assert (one.looked_up, one.updates) == ({}, 0)
        for _ in range(2):
            await one.client.confirm_verification(quoted.id, roubles=Decimal("1.00"))
        assert (await one.stands(quoted.id)).state is State.DONE
        with pytest.raises(errors.Refused, match="it has ended before: it is done"):
            await one.client.cancel_verification(quoted.id)
        with pytest.raises(NotFound):
            await one.client.get_verification("nobody")


@pytest.mark.parametrize("profile", Profile)
async def test_a_second_run_buys_nothing_and_writes_nothing(store: Store, profile: Profile) -> None:
    async with world(store, profile) as one, role(one):
        one.add(*([MSK.format(n)] for n in range(70)))
        first = await one.run()
        assert (first.progress.written, one.updates) == (70, 70)
        second = await one.run()
        assert second.quote is not None
        assert (second.quote.numbers, second.quote.known, second.quote.roubles) == (0, 70, 0)
        assert (second.progress.written, second.progress.unchanged, one.updates) == (0, 70, 70)
        assert (second.progress.bought, second.progress.spent) == (0, 0)
        assert set(one.looked_up.values()) == {1}
        one.crm.update(one.add(["+79992000000"])[0], {}, by=1, now=one.sandbox.clock.now())
        third = await one.run()
        assert (third.progress.written, one.updates) == (1, 71)


@pytest.mark.parametrize("profile", Profile)
async def test_it_spends_its_quote_and_not_the_daily_budget(store: Store, profile: Profile) -> None:
    """And stops when that is used up, keeping its place; a new quote for the rest takes it to its end."""
    async with world(store, profile, price="0.50") as one, role(one, hlr={"dailyBudget": "0"}):
        entities = one.add(*([MSK.format(n)] for n in range(30)))
        quoted = await one.quoted()
        assert quoted.quote is not None
        entities += one.add(*([MSK.format(n)] for n in range(40, 60)))  # behind the quote's back
        await one.client.confirm_verification(quoted.id)
        paused = await one.stands(quoted.id)
        assert (paused.state, paused.reason) == (State.PAUSED, "quote_used")
        assert len(one.looked_up) == 30
        assert paused.progress.spent <= quoted.quote.roubles
        await asyncio.sleep(0.5)
        assert len(one.looked_up) == 30
        await one.client.resume_verification(quoted.id)
        again = await one.stands(quoted.id)
        assert again.state is State.QUOTED
        assert again.quote is not None
        assert (again.quote.numbers, again.quote.roubles) == (20, again.quote.price * 20)
        await one.client.confirm_verification(quoted.id)
        done = await one.stands(quoted.id)
        assert (done.state, done.progress.entities, done.progress.numbers) == (State.DONE, 50, 50)
        assert done.progress.spent == quoted.quote.roubles + again.quote.roubles
        assert {one.shows(entity)[0] for entity in entities} == {"active"}
        assert set(one.looked_up.values()) == {1}
        assert await one.budget_spent() == 0


@pytest.mark.parametrize("profile", Profile)
async def test_an_account_without_money_pauses_it_until_there_is_some(store: Store, profile: Profile) -> None:
    async with world(store, profile) as one, role(one):
        entities = one.add(*([MSK.format(n)] for n in range(60)))
        quoted = await one.quoted()
        one.fault(FaultKind.NO_MONEY)
        await one.client.confirm_verification(quoted.id)
        paused = await one.stands(quoted.id)
        assert (paused.state, paused.reason) == (State.PAUSED, "money")
        await asyncio.sleep(0.6)
        assert (await one.client.get_verification(quoted.id)).reason == "money"
        one.account.faults.clear()
        await one.accounts.resume(one.account_key)  # as the sender does when the balance has grown
        done = await one.comes(quoted.id, State.DONE)
        assert done.progress.written == 60
        assert {one.shows(entity)[0] for entity in entities} == {"active"}
        assert set(one.looked_up.values()) == {1}


async def test_a_refused_login_pauses_it(store: Store) -> None:
    async with world(store) as one, role(one):
        one.add([ACTIVE])
        quoted = await one.quoted()
        one.account.settings.password = "another"
        await one.client.confirm_verification(quoted.id)
        assert (await one.stands(quoted.id)).reason == "login"


@pytest.mark.parametrize(
    ("phones", "reason"),
    [([], "nothing_found"), ([[], ["call me"]], "no_phones")],
    ids=["nothing", "no phones"],
)
async def test_where_there_is_nothing_to_verify(store: Store, phones: list[Any], reason: str) -> None:
    async with world(store) as one, role(one):
        one.add(*phones)
        failed = await one.quoted()
        assert (failed.state, failed.reason) == (State.FAILED, reason)
        with pytest.raises(errors.Refused):
            await one.client.confirm_verification(failed.id)
        with pytest.raises(errors.Refused, match="start another one"):
            await one.client.resume_verification(failed.id)


async def test_a_filter_in_the_crm_s_own_words(store: Store) -> None:
    async with world(store) as one, role(one):
        (wanted,) = one.add([ACTIVE], TYPE_ID="CLIENT")
        (other,) = one.add([ABSENT], TYPE_ID="SUPPLIER")
        done = await one.run(Source(EntityType.CONTACT, {"TYPE_ID": "CLIENT"}))
        assert (done.progress.entities, dict(done.source.where)) == (1, {"TYPE_ID": "CLIENT"})
        assert (one.shows(wanted)[0], one.shows(other)[0]) == ("active", "")
        empty = await one.quoted(Source(EntityType.CONTACT, {"TYPE_ID": "PARTNER"}))
        assert (empty.state, empty.reason) == (State.FAILED, "nothing_found")
        one.portal.faults.add(Fault(kind=FaultKind.COMMAND_ERROR, call="crm.contact.list", error=""))
        refused = await one.quoted()
        assert (refused.state, refused.reason) == (State.FAILED, "filter_refused")


@pytest.mark.parametrize("kind", [EntityType.LEAD, EntityType.COMPANY])
async def test_leads_and_companies(store: Store, kind: EntityType) -> None:
    async with world(store) as one, role(one):
        (entity,) = one.add([ABSENT], kind=Kind(kind))
        assert (await one.run(Source(kind))).state is State.DONE
        assert one.shows(entity)[0] == "absent"


async def test_a_portal_that_cannot_be_called_or_lacks_the_fields(store: Store) -> None:
    async with world(store, installed=False) as one, role(one):
        failed = await one.quoted()
        assert (failed.state, failed.reason) == (State.FAILED, "not_installed")
    async with world(store, with_fields=False) as one, role(one):
        one.add([ACTIVE])
        failed = await one.quoted()
        assert (failed.state, failed.reason) == (State.FAILED, "no_fields")


async def test_what_was_missing_is_seen_as_soon_as_it_is_there(store: Store) -> None:
    async with world(store, installed=False) as one, role(one):
        one.add([ACTIVE])
        assert (await one.quoted()).reason == "not_installed"
        await verification_lab.install(one)
        assert (await one.quoted()).reason == "no_fields"
        await verification_lab.make_fields(one)
        quoted = await one.quoted()
        assert (quoted.state, quoted.reason) == (State.QUOTED, "")


async def test_a_contact_is_as_reachable_as_its_best_phone(store: Store) -> None:
    ten = [f"+799920{n:03d}97" for n in range(9)] + [OFF]
    async with world(store, Profile.HTTP) as one, role(one):
        first, second, third = one.add([*ten[:5], ACTIVE, *ten[5:]], ten, ten[:9])
        done = await one.run()
        assert [one.shows(entity)[0] for entity in (first, second, third)] == [
            "active", "unavailable", "absent",
        ]  # fmt: skip
        assert (done.progress.numbers, sum(one.looked_up.values())) == (11, 11)
        assert done.saves == Decimal("36.00")


async def test_what_is_deleted_meanwhile_counts_as_gone(store: Store) -> None:
    async with world(store) as one, role(one):
        entities = one.add(*([MSK.format(n)] for n in range(10)))
        quoted = await one.quoted()
        one.account.settings.latency_ms = 100
        await one.client.confirm_verification(quoted.id)
        while not one.looked_up:
            await asyncio.sleep(0.01)
        del one.crm.entities[Kind.CONTACT][entities[-1].entity_id]
        done = await one.stands(quoted.id)
        assert (done.progress.entities, done.progress.written, done.progress.gone) == (10, 9, 1)


async def test_a_look_up_nobody_knows_of_is_not_made_again(store: Store) -> None:
    """Profile guide: SMSC answers HTML, and may have done it."""
    async with world(store) as one, role(one):
        entities = one.add(*([MSK.format(n)] for n in range(8)))
        quoted = await one.quoted()
        one.account.faults.add(Fault(kind=FaultKind.HTML, call="hlr", accept=True, count=2))
        await one.client.confirm_verification(quoted.id)
        done = await one.stands(quoted.id)
        assert dict(done.outcomes) == {"active": 6, "unanswered": 2}
        assert sorted(one.shows(entity)[0] for entity in entities) == ["", ""] + ["active"] * 6
        assert set(one.looked_up.values()) == {1}
        assert done.progress.spent == Decimal("4.00")


async def test_a_look_up_that_was_not_answered_is_asked_about(store: Store) -> None:
    """Profile http: the account tells what became of it."""
    async with world(store, Profile.HTTP) as one, role(one):
        one.add([ACTIVE])
        assert (await one.run()).state is State.DONE
        entities = one.add(*([MSK.format(n)] for n in range(8)))
        quoted = await one.quoted()
        one.account.faults.add(Fault(kind=FaultKind.HTML, call="send", accept=True, count=1))
        await one.client.confirm_verification(quoted.id)
        assert dict((await one.stands(quoted.id)).outcomes) == {"active": 9}
        assert {one.shows(entity)[0] for entity in entities} == {"active"}
        assert set(one.looked_up.values()) == {1}


@pytest.mark.parametrize("profile", Profile)
async def test_it_is_cancelled(store: Store, profile: Profile) -> None:
    async with world(store, profile) as one, role(one):
        one.add(*([MSK.format(n)] for n in range(79)))
        quoted = await one.quoted()
        one.account.settings.latency_ms = 50
        await one.client.confirm_verification(quoted.id)
        while not one.looked_up:
            await asyncio.sleep(0.01)
        for _ in range(2):
            cancelled = await one.client.cancel_verification(quoted.id)
            assert cancelled.state is State.CANCELLED
        one.account.settings.latency_ms = 0
        await asyncio.sleep(1.0)
        bought = len(one.looked_up)
        await asyncio.sleep(0.5)
        assert len(one.looked_up) == bought
        with pytest.raises(errors.Refused):
            await one.client.resume_verification(quoted.id)
        assert [found.state for found in await one.client.list_verifications()] == [State.CANCELLED]


@pytest.mark.parametrize("profile", Profile)
async def test_a_role_that_ends_in_the_middle_again_and_again(store: Store, profile: Profile) -> None:
    async with world(store, profile) as one:
        entities = one.add(*([MSK.format(n // 75 * 100 + n % 75)] for n in range(240)))
        async with role(one):
            quoted = await one.quoted()
            await one.client.confirm_verification(quoted.id)
        for n in range(6):
            one.account.settings.latency_ms = 20
            async with role(one):
                await asyncio.sleep(0.15 + n / 20)
        one.account.settings.latency_ms = 0
        async with role(one), role(one):
            done = await one.stands(quoted.id)
        assert (done.state, done.progress.entities, done.progress.numbers) == (State.DONE, 240, 240)
        assert {one.shows(entity)[0] for entity in entities} == {"active"}
        assert len(one.looked_up) == 240
        assert set(one.looked_up.values()) == {1}
        assert one.seen.status_503 == 0


@pytest.mark.parametrize(
    "kind", [FaultKind.QUERY_LIMIT, FaultKind.HTTP_500, FaultKind.HTML, FaultKind.RESET_AFTER_ACCEPT]
)
async def test_a_portal_in_trouble_is_waited_for(store: Store, kind: FaultKind) -> None:
    limits = verification_lab.FAST.model_copy(update={"back_off_seconds": 0.05, "back_off_most_seconds": 0.1})
    async with world(store, limits=limits) as one, role(one, limits=limits):
        entities = one.add(*([MSK.format(n)] for n in range(60)))
        one.portal.faults.add(Fault(kind=kind, call="crm.contact.list", count=3))
        one.portal.faults.add(Fault(kind=kind, call="batch", count=3))
        done = await one.run()
        assert (done.state, done.progress.written + done.progress.unchanged) == (State.DONE, 60)
        assert {one.shows(entity)[0] for entity in entities} == {"active"}
        assert set(one.looked_up.values()) == {1}


async def test_updates_go_in_full_requests(store: Store) -> None:
    async with world(store, Profile.HTTP) as one, role(one):
        one.add(*([MSK.format(n // 75 * 100 + n % 75)] for n in range(200)))
        before = one.seen.batches
        assert (await one.run()).progress.written == 200
        assert one.seen.batches - before <= 6  # four full ones, and one that asks for the fields
        assert one.seen.methods["crm.contact.list"] == 2 * 5


async def test_numbers_of_a_file(store: Store) -> None:
    async with world(store, installed=False) as one, role(one):
        digits = [MSK.format(n).lstrip("+") for n in range(70)] + [ABSENT.lstrip("+")]
        done = await one.run(Source(), [*digits, digits[0]])
        assert dict(done.outcomes) == {"active": 70, "absent": 1}
        assert (done.source.entity, done.progress.numbers, done.progress.entities) == (None, 71, 71)
        assert set(one.looked_up.values()) == {1}
        for source, msisdns in (
            (Source(), []),
            (Source(), ["call me"]),
            (Source(None, {"TYPE_ID": "CLIENT"}), digits),
            (verification_lab.CONTACTS, digits),
        ):
            with pytest.raises(errors.InputError):
                await one.client.start_verification("p1", source, msisdns)
        with pytest.raises(NotFound):
            await one.client.start_verification("nobody", Source(), digits)


async def test_another_account_needs_another_quote(store: Store) -> None:
    async with world(store) as one:
        one.add([ACTIVE], [ABSENT])
        async with role(one):
            quoted = await one.quoted()
        other = verification_lab.with_profile(one, Profile.HTTP)
        async with role(other):
            await other.client.confirm_verification(quoted.id)
            paused = await other.stands(quoted.id)
            assert (paused.state, paused.reason) == (State.PAUSED, "account_changed")
            await other.client.resume_verification(quoted.id)
            await other.stands(quoted.id)
            await other.client.confirm_verification(quoted.id)
            assert (await other.stands(quoted.id)).state is State.DONE
            assert one.looked_up == {}


async def test_a_channel_that_somebody_has_set_is_read_on_the_way(store: Store) -> None:
    async with world(store) as one, role(one):
        assert one.hlr is not None
        field = one.crm.fields[Kind.CONTACT]["UF_CRM_SMS_CHANNEL"]
        (sms,) = [str(item.item_id) for item in field.items if item.xml_id == "sms"]
        (by_hand,) = one.add([ACTIVE, ABSENT], UF_CRM_SMS_CHANNEL=sms)
        one.add([OFF])
        await one.run()
        numbers = [phone.lstrip("+") for phone in (ACTIVE, ABSENT, OFF)]
        preferred = await one.hlr.client.get_preferences("p1", numbers)
        assert preferred == dict.fromkeys(numbers[:2], Channel.SMS)
        assert by_hand.values["UF_CRM_SMS_CHANNEL"] == sms


async def test_its_metrics(store: Store) -> None:
    async with world(store) as one, role(one):
        one.add([ACTIVE], [ABSENT], [])
        await one.run()
        assert one.hlr is not None
        labels = {"namespace": "crm", "provider": "p1"}
        sample = one.hlr.sample
        assert sample("verification_entities_total", **labels, result="written") == 2
        assert sample("verification_entities_total", **labels, result="without_phone") == 1
        assert sample("verification_numbers_total", **labels, outcome="absent") == 1
        assert sample("verification_spent_roubles_total", **labels) == 1.0
        assert sample("verifications_running", **labels) == 0
