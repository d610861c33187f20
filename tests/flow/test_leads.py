"""New leads, whole: a call's lead shows operator and region soon, and nothing else costs anything."""

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from smsbridge.sandbox.orders import EntitiesOrder
from smsbridge.sandbox.settings import Profile
from tests.flow import harness

KILLS = 4
SOON_AGAIN = {
    **harness.SHORT,
    "hlr": {
        **harness.SHORT["hlr"],
        "unanswered_rest_seconds": 5.0,
        "errand_retry_most_seconds": 5.0,
    },
}
OPERATOR, REGION = "UF_CRM_OPERATOR", "UF_CRM_REGION"


@pytest.mark.parametrize("profile", Profile)
async def test_leads_from_calls_are_enriched_and_others_are_not(tmp_path: Path, profile: Profile) -> None:
    async with harness.running(tmp_path, plan(profile, "calls")) as stack:
        await bound(stack, "ONCRMLEADADD")
        by_phone = await new(stack, [["+79995000101"], [], ["no phone"]], SOURCE_ID="CALL")
        by_web = await new(stack, [["+79995000202"]], SOURCE_ID="WEB")
        await shown(stack, {by_phone[0]: ("MegaFon", "Санкт-Петербург")})
        found = {one.entity_id: one for one in await stack.control.entities(harness.DOMAIN, "lead")}
        assert [found[lead].user_fields.get(OPERATOR) for lead in (*by_phone[1:], *by_web)] == [None] * 3
        # Our own update is an event, too, and nothing follows from it.
        await asyncio.sleep(1)
        told = await stack.control.crm_events(harness.DOMAIN)
        assert told["ONCRMLEADADD"] == {"200": 4}
        assert (await stack.control.traffic(harness.DOMAIN)).by_method["crm.lead.update"] == 1
        assert (await stack.smsc_ledger(profile.value)).look_ups == (1 if profile is Profile.GUIDE else 0)


@pytest.mark.parametrize("profile", Profile)
async def test_a_storm_of_leads_while_roles_die(tmp_path: Path, profile: Profile) -> None:
    async with harness.running(tmp_path, plan(profile, "all"), config=SOON_AGAIN) as stack:
        await bound(stack, "ONCRMLEADADD")
        leads = await new(stack, [[phone] for phone in harness.good_phones(300)], SOURCE_ID="CALL")
        for _ in range(KILLS):
            await asyncio.sleep(0.7)
            stack.kill("hlr")

        async def told() -> bool:
            return sum((await stack.control.crm_events(harness.DOMAIN))["ONCRMLEADADD"].values()) == len(
                leads
            )

        await harness.until(told, seconds=60, what=stack.log_tail)

        async def enriched() -> bool:
            found = await stack.control.entities(harness.DOMAIN, "lead")
            return all(one.user_fields.get(OPERATOR) for one in found)

        await harness.until(enriched, seconds=120, what=stack.log_tail)
        ledger = await stack.smsc_ledger(profile.value)
        # Profile guide: nobody can tell what came of a dead process's requests, two at a time. After a rest
        # they are made again.
        assert ledger.looked_up_again <= (2 * KILLS if profile is Profile.GUIDE else 0)
        assert not any("error_9" in results for results in ledger.requests.values())
        traffic = await stack.control.traffic(harness.DOMAIN)
        assert (traffic.status_503, traffic.status_429) == (0, 0)


async def test_a_workflow_s_webhook_step_writes_to_its_entity(tmp_path: Path) -> None:
    async with harness.running(tmp_path, plan(Profile.GUIDE, "never")) as stack:
        (lead,) = await new(stack, [["+79995000303"]], quiet=True)
        url = stack.urls[0].rpartition("/")[0] + "/hlr"
        async with aiohttp.ClientSession() as session:
            for _ in range(3):  # what the stock step posts, and again within ten minutes
                form = {"document_id[0]": "crm", "document_id[1]": "CCrmDocumentLead"}
                async with session.post(url, data={**form, "document_id[2]": f"LEAD_{lead}"}) as answer:
                    assert answer.status == 200
            async with session.get(url) as answer:
                assert answer.status == 400
        await shown(stack, {lead: ("Beeline", "Новосибирская область")})
        assert (await stack.smsc_ledger()).look_ups == 1


def plan(profile: Profile, leads: str) -> harness.Plan:
    return harness.Plan(profile=profile, spec={"crm": {"enrichLeads": leads}})


async def bound(stack: harness.Stack, event: str) -> None:
    application = next(iter(stack.sandbox.portals.by_domain[harness.DOMAIN].applications.values()))

    async def there() -> bool:
        return any(one["event"] == event for one in application.bindings)

    await harness.until(there, seconds=30, what=stack.log_tail)


async def new(
    stack: harness.Stack, phones: list[list[str]], *, quiet: bool = False, **fields: Any
) -> list[int]:
    order = EntitiesOrder(phones=phones, fields=fields, quiet=quiet)
    return await stack.control.create_entities(harness.DOMAIN, "lead", order)


async def shown(stack: harness.Stack, wanted: dict[int, tuple[str, str]]) -> None:
    found: dict[int, tuple[str, str]] = {}

    async def right() -> bool:
        listed = await stack.control.entities(harness.DOMAIN, "lead")
        fields = {one.entity_id: one.user_fields for one in listed}
        for lead in wanted:
            found[lead] = (fields[lead].get(OPERATOR, ""), fields[lead].get(REGION, ""))
        return found == wanted

    await harness.until(right, seconds=60, what=lambda: f"{found}\n{stack.log_tail()}")
