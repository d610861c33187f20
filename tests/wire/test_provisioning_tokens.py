"""Tokens against the sandbox, whose refresh tokens work once: one refresh at a time, stored before use."""

import asyncio
import time
from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry

from smsbridge.bitrix24 import errors as portal_errors
from smsbridge.bitrix24 import limiter, messageservice, oauth
from smsbridge.core import errors
from smsbridge.core.installation import Broken, Installation
from smsbridge.provisioning.portal import OAuthHost, Portals
from smsbridge.provisioning.settings import TokenSettings
from smsbridge.provisioning.tokens import PortalTokens, TokenMetrics
from smsbridge.sandbox.faults import Fault, FaultKind
from smsbridge.store.connection import Store
from smsbridge.store.installations import Installations
from tests.wire import provisioning_lab
from tests.wire.provisioning_lab import CLIENT_ID, DOMAIN, Lab


def source(lab: Lab, found: Installation, counted: CollectorRegistry | None = None) -> PortalTokens:
    """As another process would have it: nothing in common with the others but the store."""
    metrics = TokenMetrics(counted or CollectorRegistry())
    installations = Installations(lab.store, lab.ring)
    portals = Portals(lab.http, limiter.LocalLimiter(), installations, metrics=metrics)
    return portals.tokens(lab.provider, found.member_id)


def results(counted: CollectorRegistry) -> dict[str, float]:
    """Of renewals, as the process counted them."""
    name = "smsbridge_tokens_refreshed_total"
    samples = [sample for family in counted.collect() for sample in family.samples]
    return {one.labels["result"]: one.value for one in samples if one.name == name and one.value}


async def refreshes(lab: Lab) -> dict[str, int]:
    return await lab.control.oauth_results()


async def test_a_fresh_token_is_used_as_it_is(store: Store) -> None:
    async with provisioning_lab.running(store) as lab:
        found = await lab.install()

        token = await source(lab, found).token()

        assert token.access_token == found.access_token
        assert token.client_endpoint == lab.sandbox.portal_url(DOMAIN)
        assert await refreshes(lab) == {}


async def test_an_expired_token_is_renewed_before_it_is_used(store: Store) -> None:
    async with provisioning_lab.running(store) as lab:
        found = await lab.install()
        late = PortalTokens(
            lab.installations,
            lab.portals.oauth(lab.provider),
            client_id=CLIENT_ID,
            member_id=found.member_id,
            clock=lambda: time.time() + 3601,
        )
        token = await late.token()

        assert token.access_token != found.access_token
        assert await refreshes(lab) == {"ok": 1}


async def test_a_call_with_an_expired_token_is_repeated_once(store: Store) -> None:
    async with provisioning_lab.running(store) as lab:
        found = await lab.install()
        await lab.control.expire_tokens(DOMAIN)

        assert await messageservice.list_senders(lab.portals.api(lab.provider, found.member_id)) == ()
        assert await refreshes(lab) == {"ok": 1}


async def test_many_callers_in_many_processes_refresh_once(store: Store) -> None:
    async with provisioning_lab.running(store) as lab:
        found = await lab.install()
        await lab.control.expire_tokens(DOMAIN)
        old = await source(lab, found).token()
        processes = [source(lab, found) for _ in range(5)]

        renewed = await asyncio.gather(*(one.expired(old) for one in processes for _ in range(4)))

        assert len({token.access_token for token in renewed}) == 1
        assert await refreshes(lab) == {"ok": 1}
        stored = await lab.installations.get(CLIENT_ID, found.member_id)
        assert stored is not None
        assert stored.access_token == renewed[0].access_token


class Crashing:
    """An OAuth host that spends the token and lets nobody know, as a crash before storing does."""

    def __init__(self, real: OAuthHost) -> None:
        self._real = real

    async def refresh(self, installation: Installation, *, refresh_token: str) -> oauth.TokenPair:
        await self._real.refresh(installation, refresh_token=refresh_token)
        raise portal_errors.PortalAway("the process died", after_first_byte=True)


