"""Settings as pages of documentation, made from their own descriptions."""

from collections.abc import Iterable

import pydantic

from smsbridge.runtime import settings as runtime_settings

_SECTION = """
## `{name}`

{purpose}

| setting | type | default | what it is for |
|---|---|---|---|
"""

_TYPES = {
    "str": "text",
    "int": "whole number",
    "float": "number",
    "Decimal": "decimal number",
    "bool": "true or false",
    "Path": "path",
    "SecretStr": "secret",
    "Level": "`debug`, `info`, `warning` or `error`",
    "tuple[float, ...]": "list of numbers",
}


def section(name: str, model: type[pydantic.BaseModel], *, purpose: str) -> str:
    """One section with its settings, as Markdown."""
    head = _SECTION.format(name=name, purpose=purpose)
    return head + _rows(runtime_settings.describe(model, prefix=f"{name}."))


def row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |\n"


def _rows(found: Iterable[runtime_settings.SettingDoc]) -> str:
    return "".join(
        row(f"`{doc.path}`", _type(doc.type), _default(doc.default), doc.description) for doc in found
    )


def _type(written: str) -> str:
    return "list of texts" if written.startswith("list[") else _TYPES[written]


def _default(written: str) -> str:
    if written.startswith("(") and written.endswith(")"):  # a tuple; in YAML it is a list
        written = f"[{written[1:-1]}]"
    return f"`{written}`" if written else ""
