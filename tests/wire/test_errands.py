"""Errands by the whole hlr role against the sandbox: new leads, the webhook's step, the step that checks a
number.
"""

import time
from datetime import datetime
from typing import Any

import pytest
from prometheus_client import generate_latest

from smsbridge.api.v1 import hlr_pb2
from smsbridge.bitrix24.bizproc import StepKind
from smsbridge.core.errand import EntityType, Errand, ErrandKind, ErrandResult
from smsbridge.core.message import TokenCheck
from smsbridge.core.number import Reachability
from smsbridge.core.provider import Profile
from smsbridge.rpc import errand
from smsbridge.sandbox.faults import Fault, FaultKind
from smsbridge.sandbox.orders import DocumentKind
from smsbridge.smsc import account as smsc_account
from smsbridge.store import account, installations, registry, tags
from smsbridge.store.connection import Store
from smsbridge.store.errands import Errands, Lane, Put, Settled
from smsbridge.store.portal_limiter import PortalLimits
from tests.conftest import store_settings
from tests.wire import errands_lab, hlr_lab, senders, status_lab

ACTIVE, ABSENT, OFF = "+79991234500", "+79991234597", "+79991234598"
CARRIER = {"UF_CRM_OPERATOR": "MegaFon", "UF_CRM_REGION": "Санкт-Петербург"}
CALLS, ALL = {"enrichLeads": "calls"}, {"enrichLeads": "all"}
DOCUMENTS = {StepKind.ROBOT: DocumentKind.LEAD, StepKind.ACTIVITY: DocumentKind.CONTACT}


def without_date(shown: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in shown.items() if name != "UF_CRM_SMS_CHECKED"}


@pytest.mark.parametrize("profile", list(Profile))
async def test_a_lead_from_a_call_gets_its_fields(store: Store, profile: Profile) -> None:
    async with errands_lab.living(store, profile) as world:
        world.bind("ONCRMLEADADD")
        async with world.running(crm=CALLS):
            lead = await world.add("lead", ACTIVE)
            await world.until_ended("added", "done")
            shown = await world.shown("lead", lead)
            assert world.answers == [ErrandResult.TAKEN]
            if profile is Profile.GUIDE:
                assert without_date(shown) == {**CARRIER, "UF_CRM_SMS_REACH": "active"}
                assert shown["UF_CRM_SMS_CHECKED"]
                assert hlr_lab.bought(world.sandbox) == 1
            else:
                assert shown == CARRIER
                assert hlr_lab.bought(world.sandbox, "http") == 0
                ledger = await world.control.ledger("http")
                assert ledger.requests["info"] == {"ok": 1}
            assert (await world.methods())["crm.lead.update"] == 1


@pytest.mark.parametrize(
    ("wish", "source", "end", "bought"),
    [
        ({"enrichLeads": "calls"}, "WEB", "no_call", 0),
        ({"enrichLeads": "calls"}, "", "no_call", 0),
        ({"enrichLeads": "all"}, "WEB", "done", 1),
        ({"enrichLeads": "never"}, "CALL", "off", 0),
    ],
)
async def test_which_leads_are_wanted(
    store: Store, wish: dict[str, str], source: str, end: str, bought: int
) -> None:
    async with errands_lab.living(store) as world:
        world.bind("ONCRMLEADADD")
        async with world.running(crm=wish):
            lead = await world.add("lead", ACTIVE, source=source)
            await world.until_ended("added", end)
            assert hlr_lab.bought(world.sandbox) == bought
            assert bool(await world.shown("lead", lead)) is (end == "done")
            assert ("crm.lead.get" in await world.methods()) is (end != "off")


async def test_a_line_with_a_source_of_its_own(store: Store) -> None:
    async with errands_lab.living(store) as world:
        world.bind("ONCRMLEADADD")
        async with world.running(crm=CALLS, telephony_sources=["CALL", "LINE_2"]):
            lead = await world.add("lead", ACTIVE, source="LINE_2")
            await world.until_ended("added", "done")
            assert (await world.shown("lead", lead))["UF_CRM_OPERATOR"] == "MegaFon"


