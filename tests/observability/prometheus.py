"""A Prometheus of a test's own: on loopback, in a folder of the test's, with the chart's rules; and promtool.

And what it is asked: every panel and rule of the chart.

Both come with Debian's package `prometheus`. Without them these tests are skipped with the reason;
`SMSBRIDGE_REQUIRE_PROMETHEUS=1` makes that a failure.
"""

import asyncio
import contextlib
import os
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from smsbridge.runtime import addresses
from tests.flow import harness
from tests.observability import panels

RULES = Path(__file__).parents[2] / "charts" / "smsbridge" / "files" / "rules.yaml"
HOST = "127.0.0.1"
HURRIED = {"SmsbridgeNoReceipts": "[30m]", "SmsbridgePortalRefuses": "[15m]"}

# Series that a provider may add, and that there may be without one. Fifty providers stay within 20,000.
SERIES_OF_A_PROVIDER, SERIES_BESIDE = 350, 1000

# Panels without an answer while all is well: what they show is a fault, or has not happened in this traffic.
# A question that is not here must be answered, and one that is here must exist.
EMPTY_WHILE_WELL = {
    "batches / How they were settled / {{how}}",  # no batch was uncertain
    "bitrix24 / Answers that are not 200 / {{door}} {{status}}",
    "bitrix24 / Answers to workflow steps / {{result}}",  # no workflow
    "bitrix24 / What holds writing back / {{namespace}}/{{provider}} {{limit}}",  # a quick portal
    "delivery / Closed, unknown and pretended / {{namespace}}/{{provider}} closed",
    "delivery / Closed, unknown and pretended / {{namespace}}/{{provider}} test mode",
    "delivery / Closed, unknown and pretended / {{profile}} unknown code",
    "delivery / Questions to status.php / {{result}}",  # every receipt came
    "delivery / Steps of cascades / {{namespace}}/{{provider}} SMSC's",  # profile guide's own cascade
    "numbers / Left out, or sent unchecked / left out: {{reason}}",  # hlr.beforeSend is never
    "numbers / Left out, or sent unchecked / unchecked: {{why}}",
    "numbers / Saved by look-ups, 24 h / {{namespace}}/{{provider}}",
    "numbers / Errands at the door / {{kind}} {{result}}",  # no lead, no step
    "numbers / Errands that wait / {{namespace}}/{{provider}} {{kind}}",
    "numbers / How errands end / {{kind}} {{end}}",
    "numbers / Oldest errand / {{namespace}}/{{provider}} {{kind}}",
    "numbers / Questions for operator and region / {{result}}",
    "numbers / Running / {{namespace}}/{{provider}}",  # no verification
    "numbers / Contacts, leads and companies done / {{result}}",
    "numbers / Distinct numbers done / {{outcome}}",
    "numbers / Spent by verifications, 24 h / {{namespace}}/{{provider}}",
    "operator / Leads / leads",  # `run all` needs no lease
    "operator / Started again / {{child}}",
    "operator / Steps of loops that failed / {{loop}}",
    "overview / Pauses / {{namespace}}/{{provider}} {{reason}}",
}
# The same of metrics that rules name.
METRICS_ABSENT_WHILE_WELL = {"smsbridge_operator_leading"}


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

    async def value(self, expr: str) -> float:
        """Of a question with one answer; nan where there is none."""
        found = await self.query(expr)
        return float(found[0]["value"][1]) if found else float("nan")

    async def ready(self) -> bool:
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            async with self._session.get(self._url.replace("/api/v1", "/-/ready")) as answer:
                return answer.status == 200
        return False

    async def alerts(self) -> set[str]:
        """Names of those that fire."""
        async with self._session.get(f"{self._url}/alerts") as answer:
            found = (await answer.json())["data"]["alerts"]
        return {one["labels"]["alertname"] for one in found if one["state"] == "firing"}

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


async def empty(server: Prometheus, questions: list[panels.Question]) -> set[str]:
    """Those that Prometheus has no answer to; AssertionError for one that it refuses."""
    found = set()
    for question in questions:
        if not await server.query(panels.filled(question.expr)):
            found.add(question.name)
        # One provider chosen, by its name.
        await server.query(panels.filled(question.expr, namespace="crm", provider="smsc"))
    return found


async def every_question_is_answered(server: Prometheus) -> None:
    """Of every panel and every alert: what has no answer is known to have none while all is well."""
    questions = panels.questions()
    gaps: set[str] = set()

    async def answered() -> bool:
        """A rate needs two scrapes, a receipt its time."""
        gaps.clear()
        gaps.update(await empty(server, questions) - EMPTY_WHILE_WELL)
        return not gaps

    await harness.until(answered, seconds=45, what=lambda: f"no answer: {sorted(gaps)}", pause=1.0)
    assert EMPTY_WHILE_WELL - {question.name for question in questions} == set()
    missing = set()
    for rule in rules():
        await server.query(rule["expr"])
        for metric in set(re.findall(r"\bsmsbridge_\w+", rule["expr"])):
            if not await server.query(metric):
                missing.add(metric)
    assert missing - METRICS_ABSENT_WHILE_WELL == set()


def _hurried() -> dict[str, Any]:
    """Alerts wait for five seconds, longer than a figure stands that was read between two writes.

    Some look back over seconds instead of minutes, so that a test sees them end.
    """
    found: dict[str, Any] = yaml.safe_load(RULES.read_text(encoding="utf-8"))
    for rule in (rule for group in found["groups"] for rule in group["rules"]):
        if "alert" in rule:
            rule["for"] = "5s"
        window = HURRIED.get(rule.get("alert", ""), "")
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
