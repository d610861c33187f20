"""values.yaml, its schema and its README say the same, and wrong values are refused with a sentence."""

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.chart import helm

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((helm.CHART / "values.schema.json").read_text(encoding="utf-8"))


def generator() -> ModuleType:
    """charts/ is no package: the chart's folder holds nothing but the chart."""
    found = importlib.util.spec_from_file_location("generate_readme", ROOT / "charts" / "generate_readme.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in schema:
        return dict(SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]])
    return schema


def unexplained(values: dict[str, Any], schema: dict[str, Any], path: str = "") -> Iterator[str]:
    """Paths that differ between the values and the schema's properties."""
    schema = resolved(schema)
    if "properties" not in schema:
        return
    if schema.get("additionalProperties") is not False:
        yield f"{path}: lets anything in"
    for name in values.keys() ^ schema["properties"].keys():
        if (path, name) != ("", "global") and not path.endswith(("requests", "limits")):
            yield f"{path}.{name}"
    for name, value in values.items():
        if isinstance(value, dict) and name in schema["properties"]:
            yield from unexplained(value, schema["properties"][name], f"{path}.{name}")


def test_the_schema_knows_every_value_and_no_other() -> None:
    assert list(unexplained(helm.default_values(), SCHEMA)) == []


def test_the_readme_is_fresh_and_every_value_is_explained() -> None:
    made = generator().render()
    assert (helm.CHART / "README.md").read_text(encoding="utf-8") == made


def test_a_value_without_a_comment_is_found() -> None:
    with pytest.raises(ValueError, match=r"a\.c has no comment"):
        generator().values("a:\n  # what for\n  b: 1\n  c: 2\n")


@pytest.mark.parametrize("ci", helm.CI)
def test_lint_finds_nothing(ci: str) -> None:
    assert helm.lint(helm.ci_values(ci)) == []


def test_lint_would_find_something() -> None:
    assert helm.lint({"mode": "some"}) != []


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"gatewayy": {}}, "additional properties 'gatewayy' not allowed"),
        ({"gateway": {"replica": 3}}, "additional properties 'replica' not allowed"),
        ({"gateway": {"replicas": "two"}}, "at '/gateway/replicas': got string, want integer"),
        ({"mode": "some"}, "at '/mode': value must be one of 'split', 'all'"),
        ({"settings": {"sender": {"default_region": "KZ"}}}, "at '/settings"),
        ({"image": {"digest": "sha256:1"}}, "at '/image/digest'"),
        ({"sender": {"resources": {"limits": {"gpu": 1}}}}, "additional properties 'gpu' not allowed"),
        ({"externalStore": {"url": "http://x"}}, "at '/externalStore/url'"),
        ({"valkey": {"maxmemory": "0mb"}}, "at '/valkey/maxmemory'"),
        ({"valkey": {"enabled": False}}, "there is no store: set valkey.enabled"),
        ({"externalStore": {"url": "redis://x:6379/0"}}, "valkey.enabled and externalStore.url exclude"),
        (
            {"valkey": {"enabled": False}, "externalStore": {"url": "redis://:hush@x:6379/0"}},
            "externalStore.url holds a password",
        ),
        ({"settings": {"store.password": "hush"}}, "settings hold store.password"),
        ({"networkPolicy": {"apiServerPorts": []}}, "at '/networkPolicy/apiServerPorts'"),
        ({"networkPolicy": {"dnsPorts": [0]}}, "at '/networkPolicy/dnsPorts/0'"),
        ({"ingress": {"enabled": True}}, "ingress.hosts is empty"),
        (
            {"sender": {"autoscaling": {"enabled": True}, "keda": {"enabled": True}}},
            "sender.autoscaling and sender.keda exclude each other",
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_wrong_value_is_refused_with_a_sentence(values: dict[str, Any], sentence: str) -> None:
    assert sentence in helm.refusal(values)


def test_right_values_are_not_refused() -> None:
    assert [ci for ci in helm.CI if helm.refusal(helm.ci_values(ci))] == []
