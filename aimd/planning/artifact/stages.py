"""What the stages of an artifact have in common: their result, and how a Job shows as components."""

from dataclasses import dataclass, replace
from datetime import datetime

from aimd.api.artifact import ArtifactCondition
from aimd.api.foreign_reasons import ForeignReason
from aimd.api.reasons import Reason
from aimd.planning.artifact.observed import JobRun, ObservedArtifact
from aimd.planning.component import DOWNSTREAM, Component, State
from aimd.planning.jobs import job_failure
from aimd.planning.objects import newest_event
from aimd.planning.pod_failures import pod_failure
from aimd.planning.pods import STARTING_SECONDS, PodHealth, probe_pods
from aimd.planning.time import age_seconds
from aimd.runtime.kinds import JOB
from aimd.runtime.objects import Category, Deletion, Desired, Failure, Manifest, key_of, uid_of

POLL_SECONDS = 10.0
_STARTING = frozenset({Reason.PODS_PENDING, ForeignReason.PULLING, Reason.PODS_STARTING})


@dataclass(frozen=True, slots=True)
class Stage:
    """What one stage contributes to the plan; `settled` lets the next stage begin."""

    components: tuple[Component, ...] = ()
    desired: tuple[Desired, ...] = ()
    deletions: tuple[Deletion, ...] = ()
    requeue_after: float | None = None
    settled: bool = False


def missing_references(type_: str, observed: ObservedArtifact) -> Component:
    """A Job that is not made because what its environment refers to is missing (ART-DWN-6)."""
    text = f"The environment refers to {', '.join(observed.references.missing)}: create it or correct env"
    return Component.failed(type_, Failure(Category.MISSING_UPSTREAM, Reason.REFERENCE_NOT_FOUND, text), DOWNSTREAM)


def delete_job(job: Manifest, reason: str) -> Deletion:
    """Takes a Job away, and with it its pods."""
    return Deletion(JOB, key_of(job), uid_of(job), reason)


def cause_of(run: JobRun, observed: ObservedArtifact) -> Failure | None:
    """Why the newest pod failed, None when it did not."""
    pod = run.newest_pod
    if pod is None or (pod.get("status") or {}).get("phase") != "Failed":
        return None
    return pod_failure(pod, observed.logs.get(key_of(pod).name, ""), observed.exit_codes)


def running_pods(run: JobRun, observed: ObservedArtifact, retrying: str, now: datetime) -> PodHealth:
    """Health of the newest pod of a Job that runs.

    A pod that failed is no failure while the Job follows up with another one (ART-DWN-7); a Job whose pods are refused
    at admission has none, and its events say why (ART-DWN-9).
    """
    pod = run.newest_pod
    cause = cause_of(run, observed)
    if cause is not None:
        text = f"A pod failed and another one follows: {cause.reason}: {cause.message}"
        return PodHealth(State.PROGRESSING, retrying, text)
    if pod is None and run.job is not None:
        refused = newest_event(observed.events, uid_of(run.job), frozenset({ForeignReason.FAILED_CREATE}))
        if refused is not None:
            return PodHealth(
                State.PENDING, ForeignReason.FAILED_CREATE, str(refused.get("message") or "Pods are refused")
            )
    pods = () if pod is None else (pod,)
    health = probe_pods(pods, logs=observed.logs, events=observed.events, exit_codes=observed.exit_codes)
    if pod is not None and health.reason in _STARTING and age_seconds(pod, now) < STARTING_SECONDS:
        return PodHealth(State.PENDING, Reason.PODS_PENDING, "The pod waits to be started")
    return health


def poll_seconds(health: PodHealth) -> float:
    """When to look again at a Job that runs: soon at one that is being started, for what it turns into."""
    return STARTING_SECONDS if health.reason == Reason.PODS_PENDING else POLL_SECONDS


def given_up(
    types: tuple[ArtifactCondition, ArtifactCondition], run: JobRun, observed: ObservedArtifact, note: str
) -> tuple[Component, Component]:
    """The components of a failed Job, its pods first: their cause is closer than the Job's (ART-DWN-8).

    `types` are the condition types of the Job and of its pods.

    Causes that are nobody's mistake, such as the network, make the object Failed by its state alone.
    """
    job = (
        job_failure(run.job)
        if run.job is not None
        else Failure(Category.INVALID_SPEC, Reason.JOB_FAILED, "The job failed")
    )
    job_type, pods_type = types
    shown = Component(job_type, State.FAILED, job.reason, f"{job.message}. {note}", DOWNSTREAM)
    cause = cause_of(run, observed)
    if cause is None:
        nothing = Component(pods_type, State.FAILED, Reason.NO_PODS, "No pod is left to tell the cause")
        blamed = (replace(job, category=Category.INVALID_SPEC),)
        return nothing, replace(shown, failures=blamed)
    failure = None if cause.category is Category.INFRASTRUCTURE else cause
    pods = PodHealth(State.FAILED, cause.reason, cause.message, failure)
    return pods.component(pods_type), shown
