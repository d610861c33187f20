"""Builds the product's image and runs commands in it, with what this machine has: docker, podman, or buildah.

Two settings come from outside, since they are this machine's and not the product's:
PYTHON_IMAGE, the base image (the Dockerfile's own unless set), and IMAGE_BUILD_FLAGS, more flags of the build
(a proxy's certificates, the host's network, a cache). IMAGE_ENGINE names one where several are present.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import tempfile
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

ROOT = Path(__file__).parents[2]
_BUILD_SECONDS = 900.0
_RUN_SECONDS = 120.0
_CONTAINER = "smsbridge-image-test"


class UnavailableError(Exception):
    """No image can be built here; the text says why."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What an image says of itself."""

    user: str
    entrypoint: tuple[str, ...]
    environment: tuple[str, ...]
    size_bytes: int


class Engine(Protocol):
    def build(self, tag: str) -> None: ...

    def facts(self, tag: str) -> Facts: ...

    def run(self, tag: str, *command: str, user: int) -> subprocess.CompletedProcess[str]:
        """In a container with a read-only root, an empty /tmp, no capabilities and no network."""
        ...

    def save(self, tag: str, archive: Path) -> None:
        """As an archive that `docker load` and containerd understand."""
        ...

    def push(self, tag: str) -> None: ...


def base() -> str:
    found = re.search(r"^ARG PYTHON_IMAGE=(\S+)", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.M)
    assert found is not None
    return os.environ.get("PYTHON_IMAGE", "") or found[1]


def engine() -> Engine:
    """Raises UnavailableError where there is none, or where it cannot get the base image."""
    wanted = os.environ.get("IMAGE_ENGINE", "")
    for name in ("docker", "podman"):
        if wanted in ("", name) and shutil.which(name) and _call(name, "info", check=False).returncode == 0:
            return _with_base(Docker(name))
    if wanted in ("", "buildah") and shutil.which("buildah"):
        return _with_base(Buildah())
    raise UnavailableError(f"no {wanted or 'docker, podman or buildah'} that answers")


def present() -> bool:
    """Whether there is anything at all that builds images."""
    return any(shutil.which(name) for name in ("docker", "podman", "buildah"))


def _with_base(found: Engine) -> Engine:
    command = found.command if isinstance(found, Docker) else "buildah"
    if _call(command, "inspect", "--type", "image", base(), check=False).returncode != 0:
        try:
            _call(command, "pull", base(), seconds=_BUILD_SECONDS)
        except (AssertionError, subprocess.TimeoutExpired):
            reason = f"{command} cannot get the base image {base()} (PYTHON_IMAGE)"
            raise UnavailableError(reason) from None
    return found


class Docker:
    """docker, and podman, which takes the same commands."""

    def __init__(self, command: str) -> None:
        self.command = command

    def build(self, tag: str) -> None:
        _call(self.command, "build", *_build_arguments(), "-t", tag, str(ROOT), seconds=_BUILD_SECONDS)

    def facts(self, tag: str) -> Facts:
        (found,) = json.loads(_call(self.command, "image", "inspect", tag).stdout)
        return _facts(found["Config"], found["Size"])

    def run(self, tag: str, *command: str, user: int) -> subprocess.CompletedProcess[str]:
        entrypoint, *arguments = command
        return _call(
            self.command, "run", "--rm", "--read-only", "--tmpfs", "/tmp", "--network", "none",
            "--user", f"{user}:{user}", "--cap-drop", "ALL", "--security-opt", "no-new-privileges",
            "--entrypoint", entrypoint, tag, *arguments, check=False, seconds=_RUN_SECONDS,
        )  # fmt: skip

    def save(self, tag: str, archive: Path) -> None:
        _call(self.command, "save", "--output", str(archive), tag, seconds=_BUILD_SECONDS)

    def push(self, tag: str) -> None:
        _call(self.command, "push", tag, seconds=_BUILD_SECONDS)


