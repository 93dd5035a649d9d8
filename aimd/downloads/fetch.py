# tests: tests/faults/test_download_faults.py
"""Download of a snapshot: the missing files over several connections, with retries and verification.

The hub's own library cannot resume at the byte where a killed process stopped, and would lose an hour of a large file.
"""

from collections.abc import Iterator

import aiohttp
import anyio
import structlog

from aimd.downloads.backoff import Backoff, Retryable
from aimd.downloads.failures import DownloadFailure, Reason
from aimd.downloads.hub import HubOrigin
from aimd.downloads.partial import Partial, in_thread
from aimd.downloads.progress import Progress
from aimd.downloads.settings import DownloadSettings
from aimd.downloads.snapshot import RemoteFile, Snapshot
from aimd.downloads.tree import Tree, is_complete
from aimd.downloads.wire import LEAST_RATE, WIRE_ERRORS, RangeReader, RangesRefused, Reader, open_session
from aimd.downloads.xet import xet_reader

_LARGE_BYTES = 2 * 2**30
_SILENCE = 60.0
"""Seconds after which a silent connection is replaced; a shorter stall timeout ends the attempt first."""

_log = structlog.get_logger()


class SnapshotFetcher:
    """Downloads a snapshot into the target folder; bytes of a failed attempt are kept for the next one.

    With `xet`, files that the hub keeps in Xet are read from there; `over_xet` is then whether there are any. Raises
    DownloadFailure, and OSErrors of the volume, both also inside exception groups.
    """

    def __init__(
        self, snapshot: Snapshot, settings: DownloadSettings, progress: Progress, *, xet: bool = False
    ) -> None:
        self.over_xet = False
        self._xet = xet
        self._snapshot = snapshot
        self._settings = settings
        self._progress = progress
        self._tree = Tree(settings.target)
        self._connections = settings.connections or (8 if snapshot.size > _LARGE_BYTES else 4)

    async def run(self) -> None:
        """Download the missing files, large ones first. The caller holds the lock of the folder."""
        self._progress.restart()
        await in_thread(self._tree.prepare, self._snapshot.files)
        await in_thread(self._tree.pin, self._settings.uri, self._snapshot)
        missing = [file for file in self._snapshot.files if not await self._is_present(file)]
        await in_thread(self._tree.require_space, missing)
        if missing:
            await self._fetch_all(sorted(missing, key=lambda file: file.size, reverse=True))
        await in_thread(self._tree.unpin)
        await in_thread(self._tree.clear_bookkeeping)

    async def _is_present(self, file: RemoteFile) -> bool:
        complete = await in_thread(is_complete, file, self._tree.final(file), self._progress.active)
        self._progress.present += file.size if complete else 0
        return complete

    async def _fetch_all(self, files: list[RemoteFile]) -> None:
        settings = self._settings
        slots = anyio.CapacityLimiter(self._connections)
        # While one file waits for its checksum or the volume, the connections serve another.
        files_at_once = anyio.Semaphore(2 * self._connections)
        async with (
            open_session(self._connections, _SILENCE, settings.object_store.ca_bundle) as session,
            anyio.create_task_group() as tasks,
        ):
            reader = await self._reader(session)
            for file in files:
                await files_at_once.acquire()
                tasks.start_soon(self._provide, reader, file, slots, files_at_once)

    async def _reader(self, session: aiohttp.ClientSession) -> Reader:
        origin = self._snapshot.origin
        plain = RangeReader(session, origin)
        if not self._xet or not isinstance(origin, HubOrigin):
            return plain
        xet = await xet_reader(origin, plain)
        self.over_xet = xet is not None
        return xet or plain

    async def _provide(
        self, reader: Reader, file: RemoteFile, slots: anyio.CapacityLimiter, files_at_once: anyio.Semaphore
    ) -> None:
        try:
            await self._fetch(reader, file, slots)
        finally:
            files_at_once.release()

    async def _fetch(self, reader: Reader, file: RemoteFile, slots: anyio.CapacityLimiter) -> None:
        """Download one file and verify it; start over once if its checksum does not match (ART-RUN-5)."""
        partial = Partial(self._tree, file, self._progress)
        try:
            await in_thread(partial.resume)
            await self._complete(reader, partial, slots)
            if not partial.intact:
                _log.warning("checksum does not match, downloading again", file=file.path)
                await in_thread(partial.clear)
                await self._complete(reader, partial, slots)
            if not partial.intact:
                await in_thread(partial.clear)
                raise DownloadFailure(
                    Reason.VERIFICATION, f"{file.path} was downloaded twice with another checksum than listed"
                )
        finally:
            partial.close()
        await in_thread(self._tree.finish, file)
        self._progress.finished()

    async def _complete(self, reader: Reader, partial: Partial, slots: anyio.CapacityLimiter) -> None:
        """Read all missing bytes: in ranges, or in one piece from a server that does not support ranges."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(partial.follow)
            try:
                ranges = partial.missing()
                async with anyio.create_task_group() as workers:
                    for _ in range(self._connections):
                        workers.start_soon(self._work, reader, partial, ranges, slots)
            except* RangesRefused:
                tasks.cancel_scope.cancel()
                refused = True
            else:
                refused = False
        if refused:
            await in_thread(partial.clear)
            await self._in_one_piece(reader, partial, slots)

    async def _in_one_piece(self, reader: Reader, partial: Partial, slots: anyio.CapacityLimiter) -> None:
        backoff = self._backoff()
        while partial.size < partial.file.size:
            await in_thread(partial.clear)
            async with slots:
                await self._once(reader, partial, (0, partial.file.size), backoff)
        await partial.follow()

    async def _work(
        self,
        reader: Reader,
        partial: Partial,
        ranges: Iterator[tuple[int, int]],
        slots: anyio.CapacityLimiter,
    ) -> None:
        for start, end in ranges:
            backoff = self._backoff()
            while start < end:
                async with slots:
                    start += await self._once(reader, partial, (start, end), backoff)

    async def _once(self, reader: Reader, partial: Partial, span: tuple[int, int], backoff: Backoff) -> int:
        """Make one request, wait if it failed, and return how many bytes came."""
        before, began = partial.filled(span[0]), self._progress.clock()
        try:
            await reader.read(partial, *span)
        except (*WIRE_ERRORS, Retryable) as error:
            if isinstance(error, ValueError):
                raise DownloadFailure(
                    Reason.BAD_REQUEST, f"the URL of the endpoint or of a redirect is not valid: {error}"
                ) from error
            # A trickle does not count, or a server that sends byte by byte would be retried forever.
            if partial.filled(span[0]) - before > LEAST_RATE * (self._progress.clock() - began):
                backoff.reset()
            await backoff.wait(error if isinstance(error, Retryable) else _wire_failure(error, partial.file))
        return partial.filled(span[0]) - before

    def _backoff(self) -> Backoff:
        return Backoff(self._progress, self._settings.retry_timeout)


def _wire_failure(error: Exception, file: RemoteFile) -> Retryable:
    return Retryable(f"{file.path}: {type(error).__name__}: {error}".removesuffix(": "))
