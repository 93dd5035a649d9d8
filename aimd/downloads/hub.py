"""Files of a repository of a hub: the list of one commit, with sizes and checksums.

huggingface_hub resolves the revision once, and everything is read at that commit, so that a branch that moves during
the download cannot mix two versions (ART-RUN-2).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from aimd.api.source_uri import SourceUri
from aimd.downloads.backoff import Retryable, is_transient, retry_after
from aimd.downloads.checksums import Checksum, Kind
from aimd.downloads.failures import (
    DownloadFailure,
    Reason,
    downgraded,
    gated_repository,
    missing_repository,
    missing_revision,
    refused,
)
from aimd.downloads.snapshot import RemoteFile, Snapshot, require_safe_paths

if TYPE_CHECKING:
    from huggingface_hub import HfApi


@dataclass(frozen=True, slots=True)
class HubOrigin:
    """Files of a repository at one commit, over plain HTTP."""

    endpoint: str
    repository: str
    commit: str
    token: str = field(default="", repr=False)

    def url_of(self, file: RemoteFile) -> str:
        """Return the URL of the content; the hub may redirect it to a content network."""
        return f"{self.endpoint}/{self.repository}/resolve/{self.commit}/{quote(file.path)}"

    @property
    def credentials(self) -> dict[str, str]:
        """Headers that authenticate to the hub; never send them to another host."""
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    def headers(self, _file: RemoteFile) -> Mapping[str, str]:
        """Return the credentials."""
        return self.credentials

    def failure_of(self, file: RemoteFile, status: int, headers: Mapping[str, str], _body: bytes) -> Exception:
        """Return the failure that an error response of the hub means."""
        if headers.get("X-Error-Code") == "GatedRepo":
            return gated_repository(self.repository)
        if status in (401, 403):
            return refused(self.repository, status)
        if status in (404, 410):
            return DownloadFailure(
                Reason.NOT_FOUND, f"404: {self.repository}/{file.path} not found at commit {self.commit}"
            )
        return DownloadFailure(Reason.BAD_REQUEST, f"the hub returned {status} for {file.path}")


def hub_api(endpoint: str, token: str) -> "HfApi":
    """Return the library's client of a hub; it uses no other token than the given one."""
    # Imported here because the library takes most of a second to load, which `aimd --help` must not.
    from huggingface_hub import HfApi, get_session

    hooks = get_session().event_hooks["response"]
    if refuse_downgrade not in hooks:
        hooks.append(refuse_downgrade)
    return HfApi(endpoint=endpoint or None, token=token or False, library_name="aimd")


def refuse_downgrade(response: Any) -> None:
    """Refuse a redirect of the library's request from HTTPS to HTTP (ART-RUN-11). Raises DownloadFailure."""
    location = response.headers.get("Location", "") if response.is_redirect else ""
    if location and response.url.scheme == "https" and response.url.join(location).scheme == "http":
        raise downgraded("the request to the hub")


def list_repository(source: SourceUri, endpoint: str, token: str) -> Snapshot:
    """Return commit and files of a repository, from one request.

    Blocks. Raises DownloadFailure, or Retryable for a temporary problem.
    """
    api = hub_api(endpoint, token)
    try:
        info = api.model_info(source.path, revision=source.revision or None, files_metadata=True, timeout=30)
    except Exception as error:
        raise _failure_of(error, source) from error
    if not info.sha:
        raise DownloadFailure(Reason.NETWORK, f"the hub returned no commit for {source.path}")
    files = sorted((_file(sibling) for sibling in info.siblings or ()), key=lambda file: file.path)
    require_safe_paths([file.path for file in files])
    return Snapshot(info.sha, tuple(files), HubOrigin(api.endpoint.rstrip("/"), source.path, info.sha, token))


def _file(sibling: Any) -> RemoteFile:
    """Return a file with its checksum: SHA-256 for a large file, git's blob SHA-1 for a small one."""
    checksum = Checksum(Kind.GIT_BLOB, sibling.blob_id) if sibling.blob_id else None
    if sibling.lfs:
        checksum = Checksum(Kind.SHA256, sibling.lfs.sha256)
    return RemoteFile(sibling.rfilename, int(sibling.size or 0), checksum)


def _failure_of(error: Exception, source: SourceUri) -> DownloadFailure | Retryable:
    from huggingface_hub import errors

    if isinstance(error, DownloadFailure):
        return error
    if isinstance(error, errors.GatedRepoError):
        return gated_repository(source.path)
    if isinstance(error, errors.RepositoryNotFoundError):
        return missing_repository(source.path)
    if isinstance(error, errors.RevisionNotFoundError):
        return missing_revision(source.path, source.revision)
    if isinstance(error, errors.HFValidationError):
        return DownloadFailure(Reason.BAD_REQUEST, f"{source.path!r} is not a valid repository name: {error}")
    response = getattr(error, "response", None)
    status = getattr(response, "status_code", 0)
    if status in (401, 403):
        return refused(source.path, status)
    if status == 404:
        return missing_repository(source.path)
    if isinstance(error, (KeyError, TypeError, ValueError)):
        return DownloadFailure(Reason.BAD_REQUEST, f"the server at HF_ENDPOINT is not a hub: {error!r}")
    if status and not is_transient(status):
        return DownloadFailure(Reason.BAD_REQUEST, f"the hub returned {status} for {source.path}")
    wait = retry_after(response.headers.get("Retry-After", "")) if response is not None else None
    return Retryable(f"request to the hub for {source.path} failed: {error or type(error).__name__}", wait)
