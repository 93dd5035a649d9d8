"""What is downloaded: a list of files at one revision, and the origin that serves them.

A hub and an object store are both described by a `Snapshot`, so that the code that fetches it knows neither.
"""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Protocol

from aimd.downloads.checksums import Checksum
from aimd.downloads.failures import DownloadFailure, Reason

BOOKKEEPING = PurePosixPath(".cache/huggingface")
"""Folder in which the hub's own library keeps partial files."""


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file of the snapshot: `size` in bytes, and `etag` as the origin listed it, empty if it has none."""

    path: str
    size: int
    checksum: Checksum | None = None
    etag: str = ""

    @property
    def identity(self) -> str:
        """Sixteen hex digits that identify the content, so that bytes of other content are never continued."""
        content = f"{self.checksum.kind}:{self.checksum.value}" if self.checksum else self.etag
        return hashlib.sha256(f"{self.size}:{content}".encode()).hexdigest()[:16]


class Origin(Protocol):
    """Where the content of the files is, and what its error responses mean."""

    def url_of(self, file: RemoteFile, /) -> str:
        """Return the URL of the content. Call it for each request, because it may carry a signature. May block."""

    def headers(self, file: RemoteFile, /) -> Mapping[str, str]:
        """Return the headers of a request to that URL: credentials, and a condition on the version listed."""

    def failure_of(self, file: RemoteFile, status: int, headers: Mapping[str, str], body: bytes, /) -> Exception:
        """Return a DownloadFailure or Retryable for a status that is neither a success nor transient."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All files of a source URI at one `revision`: a commit, or a digest of the listing."""

    revision: str
    files: tuple[RemoteFile, ...]
    origin: Origin

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


def require_safe_paths(paths: Collection[str]) -> None:
    """Check that all paths can be files below one folder, because an origin is not trusted. Raises DownloadFailure."""
    folders = {str(parent) for path in paths for parent in PurePosixPath(path).parents}
    for path in paths:
        pure = PurePosixPath(path)
        if pure.is_absolute() or "\\" in path or "\0" in path or ".." in pure.parts or not pure.parts:
            raise DownloadFailure(Reason.BAD_REQUEST, f"the server lists a file outside of the target: {path!r}")
        if pure.is_relative_to(BOOKKEEPING):
            raise DownloadFailure(Reason.BAD_REQUEST, f"the server lists a file in the folder {BOOKKEEPING}: {path!r}")
        if str(pure) in folders:
            raise DownloadFailure(Reason.BAD_REQUEST, f"the server lists {path!r} both as a file and as a folder")
