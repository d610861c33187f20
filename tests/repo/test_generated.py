"""What is generated is fresh: the stubs are what proto/ says."""

import filecmp
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_stubs_are_what_proto_says(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, ROOT / "proto" / "generate.py", tmp_path], check=True, capture_output=True
    )
    made = tmp_path / "smsbridge" / "api" / "v1"
    kept = ROOT / "services" / "smsbridge" / "api" / "v1"
    names = sorted(p.name for p in made.iterdir())
    assert names == sorted(
        p.name for p in kept.iterdir() if p.suffix in (".py", ".pyi") and p.stem != "__init__"
    )
    _, changed, missing = filecmp.cmpfiles(made, kept, names, shallow=False)
    assert (changed, missing) == ([], [])
