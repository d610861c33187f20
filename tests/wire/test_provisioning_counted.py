"""What the provisioner asks of others is counted by what came back."""

from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry

from smsbridge.bitrix24 import errors as portal_errors
from smsbridge.bitrix24 import limiter, messageservice
from smsbridge.provisioning import counted
from smsbridge.provisioning.metrics import ProvisionerMetrics
from smsbridge.provisioning.portal import Portals
from smsbridge.sandbox.faults import Fault, FaultKind
from smsbridge.smsc import account as accounts
from smsbridge.smsc import errors as smsc_errors
from smsbridge.store.connection import Store
from tests.wire import provisioning_lab
from tests.wire.provisioning_lab import DOMAIN


def counts(registry: CollectorRegistry) -> dict[tuple[str, str], float]:
    samples = [sample for family in registry.collect() for sample in family.samples]
    return {
        (one.labels["system"], one.labels["result"]): one.value
        for one in samples
        if one.name == "smsbridge_provisioner_requests_total"
    }


async def test_requests_to_a_portal_and_its_oauth_host(store: Store) -> None:
    registry = CollectorRegistry()
    async with (
        provisioning_lab.running(store) as lab,
        counted.Http(ProvisionerMetrics(registry).requests) as http,
    ):
        found = await lab.install()
        portals = Portals(http, limiter.LocalLimiter(), lab.installations)
        api = portals.api(lab.provider, found.member_id)
        await lab.control.expire_tokens(DOMAIN)

        await messageservice.list_senders(api)

        assert counts(registry) == {("portal", "refused"): 1, ("oauth", "ok"): 1, ("portal", "ok"): 1}
        for fault in (FaultKind.RESET_BEFORE_ACCEPT, FaultKind.HTTP_500):
            await lab.control.portal_fault(DOMAIN, Fault(kind=fault))
            with pytest.raises(portal_errors.PortalAway):
                await messageservice.list_senders(api)
            await lab.control.clear_portal_faults(DOMAIN)
        assert counts(registry)["portal", "away"] == 2


async def test_questions_to_smsc(store: Store) -> None:
    registry = CollectorRegistry()
    async with provisioning_lab.running(store) as lab:
        smsc = counted.Smsc(lab.smsc, ProvisionerMetrics(registry).requests)
        account = accounts.of(lab.provider.account)

        await smsc.balance(account)
        with pytest.raises(smsc_errors.SmscRejected):
            await smsc.balance(replace(account, password="wrong"))
        with pytest.raises(smsc_errors.SmscAway):
            await smsc.balance(replace(account, base_url="http://127.0.0.1:1"))

        assert counts(registry) == {("smsc", "ok"): 1, ("smsc", "refused"): 1, ("smsc", "away"): 1}
