"""The target folder: where finished and partial files lie, and whether a file is what the snapshot says.

Partial files lie under the hub library's own bookkeeping folder, named by content, so that a killed download goes on
at its last byte and one of another revision is never continued. Nothing else is left on the volume (ART-RUN-4).
"""

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

from aimd.downloads.checksums import new_digest
from aimd.downloads.failures import DownloadFailure, Reason
from aimd.downloads.snapshot import BOOKKEEPING, RemoteFile, Snapshot, checked_paths

_CHUNK = 4 * 2**20
_BOOKKEEPING = Path(BOOKKEEPING) / "download"
_PARTIAL = ".incomplete"
_JOURNAL = ".ranges"
_PIN = "aimd-revision.json"


class Tree:
    """A folder that is being filled with a snapshot."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def final(self, file: RemoteFile) -> Path:
        """Where the finished file lies."""
        return self.root / file.path

    def partial(self, file: RemoteFile) -> Path:
        """Where its bytes gather until it is whole."""
        return self.root / _BOOKKEEPING / f"{file.path}.{file.identity}{_PARTIAL}"

    def journal(self, file: RemoteFile) -> Path:
        """Where it is noted which of them are there, for a file of several chunks."""
        return self.partial(file).with_suffix(_JOURNAL)

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
        wanted |= {self.journal(file) for file in files}
        orphans = [*self._kept(_PARTIAL), *self._kept(_JOURNAL), *self.root.rglob(".s3cmd.*.tmp")]
        for path in orphans:
            if path not in wanted:
                path.unlink()

    def _kept(self, suffix: str) -> Iterator[Path]:
        return (self.root / _BOOKKEEPING).rglob(f"*{suffix}")

    def require_space(self, missing: Collection[RemoteFile]) -> None:
        """Raises DownloadFailure when the rest cannot fit: better now than after hours."""
        usage = shutil.disk_usage(self.root)
        partials = (self.partial(file) for file in missing)
        # Of a file that is filled in several places at once only the blocks count, not the length.
        taken = sum(path.stat().st_blocks * 512 for path in partials if path.exists())
        needed = sum(file.size for file in missing) - taken
        if usage.total and usage.free < needed:
            raise DownloadFailure(
                Reason.NO_SPACE,
                f"no space left on device: {needed} bytes to fetch, {usage.free} free in {self.root}; "
                "give the artifact more size",
            )

    def pinned(self, uri: str) -> str:
        """The revision that an unfinished download of the same source has begun with; empty if there is none."""
        pin = self._read_pin()
        return str(pin.get("revision") or "") if pin.get("source") == uri else ""

    def pin(self, uri: str, snapshot: Snapshot) -> None:
        """Notes what is being downloaded; files of what was begun before and is not part of it are removed."""
        paths = {file.path for file in snapshot.files}
        for path in self._read_pin().get("files") or ():
            if isinstance(path, str) and path not in paths:
                checked_paths([path])
                (self.root / path).unlink(missing_ok=True)
        note = {"source": uri, "revision": snapshot.revision, "files": sorted(paths)}
        location = self.root / _BOOKKEEPING / _PIN
        location.parent.mkdir(parents=True, exist_ok=True)
        written = location.with_suffix(".new")
        written.write_text(json.dumps(note))
        written.replace(location)

    def unpin(self) -> None:
        """Forgets it: the download is complete, or its revision is gone."""
        (self.root / _BOOKKEEPING / _PIN).unlink(missing_ok=True)

    def _read_pin(self) -> dict[str, Any]:
        try:
            pin = json.loads((self.root / _BOOKKEEPING / _PIN).read_text())
        except (OSError, ValueError):
            return {}
        return pin if isinstance(pin, dict) else {}

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
        self.journal(file).unlink(missing_ok=True)

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


def is_whole(file: RemoteFile, path: Path, active: Callable[[], None]) -> bool:
    """Whether the file at `path` is what the snapshot says: size first, then content (ART-RUN-5). Blocks.

    `active` is called as bytes are read.
    """
    if not path.is_file() or path.stat().st_size != file.size:
        return False
    if file.checksum is None:
        return True
    digest = new_digest(file.checksum, file.size)
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
            active()
    return digest.hexdigest() == file.checksum.value
