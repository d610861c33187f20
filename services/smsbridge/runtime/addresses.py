"""HOST:PORT as text, and ports that stay free between two starts."""

import random
import socket

# Below the range from which Linux takes ports of outgoing connections (32768 on): a port from there could be
# taken by a connection while its server is being started again.
_LOWEST, _HIGHEST = 20000, 32000


def split(address: str) -> tuple[str, int]:
    """`127.0.0.1:80`, `[::1]:80`, `:80` (all interfaces). Raises ValueError with a sentence."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise ValueError(f"{address!r} is no HOST:PORT")
    return host.strip("[]") or "0.0.0.0", int(port)  # noqa: S104 (asked for by leaving the host out)


def join(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def free_port(host: str, *, wanted: int = 0, taken: frozenset[int] = frozenset()) -> int:
    """`wanted` where it is free, else any other that is neither in use nor in `taken`."""
    if wanted and wanted not in taken and is_free(host, wanted):
        return wanted
    for _ in range(1000):
        port = random.randrange(_LOWEST, _HIGHEST)
        if port not in taken and is_free(host, port):
            return port
    raise OSError(f"no free port on {host} between {_LOWEST} and {_HIGHEST}")
