"""Fetching a snapshot: which files are missing, several connections at once, again after trouble, verified at the end.

The hub's own library cannot go on at the byte where a killed process stopped; an hour of a large file would be lost.
"""

from collections.abc import Iterator

import aiohttp
import anyio
import structlog

from aimd.downloads.failures import DownloadFailure, Reason
from aimd.downloads.hub import HubOrigin
from aimd.downloads.partial import Partial, in_thread
from aimd.downloads.patience import Patience, Retryable
from aimd.downloads.progress import Progress
from aimd.downloads.settings import DownloadSettings
from aimd.downloads.snapshot import RemoteFile, Snapshot
from aimd.downloads.tree import Tree, is_whole
from aimd.downloads.wire import LEAST_RATE, WIRE_ERRORS, RangeReader, RangesRefused, Reader, open_session
from aimd.downloads.xet import xet_reader

_LARGE_BYTES = 2 * 2**30
_SILENCE = 60.0
"""Seconds after which a silent connection is given up for another; a shorter stall timeout ends the attempt before."""

_log = structlog.get_logger()


class SnapshotFetcher:
    """Fills a tree with a snapshot; what was fetched stays for the next attempt.

    With `xet` what the hub keeps in Xet comes from there; `over_xet` tells whether that is anything. Raises
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
        """Fetches what is missing, large files first. The tree is locked by the caller."""
        self._progress.restart()
        await in_thread(self._tree.prepare, self._snapshot.files)
        await in_thread(self._tree.pin, self._settings.uri, self._snapshot)
        missing = [file for file in self._snapshot.files if not await self._is_there(file)]
        await in_thread(self._tree.require_space, missing)
        if missing:
            await self._fetch_all(sorted(missing, key=lambda file: file.size, reverse=True))
        await in_thread(self._tree.unpin)
        await in_thread(self._tree.clear_bookkeeping)

    async def _is_there(self, file: RemoteFile) -> bool:
        whole = await in_thread(is_whole, file, self._tree.final(file), self._progress.active)
        self._progress.present += file.size if whole else 0
        return whole

    async def _fetch_all(self, files: list[RemoteFile]) -> None:
        settings = self._settings
        slots = anyio.CapacityLimiter(self._connections)
        # A file that waits for its checksum or the volume must not keep connections idle.
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
        """Requests until the file is whole, once more from the start if it is not what the source says."""
        partial = Partial(self._tree, file, self._progress)
        try:
            await in_thread(partial.recall)
            await self._complete(reader, partial, slots)
            if not partial.intact:
                _log.warning("the checksum does not match, fetching again", file=file.path)
                await in_thread(partial.clear)
                await self._complete(reader, partial, slots)
            if not partial.intact:
                await in_thread(partial.clear)
                raise DownloadFailure(
                    Reason.VERIFICATION, f"{file.path} arrived twice with another checksum than the source names"
                )
        finally:
            partial.close()
        await in_thread(self._tree.finish, file)
        self._progress.finished()

    async def _complete(self, reader: Reader, partial: Partial, slots: anyio.CapacityLimiter) -> None:
        """All bytes, in ranges; in one piece from a server that does not know ranges."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(partial.follow)
            try:
                spans = partial.spans()
                async with anyio.create_task_group() as workers:
                    for _ in range(self._connections):
                        workers.start_soon(self._work, reader, partial, spans, slots)
            except* RangesRefused:
                tasks.cancel_scope.cancel()
                refused = True
            else:
                refused = False
        if refused:
            await in_thread(partial.clear)
            await self._in_one_piece(reader, partial, slots)

    async def _in_one_piece(self, reader: Reader, partial: Partial, slots: anyio.CapacityLimiter) -> None:
        patience = self._patience()
        while partial.size < partial.file.size:
            await in_thread(partial.clear)
            async with slots:
                await self._once(reader, partial, (0, partial.file.size), patience)
        await partial.follow()

    async def _work(
        self,
        reader: Reader,
        partial: Partial,
        spans: Iterator[tuple[int, int]],
        slots: anyio.CapacityLimiter,
    ) -> None:
        for start, end in spans:
            patience = self._patience()
            while start < end:
                async with slots:
                    start += await self._once(reader, partial, (start, end), patience)

    async def _once(self, reader: Reader, partial: Partial, span: tuple[int, int], patience: Patience) -> int:
        """One request, and the wait after it if it failed; returns how many bytes came."""
        before, began = partial.filled(span[0]), self._progress.clock()
        try:
            await reader.read(partial, *span)
        except (*WIRE_ERRORS, Retryable) as error:
            if isinstance(error, ValueError):
                raise DownloadFailure(Reason.BAD_REQUEST, f"the endpoint or a redirect: {error}") from error
            # A trickle does not renew it, or a server that sends byte by byte would be borne with for ever.
            if partial.filled(span[0]) - before > LEAST_RATE * (self._progress.clock() - began):
                patience.renew()
            await patience.wait(error if isinstance(error, Retryable) else _wire_failure(error, partial.file))
        return partial.filled(span[0]) - before

    def _patience(self) -> Patience:
        return Patience(self._progress, self._settings.patience)


def _wire_failure(error: Exception, file: RemoteFile) -> Retryable:
    return Retryable(f"{file.path}: {type(error).__name__}: {error}".removesuffix(": "))
