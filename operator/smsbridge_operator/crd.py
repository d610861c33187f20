"""The CustomResourceDefinition of `SmscProvider`, made from the typed spec: one description of every field.

`make crd` puts it into the chart. The API server refuses with it what it can tell; what takes Python's own
regular expressions or a look at other resources, the operator tells as the condition `InvalidSpec`.
Rules over several fields are in `crd_rules`, the status is in `crd_status`.
"""

from typing import Any

import pydantic
import yaml
from pydantic.fields import FieldInfo

from smsbridge.provisioning import explain
from smsbridge.provisioning import spec as specs
from smsbridge_operator import crd_rules, crd_status

GROUP, VERSION = specs.API_VERSION.split("/")
PLURAL, SINGULAR, SHORT = "smscproviders", "smscprovider", "smscp"
NAME = f"{PLURAL}.{GROUP}"

# Words of JSON Schema that are not taken over: a CRD prunes unknown fields by itself, and needs no titles.
_DROPPED = ("title", "additionalProperties", "anyOf", "$ref", "default")


def definition() -> dict[str, Any]:
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": NAME},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": specs.KIND,
                "listKind": f"{specs.KIND}List",
                "plural": PLURAL,
                "singular": SINGULAR,
                "shortNames": [SHORT],
                "categories": ["smsbridge"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": crd_status.columns(),
                    "schema": {"openAPIV3Schema": _root()},
                }
            ],
        },
    }


def render() -> str:
    head = "# Made from the code by `make crd`; not to be edited.\n"
    return head + yaml.safe_dump(definition(), sort_keys=False, allow_unicode=True, width=110)


def _root() -> dict[str, Any]:
    spec = _section(specs.SmscProviderSpec, "spec")
    spec["description"] = "What is wanted: one registration in one portal, and the account it sends by."
    return {
        "type": "object",
        "description": "A provider: a registration in one Bitrix24 portal, and the SMSC account it sends by.",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": f"`{specs.API_VERSION}`."},
            "kind": {"type": "string", "description": f"`{specs.KIND}`."},
            "metadata": {"type": "object"},
            "spec": spec,
            "status": crd_status.schema(),
        },
    }


def _section(model: type[pydantic.BaseModel], path: str) -> dict[str, Any]:
    """One model as an object; the defaults are those that a manifest would write."""
    plain = model.model_json_schema(by_alias=True)
    written = model.model_construct().model_dump(mode="json", by_alias=True, exclude_none=True)
    properties = {
        field.alias or name: _field(field, plain, written, f"{path}.{field.alias or name}")
        for name, field in model.model_fields.items()
    }
    required = [field.alias or name for name, field in model.model_fields.items() if field.is_required()]
    made: dict[str, Any] = {"type": "object"}
    if required:
        made["required"] = required
    return {**made, "properties": properties, **crd_rules.of(path)}


def _field(field: FieldInfo, plain: dict[str, Any], written: dict[str, Any], path: str) -> dict[str, Any]:
    name = path.rpartition(".")[2]
    inner = explain.model_in(field.annotation)
    found = _resolved(plain["properties"][name], plain)
    many = found.get("type") == "array"
    described = {"description": field.description or ""}
    if inner is not None and many:
        items = _section(inner, f"{path}[]")
        return described | _kept(found) | {"items": items, **crd_rules.of(path)} | _default(written, name)
    if inner is not None:
        return described | _section(inner, path) | _default(written, name)
    made = described | _kept(found)
    if many:
        made["items"] = _kept(_resolved(found["items"], plain))
    return made | crd_rules.of(path) | _default(written, name)


def _resolved(found: dict[str, Any], plain: dict[str, Any]) -> dict[str, Any]:
    """`X | None` is X: a field that is absent needs no null. References are followed."""
    for option in found.get("anyOf", ()):
        if option.get("type") != "null":
            return _resolved(option, plain)
    if reference := found.get("$ref"):
        return dict(plain["$defs"][reference.rpartition("/")[2]])
    return found


def _kept(found: dict[str, Any]) -> dict[str, Any]:
    taken = {key: value for key, value in found.items() if key not in (*_DROPPED, "description", "items")}
    if taken.get("type") == "string" and "enum" not in taken:
        taken.setdefault("maxLength", crd_rules.LONGEST_TEXT)  # without a bound a rule's cost is infinite
    if taken.get("type") == "array":
        taken.setdefault("maxItems", crd_rules.MOST_ITEMS)
    return taken


def _default(written: dict[str, Any], name: str) -> dict[str, Any]:
    """Empty texts and lists are what an absent field means, so no default says them.

    A section's default is written out: rules look at it before the defaults inside it are filled in.
    """
    value = _without_empty(written.get(name))
    return {} if value is None else {"default": value}


def _without_empty(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: kept for key, item in value.items() if (kept := _without_empty(item)) is not None}
    return None if value in ("", []) else value


if __name__ == "__main__":
    print(render(), end="")
