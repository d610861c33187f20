"""Rules of this repository that no linter knows."""

import re
import subprocess
from pathlib import Path

import pytest

from smsbridge.core import delivery
from smsbridge.store import scripts

ROOT = Path(__file__).resolve().parents[2]
EXPECTED = (
    "pyproject.toml", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "Makefile", "Dockerfile",
    "skaffold.yaml", ".importlinter", ".ci/run", "proto", "services", "operator", "charts", "tests",
)  # fmt: skip


def tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True
    ).stdout.decode()
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def texts() -> dict[Path, str]:
    found = {}
    for path in tracked():
        try:
            found[path] = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
    return found


@pytest.mark.parametrize("name", EXPECTED)
def test_the_layout_stands(name: str) -> None:
    assert (ROOT / name).exists()


def test_operator_does_not_shadow_the_standard_library() -> None:
    assert not (ROOT / "operator" / "__init__.py").exists()


@pytest.mark.parametrize(
    "pattern",
    [
        r"(pypi|hosted|npmjs)\.(org|com)|--(extra-)?index-url|--find-links",
        r"(?<![\w.])/(root|home/\w+|work|farm)/",
    ],
    ids=["address of a package registry", "path of a machine"],
)
def test_nothing_of_one_machine_is_committed(pattern: str) -> None:
    rule = re.compile(pattern)
    here = Path(__file__)
    found = [
        str(path.relative_to(ROOT)) for path, text in texts().items() if path != here and rule.search(text)
    ]
    assert found == []


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock"])
def test_the_lock_carries_hashes(name: str) -> None:
    lock = (ROOT / name).read_text()
    pins = re.findall(r"^\S+==\S+", lock, flags=re.MULTILINE)
    assert len(pins) > 30
    blocks = re.split(r"\n(?=\S)", lock.strip())
    assert [block.split()[0] for block in blocks if "--hash=sha256:" not in block] == []


def test_the_scripts_know_the_same_ranks_as_the_code() -> None:
    prelude = (ROOT / "services" / "smsbridge" / "store" / "prelude.lua").read_text()
    table = re.search(r"local RANKS = \{ (.*?) \}", prelude)
    assert table is not None
    ranks = {name: int(rank) for name, rank in (item.split(" = ") for item in table[1].split(", "))}
    assert ranks == {state.value: state.rank for state in delivery.AttemptState}
    assert scripts.FINAL_RANK == delivery.FINAL_RANK


def test_the_scripts_know_the_same_final_states() -> None:
    prelude = (ROOT / "services" / "smsbridge" / "store" / "prelude.lua").read_text()
    table = re.search(r"local FINAL = \{ (.*?) \}", prelude)
    assert table is not None
    finals = {item.split(" = ")[0] for item in table[1].split(", ")}
    assert finals == {state.value for state in delivery.MessageState if state.final}
