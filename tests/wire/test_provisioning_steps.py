"""Our steps and the CRM's events in a provider's portal: registered, repaired, taken away, and said."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from smsbridge.core.installation import EventKind
from smsbridge.core.provider import DeletionPolicy, Provider
from smsbridge.provisioning import reconcile, urls
from smsbridge.provisioning.conditions import Reason, Status, Type
from smsbridge.provisioning.state import State
from smsbridge.sandbox.faults import Fault, FaultKind
from smsbridge.sandbox.portal import Application
from smsbridge.store.connection import Store
from smsbridge.store.keyring import Keyring
from tests.wire import provisioning_lab
from tests.wire.provisioning_lab import CLIENT_ID, DOMAIN, Lab

CODES = {("smsc.send", True), ("smsc.hlr", True), ("smsc.send.step", False), ("smsc.hlr.step", False)}


async def made(
    lab: Lab, state: State | None = None, *, provider: Provider | None = None, **crm: Any
) -> reconcile.Outcome:
    """Reconciled with these words under spec.crm."""
    return await reconcile.reconcile(
        provider or lab.provider,
        state or State(),
        generation=1,
        clients=lab.clients,
        now=lab.clock.now(),
        sections={"crm": crm},
    )


def application(lab: Lab) -> Application:
    return lab.sandbox.portals.by_domain[DOMAIN].applications[CLIENT_ID]


async def steps(lab: Lab) -> set[tuple[str, bool]]:
    """Code, and whether it is a robot."""
    found = (await lab.control.activities(DOMAIN)).get(CLIENT_ID, [])
    return {(item["code"], item["robot"]) for item in found}


def bound(lab: Lab, provider: Provider | None = None) -> set[str]:
    """Events that are bound to their doors of this provider."""
    own = urls.of(provider or lab.provider, lab.ring)
    doors = {"ONAPPUNINSTALL": own.install}
    found = [(item["event"], item["handler"]) for item in application(lab).bindings]
    assert len(found) == len(set(found))
    return {event for event, handler in found if handler == doors.get(event, own.events)}


def said(outcome: reconcile.Outcome, type_: Type = Type.ROBOTS_READY) -> tuple[Status, Reason]:
    found = outcome.state.find(type_)
    assert found is not None
    return found.status, found.reason


def message(outcome: reconcile.Outcome, type_: Type = Type.ROBOTS_READY) -> str:
    found = outcome.state.find(type_)
    assert found is not None
    return found.message


async def calls(lab: Lab, *verbs: str) -> dict[str, int]:
    by_method = (await lab.control.traffic(DOMAIN)).by_method
    return {m: n for m, n in by_method.items() if m.startswith("bizproc.") and m.rpartition(".")[2] in verbs}


def refusing(call: str, *, count: int | None = None) -> Fault:
    return Fault(kind=FaultKind.COMMAND_ERROR, error="ERROR_ACTIVITY_ADD_FAILURE", call=call, count=count)


def limited(call: str, *, count: int | None = None) -> Fault:
    return Fault(kind=FaultKind.OPERATION_TIME_LIMIT, call=call, count=count)


async def test_they_are_registered_with_codes_names_and_handlers(store: Store) -> None:
    async with provisioning_lab.running(store) as lab:
        await lab.install()
        outcome = await made(lab)
        found = (await lab.control.activities(DOMAIN))[CLIENT_ID]

    robots = urls.of(lab.provider, lab.ring).robots
    assert robots == f"http://127.0.0.1:8080/bitrix24/crm/smsc/{lab.ring.url_key('bitrix24', 'uid-1')}/robots"
    assert said(outcome) == (Status.TRUE, Reason.ROBOTS_REGISTERED)
    assert (outcome.state.ready, outcome.again, outcome.put_back) == (True, False, False)
    assert {(item["code"], item["robot"]) for item in found} == CODES
    send = {"ru": "Отправить через SMSC", "en": "Send through SMSC"}
    check = {"ru": "Проверить номер (HLR)", "en": "Check number (HLR)"}
    for item in found:
        assert item["handler"] == f"{robots}/{item['code']}"
        assert item["name"] == (send if "send" in item["code"] else check)
        assert (item["use_subscription"], item["auth_user_id"]) == ("Y", 0)
        only_for = [] if item["robot"] else ["CCrmDocumentContact", "CCrmDocumentCompany"]
        assert [pair["1"] for pair in item["rules"].get("INCLUDE", {}).values()] == only_for
    by_code = {item["code"]: item for item in found}
    for code in ("smsc.send", "smsc.send.step"):
        assert set(by_code[code]["properties"]) == {"phone", "text", "channel", "wait_seconds", "await_final"}
        returned = {"status", "channel", "price", "message_id", "reason"}
        assert set(by_code[code]["return_properties"]) == returned
    for code in ("smsc.hlr", "smsc.hlr.step"):
        assert set(by_code[code]["properties"]) == {"phone"}
        returned = {"reachability", "operator", "region", "checked_at", "reason"}
        assert set(by_code[code]["return_properties"]) == returned


async def test_making_all_costs_four_requests_and_keeping_it_one(store: Store) -> None:
    async with provisioning_lab.running(store) as lab:
        await lab.install()
        first = await made(lab, enrichLeads="all")
        assert await lab.requests() == 4  # a look, the registration, events and steps, the fields
        second = await made(lab, first.state, enrichLeads="all")

        assert await lab.requests() == 5
        assert second.state.conditions == first.state.conditions
        assert await calls(lab, "add") == {"bizproc.robot.add": 2, "bizproc.activity.add": 2}
        assert (await lab.control.traffic(DOMAIN)).by_method["event.bind"] == 4


async def test_what_somebody_changed_is_written_again_without_a_word(store: Store) -> None:
    async with provisioning_lab.running(store) as lab:
        await lab.install()
        state = (await made(lab)).state
        robot = application(lab).activities["smsc.hlr"]
        robot.handler, robot.name, robot.use_subscription = "https://other.example.com/", "Other", "N"
        before = await lab.requests()

        outcome = await made(lab, state)

        assert await lab.requests() == before + 1
        assert robot.handler == f"{urls.of(lab.provider, lab.ring).robots}/smsc.hlr"
        assert (robot.name["en"], robot.use_subscription) == ("Check number (HLR)", "Y")
        assert not outcome.put_back


@pytest.mark.parametrize("code", sorted(code for code, _ in CODES))
async def test_one_that_was_lost_is_made_again_and_told(store: Store, code: str) -> None:
    async with provisioning_lab.running(store) as lab:
        await lab.install()
        state = (await made(lab)).state
        del application(lab).activities[code]
        before = await lab.requests()

        second = await made(lab, state)
        assert await lab.requests() == before + 2
        third = await made(lab, second.state)

        assert await steps(lab) == CODES
        assert said(second) == (Status.TRUE, Reason.ROBOTS_REGISTERED)
        assert [outcome.put_back for outcome in (second, third)] == [True, False]


async def test_an_update_of_the_application_wipes_them_and_all_is_back_at_once(store: Store) -> None:
    async with provisioning_lab.running(store) as lab:
        await lab.install()
        state = (await made(lab, enrichLeads="calls")).state
        await lab.install(kind=EventKind.UPDATE)
        assert (await steps(lab), bound(lab)) == (set(), set())

        outcome = await made(lab, state, enrichLeads="calls")

        assert await steps(lab) == CODES
        assert bound(lab) == {"ONAPPUNINSTALL", "ONCRMLEADADD", "ONCRMCONTACTADD", "ONCRMCONTACTUPDATE"}
        assert not outcome.put_back
        assert outcome.state.ready


async def test_switched_off_they_are_taken_away_and_switched_on_they_come_back(store: Store) -> None:
    async with provisioning_lab.running(store) as lab:
        await lab.install()
        on = await made(lab, robots=True)
        off = await made(lab, on.state, robots=False)

        assert await steps(lab) == set()
        assert said(off) == (Status.TRUE, Reason.ROBOTS_OFF)
        assert (off.state.ready, off.again) == (True, False)
        assert await calls(lab, "delete") == {"bizproc.robot.delete": 2, "bizproc.activity.delete": 2}
        before = await lab.requests()
        still = await made(lab, off.state, robots=False)
        assert await lab.requests() == before + 1

        again = await made(lab, still.state, robots=True)
        assert await steps(lab) == CODES
        assert [outcome.put_back for outcome in (off, still, again)] == [False] * 3


async def test_what_others_registered_is_left_alone(store: Store) -> None:
    async with provisioning_lab.running(store) as lab:
        await lab.install()
        state = (await made(lab)).state
        activities = application(lab).activities
        activities["theirs.send"] = replace(activities["smsc.send"], code="theirs.send")

        await made(lab, state, robots=False)

        assert await steps(lab) == {("theirs.send", True)}


async def test_without_the_scope_there_are_none_and_all_is_well(store: Store) -> None:
    async with provisioning_lab.running(store) as lab:
        settings = application(lab).settings
        settings.scope = ["messageservice", "crm"]
        await lab.install()
        without = await made(lab)

        assert said(without) == (Status.TRUE, Reason.ROBOTS_NOT_MANAGED)
        assert "lacks the scope bizproc" in message(without)
        assert (without.state.ready, without.again) == (True, False)
        assert await calls(lab, "add") == {}
        before = await lab.requests()
        off = await made(lab, without.state, robots=False)
        assert said(off) == (Status.TRUE, Reason.ROBOTS_OFF)
        assert await lab.requests() == before + 1

        settings.scope = ["messageservice", "crm", "bizproc"]
        given = await made(lab, without.state)
        assert said(given) == (Status.TRUE, Reason.ROBOTS_REGISTERED)
        assert not given.put_back
        assert await steps(lab) == CODES


@pytest.mark.parametrize(
    ("call", "detail"),
    [
        ("bizproc.robot.add", "smsc.send: Ordered by a test; and 1 more"),
        ("bizproc.activity.add", "smsc.send.step: Ordered by a test; and 1 more"),
        ("bizproc.activity.list", "Ordered by a test"),
    ],
)
async def test_a_refusal_has_the_portals_words_and_stops_no_other(
    store: Store, call: str, detail: str
) -> None:
    async with provisioning_lab.running(store) as lab:
        await lab.install()
        await lab.control.portal_fault(DOMAIN, refusing(call))
        refused = await made(lab)

        assert said(refused) == (Status.FALSE, Reason.ROBOTS_REFUSED)
        assert message(refused).endswith(f" ({detail})")
        assert said(refused, Type.REGISTERED) == (Status.TRUE, Reason.REGISTERED)
        assert said(refused, Type.READY) == (Status.FALSE, Reason.ROBOTS_REFUSED)
        assert refused.again
        assert len(await steps(lab)) == (0 if call.endswith("list") else 2)

        await lab.control.clear_portal_faults(DOMAIN)
        mended = await made(lab, refused.state)
        assert said(mended) == (Status.TRUE, Reason.ROBOTS_REGISTERED)
        assert await steps(lab) == CODES
        assert not mended.put_back


async def test_a_refused_update_is_said(store: Store) -> None:
    async with provisioning_lab.running(store) as lab:
        await lab.install()
        state = (await made(lab)).state
        await lab.control.portal_fault(DOMAIN, refusing("bizproc.robot.update", count=1))
        before = await lab.requests()
        refused = await made(lab, state)

        assert await lab.requests() == before + 1
    assert said(refused) == (Status.FALSE, Reason.ROBOTS_REFUSED)
    assert message(refused).endswith(" (smsc.send: Ordered by a test)")


GONE = "ERROR_ACTIVITY_NOT_FOUND"


async def test_one_that_goes_between_the_list_and_the_update_is_made(store: Store) -> None:
    async with provisioning_lab.running(store) as lab:
        await lab.install()
        state = (await made(lab)).state
        fault = Fault(kind=FaultKind.COMMAND_ERROR, error=GONE, call="bizproc.robot.update", count=1)
        await lab.control.portal_fault(DOMAIN, fault)
        await made(lab, state)

        assert await calls(lab, "add") == {"bizproc.robot.add": 3, "bizproc.activity.add": 2}


async def test_one_that_goes_by_itself_is_taken_away_as_well(store: Store) -> None:
    async with provisioning_lab.running(store) as lab:
        await lab.install()
        state = (await made(lab)).state
        fault = Fault(kind=FaultKind.COMMAND_ERROR, error=GONE, call="bizproc.robot.delete", count=1)
        await lab.control.portal_fault(DOMAIN, fault)

        assert said(await made(lab, state, robots=False)) == (Status.TRUE, Reason.ROBOTS_OFF)


async def test_a_code_that_leaves_no_room_for_theirs_is_said(store: Store) -> None:
    async with provisioning_lab.running(store) as lab:
        await lab.install()
        longest, longer = "c" * 118, "c" * 119
        good = await made(lab, provider=replace(lab.provider, code=longest))
        bad = await made(lab, provider=replace(lab.provider, uid="uid-2", code=longer))

        assert said(good) == (Status.TRUE, Reason.ROBOTS_REGISTERED)
        assert said(bad) == (Status.FALSE, Reason.ROBOTS_REFUSED)
        assert "spec.code is 1 characters too long" in message(bad)
        assert {sender["code"] for sender in await lab.senders()} == {longest, longer}
        assert len(await steps(lab)) == 4


@pytest.mark.parametrize("call", ["bizproc.robot.list", "bizproc.activity.update"])
async def test_what_cannot_be_told_now_is_unknown_or_as_it_was(store: Store, call: str) -> None:
    async with provisioning_lab.running(store) as lab:
        await lab.install()
        state = (await made(lab)).state
        await lab.control.portal_fault(DOMAIN, limited(call))
        known = await made(lab, state)
        unknown = await made(lab)

    assert said(known) == (Status.TRUE, Reason.ROBOTS_REGISTERED)
    assert said(unknown) == (Status.UNKNOWN, Reason.PORTAL_AWAY)
    assert said(unknown, Type.PORTAL_AUTHORIZED) == (Status.TRUE, Reason.AUTHORIZED)


async def test_one_that_is_lost_and_cannot_be_made_now_is_not_called_there(store: Store) -> None:
    async with provisioning_lab.running(store) as lab:
        await lab.install()
        state = (await made(lab)).state
        application(lab).activities.clear()
        await lab.control.portal_fault(DOMAIN, limited("bizproc.robot.add", count=1))

        outcome = await made(lab, state)

    assert said(outcome) == (Status.UNKNOWN, Reason.PORTAL_AWAY)
    assert outcome.again


async def test_dead_tokens_leave_them_unknown_and_a_silent_portal_as_they_were(store: Store) -> None:
    async with provisioning_lab.running(store) as lab:
        await lab.install()
        state = (await made(lab)).state
        await lab.control.portal_fault(DOMAIN, Fault(kind=FaultKind.HTTP_500))
        silent = await made(lab, state)
        await lab.control.clear_portal_faults(DOMAIN)
        await lab.control.portal_fault(DOMAIN, Fault(kind=FaultKind.PAYMENT_REQUIRED))
        dead = await made(lab, state)

    assert said(silent) == (Status.TRUE, Reason.ROBOTS_REGISTERED)
    assert said(dead) == (Status.UNKNOWN, Reason.WAITING_FOR_PORTAL)


def second(lab: Lab) -> Provider:
    return replace(lab.provider, uid="uid-2", name="second", code="second")


async def test_two_providers_of_an_installation_do_not_disturb_each_other(store: Store) -> None:
    async with provisioning_lab.running(store) as lab:
        await lab.install()
        other = second(lab)
        await asyncio.gather(made(lab, enrichLeads="all"), made(lab, provider=other, enrichLeads="all"))
        events = {"ONAPPUNINSTALL", "ONCRMLEADADD", "ONCRMCONTACTADD", "ONCRMCONTACTUPDATE"}
        assert len(await steps(lab)) == 8
        assert bound(lab) == bound(lab, other) == events

        await made(lab, provider=other, robots=False, enrichLeads="never")
        assert await steps(lab) == CODES
        assert (bound(lab), bound(lab, other)) == (events, {"ONAPPUNINSTALL", "ONCRMCONTACTUPDATE"})

        assert (await reconcile.remove(other, clients=lab.clients)).done
        assert await steps(lab) == CODES
        assert (bound(lab), bound(lab, other)) == (events, set())
        assert [sender["code"] for sender in await lab.senders()] == ["smsc"]


@pytest.mark.parametrize("word", ["calls", "all"])
async def test_events_are_bound_for_what_is_to_be_looked_up(store: Store, word: str) -> None:
    async with provisioning_lab.running(store) as lab:
        await lab.install()
        never = await made(lab, enrichLeads="never")
        assert bound(lab) == {"ONAPPUNINSTALL", "ONCRMCONTACTUPDATE"}

        wanted = await made(lab, never.state, enrichLeads=word)
        assert bound(lab) == {"ONAPPUNINSTALL", "ONCRMCONTACTUPDATE", "ONCRMLEADADD", "ONCRMCONTACTADD"}

        ended = await made(lab, wanted.state, enrichLeads="never")
        assert bound(lab) == {"ONAPPUNINSTALL", "ONCRMCONTACTUPDATE"}
        assert len(application(lab).bindings) == 2
        assert [outcome.put_back for outcome in (never, wanted, ended)] == [False] * 3


async def test_a_channel_that_is_not_learnt_is_not_read(store: Store) -> None:
    async with provisioning_lab.running(store) as lab:
        await lab.install()
        state = (await made(lab)).state
        routing = replace(lab.provider.routing, learn_preferred_channel=False)

        await made(lab, state, provider=replace(lab.provider, routing=routing))

        assert bound(lab) == {"ONAPPUNINSTALL"}
        assert len(application(lab).bindings) == 1


async def test_without_the_scope_crm_no_event_of_it_is_bound(store: Store) -> None:
    async with provisioning_lab.running(store) as lab:
        settings = application(lab).settings
        settings.scope = ["messageservice", "bizproc"]
        await lab.install()
        without = await made(lab, enrichLeads="all")
        assert bound(lab) == {"ONAPPUNINSTALL"}
        assert without.state.ready

        settings.scope = ["messageservice", "bizproc", "crm"]
        given = await made(lab, without.state, enrichLeads="all")
        assert len(bound(lab)) == 4
        assert not given.put_back


@pytest.mark.parametrize("event", ["ONAPPUNINSTALL", "ONCRMLEADADD", "ONCRMCONTACTADD", "ONCRMCONTACTUPDATE"])
async def test_a_binding_that_was_lost_is_bound_again_and_told(store: Store, event: str) -> None:
    async with provisioning_lab.running(store) as lab:
        await lab.install()
        state = (await made(lab, enrichLeads="all")).state
        bindings = application(lab).bindings
        bindings[:] = [item for item in bindings if item["event"] != event]
        before = await lab.requests()

        first = await made(lab, state, enrichLeads="all")
        assert await lab.requests() == before + 2
        second = await made(lab, first.state, enrichLeads="all")

        assert len(bound(lab)) == 4
        assert [outcome.put_back for outcome in (first, second)] == [True, False]


async def test_bindings_of_an_older_address_or_key_are_taken_away_and_others_stay(store: Store) -> None:
    async with provisioning_lab.running(store) as lab:
        await lab.install()
        older = replace(lab.provider, public_url="http://127.0.0.2:8080")
        state = (await made(lab, provider=older, enrichLeads="all")).state
        theirs = urls.of(older, Keyring([b"x" * 32])).events  # of a deployment with another master key
        for handler in ("https://other.example.com/", theirs):
            entry = {"event": "ONCRMLEADADD", "handler": handler, "auth_type": "0", "offline": "0"}
            application(lab).bindings.append(entry)

        moved = await made(lab, state, enrichLeads="all")

        assert len(bound(lab)) == 4
        assert bound(lab, older) == set()
        assert len(application(lab).bindings) == 6
        assert not moved.put_back


async def test_an_event_that_the_portal_refuses_is_said(store: Store) -> None:
    async with provisioning_lab.running(store) as lab:
        await lab.install()
        fault = Fault(kind=FaultKind.COMMAND_ERROR, error="ERROR_EVENT_NOT_FOUND", call="event.bind", count=1)
        await lab.control.portal_fault(DOMAIN, fault)
        refused = await made(lab)

        assert said(refused, Type.REGISTERED) == (Status.FALSE, Reason.EVENTS_REFUSED)
        assert "(ONAPPUNINSTALL: " in message(refused, Type.REGISTERED)
        assert said(refused) == (Status.TRUE, Reason.ROBOTS_REGISTERED)
        assert refused.again
        assert bound(lab) == {"ONCRMCONTACTUPDATE"}

        mended = await made(lab, refused.state)
        assert said(mended, Type.REGISTERED) == (Status.TRUE, Reason.REGISTERED)
        assert bound(lab) == {"ONAPPUNINSTALL", "ONCRMCONTACTUPDATE"}
        assert not mended.put_back


async def test_events_that_cannot_be_seen_now_count_as_bound(store: Store) -> None:
    async with provisioning_lab.running(store) as lab:
        await lab.install()
        await lab.control.portal_fault(DOMAIN, limited("event.get", count=2))
        first = await made(lab)
        assert said(first, Type.PORTAL_AUTHORIZED) == (Status.UNKNOWN, Reason.PORTAL_AWAY)
        await lab.control.clear_portal_faults(DOMAIN)
        state = (await made(lab, first.state)).state
        await lab.control.portal_fault(DOMAIN, limited("event.get"))

        later = await made(lab, state)

        assert later.state.conditions == state.conditions


async def test_a_removal_takes_all_of_it_in_one_request(store: Store) -> None:
    async with provisioning_lab.running(store) as lab:
        await lab.install()
        await made(lab, enrichLeads="all")
        before = await lab.requests()

        removal = await reconcile.remove(lab.provider, clients=lab.clients)

        assert (removal.done, removal.message) == (True, "the portal shows it no more")
        assert await lab.requests() == before + 1
        assert (await lab.senders(), await steps(lab), application(lab).bindings) == ([], set(), [])


REFUSED = "the portal does not let us take back everything"
REMOVALS: Mapping[str, tuple[Fault, bool, str]] = {
    "sender refused": (refusing("messageservice.sender.delete"), True, REFUSED),
    "robots refused": (refusing("bizproc.robot.delete"), True, REFUSED),
    "events refused": (refusing("event.unbind"), True, REFUSED),
    "robots later": (limited("bizproc.robot.delete"), False, "operating time"),
    "events later": (limited("event.unbind"), False, "operating time"),
    "no scope bizproc": (
        Fault(kind=FaultKind.INSUFFICIENT_SCOPE, call="bizproc.robot.delete"),
        True,
        "the portal shows it no more",
    ),
}


@pytest.mark.parametrize(("fault", "done", "words"), REMOVALS.values(), ids=REMOVALS.keys())
async def test_each_part_of_a_removal_fails_alone(store: Store, fault: Fault, done: bool, words: str) -> None:
    async with provisioning_lab.running(store) as lab:
        await lab.install()
        await made(lab, enrichLeads="all")
        await lab.control.portal_fault(DOMAIN, fault)

        removal = await reconcile.remove(lab.provider, clients=lab.clients)

        assert removal.done is done
        assert words in removal.message
        left = {
            "messageservice.sender.delete": len(await lab.senders()),
            "bizproc.robot.delete": len([code for code, robot in await steps(lab) if robot]),
            "bizproc.activity.delete": len([code for code, robot in await steps(lab) if not robot]),
            "event.unbind": len(application(lab).bindings),
        }
        assert {call for call, count in left.items() if count} == {fault.call}


async def test_retain_keeps_all_of_it(store: Store) -> None:
    async with provisioning_lab.running(store) as lab:
        await lab.install()
        await made(lab, enrichLeads="all")
        kept = replace(lab.provider, deletion_policy=DeletionPolicy.RETAIN)

        assert (await reconcile.remove(kept, clients=lab.clients)).done

        assert (await steps(lab), len(bound(lab))) == (CODES, 4)


async def test_who_follows_under_the_same_code_keeps_the_steps(store: Store) -> None:
    async with provisioning_lab.running(store) as lab:
        await lab.install()
        await made(lab)
        follower = replace(lab.provider, uid="uid-2")
        state = (await made(lab, provider=follower)).state

        removal = await reconcile.remove(lab.provider, clients=lab.clients, succeeded=True)

        assert removal == reconcile.Removal(True, "another provider stands under its code now")
        assert await steps(lab) == CODES
        assert len(await lab.senders()) == 1
        assert (bound(lab), bound(lab, follower)) == (set(), {"ONAPPUNINSTALL", "ONCRMCONTACTUPDATE"})
        assert not (await made(lab, state, provider=follower)).put_back


async def test_a_removed_one_is_not_shown_as_offered(store: Store) -> None:
    async with provisioning_lab.running(store) as lab:
        await lab.install()
        state = (await made(lab)).state
        removal = await reconcile.remove(lab.provider, clients=lab.clients)
        shown = reconcile.removed(state, removal, now=lab.clock.now())

    found = shown.find(Type.ROBOTS_READY)
    assert found is not None
    assert (found.status, found.reason) == (Status.FALSE, Reason.UNREGISTERED)
    assert found.message == "the portal shows it no more"
