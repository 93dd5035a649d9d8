"""The first stage of an artifact: its size, given in the spec or determined by a Job."""

from datetime import datetime, timedelta

from aimd.api.artifact import ArtifactCondition
from aimd.api.reasons import Reason
from aimd.planning.artifact.download_job import JobContext, check_size_job, inputs_of
from aimd.planning.artifact.observed import MAXIMUM_BYTES, JobRun, References, stated_size
from aimd.planning.artifact.stages import (
    POLL_SECONDS,
    Stage,
    delete_job,
    failed_job,
    missing_references,
    poll_seconds,
    running_pods,
)
from aimd.planning.component import DOWNSTREAM, Component, State
from aimd.planning.jobs import JobPhase, finished_at, time_to_live
from aimd.planning.pod_failures import Report, parse_report, report_of
from aimd.planning.time import timestamp
from aimd.runtime.objects import Category, Failure, Manifest

SECRET_POLL_SECONDS = 60.0
_JOB = ArtifactCondition.CHECK_SIZE_JOB_READY
_PODS = ArtifactCondition.CHECK_SIZE_JOB_PODS_READY
_OUTPUT = ArtifactCondition.CHECK_SIZE_OUTPUT_READY
_LONGEST_QUOTE = 200


def plan_size(context: JobContext, run: JobRun, references: References, now: datetime) -> tuple[int, Stage]:
    """Return the size in bytes (0 while unknown), and what to do to find it out (ART-SIZ-1).

    `run` is the size check, `references` are those of its environment.
    """
    size = stated_size(context.artifact)
    if size:
        return size, Stage(passed=True)
    if run.phase is JobPhase.COMPLETE:
        return _read_size(run)
    if run.phase is JobPhase.FAILED and run.job is not None:
        return 0, _failed_check(context, run, run.job, now)
    if run.phase is JobPhase.RUNNING:
        health = running_pods(run, context.exit_codes, Reason.CHECK_SIZE_RETRYING, now)
        running = Component.waiting(_JOB, Reason.JOB_RUNNING, "The size of the source is being determined", DOWNSTREAM)
        return 0, Stage((health.component(_PODS), running), requeue_after=poll_seconds(health))
    if references.stop:
        return 0, Stage((missing_references(_JOB, references),), requeue_after=SECRET_POLL_SECONDS)
    component = Component.missing(_JOB, "The Job that determines the size of the source is being created")
    desired = () if run.phase is JobPhase.ENDING else (check_size_job(context),)
    return 0, Stage((component,), desired, requeue_after=POLL_SECONDS)


def _read_size(run: JobRun) -> tuple[int, Stage]:
    """Return the size that the finished Job reported, or why there is none (ART-SIZ-2)."""
    pod = run.newest_pod
    size = _size_in(report_of(pod))
    line = ""
    if size is None and pod is not None:
        line = (run.log_of(pod).strip().splitlines() or [""])[-1]
        size = _size_in(parse_report(line))
    if size is not None:
        return size, Stage(passed=True)
    if line:
        message = f"The size check did not end with a size: {line[:_LONGEST_QUOTE]}"
        failure = Failure(Category.UNKNOWN, Reason.INVALID_SIZE_OUTPUT, message)
        return 0, Stage((Component.failed(_OUTPUT, failure, DOWNSTREAM, state=State.FAILED),))
    message = "The size that the Job determined cannot be read; trying again"
    unavailable = Component.waiting(_OUTPUT, Reason.SIZE_UNAVAILABLE, message, DOWNSTREAM)
    deletions = (delete_job(run.job, "size-unavailable"),) if pod is None and run.job is not None else ()
    return 0, Stage((unavailable,), deletions=deletions, requeue_after=POLL_SECONDS)


def _failed_check(context: JobContext, run: JobRun, job: Manifest, now: datetime) -> Stage:
    """Return the stage of a size check that failed: shown until the next one is due (ART-SIZ-3)."""
    base = context.settings.retry_base_seconds
    due = (finished_at(job) or now) + timedelta(seconds=min(base, time_to_live(job) or base))
    changed = inputs_of(job) != inputs_of(check_size_job(context).manifest)
    components = failed_job((_JOB, _PODS), run, context.exit_codes, f"Next attempt at {timestamp(due)}")
    if changed or now >= due:
        return Stage(components, deletions=(delete_job(job, "retry"),), requeue_after=POLL_SECONDS)
    return Stage(components, requeue_after=(due - now).total_seconds())


def _size_in(report: Report) -> int | None:
    size = report.size_bytes
    return size if size is not None and 0 < size <= MAXIMUM_BYTES else None
