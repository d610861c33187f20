"""docs/resource.md, made from the spec's own descriptions, so that the reference cannot say anything else."""

import types
import typing
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from enum import Enum

import pydantic
from pydantic.fields import FieldInfo

from smsbridge.provisioning import conditions, explain, values
from smsbridge.provisioning import spec as specs

_HEAD = """\
# SmscProvider

A provider is one registration in one Bitrix24 portal, with the SMSC account it sends by.
It is written as YAML, as a Kubernetes resource or in the file given to `smsbridge run all --providers FILE`.
In a file it stands beside the `Secret` documents it refers to; ready ones are in `examples/`.

This page is made from the code: `python -m smsbridge.provisioning.reference > docs/resource.md`.

```yaml
apiVersion: {api_version}
kind: {kind}
metadata: {{name: smsc, namespace: crm}}
spec: ...
```

`metadata.uid` may be given in a file; without it the provider keeps one of its own until it is removed.
A provider that is removed and made again is a new one.
Durations are a number with a unit: `200ms`, `5s`, `10m`, `1h`.
Roubles are written in quotes: `"4.00"`.
Unknown fields are refused.

## Secrets

| Secret | keys |
|---|---|
| `spec.portal.appSecretRef` | `clientId`, `clientSecret` |
| the same, optional | `memberId`, `refreshToken`, `applicationToken`: they install without an install event |
| `spec.smsc.accountSecretRef` | `login` and `password`, or `apiKey` |
| the same, optional | `callbackSecret`: with it SMSC signs its callbacks |

## Fields

| field | type | default | what it is for |
|---|---|---|---|
"""

_CONDITIONS = """
## Conditions

`smsbridge provider show NAMESPACE/NAME` and the resource's status carry them.
Types: {types}.
`Ready` is `True` where all others are; else it repeats the first that is not.
While something is not in order it is tried again after 5 s, then at doubling distances up to 10 min.

| reason | what it says, and what to do |
|---|---|
"""


def render() -> str:
    head = _HEAD.format(api_version=specs.API_VERSION, kind=specs.KIND)
    rows = "".join(_row(*row) for row in _fields(specs.SmscProviderSpec, "spec"))
    kinds = ", ".join(f"`{kind.value}`" for kind in conditions.Type)
    reasons = "".join(_row(f"`{reason.value}`", text) for reason, text in conditions.SENTENCES.items())
    return head + rows + _CONDITIONS.format(types=kinds) + reasons


def _fields(model: type[pydantic.BaseModel], path: str) -> Iterator[tuple[str, str, str, str]]:
    for name, field in model.model_fields.items():
        at = f"{path}.{field.alias or name}"
        inner = explain.model_in(field.annotation)
        many = typing.get_origin(field.annotation) is list
        yield (
            f"`{at}{'[]' if many and inner else ''}`",
            _type(field),
            _default(field),
            field.description or "",
        )
        if inner is not None:
            yield from _fields(inner, f"{at}[]" if many else at)


def _type(field: FieldInfo) -> str:
    annotation = field.annotation
    if typing.get_origin(annotation) is list:
        return f"list of {_name(typing.get_args(annotation)[0])}"
    return _name(annotation)


def _name(annotation: object) -> str:
    if words := explain.choices(annotation):
        return ", ".join(f"`{word}`" for word in words)
    if explain.model_in(annotation) is not None:
        return "map"
    plain = [arg for arg in typing.get_args(annotation) if arg is not types.NoneType]
    kinds = {bool: "true or false", int: "number", str: "text", timedelta: "duration", Decimal: "roubles"}
    if isinstance(annotation, type) and annotation in kinds:
        return kinds[annotation]
    if str in plain and len(plain) > 1:
        return "text or map by language"
    return _name(plain[0]) if plain else "text"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is None or value in ("", []) or isinstance(value, pydantic.BaseModel):
        return ""
    return f"`{_written(value)}`"


def _written(value: object) -> str:
    if isinstance(value, timedelta):
        return values.format_duration(value)
    if isinstance(value, list):
        return f"[{', '.join(_written(item) for item in value)}]"
    if isinstance(value, Enum):
        return str(value.value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |\n"


if __name__ == "__main__":
    print(render(), end="")
