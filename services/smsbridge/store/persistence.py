"""Whether the store's servers get their data to disk, by what they say themselves (INFO persistence).

A server whose last write to its log failed refuses further writes; a rewrite or a snapshot that failed is an
earlier sign of the same full or broken disk.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from smsbridge.store import connection

CHECKS = {
    "log_on": ("aof_enabled", "1"),
    "log_write": ("aof_last_write_status", "ok"),
    "log_rewrite": ("aof_last_bgrewrite_status", "ok"),
    "snapshot": ("rdb_last_bgsave_status", "ok"),
}


async def checks(store: connection.Store) -> dict[str, bool]:
    """By check, True where every primary that answers says so. Raises StoreAway where none answers."""
    return read(await store.info("persistence"))


def read(infos: Sequence[Mapping[str, Any]]) -> dict[str, bool]:
    """What a server does not say counts as well: not every version tells everything."""
    return {
        check: all(str(info.get(field, good)) == good for info in infos)
        for check, (field, good) in CHECKS.items()
    }
