"""The form parser: PHP's brackets, broken input, limits, and its inverse."""

import json
from collections.abc import Mapping
from urllib import parse as urlparse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsbridge.bitrix24 import errors, forms

PARSED = [
    (b"", {}),
    (b"a=1&b=2", {"a": "1", "b": "2"}),
    (b"a", {"a": ""}),
    (b"a=", {"a": ""}),
    (b"=1&&a=2&", {"a": "2"}),
    (b"a=1&a=2", {"a": "2"}),
    (b"a=1=2", {"a": "1=2"}),
    (b"a+b=c+d%20e%2Bf", {"a b": "c d e+f"}),
    (b"a%5Bb%5D=1", {"a": {"b": "1"}}),
    (b"a[b]=1", {"a": {"b": "1"}}),
    (b"a[b][c]=1&a[b][d]=2&a[e]=3", {"a": {"b": {"c": "1", "d": "2"}, "e": "3"}}),
    (b"a[]=x&a[]=y", {"a": {"0": "x", "1": "y"}}),
    (b"a[1]=x&a[]=y", {"a": {"1": "x", "2": "y"}}),
    (b"a[][b]=x&a[][b]=y", {"a": {"0": {"b": "x"}, "1": {"b": "y"}}}),
    (b"a=1&a[b]=2", {"a": {"b": "2"}}),
    (b"a[b]=2&a=1", {"a": "1"}),
    (b"a[b]=1&a[b][c]=2", {"a": {"b": {"c": "2"}}}),
    (b"a[b=1", {"a[b": "1"}),
    (b"a[b]c=1", {"a": {"b": "1"}}),
    (b"a[b][c=1", {"a": {"b": "1"}}),
    (b"[a]=1", {"[a]": "1"}),
    (b"a=%D0%9A%D0%BE%D0%B4", {"a": "Код"}),
    (b"a=%d0%9a", {"a": "К"}),
    ("a=Код".encode(), {"a": "Код"}),
    (b"a=%F0%9F%98%80", {"a": "😀"}),
    (b"a=100%", {"a": "100%"}),
    (b"a=%zz%4", {"a": "%zz%4"}),
    (b"a=%zz%41", {"a": "%zzA"}),
    (b"a=%", {"a": "%"}),
    (b"a=%D0", {"a": "\ufffd"}),
    (b"a=\xff\xfe", {"a": "\ufffd\ufffd"}),
    (b"a=%ED%A0%80", {"a": "\ufffd\ufffd\ufffd"}),  # half a surrogate pair
    (b"a=x%00y", {"a": "x\ufffdy"}),
    (b"a=\x00", {"a": "\ufffd"}),
    (rb"a=\x41\n%5C\%41", {"a": r"\x41\n\\A"}),
    (b"a%00=1", {"a\ufffd": "1"}),
]


@pytest.mark.parametrize(("body", "fields"), PARSED)
def test_a_form_is_parsed_as_php_does(body: bytes, fields: forms.Fields) -> None:
    assert forms.parse(body) == fields
    assert forms.parse_what_fits(body) == forms.Form(fields, truncated=False)


SMALL = forms.Limits(max_bytes=200, max_keys=3, max_depth=2, max_key_bytes=10)

BEYOND = [
    (b"a=1&b=2&c=3&d=4", {"a": "1", "b": "2", "c": "3"}),
    (b"a[b][c]=1&d=2", {"d": "2"}),
    (b"a[[[[[=1&d=2", None),  # no levels at all: one plain name
    (b"x" * 11 + b"=1&d=2", {"d": "2"}),
    (b"%D0%9A%D0%9A=1&d=2", {"d": "2"}),
]


