"""The operator comes up wherever it starts: before the definition, in an empty namespace, without rights."""

from pathlib import Path

from lightkube.resources.core_v1 import Secret
from lightkube.resources.rbac_authorization_v1 import Role, RoleBinding
from lightkube.types import PatchType

from smsbridge.store.connection import Store
from tests.flow.harness import until
from tests.operator import apiserver, resources
from tests.operator import lab as labs
from tests.operator.apiserver import ApiServer
from tests.operator.lab import WAIT_SECONDS, Operator


async def says(operator: Operator, sentence: str) -> None:
    """Readiness comes to say it; empty for ready."""

    async def said() -> bool:
        code, text = await operator.readiness()
        return code == (503 if sentence else 200) and sentence in text

    await until(said, seconds=WAIT_SECONDS, what=operator.tail)


async def test_before_the_definition_it_says_so_and_waits(
    control_plane: Path, store: Store, tmp_path: Path
) -> None:
    with apiserver.running(control_plane, tmp_path) as server:
        async with labs.running(server, store, tmp_path, definition=False) as lab:
            operator = lab.operator()
            await operator.start()
            await says(
                operator, "the cluster has no smscproviders.smsbridge.dev; install the chart's definition"
            )

            resources.install_definition(lab.client)

            await says(operator, "")
            lab.apply("smsc")
            await lab.comes("smsc", "Ready", "NotInstalled")


async def test_it_can_be_stopped_while_it_waits(control_plane: Path, store: Store, tmp_path: Path) -> None:
    with apiserver.running(control_plane, tmp_path) as server:
        async with labs.running(server, store, tmp_path, definition=False) as lab:
            operator = lab.operator()
            await operator.start()
            await says(operator, "the cluster has no smscproviders.smsbridge.dev")
            assert await operator.stop() == 0


async def test_in_an_empty_namespace_it_is_ready(api_server: ApiServer, store: Store, tmp_path: Path) -> None:
    async with labs.running(api_server, store, tmp_path) as lab:
        for name in ("application", "account"):
            lab.client.delete(Secret, name, namespace=lab.namespace)
        operator = lab.operator()
        await operator.start()
        await says(operator, "")


async def test_without_rights_it_says_so_and_goes_on_when_it_has_them(
    api_server: ApiServer, store: Store, tmp_path: Path
) -> None:
    async with labs.running(api_server, store, tmp_path) as lab:
        operator = lab.operator()
        lab.client.delete(RoleBinding, labs.ACCOUNT, namespace=lab.namespace)
        await operator.start()
        await says(operator, f"SmscProviders and Secrets may not be listed in namespace {lab.namespace}")
        labs.grant(lab.client, lab.namespace)
        lab.apply("smsc")
        await lab.comes("smsc", "Ready", "NotInstalled")


async def test_without_the_api_server_it_waits(api_server: ApiServer, store: Store, tmp_path: Path) -> None:
    async with labs.running(api_server, store, tmp_path) as lab:
        operator = lab.operator()
        nowhere = tmp_path / "operator.kubeconfig"
        right = nowhere.read_text(encoding="utf-8")
        nowhere.write_text(right.replace(api_server.url, "https://127.0.0.1:9"), encoding="utf-8")
        await operator.start()
        await says(operator, "the API server does not answer")

        nowhere.write_text(right, encoding="utf-8")

        await says(operator, "")


async def test_a_namespace_without_rights_stops_no_other(
    api_server: ApiServer, store: Store, tmp_path: Path
) -> None:
    async with labs.running(api_server, store, tmp_path) as lab:
        other = resources.make_namespace(lab.client, "other")
        operator = lab.operator(OPERATOR__NAMESPACES=f"[{other}, {lab.namespace}]")
        await operator.start()
        await says(operator, "")
        lab.apply("smsc")

        await lab.comes("smsc", "Ready", "NotInstalled")

        left_out = [line["namespace"] for line in operator.lines() if line["event"] == "namespace_left_out"]
        assert left_out == [other]


async def test_a_status_is_written_again_after_a_time_without_the_right(
    api_server: ApiServer, store: Store, tmp_path: Path
) -> None:
    async with labs.running(api_server, store, tmp_path) as lab:
        operator = lab.operator()
        await operator.start()
        lab.apply("smsc")
        await lab.comes("smsc", "Ready", "NotInstalled")
        role = lab.client.get(Role, labs.ACCOUNT, namespace=lab.namespace)
        kept = [rule for rule in role.rules or [] if rule.resources != ["smscproviders/status"]]
        merge = PatchType.MERGE
        patch = {"rules": [rule.to_dict() for rule in kept]}
        lab.client.patch(Role, labs.ACCOUNT, patch, namespace=lab.namespace, patch_type=merge)
        lab.change("smsc", paused=True)

        async def refused() -> bool:
            return any("403" in str(line) for line in operator.problems())

        await until(refused, seconds=WAIT_SECONDS, what=operator.tail)
        assert lab.condition("smsc", "Sending")["reason"] == "Sending"

        labs.grant(lab.client, lab.namespace)

        await lab.comes("smsc", "Sending", "Paused")
