"""Writes the stubs from proto/ into services/smsbridge/api/v1 (or a folder given as the only argument)."""

import os
import sys
from importlib import resources
from pathlib import Path

from grpc_tools import protoc

HERE = Path(__file__).parent
TARGET = HERE.parent / "services"


def generate(target: Path) -> None:
    # protoc looks for its plug-ins on PATH; they lie beside the interpreter.
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    files = sorted(str(p.relative_to(HERE)) for p in HERE.rglob("*.proto"))
    well_known = resources.files("grpc_tools") / "_proto"
    arguments = [
        "protoc",
        f"-I{HERE}",
        f"-I{well_known}",
        f"--python_out={target}",
        f"--grpc_python_out={target}",
    ]
    if code := protoc.main([*arguments, f"--mypy_out={target}", f"--mypy_grpc_out={target}", *files]):
        raise SystemExit(code)


if __name__ == "__main__":
    generate(Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET)
