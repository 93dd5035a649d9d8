"""A file that is growing, in chunks that several connections fill at once.

How far each chunk is stands in a journal beside it, written after the bytes it counts: a process that is killed loses
what was on its way, and no more. The checksum follows the unbroken beginning of the file, reading what was just written
back from memory, so that nothing has to be read again at the end.
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
_MOST_PIECES = 512  # the kernel takes no more than 1024 at once
_SYNC = 128 * 2**20
_COUNT = 4  # bytes of a journal entry, an unsigned integer


class Partial:
    """The bytes of one file that are there. OSErrors of the volume come out as they are.

    `etag` is the server's strong ETag of what it sent in this process, empty if it gave none.
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
        self._at_work: list[None] = []
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        self._data = os.open(tree.partial(file), flags, 0o644)
        # A file of one chunk grows at its end, so that its size says how far it is.
        self._journal = os.open(tree.journal(file), flags, 0o644) if len(self._present) > 1 else -1

    @property
    def size(self) -> int:
        """Bytes that are there."""
        return sum(self._present)

    def recall(self) -> None:
        """Takes over what an earlier process left; nothing of it if data and journal do not fit together. Blocks."""
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

    def spans(self) -> Iterator[tuple[int, int]]:
        """What is missing: first byte and end of each chunk's rest, in order."""
        for index, count in enumerate(self._present):
            if count < self._end_of(index) - index * self._chunk:
                yield index * self._chunk + count, self._end_of(index)

    def filled(self, offset: int) -> int:
        """How many bytes of the chunk that `offset` lies in are there."""
        return self._present[offset // self._chunk] if offset < self.file.size else 0

    async def write(self, offset: int, pieces: Sequence[bytes]) -> None:
        """Writes away from the event loop, which a slow volume must not hold up."""
        size = sum(map(len, pieces))
        if offset + size > self.file.size:
            raise DownloadFailure(Reason.VERIFICATION, f"{self.file.path} is longer than the source says")
        await in_thread(self._busily, self._write, offset, pieces)
        self._progress.received(size)
        self._grown.set()

    async def follow(self) -> None:
        """Runs the checksum behind the bytes until it has seen all of them."""
        while self._hashed < self.file.size:
            self._grown = anyio.Event()
            beginning = self._beginning()
            if self._hashed == beginning:
                await self._grown.wait()
            while self._hashed < beginning:
                length = min(_READ, beginning - self._hashed)
                await in_thread(self._busily, self._hash, self._digest, self._buffer, self._hashed, length)
                self._hashed += length
                self._progress.active()

    def clear(self) -> None:
        """Forgets every byte. Blocks."""
        self._progress.present -= self.size
        self._present = array("I", bytes(_COUNT * len(self._present)))
        if self._journal >= 0:
            os.ftruncate(self._journal, 0)
        os.ftruncate(self._data, 0)
        self._digest, self._hashed = new_digest(self.file.checksum, self.file.size), 0
        self._buffer = bytearray(len(self._buffer))

    @property
    def intact(self) -> bool:
        """Whether all bytes are those the source names, after `follow`; without a checksum the size has to do."""
        checksum = self.file.checksum
        return self._hashed == self.file.size and (checksum is None or self._digest.hexdigest() == checksum.value)

    def close(self) -> None:
        """Closes the files; not while a thread that was given up may still write, into what the number means then."""
        if self._at_work:
            return
        os.close(self._data)
        if self._journal >= 0:
            os.close(self._journal)

    def _end_of(self, index: int) -> int:
        return min((index + 1) * self._chunk, self.file.size)

    def _beginning(self) -> int:
        """How many bytes are there without a gap."""
        return next((start for start, _ in self.spans()), self.file.size)

    def _read_journal(self) -> "array[int]":
        # Written entry by entry: what is behind its end has not come yet.
        length = _COUNT * len(self._present)
        found = array("I")
        found.frombytes(os.pread(self._journal, length, 0).ljust(length, b"\0"))
        return found

    def _write(self, offset: int, pieces: Sequence[bytes]) -> None:
        """As few calls as there are chunks: each costs the event loop a wait for the interpreter's lock."""
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
        """Digest and buffer are arguments: a thread that was given up must not touch those of the next beginning."""
        buffer = memoryview(into)
        while length:
            count = os.preadv(self._data, [buffer[:length]], offset)
            if not count:
                raise OSError(errno.EIO, "bytes that were written are gone")
            digest.update(buffer[:count])
            offset, length = offset + count, length - count
        # Little by little, while bytes still come: at the end there would be much to wait for.
        if offset // _SYNC > (offset - _READ) // _SYNC:
            os.fdatasync(self._data)

    def _busily(self, work: Callable[..., None], *arguments: object) -> None:
        self._at_work.append(None)
        try:
            work(*arguments)
        finally:
            self._at_work.pop()


def _split(pieces: Sequence[memoryview], size: int) -> tuple[list[memoryview], list[memoryview]]:
    """The first `size` bytes of the pieces, and the rest."""
    first, second = list[memoryview](), list[memoryview]()
    for piece in pieces:
        taken = min(size, len(piece))
        size -= taken
        first += [piece[:taken]] if taken else []
        second += [piece[taken:]] if taken < len(piece) else []
    return first, second


async def in_thread(function: Callable[..., T], *arguments: object) -> T:
    """Runs blocking work; a thread that hangs in a dead volume is left behind when the attempt is given up."""
    return await anyio.to_thread.run_sync(function, *arguments, abandon_on_cancel=True)
