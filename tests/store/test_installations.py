"""Installations on a real store: sealed, changed by compare-and-set, locked, and followed within a second."""

import asyncio
from dataclasses import replace

import pytest

from smsbridge.core.installation import Broken, EventKind, Installation, InstallEvent, Tokens
from smsbridge.core.provider import AccountSettings, PortalSettings, Provider
from smsbridge.store.connection import Store
from smsbridge.store.installations import Busy, Installations
from smsbridge.store.installations_view import InstallationsView
from smsbridge.store.keyring import Keyring

RING = Keyring([b"k" * 32])
PROVIDER = Provider(
    uid="uid-1",
    namespace="crm",
    name="smsc",
    code="smsc",
    public_url="https://sms.example.com",
    portal=PortalSettings("example.bitrix24.ru", "local.1", "secret"),
    account=AccountSettings(login="l", password="p"),
)


def tokens(number: int, *, user: str = "1") -> Tokens:
    return Tokens(
        f"access-{number}",
        f"refresh-{number}",
        1000 + number,
        user_id=user,
        client_endpoint="https://example.bitrix24.ru/rest/",
    )


def event(number: int, *, member: str = "m1", at: int = 100, token: str = "app-1") -> InstallEvent:
    return InstallEvent(
        EventKind.INSTALL,
        client_id="local.1",
        member_id=member,
        domain="example.bitrix24.ru",
        tokens=tokens(number),
        application_token=token,
        at=at,
    )


async def test_what_was_installed_comes_back(store: Store) -> None:
    installations = Installations(store, RING)

    made = await installations.install(event(1))

    assert await installations.get("local.1", "m1") == made
    assert await installations.all() == [made]
    assert (made.access_token, made.refresh_token, made.expires_at) == ("access-1", "refresh-1", 1001)
    assert made.works


async def test_no_token_is_readable_in_the_store(store: Store) -> None:
    await Installations(store, RING).install(event(1))

    everything = b""
    for key in await store.redis.keys("*"):
        everything += await store.redis.dump(key)
    for secret in (b"access-1", b"refresh-1", b"app-1", b"local.1"):
        assert secret not in everything


async def test_an_event_applied_twice_is_applied_once(store: Store) -> None:
    installations = Installations(store, RING)
    first = await installations.install(event(1))

    assert await installations.install(event(1)) == first


async def test_of_many_writers_at_once_none_loses_its_change(store: Store) -> None:
    installations = [Installations(store, RING) for _ in range(6)]
    await installations[0].install(event(1))

    await asyncio.gather(
        *(
            one.install(
                replace(event(10 + n, at=200 + n), kind=EventKind.FRAME, tokens=tokens(10 + n, user=str(n)))
            )
            for n, one in enumerate(installations)
        )
    )

    found = await installations[0].get("local.1", "m1")
    assert found is not None
    assert found.chain_version == 7
    assert len(found.spares) == 3


async def test_a_new_pair_takes_the_place_of_the_used_one_once(store: Store) -> None:
    installations = Installations(store, RING)
    old = await installations.install(event(1))

    assert await installations.swap_tokens(old, used="refresh-1", tokens=tokens(2))
    assert await installations.swap_tokens(old, used="refresh-1", tokens=tokens(2))  # its answer was lost
    assert not await installations.swap_tokens(old, used="refresh-1", tokens=tokens(3))

    found = await installations.get("local.1", "m1")
    assert found is not None
    assert (found.refresh_token, found.chain_version) == ("refresh-2", old.chain_version + 1)


async def test_a_refresh_that_a_new_install_overtook_changes_the_spare(store: Store) -> None:
    installations = Installations(store, RING)
    old = await installations.install(event(1))
    other = replace(event(5, at=200), tokens=tokens(5, user="9"))
    await installations.install(other)

    assert await installations.swap_tokens(old, used="refresh-1", tokens=tokens(2))

    found = await installations.get("local.1", "m1")
    assert found is not None
    assert found.refresh_token == "refresh-5"
    assert [chain.refresh_token for chain in found.spares] == ["refresh-2"]


async def test_broken_is_said_only_of_the_tokens_that_did_not_work(store: Store) -> None:
    installations = Installations(store, RING)
    old = await installations.install(event(1))
    await installations.swap_tokens(old, used="refresh-1", tokens=tokens(2))

    await installations.mark_broken(old, Broken.REFUSED)
    found = await installations.get("local.1", "m1")
    assert found is not None
    assert found.works
    await installations.mark_broken(found, Broken.REFUSED)
    broken = await installations.get("local.1", "m1")
    assert broken is not None
    assert not broken.works
    await installations.mend(broken)
    mended = await installations.get("local.1", "m1")
    assert mended is not None
    assert mended.works


