"""The local provisioner: manifests on one side, the sandbox on the other, the registry in between."""

import asyncio
import dataclasses
import itertools
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from smsbridge.bitrix24 import limiter
from smsbridge.core import errors
from smsbridge.core.provider import Provider
from smsbridge.provisioning import manifests, manifests_file, publish, report, role, service
from smsbridge.provisioning.metrics import ProvisionerMetrics
from smsbridge.provisioning.settings import ProvisioningSettings
from smsbridge.sandbox.faults import Fault, FaultKind
from smsbridge.smsc.client import ClientSettings, SmscClient
from smsbridge.store import portal_limiter
from smsbridge.store.account import AccountLimits
from smsbridge.store.connection import Store
from smsbridge.store.egress import EgressSettings
from smsbridge.store.installations_view import InstallationsView
from smsbridge.store.registry import Registry
from tests.wire import provisioning_lab
from tests.wire.provisioning_lab import CLIENT_ID, DOMAIN, Lab


def manifest(lab: Lab, name: str, *, code: str = "", account: str = "guide", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "smsbridge.dev/v1alpha1",
        "kind": "SmscProvider",
        "metadata": {"name": name, "namespace": "crm"},
        "spec": {
            "code": code or name,
            "name": name,
            "publicUrl": "http://127.0.0.1:8080",
            "sandbox": True,
            "portal": {
                "domain": DOMAIN,
                "appSecretRef": {"name": "app"},
                "endpoint": lab.sandbox.portal_url(DOMAIN),
                "oauthEndpoint": lab.sandbox.oauth_url,
            },
            "smsc": {
                "accountSecretRef": {"name": account},
                "api": account,
                "baseUrl": lab.sandbox.smsc_url,
            },
            **spec,
        },
    }


def secret(name: str, **data: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "crm"}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data}


SECRETS = [
    secret("app", clientId=CLIENT_ID, clientSecret="sandbox-client-secret"),
    secret("guide", login="guide", password="secret-guide"),
    secret("http", login="http", password="secret-http"),
]


@dataclass
class Running:
    lab: Lab
    path: Path
    provisioner: service.Provisioner
    registry: Registry
    metrics: CollectorRegistry

    def write(self, *documents: dict[str, Any]) -> None:
        new = self.path.with_suffix(".new")
        new.write_text(yaml.safe_dump_all([*documents, *SECRETS], allow_unicode=True), encoding="utf-8")
        os.replace(new, self.path)

    async def look(self) -> None:
        """One look at the file, then whatever is due to its end."""
        await self.provisioner.follow()
        await self.work()

    async def work(self) -> None:
        await self.provisioner.reconcile_due()
        while tasks := [t for t in asyncio.all_tasks() if t.get_name().startswith("reconcile ")]:
            await asyncio.gather(*tasks)

    async def rows(self) -> dict[str, dict[str, Any]]:
        return {row["name"]: row for row in await report.list_providers(self.registry)}

    async def codes(self) -> set[object]:
        return {sender["code"] for sender in await self.lab.senders()}


@asynccontextmanager
async def running(
    store: Store,
    folder: Path,
    *,
    settings: ProvisioningSettings | None = None,
    limits: limiter.Limiter | None = None,
) -> AsyncIterator[Running]:
    settings = settings or ProvisioningSettings(interval_jitter=0)
    async with provisioning_lab.running(store, settings=settings, limits=limits) as lab:
        path = folder / "providers.yaml"
        registry = Registry(store, lab.ring)
        metrics = CollectorRegistry()
        provisioner = service.Provisioner(
            settings,
            source=manifests_file.FileSource(path),
            registry=registry,
            clients=lab.clients,
            metrics=ProvisionerMetrics(metrics),
            clock=lab.clock,
        )
        yield Running(lab, path, provisioner, registry, metrics)
        await provisioner.stop()


async def test_a_file_becomes_registered_providers(store: Store, tmp_path: Path) -> None:
    async with running(store, tmp_path) as it:
        await it.lab.install()
        it.write(manifest(it.lab, "one"), manifest(it.lab, "two", account="http"))
        await it.look()

        rows = await it.rows()
        assert {name: row["ready"] for name, row in rows.items()} == {"one": True, "two": True}
        assert rows["one"]["uid"] != rows["two"]["uid"]
        assert await it.codes() == {"one", "two"}
        assert it.metrics.get_sample_value(
            "smsbridge_provider_ready", {"namespace": "crm", "provider": "one"}
        )
        assert it.provisioner.problem == ""


