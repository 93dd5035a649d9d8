"""The last stage of an artifact: its download.

A download is complete when the claim records it (ART-DWN-1); a Job counts only for the claim that it was created for
(ART-DWN-2). A failed Job is kept, as the memory of its failure, until the next attempt is due; then it is deleted, and
its deletion leads to the next one. How long the artifact has been failing is read from the condition
`DownloadComplete`, so that waits double without a counter (ART-DWN-4).
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum

from aimd.api.artifact import AIMArtifact, ArtifactCondition
from aimd.api.reasons import Reason
from aimd.planning.artifact.claim import completed_claim, granted_bytes
from aimd.planning.artifact.download_job import (
    DOWNLOAD_TTL_SECONDS,
    JobContext,
    download_identity,
    download_job,
    inputs_of,
)
from aimd.planning.artifact.observed import JobRun, References, completed_source, condition_since
from aimd.planning.artifact.size import SECRET_POLL_SECONDS
from aimd.planning.artifact.stages import (
    POLL_SECONDS,
    Stage,
    cause_of,
    delete_job,
    failed_job,
    missing_references,
    poll_seconds,
    running_pods,
)
from aimd.planning.component import DOWNSTREAM, Component, State
from aimd.planning.jobs import JobPhase, finished_at
from aimd.planning.labels import CLAIM_SIZE_ANNOTATION, CLAIM_UID_ANNOTATION, JOB_REFERENCES_ANNOTATION
from aimd.planning.objects import View, annotations_of, find_condition, text
from aimd.planning.pod_failures import PERMANENT_REASONS
from aimd.planning.pods import PodHealth
from aimd.planning.quantities import bytes_or_zero
from aimd.planning.settings import ControllerSettings
from aimd.planning.time import created_at, timestamp
from aimd.runtime.objects import Category, Condition, Desired, Failure, Manifest, uid_of

DOWNLOAD_COMPLETE = ArtifactCondition.DOWNLOAD_COMPLETE
_JOB = ArtifactCondition.DOWNLOAD_JOB_READY
_PODS = ArtifactCondition.DOWNLOAD_JOB_PODS_READY
_SECRET_POLL_LIMIT = 600.0
_TTL_MARGIN_SECONDS = 60
_UNFINISHED = "The download has not finished"


class Outcome(Enum):
    """What the stage means for `status.progress`; OPEN leaves it to the pod, which reports by itself."""

    OPEN = "open"
    STARTED = "started"
    FAILED = "failed"
    COMPLETE = "complete"


@dataclass(frozen=True, slots=True)
class DownloadStage:
    """The stage, the condition `DownloadComplete` (None: nothing to say yet), and the outcome."""

    stage: Stage
    condition: Condition | None = None
    outcome: Outcome = Outcome.OPEN


def keep_download(context: JobContext, claim: Manifest, run: JobRun, now: datetime) -> DownloadStage:
    """Return the stage of a claim that holds the complete download; the claim gets a record if it has none."""
    recorded = completed_source(claim) is not None
    return _complete(() if recorded else (completed_claim(context, claim, run, now),))


def plan_download(
    context: JobContext, run: JobRun, claim: Manifest | None, references: References, now: datetime
) -> DownloadStage:
    """Return what to do about a download that is not complete; `claim` is None while there is none to write to."""
    artifact = context.artifact
    if run.job is not None and run.phase is not JobPhase.ENDING and not _is_for(run.job, claim):
        component = Component.missing(_JOB, "The download Job was created for another volume and is being replaced")
        stage = Stage((component,), deletions=(delete_job(run.job, "stale"),), requeue_after=POLL_SECONDS)
        return DownloadStage(stage, _unfinished(artifact))
    if claim is None:
        waiting = Component.missing(_JOB, "The download is waiting for its claim")
        return DownloadStage(Stage((waiting,)), _unfinished(artifact))
    if run.phase is JobPhase.COMPLETE:
        return _complete((completed_claim(context, claim, run, now),))
    if run.job is not None and run.phase is JobPhase.RUNNING:
        health = running_pods(run, context.exit_codes, Reason.DOWNLOAD_RETRYING, now)
        is_stuck = health.state not in (State.READY, State.STARTING)
        outdated = is_stuck and _inputs_changed(context, run.job, claim, references.versions)
        return _running(context, run.job, health, is_outdated=outdated)
    if run.job is not None and run.phase is JobPhase.FAILED:
        cause = cause_of(run, context.exit_codes)
        changed = _inputs_changed(context, run.job, claim, references.versions)
        due_at_once = changed or _has_grown(cause, run.job, claim)
        polls = cause is not None and cause.category is Category.AUTH and bool(references.versions)
        return _failed(context, run, now, due_at_once=due_at_once, polls_secrets=polls)
    return _absent(context, run, claim, references, now)


def retry_wait(settings: ControllerSettings, cause: Failure | None, failing_for: timedelta) -> timedelta:
    """Return how long to wait after a failed attempt (ART-DWN-4).

    After a cause that another attempt cannot cure, the wait is as long as the artifact has been failing, so waits
    double from the base to the limit. After any other, such as the network, it is the base.
    """
    permanent = cause is not None and cause.reason in PERMANENT_REASONS
    seconds = failing_for.total_seconds() if permanent else 0.0
    return timedelta(seconds=min(max(seconds, settings.retry_base_seconds), settings.retry_limit_seconds))


def _complete(records: tuple[Desired, ...]) -> DownloadStage:
    components = (
        Component.ready(_PODS, Reason.PODS_READY, "The download pod has finished"),
        Component.ready(_JOB, Reason.READY, "The download is complete", DOWNSTREAM),
    )
    verified = Condition(DOWNLOAD_COMPLETE, "True", Reason.VERIFIED, "Download and verification are complete")
    return DownloadStage(Stage(components, records, passed=True), verified, Outcome.COMPLETE)


def _failed(
    context: JobContext, run: JobRun, now: datetime, *, due_at_once: bool, polls_secrets: bool
) -> DownloadStage:
    """Return the stage of a failed Job: shown until the next attempt, then deleted.

    `due_at_once` is whether something has changed that may cure the failure, `polls_secrets` whether a Secret may.
    """
    cause, job = cause_of(run, context.exit_codes), run.job or {}
    finished = finished_at(job) or now
    failing_for = finished - (_failing_since(context.artifact) or finished)
    due = finished + retry_wait(context.settings, cause, failing_for)
    components = failed_job((_JOB, _PODS), run, context.exit_codes, f"Next attempt at {timestamp(due)}")
    condition = _not_verified(context.artifact, cause)
    if due_at_once or now >= due:
        deletion = delete_job(job, "inputs-changed" if due_at_once else "retry")
        stage = Stage(components, deletions=(deletion,), requeue_after=POLL_SECONDS)
        return DownloadStage(stage, condition, Outcome.FAILED)
    wait = max(1.0, (due - now).total_seconds())
    if polls_secrets:
        wait = min(wait, _poll(now - finished))
    return DownloadStage(Stage(components, requeue_after=wait), condition, Outcome.FAILED)


def _running(context: JobContext, job: Manifest, health: PodHealth, *, is_outdated: bool) -> DownloadStage:
    running = Component.waiting(_JOB, Reason.JOB_RUNNING, "The download is running", DOWNSTREAM)
    stage = Stage((health.component(_PODS), running), download_identity(context), requeue_after=poll_seconds(health))
    if is_outdated:
        stage = replace(stage, deletions=(delete_job(job, "inputs-changed"),))
    return DownloadStage(stage, _in_progress(context.artifact))


def _absent(context: JobContext, run: JobRun, claim: Manifest, references: References, now: datetime) -> DownloadStage:
    artifact = context.artifact
    if references.stop:
        since = condition_since(artifact, _JOB, "False", Reason.REFERENCE_NOT_FOUND) or now
        stage = Stage((missing_references(_JOB, references),), requeue_after=_poll(now - since))
        return DownloadStage(stage, _unfinished(artifact))
    component = Component.missing(_JOB, "The download Job is being created")
    if run.phase is JobPhase.ENDING:
        return DownloadStage(Stage((component,), requeue_after=POLL_SECONDS), _unfinished(artifact))
    kept_for = _time_to_live(context.settings, _failing_since(artifact), now)
    job = download_job(context, claim, kept_for, references.versions)
    stage = Stage((component,), (*download_identity(context), job), requeue_after=POLL_SECONDS)
    return DownloadStage(stage, _unfinished(artifact), Outcome.STARTED)


def _time_to_live(settings: ControllerSettings, failing_since: datetime | None, now: datetime) -> int:
    """Return the seconds that a finished Job is kept: longer than the wait that its failure would lead to."""
    wait = max(settings.retry_base_seconds, (now - failing_since).total_seconds() if failing_since else 0)
    if wait <= DOWNLOAD_TTL_SECONDS:
        return DOWNLOAD_TTL_SECONDS
    return int(min(2 * wait, settings.retry_limit_seconds)) + _TTL_MARGIN_SECONDS


def _poll(waited: timedelta) -> float:
    """Return the seconds until references are read again: as long as they have been missing, bounded (ART-DWN-6)."""
    return min(max(SECRET_POLL_SECONDS, waited.total_seconds()), _SECRET_POLL_LIMIT)


def _failing_since(artifact: AIMArtifact) -> datetime | None:
    return condition_since(artifact, DOWNLOAD_COMPLETE, "False")


def _is_for(job: Manifest, claim: View | None) -> bool:
    """Return whether a Job writes to this very volume; without our annotation its age decides (ART-DWN-2)."""
    if claim is None:
        return False
    noted = text(annotations_of(job), CLAIM_UID_ANNOTATION)
    if noted:
        return noted == uid_of(claim)
    claimed, started = created_at(claim), created_at(job)
    return claimed is not None and started is not None and claimed <= started


def _inputs_changed(context: JobContext, job: Manifest, claim: Manifest, versions: str) -> bool:
    """Return whether the Job was created from other inputs, or from a Secret that has changed (ART-DWN-5)."""
    wanted = download_job(context, claim)
    if inputs_of(job) not in ("", inputs_of(wanted.manifest)):
        return True
    # A corrected Secret is a reason to try at once. Its version is compared, so that its contents are never kept.
    noted = text(annotations_of(job), JOB_REFERENCES_ANNOTATION)
    return bool(noted and versions and noted != versions)


def _has_grown(cause: Failure | None, job: Manifest, claim: Manifest) -> bool:
    """Return whether a volume that was too small for the Job is larger now (ART-DWN-5)."""
    noted = bytes_or_zero(text(annotations_of(job), CLAIM_SIZE_ANNOTATION))
    return cause is not None and cause.reason == Reason.STORAGE_FULL and 0 < noted < granted_bytes(claim)


def _not_verified(artifact: AIMArtifact, cause: Failure | None) -> Condition:
    if _is_downloaded(artifact) or (cause is not None and cause.reason == Reason.VERIFICATION_FAILED):
        message = "The downloaded files could not be verified"
        return Condition(DOWNLOAD_COMPLETE, "False", Reason.VERIFICATION_FAILED, message)
    return Condition(DOWNLOAD_COMPLETE, "False", Reason.DOWNLOADING, _UNFINISHED)


def _in_progress(artifact: AIMArtifact) -> Condition:
    if _is_downloaded(artifact):
        message = "All files are downloaded and are being verified"
        return Condition(DOWNLOAD_COMPLETE, "True", Reason.VERIFYING, message)
    return Condition(DOWNLOAD_COMPLETE, "False", Reason.DOWNLOADING, _UNFINISHED)


def _unfinished(artifact: AIMArtifact) -> Condition | None:
    """Return the condition while no Job exists: the stored one, since waits count from it, without a success."""
    stored = find_condition(artifact.status.conditions, DOWNLOAD_COMPLETE)
    if stored is None:
        return None
    if stored.status == "False":
        return Condition(DOWNLOAD_COMPLETE, "False", stored.reason, stored.message)
    return Condition(DOWNLOAD_COMPLETE, "False", Reason.DOWNLOADING, _UNFINISHED)


def _is_downloaded(artifact: AIMArtifact) -> bool:
    progress = artifact.status.progress
    return progress is not None and (progress.percentage or 0) >= 100
