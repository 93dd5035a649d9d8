"""Why a pod failed: by its termination message, its termination reason, its exit code or its log, in this order.

aimd's downloader writes a JSON object `{"reason", "detail", …}` as its termination message. Logs are read for other
images.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aimd.api.foreign_reasons import ForeignReason
from aimd.api.reasons import Reason
from aimd.planning.objects import View, containers_of, status_of, text
from aimd.runtime.objects import Category, Failure

MAXIMUM_EXCERPT = 600
LOG_LINES = 50

_AUTH = Category.AUTH
_INVALID = Category.INVALID_SPEC
_EXHAUSTED = Category.RESOURCE_EXHAUSTION
_INFRASTRUCTURE = Category.INFRASTRUCTURE

DOWNLOADER_EXIT_CODES: Mapping[int, str] = {
    20: Reason.AUTH_ERROR,
    21: Reason.SOURCE_NOT_FOUND,
    22: Reason.STORAGE_FULL,
    23: Reason.DOWNLOAD_STALLED,
    24: Reason.VERIFICATION_FAILED,
    25: Reason.NETWORK_ERROR,
    26: Reason.INVALID_SOURCE,
}
PERMANENT_EXIT_CODES: tuple[int, ...] = (20, 21, 22, 26)
PERMANENT_REASONS = frozenset({Reason.AUTH_ERROR, Reason.SOURCE_NOT_FOUND, Reason.STORAGE_FULL, Reason.INVALID_SOURCE})
"""Failures that another attempt with the same inputs cannot cure."""

_CATEGORIES: Mapping[str, Category] = {
    Reason.AUTH_ERROR: _AUTH,
    Reason.SOURCE_NOT_FOUND: _INVALID,
    Reason.STORAGE_FULL: _EXHAUSTED,
    Reason.DOWNLOAD_STALLED: _INFRASTRUCTURE,
    Reason.VERIFICATION_FAILED: _INVALID,
    Reason.NETWORK_ERROR: _INFRASTRUCTURE,
    Reason.INVALID_SOURCE: _INVALID,
}

_ADVICE: Mapping[str, str] = {
    Reason.AUTH_ERROR: "The source refused the credentials: check the token or keys in env.",
    Reason.SOURCE_NOT_FOUND: "The source does not exist: check sourceUri.",
    Reason.STORAGE_FULL: "The volume is too small for the weights: raise the size or the headroom.",
    Reason.DOWNLOAD_STALLED: "The download made no progress for too long.",
    Reason.VERIFICATION_FAILED: "The downloaded files do not match the checksums of the source.",
    Reason.NETWORK_ERROR: "The source could not be reached.",
    Reason.INVALID_SOURCE: "The downloader cannot work with these settings: check sourceUri and env.",
}

_TERMINATIONS: Mapping[str, tuple[str, Category]] = {
    ForeignReason.OOM_KILLED: (Reason.POD_OOM_KILLED, _EXHAUSTED),
    "Evicted": (Reason.POD_EVICTED, _INFRASTRUCTURE),
    "DeadlineExceeded": (Reason.POD_DEADLINE_EXCEEDED, _INVALID),
}

_Pattern = re.Pattern[str]


def _patterns(*texts: str) -> tuple[_Pattern, ...]:
    return tuple(re.compile(pattern, re.IGNORECASE) for pattern in texts)


_PLUMBING = _patterns(
    r"rbac:.*not found", r"clusterrole.*not found", r"forbidden.*cannot.*resource", r"serviceaccount.*cannot"
)
_LOG_GROUPS: tuple[tuple[str, tuple[_Pattern, ...]], ...] = (
    (
        Reason.SOURCE_NOT_FOUND,
        _patterns(
            "repository not found",
            "repositorynotfounderror",
            "404.*not.*found",
            "not.*found.*404",
            "nosuchkey",
            "nosuchbucket",
            "model.*not.*found",
            "file.*not.*found",
            "s3.*404",
        ),
    ),
    (
        Reason.AUTH_ERROR,
        _patterns(
            "access.*denied.*s3",
            "s3.*403",
            "invalidaccesskeyid",
            "signaturedoesnotmatch",
            "s3.*unauthorized",
            "aws.*credentials.*not.*found",
            "nocredentialproviders",
            "access to model.*is restricted",
            "cannot access gated repo",
            "gated repo",
            "invalid.*token.*huggingface",
            "huggingface.*authentication.*failed",
            r"401.*unauthorized.*(hf\.co|huggingface\.co)",
            r"403.*forbidden.*(hf\.co|huggingface\.co)",
        ),
    ),
    (
        Reason.STORAGE_FULL,
        _patterns("no space left on device", "disk.*full", "enospc", "quota.*exceeded", "storage.*full"),
    ),
)


@dataclass(frozen=True, slots=True)
class Termination:
    """How a container of a pod ended; `message` is its termination message.

    `container` is empty for a pod that ended without one, such as an evicted pod.
    """

    container: str
    reason: str
    message: str
    exit_code: int


@dataclass(frozen=True, slots=True)
class Report:
    """What aimd's downloader writes as its termination message; fields that it did not write have their defaults."""

    reason: str = ""
    detail: str = ""
    size_bytes: int | None = None
    revision: str = ""
    files: int | None = None


