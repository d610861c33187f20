"""The resource's definition and the typed spec, field by field; and what the API server makes of it stands in
test_resource_on_a_server.
"""

from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import pydantic
import pytest
import yaml
from pydantic.fields import FieldInfo

from smsbridge.provisioning import conditions, explain, values
from smsbridge.provisioning import spec as specs
from smsbridge.provisioning.spec import SmscProviderSpec
from smsbridge_operator import crd, crd_rules

FILE = Path(__file__).parents[2] / "charts/smsbridge/files/crd-smscproviders.yaml"
DEFINITION = yaml.safe_load(FILE.read_text(encoding="utf-8"))
VERSION = DEFINITION["spec"]["versions"][0]
SCHEMA = VERSION["schema"]["openAPIV3Schema"]["properties"]


def nodes(schema: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every field below a section of the definition."""
    for name, node in schema.get("properties", {}).items():
        yield f"{path}.{name}", node
        yield from nodes(node, f"{path}.{name}")
        yield from nodes(node.get("items", {}), f"{path}.{name}[]")


def fields(model: type[pydantic.BaseModel], path: str) -> Iterator[tuple[str, FieldInfo]]:
    """Every field of the typed spec, under the name that a manifest has for it."""
    for name, field in model.model_fields.items():
        at = f"{path}.{field.alias or name}"
        yield at, field
        if (inner := explain.model_in(field.annotation)) is not None:
            many = "list" in str(field.annotation)
            yield from fields(inner, f"{at}[]" if many else at)


NODES = dict(nodes(SCHEMA["spec"], "spec"))
FIELDS = dict(fields(SmscProviderSpec, "spec"))


def test_the_file_is_fresh() -> None:
    assert FILE.read_text(encoding="utf-8") == crd.render()


def test_both_know_the_same_fields() -> None:
    assert sorted(NODES) == sorted(FIELDS)
    assert len(FIELDS) > 50


@pytest.mark.parametrize("path", FIELDS)
def test_a_field_is_described_alike(path: str) -> None:
    assert NODES[path]["description"] == FIELDS[path].description


@pytest.mark.parametrize("path", FIELDS)
def test_a_field_is_required_in_both_or_in_none(path: str) -> None:
    parent, _, name = path.rpartition(".")
    section = SCHEMA["spec"] if parent == "spec" else NODES.get(parent) or NODES[parent[:-2]]["items"]

    assert (name in section.get("required", [])) is FIELDS[path].is_required()


def written(value: Any) -> Any:
    """A default as a manifest would have it; None where it says no more than an absent field."""
    if isinstance(value, pydantic.BaseModel):
        by_name = {
            field.alias or name: getattr(value, name) for name, field in type(value).model_fields.items()
        }
        return {name: made for name, item in by_name.items() if (made := written(item)) is not None}
    if isinstance(value, list):
        return [written(item) for item in value] or None
    if isinstance(value, Enum):
        return value.value
    if value is None or value == "" or isinstance(value, (bool, int)):
        return None if value in (None, "") and not isinstance(value, bool) else value
    return values.format_duration(value) if hasattr(value, "total_seconds") else str(value)


@pytest.mark.parametrize("path", [path for path, field in FIELDS.items() if not field.is_required()])
def test_a_default_is_the_same(path: str) -> None:
    default = FIELDS[path].get_default(call_default_factory=True, validated_data={})

    assert NODES[path].get("default") == written(default)


@pytest.mark.parametrize("path", FIELDS)
def test_words_and_bounds_are_the_same(path: str) -> None:
    annotation, node = FIELDS[path].annotation, NODES[path]
    inner = node.get("items", {}) if node.get("type") == "array" else node
    assert inner.get("enum", []) == explain.choices(annotation)
    bounds = {type(item).__name__: item for item in FIELDS[path].metadata}
    assert node.get("minimum") == getattr(bounds.get("Ge"), "ge", None)
    assert node.get("maximum") == getattr(bounds.get("Le"), "le", None)
    if longest := bounds.get("MaxLen"):
        key = "maxItems" if node["type"] == "array" else "maxLength"
        assert node[key] == longest.max_length


def test_every_rule_has_its_place_and_a_sentence() -> None:
    placed = {path for path, node in NODES.items() if "x-kubernetes-validations" in node}
    placed |= {
        f"{path}[].{name}"
        for path, node in NODES.items()
        for name, inner in node.get("items", {}).get("properties", {}).items()
        if "x-kubernetes-validations" in inner
    }
    assert placed | {"spec"} == crd_rules.places()
    rules = [
        rule
        for node in [SCHEMA["spec"], *NODES.values()]
        for rule in node.get("x-kubernetes-validations", ())
    ]
    assert len(rules) > 15
    assert [rule for rule in rules if len(rule["message"].split()) < 4] == []


def test_the_columns_answer_whether_it_is_well() -> None:
    columns = VERSION["additionalPrinterColumns"]
    assert [c["name"] for c in columns if not c.get("priority")] == [
        "Code", "Portal", "Channel", "Ready", "Balance", "Queued", "Age",
    ]  # fmt: skip
    assert [c["name"] for c in columns if c.get("priority") == 1] == ["Reason", "URL"]
    assert VERSION["subresources"] == {"status": {}}
    names = DEFINITION["spec"]["names"]
    assert (names["kind"], names["shortNames"], names["categories"]) == (specs.KIND, ["smscp"], ["smsbridge"])


def test_the_status_knows_every_condition_and_reason() -> None:
    found = SCHEMA["status"]["properties"]["conditions"]["items"]["properties"]
    assert found["type"]["enum"] == [kind.value for kind in conditions.Type]
    assert found["reason"]["enum"] == [reason.value for reason in conditions.Reason]