async def test_a_contact_where_leads_are_off(store: Store) -> None:
    async with errands_lab.living(store) as world:
        world.bind("ONCRMCONTACTADD")
        async with world.running(crm=CALLS):
            contact = await world.add("contact", ABSENT)
            await world.until_ended("added", "done")
            shown = await world.shown("contact", contact)
            assert without_date(shown) == {**CARRIER, "UF_CRM_SMS_REACH": "absent"}


async def test_leads_that_cannot_be_looked_up(store: Store) -> None:
    async with errands_lab.living(store) as world, world.running(crm=ALL):
        without, bad = await world.add("lead"), await world.add("lead", "call me")
        gone = await world.add("lead", ACTIVE)
        await world.control.delete_entity(errands_lab.DOMAIN, "lead", gone)
        for lead in (without, bad, gone, 404):
            asked = await world.ask(ErrandKind.ADDED, entity=EntityType.LEAD, entity_id=lead)
            assert asked is ErrandResult.TAKEN
        await world.until_ended("added", "gone", 2)
        assert world.ends() == {("added", "no_phone"): 1, ("added", "bad_phone"): 1, ("added", "gone"): 2}
        assert hlr_lab.bought(world.sandbox) == 0
        assert "crm.lead.update" not in await world.methods()


async def test_the_best_of_several_phones_is_shown(store: Store) -> None:
    async with errands_lab.living(store) as world:
        world.bind("ONCRMLEADADD")
        async with world.running(crm=CALLS):
            lead = await world.add("lead", ABSENT, "8 (999) 123-45-98", "+79991234600", ABSENT)
            await world.until_ended("added", "done")
            shown = await world.shown("lead", lead)
            assert without_date(shown) == {
                "UF_CRM_OPERATOR": "Tele2",
                "UF_CRM_REGION": "Свердловская область",
                "UF_CRM_SMS_REACH": "active",
            }
            assert hlr_lab.bought(world.sandbox) == 3


async def test_the_same_event_twice_is_one_look_up(store: Store) -> None:
    async with errands_lab.living(store) as world, world.running(crm=CALLS):
        lead = await world.add("lead", ACTIVE)
        asked = {"entity": EntityType.LEAD, "entity_id": lead}
        assert await world.ask(ErrandKind.ADDED, **asked) is ErrandResult.TAKEN
        assert await world.ask(ErrandKind.ADDED, **asked) is ErrandResult.DUPLICATE
        await world.until_ended("added", "done")
        assert await world.ask(ErrandKind.ADDED, **asked) is ErrandResult.DUPLICATE
        assert world.ends() == {("added", "done"): 1, ("added", "repeated"): 2}
        assert hlr_lab.bought(world.sandbox) == 1
        assert (await world.methods())["crm.lead.update"] == 1


async def test_what_is_no_errand_is_refused_and_holds_up_no_other(store: Store) -> None:
    async with errands_lab.living(store) as world, world.running(crm=CALLS):
        lead = await world.add("lead", ACTIVE)
        good = {"provider_uid": "p1", "kind": hlr_pb2.ERRAND_KIND_ADDED, "entity_id": lead}
        given = [
            {"provider_uid": "p1"},
            {**good, "entity": hlr_pb2.ENTITY_TYPE_UNSPECIFIED},
            {**good, "entity": hlr_pb2.ENTITY_TYPE_LEAD, "entity_id": 0},
            {"provider_uid": "p1", "kind": hlr_pb2.ERRAND_KIND_STEP, "phone": ACTIVE},
            {"provider_uid": "p1", "kind": hlr_pb2.ERRAND_KIND_WEBHOOK},
            {
                "provider_uid": "p1",
                "kind": hlr_pb2.ERRAND_KIND_WEBHOOK,
                "entity": hlr_pb2.ENTITY_TYPE_LEAD,
                "phone": ACTIVE,
            },
            {**good, "provider_uid": "nobody", "entity": hlr_pb2.ENTITY_TYPE_LEAD},
            {**good, "entity": hlr_pb2.ENTITY_TYPE_LEAD},
        ]
        answers = await world.role.client.enrich([hlr_pb2.Errand(**one) for one in given])
        refused = hlr_pb2.ERRAND_RESULT_REFUSED
        assert [(answer.result, answer.reason) for answer in answers] == [
            (refused, "kind"),
            (refused, "entity"),
            (refused, "entity"),
            (refused, "event_token"),
            (refused, "entity"),
            (refused, "entity"),
            (hlr_pb2.ERRAND_RESULT_UNKNOWN_PROVIDER, ""),
            (hlr_pb2.ERRAND_RESULT_TAKEN, ""),
        ]
        await world.until_ended("added", "done")


