"""Finds `etcd` and `kube-apiserver` for the tests, or builds them once from the modules pinned beside this.

In this order: KUBEBUILDER_ASSETS, where it is set; what an earlier run left in the user's cache; a build with
the machine's own Go (about five minutes on two cores). Nothing is written into the checkout.

`python -m tests.operator.binaries` does the same before the tests, and prints the directory.
"""

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

VERSION = "1.36.3"  # of Kubernetes, as in controlplane/go.mod
PACKAGES = {"etcd": "go.etcd.io/etcd/server/v3", "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver"}
_MODULE = Path(__file__).parent / "controlplane"
_BUILD_SECONDS = 1800
# Without its version stamped in, the server says that it is 0.0.0 and clients do not know what it can do.
_STAMP = "k8s.io/component-base/version"
_MAJOR, _MINOR, _ = VERSION.split(".")
_LINK = f"-s -w -X {_STAMP}.gitVersion=v{VERSION} -X {_STAMP}.gitMajor={_MAJOR} -X {_STAMP}.gitMinor={_MINOR}"


class UnavailableError(Exception):
    """No control plane can be had here; the text says why."""


def required() -> bool:
    """Whether its absence is a failure; continuous integration says so where Go is present."""
    return os.environ.get("SMSBRIDGE_REQUIRE_CLUSTER", "") == "1"


def directory() -> Path:
    """Where both programs are, built now if need be. Raises UnavailableError."""
    given = os.environ.get("KUBEBUILDER_ASSETS", "")
    if given:
        if _complete(Path(given)):
            return Path(given)
        raise UnavailableError(f"KUBEBUILDER_ASSETS is {given}, where etcd and kube-apiserver are not")
    cache = _cache()
    if not _complete(cache):
        _build(cache)
    return cache


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME", "") or Path.home() / ".cache"
    return Path(base) / "smsbridge-envtest" / VERSION


def _complete(found: Path) -> bool:
    return all(os.access(found / name, os.X_OK) for name in PACKAGES)


def _build(cache: Path) -> None:
    if sys.platform != "linux":
        raise UnavailableError("KUBEBUILDER_ASSETS is not set, and they are built from source on Linux only")
    go = shutil.which("go")
    if go is None:
        raise UnavailableError("KUBEBUILDER_ASSETS is not set, and there is no Go to build it with")
    cache.mkdir(parents=True, exist_ok=True)
    with _locked(cache / "lock"):
        for name, package in PACKAGES.items():
            if not os.access(cache / name, os.X_OK):  # another run may have built it meanwhile
                _build_one(go, package, cache / name)


def _build_one(go: str, package: str, target: Path) -> None:
    log, draft = target.with_suffix(".log"), target.with_suffix(".new")
    command = [go, "build", "-trimpath", "-ldflags", _LINK, "-o", str(draft), package]
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly"}
    with log.open("wb") as output:
        try:
            built = subprocess.run(
                command, cwd=_MODULE, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                timeout=_BUILD_SECONDS, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise UnavailableError(f"building {target.name} took too long; see {log}") from None
    if built.returncode != 0:
        raise UnavailableError(f"building {target.name} failed; see {log}")
    draft.replace(target)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Two test runs do not build the same thing at once; the lock goes with its process."""
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    try:
        print(directory())
    except UnavailableError as reason:
        sys.exit(f"no control plane: {reason}")
