# tests: tests/faults/test_download_wire.py
"""One request for a range of a file: its redirects, its response, and the detection of slow transfers.

Uses aiohttp, which takes a fraction of the CPU that httpx needs for each byte. The URL that a hub redirects to is
reused for the file as long as it responds, so that many ranges take one request to the hub.
"""

import ssl
import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Protocol

import aiohttp
from yarl import URL

from aimd.downloads.backoff import Retryable, is_transient, retry_after
from aimd.downloads.failures import DownloadFailure, Reason, downgraded
from aimd.downloads.partial import Partial, in_thread
from aimd.downloads.snapshot import Origin, RemoteFile

_REDIRECTS = 5
_READ_BUFFER = 2**20
# Bytes in memory are lost when the process is killed: flush often, unless they arrive fast.
_FLUSH_SECONDS = 0.01
_FLUSH_BYTES = 4 * 2**20
_SLOW_SECONDS = 30.0
_SLOW_BYTES = 32 * 2**10
LEAST_RATE = _SLOW_BYTES / _SLOW_SECONDS
"""Bytes per second below which a connection is given up."""
_ERROR_BYTES = 4096

WIRE_ERRORS = (aiohttp.ClientError, TimeoutError)


class RangesRefused(Exception):
    """The server ignored the range and sent the whole file, or the file has changed."""


def open_session(connections: int, read_timeout: float, ca_bundle: str = "") -> aiohttp.ClientSession:
    """Return a session for `connections` concurrent requests that honors the proxy variables; timeout in seconds."""
    context = ssl.create_default_context()
    context.load_verify_locations(_public_authorities())
    if ca_bundle:
        context.load_verify_locations(ca_bundle)
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=connections, ssl=context),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=30, sock_read=read_timeout),
        headers={"Accept-Encoding": "identity", "User-Agent": "aimd"},
        auto_decompress=False,
        read_bufsize=_READ_BUFFER,
        trust_env=True,
    )


class Reader(Protocol):
    """Fills partial files with bytes."""

    async def read(self, partial: Partial, start: int, end: int) -> None:
        """Read bytes `start` to `end` (exclusive) into the partial file; those that came before an error stay."""


class RangeReader:
    """Reads ranges of an origin's files over HTTP."""

    def __init__(self, session: aiohttp.ClientSession, origin: Origin) -> None:
        self._session = session
        self._origin = origin
        self._located: dict[str, URL] = {}

    async def read(self, partial: Partial, start: int, end: int) -> None:
        """Read bytes `start` to `end` (exclusive) into the partial file; those that came before an error stay.

        Raises RangesRefused, Retryable, aiohttp's errors, and DownloadFailure for an error that a retry cannot solve.
        """
        file = partial.file
        whole = (start, end) == (0, file.size)
        headers = {} if whole else {"Range": f"bytes={start}-{end - 1}"}
        if start and partial.etag:
            headers["If-Range"] = partial.etag
        response = await self._request(file, headers)
        async with response:
            if response.status == HTTPStatus.OK and not whole:
                raise RangesRefused
            _require_expected(response, file, start)
            etag = response.headers.get("ETag", "")
            partial.etag = etag if etag.startswith('"') else ""
            received = await self._receive(response, partial, start, end)
        if received < end:
            raise Retryable(f"{file.path} ended at byte {received} of {end}")

    async def _request(self, file: RemoteFile, headers: Mapping[str, str]) -> aiohttp.ClientResponse:
        """Return the response with the content, after redirects, but not from HTTPS to plain HTTP (ART-RUN-11)."""
        home = URL(await in_thread(self._origin.url_of, file), encoded=True)
        own = self._origin.headers(file)
        url = self._located.get(file.path, home)
        for _ in range(_REDIRECTS):
            # Credentials are for the origin only, not for the target of a redirect.
            sent = {**headers, **(own if url.origin() == home.origin() else {})}
            response = await self._session.get(url, headers=sent, allow_redirects=False)
            if not 300 <= response.status < 400:
                if response.status >= 400:
                    raise await self._failure_of(response, file, redirected=url.origin() != home.origin())
                return response
            location = response.headers.get("Location", "")
            response.release()
            before, url = url, url.join(URL(location, encoded=True))
            if (before.scheme, url.scheme) == ("https", "http"):
                raise downgraded(file.path)
            if not url.is_absolute() or url.scheme not in ("http", "https"):
                raise DownloadFailure(
                    Reason.BAD_REQUEST, f"{file.path} is redirected to a URL that is not HTTP or HTTPS"
                )
            if url.origin() != home.origin():
                self._located[file.path] = url
        raise DownloadFailure(Reason.BAD_REQUEST, f"{file.path} is redirected more than {_REDIRECTS} times")

    async def _failure_of(self, response: aiohttp.ClientResponse, file: RemoteFile, *, redirected: bool) -> Exception:
        status, headers = response.status, response.headers
        body = await response.content.read(_ERROR_BYTES)
        response.close()
        remembered = self._located.pop(file.path, None) is not None
        # A content network refuses signed URLs that have expired: the hub issues a new one.
        if is_transient(status) or (redirected and remembered and status in (401, 403, 404, 410)):
            return Retryable(f"{file.path}: the server returned {status}", retry_after(headers.get("Retry-After", "")))
        if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return DownloadFailure(Reason.VERIFICATION, f"{file.path} is shorter than listed")
        return self._origin.failure_of(file, status, headers, body)

    async def _receive(self, response: aiohttp.ClientResponse, partial: Partial, start: int, end: int) -> int:
        """Write the body as it arrives, and return the offset behind its last byte."""
        buffered, size, offset = list[bytes](), 0, start
        flushed = checked = time.monotonic()
        since_check = 0
        try:
            async for data, _ in response.content.iter_chunks():
                buffered.append(data)
                size += len(data)
                since_check += len(data)
                if offset + size > end:
                    raise DownloadFailure(Reason.VERIFICATION, f"{partial.file.path} is longer than listed")
                now = time.monotonic()
                if size >= _FLUSH_BYTES or now - flushed > _FLUSH_SECONDS:
                    await partial.write(offset, buffered)
                    buffered, size, offset, flushed = [], 0, offset + size, time.monotonic()
                if now - checked > _SLOW_SECONDS:
                    if since_check < _SLOW_BYTES:
                        raise Retryable(f"{partial.file.path}: {since_check} bytes in {_SLOW_SECONDS:.0f} s")
                    checked, since_check = now, 0
        except WIRE_ERRORS:
            await partial.write(offset, buffered)
            raise
        await partial.write(offset, buffered)
        return offset + size


def _require_expected(response: aiohttp.ClientResponse, file: RemoteFile, start: int) -> None:
    """Check that the response is the requested range of the listed file. Raises Retryable and DownloadFailure."""
    total = response.headers.get("Content-Length", "")
    if response.status == HTTPStatus.PARTIAL_CONTENT:
        span, _, total = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
        if span.partition("-")[0] != str(start):
            raise Retryable(f"{file.path}: the server sent another range than requested")
    if total.isdigit() and int(total) != file.size:
        raise DownloadFailure(Reason.VERIFICATION, f"{file.path} has {total} bytes instead of the listed {file.size}")


def _public_authorities() -> str:
    """Return the path of the public certificate authorities, which slim images do not contain."""
    import certifi

    return certifi.where()