async def test_no_budget_writes_nothing(store: Store) -> None:
    async with errands_lab.living(store) as world, world.running(crm=CALLS, hlr={"dailyBudget": "0"}):
        lead = await world.add("lead", ACTIVE)
        await world.ask(ErrandKind.ADDED, entity=EntityType.LEAD, entity_id=lead)
        await world.ask(ErrandKind.WEBHOOK, entity=EntityType.LEAD, entity_id=lead)
        await world.until_ended("added", "budget")
        await world.until_ended("webhook", "budget")
        assert await world.shown("lead", lead) == {}
        assert hlr_lab.bought(world.sandbox) == 0


@pytest.mark.parametrize("profile", list(Profile))
async def test_a_thousand_leads_at_once_stay_within_all_limits(store: Store, profile: Profile) -> None:
    """The portal's and SMSC's limits are the real ones."""
    async with errands_lab.living(store, profile, smsc=errands_lab.MINUTE) as world:
        world.bind("ONCRMLEADADD")
        async with world.running(crm=CALLS, portal_limits=PortalLimits()):
            await world.add_many("lead", 1000)
            await world.until_ended("added", "done", 1000, seconds=120)
            shown = await world.control.entities(errands_lab.DOMAIN, "lead")
            assert all({"UF_CRM_OPERATOR", "UF_CRM_REGION"} <= set(one.user_fields) for one in shown)
            traffic = await world.control.traffic(errands_lab.DOMAIN)
            assert (traffic.status_503, traffic.status_429) == (0, 0)
            assert traffic.by_method["crm.lead.update"] == 1000
            ledger = await world.control.ledger(profile.value)
            asked = ledger.requests["hlr" if profile is Profile.GUIDE else "info"]
            assert set(asked) == {"ok"}
            assert ledger.look_ups == (1000 if profile is Profile.GUIDE else 0)
            assert ledger.looked_up_again == 0


async def test_an_operator_that_smsc_does_not_know_spoils_no_other(store: Store) -> None:
    """info.php refuses a whole request for one number (90: no route)."""
    async with (
        errands_lab.living(store, Profile.HTTP, smsc=errands_lab.MINUTE) as world,
        world.running(crm=ALL),
    ):
        leads = [await world.add("lead", f"+799912345{n:02d}") for n in (0, 1, 90, 2)]
        errands = [errand.to_proto(Errand("p1", ErrandKind.ADDED, EntityType.LEAD, lead)) for lead in leads]
        await world.role.client.enrich(errands)
        await world.until_ended("added", "done", 3)
        await world.until_ended("added", "nothing")
        shown = [await world.shown("lead", lead) for lead in leads]
        assert shown == [CARRIER, CARRIER, {}, CARRIER]
        ledger = await world.control.ledger("http")
        assert set(ledger.requests["info"]) == {"ok", "error_3"}
        # What it does not know is remembered too.
        before = sum(ledger.requests["info"].values())
        again = await world.add("lead", "+79991234590")
        await world.ask(ErrandKind.ADDED, entity=EntityType.LEAD, entity_id=again)
        await world.until_ended("added", "nothing", 2)
        ledger = await world.control.ledger("http")
        assert sum(ledger.requests["info"].values()) == before


