"""Builds the image and brings it to the nodes: into kind or k3d, by a command of this machine, by a registry.

IMAGE_REPOSITORY   where to push to, as the nodes know it: registry.example.com/team/smsbridge
IMAGE_LOAD         a command that takes an image archive and loads it into every node
Without either the name of kubectl's context says whether this is kind or k3d.
"""

import os
import shlex
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path

from tests.e2e import cluster, images

_LOCAL = "docker.io/local/smsbridge"
_LOAD_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Image:
    repository: str
    tag: str
    pull_policy: str

    @property
    def name(self) -> str:
        return f"{self.repository}:{self.tag}"


def delivered(directory: Path) -> Image:
    """A new tag each time, so that no node takes an older image for it. Raises images.UnavailableError."""
    repository = os.environ.get("IMAGE_REPOSITORY", "")
    tag = f"e2e-{uuid.uuid4().hex[:8]}"
    image = Image(repository or _LOCAL, tag, "IfNotPresent" if repository else "Never")
    loader = [] if repository else _loader()
    engine = images.engine()
    engine.build(image.name)
    if repository:
        engine.push(image.name)
        return image
    archive = directory / "image.tar"
    engine.save(image.name, archive)
    try:
        cluster.call(*[str(archive) if word == "ARCHIVE" else word for word in loader], seconds=_LOAD_SECONDS)
    finally:
        archive.unlink()
    return image


def _loader() -> list[str]:
    command = os.environ.get("IMAGE_LOAD", "")
    if command:
        return [*shlex.split(command), "ARCHIVE"]
    kind, _, name = cluster.context().partition("-")
    if kind == "kind" and shutil.which("kind"):
        return ["kind", "load", "image-archive", "ARCHIVE", "--name", name]
    if kind == "k3d" and shutil.which("k3d"):
        return ["k3d", "image", "import", "ARCHIVE", "--cluster", name]
    raise images.UnavailableError(
        "the image cannot be brought to the nodes: set IMAGE_REPOSITORY or IMAGE_LOAD (tests/e2e/delivery.py)"
    )
