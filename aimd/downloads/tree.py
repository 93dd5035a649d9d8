"""The target folder: the paths of finished and partial files, and checks of their content.

Partial files are in the bookkeeping folder of the hub's library, named by content: a killed download resumes at its
last byte, and a partial file of another revision is never continued. Nothing else is left on the volume (ART-RUN-4).
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
from aimd.downloads.snapshot import BOOKKEEPING, RemoteFile, Snapshot, require_safe_paths

_CHUNK = 4 * 2**20
_BOOKKEEPING = Path(BOOKKEEPING) / "download"
_PARTIAL = ".incomplete"
_JOURNAL = ".ranges"
_PIN = "aimd-revision.json"


class Tree:
    """A folder that a snapshot is downloaded to. Its methods block."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def final(self, file: RemoteFile) -> Path:
        """Return the path of the finished file."""
        return self.root / file.path

    def partial(self, file: RemoteFile) -> Path:
        """Return the path of the partial file, which collects the bytes until the file is complete."""
        return self.root / _BOOKKEEPING / f"{file.path}.{file.identity}{_PARTIAL}"

    def journal(self, file: RemoteFile) -> Path:
        """Return the path of the journal, which records the bytes present of a file of several chunks."""
        return self.partial(file).with_suffix(_JOURNAL)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the folder, if the file system can. Raises DownloadFailure if another process holds the lock.

        The lock is on the folder itself, so that it leaves no file behind and ends with the process.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        handle = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            _lock(handle, self.root)
            yield
        finally:
            os.close(handle)

    def prepare(self, files: Collection[RemoteFile]) -> None:
        """Create the folders, and remove partial files that no file of the snapshot will continue.

        Raises DownloadFailure if a symbolic link on the volume leads out of it.
        """
        wanted = {self.partial(file) for file in files}
        root = self.root.resolve()
        for path in wanted | {self.final(file) for file in files}:
            if not path.parent.resolve().is_relative_to(root):
                raise DownloadFailure(
                    Reason.BAD_REQUEST, f"{path.parent} is a symbolic link that leads out of the target"
                )
            path.parent.mkdir(parents=True, exist_ok=True)
        wanted |= {self.journal(file) for file in files}
        orphans = [*self._kept(_PARTIAL), *self._kept(_JOURNAL), *self.root.rglob(".s3cmd.*.tmp")]
        for path in orphans:
            if path not in wanted:
                path.unlink()

    def _kept(self, suffix: str) -> Iterator[Path]:
        return (self.root / _BOOKKEEPING).rglob(f"*{suffix}")

    def require_space(self, missing: Collection[RemoteFile]) -> None:
        """Check that the missing files fit on the volume, before hours of download. Raises DownloadFailure."""
        usage = shutil.disk_usage(self.root)
        partials = (self.partial(file) for file in missing)
        # A partial file is sparse, so that its blocks count and not its length.
        taken = sum(path.stat().st_blocks * 512 for path in partials if path.exists())
        needed = sum(file.size for file in missing) - taken
        if usage.total and usage.free < needed:
            raise DownloadFailure(
                Reason.NO_SPACE,
                f"no space left on device: {needed} bytes are missing, {usage.free} are free in {self.root}. "
                "Raise the size of the artifact",
            )

    def pinned(self, uri: str) -> str:
        """Return the revision that an unfinished download of the same source URI began with; empty if there is none."""
        pin = self._read_pin()
        return str(pin.get("revision") or "") if pin.get("source") == uri else ""

    def pin(self, uri: str, snapshot: Snapshot) -> None:
        """Record the snapshot being downloaded, and remove files of an earlier one that it does not contain."""
        paths = {file.path for file in snapshot.files}
        for path in self._read_pin().get("files") or ():
            if isinstance(path, str) and path not in paths:
                require_safe_paths([path])
                (self.root / path).unlink(missing_ok=True)
        note = {"source": uri, "revision": snapshot.revision, "files": sorted(paths)}
        location = self.root / _BOOKKEEPING / _PIN
        location.parent.mkdir(parents=True, exist_ok=True)
        written = location.with_suffix(".new")
        written.write_text(json.dumps(note))
        written.replace(location)

    def unpin(self) -> None:
        """Delete the record, because the download is complete."""
        (self.root / _BOOKKEEPING / _PIN).unlink(missing_ok=True)

    def _read_pin(self) -> dict[str, Any]:
        try:
            pin = json.loads((self.root / _BOOKKEEPING / _PIN).read_text())
        except (OSError, ValueError):
            return {}
        return pin if isinstance(pin, dict) else {}

    def verify(self, files: Collection[RemoteFile]) -> None:
        """Check that all files exist with their sizes; contents were verified on arrival. Raises DownloadFailure."""
        for file in files:
            path = self.final(file)
            if not path.is_file() or path.stat().st_size != file.size:
                raise DownloadFailure(Reason.VERIFICATION, f"{file.path} was deleted or changed after it was verified")

    def finish(self, file: RemoteFile) -> None:
        """Sync the verified file to the volume and move it to its final path, atomically."""
        partial = self.partial(file)
        with partial.open("rb+") as stream:
            os.fsync(stream.fileno())
        partial.replace(self.final(file))
        self.journal(file).unlink(missing_ok=True)

    def clear_bookkeeping(self) -> None:
        """Remove the empty folders of partial files."""
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
        return  # the file system cannot lock folders


def is_complete(file: RemoteFile, path: Path, active: Callable[[], None]) -> bool:
    """Return whether the file at `path` has the size and the checksum that the snapshot lists (ART-RUN-5). Blocks.

    Without a checksum, the size decides. `active` is called as bytes are read.
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