async def test_what_a_look_up_told_costs_no_question(store: Store) -> None:
    async with errands_lab.living(store, Profile.HTTP) as world, world.running(crm=ALL):
        await world.role.one("79991234500")
        lead = await world.add("lead", ACTIVE)
        await world.ask(ErrandKind.ADDED, entity=EntityType.LEAD, entity_id=lead)
        await world.until_ended("added", "done")
        shown = await world.shown("lead", lead)
        assert without_date(shown) == {
            "UF_CRM_OPERATOR": "MegaFon", "UF_CRM_REGION": "Санкт-Петербург", "UF_CRM_SMS_REACH": "active"
        }  # fmt: skip
        assert "info" not in (await world.control.ledger("http")).requests


@pytest.mark.parametrize("profile", list(Profile))
async def test_the_webhook_s_step_writes_a_whole_look_up(store: Store, profile: Profile) -> None:
    async with errands_lab.living(store, profile) as world, world.running():
        own, given = await world.add("lead", OFF), await world.add("company", ACTIVE)
        await world.ask(ErrandKind.WEBHOOK, entity=EntityType.LEAD, entity_id=own)
        await world.ask(
            ErrandKind.WEBHOOK, entity=EntityType.COMPANY, entity_id=given, phone="8 999 123-45-97"
        )
        await world.until_ended("webhook", "done", 2)
        assert without_date(await world.shown("lead", own)) == {
            **CARRIER,
            "UF_CRM_SMS_REACH": "unavailable",
        }
        assert without_date(await world.shown("company", given)) == {
            **CARRIER,
            "UF_CRM_SMS_REACH": "absent",
        }
        assert hlr_lab.bought(world.sandbox, profile.value) == 2
        # The same entity and phone, however they are written.
        for phone in ("+7 999 123 45 97", "79991234597"):
            asked = await world.ask(
                ErrandKind.WEBHOOK, entity=EntityType.COMPANY, entity_id=given, phone=phone
            )
            assert asked is ErrandResult.DUPLICATE
        assert (
            await world.ask(ErrandKind.WEBHOOK, entity=EntityType.LEAD, entity_id=own)
            is ErrandResult.DUPLICATE
        )
        assert hlr_lab.bought(world.sandbox, profile.value) == 2


async def test_a_webhook_without_an_entity_only_looks_up(store: Store) -> None:
    async with errands_lab.living(store) as world, world.running() as hlr:
        await world.ask(ErrandKind.WEBHOOK, phone=ACTIVE)
        await world.until_ended("webhook", "done")
        (known,) = await hlr.client.describe("p1", ["79991234500"])
        assert known.reachability is Reachability.ACTIVE
        assert (await world.methods()).keys() & {"crm.lead.get", "crm.lead.update"} == set()


async def test_errands_wait_for_an_installation(store: Store) -> None:
    async with errands_lab.living(store, installed=False) as world:
        lead = await world.add("lead", ACTIVE)
        async with world.running(crm=CALLS):
            await world.ask(ErrandKind.ADDED, entity=EntityType.LEAD, entity_id=lead)

            async def shows() -> bool:
                return world.role.sample("errands_waiting", namespace="crm", provider="p1", kind="added") == 1

            await senders.until(shows)
            assert world.ends() == {}
            await status_lab.install(store, world.sandbox, at=int(world.sandbox.clock.now()) + 20)
            await world.until_ended("added", "done")
            assert (await world.shown("lead", lead))["UF_CRM_OPERATOR"] == "MegaFon"


@pytest.mark.parametrize("kind", [FaultKind.QUERY_LIMIT, FaultKind.HTML, FaultKind.RESET_AFTER_ACCEPT])
async def test_a_portal_in_trouble_loses_no_errand(store: Store, kind: FaultKind) -> None:
    async with errands_lab.living(store) as world, world.running(crm=CALLS):
        leads = await world.add_many("lead", 3)
        await world.control.portal_fault(errands_lab.DOMAIN, Fault(kind=kind, count=3))
        for lead in leads:
            await world.ask(ErrandKind.ADDED, entity=EntityType.LEAD, entity_id=lead)
        await world.until_ended("added", "done", 3)
        assert hlr_lab.bought(world.sandbox) == 3