@pytest.mark.parametrize(("body", "kept"), BEYOND)
def test_limits_refuse_or_leave_out(body: bytes, kept: forms.Fields | None) -> None:
    if kept is None:
        assert forms.parse(body, SMALL) == {"a[[[[[": "1", "d": "2"}
        return
    with pytest.raises(errors.FormInvalid) as refusal:
        forms.parse(body, SMALL)
    assert not isinstance(refusal.value, errors.FormTooLarge)
    assert forms.parse_what_fits(body, SMALL) == forms.Form(kept, truncated=True)


def test_as_many_keys_as_allowed_are_not_too_many() -> None:
    assert forms.parse(b"a=1&b=2&c=3", SMALL) == {"a": "1", "b": "2", "c": "3"}
    assert forms.parse_what_fits(b"a=1&b=2&c=3&", SMALL).truncated is False


@pytest.mark.parametrize(
    "read", [forms.parse, forms.parse_what_fits, forms.parse_json, forms.parse_json_what_fits]
)
def test_too_many_bytes_are_refused_in_every_mode(read: object) -> None:
    assert callable(read)
    with pytest.raises(errors.FormTooLarge, match="200 bytes"):
        read(b"a" * 201, SMALL)


def test_wanted_names_are_found_beyond_the_limit() -> None:
    body = b"a=0&b=0&c=0&d=0&message_id=old&xmessage_id=no&message_id=m1&code=%D0%9A+1"
    form = forms.parse_what_fits(body, SMALL, wanted=("message_id", "code", "absent"))
    assert form.truncated
    assert form.fields == {"a": "0", "b": "0", "c": "0", "message_id": "m1", "code": "К 1"}


def test_a_body_of_separators_costs_no_field() -> None:
    body = b"&" * 500_000 + b"&message_id=m1"
    assert forms.parse_what_fits(body, wanted=("message_id",)).fields == {"message_id": "m1"}


JSON = [
    (b"{}", {}),
    (
        b'{"a": "x", "b": 1, "c": 1.50, "d": true, "e": false, "f": null}',
        {"a": "x", "b": "1", "c": "1.50", "d": "1", "e": "0"},
    ),
    (b'{"a": [{"b": 2}, "c", null]}', {"a": {"0": {"b": "2"}, "1": "c"}}),
    (b'{"a": {}, "b": []}', {"a": {}, "b": {}}),
    (b'\xef\xbb\xbf{"a": 1}', {"a": "1"}),
    (b'{"a": "\xff"}', {"a": "\ufffd"}),
    (rb'{"a": "\ud83d\ude00"}', {"a": "😀"}),
    (rb'{"a": "\ud83d"}', {"a": "\ufffd"}),
    (rb'{"a": "\u0000", "\u0000": "b"}', {"a": "\ufffd", "\ufffd": "b"}),
    (b'{"a": "line\nbreak"}', {"a": "line\nbreak"}),
    (b'{"a": ' + b"9" * 5000 + b"}", {"a": "9" * 5000}),
    (b'{"a": NaN}', {"a": "NaN"}),
]


@pytest.mark.parametrize(("body", "fields"), JSON)
def test_json_takes_the_shape_of_a_form(body: bytes, fields: forms.Fields) -> None:
    assert forms.parse_json(body) == fields
    assert forms.parse_json_what_fits(body) == forms.Form(fields, truncated=False)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'"a"', b"1", b"{", b"\xff", b"[" * 100_000, b'{"a":' * 100_000]
)
def test_what_is_no_json_object_is_refused(body: bytes) -> None:
    for read in (forms.parse_json, forms.parse_json_what_fits):
        with pytest.raises(errors.FormInvalid, match="not a JSON object"):
            read(body)


@pytest.mark.parametrize(
    ("document", "kept"),
    [
        ({"a": {"b": {"c": 1}}, "d": 2}, {"a": {}, "d": "2"}),
        ({"a": {"b": 1, "c": 2, "d": 3}, "e": 4}, {"e": "4", "a": {"b": "1"}}),
        ({"x" * 11: 1, "d": 2}, {"d": "2"}),
    ],
)
def test_json_has_the_same_limits(document: Mapping[str, object], kept: forms.Fields) -> None:
    body = json.dumps(document).encode()
    with pytest.raises(errors.FormInvalid):
        forms.parse_json(body, SMALL)
    form = forms.parse_json_what_fits(body, SMALL)
    assert form.truncated
    assert form.fields == kept


