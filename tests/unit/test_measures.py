"""What metrics are made of: what binds, ages, costs, what a store says of its disk, calls of other roles."""

from decimal import Decimal
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client import CollectorRegistry

from smsbridge.core.account import Said
from smsbridge.core.provider import AccountSettings, PortalSettings, Provider
from smsbridge.runtime import rpc, rpc_calls
from smsbridge.runtime.binding import Binding
from smsbridge.sender import effects
from smsbridge.status.ages import Ages
from smsbridge.store import persistence, scripts
from smsbridge.store.delivery import LedgerView


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def binds(registry: CollectorRegistry) -> dict[str, float]:
    samples = [sample for family in registry.collect() for sample in family.samples]
    return {sample.labels["limit"]: sample.value for sample in samples}


def test_the_gravest_limit_of_late_binds() -> None:
    registry, clock = CollectorRegistry(), Clock()
    binding = Binding(("pause", "permits", "linger"), registry=registry, clock=clock)
    assert binds(registry) == {}

    binding.met("crm", "smsc", "linger")
    assert binds(registry) == {"linger": 1}

    clock.now += 15
    binding.met("crm", "smsc", "permits")
    assert binds(registry) == {"permits": 1, "linger": 0}

    clock.now += 15
    binding.met("crm", "smsc", "linger")
    assert binds(registry) == {"permits": 1, "linger": 0}

    clock.now += 10
    assert binds(registry) == {"permits": 0, "linger": 1}
    clock.now += 100
    assert binds(registry) == {"permits": 0, "linger": 0}

    binding.keep([])
    assert binds(registry) == {}


def test_a_limit_that_nobody_knows_is_a_fault() -> None:
    binding = Binding(("pause",), registry=CollectorRegistry())
    with pytest.raises(ValueError, match="no such limit"):
        binding.met("crm", "smsc", "moon")


def view(ages: dict[str, int]) -> LedgerView:
    return LedgerView(
        accepted=0, held=0, queued=0, sending=0, sent=0, final={}, done={},
        portal_outbox=0, portal_lag_ms=0, polls=0, plans=0, ages=ages,
    )  # fmt: skip


def provider(uid: str) -> Provider:
    return Provider(uid, "crm", "smsc", "smsc", "", PortalSettings("", "", ""), AccountSettings())


def test_ages_are_a_histogram_over_all_that_bear_the_name() -> None:
    registry, ages = CollectorRegistry(), Ages()
    registry.register(ages)
    old = view({"smsc|bulk|500": 2, "smsc|bulk|sum": 700, "portal_delay||more": 1, "portal_delay||sum": 9})
    new = view({"smsc|bulk|1000": 1, "smsc|bulk|more": 1, "smsc|bulk|sum": 99_000_300})
    ages.update({"a": (provider("a"), old), "b": (provider("b"), new)})
    name = "smsbridge_time_to_smsc_seconds"
    labels = {"namespace": "crm", "provider": "smsc", "lane": "bulk"}

    def bucket(le: str) -> float | None:
        return registry.get_sample_value(f"{name}_bucket", {**labels, "le": le})

    assert [bucket(le) for le in ("0.5", "1.0", "86400.0", "+Inf")] == [2, 3, 3, 4]
    assert registry.get_sample_value(f"{name}_sum", labels) == 99_001.0
    del labels["lane"]
    assert registry.get_sample_value("smsbridge_portal_delay_seconds_count", labels) == 1


def test_the_classes_of_ages_rise() -> None:
    assert list(scripts.AGE_BOUNDS_MS) == sorted(set(scripts.AGE_BOUNDS_MS))


def test_costs_are_told_apart_by_who_said_them() -> None:
    members = [
        {"cost": "2.50", "est": False},
        {"cost": "2.60", "est": False},
        {"cost": "4.00", "est": True},
        {"cost": "", "est": False},
    ]
    accepted = effects.Effect({"kind": "accepted", "members": members}, Said.GOOD, "accepted")
    unsent = effects.Effect({"kind": "back"}, Said.NOTHING, "unsent")

    assert effects.costs(accepted) == {"no": Decimal("5.10"), "yes": Decimal("4.00")}
    assert effects.costs(unsent) == {}


def test_one_server_that_cannot_write_is_enough() -> None:
    good = {"aof_enabled": 1, "aof_last_write_status": "ok", "rdb_last_bgsave_status": "ok"}
    full = {**good, "aof_last_write_status": "err"}

    assert set(persistence.read([good]).values()) == {True}
    assert persistence.read([good, full]) == {
        "log_on": True,
        "log_write": False,
        "log_rewrite": True,
        "snapshot": True,
    }


async def test_calls_are_counted_by_method_and_code() -> None:
    server = rpc.RpcServer(listen="127.0.0.1:0", registry=CollectorRegistry())
    await server.start([])
    registry = CollectorRegistry()
    method = "/grpc.health.v1.Health/Check"

    def count(code: str) -> Any:
        return registry.get_sample_value("smsbridge_rpc_client_calls_total", {"method": method, "code": code})

    async with rpc.channel(server.address, calls=rpc_calls.ClientCalls(registry)) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        await stub.Check(health_pb2.HealthCheckRequest(), timeout=5)
        with pytest.raises(grpc.aio.AioRpcError):
            await stub.Check(health_pb2.HealthCheckRequest(service="nobody"), timeout=5)
        assert (count("OK"), count("NOT_FOUND")) == (1, 1)
        await server.stop(grace_seconds=0)
        with pytest.raises(grpc.aio.AioRpcError):
            await stub.Check(health_pb2.HealthCheckRequest(), timeout=5)
    assert count("UNAVAILABLE") == 1
    calls = registry.get_sample_value("smsbridge_rpc_client_duration_seconds_count", {"method": method})
    assert calls == 3