async def test_two_replicas_do_an_errand_once(store: Store) -> None:
    async with errands_lab.living(store) as world, world.running(crm=CALLS), world.running(crm=CALLS):
        world.bind("ONCRMLEADADD")
        await world.add_many("lead", 120)

        async def all_shown() -> bool:
            found = await world.control.entities(errands_lab.DOMAIN, "lead")
            return all(one.user_fields for one in found)

        await senders.until(all_shown)
        assert hlr_lab.bought(world.sandbox) == 120
        methods = await world.methods()
        assert methods["crm.lead.update"] == 120


async def test_a_foreign_token_is_compared_again_and_then_dropped(valkey: Any) -> None:
    times = {"token_hold_ms": 1_000}
    store = Store.connect(store_settings(valkey, times=times))
    await store.redis.flushall()
    async with errands_lab.living(store) as world, world.running(crm=CALLS):
        known = installations.Installations(store, senders.KEYRING)
        found = await known.for_provider(world.provider)
        assert found is not None
        (good,) = known.application_token_digests(found)
        first, second = await world.add("lead", ACTIVE), await world.add("lead", ABSENT)
        held = {"entity": EntityType.LEAD, "token_check": TokenCheck.MISMATCH}
        await world.ask(ErrandKind.ADDED, entity_id=first, token_digest=good, **held)
        await world.ask(ErrandKind.ADDED, entity_id=second, token_digest="0" * 32, **held)
        await world.until_ended("added", "done")
        assert hlr_lab.bought(world.sandbox) == 1
        await world.until_ended("added", "foreign_token")
        # Whoever forged it did not make a repeat of the true one.
        asked = await world.ask(ErrandKind.ADDED, entity=EntityType.LEAD, entity_id=second)
        assert asked is ErrandResult.TAKEN
        await world.until_ended("added", "done", 2)
        assert hlr_lab.bought(world.sandbox) == 2
    await store.close()


@pytest.mark.parametrize("profile", list(Profile))
@pytest.mark.parametrize("kind", list(StepKind))
async def test_a_step_is_answered(store: Store, profile: Profile, kind: StepKind) -> None:
    async with errands_lab.living(store, profile) as world, world.running():
        run = await world.run_step(ABSENT, kind=kind, document=DOCUMENTS[kind])
        step = await world.answered(run.token)
        checked_at = step.values.pop("checked_at")
        assert step.values == {
            "reachability": "absent",
            "operator": "MegaFon",
            "region": "Санкт-Петербург",
            "reason": "",
        }
        assert datetime.fromisoformat(checked_at).tzinfo is not None
        assert (step.waits, step.answers) == (False, 1)
        await world.until_ended("step", "done")
        # A repeat of the same run changes nothing.
        asked = await world.ask(ErrandKind.STEP, event_token=run.token, phone=ABSENT)
        assert asked is ErrandResult.DUPLICATE
        assert hlr_lab.bought(world.sandbox, profile.value) == 1


@pytest.mark.parametrize(
    ("phone", "document_id", "reason", "end"),
    [
        ("call me", 1, "bad_phone", "bad_phone"),
        ("", 1, "no_phone", "no_phone"),
        ("", 404, "gone", "gone"),
    ],
)
async def test_a_step_without_a_number_is_answered_too(
    store: Store, phone: str, document_id: int, reason: str, end: str
) -> None:
    async with errands_lab.living(store) as world, world.running():
        assert await world.add("lead") == 1
        run = await world.run_step(phone, document_id=document_id)
        step = await world.answered(run.token)
        assert step.values == {
            "reachability": "unknown",
            "operator": "",
            "region": "",
            "checked_at": "",
            "reason": reason,
        }
        await world.until_ended("step", end)


async def test_a_step_without_a_phone_takes_its_entity_s(store: Store) -> None:
    async with errands_lab.living(store) as world, world.running():
        lead = await world.add("lead", OFF)
        run = await world.run_step("", document_id=lead)
        assert (await world.answered(run.token)).values["reachability"] == "unavailable"


async def test_a_step_on_a_deal_needs_a_phone(store: Store) -> None:
    async with errands_lab.living(store) as world, world.running():
        run = await world.run_step("", document=DocumentKind.DEAL)
        assert (await world.answered(run.token)).values["reason"] == "no_phone"


