"""Reads settings from a YAML file and the environment into a pydantic model, and explains them.

The environment wins over the file, the file over the defaults. A variable is `SMSBRIDGE_SECTION__FIELD`;
one without `__` is not ours (Kubernetes sets `SMSBRIDGE_SENDER_PORT` and the like by itself).
Knows no section by name: the models belong to the roles.
"""

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pydantic
import yaml
from pydantic.fields import FieldInfo

PREFIX = "SMSBRIDGE_"
_QUOTED = re.compile(r"'[^']{2,}'")  # a single sign says what was met, and gives nothing away

Model = TypeVar("Model", bound=pydantic.BaseModel)


class SettingsError(ValueError):
    """`field` is the dotted path of the setting, empty where there is none; `sentence` says what is wrong."""

    def __init__(self, sentence: str, *, field: str = "") -> None:
        super().__init__(f"{field}: {sentence}" if field else sentence)
        self.field = field
        self.sentence = sentence


@dataclass(frozen=True, slots=True)
class SettingDoc:
    """One setting as `config show` and the documentation print it."""

    path: str
    type: str
    default: str
    description: str


def load(model: type[Model], *, file: Path | None, environ: Mapping[str, str]) -> Model:
    """Raises SettingsError for the first thing wrong, with its path and the nearest known name."""
    given = _merge(_from_file(file) if file is not None else {}, _from_environ(environ))
    try:
        return model.model_validate(given)
    except pydantic.ValidationError as error:
        raise _explain(model, error) from None


def describe(model: type[pydantic.BaseModel], *, prefix: str = "") -> Iterator[SettingDoc]:
    """Every setting in the order of the model, sections flattened to dotted paths."""
    for name, field in model.model_fields.items():
        section = _section(field)
        if section is not None:
            yield from describe(section, prefix=f"{prefix}{name}.")
            continue
        yield SettingDoc(f"{prefix}{name}", _type_name(field), _default(field), field.description or "")


def variable(path: str) -> str:
    """The environment variable of a dotted path."""
    return PREFIX + path.replace(".", "__").upper()


def yaml_problem(error: Exception) -> str:
    """Where it is and what kind it is; the text around it may be a secret, and so may a name in quotes."""
    mark = getattr(error, "problem_mark", None)
    problem = _QUOTED.sub("'...'", getattr(error, "problem", None) or type(error).__name__)
    return f"{problem} (line {mark.line + 1}, column {mark.column + 1})" if mark else problem


def _from_file(file: Path) -> dict[str, Any]:
    try:
        loaded = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"cannot read {file}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file} is no YAML: {yaml_problem(error)}") from None
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        raise SettingsError(
            f"{file} must hold sections (`store:`, `sender:`, ...), not a {type(loaded).__name__}"
        )
    return loaded


def _from_environ(environ: Mapping[str, str]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name in sorted(environ):
        if not name.startswith(PREFIX) or "__" not in name:
            continue
        *sections, field = name.removeprefix(PREFIX).lower().split("__")
        place = result
        for section in sections:
            place = place.setdefault(section, {})
        place[field] = _value(name, environ[name])
    return result


def _value(name: str, text: str) -> object:
    """Lists and maps are written as in YAML; all else stays text, and the model makes of it what it needs."""
    if not text.startswith(("[", "{")):
        return text
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        raise SettingsError(f"{name} begins like a list or map but is no YAML") from None


def _merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    result = dict(below)
    for key, value in above.items():
        lower = result.get(key)
        result[key] = _merge(lower, value) if isinstance(lower, dict) and isinstance(value, dict) else value
    return result


def _explain(model: type[pydantic.BaseModel], error: pydantic.ValidationError) -> SettingsError:
    """The first error as one sentence; the offending value itself is left out, it may be a secret."""
    first = error.errors(include_url=False, include_input=False)[0]
    location = first["loc"]
    path = ".".join(str(part) for part in location)
    if first["type"] != "extra_forbidden":
        return SettingsError(first["msg"].removeprefix("Value error, "), field=path)
    known = _names_beside(model, location)
    nearest = difflib.get_close_matches(str(location[-1]), known, n=1, cutoff=0.5)
    hint = f"did you mean {nearest[0]}?" if nearest else f"known here: {', '.join(sorted(known))}"
    return SettingsError(f"no such setting; {hint}", field=path)


def _names_beside(model: type[pydantic.BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """Names that would have been right in the place of the last part of `location`."""
    for part in location[:-1]:
        field = model.model_fields.get(str(part))
        section = _section(field) if field is not None else None
        if section is None:
            return []
        model = section
    return list(model.model_fields)


def _section(field: FieldInfo) -> type[pydantic.BaseModel] | None:
    kind = field.annotation
    if isinstance(kind, type) and issubclass(kind, pydantic.BaseModel):
        return kind
    return None


def _type_name(field: FieldInfo) -> str:
    kind = field.annotation
    if isinstance(kind, type) and not hasattr(kind, "__args__"):
        return kind.__name__
    return str(kind).replace("typing.", "").replace("pathlib.", "").replace("<class '", "").replace("'>", "")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "(required)"
    value = field.get_default(call_default_factory=True, validated_data={})
    if isinstance(value, pydantic.SecretStr):
        return "(secret)" if value.get_secret_value() else ""
    return "" if value is None else str(value)
