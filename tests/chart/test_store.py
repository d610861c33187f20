"""The bundled store as the chart configures it, started for real and asked what the roles ask it."""

import asyncio
import base64
import contextlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from smsbridge.runtime import addresses
from smsbridge.store.connection import Store, StoreSettings
from tests.chart import helm

HOST = "127.0.0.1"


def config_and_password(directory: Path, port: int) -> tuple[Path, str]:
    """The files as they are mounted, with paths and the port of this machine."""
    objects = helm.render()
    data = helm.named(objects, "Secret", "smsbridge-valkey")["data"]
    auth = directory / "auth.conf"
    auth.write_bytes(base64.b64decode(data["auth.conf"]))
    text = helm.named(objects, "ConfigMap", "smsbridge-valkey")["data"]["valkey.conf"]
    for old, new in (
        ("/secret/auth.conf", str(auth)),
        ("dir /data", f"dir {directory}"),
        ("6379", str(port)),
    ):
        assert old in text
        text = text.replace(old, new)
    file = directory / "valkey.conf"
    file.write_text(text, encoding="utf-8")
    return file, base64.b64decode(data["password"]).decode()


@contextlib.asynccontextmanager
async def running(directory: Path) -> AsyncIterator[StoreSettings]:
    port = addresses.free_port(HOST)
    file, password = config_and_password(directory, port)
    container = helm.named(helm.render(), "StatefulSet", "smsbridge-valkey")["spec"]["template"]["spec"][
        "containers"
    ]
    command = container[0]["command"]
    assert command[0] == "python3"
    server = await asyncio.create_subprocess_exec(sys.executable, *command[1:-1], str(file))
    try:
        yield StoreSettings.model_validate({"url": f"redis://{HOST}:{port}/0", "password": password})
    finally:
        server.terminate()
        await server.wait()


async def test_the_roles_find_nothing_wrong_with_it(tmp_path: Path) -> None:
    async with running(tmp_path) as settings:
        store = Store.connect(settings)
        try:
            said = "never asked"
            for _ in range(100):
                said = await store.check()
                if "does not answer" not in said:
                    break
                await asyncio.sleep(0.1)
            assert said == ""
        finally:
            await store.close()
        stranger = Store.connect(settings.model_copy(update={"password": type(settings.password)("wrong")}))
        try:
            assert await stranger.check() != ""
        finally:
            await stranger.close()


@pytest.mark.parametrize("ci", [ci for ci in helm.CI if "external" not in ci])
def test_its_settings_keep_what_was_accepted(ci: str) -> None:
    (found,) = (one for one in helm.of_kind(helm.render_ci(ci), "ConfigMap") if "valkey.conf" in one["data"])
    lines = dict(line.split(" ", 1) for line in found["data"]["valkey.conf"].splitlines() if line)
    assert (lines["appendonly"], lines["appendfsync"]) == ("yes", "always")
    assert lines["maxmemory-policy"] == "noeviction"
    assert lines["maxmemory"] == helm.ci_values(ci).get("valkey", {}).get("maxmemory", "512mb")


@pytest.mark.parametrize("ci", [ci for ci in helm.CI if "external" in ci])
def test_a_store_of_ones_own_brings_nothing_of_it(ci: str) -> None:
    objects = helm.render_ci(ci)
    assert [helm.label(one) for one in objects if one["metadata"]["name"].endswith("-valkey")] == []
    own = helm.ci_values(ci)["externalStore"]
    for _, container in helm.containers(objects):
        if container["name"] in ("gateway", "sender", "status", "hlr", "operator"):
            environ = {one["name"]: one for one in container["env"]}
            assert environ["SMSBRIDGE_STORE__URL"]["value"] == own["url"]
            assert environ["SMSBRIDGE_STORE__WAIT_REPLICAS"]["value"] == str(own.get("waitReplicas", 0))
            password = environ.get("SMSBRIDGE_STORE__PASSWORD")
            assert (password is not None) is ("existingSecret" in own)
            if password is not None:
                key = {"name": own["existingSecret"], "key": own.get("passwordKey", "password")}
                assert password["valueFrom"]["secretKeyRef"] == key
