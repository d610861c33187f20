"""Preferred channels: the hlr role over its real gRPC server and a real store."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from prometheus_client import CollectorRegistry

from smsbridge.api.v1 import hlr_pb2, hlr_pb2_grpc, types_pb2
from smsbridge.core.errand import EntityType
from smsbridge.core.message import Channel
from smsbridge.core.provider import AccountSettings, PortalSettings, Provider, Routing
from smsbridge.hlr.role import Role
from smsbridge.hlr.settings import HlrSettings
from smsbridge.runtime import rpc
from smsbridge.smsc.client import ClientSettings, SmscClient
from smsbridge.store import registry
from smsbridge.store.account import AccountLimits
from smsbridge.store.connection import Store
from smsbridge.store.egress import EgressSettings
from smsbridge.store.installations import Installations
from smsbridge.store.keyring import Keyring
from smsbridge.store.portal_limiter import PortalLimiter, PortalLimits
from smsbridge.store.preferences import Learned, Preferences

PHONE, OTHER = "79991234567", "79991234568"
PROVIDER = Provider(
    uid="u1",
    namespace="crm",
    name="smsc",
    code="smsc",
    public_url="https://sms.example.com",
    portal=PortalSettings(domain="example.bitrix24.ru", client_id="c", client_secret="s"),
    account=AccountSettings(),
)
DEAF = replace(PROVIDER, uid="u2", name="deaf", routing=Routing(learn_preferred_channel=False))


@pytest.fixture
def keyring(tmp_path: Path) -> Keyring:
    return Keyring.create(tmp_path / "master.key")


class Hlr:
    """A running role, spoken to as other roles do."""

    def __init__(self, stub: hlr_pb2_grpc.HlrServiceStub, metrics: CollectorRegistry) -> None:
        self.stub = stub
        self.metrics = metrics

    async def learn(self, uid: str, phone: str, channel: int, at_ms: int) -> None:
        learned = hlr_pb2.LearnedChannel(provider_uid=uid, msisdn=phone, channel=channel, learned_at_ms=at_ms)
        await self.stub.LearnChannel(hlr_pb2.LearnChannelRequest(learned=[learned]))

    async def preferences(self, uid: str, *phones: str) -> dict[str, int]:
        request = hlr_pb2.GetPreferencesRequest(provider_uid=uid, msisdns=phones)
        return dict((await self.stub.GetPreferences(request)).preferences)


@asynccontextmanager
async def running(store: Store, keyring: Keyring) -> AsyncIterator[Hlr]:
    metrics = CollectorRegistry()
    book = registry.Registry(store, keyring)
    for one in (PROVIDER, DEAF):
        await book.put(one)
    view = registry.RegistryView(store, keyring)
    await view.start()
    role = Role(
        HlrSettings(listen="127.0.0.1:0"),
        store=store,
        keyring=keyring,
        registry=view,
        installations=Installations(store, keyring),
        limits=AccountLimits(),
        egress=EgressSettings(),
        portal_limits=PortalLimiter(store, PortalLimits()),
        client=SmscClient(ClientSettings()),
        metrics=metrics,
    )
    await role.start()
    try:
        async with rpc.channel(role.address) as channel:
            yield Hlr(hlr_pb2_grpc.HlrServiceStub(channel), metrics)
    finally:
        await role.stop()
        await view.stop()


def now_ms() -> int:
    return time.time_ns() // 1_000_000


async def test_the_newest_word_wins_in_whatever_order_it_comes(store: Store, keyring: Keyring) -> None:
    now = now_ms()
    async with running(store, keyring) as hlr:
        await hlr.learn("u1", PHONE, types_pb2.CHANNEL_SMS, now)
        await hlr.learn("u1", PHONE, types_pb2.CHANNEL_VIBER, now - 1000)
        assert await hlr.preferences("u1", PHONE, OTHER) == {PHONE: types_pb2.CHANNEL_SMS}
        await hlr.learn("u1", PHONE, types_pb2.CHANNEL_VIBER, now + 1)
        assert await hlr.preferences("u1", PHONE) == {PHONE: types_pb2.CHANNEL_VIBER}
        counted = {
            (channel, result): hlr.metrics.get_sample_value(
                "smsbridge_hlr_learned_total", {"channel": channel, "result": result}
            )
            for channel, result in (("sms", "learned"), ("viber", "learned"), ("viber", "older"))
        }
        assert counted == {("sms", "learned"): 1, ("viber", "learned"): 1, ("viber", "older"): 1}


async def test_what_one_provider_learned_is_not_another_s(store: Store, keyring: Keyring) -> None:
    async with running(store, keyring) as hlr:
        await hlr.learn("u1", PHONE, types_pb2.CHANNEL_SMS, now_ms())
        assert await hlr.preferences("u2", PHONE) == {}
        assert await hlr.preferences("unknown", PHONE) == {}


async def test_a_provider_that_does_not_want_it_learns_nothing(store: Store, keyring: Keyring) -> None:
    async with running(store, keyring) as hlr:
        await hlr.learn("u2", PHONE, types_pb2.CHANNEL_SMS, now_ms())
        assert await hlr.preferences("u2", PHONE) == {}
    assert await store.redis.keys("*pref*") == []


@pytest.mark.parametrize(
    ("phones", "sentence"),
    [
        ([PHONE] * 1001, "msisdns: at most 1000 numbers at a time"),
        ([PHONE, "call me"], "msisdns: holds something that is no full international number in digits"),
        (["+79991234567"], "msisdns: holds something that is no full international number in digits"),
    ],
)
async def test_wrong_questions_are_refused(
    store: Store, keyring: Keyring, phones: list[str], sentence: str
) -> None:
    async with running(store, keyring) as hlr:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await hlr.preferences("u1", *phones)
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert raised.value.details() == sentence


async def test_a_thousand_numbers_are_answered_in_one_call(store: Store, keyring: Keyring) -> None:
    phones = [f"7999{number:07d}" for number in range(1000)]
    async with running(store, keyring) as hlr:
        learned = [
            hlr_pb2.LearnedChannel(
                provider_uid="u1", msisdn=phone, channel=types_pb2.CHANNEL_SMS, learned_at_ms=now_ms()
            )
            for phone in phones[::2]
        ]
        await hlr.stub.LearnChannel(hlr_pb2.LearnChannelRequest(learned=learned))
        assert set(await hlr.preferences("u1", *phones)) == set(phones[::2])


async def test_a_preference_goes_after_its_time_and_no_number_is_readable(
    store: Store, keyring: Keyring
) -> None:
    preferences = Preferences(store, keyring, kept_days=90)
    day_ms = 86_400_000
    old, older = now_ms() - 89 * day_ms, now_ms() - 91 * day_ms
    assert await preferences.learn("u1", [Learned(PHONE, Channel.SMS, old)]) == 1
    assert await preferences.learn("u1", [Learned(OTHER, Channel.SMS, older)]) == 0
    (key,) = await store.redis.keys("*pref*")
    assert key.startswith(b"{p:u1}:pref:")
    assert PHONE.encode() not in key
    assert 0 < await store.redis.pttl(key) <= day_ms


async def test_a_changed_master_key_still_finds_what_the_old_one_kept(
    store: Store, keyring: Keyring, tmp_path: Path
) -> None:
    now = now_ms()
    await Preferences(store, keyring, kept_days=90).learn("u1", [Learned(PHONE, Channel.SMS, now)])
    new_file = tmp_path / "new.key"
    Keyring.create(new_file)
    new_file.write_text(new_file.read_text() + (tmp_path / "master.key").read_text())
    rotated = Preferences(store, Keyring.load(new_file), kept_days=90)
    assert await rotated.get("u1", [PHONE]) == {PHONE: Channel.SMS}
    await rotated.learn("u1", [Learned(PHONE, Channel.VIBER, now + 1)])
    assert await rotated.get("u1", [PHONE]) == {PHONE: Channel.VIBER}


async def test_a_hand_wins_over_what_was_learned_and_the_later_hand_over_the_earlier(
    store: Store, keyring: Keyring
) -> None:
    known = Preferences(store, keyring, kept_days=90)
    one, two = (EntityType.CONTACT, 1), (EntityType.LEAD, 1)
    await known.learn("u1", [Learned(PHONE, Channel.SMS, now_ms())])
    assert await known.set_by_hand("u1", *one, channel=Channel.VIBER, msisdns=[PHONE, OTHER])
    assert not await known.set_by_hand("u1", *one, channel=Channel.VIBER, msisdns=[PHONE, OTHER])
    assert await known.get("u1", [PHONE, OTHER]) == {PHONE: Channel.VIBER, OTHER: Channel.VIBER}
    before = await store.now_ms("{p:u1}:")
    while await store.now_ms("{p:u1}:") == before:
        pass
    assert await known.set_by_hand("u1", *two, channel=Channel.SMS, msisdns=[OTHER])
    assert await known.get("u1", [PHONE, OTHER]) == {PHONE: Channel.VIBER, OTHER: Channel.SMS}
    # It holds for the numbers that the entity has now, and the other entity's stays.
    assert await known.set_by_hand("u1", *one, channel=Channel.VIBER, msisdns=[OTHER])
    assert await known.get("u1", [PHONE, OTHER]) == {PHONE: Channel.SMS, OTHER: Channel.SMS}
    assert await known.set_by_hand("u1", *two, channel=None, msisdns=[])
    assert await known.get("u1", [OTHER]) == {OTHER: Channel.VIBER}
    assert await known.set_by_hand("u1", *one, channel=None, msisdns=[])
    assert not await known.set_by_hand("u1", *one, channel=None, msisdns=[])
    await known.unlearn("u1", [PHONE])
    assert await known.get("u1", [PHONE, OTHER]) == {}
    assert await store.keys("{p:u1}:hand") == []
