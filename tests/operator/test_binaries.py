"""Where the tests' control plane comes from, with a stand-in for Go that notes how often it is called."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.operator import binaries

ROOT = Path(__file__).parents[2]
GO = """\
#!/bin/sh
echo called >> "$CALLS"
while [ "$1" != -o ]; do shift; done
printf '#!/bin/sh\\n' > "$2"
/bin/chmod 755 "$2"
"""
BROKEN_GO = "#!/bin/sh\necho no such module\nexit 1\n"


class Machine:
    """A user's environment: a cache of its own, and Go or not."""

    def __init__(self, directory: Path) -> None:
        self.cache = directory / "cache" / "smsbridge-envtest" / binaries.VERSION
        self.calls = directory / "calls"
        self._path = directory / "bin"
        self._path.mkdir()
        self.environment = {
            "PATH": str(self._path),  # no Go of this machine's
            "XDG_CACHE_HOME": str(directory / "cache"),
            "CALLS": str(self.calls),
        }

    def has_go(self, script: str) -> None:
        go = self._path / "go"
        go.write_text(script, encoding="ascii")
        go.chmod(0o755)

    def start(self, **variables: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.operator.binaries"], cwd=ROOT,
            env={**self.environment, **variables},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def find(self, **variables: str) -> tuple[str, str]:
        """The directory, or the reason."""
        out, error = self.start(**variables).communicate(timeout=60)
        return out.strip(), error.strip()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_machine_without_go_says_so(machine: Machine) -> None:
    found, reason = machine.find()

    assert found == ""
    assert reason.endswith("KUBEBUILDER_ASSETS is not set, and there is no Go to build it with")


def test_assets_that_are_not_there_are_a_mistake_and_not_passed_over(
    machine: Machine, tmp_path: Path
) -> None:
    machine.has_go(GO)

    found, reason = machine.find(KUBEBUILDER_ASSETS=str(tmp_path))

    assert found == ""
    assert f"KUBEBUILDER_ASSETS is {tmp_path}" in reason
    assert not machine.calls.exists()


def test_two_runs_at_once_build_once_and_later_ones_do_not(machine: Machine) -> None:
    machine.has_go(GO)
    both = [machine.start(), machine.start()]

    assert [one.communicate(timeout=60)[0].strip() for one in both] == [str(machine.cache)] * 2
    assert machine.find() == (str(machine.cache), "")
    assert machine.calls.read_text().count("called") == len(binaries.PACKAGES)
    assert all(os.access(machine.cache / name, os.X_OK) for name in binaries.PACKAGES)


def test_a_build_that_fails_leaves_a_log_and_nothing_else(machine: Machine) -> None:
    machine.has_go(BROKEN_GO)

    found, reason = machine.find()

    assert found == ""
    assert "building etcd failed" in reason
    assert (machine.cache / "etcd.log").read_text() == "no such module\n"
    assert not (machine.cache / "etcd").exists()
