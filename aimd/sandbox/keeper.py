"""The keeper: a small process that clears up after a sandbox, however the sandbox ends.

It holds the read end of a pipe whose only write end is in the sandbox's process. The kernel closes that end when the
process exits, is interrupted or is killed; the keeper then kills every process group it was told of, removes every
path it was told of, and exits. A clean shutdown takes the same road, so the road is tried every day.

Spoken over the pipe, one line each: `hold <process group>`, `release <process group>`, `remove <path>`. The module
runs as a script of its own and imports nothing but the standard library.
"""

import contextlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterable

_PATIENCE = 10.0
_PAUSE = 0.02


def main() -> None:
    """Listen until the pipe closes, then clear up."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups: dict[int, None] = {}
    paths: list[str] = []
    for line in sys.stdin:
        verb, _, argument = line.rstrip("\n").partition(" ")
        if verb == "hold":
            groups[int(argument)] = None
        elif verb == "release":
            groups.pop(int(argument), None)
        elif verb == "remove":
            paths.append(argument)
    clear_up(groups, paths)


def clear_up(groups: Iterable[int], paths: Iterable[str]) -> None:
    """End the process groups, then remove the paths; gives up after some seconds on each."""
    _kill(groups)
    for path in paths:
        _remove(path)


def _kill(groups: Iterable[int]) -> None:
    """SIGKILL at once: nothing a sandbox process could still save outlives the folder it would save it to."""
    remaining = set(groups)
    deadline = time.monotonic() + _PATIENCE
    while remaining and time.monotonic() < deadline:
        for group in list(remaining):
            try:
                os.killpg(group, signal.SIGKILL)
            except ProcessLookupError:
                remaining.discard(group)
            except PermissionError:  # macOS answers so for a group of zombies
                remaining.discard(group)
            else:
                if _only_zombies(group):
                    remaining.discard(group)
        time.sleep(_PAUSE)


def _only_zombies(group: int) -> bool:
    """Whether the leader waits to be reaped by a parent that may never do so (a container without an init)."""
    try:
        with open(f"/proc/{group}/stat", encoding="ascii", errors="replace") as stat:
            return stat.read().rpartition(")")[2].split()[0] == "Z"
    except (OSError, IndexError):
        return False


def _remove(path: str) -> None:
    """Remove a file or folder, again until no process writes into it any more."""
    deadline = time.monotonic() + _PATIENCE
    while os.path.lexists(path) and time.monotonic() < deadline:
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                os.unlink(path)
        if os.path.lexists(path):
            time.sleep(_PAUSE)


if __name__ == "__main__":
    main()
