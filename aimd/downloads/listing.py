"""From a source to its snapshot: asked until the source answers, and at the revision that was begun with."""

from collections.abc import Callable
from dataclasses import replace

import structlog

from aimd.api.source_uri import Scheme, SourceUri
from aimd.downloads.failures import DownloadFailure, Reason
from aimd.downloads.hub import list_repository
from aimd.downloads.object_store import list_objects
from aimd.downloads.partial import in_thread
from aimd.downloads.patience import Patience, Retryable
from aimd.downloads.progress import Progress
from aimd.downloads.settings import DownloadSettings
from aimd.downloads.snapshot import Snapshot
from aimd.downloads.tree import Tree

_log = structlog.get_logger()


async def list_source(
    source: SourceUri, settings: DownloadSettings, progress: Progress, *, checksums: bool = True
) -> Snapshot:
    """Revision and files of a source. Raises DownloadFailure, also for one that holds nothing."""
    patience = Patience(progress, settings.patience)
    ask = _question(source, settings, progress, checksums)
    while True:
        try:
            snapshot = await in_thread(ask)
        except Retryable as failure:
            await patience.wait(failure)
            continue
        if not snapshot.size:
            raise DownloadFailure(Reason.NOT_FOUND, f"{settings.uri} holds no files (404 not found); correct the path")
        return snapshot


async def pinned_snapshot(source: SourceUri, settings: DownloadSettings, tree: Tree, progress: Progress) -> Snapshot:
    """Like `list_source`; a repository at the commit that an earlier, unfinished run began with (ART-RUN-2).

    Its branch may have moved since: files of two commits must not end up side by side. Object stores have no history.
    """
    pinned = await in_thread(tree.pinned, settings.uri)
    if not pinned or source.scheme is not Scheme.HF:
        return await list_source(source, settings, progress)
    try:
        return await list_source(replace(source, revision=pinned), settings, progress)
    except DownloadFailure as failure:
        if failure.reason is not Reason.NOT_FOUND:
            raise
        _log.warning("the revision begun with is gone, beginning with the present one", revision=pinned)
        return await list_source(source, settings, progress)


def _question(
    source: SourceUri, settings: DownloadSettings, progress: Progress, checksums: bool
) -> Callable[[], Snapshot]:
    if source.scheme is Scheme.HF:
        return lambda: list_repository(source, settings.endpoint, settings.token)
    return lambda: list_objects(source, settings.object_store, progress.active, checksums=checksums)
