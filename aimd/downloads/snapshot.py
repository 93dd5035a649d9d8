"""What is to be downloaded: a list of files at one revision, and the place they are fetched from.

Hub and object store both end up as a `Snapshot`; what fetches it knows neither of them.
"""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Protocol

from aimd.downloads.checksums import Checksum
from aimd.downloads.failures import DownloadFailure, Reason

BOOKKEEPING = PurePosixPath(".cache/huggingface")


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file of the snapshot; `etag` is the version the origin listed, where it has one. `size` in bytes."""

    path: str
    size: int
    checksum: Checksum | None = None
    etag: str = ""

    @property
    def identity(self) -> str:
        """Sixteen hex digits that name this very content: bytes of another one are never continued."""
        content = f"{self.checksum.kind}:{self.checksum.value}" if self.checksum else self.etag
        return hashlib.sha256(f"{self.size}:{content}".encode()).hexdigest()[:16]


class Origin(Protocol):
    """Where the content of files is, and what its refusals mean."""

    def url_of(self, file: RemoteFile) -> str:
        """Where to ask for the content; made anew for each request, as it may carry a signature. May block."""

    def headers(self, file: RemoteFile) -> Mapping[str, str]:
        """Headers of a request to that URL: credentials, and the version that is meant."""

    def failure_of(self, file: RemoteFile, status: int, headers: Mapping[str, str], body: bytes) -> Exception:
        """A DownloadFailure, or Retryable, for a status that is neither success nor a passing trouble."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All files of a source at one `revision` (a commit, or a digest of the listing)."""

    revision: str
    files: tuple[RemoteFile, ...]
    origin: Origin

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


def checked_paths(paths: Collection[str]) -> None:
    """Raises DownloadFailure for paths that cannot all be files below one folder; an origin may be anybody's."""
    folders = {str(parent) for path in paths for parent in PurePosixPath(path).parents}
    for path in paths:
        pure = PurePosixPath(path)
        if pure.is_absolute() or "\\" in path or "\0" in path or ".." in pure.parts or not pure.parts:
            raise DownloadFailure(Reason.BAD_REQUEST, f"the source names a file outside of itself: {path!r}")
        if pure.is_relative_to(BOOKKEEPING):
            raise DownloadFailure(Reason.BAD_REQUEST, f"the source names a file among the bookkeeping: {path!r}")
        if str(pure) in folders:
            raise DownloadFailure(Reason.BAD_REQUEST, f"the source names {path!r} both as a file and as a folder")
