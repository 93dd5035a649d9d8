"""A file that is growing: what is on disk is in its checksum as well."""

import os
from collections.abc import Callable
from typing import TypeVar

import anyio

from aimd.downloads.failures import DownloadFailure, Reason
from aimd.downloads.hub import RemoteFile
from aimd.downloads.progress import Progress
from aimd.downloads.tree import Tree, new_digest

T = TypeVar("T")

_CHUNK = 4 * 2**20


class Partial:
    """The bytes of one file that are there; `size` counts them. OSErrors of the volume come out as they are.

    `etag` is the server's strong ETag of what it sent in this process, empty if it gave none.
    """

    def __init__(self, tree: Tree, file: RemoteFile, progress: Progress) -> None:
        self.size = 0
        self.etag = ""
        self.file = file
        self._progress = progress
        self._digest = new_digest(file)
        self._handle = os.open(tree.partial(file), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)

    async def recall(self) -> None:
        """Takes over what an earlier attempt left, hashing it."""
        if os.fstat(self._handle).st_size > self.file.size:
            os.ftruncate(self._handle, 0)
        while chunk := await in_thread(os.read, self._handle, _CHUNK):
            await in_thread(self._digest.update, chunk)
            self.size += len(chunk)
            self._progress.present += len(chunk)
            self._progress.active()

    async def append(self, data: bytes) -> None:
        """Writes and hashes away from the event loop, which a slow volume must not hold up."""
        if self.size + len(data) > self.file.size:
            raise DownloadFailure(Reason.VERIFICATION, f"{self.file.path} is longer than the hub says")
        await in_thread(self._append, data)
        self.size += len(data)
        self._progress.received(len(data))

    def _append(self, data: bytes) -> None:
        self._digest.update(data)
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._handle, rest) :]

    def clear(self) -> None:
        """Forgets every byte."""
        os.ftruncate(self._handle, 0)
        os.lseek(self._handle, 0, os.SEEK_SET)
        self._progress.present -= self.size
        self.size, self._digest = 0, new_digest(self.file)

    @property
    def intact(self) -> bool:
        """Whether all bytes are there and are those the hub names; without a checksum the size has to do."""
        checksum = self.file.checksum
        return self.size == self.file.size and (not checksum or self._digest.hexdigest() == checksum)

    def close(self) -> None:
        os.close(self._handle)


async def in_thread(function: Callable[..., T], *arguments: object) -> T:
    """Runs blocking work; a thread that hangs in a dead volume is left behind when the attempt is given up."""
    return await anyio.to_thread.run_sync(function, *arguments, abandon_on_cancel=True)
