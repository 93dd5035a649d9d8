"""The last stage of an artifact: its download.

Completeness is a property of the volume, noted on the claim (ART-DWN-1); a Job counts only for the claim it was made
for (ART-DWN-2). A Job that was given up stays as the memory of its failure until the next attempt is due, then it is
deleted and its deletion brings the next one. How long the artifact has been failing is read from the `DownloadComplete`
condition, so waits double without a counter (ART-DWN-4).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from aimd.api.artifact import ArtifactCondition
from aimd.api.reasons import Reason
from aimd.planning.artifact.claim import bytes_of, completed_claim, granted_bytes
from aimd.planning.artifact.download_job import DOWNLOAD_TTL_SECONDS, download_identity, download_job, inputs_of
from aimd.planning.artifact.observed import ObservedArtifact, completion_record, condition_since, is_complete
from aimd.planning.artifact.size import SECRET_POLL_SECONDS
from aimd.planning.artifact.stages import (
    POLL_SECONDS,
    Stage,
    cause_of,
    delete_job,
    given_up,
    missing_references,
    poll_seconds,
    running_pods,
)
from aimd.planning.component import DOWNSTREAM, Component, State
from aimd.planning.jobs import JobPhase, finished_at
from aimd.planning.labels import CLAIM_SIZE_ANNOTATION, CLAIM_UID_ANNOTATION, JOB_REFERENCES_ANNOTATION
from aimd.planning.objects import annotations_of
from aimd.planning.pod_failures import PERMANENT_REASONS
from aimd.planning.time import created_at, timestamp
from aimd.runtime.objects import Category, Condition, Desired, Failure, Manifest, uid_of

_JOB = ArtifactCondition.DOWNLOAD_JOB_READY
_PODS = ArtifactCondition.DOWNLOAD_JOB_PODS_READY
DOWNLOAD_COMPLETE = ArtifactCondition.DOWNLOAD_COMPLETE
_SECRET_POLL_LIMIT = 600.0
_TTL_MARGIN_SECONDS = 60


@dataclass(frozen=True, slots=True)
class DownloadStage:
    """The stage, its condition (None: nothing to say yet), and what becomes of `status.progress`."""

    stage: Stage
    condition: Condition | None = None
    outcome: str = ""
    """`complete`, `failed`, `started`, or empty while the pod reports by itself."""


def settle_download(
    observed: ObservedArtifact, claim: Manifest | None, size_bytes: int, now: datetime
) -> DownloadStage:
    """What to do about the download; `claim` is None while there is none to download to."""
    run = observed.download
    if is_complete(observed) and observed.claim is not None:
        noted = bool(completion_record(observed.claim))
        return _complete(observed, () if noted else (completed_claim(observed, observed.claim, size_bytes, now),))
    if run.job is not None and run.phase is not JobPhase.ENDING and not _is_for(run.job, claim):
        component = Component.missing(_JOB, "The job belongs to a former volume and is being replaced")
        stage = Stage((component,), deletions=(delete_job(run.job, "stale"),), requeue_after=POLL_SECONDS)
        return DownloadStage(stage, _unfinished(observed))
    if claim is None:
        return DownloadStage(
            Stage((Component.missing(_JOB, "The download waits for its claim"),)), _unfinished(observed)
        )
    if run.phase is JobPhase.COMPLETE:
        return _complete(observed, (completed_claim(observed, claim, size_bytes, now),))
    if run.phase is JobPhase.FAILED and run.job is not None:
        return _failed(observed, run.job, claim, size_bytes, now)
    if run.phase is JobPhase.RUNNING and run.job is not None:
        return _running(observed, run.job, claim, size_bytes, now)
    return _absent(observed, claim, size_bytes, now)


def retry_wait(observed: ObservedArtifact, cause: Failure | None, failing_for: timedelta) -> timedelta:
    """How long to wait after an attempt (ART-DWN-4).

    What another try cannot cure waits as long as it has been failing, so the waits double from the base to the
    limit; the rest, such as the network, waits the base.
    """
    settings = observed.settings
    permanent = cause is not None and cause.reason in PERMANENT_REASONS
    seconds = failing_for.total_seconds() if permanent else 0.0
    return timedelta(seconds=min(max(seconds, settings.retry_base_seconds), settings.retry_limit_seconds))


def _complete(observed: ObservedArtifact, notes: tuple[Desired, ...]) -> DownloadStage:
    components = (
        Component.ready(_PODS, Reason.PODS_READY, "The download pod has finished"),
        Component.ready(_JOB, Reason.READY, "The download is complete", DOWNSTREAM),
    )
    verified = Condition(DOWNLOAD_COMPLETE, "True", Reason.VERIFIED, "Download and verification are complete")
    return DownloadStage(Stage(components, notes, settled=True), verified, "complete")


def _failed(
    observed: ObservedArtifact, job: Manifest, claim: Manifest, size_bytes: int, now: datetime
) -> DownloadStage:
    cause = cause_of(observed.download, observed)
    finished = finished_at(job) or now
    due = finished + retry_wait(observed, cause, finished - (_failing_since(observed) or finished))
    components = given_up((_JOB, _PODS), observed.download, observed, f"Next attempt at {timestamp(due)}")
    condition = _not_verified(observed, cause)
    changed = _inputs_changed(observed, job, claim, size_bytes) or _has_grown(cause, job, claim)
    if changed or now >= due:
        reason = "inputs-changed" if changed else "retry"
        stage = Stage(components, deletions=(delete_job(job, reason),), requeue_after=POLL_SECONDS)
        return DownloadStage(stage, condition, "failed")
    wait = max(1.0, (due - now).total_seconds())
    if cause is not None and cause.category is Category.AUTH and observed.references.versions:
        wait = min(wait, _poll(now - finished))
    return DownloadStage(Stage(components, requeue_after=wait), condition, "failed")


def _running(
    observed: ObservedArtifact, job: Manifest, claim: Manifest, size_bytes: int, now: datetime
) -> DownloadStage:
    health = running_pods(observed.download, observed, Reason.DOWNLOAD_RETRYING, now)
    components = (health.component(_PODS), Component.waiting(_JOB, Reason.JOB_RUNNING, "The download runs", DOWNSTREAM))
    stuck = health.state not in (State.READY, State.STARTING)
    stage = Stage(components, download_identity(observed.context(size_bytes)), requeue_after=poll_seconds(health))
    if stuck and _inputs_changed(observed, job, claim, size_bytes):
        stage = replace(stage, deletions=(delete_job(job, "inputs-changed"),))
    return DownloadStage(stage, _in_progress(observed))


def _absent(observed: ObservedArtifact, claim: Manifest, size_bytes: int, now: datetime) -> DownloadStage:
    if observed.references.missing:
        since = condition_since(observed.artifact, _JOB, "False", Reason.REFERENCE_NOT_FOUND) or now
        wait = _poll(now - since)
        stage = Stage((missing_references(_JOB, observed),), requeue_after=wait)
        return DownloadStage(stage, _unfinished(observed))
    component = Component.missing(_JOB, "The download job is being made")
    if observed.download.phase is JobPhase.ENDING:
        return DownloadStage(Stage((component,), requeue_after=POLL_SECONDS), _unfinished(observed))
    context = observed.context(size_bytes)
    job = download_job(context, claim, _time_to_live(observed, now), observed.references.versions)
    stage = Stage((component,), (*download_identity(context), job), requeue_after=POLL_SECONDS)
    return DownloadStage(stage, _unfinished(observed), "started")


def _time_to_live(observed: ObservedArtifact, now: datetime) -> int:
    """Seconds a finished Job is kept: long enough to outlive the wait that its failure would bring."""
    settings = observed.settings
    since = _failing_since(observed)
    wait = max(settings.retry_base_seconds, (now - since).total_seconds() if since else 0)
    if wait <= DOWNLOAD_TTL_SECONDS:
        return DOWNLOAD_TTL_SECONDS
    return int(min(2 * wait, settings.retry_limit_seconds)) + _TTL_MARGIN_SECONDS


def _poll(waited: timedelta) -> float:
    """Seconds until references are looked up again: as long as they have been waited for, within limits (ART-DWN-6)."""
    return min(max(SECRET_POLL_SECONDS, waited.total_seconds()), _SECRET_POLL_LIMIT)


def _failing_since(observed: ObservedArtifact) -> datetime | None:
    return condition_since(observed.artifact, DOWNLOAD_COMPLETE, "False")


def _is_for(job: Manifest, claim: Mapping[str, Any] | None) -> bool:
    """Whether a Job fills this very volume; one without our note is judged by its age (ART-DWN-2)."""
    if claim is None:
        return False
    noted = annotations_of(job).get(CLAIM_UID_ANNOTATION)
    if noted:
        return bool(noted == uid_of(claim))
    claimed, started = (created_at(item) for item in (claim, job))
    return claimed is not None and started is not None and claimed <= started


def _inputs_changed(observed: ObservedArtifact, job: Manifest, claim: Manifest, size_bytes: int) -> bool:
    """Whether the Job was made from other inputs, or from a Secret that has changed (ART-DWN-5)."""
    wanted = download_job(observed.context(size_bytes), claim)
    if inputs_of(job) not in ("", inputs_of(wanted.manifest)):
        return True
    # A Secret that was put right is a reason to try at once, without anybody having kept what is in it.
    noted, versions = annotations_of(job).get(JOB_REFERENCES_ANNOTATION), observed.references.versions
    return bool(noted and versions and noted != versions)


def _has_grown(cause: Failure | None, job: Manifest, claim: Manifest) -> bool:
    """Whether a volume that was too small is larger by now (ART-DWN-5)."""
    noted = bytes_of(annotations_of(job).get(CLAIM_SIZE_ANNOTATION))
    return cause is not None and cause.reason == Reason.STORAGE_FULL and 0 < noted < granted_bytes(claim)


def _not_verified(observed: ObservedArtifact, cause: Failure | None) -> Condition:
    if _downloaded(observed) or (cause is not None and cause.reason == Reason.VERIFICATION_FAILED):
        return Condition(
            DOWNLOAD_COMPLETE, "False", Reason.VERIFICATION_FAILED, "What was downloaded could not be verified"
        )
    return Condition(DOWNLOAD_COMPLETE, "False", Reason.DOWNLOADING, "The download has not finished")


def _in_progress(observed: ObservedArtifact) -> Condition:
    if _downloaded(observed):
        return Condition(DOWNLOAD_COMPLETE, "True", Reason.VERIFYING, "Everything is downloaded and is being verified")
    return Condition(DOWNLOAD_COMPLETE, "False", Reason.DOWNLOADING, "The download has not finished")


def _unfinished(observed: ObservedArtifact) -> Condition | None:
    """While no Job exists the stored condition stays, because waits are counted from it; a success is taken back."""
    for condition in observed.artifact.status.conditions:
        if condition.type == DOWNLOAD_COMPLETE:
            if condition.status == "False":
                return Condition(DOWNLOAD_COMPLETE, "False", condition.reason, condition.message)
            return Condition(DOWNLOAD_COMPLETE, "False", Reason.DOWNLOADING, "The download has not finished")
    return None


def _downloaded(observed: ObservedArtifact) -> bool:
    progress = observed.artifact.status.progress
    return progress is not None and (progress.percentage or 0) >= 100
