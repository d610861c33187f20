"""The provider registry on a real store: what is written is read the same, sealed, versioned and followed."""

import asyncio
import dataclasses
from decimal import Decimal

import pytest

from smsbridge.core.message import Channel, Origin, Route
from smsbridge.core.provider import (
    AccountSettings,
    DeletionPolicy,
    PortalSettings,
    Prices,
    Profile,
    Provider,
    Routing,
    Rule,
)
from smsbridge.store import tags
from smsbridge.store.connection import Store, StoreSettings
from smsbridge.store.keyring import Keyring, KeyringError
from smsbridge.store.registry import Registry, RegistryView

RING = Keyring([b"k" * 32])
FULL = Provider(
    uid="uid-1",
    namespace="crm",
    name="smsc",
    code="smsc",
    public_url="https://sms.example.com",
    portal=PortalSettings("example.bitrix24.ru", "local.1", "app-secret-value", refresh_token="r-value"),
    account=AccountSettings(profile=Profile.HTTP, login="login", password="password-value"),
    display_name={"ru": "СМС"},
    prices=Prices(sms=Decimal("4.00")),
    routing=Routing(
        route=Route.CASCADE,
        order=(Channel.SMS, Channel.VIBER),
        rules=(Rule("codes", Route.SMS, frozenset({Origin.CARD}), phone_prefixes=("7999",)),),
    ),
    deletion_policy=DeletionPolicy.RETAIN,
    sandbox=True,
)
OTHER = dataclasses.replace(FULL, uid="uid-2", name="other")


async def test_a_provider_comes_back_as_it_was(store: Store) -> None:
    registry = Registry(store, RING)
    await registry.put(FULL, generation=3, sections={"crm": {"robots": True}})

    contents = await registry.load()

    entry = contents.entries["uid-1"]
    assert entry.provider == FULL
    assert entry.provider.account.profile is Profile.HTTP
    assert (entry.generation, entry.sections) == (3, {"crm": {"robots": True}})


async def test_nothing_secret_is_readable_in_the_store(store: Store) -> None:
    await Registry(store, RING).put(FULL)

    everything = b""
    for key in await store.redis.keys("*"):
        everything += await store.redis.dump(key)
    for secret in (b"app-secret-value", b"password-value", b"r-value", b"login", b"example.bitrix24.ru"):
        assert secret not in everything


async def test_another_master_key_is_noticed(store: Store) -> None:
    await Registry(store, RING).put(FULL)
    stranger = Registry(store, Keyring([b"x" * 32]))

    with pytest.raises(KeyringError):
        await stranger.load()


async def test_the_stores_fingerprint_keeps_foreign_keys_out(store: Store) -> None:
    first, second = Keyring([b"1" * 32]), Keyring([b"2" * 32])
    rotated = Keyring([b"2" * 32, b"1" * 32])

    assert await Registry(store, first).check_key() == ""
    assert "another master key" in await Registry(store, second).check_key()
    assert await Registry(store, rotated).check_key() == ""
    assert "another master key" in await Registry(store, second).check_key()
    assert await Registry(store, rotated).check_key(advance=True) == ""
    assert await Registry(store, second).check_key() == ""


async def test_versions_rise_with_every_change(store: Store) -> None:
    registry = Registry(store, RING)

    versions = [
        await registry.version(),
        await registry.put(FULL),
        await registry.put(FULL),
        await registry.tombstone(FULL),
    ]
    await registry.erase(FULL.uid)

    assert versions == sorted(set(versions))
    assert await registry.version() > versions[-1]


async def test_a_name_keeps_its_uid_until_it_is_removed(store: Store) -> None:
    registry = Registry(store, RING)

    first = await registry.uid_of("crm", "smsc", candidate="one")
    again = await registry.uid_of("crm", "smsc", candidate="two")
    elsewhere = await registry.uid_of("sales", "smsc", candidate="three")
    await registry.put(dataclasses.replace(FULL, uid=first))
    await registry.tombstone(dataclasses.replace(FULL, uid=first))
    anew = await registry.uid_of("crm", "smsc", candidate="four")

    assert (first, again, elsewhere, anew) == ("one", "one", "three", "four")


async def test_a_tombstone_keeps_the_settings_and_its_first_date(store: Store) -> None:
    registry = Registry(store, RING)
    await registry.put(FULL)

    await registry.tombstone(FULL)
    first = (await registry.load()).entries["uid-1"].provider
    await asyncio.sleep(0.005)
    await registry.tombstone(FULL)
    second = (await registry.load()).entries["uid-1"].provider

    assert first.removed
    assert first.removed_at_ms == second.removed_at_ms
    assert dataclasses.replace(first, removed_at_ms=0) == FULL


async def test_an_old_tombstone_does_not_free_the_name_of_the_new_one(store: Store) -> None:
    registry = Registry(store, RING)
    await registry.put(FULL)
    new = dataclasses.replace(FULL, uid="uid-9")
    await registry.put(new)

    await registry.tombstone(FULL)

    assert await registry.uid_of("crm", "smsc", candidate="x") == "uid-9"


