"""pydantic's errors as sentences that name the field and the mending. The offending value is never quoted."""

import difflib
import types
import typing
from collections.abc import Sequence
from enum import Enum

import pydantic

from smsbridge.core import errors

_TYPES = {
    "string_type": "must be a text; put it in quotes",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "list_type": "must be a list",
    "dict_type": "must be a map",
    "model_type": "must be a map of fields",
}


def explain(
    model: type[pydantic.BaseModel], error: pydantic.ValidationError, *, at: str
) -> list[errors.InputError]:
    """One error for each field; `at` is the path of the model itself."""
    found: dict[str, errors.InputError] = {}
    for item in error.errors(include_url=False, include_input=False):
        path = _path(item["loc"])
        field = ".".join([at, *path])
        found.setdefault(field, errors.InputError(_sentence(model, item, path), field=field))
    return list(found.values())


def nearest(name: str, known: Sequence[str]) -> str:
    """`; did you mean X?`, or the known names where none is near."""
    lowered = {other.lower(): other for other in known}
    close = difflib.get_close_matches(name.lower(), list(lowered), n=1, cutoff=0.6)
    if close:
        return f"; did you mean {lowered[close[0]]}?"
    return f"; known here are {', '.join(known)}"


def field_at(model: type[pydantic.BaseModel], path: Sequence[str]) -> type[pydantic.BaseModel] | None:
    """The model whose field the last part of `path` would be."""
    for part in path[:-1]:
        if part.isdigit():
            continue
        field = next((f for n, f in model.model_fields.items() if part in (f.alias, n)), None)
        inner = None if field is None else model_in(field.annotation)
        if inner is None:
            return None
        model = inner
    return model


def model_in(annotation: object) -> type[pydantic.BaseModel] | None:
    """The model in `M`, `M | None`, `list[M]`."""
    if isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel):
        return annotation
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is not None:
        return next((m for arg in typing.get_args(annotation) if (m := model_in(arg))), None)
    return None


def aliases(model: type[pydantic.BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def choices(annotation: object) -> list[str]:
    """The words of an enum in an annotation."""
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return [str(item.value) for item in annotation]
    return next((found for arg in typing.get_args(annotation) if (found := choices(arg))), [])


def _path(location: tuple[int | str, ...]) -> list[str]:
    return [str(part) for part in location]


def _sentence(model: type[pydantic.BaseModel], item: typing.Any, path: list[str]) -> str:
    kind, context = item["type"], item.get("ctx", {})
    owner = field_at(model, path)
    match kind:
        case "extra_forbidden":
            sentence = "is not known" + (nearest(path[-1], aliases(owner)) if owner else "")
        case "missing":
            sentence = f"is required: {_described(owner, path[-1])}"
        case "value_error":
            sentence = str(context["error"])
        case "enum":
            sentence = f"must be one of {context['expected'].replace(' or ', ', ')}"
        case "greater_than_equal":
            sentence = f"must be at least {context['ge']}"
        case "less_than_equal":
            sentence = f"must be at most {context['le']}"
        case "string_too_short":
            sentence = "must not be empty"
        case "string_too_long" | "too_long":
            sentence = f"is too long; {context['max_length']} are allowed"
        case "string_pattern_mismatch":
            sentence = f"has characters or a length that are not allowed: {_described(owner, path[-1])}"
        case _:
            sentence = _TYPES.get(kind, f"cannot be used ({kind})")
    return sentence


def _described(owner: type[pydantic.BaseModel] | None, name: str) -> str:
    if owner is None:
        return "see docs/resource.md"
    field = next((f for n, f in owner.model_fields.items() if name in (f.alias, n)), None)
    return (field.description if field else None) or "see docs/resource.md"
