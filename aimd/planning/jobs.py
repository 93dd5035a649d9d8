"""Phase of a Job: by its conditions, when it finished, and why it failed."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from aimd.api.reasons import Reason
from aimd.planning.objects import condition_of, is_being_deleted, spec_of
from aimd.planning.time import parse_timestamp
from aimd.runtime.objects import Category, Condition, Failure


class JobPhase(StrEnum):
    """Phase of a Job; a Job that is being deleted is `ENDING`, whatever its result."""

    ABSENT = "Absent"
    ENDING = "Ending"
    RUNNING = "Running"
    COMPLETE = "Complete"
    FAILED = "Failed"


_FAILURES: Mapping[str, tuple[str, Category]] = {
    "BackoffLimitExceeded": (Reason.JOB_BACKOFF_LIMIT_EXCEEDED, Category.INVALID_SPEC),
    "DeadlineExceeded": (Reason.JOB_DEADLINE_EXCEEDED, Category.INVALID_SPEC),
    "Evicted": (Reason.JOB_EVICTED, Category.INFRASTRUCTURE),
}


def job_phase(job: Mapping[str, Any] | None) -> JobPhase:
    """Return the phase of a Job, by its conditions (OBJ-POD-5)."""
    if job is None:
        return JobPhase.ABSENT
    if is_being_deleted(job):
        return JobPhase.ENDING
    if _condition(job, "Complete") is not None:
        return JobPhase.COMPLETE
    return JobPhase.FAILED if _condition(job, "Failed") is not None else JobPhase.RUNNING


def has_ended(job: Mapping[str, Any]) -> bool:
    """Return whether a Job completed or failed."""
    return _end(job) is not None


def job_failure(job: Mapping[str, Any]) -> Failure:
    """Return why a Job failed; what its pods say is closer to the cause."""
    condition = _condition(job, "Failed")
    reason, message = (condition.reason, condition.message) if condition is not None else ("", "")
    name, category = _FAILURES.get(reason, (Reason.JOB_FAILED, Category.INVALID_SPEC))
    return Failure(category, name, message or "The Job failed")


def finished_at(job: Mapping[str, Any]) -> datetime | None:
    """Return when a Job failed or completed, None while it runs."""
    end = _end(job)
    return parse_timestamp(end.last_transition_time) if end is not None else None


def time_to_live(job: Mapping[str, Any]) -> int | None:
    """Return the seconds that a finished Job is kept, None for one that is kept forever."""
    seconds = spec_of(job).get("ttlSecondsAfterFinished")
    return int(seconds) if seconds is not None else None


def _end(job: Mapping[str, Any]) -> Condition | None:
    return _condition(job, "Failed") or _condition(job, "Complete")


def _condition(job: Mapping[str, Any], type_: str) -> Condition | None:
    found = condition_of(job, type_)
    return found if found is not None and found.status == "True" else None
