"""The tests' own Kubernetes API does what they lean on: tokens of ServiceAccounts, and RBAC for them."""

import uuid
from pathlib import Path

import lightkube
import pytest
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.models.rbac_v1 import PolicyRule, RoleRef, Subject
from lightkube.resources.core_v1 import Namespace, Secret, ServiceAccount
from lightkube.resources.rbac_authorization_v1 import Role, RoleBinding

from tests.operator.apiserver import ApiServer

ACCOUNT = "reader"


@pytest.fixture
def namespace(api_server: ApiServer) -> str:
    """With an account that may list Secrets in it."""
    admin = api_server.client()
    name = f"reads-{uuid.uuid4().hex[:8]}"
    metadata = ObjectMeta(name=ACCOUNT, namespace=name)
    admin.create(Namespace(metadata=ObjectMeta(name=name)))
    admin.create(ServiceAccount(metadata=metadata))
    admin.create(
        Role(metadata=metadata, rules=[PolicyRule(apiGroups=[""], resources=["secrets"], verbs=["list"])])
    )
    admin.create(
        RoleBinding(
            metadata=metadata,
            roleRef=RoleRef(apiGroup="rbac.authorization.k8s.io", kind="Role", name=ACCOUNT),
            subjects=[Subject(kind="ServiceAccount", name=ACCOUNT, namespace=name)],
        )
    )
    admin.create(Secret(metadata=ObjectMeta(name="one", namespace=name), stringData={"login": "x"}))
    return name


def test_a_service_account_may_what_its_role_says(
    api_server: ApiServer, namespace: str, tmp_path: Path
) -> None:
    token = api_server.token_of(ACCOUNT, namespace)
    own = api_server.client(api_server.kubeconfig_for(token, tmp_path / "kubeconfig"))

    assert [secret.metadata.name for secret in own.list(Secret, namespace=namespace)] == ["one"]
    for refused in (
        lambda: list(own.list(Secret, namespace="default")),
        lambda: own.get(Secret, "one", namespace=namespace),
        lambda: own.delete(Secret, "one", namespace=namespace),
    ):
        with pytest.raises(lightkube.ApiError) as caught:
            refused()
        assert caught.value.status.code == 403


def test_who_has_no_token_is_nobody(api_server: ApiServer, tmp_path: Path) -> None:
    stranger = api_server.client(api_server.kubeconfig_for("made-up", tmp_path / "kubeconfig"))
    with pytest.raises(lightkube.ApiError) as caught:
        list(stranger.list(Secret, namespace="default"))
    assert caught.value.status.code == 401


def test_the_kubeconfigs_are_for_their_owner_only(api_server: ApiServer) -> None:
    assert api_server.kubeconfig.stat().st_mode & 0o077 == 0
