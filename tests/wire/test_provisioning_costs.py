"""What a resource costs its portal and its account: little where nothing changes, no more where it fails."""

import asyncio
from pathlib import Path

import pytest

from smsbridge.provisioning.settings import ProvisioningSettings
from smsbridge.sandbox.faults import Fault, FaultKind
from smsbridge.store.connection import Store
from tests.wire.provisioning_lab import DOMAIN
from tests.wire.test_provisioning_service import Running, manifest, running

HOUR_SECONDS = 3600
TICK_SECONDS = 5
INTERVAL_SECONDS = 600


async def an_hour(it: Running) -> None:
    for _ in range(HOUR_SECONDS // TICK_SECONDS):
        it.lab.clock.move(TICK_SECONDS)
        await it.lab.control.advance(TICK_SECONDS)
        await it.work()


async def test_an_unchanged_resource_costs_one_request_of_each_an_interval(
    store: Store, tmp_path: Path
) -> None:
    async with running(store, tmp_path) as it:
        await it.lab.control.change_portal(DOMAIN, access_token_seconds=2 * HOUR_SECONDS)
        await it.lab.install()
        it.write(manifest(it.lab, "smsc", crm={"enrichLeads": "all"}))
        await it.look()
        before = await costs(it)

        await an_hour(it)

        after = await costs(it)
        assert after["portal"] - before["portal"] == HOUR_SECONDS // INTERVAL_SECONDS
        # How old a balance is, the store's clock tells, which no test moves: see the next one.
        assert after["smsc"] == before["smsc"] == 1


async def test_an_account_is_asked_once_an_interval_for_all_its_providers(
    store: Store, tmp_path: Path
) -> None:
    settings = ProvisioningSettings(interval_seconds=0.3, interval_jitter=0)
    async with running(store, tmp_path, settings=settings) as it:
        await it.lab.install()
        it.write(*(manifest(it.lab, f"smsc-{number}") for number in range(4)))
        await it.look()
        for rounds in range(1, 5):
            assert (await costs(it))["smsc"] == rounds
            await asyncio.sleep(0.35)  # the store's clock
            it.lab.clock.move(0.35)
            await it.work()


async def test_providers_of_one_account_ask_it_once(store: Store, tmp_path: Path) -> None:
    async with running(store, tmp_path) as it:
        await it.lab.install()
        it.write(*(manifest(it.lab, f"smsc-{number}") for number in range(8)))

        await it.look()

        assert {row["balance"] for row in (await it.rows()).values()} == {"1000000.00"}
        assert (await costs(it))["smsc"] == 1


async def test_providers_of_one_silent_account_ask_it_once(store: Store, tmp_path: Path) -> None:
    async with running(store, tmp_path) as it:
        await it.lab.install()
        await it.lab.control.smsc_fault("guide", Fault(kind=FaultKind.HTTP_500, call="balance"))
        it.write(*(manifest(it.lab, f"smsc-{number}") for number in range(8)))

        await it.look()

        assert {row["reason"] for row in (await it.rows()).values()} == {"AccountAway"}
        assert (await costs(it))["smsc"] == 1


@pytest.mark.parametrize(
    ("fault", "of_portal"),
    [(FaultKind.INSUFFICIENT_SCOPE, True), (FaultKind.HTTP_500, True), (FaultKind.HTTP_500, False)],
    ids=["scope missing", "portal broken", "SMSC broken"],
)
async def test_an_error_costs_no_more_once_its_back_off_is_at_its_cap(
    store: Store, tmp_path: Path, fault: FaultKind, of_portal: bool
) -> None:
    async with running(store, tmp_path) as it:
        await it.lab.control.change_portal(DOMAIN, access_token_seconds=3 * HOUR_SECONDS)
        await it.lab.install()
        if of_portal:
            await it.lab.control.portal_fault(DOMAIN, Fault(kind=fault))
        else:
            await it.lab.control.smsc_fault("guide", Fault(kind=fault, call="balance"))
        it.write(manifest(it.lab, "smsc"))
        await it.look()
        await an_hour(it)
        before = await costs(it)

        await an_hour(it)

        after = await costs(it)
        # Six intervals; the back-off's jitter may bring one more.
        assert 0 <= after["portal"] - before["portal"] <= 7
        assert 0 <= after["smsc"] - before["smsc"] <= 7
        assert sum(after.values()) > sum(before.values())


async def costs(it: Running) -> dict[str, int]:
    return {"portal": await it.lab.requests(), "smsc": await it.lab.balance_requests()}


async def test_an_application_that_is_not_installed_costs_the_portal_nothing(
    store: Store, tmp_path: Path
) -> None:
    async with running(store, tmp_path) as it:
        it.write(manifest(it.lab, "smsc"))
        await it.look()

        await an_hour(it)

        assert await it.lab.requests() == 0
        assert (await it.rows())["smsc"]["reason"] == "NotInstalled"


async def test_a_new_neighbour_costs_the_others_nothing(store: Store, tmp_path: Path) -> None:
    async with running(store, tmp_path) as it:
        await it.lab.install()
        it.write(*(manifest(it.lab, f"smsc-{number}") for number in range(5)))
        await it.look()
        before = await it.lab.requests()
        it.write(*(manifest(it.lab, f"smsc-{number}") for number in range(6)))

        await it.look()

        assert await it.lab.requests() - before == 3  # a look, the registration, its event


async def test_fields_that_the_portal_refuses_cost_one_more_request_an_interval(
    store: Store, tmp_path: Path
) -> None:
    async with running(store, tmp_path) as it:
        await it.lab.control.change_portal(DOMAIN, access_token_seconds=3 * HOUR_SECONDS)
        await it.lab.install()
        refusal = Fault(kind=FaultKind.COMMAND_ERROR, error="", call="crm.lead.userfield.add")
        await it.lab.control.portal_fault(DOMAIN, refusal)
        it.write(manifest(it.lab, "smsc"))
        await it.look()
        await an_hour(it)
        before = await costs(it)

        await an_hour(it)

        assert (await it.rows())["smsc"]["reason"] == "FieldsRefused"
        # Six looks and as many attempts; the back-off's jitter may bring one more.
        assert 2 * 5 <= (await costs(it))["portal"] - before["portal"] <= 2 * 7
