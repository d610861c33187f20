"""Helm: the command where there is one, else its own engine as a wheel, which does the same."""

import json
import shutil
from pathlib import Path
from typing import Any

import helm_python

from tests.e2e.cluster import FailedError, call

Values = dict[str, Any]
_MORE_SECONDS = 60.0  # for the command itself, beyond what it is told to wait


class Helm:
    """One release in one namespace."""

    def __init__(self, namespace: str, name: str) -> None:
        self._namespace = namespace
        self._name = name
        self._command = shutil.which("helm")

    def install(self, chart: Path, values: Values, *, seconds: int) -> None:
        """Or upgrades; comes when everything is ready."""
        if self._command is not None:
            self._call(
                "upgrade", "--install", self._name, str(chart), "--values", "-", "--wait",
                stdin=json.dumps(values), seconds=seconds,
            )  # fmt: skip
            return
        with self._engine() as engine:
            known = any(one["name"] == self._name for one in engine.list())
            act = engine.upgrade if known else engine.install
            self._told(lambda: act(chart, self._name, values, wait="watcher", timeout=seconds))

    def test(self, *, seconds: int) -> None:
        if self._command is not None:
            self._call("test", self._name, seconds=seconds)
            return
        with self._engine() as engine:
            self._told(lambda: engine.test(self._name, timeout=seconds))

    def uninstall(self, *, seconds: int) -> None:
        """Does nothing where there is no release."""
        if self._command is not None:
            self._call("uninstall", self._name, "--ignore-not-found", "--wait", seconds=seconds)
            return
        with self._engine() as engine:
            self._told(
                lambda: engine.uninstall(self._name, ignore_not_found=True, wait="watcher", timeout=seconds)
            )

    def _call(self, *arguments: str, stdin: str = "", seconds: int) -> None:
        call(
            "helm", "--namespace", self._namespace, *arguments, "--timeout", f"{seconds}s",
            stdin=stdin, seconds=seconds + _MORE_SECONDS,
        )  # fmt: skip

    def _engine(self) -> helm_python.Config:
        return helm_python.Config(namespace=self._namespace)

    def _told(self, action: Any) -> None:
        try:
            action()
        except helm_python.HelmError as error:
            raise FailedError(f"helm: {error}") from None
