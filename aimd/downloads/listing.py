"""The list of files behind a source URI: requested until the server responds, and at the commit begun with."""

from collections.abc import Callable
from dataclasses import replace

import structlog

from aimd.api.source_uri import Scheme, SourceUri
from aimd.downloads.backoff import Backoff, Retryable
from aimd.downloads.failures import DownloadFailure, Reason
from aimd.downloads.hub import list_repository
from aimd.downloads.object_store import list_objects
from aimd.downloads.partial import in_thread
from aimd.downloads.progress import Progress
from aimd.downloads.settings import DownloadSettings
from aimd.downloads.snapshot import Snapshot
from aimd.downloads.tree import Tree

_log = structlog.get_logger()


async def list_source(
    source: SourceUri, settings: DownloadSettings, progress: Progress, *, checksums: bool = True
) -> Snapshot:
    """Return revision and files; `checksums` False saves an object store a request per object.

    Raises DownloadFailure, also if there are no files.
    """
    backoff = Backoff(progress, settings.retry_timeout)
    request = _request(source, settings, progress, checksums=checksums)
    while True:
        try:
            snapshot = await in_thread(request)
        except Retryable as failure:
            await backoff.wait(failure)
            continue
        if not snapshot.size:
            raise DownloadFailure(
                Reason.NOT_FOUND, f"{settings.uri} contains no files (404 not found). Correct the path"
            )
        return snapshot


async def pinned_snapshot(source: SourceUri, settings: DownloadSettings, tree: Tree, progress: Progress) -> Snapshot:
    """Return the snapshot to download: of a repository at the commit that an unfinished run began with (ART-RUN-2).

    Its branch may have moved since, and files of two commits must not be mixed. Object stores have no history.
    """
    pinned = await in_thread(tree.pinned, settings.uri)
    if not pinned or source.scheme is not Scheme.HF:
        return await list_source(source, settings, progress)
    try:
        return await list_source(replace(source, revision=pinned), settings, progress)
    except DownloadFailure as failure:
        if failure.reason is not Reason.NOT_FOUND:
            raise
        _log.warning("pinned revision no longer exists, restarting with the current one", revision=pinned)
        return await list_source(source, settings, progress)


def _request(
    source: SourceUri, settings: DownloadSettings, progress: Progress, *, checksums: bool
) -> Callable[[], Snapshot]:
    """Return the blocking request for the list of files."""
    if source.scheme is Scheme.HF:
        return lambda: list_repository(source, settings.endpoint, settings.token)
    return lambda: list_objects(source, settings.object_store, progress.active, checksums=checksums)
