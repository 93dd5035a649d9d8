"""The target folder: where finished and partial files lie, and whether a file is what the snapshot says.

Partial files lie under the hub library's own bookkeeping folder, named by content, so that a killed download goes on
at its last byte and one of another revision is never continued. Nothing else is left on the volume (caching.md §10.8).
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Protocol

from aimd.downloads.failures import DownloadFailure, Reason
from aimd.downloads.hub import RemoteFile

_CHUNK = 4 * 2**20
_BOOKKEEPING = Path(".cache/huggingface/download")
_PARTIAL = ".incomplete"


class Digest(Protocol):
    """A running checksum."""

    def update(self, data: bytes, /) -> None: ...

    def hexdigest(self) -> str: ...


class Tree:
    """A folder that is being filled with a snapshot."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def final(self, file: RemoteFile) -> Path:
        """Where the finished file lies."""
        return self.root / file.path

    def partial(self, file: RemoteFile) -> Path:
        """Where its bytes gather until it is whole."""
        return self.root / _BOOKKEEPING / f"{file.path}.{file.checksum[:16]}{_PARTIAL}"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps a second writer out where the file system can. Raises DownloadFailure if there is one.

        The lock is on the folder itself: it leaves nothing behind and ends with the process.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        handle = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            _lock(handle, self.root)
            yield
        finally:
            os.close(handle)

    def prepare(self, files: Collection[RemoteFile]) -> None:
        """Makes the folders and removes partial files that no file of the snapshot will continue.

        Raises DownloadFailure when a link on the volume would lead a file out of it.
        """
        wanted = {self.partial(file) for file in files}
        root = self.root.resolve()
        for path in wanted | {self.final(file) for file in files}:
            if not path.parent.resolve().is_relative_to(root):
                raise DownloadFailure(Reason.BAD_REQUEST, f"{path.parent} is a link that leads out of the target")
            path.parent.mkdir(parents=True, exist_ok=True)
        for path in (self.root / _BOOKKEEPING).rglob(f"*{_PARTIAL}"):
            if path not in wanted:
                path.unlink()

    def require_space(self, missing: Collection[RemoteFile]) -> None:
        """Raises DownloadFailure when the rest cannot fit: better now than after hours."""
        usage = shutil.disk_usage(self.root)
        partials = (self.partial(file) for file in missing)
        needed = sum(file.size for file in missing) - sum(path.stat().st_size for path in partials if path.exists())
        if usage.total and usage.free < needed:
            raise DownloadFailure(
                Reason.NO_SPACE,
                f"no space left on device: {needed} bytes to fetch, {usage.free} free in {self.root}; "
                "give the artifact more size",
            )

    def verify(self, files: Collection[RemoteFile]) -> None:
        """Makes sure that the tree is complete; contents were checked as they came. Raises DownloadFailure."""
        for file in files:
            path = self.final(file)
            if not path.is_file() or path.stat().st_size != file.size:
                raise DownloadFailure(Reason.VERIFICATION, f"{file.path} is gone or has another size than it had")

    def finish(self, file: RemoteFile) -> None:
        """Shows the verified file under its name, at once and durably."""
        partial = self.partial(file)
        with partial.open("rb+") as stream:
            os.fsync(stream.fileno())
        partial.replace(self.final(file))

    def clear_bookkeeping(self) -> None:
        """Removes the folders that partial files lay in, as far as they are empty."""
        folders = sorted((self.root / _BOOKKEEPING).rglob("*"), reverse=True)
        for folder in [*folders, *(self.root / part for part in (_BOOKKEEPING, *_BOOKKEEPING.parents[:-1]))]:
            if folder.is_dir():
                with contextlib.suppress(OSError):
                    folder.rmdir()


def _lock(handle: int, root: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise DownloadFailure(Reason.FAILED, f"another download is writing to {root}") from None
    except OSError:
        return  # a file system that cannot lock folders


def new_digest(file: RemoteFile) -> Digest:
    """The checksum to run over the content: SHA-256 of large files, git's blob SHA-1 of small ones."""
    if file.sha256 or not file.git_sha1:
        return hashlib.sha256()
    return hashlib.sha1(f"blob {file.size}\0".encode(), usedforsecurity=False)


def hash_into(digest: Digest, path: Path, active: Callable[[], None]) -> int:
    """Feeds a file to the checksum and returns its size; `active` is called as bytes are read. Blocks."""
    size = 0
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
            active()
    return size


def is_whole(file: RemoteFile, path: Path, active: Callable[[], None]) -> bool:
    """Whether the file at `path` is what the snapshot says: size first, then content. Blocks."""
    if not path.is_file() or path.stat().st_size != file.size:
        return False
    if not file.checksum:
        return True
    digest = new_digest(file)
    hash_into(digest, path, active)
    return digest.hexdigest() == file.checksum