def termination_of(pod: View) -> Termination:
    """Return how the first terminated container ended, else what the pod itself says (as after an eviction)."""
    for container in containers_of(pod):
        if (ended := container.ended) is not None:
            return Termination(container.name, ended.reason, ended.message, ended.exit_code)
    status = status_of(pod)
    return Termination("", text(status, "reason"), text(status, "message"), 1)


def report_of(pod: View | None) -> Report:
    """Return the report in the termination message, an empty one when there is no pod or no report."""
    return parse_report(termination_of(pod).message) if pod is not None else Report()


def parse_report(message: str) -> Report:
    """Return the report in a text, an empty one when the text is not a JSON object."""
    bare = message.strip()
    try:
        report = json.loads(bare) if bare.startswith("{") else None
    except (ValueError, RecursionError):
        report = None
    if not isinstance(report, dict):
        return Report()
    return Report(
        reason=text(report, "reason"),
        detail=text(report, "detail"),
        size_bytes=_count(report.get("sizeBytes")),
        revision=text(report, "revision"),
        files=_count(report.get("files")),
    )


def pod_failure(pod: View, log: str = "", exit_codes: Mapping[int, str] = DOWNLOADER_EXIT_CODES) -> Failure:
    """Return why a pod in phase Failed failed (OBJ-POD-4).

    `log` is the end of its log, empty when it was not read. `exit_codes` are those of the downloader; pass an empty
    mapping for images that do not keep its contract.
    """
    ended, report = termination_of(pod), report_of(pod)
    detail = report.detail or ended.message
    if report.reason in _CATEGORIES:
        return _known(report.reason, report.detail)
    if ended.reason in _TERMINATIONS:
        name, category = _TERMINATIONS[ended.reason]
        return Failure(category, name, _sentence(ended, detail))
    if ended.exit_code in exit_codes:
        return _known(exit_codes[ended.exit_code], detail)
    found = classify_log(log)
    if found is not None:
        return _known(*found)
    return Failure(_INVALID, Reason.POD_FAILED, _sentence(ended, _last_lines(log) or detail))


def log_excerpt(log: str) -> str:
    """Return why a container ended by its log: the line that names the cause with advice, else the last lines."""
    found = classify_log(log)
    return _cut(f"{_ADVICE[found[0]]} {found[1]}" if found is not None else _last_lines(log))


def needs_log(pod: View, exit_codes: Mapping[int, str] = DOWNLOADER_EXIT_CODES) -> bool:
    """Return whether only the log can explain why the pod failed."""
    ended = termination_of(pod)
    explained = bool(report_of(pod).reason) or ended.exit_code in exit_codes or ended.reason in _TERMINATIONS
    return bool(ended.container) and ended.exit_code != 0 and not explained


def classify_log(log: str) -> tuple[str, str] | None:
    """Return the reason that a log gives and the line that gives it, None when no line does (OBJ-POD-4).

    Groups are tried in order, because the Hugging Face hub answers 401 for repositories that do not exist. The last
    matching line counts; lines about the permissions of service accounts are ignored.
    """
    lines: Sequence[str] = [
        line for line in log.splitlines() if line.strip() and not any(p.search(line) for p in _PLUMBING)
    ]
    for reason, patterns in _LOG_GROUPS:
        for line in reversed(lines):
            if any(pattern.search(line) for pattern in patterns):
                return reason, line.strip()
    return None


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _last_lines(log: str) -> str:
    return "\n".join([line for line in log.splitlines() if line.strip()][-3:])


def _known(reason: str, detail: str) -> Failure:
    cut = _cut(detail)
    return Failure(_CATEGORIES[reason], reason, f"{_ADVICE[reason]} {cut}".strip())


def _sentence(ended: Termination, detail: str) -> str:
    subject = f"Container {ended.container}" if ended.container else "The pod"
    how = f" with {ended.reason}" if ended.reason else ""
    code = f", exit code {ended.exit_code}" if ended.container else ""
    sentence = f"{subject} ended{how}{code}"
    return f"{sentence}: {_cut(detail)}" if detail.strip() else sentence


def _cut(detail: str) -> str:
    cleaned = detail.strip()
    return cleaned if len(cleaned) <= MAXIMUM_EXCERPT else cleaned[: MAXIMUM_EXCERPT - 1] + "…"
