"""The custom fields of a provider's portal against the sandbox: made where missing, once, and said."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from smsbridge.provisioning import reconcile
from smsbridge.provisioning.conditions import Reason, Status, Type
from smsbridge.provisioning.state import State
from smsbridge.sandbox.crm import Crm, Kind, UserField
from smsbridge.sandbox.faults import Fault, FaultKind
from smsbridge.store.connection import Store
from tests.wire import provisioning_lab
from tests.wire.provisioning_lab import CLIENT_ID, DOMAIN, Lab

ADDS = [f"crm.{kind}.userfield.add" for kind in Kind]


def crm_of(lab: Lab) -> Crm:
    return lab.sandbox.portals.by_domain[DOMAIN].crm


def said(outcome: reconcile.Outcome) -> tuple[Status, Reason]:
    found = outcome.state.find(Type.FIELDS_READY)
    assert found is not None
    return found.status, found.reason


def detail(outcome: reconcile.Outcome) -> str:
    found = outcome.state.find(Type.FIELDS_READY)
    assert found is not None
    return found.message.rpartition(" (")[2].removesuffix(")")


async def added(lab: Lab) -> dict[str, int]:
    asked = (await lab.control.traffic(DOMAIN)).by_method
    return {method: asked[method] for method in ADDS if method in asked}


@pytest.mark.parametrize("kind", list(Kind))
async def test_they_are_made_with_labels_and_types(store: Store, kind: Kind) -> None:
    async with provisioning_lab.running(store) as lab:
        await lab.install()
        outcome = await lab.reconcile()

        fields = crm_of(lab).fields[kind]
        assert said(outcome) == (Status.TRUE, Reason.FIELDS_PRESENT)
        assert outcome.state.ready
        assert not outcome.again
        assert {name: (field.type, field.labels["EDIT_FORM_LABEL"]) for name, field in fields.items()} == {
            "UF_CRM_OPERATOR": ("string", {"ru": "Оператор связи", "en": "Mobile operator"}),
            "UF_CRM_REGION": ("string", {"ru": "Регион номера", "en": "Region of the number"}),
            "UF_CRM_SMS_REACH": (
                "enumeration",
                {"ru": "Доступность номера", "en": "Number's reachability"},
            ),
            "UF_CRM_SMS_CHECKED": ("datetime", {"ru": "Номер проверен", "en": "Number checked at"}),
            "UF_CRM_SMS_CHANNEL": (
                "enumeration",
                {"ru": "Предпочтительный канал", "en": "Preferred channel"},
            ),
        }
        for field in fields.values():
            assert field.labels["LIST_COLUMN_LABEL"] == field.labels["LIST_FILTER_LABEL"]
            assert field.labels["LIST_FILTER_LABEL"] == field.labels["EDIT_FORM_LABEL"]
            assert (field.multiple, field.flags["MANDATORY"], field.flags["SHOW_FILTER"]) == (False, "N", "Y")
        assert [(i.xml_id, i.value) for i in fields["UF_CRM_SMS_REACH"].items] == [
            ("active", "Доступен / Active"),
            ("unavailable", "Недоступен / Unavailable"),
            ("absent", "Не существует / Absent"),
            ("unknown", "Неизвестно / Unknown"),
        ]
        assert [(i.xml_id, i.value) for i in fields["UF_CRM_SMS_CHANNEL"].items] == [
            ("sms", "SMS"),
            ("viber", "Viber"),
        ]


async def test_names_are_those_of_the_spec(store: Store) -> None:
    async with provisioning_lab.running(store) as lab:
        await lab.install()
        await reconcile.reconcile(
            lab.provider,
            State(),
            generation=1,
            clients=lab.clients,
            now=lab.clock.now(),
            sections={"crm": {"robots": True, "fields": {"region": "UF_CRM_AREA", "of_a_later_version": 1}}},
        )

        assert set(crm_of(lab).fields[Kind.LEAD]) == {
            "UF_CRM_OPERATOR",
            "UF_CRM_AREA",
            "UF_CRM_SMS_REACH",
            "UF_CRM_SMS_CHECKED",
            "UF_CRM_SMS_CHANNEL",
        }


async def test_making_them_costs_one_request_and_keeping_them_none(store: Store) -> None:
    async with provisioning_lab.running(store) as lab:
        await lab.install()
        first = await lab.reconcile()
        assert await lab.requests() == 4  # a look, the registration, its event, the fields
        second = await lab.reconcile(state=first.state)

        assert await lab.requests() == 5
        assert second.state.conditions == first.state.conditions
        assert await added(lab) == dict.fromkeys(ADDS, 5)


async def test_one_that_was_removed_is_made_again(store: Store) -> None:
    async with provisioning_lab.running(store) as lab:
        await lab.install()
        state = (await lab.reconcile()).state
        del crm_of(lab).fields[Kind.COMPANY]["UF_CRM_REGION"]
        before = await lab.requests()

        outcome = await lab.reconcile(state=state)

        assert said(outcome) == (Status.TRUE, Reason.FIELDS_PRESENT)
        assert "UF_CRM_REGION" in crm_of(lab).fields[Kind.COMPANY]
        assert await lab.requests() == before + 2
        assert await added(lab) == {**dict.fromkeys(ADDS, 5), "crm.company.userfield.add": 6}


async def test_what_is_there_is_left_as_it_is(store: Store) -> None:
    """As after a crash in the middle, or where people have named the values their own way."""
    async with provisioning_lab.running(store) as lab:
        await lab.install()
        await lab.reconcile()
        crm = crm_of(lab)
        crm.fields[Kind.LEAD].clear()
        crm.fields[Kind.CONTACT]["UF_CRM_SMS_REACH"].items[0].value = "жив"
        numbers = [field.field_id for field in crm.fields[Kind.CONTACT].values()]

        outcome = await lab.reconcile()

        assert said(outcome) == (Status.TRUE, Reason.FIELDS_PRESENT)
        assert len(crm.fields[Kind.LEAD]) == 5
        assert [field.field_id for field in crm.fields[Kind.CONTACT].values()] == numbers
        assert crm.fields[Kind.CONTACT]["UF_CRM_SMS_REACH"].items[0].value == "жив"
        assert await added(lab) == {**dict.fromkeys(ADDS, 5), "crm.lead.userfield.add": 10}


async def test_without_the_scope_they_are_not_managed_and_all_is_well(store: Store) -> None:
    async with provisioning_lab.running(store) as lab:
        settings = lab.sandbox.portals.by_domain[DOMAIN].applications[CLIENT_ID].settings
        settings.scope = ["messageservice"]
        await lab.install()
        without = await lab.reconcile()

        assert said(without) == (Status.TRUE, Reason.NOT_MANAGED)
        assert (without.state.ready, without.again) == (True, False)
        assert await added(lab) == {}

        settings.scope = ["messageservice", "crm"]
        given = await lab.reconcile(state=without.state)
        assert said(given) == (Status.TRUE, Reason.FIELDS_PRESENT)
        assert await added(lab) == dict.fromkeys(ADDS, 5)


def _other_type(field: UserField) -> None:
    field.type = "integer"


def _several(field: UserField) -> None:
    field.flags["MULTIPLE"] = "Y"


def _without_ids(field: UserField) -> None:
    for item in field.items[2:]:
        item.xml_id = ""


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (_other_type, "UF_CRM_SMS_REACH of a contact is of type integer, not enumeration"),
        (_several, "UF_CRM_SMS_REACH of a contact takes several values"),
        (_without_ids, "UF_CRM_SMS_REACH of a contact has no values with the XML_ID absent, unknown"),
    ],
    ids=["type", "several values", "values"],
)
async def test_a_field_of_another_kind_is_said_and_left_alone(
    store: Store, change: Callable[[UserField], Any], sentence: str
) -> None:
    async with provisioning_lab.running(store) as lab:
        await lab.install()
        state = (await lab.reconcile()).state
        fields = crm_of(lab).fields[Kind.CONTACT]
        change(fields["UF_CRM_SMS_REACH"])
        before = await lab.requests()

        wrong = await lab.reconcile(state=state)

        assert said(wrong) == (Status.FALSE, Reason.FIELD_TYPE_WRONG)
        assert detail(wrong) == sentence
        assert (wrong.state.ready, wrong.again) == (False, True)
        assert await lab.requests() == before + 1

        del fields["UF_CRM_SMS_REACH"]
        assert said(await lab.reconcile(state=wrong.state)) == (Status.TRUE, Reason.FIELDS_PRESENT)


async def test_a_wrong_one_does_not_keep_the_others_from_being_made(store: Store) -> None:
    async with provisioning_lab.running(store) as lab:
        await lab.install()
        await lab.reconcile()
        fields = crm_of(lab).fields[Kind.LEAD]
        fields["UF_CRM_REGION"].type = "date"
        del fields["UF_CRM_SMS_CHANNEL"]

        outcome = await lab.reconcile()

        assert said(outcome) == (Status.FALSE, Reason.FIELD_TYPE_WRONG)
        assert "UF_CRM_SMS_CHANNEL" in fields


@pytest.mark.parametrize("verb", ["add", "list"])
async def test_a_refusal_has_the_portals_words(store: Store, verb: str) -> None:
    async with provisioning_lab.running(store) as lab:
        await lab.install()
        call = f"crm.lead.userfield.{verb}"
        await lab.control.portal_fault(DOMAIN, Fault(kind=FaultKind.COMMAND_ERROR, error="", call=call))
        refused = await lab.reconcile()

        assert said(refused) == (Status.FALSE, Reason.FIELDS_REFUSED)
        more = "; and 4 more" if verb == "add" else ""
        assert detail(refused) == f"UF_CRM_OPERATOR of a lead: Ordered by a test{more}"
        registered = refused.state.find(Type.REGISTERED)
        assert registered is not None
        assert registered.status is Status.TRUE
        assert refused.again

        await lab.control.clear_portal_faults(DOMAIN)
        assert said(await lab.reconcile(state=refused.state)) == (Status.TRUE, Reason.FIELDS_PRESENT)


@pytest.mark.parametrize("verb", ["add", "list"])
async def test_what_cannot_be_told_now_is_unknown(store: Store, verb: str) -> None:
    async with provisioning_lab.running(store) as lab:
        await lab.install()
        fault = Fault(kind=FaultKind.OPERATION_TIME_LIMIT, call=f"crm.contact.userfield.{verb}", count=1)
        await lab.control.portal_fault(DOMAIN, fault)
        first = await lab.reconcile()

        assert said(first) == (Status.UNKNOWN, Reason.PORTAL_AWAY)
        authorized = first.state.find(Type.PORTAL_AUTHORIZED)
        assert authorized is not None
        assert authorized.status is Status.TRUE


async def test_a_portal_that_does_not_answer_still_has_its_fields(store: Store) -> None:
    async with provisioning_lab.running(store) as lab:
        await lab.install()
        state = (await lab.reconcile()).state
        limit = Fault(kind=FaultKind.OPERATION_TIME_LIMIT, call="crm.contact.userfield.list", count=1)
        await lab.control.portal_fault(DOMAIN, limit)
        limited = await lab.reconcile(state=state)
        await lab.control.portal_fault(DOMAIN, Fault(kind=FaultKind.HTTP_500))
        silent = await lab.reconcile(state=limited.state)

        assert said(limited) == said(silent) == (Status.TRUE, Reason.FIELDS_PRESENT)


async def test_dead_tokens_leave_them_unknown(store: Store) -> None:
    async with provisioning_lab.running(store) as lab:
        await lab.install()
        state = (await lab.reconcile()).state
        await lab.control.portal_fault(DOMAIN, Fault(kind=FaultKind.PAYMENT_REQUIRED))

        assert said(await lab.reconcile(state=state)) == (Status.UNKNOWN, Reason.WAITING_FOR_PORTAL)


async def test_many_providers_of_one_portal_make_them_once(store: Store) -> None:
    async with provisioning_lab.running(store) as lab:
        await lab.install()
        others = [replace(lab.provider, uid=f"uid-{n}", name=f"smsc-{n}", code=f"smsc-{n}") for n in range(8)]

        outcomes = await asyncio.gather(*(lab.reconcile(provider) for provider in others))

        assert {said(outcome) for outcome in outcomes} == {(Status.TRUE, Reason.FIELDS_PRESENT)}
        assert await added(lab) == dict.fromkeys(ADDS, 5)
        assert await lab.requests() == 3 * len(others) + 1


async def test_a_portal_that_cannot_make_them_now_is_asked_once_for_all_its_providers(store: Store) -> None:
    async with provisioning_lab.running(store) as lab:
        await lab.install()
        limit = Fault(kind=FaultKind.OPERATION_TIME_LIMIT, call="crm.contact.userfield.add")
        await lab.control.portal_fault(DOMAIN, limit)
        others = [replace(lab.provider, uid=f"uid-{n}", name=f"smsc-{n}", code=f"smsc-{n}") for n in range(8)]

        outcomes = await asyncio.gather(*(lab.reconcile(provider) for provider in others))

        assert {said(outcome) for outcome in outcomes} == {(Status.UNKNOWN, Reason.PORTAL_AWAY)}
        assert await lab.requests() == 3 * len(others) + 1
