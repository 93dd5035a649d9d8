# tests: tests/faults/test_download_xet.py
"""Xet, the hub's chunked storage, read in ranges through its library `hf_xet`.

Files that the hub keeps in Xet are read from there, all others over plain HTTP. Both fill the same partial files, so
that a download resumes at its last byte with either of them, and is verified in the same way; the library's own
downloads start over with each process. The library retries by itself: if it gives up, the attempt fails, and the next
protocol continues.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import anyio
import structlog

from aimd.downloads.failures import DownloadFailure, Reason
from aimd.downloads.hub import HubOrigin, hub_api
from aimd.downloads.partial import Partial, in_thread
from aimd.downloads.snapshot import RemoteFile
from aimd.downloads.wire import Reader

# By default the library buffers gigabytes; a range here is only as long as a chunk of a partial file.
_SETTINGS = {
    "reconstruction.download_buffer_size": 16_000_000,
    "reconstruction.download_buffer_perfile_size": 8_000_000,
    "reconstruction.download_buffer_limit": 48_000_000,
    "reconstruction.min_prefetch_buffer": 8_000_000,
    "client.retry_max_attempts": 3,
    "client.connect_timeout": timedelta(seconds=20),
    "client.read_timeout": timedelta(seconds=60),
    "telemetry.enabled": False,
}

_CONCURRENT_RANGES = 2
"""The library splits each range again, and keeps a block of up to 64 MB for it."""

_log = structlog.get_logger()


class XetReader:
    """Reads the files of a repository that are in Xet, and leaves the others to `plain`."""

    def __init__(self, group: Any, hashes: Mapping[str, str], plain: Reader) -> None:
        self._group = group
        self._hashes = hashes
        self._plain = plain
        self._slots = anyio.CapacityLimiter(_CONCURRENT_RANGES)

    async def read(self, partial: Partial, start: int, end: int) -> None:
        """Read bytes `start` to `end` (exclusive) into the partial file.

        Raises DownloadFailure (NetworkError) if the library gives up, and what `plain` raises.
        """
        if partial.file.path not in self._hashes:
            await self._plain.read(partial, start, end)
            return
        async with self._slots:
            stream = await in_thread(self._open, partial.file, start, end)
            try:
                while data := await in_thread(_next, stream):
                    await partial.write(start, [data])
                    start += len(data)
            finally:
                stream.cancel()
        if start < end:
            raise _failure(f"{partial.file.path} ended at byte {start} of {end}")

    def _open(self, file: RemoteFile, start: int, end: int) -> Any:
        from hf_xet import XetFileInfo

        try:
            return self._group.download_stream(XetFileInfo(self._hashes[file.path], file.size), start=start, end=end)
        except Exception as error:
            raise _failure(f"{file.path}: {error}") from error


async def xet_reader(origin: HubOrigin, plain: Reader) -> XetReader | None:
    """Return a reader for the files that the repository has in Xet; None if it has none. Raises DownloadFailure."""
    hashes = await in_thread(_hashes, origin)
    if not hashes:
        return None
    return XetReader(await in_thread(_connect, origin), hashes, plain)


def _hashes(origin: HubOrigin) -> dict[str, str]:
    """Return Xet's hash of each file, by path; empty for a mirror that cannot list a tree."""
    from huggingface_hub.hf_api import RepoFile

    api = hub_api(origin.endpoint, origin.token)
    try:
        tree = list(api.list_repo_tree(origin.repository, recursive=True, revision=origin.commit))
    except Exception as error:
        _log.info("hub does not support tree listing; Xet disabled", error=str(error))
        return {}
    return {entry.path: entry.xet_hash for entry in tree if isinstance(entry, RepoFile) and entry.xet_hash}


def _connect(origin: HubOrigin) -> Any:
    """Connect to Xet. The library gets its tokens from the hub, and renews them. Raises DownloadFailure."""
    from hf_xet import XetConfig, XetSession

    try:
        return XetSession(XetConfig().with_config(_SETTINGS)).new_download_stream_group(
            token_refresh_url=f"{origin.endpoint}/api/models/{origin.repository}/xet-read-token/{origin.commit}",
            token_refresh_headers=origin.credentials,
        )
    except Exception as error:
        raise _failure(str(error)) from error


def _next(stream: Any) -> bytes:
    """Return the next bytes, empty at the end. Raises DownloadFailure for any of the library's errors."""
    try:
        return bytes(next(stream, b""))
    except Exception as error:
        raise _failure(str(error)) from error


def _failure(detail: str) -> DownloadFailure:
    return DownloadFailure(
        Reason.NETWORK, f"Xet storage: {detail}. Allow connections to it, or set AIM_DOWNLOADER_PROTOCOL=HTTP"
    )
