"""Numbers in the other shape: two hlr roles share leads, steps and a verification, and one of them dies."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from smsbridge.core import errors
from smsbridge.core.errand import EntityType
from smsbridge.core.verification import Source, State, Verification
from smsbridge.rpc import clients
from smsbridge.runtime import rpc
from smsbridge.sandbox.crm import Kind
from smsbridge.sandbox.orders import EntitiesOrder, RunOrder
from smsbridge.sandbox.settings import Profile
from smsbridge.store import connection, embedded
from tests.flow import harness, split

REPLICAS = (*split.REPLICAS, "hlr-2")
CONFIG = {**harness.SHORT, "hlr": {**harness.SHORT["hlr"], "verification": {"lease_seconds": 2.0}}}
PHONES = harness.good_phones(440)
CONTACTS, LEADS, ASKED = PHONES[:300], PHONES[300:400], PHONES[400:]


async def test_two_hlr_roles_share_the_work_and_one_of_them_dies(
    tmp_path: Path, valkey: embedded.EmbeddedValkey, store: connection.Store
) -> None:
    plan = harness.Plan(profile=Profile.HTTP, spec={"crm": {"enrichLeads": "all"}})
    async with split.running(tmp_path, valkey, plan, config=CONFIG, replicas=REPLICAS) as stack:
        portal = stack.sandbox.portals.by_domain[harness.DOMAIN]
        application = next(iter(portal.applications.values()))

        async def registered() -> bool:
            bound = {one["event"] for one in application.bindings}
            fields = len(portal.crm.fields[Kind.CONTACT])
            return "smsc.hlr" in application.activities and "ONCRMLEADADD" in bound and fields == 5

        await harness.until(registered, seconds=30, what=stack.log_tail)
        await made(stack, "contact", CONTACTS, quiet=True)
        verification = await confirmed(stack)
        await made(stack, "lead", LEADS)
        for phone in ASKED:
            await stack.control.run(harness.DOMAIN, RunOrder(code="smsc.hlr", properties={"phone": phone}))
        await stack.replace("hlr")
        await asyncio.sleep(1)
        await stack.replace("hlr-2")

        async def answered() -> bool:
            steps = await stack.control.steps(harness.DOMAIN)
            return [one.values.get("reachability") for one in steps] == ["active"] * len(ASKED)

        async def enriched() -> bool:
            leads = await stack.control.entities(harness.DOMAIN, "lead")
            return all(one.user_fields.get("UF_CRM_OPERATOR") for one in leads)

        await harness.until(answered, seconds=90, what=stack.log_tail)
        await harness.until(enriched, seconds=90, what=stack.log_tail)
        found = await stands(stack, verification)
        assert (found.state, found.progress.entities) == (State.DONE, len(CONTACTS))
        contacts = await stack.control.entities(harness.DOMAIN, "contact")
        assert {one.user_fields["UF_CRM_SMS_REACH"] for one in contacts} == {"active"}
        ledger = await stack.smsc_ledger("http")
        assert (ledger.look_ups, ledger.looked_up_again) == (len(CONTACTS) + len(ASKED), 0)
        assert (portal.seen.status_503, portal.seen.status_429) == (0, 0)


async def made(stack: split.SplitStack, kind: str, phones: list[str], *, quiet: bool = False) -> None:
    order = EntitiesOrder(phones=[[phone] for phone in phones], quiet=quiet)
    await stack.control.create_entities(harness.DOMAIN, kind, order)


@contextlib.asynccontextmanager
async def hlr(stack: split.SplitStack) -> AsyncIterator[clients.HlrClient]:
    """Whichever of them answers."""
    async with rpc.channel(stack.rpc_address("hlr")) as channel:
        yield clients.HlrClient(channel)


async def confirmed(stack: split.SplitStack) -> str:
    async with hlr(stack) as client:
        (budget,) = await client.budgets()
        found = await client.start_verification(budget.provider_uid, Source(EntityType.CONTACT), ())
        found = await stands(stack, found.id)
        assert (found.state, found.reason) == (State.QUOTED, "")
        await client.confirm_verification(found.id)
        return found.id


async def stands(stack: split.SplitStack, id_: str) -> Verification:
    found: list[Verification] = []

    async def still() -> bool:
        with contextlib.suppress(errors.Away):  # one that dies; the next question finds another
            async with hlr(stack) as client:
                found.append(await client.get_verification(id_))
        return bool(found) and found[-1].stands

    await harness.until(still, seconds=120, what=stack.log_tail)
    return found[-1]