async def test_what_is_in_order_is_left_alone_until_the_interval_is_over(
    store: Store, tmp_path: Path
) -> None:
    async with running(store, tmp_path) as it:
        await it.lab.install()
        it.write(manifest(it.lab, "one"))
        await it.look()
        before = await it.lab.requests()
        await it.look()
        it.lab.clock.move(599)
        await it.look()
        assert await it.lab.requests() == before
        it.lab.clock.move(2)
        await it.look()
        assert await it.lab.requests() == before + 1


async def test_an_install_registers_at_once(store: Store, tmp_path: Path) -> None:
    async with running(store, tmp_path) as it:
        view = InstallationsView(it.lab.installations, it.lab.ring)
        view.on_change(it.provisioner.installations_changed)
        it.write(manifest(it.lab, "one"))
        await it.look()
        assert await it.codes() == set()

        await it.lab.install()
        await view.refresh()
        await it.work()

        assert await it.codes() == {"one"}


async def test_what_is_not_in_order_is_tried_at_doubling_distances(store: Store, tmp_path: Path) -> None:
    async with running(store, tmp_path) as it:
        await it.lab.install()
        await it.lab.control.portal_fault(DOMAIN, Fault(kind=FaultKind.HTTP_500))
        it.write(manifest(it.lab, "one"))
        await it.look()
        tried = []
        for second in range(1, 101):
            before = await it.lab.requests()
            it.lab.clock.move(1)
            await it.work()
            if await it.lab.requests() > before:
                tried.append(second)

        gaps = [b - a for a, b in itertools.pairwise([0, *tried])]
        assert 4 <= gaps[0] <= 7
        assert all(4 / 3 <= b / a <= 3 for a, b in itertools.pairwise(gaps))
        assert 3 <= len(tried) <= 5


async def test_a_changed_file_is_published_with_a_new_generation(store: Store, tmp_path: Path) -> None:
    async with running(store, tmp_path) as it:
        it.write(manifest(it.lab, "one"))
        await it.look()
        first = (await it.rows())["one"]
        it.write(manifest(it.lab, "one", paused=True))
        await it.look()
        second = (await it.rows())["one"]
        os.utime(it.path, (1, 1))
        await it.look()
        third = (await it.rows())["one"]

    assert [row["generation"] for row in (first, second, third)] == [1, 2, 2]
    assert first["uid"] == second["uid"]
    assert second["paused"]


async def test_a_new_secret_is_a_change(store: Store, tmp_path: Path) -> None:
    async with running(store, tmp_path) as it:
        it.write(
            manifest(
                it.lab,
                "one",
                account="other",
                smsc={
                    "accountSecretRef": {"name": "other"},
                    "baseUrl": it.lab.sandbox.smsc_url,
                },
            ),
            secret("other", login="guide", password="wrong"),
        )
        await it.look()
        assert (await it.rows())["one"]["reason"] == "LoginRefused"
        it.write(
            manifest(
                it.lab,
                "one",
                account="other",
                smsc={
                    "accountSecretRef": {"name": "other"},
                    "baseUrl": it.lab.sandbox.smsc_url,
                },
            ),
            secret("other", login="guide", password="secret-guide"),
        )
        await it.look()
        assert (await it.rows())["one"]["reason"] == "NotInstalled"


async def test_a_bad_change_is_shown_and_the_old_settings_stay(store: Store, tmp_path: Path) -> None:
    async with running(store, tmp_path) as it:
        await it.lab.install()
        it.write(manifest(it.lab, "one"))
        await it.look()
        it.write(manifest(it.lab, "one", batching={"maxNumbers": 500}))
        await it.look()
        row = (await it.rows())["one"]
        assert (row["ready"], row["reason"]) == (False, "InvalidSpec")
        assert "spec.batching.maxNumbers: must be at most 100" in row["message"]
        assert await it.codes() == {"one"}
        assert not (await it.registry.load()).providers[row["uid"]].removed
        it.write(manifest(it.lab, "one"))
        await it.look()
        assert (await it.rows())["one"]["ready"]


async def test_a_resource_bad_from_the_start_is_listed_until_it_goes(store: Store, tmp_path: Path) -> None:
    async with running(store, tmp_path) as it:
        it.write(manifest(it.lab, "bad", code="a b"), manifest(it.lab, "good"))
        await it.look()
        rows = await it.rows()
        assert rows["bad"]["reason"] == "InvalidSpec"
        assert rows["good"]["reason"] == "NotInstalled"
        it.write(manifest(it.lab, "good"))
        await it.look()
        assert set(await it.rows()) == {"good"}


