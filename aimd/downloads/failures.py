"""Failures of a download: each cause with its reason and exit code, for the job's pod and for people at a terminal.

The phrases for missing, gated and full are those that log classifiers of other operators know (ART-RUN-8).
"""

import errno
from enum import Enum

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class Reason(Enum):
    """Reason in the termination message, and the exit code that stands for it (ART-RUN-6)."""

    AUTH = ("AuthError", 20)
    NOT_FOUND = ("SourceNotFound", 21)
    NO_SPACE = ("StorageFull", 22)
    STALLED = ("DownloadStalled", 23)
    VERIFICATION = ("VerificationFailed", 24)
    NETWORK = ("NetworkError", 25)
    BAD_REQUEST = ("InvalidSource", 26)
    FAILED = ("DownloadFailed", 1)
    SIMULATED = ("SimulatedFailure", 1)

    def __init__(self, text: str, exit_code: int) -> None:
        self.text = text
        self.exit_code = exit_code

    @property
    def transient(self) -> bool:
        """Whether another attempt may succeed."""
        return self not in (Reason.AUTH, Reason.NOT_FOUND, Reason.NO_SPACE, Reason.BAD_REQUEST)


class DownloadFailure(Exception):
    """The download has failed; `detail` says what happened and what to change."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def missing_repository(repository: str) -> DownloadFailure:
    """Return the failure for a repository that does not exist, or that the token may not see."""
    return DownloadFailure(
        Reason.NOT_FOUND,
        f"Repository Not Found: {repository} does not exist on the hub, or it is private and HF_TOKEN is missing or "
        "has no access to it. Correct the name or the token",
    )


def missing_revision(repository: str, revision: str) -> DownloadFailure:
    """Return the failure for a branch, tag or commit that the repository does not have."""
    return DownloadFailure(
        Reason.NOT_FOUND,
        f"Revision Not Found: {repository} has no revision {revision}. Correct the part of the source URI after @",
    )


def gated_repository(repository: str) -> DownloadFailure:
    """Return the failure for a repository whose terms the token's account has not accepted."""
    return DownloadFailure(
        Reason.AUTH,
        f"Cannot access gated repo {repository}: accept its terms on the hub, and set HF_TOKEN to a token of the same "
        "account",
    )


def refused(repository: str, status: int) -> DownloadFailure:
    """Return the failure for credentials that the hub has refused."""
    return DownloadFailure(
        Reason.AUTH, f"the hub returned {status} for {repository}: HF_TOKEN is invalid or has no access"
    )


def downgraded(what: str) -> DownloadFailure:
    """Return the failure for a redirect from HTTPS to HTTP, where anyone on the way could change the content."""
    return DownloadFailure(
        Reason.BAD_REQUEST,
        f"{what} is redirected from HTTPS to plain HTTP: correct the endpoint, or the proxy in front of it",
    )


def disk_failure(error: OSError, target: str) -> DownloadFailure:
    """Return the failure for an error of the volume; a full one has a reason of its own."""
    if error.errno in _FULL:
        return DownloadFailure(
            Reason.NO_SPACE, f"no space left on device: {target} is full. Raise the size of the artifact"
        )
    return DownloadFailure(Reason.FAILED, f"cannot write to {target}: {error.strerror or error}")
