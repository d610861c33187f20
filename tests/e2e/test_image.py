"""The image, built from the Dockerfile, and run as a strict cluster would: read-only, as a foreign uid."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import images
from tests.operator import binaries

pytestmark = pytest.mark.slow

TAG = "docker.io/local/smsbridge:test"
FOREIGN = 12345
MOST_ABOVE_BASE = 250 * 1024 * 1024


@pytest.fixture(scope="module")
def engine() -> images.Engine:
    try:
        found = images.engine()
        found.build(TAG)
    except images.UnavailableError as reason:
        if binaries.required() and images.present():
            pytest.fail(f"no image, and SMSBRIDGE_REQUIRE_CLUSTER is 1: {reason}", pytrace=False)
        pytest.skip(f"no image: {reason}")
    return found


@pytest.fixture(scope="module")
def inside(engine: images.Engine) -> dict[str, Any]:
    script = Path(__file__).with_name("inside.py").read_text(encoding="utf-8")
    try:
        done = engine.run(TAG, "python", "-c", script, user=FOREIGN)
    except images.UnavailableError as reason:
        pytest.skip(f"the image is built, but not run: {reason}")
    assert done.returncode == 0, done.stderr[-2000:]
    return dict(json.loads(done.stdout))


def test_it_is_small_and_runs_as_nobody_of_importance(engine: images.Engine) -> None:
    base, image = engine.facts(images.base()), engine.facts(TAG)

    assert image.user == "10001:10001"
    assert image.entrypoint == ("smsbridge",)
    assert image.size_bytes - base.size_bytes < MOST_ABOVE_BASE


def test_nothing_inside_needs_root_or_writes(inside: dict[str, Any]) -> None:
    assert inside == {
        "uid": FOREIGN,
        "compilers": [],
        "installers": [],
        "privileged": [],
        "foreign_owners": [],
        "uncompiled": [],
        "writable": [],
        "valkey": "answered",
        "operator": True,
    }


@pytest.mark.parametrize(
    "command",
    [("smsbridge", "--help"), ("smsbridge-operator", "--help"), ("smsbridge", "config", "show")],
    ids=" ".join,
)
def test_the_commands_are_there(
    engine: images.Engine, inside: dict[str, Any], command: tuple[str, ...]
) -> None:
    done = engine.run(TAG, *command, user=FOREIGN)

    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-1000:]
    assert "Traceback" not in done.stderr
