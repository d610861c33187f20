"""One release for the whole run: image, chart, sandbox, providers; taken away again at the end.

SMSBRIDGE_E2E=1             run these tests, in the cluster of KUBECONFIG (`make e2e`)
SMSBRIDGE_E2E_NAMESPACE     where; made if missing, and deleted at the end
SMSBRIDGE_E2E_KEEP=1        leave the release there, to look at it
On a failure the state of the cluster and the ends of all logs are written to e2e-report/.
"""

import os
from collections.abc import AsyncIterator, Iterator

import pytest

from smsbridge.sandbox.client import SandboxClient
from tests.e2e import cluster, delivery, images
from tests.e2e.release import ROOT, Release

CRD = "smscproviders.smsbridge.dev"
REPORT = ROOT / "e2e-report"


@pytest.fixture(scope="session")
def release(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Release]:
    """Installed, without a provider."""
    if os.environ.get("SMSBRIDGE_E2E", "") != "1":
        pytest.skip("a cluster is touched by `make e2e` only (SMSBRIDGE_E2E=1)")
    if reason := cluster.why_unreachable():
        pytest.fail(reason, pytrace=False)
    place = cluster.Cluster(os.environ.get("SMSBRIDGE_E2E_NAMESPACE", "") or "smsbridge-e2e")
    if place.exists("namespace", place.namespace):
        pytest.fail(f"an earlier run left the namespace {place.namespace}: delete it", pytrace=False)
    try:
        image = delivery.delivered(tmp_path_factory.mktemp("image"))
    except images.UnavailableError as error:
        pytest.fail(f"no image: {error}", pytrace=False)
    had_crd = place.exists("crd", CRD)
    made = Release(place, image, values={"crds": {"install": False}} if had_crd and not _ours(place) else {})
    cluster.call("kubectl", "create", "namespace", place.namespace)
    try:
        try:
            made.install()
        except BaseException:
            place.report(REPORT / "install")
            raise
        yield made
    finally:
        if os.environ.get("SMSBRIDGE_E2E_KEEP", "") != "1":
            _remove(made, with_crd=not had_crd)


@pytest.fixture
async def sandbox(release: Release) -> AsyncIterator[SandboxClient]:
    async with release.sandbox() as client:
        yield client


@pytest.fixture(autouse=True)
def report(request: pytest.FixtureRequest) -> Iterator[None]:
    """Of a failed test, as things stand at its end: the next one changes them."""
    before = request.session.testsfailed
    yield
    if request.session.testsfailed > before and "release" in request.fixturenames:
        found: Release = request.getfixturevalue("release")
        found.cluster.report(REPORT / request.node.name)


def _ours(place: cluster.Cluster) -> bool:
    """Whether the definition in the cluster is of an earlier run in this namespace."""
    path = r"jsonpath={.metadata.annotations.meta\.helm\.sh/release-namespace}"
    return place.kubectl("get", "crd", CRD, "--output", path) == place.namespace


def _remove(release: Release, *, with_crd: bool) -> None:
    """Providers first: nobody takes their finalizers away once the operator is gone. Where it did not work at
    all they are taken away here, since a namespace that holds one is never deleted.
    """
    place = release.cluster
    if place.exists("crd", CRD):
        try:
            place.kubectl("delete", "smscproviders", "--all", "--timeout", "60s", seconds=90)
        except cluster.FailedError:
            for provider in place.objects("smscproviders"):
                patch = ("--type", "merge", "--patch", '{"metadata": {"finalizers": null}}')
                place.kubectl("patch", "smscproviders", provider["metadata"]["name"], *patch)
    release.helm.uninstall(seconds=240)
    if with_crd:
        place.kubectl("delete", "crd", CRD, "--ignore-not-found")
    cluster.call("kubectl", "delete", "namespace", place.namespace, "--timeout", "120s", seconds=150)
