"""The first stage of an artifact: its size, given or asked for by a Job."""

from datetime import datetime, timedelta

from aimd.api.artifact import ArtifactCondition
from aimd.api.reasons import Reason
from aimd.planning.artifact.download_job import check_size_job, inputs_of
from aimd.planning.artifact.observed import MAXIMUM_BYTES, ObservedArtifact, stated_size
from aimd.planning.artifact.stages import (
    POLL_SECONDS,
    Stage,
    delete_job,
    given_up,
    missing_references,
    poll_seconds,
    running_pods,
)
from aimd.planning.component import DOWNSTREAM, Component, State
from aimd.planning.jobs import JobPhase, finished_at, time_to_live
from aimd.planning.pod_failures import Report, parse_report, report_of
from aimd.planning.time import timestamp
from aimd.runtime.objects import Category, Failure, Manifest, key_of

_JOB = ArtifactCondition.CHECK_SIZE_JOB_READY
_PODS = ArtifactCondition.CHECK_SIZE_JOB_PODS_READY
_OUTPUT = ArtifactCondition.CHECK_SIZE_OUTPUT_READY
SECRET_POLL_SECONDS = 60.0


def settle_size(observed: ObservedArtifact, now: datetime) -> tuple[int, Stage]:
    """Size in bytes (0 while unknown) and what is to be done to find it out (ART-SIZ-1)."""
    size = stated_size(observed.artifact)
    if size:
        return size, Stage(settled=True)
    run = observed.check_size
    if run.phase is JobPhase.COMPLETE:
        return _read_size(observed)
    if run.phase is JobPhase.FAILED and run.job is not None:
        return 0, _failed_check(observed, run.job, now)
    if run.phase is JobPhase.RUNNING:
        health = running_pods(run, observed, Reason.CHECK_SIZE_RETRYING, now)
        running = Component.waiting(_JOB, Reason.JOB_RUNNING, "The source is being asked for its size", DOWNSTREAM)
        return 0, Stage((health.component(_PODS), running), requeue_after=poll_seconds(health))
    if observed.references.missing:
        return 0, Stage((missing_references(_JOB, observed),), requeue_after=SECRET_POLL_SECONDS)
    component = Component.missing(_JOB, "The job that asks the source for its size is being made")
    desired = () if run.phase is JobPhase.ENDING else (check_size_job(observed.context()),)
    return 0, Stage((component,), desired, requeue_after=POLL_SECONDS)


def _read_size(observed: ObservedArtifact) -> tuple[int, Stage]:
    """The size that the finished Job reported, or why there is none (ART-SIZ-2)."""
    run, pod = observed.check_size, observed.check_size.newest_pod
    size = _size_in(report_of(pod))
    line = ""
    if size is None and pod is not None:
        line = (observed.logs.get(key_of(pod).name, "").strip().splitlines() or [""])[-1]
        size = _size_in(parse_report(line))
    if size is not None:
        return size, Stage(settled=True)
    if line:
        text = f"The size check did not end with a size: {line[:200]}"
        failure = Failure(Category.UNKNOWN, Reason.INVALID_SIZE_OUTPUT, text)
        return 0, Stage((Component.failed(_OUTPUT, failure, DOWNSTREAM, state=State.FAILED),))
    text = "The size that was found cannot be read; trying again"
    unavailable = Component.waiting(_OUTPUT, Reason.SIZE_UNAVAILABLE, text, DOWNSTREAM)
    deletions = (delete_job(run.job, "size-unavailable"),) if pod is None and run.job is not None else ()
    return 0, Stage((unavailable,), deletions=deletions, requeue_after=POLL_SECONDS)


def _failed_check(observed: ObservedArtifact, job: Manifest, now: datetime) -> Stage:
    """A size check that failed: shown until the next one is due (ART-SIZ-3)."""
    wait = min(observed.settings.retry_base_seconds, time_to_live(job) or observed.settings.retry_base_seconds)
    due = (finished_at(job) or now) + timedelta(seconds=wait)
    changed = inputs_of(job) != inputs_of(check_size_job(observed.context()).manifest)
    components = given_up((_JOB, _PODS), observed.check_size, observed, f"Next attempt at {timestamp(due)}")
    if changed or now >= due:
        return Stage(components, deletions=(delete_job(job, "retry"),), requeue_after=POLL_SECONDS)
    return Stage(components, requeue_after=(due - now).total_seconds())


def _size_in(report: Report) -> int | None:
    size = report.size_bytes
    return size if size is not None and 0 < size <= MAXIMUM_BYTES else None