async def test_a_broken_file_removes_nothing(store: Store, tmp_path: Path) -> None:
    async with running(store, tmp_path) as it:
        it.write(manifest(it.lab, "one"))
        await it.look()
        it.path.write_text("a: [", encoding="utf-8")
        await it.look()
        assert not (await it.rows())["one"]["removed"]
        it.path.unlink()
        with pytest.raises(errors.ConfigError):
            await it.look()
        assert not (await it.rows())["one"]["removed"]


async def test_a_missing_file_is_the_reason_for_not_being_ready(store: Store, tmp_path: Path) -> None:
    async with running(store, tmp_path) as it:
        with pytest.raises(errors.ConfigError):
            await it.look()

        assert "cannot be read" in it.provisioner.problem


async def test_a_removed_provider_is_let_go_and_erased_after_its_time(store: Store, tmp_path: Path) -> None:
    async with running(store, tmp_path) as it:
        await it.lab.install()
        it.write(manifest(it.lab, "one"), manifest(it.lab, "two"))
        await it.look()
        uid = (await it.rows())["one"]["uid"]
        await store.redis.set(f"{{p:{uid}}}:m:1", "x")

        it.write(manifest(it.lab, "two"))
        await it.look()
        assert await it.codes() == {"two"}
        row = (await it.rows())["one"]
        assert (row["removed"], row["ready"], row["reason"]) == (True, False, "Removed")
        assert await store.redis.exists(f"{{p:{uid}}}:m:1")

        long_ago = 72 * 3600 * 1000 + 1000
        await store.redis.hincrby("{smsbridge}:removed", uid, -long_ago)
        it.lab.clock.move(601)
        await it.work()
        assert set(await it.rows()) == {"two"}
        assert not await store.redis.exists(f"{{p:{uid}}}:m:1")


async def test_a_removal_is_tried_again_while_the_portal_is_away(store: Store, tmp_path: Path) -> None:
    async with running(store, tmp_path) as it:
        await it.lab.install()
        it.write(manifest(it.lab, "one"))
        await it.look()
        await it.lab.control.portal_fault(DOMAIN, Fault(kind=FaultKind.HTTP_500))
        it.write()
        await it.look()
        assert (await it.rows())["one"]["removed"]
        assert await it.codes() == {"one"}
        place = {"namespace": "crm", "provider": "one"}
        assert it.metrics.get_sample_value("smsbridge_provider_ready", place) is None
        await it.lab.control.clear_portal_faults(DOMAIN)
        it.lab.clock.move(10)
        await it.work()
        assert await it.codes() == set()


async def test_made_again_it_is_a_new_provider_and_keeps_its_place_in_the_portal(
    store: Store, tmp_path: Path
) -> None:
    async with running(store, tmp_path) as it:
        await it.lab.install()
        it.write(manifest(it.lab, "one"))
        await it.look()
        first = (await it.rows())["one"]["uid"]
        await it.lab.control.portal_fault(DOMAIN, Fault(kind=FaultKind.HTTP_500))
        it.write()
        await it.look()
        it.write(manifest(it.lab, "one"))
        await it.look()
        await it.lab.control.clear_portal_faults(DOMAIN)
        it.lab.clock.move(30)
        await it.work()

        live = [row for row in await report.list_providers(it.registry) if not row["removed"]]
        assert [row["name"] for row in live] == ["one"]
        assert live[0]["uid"] != first
        assert live[0]["ready"]
        (sender,) = await it.lab.senders()
        assert it.lab.ring.url_key("bitrix24", live[0]["uid"]) in str(sender["handler"])


async def test_a_renamed_resource_takes_its_code_along(store: Store, tmp_path: Path) -> None:
    async with running(store, tmp_path) as it:
        await it.lab.install()
        it.write(manifest(it.lab, "one", code="smsc"))
        await it.look()
        it.write(manifest(it.lab, "renamed", code="smsc"))
        await it.look()

        assert await it.codes() == {"smsc"}
        assert (await it.rows())["renamed"]["ready"]
        application = it.lab.sandbox.portals.by_domain[DOMAIN].applications[CLIENT_ID]
        addresses = [item.handler for item in application.activities.values()]
        addresses += [item["handler"] for item in application.bindings]
        assert len(addresses) == 4 + 2  # steps and events
        assert all("/bitrix24/crm/renamed/" in address for address in addresses)


