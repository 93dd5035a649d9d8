"""Xet, the hub's own storage of chunks, read in ranges through its library `hf_xet`.

What the hub keeps there comes from there, everything else over plain HTTP. Both fill the same partial files, so that
a download goes on at its byte whichever of the two it began with, and is verified alike; the library's own downloads
begin anew with each process. It tries again by itself: when it gives up, so does the attempt, and the next protocol
goes on.
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

# The library would hold gigabytes on their way; each range is as long as a chunk of a partial file.
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

_AT_ONCE = 2
"""Ranges: the library takes each apart again, and holds up to a block of 64 MB for it."""

_log = structlog.get_logger()


class XetReader:
    """Reads files of a repository from Xet where they are there, and leaves the others to `plain`."""

    def __init__(self, group: Any, hashes: Mapping[str, str], plain: Reader) -> None:
        self._group = group
        self._hashes = hashes
        self._plain = plain
        self._slots = anyio.CapacityLimiter(_AT_ONCE)

    async def read(self, partial: Partial, start: int, end: int) -> None:
        """Raises DownloadFailure (NetworkError) when the library gives up, and what `plain` raises."""
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
    """What reads the files that the repository has in Xet; None if it has none there. Raises DownloadFailure."""
    hashes = await in_thread(_hashes, origin)
    if not hashes:
        return None
    return XetReader(await in_thread(_connect, origin), hashes, plain)


def _hashes(origin: HubOrigin) -> dict[str, str]:
    """Xet's name of each file's content, by path. A mirror that cannot list a tree has none."""
    from huggingface_hub.hf_api import RepoFile

    api = hub_api(origin.endpoint, origin.token)
    try:
        tree = list(api.list_repo_tree(origin.repository, recursive=True, revision=origin.commit))
    except Exception as error:
        _log.info("the hub does not list a tree, so that nothing is asked of Xet", error=str(error))
        return {}
    return {entry.path: entry.xet_hash for entry in tree if isinstance(entry, RepoFile) and entry.xet_hash}


def _connect(origin: HubOrigin) -> Any:
    """The library asks the hub for a token and for where the chunks are, now and whenever the token is about to end."""
    from hf_xet import XetConfig, XetSession

    try:
        return XetSession(XetConfig().with_config(_SETTINGS)).new_download_stream_group(
            token_refresh_url=f"{origin.endpoint}/api/models/{origin.repository}/xet-read-token/{origin.commit}",
            token_refresh_headers=origin.credentials,
        )
    except Exception as error:
        raise _failure(str(error)) from error


def _next(stream: Any) -> bytes:
    """The next bytes, empty at the end; the library's errors, of many types, are one to us."""
    try:
        return bytes(next(stream, b""))
    except Exception as error:
        raise _failure(str(error)) from error


def _failure(detail: str) -> DownloadFailure:
    return DownloadFailure(
        Reason.NETWORK, f"Xet storage: {detail}; open the network to it, or set AIM_DOWNLOADER_PROTOCOL=HTTP"
    )
