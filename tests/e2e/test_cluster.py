"""The product on a real node, disturbed in every way a cluster disturbs it, and counted at the far end.

The tests are one story and run in their order: a release is installed once, and all of them send through it.
Nothing is asserted about speed; what takes too long is given up on.
"""

import asyncio
import json
import re
from pathlib import Path

import pytest

from smsbridge.sandbox import orders
from smsbridge.sandbox.client import SandboxClient
from tests.e2e import books, traffic
from tests.e2e.conftest import CRD
from tests.e2e.release import COMPONENTS, DOMAIN, NAME, ROLES, Release
from tests.flow.harness import until

pytestmark = pytest.mark.slow

# Not the sandbox: it holds the far end's books in memory.
RESTARTED = tuple(component for component in COMPONENTS if component != "sandbox")
SECRETS = ("secret-guide", "secret-http", "sandbox-client-secret")
TEXT = "Скидка 20 %"


def test_every_pod_is_as_confined_as_it_can_be(release: Release) -> None:
    script = Path(__file__).with_name("hardening.py").read_text(encoding="utf-8")
    pods = {pod["metadata"]["name"]: pod["metadata"]["labels"] for pod in release.pods()}
    components = sorted({labels["app.kubernetes.io/component"] for labels in pods.values()})
    assert components == sorted(COMPONENTS)
    assert [len(release.names(role)) for role in ROLES] == [2, 2, 2, 2]
    for name, labels in pods.items():
        found = json.loads(release.cluster.inside(name, "python", "-c", script))
        assert found == {
            "uids": ["10001"] * 4,
            "capabilities": 0,
            "no_new_privileges": "1",
            "seccomp": "2",  # a filter
            "writable": [],
            "kubernetes_token": labels["app.kubernetes.io/component"] == "operator",
        }, name


async def test_an_applied_provider_becomes_ready(release: Release, sandbox: SandboxClient) -> None:
    release.apply_sample()
    await release.connect(sandbox)
    release.ready()

    senders = await sandbox.senders(DOMAIN)
    codes = {str(one["code"]) for of_application in senders.values() for one in of_application}
    assert codes == {provider["spec"]["code"] for provider in release.providers}


async def test_messages_of_every_origin_arrive_by_both_replicas(
    release: Release, sandbox: SandboxClient
) -> None:
    for origin, phone in zip(orders.MessageOrigin, release.phones(len(orders.MessageOrigin)), strict=True):
        order = orders.SendOrder(origin=origin, phone=phone, code=release.code, text=f"{TEXT} {origin}")
        await sandbox.send(DOMAIN, order)
    await traffic.letter(release, sandbox, 400, text=TEXT)

    assert await books.settled(release, sandbox) == 400 + len(orders.MessageOrigin)
    for role, method in (("sender", "Submit"), ("status", "Record")):
        calls = release.metric(role, "smsbridge_rpc_calls_total", label=method)
        assert len(calls) == 2
        assert all(calls.values()), f"one {role} got no call: {calls}"


async def test_an_upgrade_and_a_restart_of_every_pod_in_the_middle_of_a_broadcast(
    release: Release, sandbox: SandboxClient
) -> None:
    before = {pod["metadata"]["uid"] for role in RESTARTED for pod in release.pods(role)}
    async with traffic.flowing(release, sandbox, text=f"{TEXT}, обновление"):
        await asyncio.to_thread(release.install, settings={"logging.level": "debug"})
        for component in RESTARTED:
            await asyncio.to_thread(release.restart, component)
    after = {pod["metadata"]["uid"] for role in RESTARTED for pod in release.pods(role)}

    assert before & after == set()
    await books.settled(release, sandbox)


async def test_pods_killed_in_the_middle_of_a_broadcast(release: Release, sandbox: SandboxClient) -> None:
    """Without a word of warning: no drain, no outcome of what was on the wire."""
    async with traffic.flowing(release, sandbox, text=f"{TEXT}, убиты"):
        for component in ("sender", "status", "valkey"):
            victim = release.pods(component)[0]["metadata"]
            kill = ("delete", "pod", victim["name"], "--grace-period", "0", "--force")
            await asyncio.to_thread(release.cluster.kubectl, *kill)
            await release.replaced(component, {victim["uid"]})

    await books.settled(release, sandbox)


async def test_a_gateway_pod_goes_while_the_store_is_away(release: Release, sandbox: SandboxClient) -> None:
    """Its journal is on its volume; its successor serves from there before the store is back."""
    release.scale("valkey", 0)

    async def gone() -> bool:
        return not release.names("valkey")

    await until(gone, seconds=120, what=lambda: "the store does not go", pause=1)
    taken = (await sandbox.handovers(DOMAIN)).posts
    async with traffic.flowing(release, sandbox, text=f"{TEXT}, без хранилища"):
        victim = release.pods("gateway")[0]["metadata"]
        await asyncio.to_thread(release.cluster.kubectl, "delete", "pod", victim["name"], seconds=120)
        await release.replaced("gateway", {victim["uid"]})
    waiting = release.metric("gateway", "smsbridge_journal_depth", label="message")
    assert sum(waiting.values()) == (await sandbox.handovers(DOMAIN)).posts - taken
    release.scale("valkey", 1)
    release.rolled_out("valkey")

    await books.settled(release, sandbox)
    assert sum(release.metric("gateway", "smsbridge_journal_depth").values()) == 0


def test_nothing_fell_over_and_nothing_secret_was_written(release: Release) -> None:
    """Pods were replaced by us, never restarted by the kubelet: probes hold through every outage."""
    restarts = {
        pod["metadata"]["name"]: status["restartCount"]
        for pod in release.pods()
        for status in pod["status"]["containerStatuses"]
    }
    assert {name: count for name, count in restarts.items() if count} == {}
    leaks = []
    for name in restarts:
        text = release.cluster.kubectl("logs", name)
        leaks += [f"{name}: {word}" for word in (*SECRETS, TEXT) if word in text]
        leaks += [f"{name}: phone {found[:4]}..." for found in re.findall(r"(?<!\d)7999\d{7}(?!\d)", text)]
    assert leaks == []


def test_helm_test_sends_a_message(release: Release) -> None:
    release.helm.test(seconds=180)


async def test_providers_and_release_go_and_what_is_precious_stays(
    release: Release, sandbox: SandboxClient
) -> None:
    release.cluster.kubectl("delete", "smscproviders", "--all", "--timeout", "60s", seconds=90)
    senders = await sandbox.senders(DOMAIN)
    assert [one for of_application in senders.values() for one in of_application] == []

    claims = {claim["metadata"]["name"] for claim in release.cluster.objects("pvc")}
    release.helm.uninstall(seconds=240)

    async def empty() -> bool:
        return release.pods() == []

    await until(empty, seconds=120, what=lambda: "pods stay after the release", pause=1)
    assert release.cluster.exists("secret", f"{NAME}-master-key")
    assert release.cluster.exists("crd", CRD)
    assert {claim["metadata"]["name"] for claim in release.cluster.objects("pvc")} == claims
