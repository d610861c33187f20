"""Becomes another program that dies with the one that started this.

`python -m smsbridge.runtime.launch PID COMMAND...`
For programs that are not ours and cannot ask the kernel themselves. PID is the parent as it sees itself.
"""

import os
import sys

from smsbridge.runtime import process


def main(arguments: list[str]) -> None:
    parent, *command = arguments
    process.die_with_parent(int(parent))
    os.execv(command[0], command)  # noqa: S606 (no shell is wanted)


if __name__ == "__main__":
    main(sys.argv[1:])