async def test_after_a_crash_another_administrators_chain_takes_over(store: Store) -> None:
    async with provisioning_lab.running(store) as lab:
        await lab.installations.install(await lab.event(at=100, known_as="2"))
        found = await lab.install(at=200)
        assert [chain.user_id for chain in found.spares] == ["2"]
        crashing = PortalTokens(
            lab.installations,
            Crashing(lab.portals.oauth(lab.provider)),
            client_id=CLIENT_ID,
            member_id=found.member_id,
        )
        old = await crashing.token()
        with pytest.raises(errors.Away):
            await crashing.expired(old)

        counted = CollectorRegistry()
        renewed = await source(lab, found, counted).expired(old)

        assert results(counted) == {"GrantRefused": 1, "ok": 1}
        assert renewed.access_token != old.access_token
        assert await refreshes(lab) == {"ok": 2, "invalid_grant": 1}
        stored = await lab.installations.get(CLIENT_ID, found.member_id)
        assert stored is not None
        assert stored.works
        assert stored.spares == ()


async def test_without_another_chain_it_is_broken_and_says_so(store: Store) -> None:
    async with provisioning_lab.running(store) as lab:
        found = await lab.install()
        await lab.control.oauth_fault(Fault(kind=FaultKind.INVALID_GRANT))
        tokens = source(lab, found)
        old = await tokens.token()

        with pytest.raises(portal_errors.InstallationBroken):
            await tokens.expired(old)

        stored = await lab.installations.get(CLIENT_ID, found.member_id)
        assert stored is not None
        assert stored.broken is Broken.GRANT_REFUSED
        for _ in range(3):
            with pytest.raises(portal_errors.InstallationBroken):
                await tokens.token()
        assert await refreshes(lab) == {"invalid_grant": 1}
        await lab.install(at=found.installed_at + 10)
        await lab.control.clear_oauth_faults()
        assert (await tokens.token()).access_token != old.access_token


@pytest.mark.parametrize(
    "fault", [FaultKind.HTTP_500, FaultKind.HTML, FaultKind.EMPTY, FaultKind.RESET_BEFORE_ACCEPT]
)
async def test_an_oauth_host_in_trouble_breaks_nothing(store: Store, fault: FaultKind) -> None:
    async with provisioning_lab.running(store) as lab:
        found = await lab.install()
        counted = CollectorRegistry()
        tokens = source(lab, found, counted)
        old = await tokens.token()
        await lab.control.oauth_fault(Fault(kind=fault))
        with pytest.raises(errors.Away):
            await tokens.expired(old)
        assert results(counted) == {"PortalAway": 1}
        await lab.control.clear_oauth_faults()

        assert (await tokens.expired(old)).access_token != old.access_token


async def test_a_wrong_secret_breaks_no_chain(store: Store) -> None:
    async with provisioning_lab.running(store) as lab:
        found = await lab.install()
        wrong = replace(lab.provider, portal=replace(lab.provider.portal, client_secret="wrong"))
        tokens = lab.portals.tokens(wrong, found.member_id)
        old = await tokens.token()
        with pytest.raises(portal_errors.ClientRefused):
            await tokens.expired(old)

        assert (await source(lab, found).expired(old)).access_token != old.access_token


class AwayInstallations(Installations):
    """A store that loses the first answers to a new pair."""

    away = 2

    async def swap_tokens(self, *args: object, **kwargs: object) -> bool:
        if self.away:
            self.away -= 1
            raise errors.StoreAway("the store is away")
        return await super().swap_tokens(*args, **kwargs)  # type: ignore[arg-type]


async def test_a_new_pair_is_stored_before_it_is_used_however_long_it_takes(store: Store) -> None:
    async with provisioning_lab.running(store) as lab:
        found = await lab.install()
        slept: list[float] = []

        async def sleep(seconds: float) -> None:
            slept.append(seconds)

        tokens = PortalTokens(
            AwayInstallations(store, lab.ring),
            lab.portals.oauth(lab.provider),
            client_id=CLIENT_ID,
            member_id=found.member_id,
            settings=TokenSettings(store_retry_seconds=0.5),
            sleep=sleep,
        )
        renewed = await tokens.expired(await tokens.token())

        assert slept == [0.5, 0.5]
        stored = await lab.installations.get(CLIENT_ID, found.member_id)
        assert stored is not None
        assert stored.access_token == renewed.access_token
        assert await refreshes(lab) == {"ok": 1}


async def test_without_the_store_no_token_is_spent(store: Store) -> None:
    async with provisioning_lab.running(store) as lab:
        found = await lab.install()
        tokens = source(lab, found)
        old = await tokens.token()
        await store.redis.config_set("min-replicas-to-write", 1)
        try:
            with pytest.raises(errors.StoreAway):
                await tokens.expired(old)
        finally:
            await store.redis.config_set("min-replicas-to-write", 0)

        assert await refreshes(lab) == {}