async def test_a_change_of_the_code_is_refused(store: Store, tmp_path: Path) -> None:
    async with running(store, tmp_path) as it:
        it.write(manifest(it.lab, "one"))
        await it.look()
        it.write(manifest(it.lab, "one", code="other"))
        await it.look()

        row = (await it.rows())["one"]
        assert row["code"] == "one"
        assert "spec.code: is immutable" in row["message"]


async def test_one_login_with_two_profiles_is_refused_to_the_later_one(store: Store, tmp_path: Path) -> None:
    async with running(store, tmp_path) as it:
        it.write(manifest(it.lab, "one"))
        await it.look()
        smsc = {
            "accountSecretRef": {"name": "guide"},
            "api": "http",
            "baseUrl": it.lab.sandbox.smsc_url,
        }
        it.write(manifest(it.lab, "a-later", smsc=smsc), manifest(it.lab, "one"))
        await it.look()

        rows = await it.rows()
        assert rows["one"]["reason"] == "NotInstalled"
        assert rows["a-later"]["reason"] == "InvalidSpec"
        assert "uses the same login with api guide" in rows["a-later"]["message"]


async def test_one_code_twice_in_a_portal_is_refused(store: Store, tmp_path: Path) -> None:
    async with running(store, tmp_path) as it:
        it.write(manifest(it.lab, "one", code="same"), manifest(it.lab, "two", code="SAME"))
        await it.look()

        assert "give each provider a code of its own" in (await it.rows())["two"]["message"]


async def test_show_tells_addresses_and_no_secret(store: Store, tmp_path: Path) -> None:
    async with running(store, tmp_path) as it:
        it.write(manifest(it.lab, "one"))
        await it.look()
        shown = await report.show_provider(it.registry, it.lab.ring, namespace="crm", name="one")

    key = it.lab.ring.url_key("bitrix24", shown["uid"])
    assert shown["handlerUrl"] == f"http://127.0.0.1:8080/bitrix24/crm/one/{key}/handler"
    assert shown["installUrl"].endswith(f"{key}/install")
    assert shown["hlrUrl"].endswith(f"{key}/hlr")
    callback_key = it.lab.ring.url_key("smsc", shown["uid"])
    assert shown["callbackUrl"] == f"http://127.0.0.1:8080/smsc/crm/one/{callback_key}/callback"
    assert {item["type"] for item in shown["conditions"]} >= {"Ready", "Registered", "Sending"}
    for value in ("secret-guide", "sandbox-client-secret"):
        assert value not in str(shown)


async def test_a_provider_that_is_none_is_said(store: Store, tmp_path: Path) -> None:
    async with running(store, tmp_path) as it:
        with pytest.raises(errors.InputError, match="there is no provider crm/none"):
            await report.show_provider(it.registry, it.lab.ring, namespace="crm", name="none")


async def eventually(what: Callable[[], Coroutine[Any, Any, bool]]) -> None:
    async with asyncio.timeout(10):
        while not await what():
            await asyncio.sleep(0.05)


async def test_the_role_follows_file_and_installs_by_itself(store: Store, tmp_path: Path) -> None:
    async with running(store, tmp_path) as it:
        it.write(manifest(it.lab, "one"))
        provisioner = role.Role(
            ProvisioningSettings(manifests_poll_seconds=0.05),
            source=manifests_file.FileSource(it.path),
            store=store,
            keyring=it.lab.ring,
            installations=it.lab.installations,
            limits=AccountLimits(),
            egress=EgressSettings(),
            client=SmscClient(ClientSettings()),
            portal_limits=limiter.LocalLimiter(),
            metrics=CollectorRegistry(),
        )
        assert "has not been read yet" in await provisioner.ready()
        await provisioner.start()
        try:

            async def waits_for_install() -> bool:
                return (await it.rows()).get("one", {}).get("reason") == "NotInstalled"

            async def registered() -> bool:
                return await it.codes() == {"one"}

            await eventually(waits_for_install)
            assert await provisioner.ready() == ""
            await it.lab.install()
            await eventually(registered)
        finally:
            await provisioner.stop()


def test_a_plan_for_nothing_is_empty() -> None:
    assert publish.plan(manifests.Manifests(), [], {}) == publish.Plan()


async def test_a_uid_given_twice_is_refused_to_the_second(store: Store, tmp_path: Path) -> None:
    async with running(store, tmp_path) as it:
        one, two = manifest(it.lab, "one"), manifest(it.lab, "two")
        for document in (one, two):
            document["metadata"]["uid"] = "same"
        it.write(one, two)
        await it.look()

        rows = await it.rows()
        assert rows["one"]["uid"] == "same"
        assert "metadata.uid: is that of crm/one" in rows["two"]["message"]


