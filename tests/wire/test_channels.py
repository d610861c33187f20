"""Preferred channels between the CRM and the hlr role: learned ones reach the contacts, a hand's win."""

import time
from dataclasses import replace
from typing import Any

from smsbridge.api.v1 import types_pb2
from smsbridge.core.errand import EntityType, Errand, ErrandKind, ErrandResult
from smsbridge.core.message import Channel
from smsbridge.core.provider import Routing
from smsbridge.rpc import errand
from smsbridge.sandbox.faults import Fault, FaultKind
from smsbridge.sandbox.orders import EntityOrder
from smsbridge.store.connection import Store
from tests.wire import errands_lab, senders
from tests.wire.errands_lab import World

PHONE, OTHER = "79991234500", "79991234501"
SMS, VIBER = types_pb2.CHANNEL_SMS, types_pb2.CHANNEL_VIBER
FIELD = "UF_CRM_SMS_CHANNEL"


def now_ms() -> int:
    return time.time_ns() // 1_000_000


async def channel_of(world: World, contact: int) -> str:
    return str((await world.shown("contact", contact)).get(FIELD, ""))


async def until_prefers(world: World, **wanted: str) -> None:
    """Of PHONE and OTHER."""
    expected = {
        number: wanted[name] for name, number in (("phone", PHONE), ("other", OTHER)) if name in wanted
    }

    async def done() -> bool:
        return await world.prefers(PHONE, OTHER) == expected

    await senders.until(done)


async def settled(world: World) -> None:
    """Longer than what was written just now is left alone (hand_rest_seconds), by the store's clock."""
    start = time.monotonic()

    async def passed() -> bool:
        return time.monotonic() - start > 0.4

    await senders.until(passed)


async def test_a_learned_one_goes_to_the_contacts_and_comes_back_as_ours(store: Store) -> None:
    async with errands_lab.living(store) as world:
        world.bind("ONCRMCONTACTUPDATE")
        async with world.running():
            one = await world.add("contact", "8 (999) 123-45-00", OTHER)
            two = await world.add("contact", f"+{PHONE}")
            stranger, lead = await world.add("contact", OTHER), await world.add("lead", f"+{PHONE}")
            await world.learn(PHONE, SMS, now_ms())
            await world.until_ended("learned", "done")
            await world.until_ended("changed", "ours", 2)
            assert [await channel_of(world, n) for n in (one, two, stranger)] == ["sms", "sms", ""]
            assert await world.shown("lead", lead) == {}
            assert await world.prefers(PHONE, OTHER) == {PHONE: "sms"}
            # No loop: what came back of our two updates was not even read.
            assert world.posts == {"ONCRMCONTACTUPDATE": 2}
            methods = await world.methods()
            assert (methods["crm.contact.get"], methods["crm.contact.update"]) == (2, 2)
            assert methods["crm.duplicate.findbycomm"] == 1
            assert world.ends() == {("learned", "done"): 1, ("changed", "ours"): 2}
            # A repeat of the lesson writes nothing more.
            await world.learn(PHONE, SMS, now_ms())
            await world.until_ended("learned", "unchanged")
            assert (await world.methods())["crm.contact.update"] == 2


async def test_viber_undoes_what_was_ours(store: Store) -> None:
    async with errands_lab.living(store) as world:
        world.bind("ONCRMCONTACTUPDATE")
        async with world.running():
            contact = await world.add("contact", f"+{PHONE}")
            await world.learn(PHONE, SMS, now_ms())
            await world.until_ended("learned", "done")
            assert await channel_of(world, contact) == "sms"
            await world.learn(PHONE, VIBER, now_ms())
            await world.until_ended("learned", "done", 2)
            assert await channel_of(world, contact) == ""
            assert await world.prefers(PHONE) == {PHONE: "viber"}
            await world.until_ended("changed", "ours", 2)
            assert world.ends() == {("learned", "done"): 2, ("changed", "ours"): 2}


async def test_viber_keeps_the_field_where_another_number_of_the_contact_needs_sms(store: Store) -> None:
    async with errands_lab.living(store) as world, world.running():
        contact = await world.add("contact", PHONE, OTHER)
        await world.learn(PHONE, SMS, now_ms())
        await world.learn(OTHER, SMS, now_ms())
        await world.until_ended("learned", "done", 1)
        await world.learn(PHONE, VIBER, now_ms())

        async def done() -> bool:
            return world.ended("learned", "unchanged") + world.ended("learned", "done") == 3

        await senders.until(done)
        assert await channel_of(world, contact) == "sms"
        assert await world.prefers(PHONE, OTHER) == {PHONE: "viber", OTHER: "sms"}


async def test_viber_that_undoes_nothing_asks_the_portal_nothing(store: Store) -> None:
    async with errands_lab.living(store) as world, world.running():
        await world.add("contact", PHONE)
        await world.learn(PHONE, VIBER, now_ms())
        assert await world.prefers(PHONE) == {PHONE: "viber"}
        await world.learn(OTHER, SMS, now_ms())  # its errand is done after all that came before
        await world.until_ended("learned", "nobody")
        assert (await world.methods())["crm.duplicate.findbycomm"] == 1