async def test_a_step_within_no_budget(store: Store) -> None:
    async with errands_lab.living(store) as world, world.running(hlr={"dailyBudget": "0"}):
        run = await world.run_step(ACTIVE)
        values = (await world.answered(run.token)).values
        assert (values["reachability"], values["reason"]) == ("unknown", "budget")
        await world.until_ended("step", "budget")
        assert hlr_lab.bought(world.sandbox) == 0


async def test_a_step_whose_result_does_not_come(store: Store) -> None:
    """91: SMSC never tells."""
    async with (
        errands_lab.living(store, Profile.HTTP) as world,
        world.running(step_answer_seconds=1.0),
    ):
        run = await world.run_step("+79991234591")
        step = await world.answered(run.token)
        assert (step.values["reachability"], step.values["reason"]) == ("unknown", "pending")
        await world.until_ended("step", "nothing")
        assert step.answers == 1


async def test_a_step_is_answered_once_over_a_restart(store: Store) -> None:
    async with errands_lab.living(store, Profile.HTTP) as world:
        await world.control.change_account("http", timing={"delivery_seconds": 3.0})
        async with world.running():
            run = await world.run_step(ACTIVE)

            async def bought() -> bool:
                return hlr_lab.bought(world.sandbox, "http") == 1

            await senders.until(bought)
        assert (await world.step(run.token)).answers == 0
        async with world.running():
            step = await world.answered(run.token)
            await world.until_ended("step", "done")
            assert (step.values["reachability"], step.answers) == ("active", 1)
        async with world.running():
            await world.role.client.enrich([])

            async def looked() -> bool:
                return world.role.sample(
                    "errands_waiting", namespace="crm", provider="p1", kind="step"
                ) == 0 and bool(
                    world.role.metrics.get_sample_value(
                        "smsbridge_hlr_errands_oldest_seconds",
                        {"namespace": "crm", "provider": "p1", "kind": "step"},
                    )
                    == 0
                )

            await senders.until(looked)
            assert (await world.step(run.token)).answers == 1
            assert hlr_lab.bought(world.sandbox, "http") == 1


async def test_an_answer_of_which_nobody_knows_is_given_again(store: Store) -> None:
    async with errands_lab.living(store) as world, world.running():
        fault = Fault(kind=FaultKind.RESET_AFTER_ACCEPT, count=1)
        await world.control.portal_fault(errands_lab.DOMAIN, fault)
        run = await world.run_step(ACTIVE)
        await world.until_ended("step", "done")
        step = await world.step(run.token)
        # The portal has passed over the second one: the workflow went on with the first.
        assert (step.values["reachability"], step.answers, step.waits) == ("active", 2, False)


async def test_a_wait_that_ended_first(store: Store) -> None:
    async with errands_lab.living(store) as world:
        application = world.sandbox.portals.by_domain[errands_lab.DOMAIN].applications[status_lab.CLIENT]
        async with world.running():
            await world.control.portal_fault(errands_lab.DOMAIN, Fault(kind=FaultKind.QUERY_LIMIT))
            run = await world.run_step(ACTIVE, timeout_seconds=60)
            await world.control.advance(61)
            assert (await world.step(run.token)).values == {"IsTimeout": 1}
            await world.control.clear_portal_faults(errands_lab.DOMAIN)
            await world.until_ended("step", "done")
            assert (await world.step(run.token)).values == {"IsTimeout": 1}
            # A workflow that is no more: the portal denies it, and nobody asks again.
            await world.ask(ErrandKind.STEP, event_token="5a0d|A1_2_3|gone.0", phone=ACTIVE)
            await world.until_ended("step", "late")
            assert (await world.methods())["bizproc.event.send"] == 2
        assert application.installed