async def test_a_uid_put_again_is_no_longer_removed(store: Store) -> None:
    registry = Registry(store, RING)
    await registry.put(FULL)
    await registry.tombstone(FULL)

    await registry.put(FULL)

    assert not (await registry.load()).entries["uid-1"].provider.removed


async def test_erasing_leaves_nothing_of_that_provider_alone(store: Store) -> None:
    registry = Registry(store, RING)
    await registry.put(FULL)
    await registry.put(OTHER)
    for number in range(1200):
        await store.redis.set(f"{tags.provider('uid-1')}m:{number}", "x")
    await store.redis.set(f"{tags.provider('uid-2')}m:1", "x")
    await registry.tombstone(FULL)

    await registry.erase("uid-1")

    assert list((await registry.load()).entries) == ["uid-2"]
    assert await store.redis.keys("{p:uid-1}*") == []
    assert await store.redis.exists(f"{tags.provider('uid-2')}m:1")


async def test_states_are_kept_by_name_and_taken_away(store: Store) -> None:
    registry = Registry(store, RING)
    await registry.put_state("crm", "smsc", {"conditions": [{"reason": "Ждём"}]})

    assert await registry.states() == {"crm/smsc": {"conditions": [{"reason": "Ждём"}]}}
    await registry.put_state("crm", "smsc", None)
    assert await registry.states() == {}


async def test_a_view_sees_a_change_within_its_poll(store: Store) -> None:
    registry, view = Registry(store, RING), RegistryView(store, RING, poll_seconds=0.02)
    seen = asyncio.Event()
    await view.start()
    view.on_change(seen.set)
    try:
        assert view.loaded
        assert view.all() == []
        await registry.put(FULL)
        await asyncio.wait_for(seen.wait(), 2)
        assert view.get("uid-1") == FULL
        assert view.find("crm", "smsc") == FULL
        assert view.find("crm", "none") is None
    finally:
        await view.stop()


async def test_of_one_name_the_living_goes_before_the_removed(store: Store) -> None:
    registry, view = Registry(store, RING), RegistryView(store, RING)
    await registry.put(FULL)
    await registry.tombstone(FULL)
    new = dataclasses.replace(FULL, uid="uid-9")
    await registry.put(new)

    await view.refresh()

    assert view.find("crm", "smsc") == new
    assert view.live() == [new]
    assert {provider.uid for provider in view.all()} == {"uid-1", "uid-9"}
    await registry.tombstone(new)
    await view.refresh()
    found = view.find("crm", "smsc")
    assert found is not None
    assert found.uid == "uid-9"


async def test_a_snapshot_serves_where_the_store_was_never_seen(store: Store) -> None:
    registry, view = Registry(store, RING), RegistryView(store, RING)
    await registry.put(FULL)
    await view.refresh()
    sealed = view.snapshot()

    other = RegistryView(store, RING)
    assert not other.loaded
    other.restore(sealed)

    assert other.loaded
    assert other.get("uid-1") == FULL
    assert b"password-value" not in sealed


async def test_a_snapshot_gives_way_to_the_store(store: Store) -> None:
    registry, view = Registry(store, RING), RegistryView(store, RING)
    await registry.put(FULL)
    await view.refresh()
    sealed = view.snapshot()
    await registry.put(OTHER)

    late = RegistryView(store, RING)
    await late.refresh()
    late.restore(sealed)
    assert len(late.all()) == 2

    early = RegistryView(store, RING, poll_seconds=0.02)
    early.restore(sealed)
    await early.start()
    await early.stop()
    assert len(early.all()) == 2


async def test_a_store_that_hangs_does_not_hold_up_the_start(store: Store) -> None:
    """It takes the connection and never answers, as a stopped process does."""
    registry = Registry(store, RING)
    await registry.put(FULL)
    known = RegistryView(store, RING)
    await known.refresh()
    never = asyncio.Event()
    silent = await asyncio.start_server(lambda *_: never.wait(), "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    hung = Store.connect(StoreSettings(url=f"redis://127.0.0.1:{port}/0", timeout_seconds=600))
    view = RegistryView(hung, RING, start_wait_seconds=0.05)
    try:
        async with asyncio.timeout(30):
            await view.start()
        assert not view.loaded
        view.restore(known.snapshot())
        assert view.get("uid-1") == FULL
    finally:
        await view.stop()
        await hung.close()
        never.set()
        silent.close()


async def test_a_renamed_resource_leaves_its_old_name_free(store: Store) -> None:
    registry = Registry(store, RING)
    await registry.put(FULL)
    await registry.put(dataclasses.replace(FULL, name="renamed"))

    assert await registry.uid_of("crm", "smsc", candidate="new") == "new"
    assert await registry.uid_of("crm", "renamed", candidate="x") == "uid-1"