async def test_a_value_set_by_hand_wins_and_is_never_overwritten(store: Store) -> None:
    async with errands_lab.living(store) as world:
        world.bind("ONCRMCONTACTUPDATE")
        async with world.running():
            contact = await world.add("contact", PHONE, OTHER)
            await world.set_channel(contact, "viber")
            await until_prefers(world, phone="viber", other="viber")
            await world.learn(PHONE, SMS, now_ms())
            await world.until_ended("learned", "by_hand")
            assert await channel_of(world, contact) == "viber"
            assert await world.prefers(PHONE, OTHER) == {PHONE: "viber", OTHER: "viber"}
            assert "crm.contact.update" not in await world.methods()
            # Emptied by hand: nobody's again, and what was learned counts.
            await world.set_channel(contact, "")
            await until_prefers(world, phone="sms")


async def test_a_hand_takes_over_a_field_of_ours(store: Store) -> None:
    async with errands_lab.living(store) as world:
        world.bind("ONCRMCONTACTUPDATE")
        async with world.running():
            contact = await world.add("contact", PHONE)
            await world.learn(PHONE, SMS, now_ms())
            await world.until_ended("changed", "ours")
            await world.set_channel(contact, "viber")
            await until_prefers(world, phone="viber")
            await world.learn(PHONE, SMS, now_ms())
            await world.until_ended("learned", "by_hand")
            assert await channel_of(world, contact) == "viber"
            # The same value that once was ours, now set by a hand: Viber does not undo it.
            await world.set_channel(contact, "sms")
            await until_prefers(world, phone="sms")
            await world.learn(PHONE, VIBER, now_ms())
            await world.until_ended("learned", "by_hand", 2)
            assert await channel_of(world, contact) == "sms"
            assert await world.prefers(PHONE) == {PHONE: "sms"}


async def test_a_field_of_ours_that_is_emptied_is_forgotten_and_free(store: Store) -> None:
    async with errands_lab.living(store) as world:
        world.bind("ONCRMCONTACTUPDATE")
        async with world.running():
            contact = await world.add("contact", PHONE)
            await world.learn(PHONE, SMS, now_ms())
            await world.until_ended("changed", "ours")
            await world.set_channel(contact, "")
            await until_prefers(world)
            await world.learn(PHONE, SMS, now_ms())
            await world.until_ended("learned", "done", 2)
            assert await channel_of(world, contact) == "sms"
            assert await world.prefers(PHONE) == {PHONE: "sms"}


async def test_a_change_right_behind_ours_is_read(store: Store) -> None:
    """Of two events that come in one after another only one is ours."""
    async with errands_lab.living(store) as world, world.running():
        contact = await world.add("contact", PHONE)
        await world.learn(PHONE, SMS, now_ms())
        await world.until_ended("learned", "done")
        await world.set_channel(contact, "viber")
        changed: dict[str, Any] = {"entity": EntityType.CONTACT, "entity_id": contact}
        assert await world.ask(ErrandKind.CHANGED, **changed) is ErrandResult.DUPLICATE  # ours
        assert await world.ask(ErrandKind.CHANGED, **changed) is ErrandResult.TAKEN
        await until_prefers(world, phone="viber")


async def test_an_update_that_failed_swallows_no_event(store: Store) -> None:
    async with errands_lab.living(store) as world, world.running():
        contact = await world.add("contact", PHONE)
        fault = Fault(kind=FaultKind.COMMAND_ERROR, call="crm.contact.update", error="ACCESS_DENIED", count=1)
        await world.control.portal_fault(errands_lab.DOMAIN, fault)
        await world.learn(PHONE, SMS, now_ms())
        await world.until_ended("learned", "refused")
        await settled(world)
        await world.set_channel(contact, "viber")
        changed: dict[str, Any] = {"entity": EntityType.CONTACT, "entity_id": contact}
        assert await world.ask(ErrandKind.CHANGED, **changed) is ErrandResult.TAKEN
        await until_prefers(world, phone="viber")


async def test_an_update_of_which_nobody_knows_is_ours_all_the_same(store: Store) -> None:
    async with errands_lab.living(store) as world, world.running():
        contact = await world.add("contact", PHONE)
        fault = Fault(
            kind=FaultKind.COMMAND_ERROR, call="crm.contact.update", error="INTERNAL_SERVER_ERROR", count=1
        )
        await world.control.portal_fault(errands_lab.DOMAIN, fault)
        await world.learn(PHONE, SMS, now_ms())

        async def over() -> bool:
            return world.ended("learned", "done") + world.ended("learned", "unchanged") == 1

        await senders.until(over)
        await settled(world)
        changed: dict[str, Any] = {"entity": EntityType.CONTACT, "entity_id": contact}
        while await world.ask(ErrandKind.CHANGED, **changed) is not ErrandResult.TAKEN:
            pass
        await world.learn(PHONE, VIBER, now_ms())

        async def emptied() -> bool:
            return await channel_of(world, contact) == ""

        await senders.until(emptied)


