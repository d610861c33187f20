"""Errands by the whole hlr role against the sandbox: new leads, the webhook's step, the step that checks a
number.
"""

import pytest

from smsbridge.core.errand import EntityType, ErrandKind, ErrandResult
from smsbridge.core.provider import Profile
from smsbridge.store.connection import Store
from tests.wire import errands_lab, hlr_lab

ACTIVE, ABSENT, OFF = "+79991234500", "+79991234597", "+79991234598"
CARRIER = {"UF_CRM_OPERATOR": "MegaFon", "UF_CRM_REGION": "Санкт-Петербург"}
CALLS, ALL, NEVER = ({"enrichLeads": word} for word in ("calls", "all", "never"))


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
