"""What a hub repository holds at one commit: files, sizes, checksums.

The revision is resolved once, by huggingface_hub, and pinned: a branch that moves during the download cannot mix two
versions (caching.md C-31).
"""

from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import quote

import anyio

from aimd.downloads.failures import (
    DownloadFailure,
    Reason,
    gated_repository,
    missing_repository,
    missing_revision,
    refused,
)
from aimd.downloads.patience import Patience, Retryable, is_passing, retry_after
from aimd.downloads.progress import Progress
from aimd.downloads.source import HubSource

_BOOKKEEPING = PurePosixPath(".cache/huggingface")


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file of the snapshot; `sha256` for large files, else `git_sha1` of its git blob. `size` in bytes."""

    path: str
    size: int
    sha256: str = ""
    git_sha1: str = ""

    @property
    def checksum(self) -> str:
        """The checksum that identifies the content."""
        return self.sha256 or self.git_sha1


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A repository at one commit."""

    repository: str
    commit: str
    endpoint: str
    files: tuple[RemoteFile, ...]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    def url_of(self, file: RemoteFile) -> str:
        """Where the content of a file is."""
        return f"{self.endpoint}/{self.repository}/resolve/{self.commit}/{quote(file.path)}"


async def resolve(source: HubSource, endpoint: str, token: str, progress: Progress) -> Snapshot:
    """Commit and files of a source, asked for until the hub answers. Raises DownloadFailure."""
    patience = Patience(progress)
    while True:
        try:
            return await anyio.to_thread.run_sync(resolve_snapshot, source, endpoint, token, abandon_on_cancel=True)
        except Retryable as failure:
            await patience.wait(failure)


def resolve_snapshot(source: HubSource, endpoint: str, token: str) -> Snapshot:
    """Asks the hub once for commit and files. Blocks; raises DownloadFailure, or Retryable for a passing trouble."""
    # Imported here: the library takes most of a second to load, which `aimd --help` need not wait for.
    from huggingface_hub import HfApi, constants

    base = endpoint or constants.ENDPOINT
    api = HfApi(endpoint=base, token=token or False, library_name="aimd")
    try:
        info = api.model_info(source.repository, revision=source.revision or None, files_metadata=True, timeout=30)
    except Exception as error:
        raise _failure_of(error, source) from error
    if not info.sha:
        raise DownloadFailure(Reason.NETWORK, f"the hub named no commit for {source.repository}")
    files = [
        RemoteFile(
            sibling.rfilename,
            int(sibling.size or 0),
            sha256=sibling.lfs.sha256 if sibling.lfs else "",
            git_sha1="" if sibling.lfs else sibling.blob_id or "",
        )
        for sibling in info.siblings or ()
    ]
    for file in files:
        _refuse_unsafe(file.path)
    return Snapshot(source.repository, info.sha, base.rstrip("/"), tuple(sorted(files, key=lambda file: file.path)))


def _refuse_unsafe(path: str) -> None:
    """A hub may be anybody's: no name of a file may lead out of the target."""
    pure = PurePosixPath(path)
    if pure.is_absolute() or "\\" in path or "\0" in path or ".." in pure.parts or not pure.parts:
        raise DownloadFailure(Reason.BAD_REQUEST, f"the hub names a file outside the repository: {path!r}")
    if pure.is_relative_to(_BOOKKEEPING):
        raise DownloadFailure(Reason.BAD_REQUEST, f"the hub names a file among the bookkeeping: {path!r}")


def _failure_of(error: Exception, source: HubSource) -> DownloadFailure | Retryable:
    from huggingface_hub import errors

    if isinstance(error, errors.GatedRepoError):
        return gated_repository(source.repository)
    if isinstance(error, errors.RepositoryNotFoundError):
        return missing_repository(source.repository)
    if isinstance(error, errors.RevisionNotFoundError):
        return missing_revision(source.repository, source.revision)
    if isinstance(error, errors.HFValidationError):
        return DownloadFailure(Reason.BAD_REQUEST, f"{source.repository!r} is not a repository name: {error}")
    response = getattr(error, "response", None)
    status = getattr(response, "status_code", 0)
    if status in (401, 403):
        return refused(source.repository, status)
    if status == 404:
        return missing_repository(source.repository)
    if isinstance(error, (KeyError, TypeError, ValueError)):
        return DownloadFailure(Reason.BAD_REQUEST, f"what answers at HF_ENDPOINT is no hub: {error!r}")
    if status and not is_passing(status):
        return DownloadFailure(Reason.BAD_REQUEST, f"the hub answered {status} for {source.repository}")
    wait = retry_after(response.headers.get("Retry-After", "")) if response is not None else None
    return Retryable(f"the hub could not be asked about {source.repository}: {error or type(error).__name__}", wait)
