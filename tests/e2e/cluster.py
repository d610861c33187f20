"""kubectl as a person uses it, in one namespace of the cluster that KUBECONFIG points to.

Every call is bounded in time. What fails is told with the end of what the command said, not with what it was
given.
"""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from smsbridge.runtime import addresses

_CALL_SECONDS = 60.0
_FORWARD_SECONDS = 20.0
_LOG_LINES = "300"


class FailedError(AssertionError):
    """A command ended badly; the text has the end of its output."""


class Cluster:
    def __init__(self, namespace: str) -> None:
        self.namespace = namespace

    def kubectl(self, *arguments: str, stdin: str = "", seconds: float = _CALL_SECONDS) -> str:
        return call("kubectl", "--namespace", self.namespace, *arguments, stdin=stdin, seconds=seconds)

    def objects(self, kind: str, *, selector: str = "") -> list[dict[str, Any]]:
        found = json.loads(self.kubectl("get", kind, "--selector", selector, "--output", "json"))
        return list(found["items"])

    def exists(self, kind: str, name: str) -> bool:
        return bool(self.kubectl("get", kind, name, "--ignore-not-found", "--output", "name"))

    def inside(self, pod: str, *command: str) -> str:
        return self.kubectl("exec", pod, "--", *command)

    def page(self, pod: str, port: int, path: str) -> str:
        """Over HTTP from a pod, by way of the API server."""
        return self.kubectl(
            "get", "--raw", f"/api/v1/namespaces/{self.namespace}/pods/{pod}:{port}/proxy{path}"
        )

    @contextlib.contextmanager
    def forwarded(self, target: str, port: int) -> Iterator[str]:
        """HOST:PORT on this machine that leads to `port` of a pod or service while the block lasts."""
        local = addresses.join("127.0.0.1", addresses.free_port("127.0.0.1"))
        command = [
            shutil.which("kubectl") or "kubectl", "--namespace", self.namespace, "port-forward", target,
            f"{addresses.split(local)[1]}:{port}",
        ]  # fmt: skip
        launcher = [sys.executable, "-m", "smsbridge.runtime.launch", str(os.getpid())]
        process = subprocess.Popen(
            [*launcher, *command], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        try:
            _wait_for_forward(process, local)
            yield local
        finally:
            process.kill()
            process.communicate()

    def report(self, directory: Path) -> None:
        """What somebody needs who was not there; no Secret is read."""
        directory.mkdir(parents=True, exist_ok=True)
        pages = {
            "objects.txt": ("get", "all,pvc,events,smscproviders", "--output", "wide"),
            "providers.yaml": ("get", "smscproviders", "--output", "yaml"),
            "pods.txt": ("describe", "pods,pvc"),
        }
        for name, arguments in pages.items():
            (directory / name).write_text(self._said(*arguments), encoding="utf-8")
        for pod in self._said("get", "pods", "--output", "name").split():
            for suffix, more in (("log", ()), ("before.log", ("--previous",))):
                text = self._said("logs", pod, "--all-containers", "--tail", _LOG_LINES, *more)
                (directory / f"{pod.removeprefix('pod/')}.{suffix}").write_text(text, encoding="utf-8")

    def _said(self, *arguments: str) -> str:
        try:
            return self.kubectl(*arguments)
        except (FailedError, subprocess.TimeoutExpired) as error:
            return f"{error}\n"


def call(*command: str, stdin: str = "", seconds: float = _CALL_SECONDS) -> str:
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=seconds, check=False)
    if done.returncode != 0:
        end = "\n".join((done.stdout + done.stderr).splitlines()[-15:])
        words = [word for word in command[:6] if not word.startswith("-")]
        raise FailedError(f"`{' '.join(words)} ...` failed\n{end}")
    return done.stdout


def why_unreachable() -> str:
    """Empty where the cluster answers."""
    if shutil.which("kubectl") is None:
        return "there is no kubectl on PATH"
    try:
        call("kubectl", "get", "--raw", "/readyz", "--request-timeout", "10s")
    except FailedError as error:
        return f"KUBECONFIG leads to no cluster that answers: {error}"
    return ""


def context() -> str:
    return call("kubectl", "config", "current-context").strip()


def samples(page: str, name: str) -> dict[str, float]:
    """Of one metric, by its labels as they are written."""
    found = re.findall(rf"^{name}(?:{{(.*?)}})? (\S+)$", page, flags=re.MULTILINE)
    return {labels: float(value) for labels, value in found}


def _wait_for_forward(process: subprocess.Popen[bytes], local: str) -> None:
    host, port = addresses.split(local)
    deadline = time.monotonic() + _FORWARD_SECONDS
    while addresses.is_free(host, port):
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            _, said = process.communicate()
            raise FailedError(f"`kubectl port-forward` failed\n{said.decode(errors='replace')[-500:]}")
        time.sleep(0.1)