class Buildah:
    """Builds; runs by runc or crun on the image's mounted root, which takes root's rights."""

    def build(self, tag: str) -> None:
        _call("buildah", "bud", "--layers", *_build_arguments(), "-t", tag, str(ROOT), seconds=_BUILD_SECONDS)

    def facts(self, tag: str) -> Facts:
        found = json.loads(_call("buildah", "inspect", "--type", "image", tag).stdout)
        with _Mounted(tag) as root:
            size = sum(path.lstat().st_size for path in root.rglob("*") if not path.is_dir())
        return _facts(found["OCIv1"]["config"], size)

    def run(self, tag: str, *command: str, user: int) -> subprocess.CompletedProcess[str]:
        runtime = shutil.which("runc") or shutil.which("crun")
        if runtime is None or os.geteuid() != 0:
            raise UnavailableError("buildah is here, but running takes root and runc or crun")
        environment = self.facts(tag).environment
        with _Mounted(tag) as root, tempfile.TemporaryDirectory(prefix="smsbridge-bundle-") as bundle:
            _call(runtime, "spec", "--bundle", bundle)
            path = Path(bundle, "config.json")
            spec = json.loads(path.read_text(encoding="utf-8"))
            _harden(spec, root=root, command=command, user=user, environment=environment)
            path.write_text(json.dumps(spec), encoding="utf-8")
            name = f"{_CONTAINER}-{uuid.uuid4().hex[:8]}"
            try:
                return _call(runtime, "run", "--bundle", bundle, name, check=False, seconds=_RUN_SECONDS)
            finally:
                _call(runtime, "delete", "--force", name, check=False)

    def save(self, tag: str, archive: Path) -> None:
        archive.unlink(missing_ok=True)  # an archive is never written over
        _call("buildah", "push", tag, f"docker-archive:{archive}:{tag}", seconds=_BUILD_SECONDS)

    def push(self, tag: str) -> None:
        _call("buildah", "push", tag, f"docker://{tag}", seconds=_BUILD_SECONDS)


class _Mounted:
    def __init__(self, tag: str) -> None:
        self._tag = tag
        self._container = ""

    def __enter__(self) -> Path:
        self._container = _call("buildah", "from", "--pull-never", self._tag).stdout.strip()
        return Path(_call("buildah", "mount", self._container).stdout.strip())

    def __exit__(self, *_: object) -> None:
        _call("buildah", "rm", self._container, check=False)


def _harden(
    spec: dict[str, Any], *, root: Path, command: tuple[str, ...], user: int, environment: tuple[str, ...]
) -> None:
    spec["root"] = {"path": str(root), "readonly": True}
    process = spec["process"]
    process.update(args=list(command), env=list(environment), user={"uid": user, "gid": user}, terminal=False)
    process["capabilities"] = {kind: [] for kind in process["capabilities"]}
    process["noNewPrivileges"] = True
    options = ["nosuid", "nodev", "mode=1777"]
    spec["mounts"].append({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": options})


def _build_arguments() -> list[str]:
    return ["--build-arg", f"PYTHON_IMAGE={base()}", *shlex.split(os.environ.get("IMAGE_BUILD_FLAGS", ""))]


def _facts(config: dict[str, Any], size: int) -> Facts:
    return Facts(
        config.get("User", ""), tuple(config.get("Entrypoint") or ()), tuple(config.get("Env") or ()), size
    )


def _call(
    *command: str, check: bool = True, seconds: float = _RUN_SECONDS
) -> subprocess.CompletedProcess[str]:
    """A failure is told with the end of what the command said."""
    started = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    if check and done.returncode != 0:
        end = "\n".join((done.stdout + done.stderr).splitlines()[-30:])
        spent = time.monotonic() - started
        raise AssertionError(f"`{shlex.join(command[:3])} ...` failed after {spent:.0f} s\n{end}")
    return done
