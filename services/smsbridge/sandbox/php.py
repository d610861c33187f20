"""PHP's ways that show on Bitrix24's wire: bracketed forms, `[]` for empty maps, lists for 0..n keys, (bool).

Written apart from the product's own parser on purpose: a stand-in that shared it would share its mistakes.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote_plus, unquote_plus

_BRACKETS = re.compile(r"\[([^\]]*)\]")
_INTEGER = re.compile(r"0|-?[1-9][0-9]*\Z")


def encode(value: str) -> str:
    """urlencode(): a space is `+`, and `~` is escaped, unlike in Python's."""
    return quote_plus(value).replace("~", "%7E")


def build_query(pairs: Iterable[tuple[str, str]]) -> str:
    """`auth[user_id]` becomes `auth%5Buser_id%5D`."""
    return "&".join(f"{encode(name)}={encode(value)}" for name, value in pairs)


def parse_query(query: str) -> dict[str, Any]:
    """parse_str(): nested by brackets; a later name replaces an earlier one."""
    result: dict[str, Any] = {}
    for piece in query.split("&"):
        if not piece:
            continue
        name, _, value = piece.partition("=")
        _put(result, _path(unquote_plus(name)), unquote_plus(value))
    return result


def _path(name: str) -> list[str]:
    head, bracket, _ = name.partition("[")
    if not bracket or not head:
        return [name]
    return [head, *_BRACKETS.findall(name[len(head) :])]


def _put(target: dict[str, Any], path: list[str], value: str) -> None:
    for key in path[:-1]:
        name = key or str(_next_index(target))
        child = target.get(name)
        if not isinstance(child, dict):
            child = target[name] = {}
        target = child
    target[path[-1] or str(_next_index(target))] = value


def _next_index(target: Mapping[str, Any]) -> int:
    return 1 + max((int(key) for key in target if _INTEGER.match(key)), default=-1)


def array(mapping: Mapping[str, Any]) -> Any:
    """What json_encode() makes of a PHP array: `[]` when empty, a list for keys 0..n, else an object."""
    if all(key == str(index) for index, key in enumerate(mapping)):
        return list(mapping.values())
    return dict(mapping)


def as_map(value: Any) -> dict[str, Any]:
    """A PHP array read from JSON or a form, by its keys."""
    if isinstance(value, dict):
        return {str(key): item for key, item in value.items()}
    if isinstance(value, list):
        return {str(index): item for index, item in enumerate(value)}
    return {}


def truth(value: Any) -> bool:
    """(bool): the string "false" is true, "0" and "" are not."""
    return value != "0" and bool(value)


def scalar(value: Any) -> str:
    """(string) of what JSON or a form brought; empty for what is no scalar."""
    if value is True:
        return "1"
    if value is None or value is False or isinstance(value, dict | list):
        return ""
    return str(value)


def integer(value: Any) -> int:
    """(int): the digits in front, else 0."""
    found = re.match(r"\s*-?[0-9]+", scalar(value))
    return int(found[0]) if found else 0
