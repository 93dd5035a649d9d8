"""Where a Job stands, by its conditions."""

from typing import Any

import pytest

from aimd.planning.jobs import JobPhase, job_failure, job_phase
from aimd.runtime.objects import Category


def job(condition: str = "", status: str = "True", reason: str = "", **metadata: Any) -> dict[str, Any]:
    conditions = [{"type": condition, "status": status, "reason": reason, "message": "why"}] if condition else []
    return {"metadata": metadata, "status": {"conditions": conditions, "failed": 1, "succeeded": 1}}


@pytest.mark.parametrize(
    ("live", "phase"),
    [
        (None, JobPhase.ABSENT),
        (job(), JobPhase.RUNNING),
        (job("Failed", "False"), JobPhase.RUNNING),
        (job("FailureTarget"), JobPhase.RUNNING),
        (job("Complete"), JobPhase.COMPLETE),
        (job("Failed"), JobPhase.FAILED),
        (job("Complete", deletionTimestamp="2026-01-01T00:00:00Z"), JobPhase.ENDING),
        (job("Failed", deletionTimestamp="2026-01-01T00:00:00Z"), JobPhase.ENDING),
    ],
)
def test_conditions_and_deletion_decide_and_not_the_counters(live: dict[str, Any] | None, phase: JobPhase) -> None:
    """Prove OBJ-POD-5."""
    assert job_phase(live) is phase


@pytest.mark.parametrize(
    ("reason", "name", "category"),
    [
        ("BackoffLimitExceeded", "JobBackoffLimitExceeded", Category.INVALID_SPEC),
        ("Evicted", "JobEvicted", Category.INFRASTRUCTURE),
        ("PodFailurePolicy", "JobFailed", Category.INVALID_SPEC),
    ],
)
def test_why_a_job_was_given_up(reason: str, name: str, category: Category) -> None:
    failure = job_failure(job("Failed", reason=reason))
    assert (failure.reason, failure.category, failure.message) == (name, category, "why")