async def test_an_uninstall_counts_with_the_current_token_and_a_later_time(store: Store) -> None:
    installations = Installations(store, RING)
    await installations.install(event(1, at=100))

    assert not await installations.uninstall("local.1", "m1", application_token="other", at=200)
    assert not await installations.uninstall("local.1", "m1", application_token="app-1", at=100)
    assert not await installations.uninstall("local.1", "m2", application_token="app-1", at=200)
    assert await installations.uninstall("local.1", "m1", application_token="app-1", at=101)

    found = await installations.get("local.1", "m1")
    assert found is not None
    assert (found.broken, found.access_token, found.refresh_token) == (Broken.UNINSTALLED, "", "")


async def test_the_lock_is_for_one_at_a_time_and_ends_by_itself(store: Store) -> None:
    installations = Installations(store, RING)

    async with installations.lock("local.1", "m1", 30):
        with pytest.raises(Busy):
            async with installations.lock("local.1", "m1", 30):
                pass
        async with installations.lock("local.1", "m2", 30):
            pass
    async with (
        installations.lock("local.1", "m1", 0.03),
        installations.lock("local.1", "m1", 30, wait_seconds=2),
    ):
        pass


async def test_who_outlived_his_lock_does_not_release_the_next_ones(store: Store) -> None:
    installations = Installations(store, RING)
    first = installations.lock("local.1", "m1", 0.02)
    await first.__aenter__()
    second = installations.lock("local.1", "m1", 30, wait_seconds=2)
    await second.__aenter__()

    await first.__aexit__(None, None, None)

    with pytest.raises(Busy):
        async with installations.lock("local.1", "m1", 30):
            pass
    await second.__aexit__(None, None, None)


async def test_a_provider_finds_its_installation_by_domain_and_keeps_it(store: Store) -> None:
    installations = Installations(store, RING)
    assert await installations.for_provider(PROVIDER) is None
    await installations.install(
        replace(event(7, member="m2"), domain="other.bitrix24.ru", tokens=Tokens("a", "r7", 1))
    )
    made = await installations.install(event(1))

    assert await installations.for_provider(PROVIDER) == made
    await installations.moved(made, "https://renamed.bitrix24.ru/rest/")
    renamed = await installations.for_provider(PROVIDER)
    assert renamed is not None
    assert (renamed.member_id, renamed.domain) == ("m1", "renamed.bitrix24.ru")


async def test_a_hinted_member_id_goes_before_the_domain(store: Store) -> None:
    installations = Installations(store, RING)
    await installations.install(event(1, member="m1"))
    hinted = replace(PROVIDER, portal=replace(PROVIDER.portal, member_id="m2"))

    assert await installations.for_provider(hinted) is None
    second = await installations.install(event(2, member="m2"))
    assert await installations.for_provider(hinted) == second


async def test_an_installation_of_another_application_is_not_found(store: Store) -> None:
    installations = Installations(store, RING)
    await installations.install(event(1))

    other = replace(PROVIDER, portal=replace(PROVIDER.portal, client_id="local.2"))
    assert await installations.for_provider(other) is None


async def test_digests_of_application_tokens_are_those_of_current_and_previous(store: Store) -> None:
    installations = Installations(store, RING)
    await installations.install(event(1, token="app-1"))
    found = await installations.install(event(2, at=200, token="app-2"))

    digests = installations.application_token_digests(found)

    assert digests == tuple(RING.digest("application_token", token) for token in ("app-2", "app-1"))


async def test_a_view_sees_a_change_within_its_poll(store: Store) -> None:
    installations = Installations(store, RING)
    view = InstallationsView(installations, RING, poll_seconds=0.02)
    changes: asyncio.Queue[list[Installation]] = asyncio.Queue()
    await view.start()
    view.on_change(changes.put_nowait)
    try:
        assert view.for_provider(PROVIDER) is None
        made = await installations.install(event(1))
        assert await asyncio.wait_for(changes.get(), 2) == [made]
        assert view.for_provider(PROVIDER) == made
        await installations.install(event(2, at=200))
        (second,) = await asyncio.wait_for(changes.get(), 2)
        assert second.refresh_token == "refresh-2"
    finally:
        await view.stop()


async def test_a_views_snapshot_knows_application_tokens_and_no_others(store: Store) -> None:
    installations = Installations(store, RING)
    await installations.install(event(1))
    view = InstallationsView(installations, RING)
    await view.refresh()

    other = InstallationsView(installations, RING)
    other.restore(view.snapshot())

    found = other.for_provider(PROVIDER)
    assert found is not None
    assert found.knows_application_token("app-1")
    assert (found.access_token, found.refresh_token) == ("", "")


async def test_a_portal_made_anew_under_its_domain_is_found(store: Store) -> None:
    installations = Installations(store, RING)
    await installations.install(event(1, member="m1", at=100))
    assert await installations.for_provider(PROVIDER) is not None
    await installations.uninstall("local.1", "m1", application_token="app-1", at=150)

    anew = await installations.install(event(2, member="m2", at=200))

    assert await installations.for_provider(PROVIDER) == anew
    assert (await installations.bindings())["uid-1"] == "m2"
