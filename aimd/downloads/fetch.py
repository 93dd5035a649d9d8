"""Fetching a snapshot over plain HTTP: ranges, resumption, checksums while the bytes arrive.

The hub's own library cannot go on at the byte where a killed process stopped; an hour of a large file would be lost.
"""

import time
from http import HTTPStatus

import anyio
import httpx
import structlog

from aimd.downloads.failures import DownloadFailure, Reason, disk_failure, gated_repository, refused
from aimd.downloads.hub import RemoteFile, Snapshot
from aimd.downloads.partial import Partial, in_thread
from aimd.downloads.patience import Patience, Retryable, is_passing, retry_after
from aimd.downloads.progress import Progress
from aimd.downloads.settings import DownloadSettings
from aimd.downloads.tree import Tree, is_whole

# Bytes wait in memory for as little as this, so that a killed download has nearly all of them on disk.
_FLUSH_BYTES = 2**20
_FLUSH_SECONDS = 0.1

_log = structlog.get_logger()


class SnapshotFetcher:
    """Fills a tree with a snapshot. Raises DownloadFailure; what was fetched stays for the next attempt."""

    def __init__(self, snapshot: Snapshot, settings: DownloadSettings, progress: Progress) -> None:
        self._snapshot = snapshot
        self._settings = settings
        self._progress = progress
        self._tree = Tree(settings.target)

    async def run(self) -> None:
        """Fetches what is missing, a few files at a time, large ones first."""
        self._progress.restart()
        try:
            with self._tree.locked():
                await in_thread(self._tree.prepare, self._snapshot.files)
                missing = [file for file in self._snapshot.files if not await self._is_there(file)]
                await in_thread(self._tree.require_space, missing)
                await self._fetch_all(sorted(missing, key=lambda file: file.size, reverse=True))
                self._tree.clear_bookkeeping()
        except OSError as error:
            raise disk_failure(error, str(self._settings.target)) from error

    async def _is_there(self, file: RemoteFile) -> bool:
        whole = await in_thread(is_whole, file, self._tree.final(file), self._progress.active)
        self._progress.present += file.size if whole else 0
        return whole

    async def _fetch_all(self, files: list[RemoteFile]) -> None:
        headers = {"Accept-Encoding": "identity", "User-Agent": "aimd"}
        if self._settings.token:
            # httpx takes it off when a redirect leaves the hub.
            headers["Authorization"] = f"Bearer {self._settings.token}"
        timeout = httpx.Timeout(30.0, read=max(1.0, min(60.0, self._settings.stall_timeout)))
        limiter = anyio.CapacityLimiter(self._settings.parallel_files)
        async with (
            httpx.AsyncClient(headers=headers, timeout=timeout, follow_redirects=True) as http,
            anyio.create_task_group() as tasks,
        ):
            for file in files:
                tasks.start_soon(self._provide, http, file, limiter)

    async def _provide(self, http: httpx.AsyncClient, file: RemoteFile, limiter: anyio.CapacityLimiter) -> None:
        async with limiter:
            try:
                await self._fetch(http, file)
            except OSError as error:
                raise disk_failure(error, str(self._settings.target)) from error

    async def _fetch(self, http: httpx.AsyncClient, file: RemoteFile) -> None:
        """Requests until the file is whole, once more from the start if it is not what the hub says."""
        partial = Partial(self._tree, file, self._progress)
        try:
            await partial.recall()
            await self._complete(http, partial)
            if not partial.intact:
                _log.warning("the checksum does not match, fetching again", file=file.path)
                partial.clear()
                await self._complete(http, partial)
            if not partial.intact:
                partial.clear()
                raise DownloadFailure(
                    Reason.VERIFICATION, f"{file.path} arrived twice with another checksum than the hub names"
                )
        finally:
            partial.close()
        await in_thread(self._tree.finish, file)

    async def _complete(self, http: httpx.AsyncClient, partial: Partial) -> None:
        patience = Patience(self._progress)
        while partial.size < partial.file.size:
            before = partial.size
            try:
                await self._request(http, partial)
            except (httpx.HTTPError, httpx.InvalidURL, Retryable) as error:
                if isinstance(error, (httpx.InvalidURL, httpx.UnsupportedProtocol)):
                    raise DownloadFailure(Reason.BAD_REQUEST, f"HF_ENDPOINT or a redirect: {error}") from error
                if partial.size > before:
                    patience.renew()
                known = error if isinstance(error, Retryable) else _wire_failure(error, partial.file)
                await patience.wait(known)

    async def _request(self, http: httpx.AsyncClient, partial: Partial) -> None:
        """One request for what is missing, or for everything if the server's content changed on the way."""
        headers = {"Range": f"bytes={partial.size}-"} if partial.size else {}
        if partial.size and partial.etag:
            headers["If-Range"] = partial.etag
        async with http.stream("GET", self._snapshot.url_of(partial.file), headers=headers) as response:
            self._require_expected(response, partial)
            etag: str = response.headers.get("ETag", "")
            partial.etag = etag if etag.startswith('"') else ""
            await _receive(response, partial)
        if partial.size < partial.file.size:
            raise Retryable(f"{partial.file.path} ended at byte {partial.size} of {partial.file.size}")

    def _require_expected(self, response: httpx.Response, partial: Partial) -> None:
        """Makes sure that the answer continues what is there and is about the file that was listed."""
        file = partial.file
        if response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            partial.clear()
            raise DownloadFailure(Reason.VERIFICATION, f"{file.path} is shorter than the hub says")
        if response.status_code == HTTPStatus.PARTIAL_CONTENT:
            start, total = _content_range(response)
            if start != partial.size:
                raise Retryable(f"{file.path}: the server sent another range than asked for")
        elif response.status_code == HTTPStatus.OK:
            # No ranges here, or the content behind the ETag changed: everything comes again.
            partial.clear()
            total = response.headers.get("Content-Length", "")
        else:
            raise self._failure_of(response, file)
        if total.isdigit() and int(total) != file.size:
            raise DownloadFailure(Reason.VERIFICATION, f"{file.path} has {total} bytes, the hub says {file.size}")

    def _failure_of(self, response: httpx.Response, file: RemoteFile) -> Exception:
        status, repository = response.status_code, self._snapshot.repository
        if response.headers.get("X-Error-Code") == "GatedRepo":
            return gated_repository(repository)
        # A content network behind a redirect refuses signed addresses that are too old: the hub gives a new one.
        if is_passing(status) or (status == HTTPStatus.FORBIDDEN and response.history):
            return Retryable(f"{file.path}: answered {status}", retry_after(response.headers.get("Retry-After", "")))
        if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            return refused(repository, status)
        if status in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE):
            return DownloadFailure(
                Reason.NOT_FOUND, f"404: {repository}/{file.path} not found at commit {self._snapshot.commit}"
            )
        return DownloadFailure(Reason.BAD_REQUEST, f"the hub answered {status} for {file.path}")


async def _receive(response: httpx.Response, partial: Partial) -> None:
    received, flushed = bytearray(), time.monotonic()
    try:
        async for chunk in response.aiter_raw():
            received += chunk
            if len(received) >= _FLUSH_BYTES or time.monotonic() - flushed > _FLUSH_SECONDS:
                data, received = bytes(received), bytearray()
                await partial.append(data)
                flushed = time.monotonic()
    except httpx.HTTPError:
        await partial.append(bytes(received))
        raise
    await partial.append(bytes(received))


def _content_range(response: httpx.Response) -> tuple[int, str]:
    """First byte, -1 if it cannot be read, and the total as written (a number or `*`)."""
    span, _, total = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
    start = span.partition("-")[0]
    return int(start) if start.isdigit() else -1, total


def _wire_failure(error: Exception, file: RemoteFile) -> Retryable:
    return Retryable(f"{file.path}: {type(error).__name__}: {error}".removesuffix(": "))