async def test_a_removed_provider_s_steps_are_answered(store: Store) -> None:
    async with errands_lab.living(store, Profile.HTTP) as world, world.running():
        lead = await world.add("lead", ACTIVE)
        await world.control.portal_fault(errands_lab.DOMAIN, Fault(kind=FaultKind.QUERY_LIMIT))
        run = await world.run_step("+79991234591")
        await world.ask(ErrandKind.WEBHOOK, entity=EntityType.LEAD, entity_id=lead)
        await registry.Registry(store, senders.KEYRING).tombstone(world.provider)
        await world.until_ended("webhook", "removed")
        await world.control.clear_portal_faults(errands_lab.DOMAIN)
        step = await world.answered(run.token)
        assert (step.values["reachability"], step.values["reason"]) == ("unknown", "removed")
        assert await world.ask(ErrandKind.STEP, event_token="x", phone=ACTIVE) is (
            ErrandResult.UNKNOWN_PROVIDER
        )


async def test_steps_do_not_wait_behind_leads(store: Store) -> None:
    async with errands_lab.living(store, smsc={"latency_ms": 100.0}) as world:
        world.bind("ONCRMLEADADD")
        async with world.running(crm=CALLS):
            await world.add_many("lead", 100)
            run = await world.run_step("call me")
            await world.answered(run.token)
            assert world.ended("added", "done") < 100


async def test_an_account_without_money_is_waited_for(store: Store) -> None:
    async with errands_lab.living(store) as world, world.running(crm=CALLS):
        key = smsc_account.of(world.provider.account).key
        accounts = account.Accounts(store, account.AccountLimits())
        await accounts.pause(key, account.Pause.MONEY)
        lead = await world.add("lead", ACTIVE)
        await world.ask(ErrandKind.ADDED, entity=EntityType.LEAD, entity_id=lead)
        run = await world.run_step(ACTIVE)  # a workflow is not kept waiting
        values = (await world.answered(run.token)).values
        assert (values["reachability"], values["reason"]) == ("unknown", "money")
        assert world.ended("added", "done") == 0
        await accounts.resume(key)
        await world.until_ended("added", "done")
        assert (await world.shown("lead", lead))["UF_CRM_OPERATOR"] == "MegaFon"


async def test_a_delivered_sms_tells_a_step_too_little(store: Store) -> None:
    """It proves that the number lives, but not whose it is."""
    async with errands_lab.living(store) as world, world.running():
        now_ms = round(time.time() * 1000)
        await store.redis.set(f"{tags.provider(world.provider.uid)}al:{ACTIVE.lstrip('+')}", now_ms)
        run = await world.run_step(ACTIVE)
        values = (await world.answered(run.token)).values
        assert (values["reachability"], values["operator"]) == ("active", "MegaFon")


async def test_nothing_of_a_person_is_logged_or_measured(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    async with errands_lab.living(store) as world, world.running(crm=CALLS):
        fault = Fault(kind=FaultKind.COMMAND_ERROR, call="crm.lead.update", error="ACCESS_DENIED")
        await world.control.portal_fault(errands_lab.DOMAIN, fault)
        lead = await world.add("lead", ACTIVE)
        await world.ask(ErrandKind.ADDED, entity=EntityType.LEAD, entity_id=lead)
        run = await world.run_step(ACTIVE)
        await world.until_ended("added", "refused")
        await world.answered(run.token)
        measured = generate_latest(world.role.metrics).decode()
    printed = capsys.readouterr().out
    assert "errand_refused" in printed
    for secret in (ACTIVE.lstrip("+"), run.token):
        assert secret not in printed
        assert secret not in measured


async def test_what_a_dead_replica_had_is_done_when_its_lease_is_over(store: Store) -> None:
    async with errands_lab.living(store) as world:
        lead = await world.add("lead", ACTIVE)
        book = Errands(store, senders.KEYRING)
        given = Errand("p1", ErrandKind.ADDED, EntityType.LEAD, lead)
        await book.put("p1", [Put(given, "lead", mark_ms=60_000)])
        dead = await book.take(
            "p1", Lane.CRM, owner="dead", lease_ms=700, most=50, longest_ms={ErrandKind.ADDED: 60_000}
        )
        assert len(dead.errands) == 1
        async with world.running(crm=CALLS):
            await world.until_ended("added", "done")
            assert hlr_lab.bought(world.sandbox) == 1
            # Should it live after all: nothing of it is its own any more.
            assert await book.settle("p1", [Settled(dead.errands[0].id)], owner="dead") == 0
