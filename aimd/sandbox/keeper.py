"""The keeper: a small process that cleans up after a sandbox, however the sandbox ends.

It holds the read end of a pipe whose only write end is in the process of the sandbox. The kernel closes that end when
the process exits or is killed. The keeper then kills every process group that it holds, removes every path that it was
given, and exits. A clean shutdown works the same way.

The protocol on the pipe has one command per line: `hold <process group>`, `release <process group>`, `remove <path>`.
The module runs as a script and imports only the standard library.
"""

# tests: tests/integration/test_sandbox_processes.py

import contextlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterable

_TIMEOUT = 10.0
_PAUSE = 0.02


def main() -> None:
    """Read commands until the pipe closes, then clean up."""
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
    clean_up(groups, paths)


def clean_up(groups: Iterable[int], paths: Iterable[str]) -> None:
    """Kill the process groups, then remove the paths; give up on each after ten seconds."""
    _kill(groups)
    for path in paths:
        _remove(path)


def _kill(groups: Iterable[int]) -> None:
    """Send SIGKILL at once: what a process could still save would be in a folder that is removed next."""
    remaining = set(groups)
    deadline = time.monotonic() + _TIMEOUT
    while remaining and time.monotonic() < deadline:
        for group in list(remaining):
            try:
                os.killpg(group, signal.SIGKILL)
            except ProcessLookupError:
                remaining.discard(group)
            except PermissionError:  # macOS reports this for a group of zombies.
                remaining.discard(group)
            else:
                if _only_zombies(group):
                    remaining.discard(group)
        time.sleep(_PAUSE)


def _only_zombies(group: int) -> bool:
    """Return whether the leader is a zombie, which its parent may never reap (a container without an init)."""
    try:
        with open(f"/proc/{group}/stat", encoding="ascii", errors="replace") as stat:
            return stat.read().rpartition(")")[2].split()[0] == "Z"
    except (OSError, IndexError):
        return False


def _remove(path: str) -> None:
    """Remove a file or folder, again and again until no process writes to it any more."""
    deadline = time.monotonic() + _TIMEOUT
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
