"""docs/logs.md against the code: every event that is logged, with its levels and fields, and no other."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_LEVELS = {"debug", "info", "warning", "error", "exception"}
_NOT_THE_PRODUCT = {"sandbox", "api"}
Said = dict[str, tuple[set[str], set[str]]]


def calls() -> Iterator[ast.Call]:
    for root in ("services", "operator"):
        for path in (ROOT / root).rglob("*.py"):
            if _NOT_THE_PRODUCT.isdisjoint(path.relative_to(ROOT).parts):
                yield from (
                    node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)
                )


def logged() -> Said:
    found: Said = defaultdict(lambda: (set(), set()))
    for call in calls():
        of = call.func
        if not isinstance(of, ast.Attribute) or of.attr not in _LEVELS or not isinstance(of.value, ast.Name):
            continue
        if of.value.id not in ("log", "logger"):
            continue
        event = call.args[0]
        assert isinstance(event, ast.Constant), f"an event is a fixed word: {ast.unparse(call)}"
        levels, fields = found[event.value]
        levels.add("error" if of.attr == "exception" else of.attr)
        fields.update(word.arg for word in call.keywords if word.arg and word.arg != "exc_info")
    return dict(found)


def documented() -> Said:
    page = (ROOT / "docs" / "logs.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| ([a-z, ]+) \| (.*?) \| \S.* \|$", page, flags=re.MULTILINE)
    return {
        event: (set(levels.split(", ")), set(re.findall(r"\w+", fields))) for event, levels, fields in rows
    }


def test_the_page_says_what_is_logged() -> None:
    assert documented() == logged()


def test_no_field_could_hold_what_is_a_secret_or_a_person_s() -> None:
    fields = set().union(*(fields for _, fields in logged().values()))
    assert (
        fields & {"phone", "msisdn", "text", "token", "key", "url", "body", "recipient", "password"} == set()
    )
