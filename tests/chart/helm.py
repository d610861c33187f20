"""The chart as Helm's own engine renders it, for tests: objects to look at, and the sentences of refusals.

The engine is a wheel, so that these tests need neither a cluster nor the `helm` command.
"""

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import helm_python
import yaml

CHART = Path(__file__).parents[2] / "charts" / "smsbridge"
RELEASE = "smsbridge"
NAMESPACE = "crm"
CI = tuple(sorted(path.name for path in (CHART / "ci").glob("*.yaml")))

Object = dict[str, Any]
Values = Mapping[str, Any]


def ci_values(name: str) -> dict[str, Any]:
    """The values of one file in ci/."""
    return dict(yaml.safe_load((CHART / "ci" / name).read_text(encoding="utf-8")))


def default_values() -> dict[str, Any]:
    return dict(yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8")))


def render(
    values: Values | None = None, *, release: str = RELEASE, namespace: str = NAMESPACE
) -> list[Object]:
    """Every object of the release with its hooks. `lookup` finds nothing, as before an installation."""
    texts = render_texts(values, release=release, namespace=namespace)
    return [
        found
        for path, text in texts.items()
        if path.endswith(".yaml")
        for found in yaml.safe_load_all(text)
        if found
    ]


def render_texts(
    values: Values | None = None, *, release: str = RELEASE, namespace: str = NAMESPACE
) -> dict[str, str]:
    """What each template became, by its path. Raises helm_python.HelmError."""
    with helm_python.Chart.load(CHART) as chart:
        return chart.render(dict(values or {}), name=release, namespace=namespace)


@cache
def render_ci(name: str) -> tuple[Object, ...]:
    """A file of ci/, rendered once for all tests; they only read."""
    return tuple(render(ci_values(name)))


def refusal(values: Values) -> str:
    """Why Helm does not render these values; empty where it does."""
    try:
        render_texts(values)
    except helm_python.HelmError as error:
        return str(error)
    return ""


def lint(values: Values) -> list[str]:
    """What `helm lint --strict` calls a warning or an error; what is only information is left out."""
    report = helm_python.lint(CHART, dict(values), strict=True, namespace=NAMESPACE)
    said = [f"{one['path']}: {one['error']}" for one in report["messages"] if one["severity"] > 1]
    return said + list(report["errors"])


def of_kind(objects: tuple[Object, ...] | list[Object], *kinds: str) -> list[Object]:
    return [one for one in objects if one["kind"] in kinds]


def named(objects: tuple[Object, ...] | list[Object], kind: str, name: str) -> Object:
    (found,) = (one for one in of_kind(objects, kind) if one["metadata"]["name"] == name)
    return found


def label(one: Object) -> str:
    return f"{one['kind']}/{one['metadata']['name']}"


def annotation(one: Object, name: str) -> str:
    return str((one["metadata"].get("annotations") or {}).get(name, ""))


def pods(objects: tuple[Object, ...] | list[Object]) -> Iterator[tuple[str, Object]]:
    """Every pod that the objects make, as (whose it is, metadata and spec)."""
    for one in objects:
        if one["kind"] == "Pod":
            yield label(one), {"metadata": one["metadata"], "spec": one["spec"]}
        elif one["kind"] in ("Deployment", "StatefulSet", "Job"):
            yield label(one), one["spec"]["template"]


def containers(objects: tuple[Object, ...] | list[Object]) -> Iterator[tuple[str, Object]]:
    """Every container, init containers too, as (whose it is and its name, the container)."""
    for owner, pod in pods(objects):
        for one in [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]:
            yield f"{owner}/{one['name']}", one


def environ(container: Object) -> dict[str, str]:
    """The environment of a container; what comes from a Secret stands as `from Secret`."""
    names = [one["name"] for one in container.get("env", [])]
    assert len(names) == len(set(names)), f"{container['name']} has a variable twice"
    return {one["name"]: one.get("value", "from Secret") for one in container.get("env", [])}


def selects(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    return bool(selector) and selector.items() <= labels.items()
