"""Where a Job stands."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from aimd.api.reasons import Reason
from aimd.planning.time import parse_timestamp
from aimd.runtime.objects import Category, Failure, metadata_of


class JobPhase(StrEnum):
    """What a Job is doing; a Job that is being deleted is `ENDING`, whatever became of it."""

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
    """The phase of a Job, by its conditions (OBJ-POD-5)."""
    if job is None:
        return JobPhase.ABSENT
    if metadata_of(job).get("deletionTimestamp"):
        return JobPhase.ENDING
    if _condition(job, "Complete"):
        return JobPhase.COMPLETE
    return JobPhase.FAILED if _condition(job, "Failed") else JobPhase.RUNNING


def job_failure(job: Mapping[str, Any]) -> Failure:
    """Why a failed Job was given up; what its pods say is closer to the cause."""
    condition = _condition(job, "Failed")
    name, category = _FAILURES.get(str(condition.get("reason") or ""), (Reason.JOB_FAILED, Category.INVALID_SPEC))
    return Failure(category, name, str(condition.get("message") or "The job failed"))


def finished_at(job: Mapping[str, Any]) -> datetime | None:
    """When a Job failed or completed, None while it runs."""
    condition = _condition(job, "Failed") or _condition(job, "Complete")
    return parse_timestamp(str(condition.get("lastTransitionTime") or ""))


def time_to_live(job: Mapping[str, Any]) -> int | None:
    """Seconds that a finished Job is kept, None for ever."""
    seconds = (job.get("spec") or {}).get("ttlSecondsAfterFinished")
    return int(seconds) if seconds is not None else None


def _condition(job: Mapping[str, Any], type_: str) -> Mapping[str, Any]:
    conditions = (job.get("status") or {}).get("conditions") or ()
    return next((item for item in conditions if item.get("type") == type_ and item.get("status") == "True"), {})