async def test_a_resource_renamed_with_its_uid_stays_the_same_provider(store: Store, tmp_path: Path) -> None:
    async with running(store, tmp_path) as it:
        one, two = manifest(it.lab, "one", code="smsc"), manifest(it.lab, "two", code="smsc")
        for document in (one, two):
            document["metadata"]["uid"] = "same"
        it.write(one)
        await it.look()
        it.write(two)
        await it.look()

        rows = await it.rows()
        assert set(rows) == {"two"}
        assert (rows["two"]["uid"], rows["two"]["removed"]) == ("same", False)


async def test_a_restart_takes_nothing_from_who_has_the_place_now(store: Store, tmp_path: Path) -> None:
    """Another deployment registered under the code after this one had let go of it."""
    async with running(store, tmp_path) as it:
        await it.lab.install()
        it.write(manifest(it.lab, "one"))
        await it.look()
        it.write()
        await it.look()
        await it.lab.reconcile(dataclasses.replace(it.lab.provider, uid="of-another", code="one"))
        before = await it.lab.requests()

        async with again(it) as restarted:
            await restarted.look()

        assert await it.codes() == {"one"}
        assert await it.lab.requests() == before


@asynccontextmanager
async def again(it: Running) -> AsyncIterator[Running]:
    """Another process on the same store and file."""
    provisioner = service.Provisioner(
        ProvisioningSettings(interval_jitter=0),
        source=manifests_file.FileSource(it.path),
        registry=it.registry,
        clients=it.lab.clients,
        metrics=ProvisionerMetrics(CollectorRegistry()),
        clock=it.lab.clock,
    )
    yield dataclasses.replace(it, provisioner=provisioner)
    await provisioner.stop()


async def test_a_late_removal_leaves_its_successor_registered(store: Store, tmp_path: Path) -> None:
    """Removed while the portal is slow, and made again under the same name and code before it answers."""
    async with running(store, tmp_path) as it:
        await it.lab.install()
        it.write(manifest(it.lab, "one"))
        await it.look()
        await it.lab.control.change_portal(DOMAIN, latency_ms=1500)
        it.write()
        await it.provisioner.follow()
        await it.provisioner.reconcile_due()  # the removal is on its way to the portal
        await asyncio.sleep(0.3)
        await it.lab.control.change_portal(DOMAIN, latency_ms=0)
        it.write(manifest(it.lab, "one"))
        await it.look()

        await it.work()

        (row,) = [row for row in await report.list_providers(it.registry) if not row["removed"]]
        assert (row["ready"], await it.codes()) == (True, {"one"})


async def test_what_its_source_still_knows_is_not_removed(store: Store, tmp_path: Path) -> None:
    class Doubtful(manifests_file.FileSource):
        async def is_gone(self, provider: Provider) -> bool:
            return False

    async with running(store, tmp_path) as it:
        await it.lab.install()
        it.write(manifest(it.lab, "one"))
        await it.look()
        it.write()
        doubting = service.Provisioner(
            ProvisioningSettings(interval_jitter=0),
            source=Doubtful(it.path),
            registry=it.registry,
            clients=it.lab.clients,
            metrics=ProvisionerMetrics(CollectorRegistry()),
            clock=it.lab.clock,
        )
        await dataclasses.replace(it, provisioner=doubting).look()

        assert (await it.rows())["one"]["removed"] is False
        assert await it.codes() == {"one"}
        await doubting.stop()


class Full(limiter.LocalLimiter):
    """Has no turn for the first five who ask."""

    left = 5

    async def acquire(
        self, portal: str, *, priority: limiter.Priority, method: str = "", commands: int = 1
    ) -> None:
        if self.left:
            self.left -= 1
            raise portal_limiter.Held("rate", wait_seconds=3.0)
        await super().acquire(portal, priority=priority, method=method, commands=commands)


async def test_a_turn_that_did_not_come_doubles_no_distance(store: Store, tmp_path: Path) -> None:
    async with running(store, tmp_path, limits=Full()) as it:
        await it.lab.install()
        it.write(manifest(it.lab, "one"))
        await it.look()
        for _ in range(5):
            assert await it.codes() == set()
            it.lab.clock.move(8)  # one and a half times the first distance at most
            await it.work()

        assert await it.codes() == {"one"}
        assert it.metrics.get_sample_value("smsbridge_reconciliations_total", {"result": "failed"}) == 0
