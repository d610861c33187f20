"""Forms with PHP's brackets, as Bitrix24 posts them, and JSON bodies brought to the same shape.

Runs for every message at the door, so it is written for speed. It must raise nothing but `FormInvalid`:
broken percent signs stay as they are, broken UTF-8 becomes U+FFFD, and so does NUL, which stores and SMS do
not take. Every scalar comes out as a string, every list as a map with the keys "0", "1" and so on: that is
how PHP sees them.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias
from urllib import parse as urlparse

from smsbridge.bitrix24 import errors

Value: TypeAlias = str | dict[str, "Value"]
Fields: TypeAlias = dict[str, Value]
Param: TypeAlias = str | int | float | bool | Mapping[str, "Param"] | Sequence["Param"] | None


@dataclass(frozen=True, slots=True)
class Limits:
    """What a posted body may hold. The documented posts have about 30 keys, 40 bytes long, 3 levels deep."""

    max_bytes: int = 1_048_576  # above it the door answers 413
    max_keys: int = 1000  # PHP's own default (max_input_vars)
    max_depth: int = 8  # `a[b][c]` is 3 levels deep
    max_key_bytes: int = 256  # as on the wire, percent signs included


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Form:
    """`truncated`: something lay beyond the limits and was left out."""

    fields: Fields
    truncated: bool


def parse(body: bytes, limits: Limits = DEFAULT_LIMITS) -> Fields:
    """Raises FormInvalid where the body goes beyond any limit."""
    return _parse(body, limits, strict=True, wanted=()).fields


def parse_what_fits(
    body: bytes,
    limits: Limits = DEFAULT_LIMITS,
    *,
    wanted: Iterable[str] = (),
    unread: frozenset[tuple[str, ...]] = frozenset(),
) -> Form:
    """Only too many bytes raise. Keys beyond the other limits are left out; the plain (bracketless) names in
    `wanted` are found nevertheless, wherever they stand, so that a message with a readable id is never
    refused. Fields in `unread`, by their path (`auth[user_id]` is ("auth", "user_id")), are passed over:
    decoding what nobody looks at is most of the work.
    """
    return _parse(body, limits, strict=False, wanted=wanted, unread=unread)


def parse_json(body: bytes, limits: Limits = DEFAULT_LIMITS) -> Fields:
    """As `parse`, from a JSON object."""
    return _parse_json(body, limits, strict=True, wanted=()).fields


def parse_json_what_fits(body: bytes, limits: Limits = DEFAULT_LIMITS, *, wanted: Iterable[str] = ()) -> Form:
    """As `parse_what_fits`; what is no JSON object at all raises FormInvalid."""
    return _parse_json(body, limits, strict=False, wanted=wanted)


def build_query(params: Mapping[str, Param]) -> str:
    """PHP's http_build_query: nested names in brackets, everything percent-encoded once, None left out,
    booleans 1 and 0.
    """
    return "&".join(f"{name}={_quote(value)}" for name, value in _flat(params, ""))


def _check_size(body: bytes, limits: Limits) -> None:
    if len(body) > limits.max_bytes:
        raise errors.FormTooLarge(f"the body is over {limits.max_bytes} bytes; send less in one request")


def _parse(
    body: bytes,
    limits: Limits,
    *,
    strict: bool,
    wanted: Iterable[str],
    unread: frozenset[tuple[str, ...]] = frozenset(),
) -> Form:
    _check_size(body, limits)
    pairs = body.split(b"&", limits.max_keys)
    rest = pairs.pop() if len(pairs) > limits.max_keys else b""
    if rest and strict:
        raise _beyond(f"more than {limits.max_keys} fields; send fewer")
    fields: Fields = {}
    truncated = rest != b""
    for pair in pairs:
        raw_name, _, raw_value = pair.partition(b"=")
        if not raw_name:
            continue
        path = _path(raw_name) if len(raw_name) <= limits.max_key_bytes else ()
        if not path or len(path) > limits.max_depth:
            if strict:
                raise _too_big_a_name(limits)
            truncated = True
            continue
        if path in unread:
            continue
        if len(path) == 1:
            fields[path[0]] = _decode(raw_value)
        else:
            _put(fields, path, _decode(raw_value))
    if rest:
        _pick(rest, fields, wanted)
    return Form(fields, truncated)


def _decode(raw: bytes) -> str:
    if raw.isalnum():  # most values: ids, tokens, numbers
        return raw.decode("ascii")
    if b"+" in raw:
        raw = raw.replace(b"+", b" ")
    if b"%" in raw:
        try:
            # The interpreter's own \xNN decoder, a third of the time of a loop over the percent signs.
            escaped = raw.replace(b"\\", b"\\x5c").replace(b"%", b"\\x")
            raw = escaped.decode("unicode_escape").encode("latin-1")
        except UnicodeDecodeError:  # a percent sign without two hex digits: it means itself
            raw = urlparse.unquote_to_bytes(raw)
    text = raw.decode("utf-8", "replace")
    return text.replace("\0", "\ufffd") if "\0" in text else text


@lru_cache(maxsize=1024)  # the same 30 names come with every message
def _path(raw_name: bytes) -> tuple[str, ...]:
    """`auth[user_id]` is ("auth", "user_id"); an empty name in brackets means the next number."""
    name = _decode(raw_name)
    start = name.find("[")
    if start <= 0:
        return (name,)
    parts = [name[:start]]
    while name.startswith("[", start):
        end = name.find("]", start)
        if end < 0:
            break
        parts.append(name[start + 1 : end])
        start = end + 1
    return tuple(parts) if len(parts) > 1 else (name,)


def _put(fields: Fields, path: tuple[str, ...], value: str) -> None:
    """Like PHP, a later field replaces an earlier one that is in its way."""
    node = fields
    for part in path[:-1]:
        name = part or _next_number(node)
        child = node.get(name)
        if not isinstance(child, dict):
            child = node[name] = {}
        node = child
    node[path[-1] or _next_number(node)] = value


def _next_number(node: Fields) -> str:
    number = len(node)
    while str(number) in node:
        number += 1
    return str(number)


def _pick(rest: bytes, fields: Fields, wanted: Iterable[str]) -> None:
    """Finds plain names in what was not split, without splitting it."""
    rest = b"&" + rest
    for name in wanted:
        label = b"&" + name.encode() + b"="
        at = rest.rfind(label)  # the last one counts, as everywhere
        if at >= 0:
            start = at + len(label)
            end = rest.find(b"&", start)
            fields[name] = _decode(rest[start : end if end >= 0 else None])


def _parse_json(body: bytes, limits: Limits, *, strict: bool, wanted: Iterable[str]) -> Form:
    _check_size(body, limits)
    text = body.decode("utf-8-sig", "replace")
    try:
        # Numbers stay the text they were: no rounding, and no limit on digits to trip over.
        document = json.loads(text, parse_int=str, parse_float=str, parse_constant=str, strict=False)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise errors.FormInvalid("the body is not a JSON object; send one, in UTF-8")
    pruning = _Pruning(limits, strict=strict)
    fields = pruning.map(document, depth=1)
    for name in wanted:
        value = document.get(name)
        if value is not None and not isinstance(value, (dict, list)):
            fields[name] = _scalar_text(value)
    return Form(fields, pruning.truncated)


class _Pruning:
    """Brings a JSON document to a form's shape within limits; a level's scalars before what is nested."""

    def __init__(self, limits: Limits, *, strict: bool) -> None:
        self._limits = limits
        self._strict = strict
        self._keys_left = limits.max_keys
        self.truncated = False

    def map(self, document: Mapping[str, object], *, depth: int) -> Fields:
        fields: Fields = {}
        nested: list[tuple[str, Mapping[str, object]]] = []
        for raw_name, value in document.items():
            name = _clean(raw_name)
            if isinstance(value, dict):
                nested.append((name, value))
            elif isinstance(value, list):
                nested.append((name, {str(number): item for number, item in enumerate(value)}))
            elif value is not None and self._takes(name):
                fields[name] = _scalar_text(value)
        for name, inner in nested:
            if depth >= self._limits.max_depth:
                self._leave_out(_too_big_a_name(self._limits))
            elif self._takes(name):
                fields[name] = self.map(inner, depth=depth + 1)
        return fields

    def _takes(self, name: str) -> bool:
        if len(name.encode()) > self._limits.max_key_bytes:
            self._leave_out(_too_big_a_name(self._limits))
            return False
        if self._keys_left <= 0:
            self._leave_out(_beyond(f"more than {self._limits.max_keys} fields; send fewer"))
            return False
        self._keys_left -= 1
        return True

    def _leave_out(self, error: errors.FormInvalid) -> None:
        if self._strict:
            raise error
        self.truncated = True


def _scalar_text(value: object) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    return _clean(str(value))


def _clean(text: str) -> str:
    """JSON can spell NUL and half a surrogate pair; neither survives UTF-8 on the way to the store."""
    if not text.isascii():
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text.replace("\0", "\ufffd")


def _beyond(sentence: str) -> errors.FormInvalid:
    return errors.FormInvalid(f"the body has {sentence}")


def _too_big_a_name(limits: Limits) -> errors.FormInvalid:
    return _beyond(
        f"a field name over {limits.max_key_bytes} bytes or {limits.max_depth} levels; use shorter ones"
    )


def _flat(params: Mapping[str, Param], prefix: str) -> Iterator[tuple[str, str]]:
    for key, value in params.items():
        name = f"{prefix}%5B{_quote(key)}%5D" if prefix else _quote(key)
        yield from _flat_value(name, value)


def _flat_value(name: str, value: Param) -> Iterator[tuple[str, str]]:
    if value is None:
        return
    if isinstance(value, bool):
        yield name, "1" if value else "0"
    elif isinstance(value, Mapping):
        yield from _flat(value, name)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        yield from _flat({str(number): item for number, item in enumerate(value)}, name)
    else:
        yield name, str(value)


def _quote(text: str) -> str:
    return urlparse.quote(text, safe="", errors="replace")
