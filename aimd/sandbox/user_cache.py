"""The folder in the user's cache directory that holds binaries and manifests, and its locks."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


def cache_folder() -> Path:
    """Return `aimd` in the user's cache directory, which need not exist yet."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "aimd"


@contextmanager
def locked(folder: Path, progress: Callable[[str], None]) -> Iterator[None]:
    """Create the folder and hold its lock; the kernel releases it, however this process ends."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("Waiting for another process that builds the same files")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def publish(source: Path, target: Path) -> None:
    """Rename a finished file to its final name, after its content is on disk."""
    with open(source, "rb") as file:
        os.fsync(file.fileno())
    source.rename(target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
