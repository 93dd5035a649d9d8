"""How a download can fail: each cause its reason and exit code, for the job's pod and for people at a terminal.

The phrases printed for missing, gated and full are those that log classifiers of other operators know
(ART-RUN-8).
"""

import errno
from enum import Enum

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class Reason(Enum):
    """Reason as the termination message names it, exit code, and whether another attempt may help (ART-RUN-6)."""

    AUTH = ("AuthError", 20, False)
    NOT_FOUND = ("SourceNotFound", 21, False)
    NO_SPACE = ("StorageFull", 22, False)
    STALLED = ("DownloadStalled", 23, True)
    VERIFICATION = ("VerificationFailed", 24, True)
    NETWORK = ("NetworkError", 25, True)
    BAD_REQUEST = ("InvalidSource", 26, False)
    FAILED = ("DownloadFailed", 1, True)
    SIMULATED = ("SimulatedFailure", 1, True)

    def __init__(self, text: str, exit_code: int, transient: bool) -> None:
        self.text = text
        self.exit_code = exit_code
        self.transient = transient


class DownloadFailure(Exception):
    """The download cannot go on; `detail` says what happened and what to change."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def missing_repository(repository: str) -> DownloadFailure:
    """No such repository, or one this token may not even know of."""
    return DownloadFailure(
        Reason.NOT_FOUND,
        f"Repository Not Found: {repository} does not exist on the hub, or is private and HF_TOKEN is missing or "
        "cannot see it; correct the name or the token",
    )


def missing_revision(repository: str, revision: str) -> DownloadFailure:
    """The repository has no such branch, tag or commit."""
    return DownloadFailure(
        Reason.NOT_FOUND, f"Revision Not Found: {repository} has no revision {revision}; correct what follows the @"
    )


def gated_repository(repository: str) -> DownloadFailure:
    """Somebody has to accept the model's terms, or give a token of somebody who did."""
    return DownloadFailure(
        Reason.AUTH,
        f"Cannot access gated repo {repository}: accept its terms on the hub, then set that account's HF_TOKEN",
    )


def refused(repository: str, status: int) -> DownloadFailure:
    """The hub refused the credentials."""
    return DownloadFailure(
        Reason.AUTH, f"the hub answered {status} for {repository}: HF_TOKEN is invalid or lacks access"
    )


def disk_failure(error: OSError, target: str) -> DownloadFailure:
    """A write that failed: no space is a reason of its own."""
    if error.errno in _FULL:
        return DownloadFailure(
            Reason.NO_SPACE, f"no space left on device: {target} is full; give the artifact more size"
        )
    return DownloadFailure(Reason.FAILED, f"cannot write to {target}: {error.strerror or error}")
