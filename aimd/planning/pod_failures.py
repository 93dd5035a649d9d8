"""Why a pod failed: from its termination message, its exit code, its log, its termination reason, in this order.

aimd's downloader writes one JSON object `{"reason", "detail", …}` as its
termination message; log text is for images that know nothing of it.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aimd.api.foreign_reasons import ForeignReason
from aimd.api.reasons import Reason
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

# What a reason means for the person who reads the condition, and what to change.
_ADVICE: Mapping[str, str] = {
    Reason.AUTH_ERROR: "The source refused the credentials: check the token or keys in env.",
    Reason.SOURCE_NOT_FOUND: "The source does not exist: check sourceUri.",
    Reason.STORAGE_FULL: "The volume is too small for the weights: raise the size or the headroom.",
    Reason.DOWNLOAD_STALLED: "The download made no progress any more.",
    Reason.VERIFICATION_FAILED: "What was downloaded does not match the source's checksums.",
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
    return tuple(re.compile(text, re.IGNORECASE) for text in texts)


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
    """How a container ended; `message` is its termination message."""

    container: str = ""
    reason: str = ""
    message: str = ""
    exit_code: int = 0


def termination_of(pod: Mapping[str, Any]) -> Termination:
    """The first terminated container, else init container, else what the pod says of itself (as an eviction does)."""
    status: Mapping[str, Any] = pod.get("status") or {}
    for key in ("containerStatuses", "initContainerStatuses"):
        for container in status.get(key) or ():
            ended = (container.get("state") or {}).get("terminated")
            if ended:
                return Termination(
                    str(container.get("name") or ""),
                    str(ended.get("reason") or ""),
                    str(ended.get("message") or ""),
                    int(ended.get("exitCode") or 0),
                )
    return Termination("", str(status.get("reason") or ""), str(status.get("message") or ""), 1)


def report_of(pod: Mapping[str, Any]) -> Mapping[str, Any]:
    """The JSON object in the termination message, empty when there is none."""
    text = termination_of(pod).message.strip()
    if not text.startswith("{"):
        return {}
    try:
        report = json.loads(text)
    except ValueError:
        return {}
    return report if isinstance(report, dict) else {}


def pod_failure(
    pod: Mapping[str, Any], log: str = "", exit_codes: Mapping[int, str] = DOWNLOADER_EXIT_CODES
) -> Failure:
    """Why a pod in phase Failed failed; `log` is the tail of its log, empty when it was not read (OBJ-POD-4).

    `exit_codes` gives meaning to exit codes of images that keep the downloader's contract; pass an empty mapping
    for others.
    """
    ended, report = termination_of(pod), report_of(pod)
    reason, told = str(report.get("reason") or ""), str(report.get("detail") or ended.message)
    if reason in _CATEGORIES:
        return _known(reason, str(report.get("detail") or ""))
    if ended.reason in _TERMINATIONS:
        name, category = _TERMINATIONS[ended.reason]
        return Failure(category, name, _sentence(ended, told))
    if ended.exit_code in exit_codes:
        return _known(exit_codes[ended.exit_code], told)
    found = classify_log(log)
    if found is not None:
        return _known(*found)
    return Failure(_INVALID, Reason.POD_FAILED, _sentence(ended, _last_lines(log) or told))


def log_excerpt(log: str) -> str:
    """What a log says about why its container ended: the telling line with advice, else the last lines."""
    found = classify_log(log)
    return _cut(f"{_ADVICE[found[0]]} {found[1]}" if found is not None else _last_lines(log))


def needs_log(pod: Mapping[str, Any], exit_codes: Mapping[int, str] = DOWNLOADER_EXIT_CODES) -> bool:
    """Whether only the log can tell why the pod failed."""
    ended = termination_of(pod)
    told = bool(report_of(pod).get("reason")) or ended.exit_code in exit_codes
    return bool(ended.container) and ended.exit_code != 0 and ended.reason not in _TERMINATIONS and not told


def classify_log(log: str) -> tuple[str, str] | None:
    """Reason and telling line of a log, None when no line tells (OBJ-POD-4).

    Group by group, because the Hugging Face hub answers 401 for repositories that do not exist; the last matching
    line counts, and lines about the cluster's own permissions are passed over.
    """
    lines: Sequence[str] = [
        line for line in log.splitlines() if line.strip() and not any(p.search(line) for p in _PLUMBING)
    ]
    for reason, patterns in _LOG_GROUPS:
        for line in reversed(lines):
            if any(pattern.search(line) for pattern in patterns):
                return reason, line.strip()
    return None


def _last_lines(log: str) -> str:
    return "\n".join([line for line in log.splitlines() if line.strip()][-3:])


def _known(reason: str, detail: str) -> Failure:
    cut = _cut(detail)
    return Failure(_CATEGORIES[reason], reason, f"{_ADVICE[reason]} {cut}".strip())


def _sentence(ended: Termination, detail: str) -> str:
    who = f"Container {ended.container}" if ended.container else "The pod"
    how = f" with {ended.reason}" if ended.reason else ""
    code = f", exit code {ended.exit_code}" if ended.container else ""
    text = f"{who} ended{how}{code}"
    return f"{text}: {_cut(detail)}" if detail.strip() else text


def _cut(text: str) -> str:
    cleaned = text.strip()
    return cleaned if len(cleaned) <= MAXIMUM_EXCERPT else cleaned[: MAXIMUM_EXCERPT - 1] + "…"
