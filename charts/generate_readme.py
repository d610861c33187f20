"""Prints the chart's README: its values, with the comments that stand above them in values.yaml.

    python charts/generate_readme.py > charts/smsbridge/README.md

A value without a comment belongs to the commented one above it (requests and limits to `resources`); one that
belongs to none is an error, since then nobody would know what it is for.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).parent / "smsbridge"
_KEY = re.compile(r"^( *)([A-Za-z][\w-]*):")
_COMMENT = re.compile(r"^ *# (.*)$")

_HEAD = """\
# smsbridge

{description}

How to install, upgrade, size and remove it stands in [docs/kubernetes.md](../../docs/kubernetes.md).
It needs Kubernetes {kubernetes} or newer.
Ingress controller, cert-manager, Prometheus Operator and KEDA are used where they are asked for.

```sh
helm install smsbridge charts/smsbridge --namespace crm --create-namespace --values values.yaml
```

## Values

This page is made from the comments of [values.yaml](values.yaml) by `charts/generate_readme.py`.
A value that does not exist is refused.

| value | default | what it is for |
|---|---|---|
"""


@dataclass(frozen=True, slots=True)
class Value:
    """`default` is empty for a section, whose own values follow."""

    path: str
    default: str
    comment: str


def render() -> str:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    head = _HEAD.format(
        description=chart["description"], kubernetes=chart["kubeVersion"].lstrip(">=").removesuffix(".0-0")
    )
    return head + "".join(
        f"| `{value.path}` | {f'`{value.default}`' if value.default else ''} | {value.comment} |\n"
        for value in values((CHART / "values.yaml").read_text(encoding="utf-8"))
    )


def values(text: str) -> list[Value]:
    """Every commented value in the order of the file. Raises ValueError for one that nothing explains."""
    comments = _comments(text)
    found = []
    for path, value in _walk(yaml.safe_load(text)):
        inner = any(other.startswith(f"{path}.") for other in comments)
        if path in comments:
            found.append(Value(path, "" if inner else json.dumps(value), comments[path]))
        elif not inner and not any(path.startswith(f"{other}.") for other in comments):
            raise ValueError(f"{path} has no comment in values.yaml")
    return found


def _walk(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        path = f"{prefix}{name}"
        yield path, value
        if isinstance(value, Mapping):
            yield from _walk(value, f"{path}.")


def _comments(text: str) -> dict[str, str]:
    """By dotted path; the file's head, which an empty line ends, belongs to nothing."""
    found: dict[str, str] = {}
    place: list[tuple[int, str]] = []
    above: list[str] = []
    for line in text.splitlines():
        if comment := _COMMENT.match(line):
            above.append(comment[1])
            continue
        if key := _KEY.match(line):
            indent = len(key[1])
            place = [*(item for item in place if item[0] < indent), (indent, key[2])]
            if above:
                found[".".join(name for _, name in place)] = " ".join(above)
        above = []
    return found


if __name__ == "__main__":
    print(render(), end="")
