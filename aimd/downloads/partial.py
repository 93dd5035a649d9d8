"""A partial file: divided into chunks that several connections fill at the same time.

A journal beside it records how many bytes of each chunk are present. It is written after the bytes that it counts, so
that a killed process loses only the bytes in flight. The checksum follows the contiguous start of the file, while its
bytes are still in the page cache, so that the file need not be read again at the end.
"""

import errno
import os
from array import array
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import anyio

from aimd.downloads.checksums import Digest, new_digest
from aimd.downloads.failures import DownloadFailure, Reason
from aimd.downloads.progress import Progress
from aimd.downloads.snapshot import RemoteFile
from aimd.downloads.tree import Tree

T = TypeVar("T")

CHUNK = 16 * 2**20
_READ = 4 * 2**20
_BUFFER = 2**20
_MOST_PIECES = 512  # of one pwritev call, for which the kernel allows 1024
_SYNC = 128 * 2**20
_COUNT = 4  # bytes of a journal entry, an unsigned integer


class Partial:
    """The present bytes of one file. Raises OSErrors of the volume as they are.

    `etag` is the strong ETag that the server sent in this process, empty if there is none.
    """

    def __init__(self, tree: Tree, file: RemoteFile, progress: Progress, chunk: int = CHUNK) -> None:
        self.file = file
        self.etag = ""
        self._chunk = chunk
        self._progress = progress
        self._present = array("I", bytes(_COUNT * max(1, -(-file.size // chunk))))
        self._digest = new_digest(file.checksum, file.size)
        self._hashed = 0
        self._buffer = bytearray(min(_BUFFER, file.size))
        self._grown = anyio.Event()
        self._running: list[None] = []
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        self._data = os.open(tree.partial(file), flags, 0o644)
        # A file of one chunk grows at its end, so that its size is the number of bytes present.
        self._journal = os.open(tree.journal(file), flags, 0o644) if len(self._present) > 1 else -1

    @property
    def size(self) -> int:
        """Number of bytes present."""
        return sum(self._present)

    def resume(self) -> None:
        """Continue what an earlier process left, or clear it if data and journal contradict each other. Blocks."""
        length = os.fstat(self._data).st_size
        found = array("I", [min(length, 2**32 - 1)]) if self._journal < 0 else self._read_journal()
        fits = len(found) == len(self._present) and all(
            count <= self._end_of(index) - index * self._chunk and (not count or index * self._chunk + count <= length)
            for index, count in enumerate(found)
        )
        if not fits:
            self.clear()
            return
        self._present = found
        self._progress.present += self.size

    def missing(self) -> Iterator[tuple[int, int]]:
        """Yield the missing rest of each chunk in order, as first byte and end (exclusive)."""
        for index, count in enumerate(self._present):
            if count < self._end_of(index) - index * self._chunk:
                yield index * self._chunk + count, self._end_of(index)

    def filled(self, offset: int) -> int:
        """Return how many bytes are present of the chunk that contains `offset`."""
        return self._present[offset // self._chunk] if offset < self.file.size else 0

    async def write(self, offset: int, pieces: Sequence[bytes]) -> None:
        """Write in a thread, so that a slow volume does not block the event loop."""
        size = sum(map(len, pieces))
        if offset + size > self.file.size:
            raise DownloadFailure(Reason.VERIFICATION, f"{self.file.path} is longer than listed")
        await in_thread(self._tracked, self._write, offset, pieces)
        self._progress.received(size)
        self._grown.set()

    async def follow(self) -> None:
        """Compute the checksum as bytes arrive, until it has covered all of them."""
        while self._hashed < self.file.size:
            self._grown = anyio.Event()
            contiguous = self._contiguous()
            if self._hashed == contiguous:
                await self._grown.wait()
            while self._hashed < contiguous:
                length = min(_READ, contiguous - self._hashed)
                await in_thread(self._tracked, self._hash, self._digest, self._buffer, self._hashed, length)
                self._hashed += length
                self._progress.active()

    def clear(self) -> None:
        """Discard all bytes. Blocks."""
        self._progress.present -= self.size
        self._present = array("I", bytes(_COUNT * len(self._present)))
        if self._journal >= 0:
            os.ftruncate(self._journal, 0)
        os.ftruncate(self._data, 0)
        self._digest, self._hashed = new_digest(self.file.checksum, self.file.size), 0
        self._buffer = bytearray(len(self._buffer))

    @property
    def intact(self) -> bool:
        """Whether the bytes have the listed checksum, after `follow`; without one the size decides (ART-RUN-5)."""
        checksum = self.file.checksum
        return self._hashed == self.file.size and (checksum is None or self._digest.hexdigest() == checksum.value)

    def close(self) -> None:
        """Close the files, unless an abandoned thread still writes: the descriptor could be reused meanwhile."""
        if self._running:
            return
        os.close(self._data)
        if self._journal >= 0:
            os.close(self._journal)

    def _end_of(self, index: int) -> int:
        return min((index + 1) * self._chunk, self.file.size)

    def _contiguous(self) -> int:
        """Return the number of bytes present from the start without a gap."""
        return next((start for start, _ in self.missing()), self.file.size)

    def _read_journal(self) -> "array[int]":
        # Entries are written one by one: those behind the end of the journal are zero.
        length = _COUNT * len(self._present)
        found = array("I")
        found.frombytes(os.pread(self._journal, length, 0).ljust(length, b"\0"))
        return found

    def _write(self, offset: int, pieces: Sequence[bytes]) -> None:
        """Write with one call per chunk, because each call makes the event loop wait for the interpreter's lock."""
        rest = [memoryview(piece) for piece in pieces]
        while rest:
            index = offset // self._chunk
            within, _ = _split(rest[:_MOST_PIECES], self._end_of(index) - offset)
            written = os.pwritev(self._data, within, offset)
            self._present[index] += written
            offset, rest = offset + written, _split(rest, written)[1]
            if self._journal >= 0:
                os.pwrite(self._journal, self._present[index : index + 1].tobytes(), _COUNT * index)

    def _hash(self, digest: Digest, into: bytearray, offset: int, length: int) -> None:
        """Hash bytes of the file. Digest and buffer are arguments, so that an abandoned thread keeps its own."""
        buffer = memoryview(into)
        while length:
            count = os.preadv(self._data, [buffer[:length]], offset)
            if not count:
                raise OSError(errno.EIO, "bytes that were written cannot be read back")
            digest.update(buffer[:count])
            offset, length = offset + count, length - count
        # In small steps while bytes still arrive, so that little is left to sync at the end.
        if offset // _SYNC > (offset - _READ) // _SYNC:
            os.fdatasync(self._data)

    def _tracked(self, work: Callable[..., None], *arguments: object) -> None:
        """Run `work` and keep `close` from closing the files meanwhile."""
        self._running.append(None)
        try:
            work(*arguments)
        finally:
            self._running.pop()


def _split(pieces: Sequence[memoryview], size: int) -> tuple[list[memoryview], list[memoryview]]:
    """Split the pieces into the first `size` bytes and the rest."""
    first, second = list[memoryview](), list[memoryview]()
    for piece in pieces:
        taken = min(size, len(piece))
        size -= taken
        first += [piece[:taken]] if taken else []
        second += [piece[taken:]] if taken < len(piece) else []
    return first, second


async def in_thread(function: Callable[..., T], *arguments: object) -> T:
    """Run blocking work in a thread; one that hangs in a dead volume is abandoned when the attempt is canceled."""
    return await anyio.to_thread.run_sync(function, *arguments, abandon_on_cancel=True)
