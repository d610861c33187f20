"""What Grafana would not read in a dashboard, by the types of its own library.

The library drops what it does not know, but takes any value for what it knows: both are looked for here.
"""

import enum
import json
import types
import typing
from collections.abc import Iterator
from typing import Any

from grafana_foundation_sdk.cog import plugins, runtime
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard

_MODELS = dashboard.__package__


def faults(page: dict[str, Any]) -> list[str]:
    """Where it is wrong, and how; none where Grafana would read all of it."""
    plugins.register_default_plugins()
    try:
        read = dashboard.Dashboard.from_json(page)
    except (AttributeError, KeyError, TypeError) as error:
        return [f"cannot be read: {error}"]
    found = list(_inside(read, "page"))
    if not found and json.loads(json.dumps(read, cls=JSONEncoder)) != page:
        found.append("page: holds what the library does not know")
    return found


def _inside(thing: Any, path: str) -> Iterator[str]:
    """Of an object of the library: each field against its annotation."""
    if isinstance(thing, dashboard.Panel) and runtime.panelcfg_config(thing.type_val) is None:
        yield f"{path}: no panel is a {thing.type_val!r}"
    for name, hint in typing.get_type_hints(type(thing)).items():
        yield from _against(hint, getattr(thing, name), f"{path}.{name}")


def _against(hint: Any, value: Any, path: str) -> Iterator[str]:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        wanted = [one for one in inner if value is None or one is not type(None)]
        tried = [list(_against(one, value, path)) for one in wanted]
        if all(tried):
            yield from max(tried, key=lambda found: found[0].partition(":")[0])  # the one that came furthest
    elif origin is list and isinstance(value, list):
        for place, item in enumerate(value):
            yield from _against(inner[0], item, f"{path}[{place}]")
    elif origin is dict and isinstance(value, dict):
        for key, item in value.items():
            yield from _against(inner[1], item, f"{path}.{key}")
    elif type(value).__module__.startswith(f"{_MODELS}.") and isinstance(value, origin or hint):
        yield from _inside(value, path)
    elif not _fits(hint, value):
        yield f"{path}: {value!r} is not of {hint}"


def _fits(hint: Any, value: Any) -> bool:
    """Of a value that has no fields. A truth is no number, whatever Python says."""
    if typing.get_origin(hint) is typing.Literal:
        return value in typing.get_args(hint)
    if not isinstance(hint, type):
        return False
    if issubclass(hint, enum.Enum):
        return type(value) is not bool and value in [one.value for one in hint]
    if hint is float:
        return type(value) in (int, float)
    if hint in (bool, int, str, type(None)):
        return type(value) is hint
    return hint is object
