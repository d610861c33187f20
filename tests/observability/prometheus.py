"""A Prometheus of a test's own: on loopback, in a folder of the test's, with the chart's rules; and promtool.

Both come with Debian's package `prometheus`. Without them these tests are skipped with the reason;
`SMSBRIDGE_REQUIRE_PROMETHEUS=1` makes that a failure.
"""

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from smsbridge.runtime import addresses

RULES = Path(__file__).parents[2] / "charts" / "smsbridge" / "files" / "rules.yaml"
HOST = "127.0.0.1"
# By name and label `window` of the alert.
HURRIED = {("SmsbridgeNoReceipts", "30m"): "[30m]", ("SmsbridgePortalRefuses", ""): "[15m]"}

# What a balance does within seconds says nothing of a day: this one waits as long as in earnest.
UNHURRIED = {"SmsbridgeBalanceEnds"}


def program(name: str) -> str:
    """`prometheus` or `promtool`; skips the test that asks where there is none."""
    found = shutil.which(name)
    if found:
        return found
    reason = f"no {name} here: it comes with Debian's package prometheus"
    if os.environ.get("SMSBRIDGE_REQUIRE_PROMETHEUS") == "1":
        pytest.fail(f"SMSBRIDGE_REQUIRE_PROMETHEUS is 1, and there is {reason}", pytrace=False)
    pytest.skip(reason)


def rules() -> list[dict[str, Any]]:
    """All rules of the chart, in their order."""
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


class Prometheus:
    def __init__(self, address: str) -> None:
        self._url = f"http://{address}/api/v1"
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20))

    async def close(self) -> None:
        await self._session.close()

    async def query(self, expr: str) -> list[dict[str, Any]]:
        """What it answers now. AssertionError where it refuses the question."""
        async with self._session.post(f"{self._url}/query", data={"query": expr}) as answer:
            found = await answer.json()
        assert found["status"] == "success", f"{expr}: {found.get('error')}"
        result: list[dict[str, Any]] = found["data"]["result"]
        return result

    async def label_values(self, label: str, match: str) -> set[str]:
        """Those that a label has in the selected series. AssertionError where it refuses the selection."""
        address = f"{self._url}/label/{label}/values"
        async with self._session.get(address, params={"match[]": match}) as answer:
            found = await answer.json()
        assert found["status"] == "success", f"{match}: {found.get('error')}"
        return set(found["data"])

    async def value(self, expr: str) -> float:
        """Of a question with one answer; nan where there is none."""
        found = await self.query(expr)
        return float(found[0]["value"][1]) if found else float("nan")

    async def ready(self) -> bool:
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            async with self._session.get(self._url.replace("/api/v1", "/-/ready")) as answer:
                return answer.status == 200
        return False

    async def firing(self) -> list[dict[str, str]]:
        """Labels of the alerts that fire."""
        async with self._session.get(f"{self._url}/alerts") as answer:
            found = (await answer.json())["data"]["alerts"]
        return [one["labels"] for one in found if one["state"] == "firing"]

    async def alerts(self) -> set[str]:
        """Names of those that fire."""
        return {labels["alertname"] for labels in await self.firing()}

    async def rule_errors(self) -> dict[str, str]:
        """By rule, why it could not be evaluated last."""
        async with self._session.get(f"{self._url}/rules") as answer:
            groups = (await answer.json())["data"]["groups"]
        return {
            rule["name"]: rule.get("lastError", "")
            for group in groups
            for rule in group["rules"]
            if rule["health"] == "err"
        }


@contextlib.asynccontextmanager
async def running(directory: Path, target: str, *, every_seconds: int = 1) -> AsyncIterator[Prometheus]:
    """Scrapes `target`, with the chart's rules in a hurry."""
    address = f"{HOST}:{addresses.free_port(HOST)}"
    _prepare(directory, target, every=f"{every_seconds}s")
    with (directory / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            program("prometheus"),
            "--config.file=prometheus.yml",
            "--storage.tsdb.path=data",
            f"--web.listen-address={address}",
            cwd=directory,
            stdout=log,
            stderr=log,
            stdin=asyncio.subprocess.DEVNULL,
        )
        server = Prometheus(address)
        try:
            yield server
        finally:
            await server.close()
            process.terminate()
            await process.wait()


def _hurried() -> dict[str, Any]:
    """Alerts wait for five seconds, longer than a figure stands that was read between two writes.

    Some look back over seconds instead of minutes, so that a test sees them end.
    """
    found: dict[str, Any] = yaml.safe_load(RULES.read_text(encoding="utf-8"))
    for rule in (rule for group in found["groups"] for rule in group["rules"]):
        if "alert" in rule and rule["alert"] not in UNHURRIED:
            rule["for"] = "5s"
        window = HURRIED.get((rule.get("alert", ""), rule.get("labels", {}).get("window", "")), "")
        if window:
            assert window in rule["expr"]
            rule["expr"] = rule["expr"].replace(window, "[20s]")
    return found


def _prepare(directory: Path, target: str, *, every: str) -> None:
    directory.mkdir(parents=True)
    (directory / "rules.yaml").write_text(yaml.safe_dump(_hurried()), encoding="utf-8")
    config = {
        "global": {"scrape_interval": every, "evaluation_interval": every},
        "rule_files": ["rules.yaml"],
        "scrape_configs": [{"job_name": "smsbridge", "static_configs": [{"targets": [target]}]}],
    }
    (directory / "prometheus.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
