"""The file that the local provisioner follows: says when its content is another. What it says is read in
`manifests`.
"""

import asyncio
import hashlib
from pathlib import Path

from smsbridge.core import errors
from smsbridge.core.provider import Provider
from smsbridge.provisioning import manifests


class ManifestsFile:
    """Looks at time, size and content, so that neither a touch nor a quick second change misleads it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._digest = b""

    def changed(self) -> bytes | None:
        """The content where it is another than last time. Raises ConfigError where it cannot be read."""
        try:
            stat = self._path.stat()
            seen = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            if seen == self._seen:
                return None
            content = self._path.read_bytes()
        except OSError as error:
            self._seen = None
            raise errors.ConfigError(f"the manifests file cannot be read ({error.strerror})") from error
        self._seen = seen
        digest = hashlib.sha256(content).digest()
        if digest == self._digest:
            return None
        self._digest = digest
        return content


class FileSource:
    """`service.Source` over a file of manifests."""

    name = "the manifests file"

    def __init__(self, path: Path) -> None:
        self._file = ManifestsFile(path)

    async def changed(self) -> manifests.Manifests | None:
        """Raises ConfigError where the file cannot be read."""
        content = await asyncio.to_thread(self._file.changed)
        return None if content is None else await asyncio.to_thread(manifests.read, content)

    async def is_gone(self, provider: Provider) -> bool:
        """What the file does not name is gone."""
        return True
