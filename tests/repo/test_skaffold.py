"""skaffold.yaml names things of other files: they are there."""

from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def skaffold() -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / "skaffold.yaml").read_text(encoding="utf-8")))


def test_every_source_is_live(skaffold: dict[str, Any]) -> None:
    (artifact,) = skaffold["build"]["artifacts"]
    live = artifact["docker"]["buildArgs"]["LIVE_SOURCES"]
    synced = set()
    for rule in artifact["sync"]["manual"]:
        assert rule["dest"] == live
        synced |= {path.relative_to(ROOT / rule["strip"]) for path in ROOT.glob(rule["src"])}

    packages = (ROOT / "services" / "smsbridge", ROOT / "operator" / "smsbridge_operator")
    run = {
        path.relative_to(package.parent)
        for package in packages
        for path in package.rglob("*")
        if path.suffix in {".py", ".lua"}
    }
    assert synced == run
    assert "ARG LIVE_SOURCES=\n" in (ROOT / "Dockerfile").read_text(encoding="utf-8")


def test_the_release_sets_values_of_the_chart(skaffold: dict[str, Any]) -> None:
    (release,) = skaffold["deploy"]["helm"]["releases"]
    values = yaml.safe_load((ROOT / release["chartPath"] / "values.yaml").read_text(encoding="utf-8"))
    for name in (*release["setValues"], *release["setValueTemplates"]):
        found = values
        for part in name.split("."):
            found = found[part]  # KeyError: the chart has no such value


def test_the_profile_replaces_what_is_there(skaffold: dict[str, Any]) -> None:
    (profile,) = skaffold["profiles"]
    (patch,) = profile["patches"]
    found: Any = skaffold
    for part in patch["path"].strip("/").split("/"):
        found = found[int(part)] if isinstance(found, list) else found[part]
    assert (found, patch["value"]) == ("all", "split")