def test_wanted_names_of_json_are_found_beyond_the_limit() -> None:
    body = json.dumps({"a": 1, "b": 2, "c": 3, "message_id": "m1", "ts": {"no": 1}}).encode()
    form = forms.parse_json_what_fits(body, SMALL, wanted=("message_id", "ts", "absent"))
    assert form == forms.Form({"a": "1", "b": "2", "c": "3", "message_id": "m1"}, truncated=True)


@pytest.mark.parametrize(
    ("params", "query"),
    [
        ({}, ""),
        ({"a": "1", "b": 2, "c": 1.5, "d": True, "e": False, "f": None}, "a=1&b=2&c=1.5&d=1&e=0"),
        ({"a": {"b": [1, "x"]}}, "a%5Bb%5D%5B0%5D=1&a%5Bb%5D%5B1%5D=x"),
        ({"a": "#?&+%= /"}, "a=%23%3F%26%2B%25%3D%20%2F"),
        ({"a": "Код"}, "a=%D0%9A%D0%BE%D0%B4"),
        ({"ключ[": "1"}, "%D0%BA%D0%BB%D1%8E%D1%87%5B=1"),
        ({"a": "\ud83d"}, "a=%3F"),
    ],
)
def test_build_query(params: Mapping[str, forms.Param], query: str) -> None:
    assert forms.build_query(params) == query


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="[]\0"), min_size=1, max_size=8)
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30)
TREES = st.dictionaries(
    NAMES,
    st.recursive(TEXTS, lambda inner: st.dictionaries(NAMES, inner, min_size=1, max_size=4), max_leaves=12),
    max_size=6,
)


@given(TREES)
def test_what_build_query_writes_is_read_back(tree: dict[str, forms.Value]) -> None:
    roomy = forms.Limits(max_depth=20, max_key_bytes=2000)
    assert forms.parse(forms.build_query(tree).encode(), roomy) == tree


@given(st.binary(max_size=300))
def test_percent_signs_are_read_as_the_standard_library_does(raw: bytes) -> None:
    value = raw.replace(b"&", b"")
    expected = urlparse.unquote_to_bytes(value.replace(b"+", b" ")).decode("utf-8", "replace")
    assert forms.parse(b"a=" + value) == {"a": expected.replace("\0", "\ufffd")}


def depth(value: forms.Value) -> int:
    return 1 + max((depth(inner) for inner in value.values()), default=0) if isinstance(value, dict) else 0


def count(value: forms.Value) -> int:
    return sum(1 + count(inner) for inner in value.values()) if isinstance(value, dict) else 0


@given(st.text("a[]=&%0+é\x00", max_size=200).map(str.encode) | st.binary(max_size=200))
def test_no_body_raises_or_grows_beyond_the_limits(body: bytes) -> None:
    form = forms.parse_what_fits(body, SMALL)
    assert depth(form.fields) <= SMALL.max_depth
    assert count(form.fields) <= SMALL.max_keys * SMALL.max_depth
    json.dumps(form.fields, ensure_ascii=False).encode()
    try:
        assert forms.parse(body, SMALL) == form.fields
    except errors.FormInvalid:
        assert form.truncated


@given(
    st.binary(max_size=200)
    | st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ).map(lambda document: json.dumps(document).encode())
)
def test_no_json_body_raises_anything_else(body: bytes) -> None:
    try:
        form = forms.parse_json_what_fits(body, SMALL)
    except errors.FormInvalid:
        return
    assert depth(form.fields) <= SMALL.max_depth
    assert count(form.fields) <= SMALL.max_keys
    json.dumps(form.fields, ensure_ascii=False).encode()
