"""What the stages of an artifact share: their result, and how a Job appears as components."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from aimd.api.artifact import ArtifactCondition
from aimd.api.foreign_reasons import ForeignReason
from aimd.api.reasons import Reason
from aimd.planning.artifact.observed import JobRun, References
from aimd.planning.component import DOWNSTREAM, Component, State
from aimd.planning.jobs import job_failure
from aimd.planning.needs import MOST_LIVE_READS
from aimd.planning.objects import newest_event, phase_of, text
from aimd.planning.pod_failures import pod_failure
from aimd.planning.pods import STARTING_SECONDS, PodHealth, probe_pods
from aimd.planning.time import age_seconds
from aimd.runtime.kinds import JOB
from aimd.runtime.objects import Category, Deletion, Desired, Failure, Manifest, key_of, uid_of

POLL_SECONDS = 10.0
_STARTING = frozenset({Reason.PODS_PENDING, ForeignReason.PULLING, Reason.PODS_STARTING})


@dataclass(frozen=True, slots=True)
class Stage:
    """What one stage contributes to the plan; with `passed`, the next stage begins."""

    components: tuple[Component, ...] = ()
    desired: tuple[Desired, ...] = ()
    deletions: tuple[Deletion, ...] = ()
    requeue_after: float | None = None
    passed: bool = False


def missing_references(type_: str, references: References) -> Component:
    """Return the component of a Job that is not created because of its references (ART-DWN-6, OBJ-BND-3)."""
    if references.too_many:
        text = (
            f"The environment refers to {references.too_many} Secrets and ConfigMaps, more than {MOST_LIVE_READS}: "
            "put the values into fewer objects and correct env"
        )
        return Component.failed(type_, Failure(Category.INVALID_SPEC, Reason.SPEC_TOO_LARGE, text), DOWNSTREAM)
    message = (
        f"The environment refers to objects or keys that do not exist: {', '.join(references.missing)}. "
        "Create them, or correct env"
    )
    return Component.failed(type_, Failure(Category.MISSING_UPSTREAM, Reason.REFERENCE_NOT_FOUND, message), DOWNSTREAM)


def delete_job(job: Manifest, reason: str) -> Deletion:
    """Return the deletion of a Job, which deletes its pods, too."""
    return Deletion(JOB, key_of(job), uid_of(job), reason)


def cause_of(run: JobRun, exit_codes: Mapping[int, str]) -> Failure | None:
    """Return why the newest pod failed, None when it did not."""
    pod = run.newest_pod
    if pod is None or phase_of(pod) != "Failed":
        return None
    return pod_failure(pod, run.log_of(pod), exit_codes)


def running_pods(run: JobRun, exit_codes: Mapping[int, str], retrying: str, now: datetime) -> PodHealth:
    """Return the health of the newest pod of a running Job; `retrying` is the reason after a failed pod.

    A failed pod is not a failure while the Job creates another one (ART-DWN-7). A Job whose pods are refused at
    admission has none, and its Events say why (ART-DWN-9).
    """
    pod = run.newest_pod
    cause = cause_of(run, exit_codes)
    if cause is not None:
        message = f"A pod failed, and the Job creates another one: {cause.reason}: {cause.message}"
        return PodHealth(State.PROGRESSING, retrying, message)
    if pod is None and run.job is not None:
        refused = newest_event(run.events, uid_of(run.job), frozenset({ForeignReason.FAILED_CREATE}))
        if refused is not None:
            message = text(refused, "message") or f"The API server refuses the pods of Job {key_of(run.job).name}"
            return PodHealth(State.PENDING, ForeignReason.FAILED_CREATE, message)
    pods = () if pod is None else (pod,)
    health = probe_pods(pods, logs=run.logs, events=run.events, exit_codes=exit_codes)
    if pod is not None and health.reason in _STARTING and age_seconds(pod, now) < STARTING_SECONDS:
        return PodHealth(State.PENDING, Reason.PODS_PENDING, "Pod is waiting to start")
    return health


def poll_seconds(health: PodHealth) -> float:
    """Return when to look again at a running Job, in seconds: sooner while its pod starts."""
    return STARTING_SECONDS if health.reason == Reason.PODS_PENDING else POLL_SECONDS


def failed_job(
    types: tuple[ArtifactCondition, ArtifactCondition], run: JobRun, exit_codes: Mapping[int, str], note: str
) -> tuple[Component, Component]:
    """Return the components of a failed Job, its pods first: their cause is closer than the Job's (ART-DWN-8).

    `types` are the condition types of the Job and of its pods, `note` is added to the message of the Job.
    Infrastructure causes set the state to Failed without a failure category.
    """
    job = (
        job_failure(run.job)
        if run.job is not None
        else Failure(Category.INVALID_SPEC, Reason.JOB_FAILED, "The Job failed")
    )
    job_type, pods_type = types
    shown = Component(job_type, State.FAILED, job.reason, f"{job.message}. {note}", DOWNSTREAM)
    cause = cause_of(run, exit_codes)
    if cause is None:
        nothing = Component(pods_type, State.FAILED, Reason.NO_PODS, "No pod is left to show the cause")
        return nothing, replace(shown, failures=(replace(job, category=Category.INVALID_SPEC),))
    failure = None if cause.category is Category.INFRASTRUCTURE else cause
    pods = PodHealth(State.FAILED, cause.reason, cause.message, failure)
    return pods.component(pods_type), shown