async def test_a_learned_one_expires_and_a_hand_s_does_not(store: Store) -> None:
    async with errands_lab.living(store) as world:
        world.bind("ONCRMCONTACTUPDATE")
        async with world.running(preference_days=1.5 / 86_400):
            contact = await world.add("contact", OTHER)
            await world.set_channel(contact, "sms")
            await until_prefers(world, other="sms")
            await world.learn(PHONE, SMS, now_ms())
            await world.learn(OTHER, VIBER, now_ms())
            assert await world.prefers(PHONE, OTHER) == {PHONE: "sms", OTHER: "sms"}
            await until_prefers(world, other="sms")


async def test_phones_and_contacts_that_go(store: Store) -> None:
    async with errands_lab.living(store) as world:
        world.bind("ONCRMCONTACTUPDATE")
        async with world.running():
            contact = await world.add("contact", PHONE, OTHER)
            await world.set_channel(contact, "sms")
            await until_prefers(world, phone="sms", other="sms")
            crm_ = world.sandbox.portals.by_domain[errands_lab.DOMAIN].crm
            phones = next(
                one.phones for kind in crm_.entities.values() for one in kind.values() if len(one.phones) == 2
            )
            removed = {"ID": str(phones[1].phone_id), "VALUE": ""}
            order = EntityOrder(fields={"PHONE": [removed]})
            await world.control.change_entity(errands_lab.DOMAIN, "contact", contact, order)
            await until_prefers(world, phone="sms")
            await world.control.delete_entity(errands_lab.DOMAIN, "contact", contact)
            await world.ask(ErrandKind.CHANGED, entity=EntityType.CONTACT, entity_id=contact)
            await until_prefers(world)


async def test_a_provider_that_does_not_learn_reads_nothing(store: Store) -> None:
    routing = Routing(learn_preferred_channel=False)
    async with errands_lab.living(store, routing=routing) as world:
        world.bind("ONCRMCONTACTUPDATE")
        async with world.running():
            contact = await world.add("contact", PHONE)
            await world.set_channel(contact, "sms")
            await world.until_ended("changed", "off")
            await world.learn(PHONE, SMS, now_ms())
            assert await world.prefers(PHONE) == {}
            asked = await world.methods()
            assert asked.keys() & {"crm.contact.get", "crm.duplicate.findbycomm"} == set()


async def test_many_lessons_at_once_travel_in_batches(store: Store) -> None:
    async with errands_lab.living(store) as world:
        world.bind("ONCRMCONTACTUPDATE")
        async with world.running():
            contacts = await world.add_many("contact", 120)
            shown = await world.control.entities(errands_lab.DOMAIN, "contact")
            before = (await world.control.traffic(errands_lab.DOMAIN)).requests
            await world.learn_all([one.phones[0].lstrip("+") for one in shown], SMS, now_ms())

            async def all_shown() -> bool:
                found = await world.control.entities(errands_lab.DOMAIN, "contact")
                return all(one.user_fields.get(FIELD) == "sms" for one in found)

            await senders.until(all_shown)
            await world.until_ended("changed", "ours", len(contacts))
            assert (await world.methods())["crm.contact.update"] == 120
            traffic = await world.control.traffic(errands_lab.DOMAIN)
            assert traffic.requests - before < 120


async def test_what_another_provider_of_the_portal_wrote_is_no_hand(store: Store) -> None:
    async with errands_lab.living(store) as world:
        other = replace(world.provider, uid="p2", name="p2")
        async with world.running(other) as hlr:
            contact = await world.add("contact", PHONE)
            await world.learn(PHONE, SMS, now_ms())
            await world.until_ended("learned", "done")
            await settled(world)
            changed = Errand("p2", ErrandKind.CHANGED, EntityType.CONTACT, contact)
            ended = {"namespace": "crm", "provider": "p2", "kind": "changed", "end": "done"}
            while not hlr.sample("errands_total", **ended):  # the first one is swallowed as ours
                await hlr.client.enrich([errand.to_proto(changed)])
            assert await hlr.client.get_preferences("p2", [PHONE]) == {}
            # But a hand is one to both.
            await world.set_channel(contact, "viber")
            for uid in ("p1", "p2"):
                one = Errand(uid, ErrandKind.CHANGED, EntityType.CONTACT, contact)
                await hlr.client.enrich([errand.to_proto(one)])

            async def both_know() -> bool:
                found = [await hlr.client.get_preferences(uid, [PHONE]) for uid in ("p1", "p2")]
                return found == [{PHONE: Channel.VIBER}] * 2

            await senders.until(both_know)
