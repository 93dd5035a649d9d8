"""Discovery of a template's profile: which attempt is due, what it found, and when the next one is due.

The status remembers everything: results and failed attempts count while the fingerprint of their inputs stays the
same. So neither a restart of the operator nor a template that was not Ready for a while repeats a discovery.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from aimd.api.foreign_reasons import ForeignReason
from aimd.api.reasons import Reason
from aimd.api.service_template import AnyServiceTemplate, DiscoveryState, TemplateCondition
from aimd.planning.component import DOWNSTREAM, Component, State
from aimd.planning.jobs import JobPhase, job_failure, job_phase
from aimd.planning.kinds import resource_reference
from aimd.planning.objects import find_condition, newest_event
from aimd.planning.pods import PodHealth, probe_pods
from aimd.planning.service_template.aim_log import runtime_errors
from aimd.planning.service_template.discovery_job import DiscoveryContext, discovery_objects, job_key, spec_hash
from aimd.planning.service_template.discovery_output import DiscoveredProfile, UnusableOutput, read_output
from aimd.planning.time import created_at, parse_timestamp, timestamp
from aimd.runtime.kinds import JOB
from aimd.runtime.objects import Category, Condition, Deletion, Desired, Failure, Manifest, key_of, uid_of

_JOB = TemplateCondition.DISCOVERY_JOB_READY
_PODS = TemplateCondition.DISCOVERY_PODS_READY
DISCOVERED = TemplateCondition.DISCOVERED
FIRST_WAIT_SECONDS = 60
LONGEST_WAIT_SECONDS = 3600
PLACE_WAIT_SECONDS = 5.0
_LONGEST_REASON = 900
_FOUND = "The profile was discovered from the model's image"


@dataclass(frozen=True, slots=True)
class DiscoveryRun:
    """State of a template's discovery.

    `job` is the Job of the present inputs, `others` are Jobs of the template for former ones. `log` is what the Job's
    pod printed, None when it was not read, and `unreadable` says why that failed. `tails` are the last lines of failed
    pods by name, `events` those of pods that do not start. `may_start` is whether a new Job has a place.
    """

    job: Manifest | None = None
    others: Sequence[Manifest] = ()
    pods: Sequence[Manifest] = ()
    log: str | None = None
    unreadable: str = ""
    tails: Mapping[str, str] = field(default_factory=dict)
    events: Sequence[Manifest] = ()
    may_start: bool = False


@dataclass(frozen=True, slots=True)
class DiscoveryPlan:
    """The next step of a discovery; `profile` is set when this reconcile found one."""

    condition: Condition
    components: tuple[Component, ...] = ()
    desired: tuple[Desired, ...] = ()
    deletions: tuple[Deletion, ...] = ()
    status: Mapping[str, Any] = field(default_factory=dict)
    requeue_after: float | None = None
    profile: DiscoveredProfile | None = None


@dataclass(frozen=True, slots=True)
class _Failed:
    """A failed attempt."""

    text: str
    components: tuple[Component, ...]


def has_results(context: DiscoveryContext) -> bool:
    """Return whether the status holds what a discovery with these inputs found (TPL-DSC-1).

    Results without a fingerprint are another operator's, or from before there was one; they are believed. Beside failed
    attempts, the fingerprint is that of the attempts, and the results are of former inputs.
    """
    status, state = context.template.status, _state(context)
    if not status.model_sources and status.profile is None:
        return False
    return not state.spec_hash or (state.spec_hash == spec_hash(context) and not state.attempts)


def wants_job(context: DiscoveryContext, run: DiscoveryRun, now: datetime) -> bool:
    """Return whether a new Job is due, if it has a place."""
    if (
        has_results(context)
        or context.needs_model
        or context.refusal is not None
        or job_phase(run.job) is not JobPhase.ABSENT
    ):
        return False
    return _wait_left(context, _state(context), now) <= 0


def output_wanted(context: DiscoveryContext, run: DiscoveryRun) -> bool:
    """Return whether the log of the Job's pod has to be read."""
    return job_phase(run.job) is JobPhase.COMPLETE and not has_results(context) and not _is_booked(context, run)


def plan_discovery(
    context: DiscoveryContext, run: DiscoveryRun, *, hardware_there: bool, now: datetime
) -> DiscoveryPlan:
    """Return the next step; `hardware_there` is whether the cluster has the requested GPU. Pure and total."""
    obsolete = running_jobs_to_delete(run, keep_current=True)
    if has_results(context):
        status = {"discovery": {"specHash": spec_hash(context)}}
        return DiscoveryPlan(completed(context.template), _settled(context), deletions=obsolete, status=status)
    if context.refusal is not None:
        return _without_rights(context.refusal, running_jobs_to_delete(run))
    phase = job_phase(run.job)
    if phase is JobPhase.COMPLETE and not _is_booked(context, run):
        return _read(context, run, now)
    if phase in (JobPhase.FAILED, JobPhase.COMPLETE):
        return _failed(context, run, _why(context, run), obsolete, now)
    if phase is JobPhase.RUNNING:
        pods = _refused_pods(run) or probe_pods(run.pods, logs=run.tails, events=run.events, exit_codes={})
        if pods.reason == ForeignReason.FAILED_CREATE:
            return _failed(context, run, _stuck(pods), obsolete, now)
        if pods.failure is not None and pods.reason != Reason.NO_PODS:
            return _failed(context, run, _stuck(pods), obsolete, now)
        text = "The discovery Job is running"
        components = (Component.waiting(_JOB, Reason.JOB_RUNNING, text, DOWNSTREAM), *_pods(run, pods))
        again = None if run.pods else PLACE_WAIT_SECONDS
        return DiscoveryPlan(_awaiting(text), components, deletions=obsolete, requeue_after=again)
    return _absent(context, run, obsolete, now, hardware_there=hardware_there)


def running_jobs_to_delete(run: DiscoveryRun, *, keep_current: bool = False) -> tuple[Deletion, ...]:
    """Return the deletions of running Jobs whose result is no longer needed (TPL-DSC-3)."""
    jobs = [*run.others, *([run.job] if run.job is not None and not keep_current else [])]
    return _deletions([job for job in jobs if job_phase(job) is JobPhase.RUNNING])


def _read(context: DiscoveryContext, run: DiscoveryRun, now: datetime) -> DiscoveryPlan:
    """Return the plan after a completed Job: its output is the result, or the reason why there is none (TPL-DSC-5)."""
    try:
        if run.log is None:
            raise UnusableOutput(run.unreadable or "the output of the discovery job is gone")
        profile = read_output(run.log)
    except UnusableOutput as error:
        text = f"Discovery ran, but {error}"
        failure = Failure(Category.INVALID_SPEC, Reason.DISCOVERY_FAILED, text)
        return _failed(context, run, _Failed(text, (Component.failed(_JOB, failure, DOWNSTREAM),)), (), now)
    status = {"discovery": {"specHash": spec_hash(context)}, "discoveryJob": _reference(run)}
    message = "; ".join([_FOUND, *(f"left out: {remark}" for remark in profile.remarks)])
    condition = Condition(DISCOVERED, "True", Reason.DISCOVERY_COMPLETE, message)
    pods = (Component.ready(_PODS, Reason.PODS_READY, "The discovery pod has ended"),) if run.pods else ()
    return DiscoveryPlan(condition, (_job_ready(), *pods), status=status, profile=profile)


def _failed(
    context: DiscoveryContext, run: DiscoveryRun, failed: _Failed, obsolete: tuple[Deletion, ...], now: datetime
) -> DiscoveryPlan:
    """Return the plan after a failed attempt, which is counted once (TPL-DSC-4).

    Its Job is deleted at once if it still occupies a slot, else before the next attempt.
    """
    state, status = _state(context), {}
    if not _is_booked(context, run):
        state = _booked(context, failed.text, now)
        status = {
            "discovery": {
                "attempts": state.attempts,
                "lastAttemptTime": state.last_attempt_time,
                "lastFailureReason": state.last_failure_reason,
                "specHash": state.spec_hash,
            },
            "discoveryJob": _reference(run),
        }
    left = _wait_left(context, state, now, booked=True)
    holds_place = job_phase(run.job) is JobPhase.RUNNING
    deletions = _deletions([run.job]) if run.job is not None and (holds_place or left <= 0) else ()
    return DiscoveryPlan(
        _discovery_failed(failed.text),
        failed.components,
        deletions=(*obsolete, *deletions),
        status=status,
        requeue_after=max(left, 1.0),
    )


def _absent(
    context: DiscoveryContext, run: DiscoveryRun, obsolete: tuple[Deletion, ...], now: datetime, *, hardware_there: bool
) -> DiscoveryPlan:
    state = _state(context)
    left = _wait_left(context, state, now)
    if left > 0:
        failure = Failure(
            Category.INVALID_SPEC, Reason.DISCOVERY_FAILED, state.last_failure_reason or "Discovery failed"
        )
        condition = _discovery_failed(failure.message)
        return DiscoveryPlan(
            condition, (Component.failed(_JOB, failure, DOWNSTREAM),), deletions=obsolete, requeue_after=left
        )
    if context.needs_model and hardware_there:
        return _without_model(obsolete)
    if not hardware_there:
        return DiscoveryPlan(
            _awaiting("Discovery is waiting for a node with the GPU of the template"), deletions=obsolete
        )
    if run.job is not None:
        text = "The previous discovery Job is being deleted"
        return DiscoveryPlan(
            _awaiting(text), (Component.pending(_JOB, Reason.JOB_NOT_CREATED, text, DOWNSTREAM),), deletions=obsolete
        )
    if not run.may_start:
        text = "All slots for discovery Jobs are occupied; the template is waiting for one"
        components = (Component.pending(_JOB, Reason.JOB_NOT_CREATED, text, DOWNSTREAM),)
        return DiscoveryPlan(_awaiting(text), components, deletions=obsolete, requeue_after=PLACE_WAIT_SECONDS)
    text = "The discovery Job is being created"
    components = (Component.pending(_JOB, Reason.JOB_NOT_CREATED, text, DOWNSTREAM),)
    return DiscoveryPlan(_awaiting(text), components, discovery_objects(context), obsolete)


def _without_model(obsolete: tuple[Deletion, ...]) -> DiscoveryPlan:
    """Return the plan for a template with a minimum of memory where no GPU can be chosen for it (TPL-DSC-12)."""
    text = (
        "The image selects a profile by GPU model, and aimd knows no model of the cluster with hardware.gpu.minVram: "
        "create the template with hardware.gpu.model instead"
    )
    failure = Failure(Category.INVALID_SPEC, Reason.GPU_MODEL_REQUIRED, text)
    condition = Condition(DISCOVERED, "False", Reason.GPU_MODEL_REQUIRED, text)
    return DiscoveryPlan(condition, (Component.failed(_JOB, failure, DOWNSTREAM),), deletions=obsolete)


def _without_rights(refusal: Failure, obsolete: tuple[Deletion, ...]) -> DiscoveryPlan:
    """Return the plan for a template whose Job would borrow rights; a Job that does is deleted (TPL-DSC-16)."""
    condition = Condition(DISCOVERED, "False", Reason.REFERENCE_NOT_ALLOWED, refusal.message)
    return DiscoveryPlan(condition, (Component.failed(_JOB, refusal, DOWNSTREAM),), deletions=obsolete)


def _why(context: DiscoveryContext, run: DiscoveryRun) -> _Failed:
    """Return why a Job that ended gave no result; the pod is closer to the cause than the Job."""
    if job_phase(run.job) is JobPhase.COMPLETE:
        text = _state(context).last_failure_reason
        return _Failed(
            text, (Component.failed(_JOB, Failure(Category.INVALID_SPEC, Reason.DISCOVERY_FAILED, text), DOWNSTREAM),)
        )
    failure = job_failure(run.job or {})
    errors = [error for tail in run.tails.values() for error in runtime_errors(tail)]
    if errors:
        return _refused(run, failure, "; ".join(errors))
    pods = probe_pods(run.pods, logs=run.tails, exit_codes={}) if run.pods else None
    known = pods.failure if pods is not None else None
    text = known.message if known is not None and known.reason != Reason.NO_PODS else failure.message
    return _Failed(text, (Component.failed(_JOB, failure, DOWNSTREAM), *(_pods(run, pods) if pods is not None else ())))


def _refused(run: DiscoveryRun, job: Failure, errors: str) -> _Failed:
    """Return the failed attempt of an image that says why it gave up (TPL-DSC-15)."""
    text = f"The image cannot select a profile: {errors}"
    pods = Component.failed(_PODS, Failure(Category.INVALID_SPEC, Reason.POD_FAILED, text))
    return _Failed(text, (Component.failed(_JOB, job, DOWNSTREAM), *((pods,) if run.pods else ())))


def _refused_pods(run: DiscoveryRun) -> PodHealth | None:
    """Return why a Job has no pods: an admission policy or a quota refuses them, as its Events say (TPL-DSC-18)."""
    refused = newest_event(run.events, uid_of(run.job or {}), frozenset({ForeignReason.FAILED_CREATE}))
    if run.pods or refused is None:
        return None
    message = refused.get("message") or "The API server refuses the pods of the discovery Job"
    return PodHealth(State.PENDING, ForeignReason.FAILED_CREATE, str(message))


def _stuck(pods: PodHealth) -> _Failed:
    """Return the failed attempt of a pod that cannot start and would only occupy a slot (TPL-DSC-6)."""
    job = Component.waiting(_JOB, Reason.JOB_RUNNING, "The discovery Job cannot start and is deleted", DOWNSTREAM)
    return _Failed(pods.message, (job, pods.component(_PODS)))


def _booked(context: DiscoveryContext, text: str, now: datetime) -> DiscoveryState:
    known, digest = _state(context), spec_hash(context)
    attempts = known.attempts if known.spec_hash == digest else 0
    return DiscoveryState(
        attempts=attempts + 1,
        last_attempt_time=timestamp(now),
        last_failure_reason=text[:_LONGEST_REASON],
        spec_hash=digest,
    )


def _is_booked(context: DiscoveryContext, run: DiscoveryRun) -> bool:
    """Return whether this Job's failure has been counted, by its UID, because clocks may differ."""
    state, stored = _state(context), context.template.status.discovery_job
    if run.job is None or stored is None or not state.attempts or state.spec_hash != spec_hash(context):
        return False
    if stored.uid:
        return stored.uid == uid_of(run.job)
    created = created_at(run.job)
    last = parse_timestamp(state.last_attempt_time)
    return created is not None and last is not None and created <= last


def _wait_left(context: DiscoveryContext, state: DiscoveryState, now: datetime, *, booked: bool = False) -> float:
    """Return the seconds until the next attempt, 0 once any input of the Job has changed.

    With `booked`, the state certainly belongs to the present inputs.
    """
    last = parse_timestamp(state.last_attempt_time)
    if not state.attempts or last is None or state.spec_hash != spec_hash(context):
        return 0.0
    former = context.template.status.discovery_job
    if not booked and former is not None and former.name and former.name != job_key(context).name:
        return 0.0
    wait = wait_seconds(state.attempts)
    # A clock that was set back must not prolong the wait.
    return min((last + timedelta(seconds=wait) - now).total_seconds(), float(wait))


def wait_seconds(attempts: int) -> int:
    """Return the seconds to wait after that many failed attempts in a row (TPL-DSC-4)."""
    return min(FIRST_WAIT_SECONDS << min(max(attempts, 1) - 1, 10), LONGEST_WAIT_SECONDS)


def _state(context: DiscoveryContext) -> DiscoveryState:
    return context.template.status.discovery or DiscoveryState()


def _settled(context: DiscoveryContext) -> tuple[Component, ...]:
    """Return the components after success: Job and pods no longer matter, stored conditions stay True (TPL-DSC-8)."""
    stored = {condition.type for condition in context.template.status.conditions}
    pods = (Component.ready(_PODS, Reason.PODS_READY, "The discovery pod has ended"),)
    return (*((_job_ready(),) if _JOB in stored else ()), *(pods if _PODS in stored else ()))


def completed(template: AnyServiceTemplate) -> Condition:
    """Return the condition of a template with results, as the reconcile that found them wrote it."""
    stored = find_condition(template.status.conditions, DISCOVERED)
    if stored is not None and stored.reason in (Reason.DISCOVERY_COMPLETE, Reason.PROFILE_READ_FROM_REGISTRY):
        return Condition(DISCOVERED, "True", stored.reason, stored.message or _FOUND)
    return Condition(DISCOVERED, "True", Reason.DISCOVERY_COMPLETE, _FOUND)


def _awaiting(text: str) -> Condition:
    return Condition(DISCOVERED, "False", Reason.AWAITING_DISCOVERY, text)


def _discovery_failed(text: str) -> Condition:
    return Condition(DISCOVERED, "False", Reason.DISCOVERY_FAILED, f"{text}. Discovery is retried later")


def _job_ready() -> Component:
    return Component.ready(_JOB, Reason.READY, "The discovery Job has completed", DOWNSTREAM)


def _pods(run: DiscoveryRun, pods: PodHealth) -> tuple[Component, ...]:
    return (pods.component(_PODS),) if run.pods else ()


def _deletions(jobs: Sequence[Manifest]) -> tuple[Deletion, ...]:
    return tuple(Deletion(JOB, key_of(job), uid_of(job), "discovery-given-up") for job in jobs)


def _reference(run: DiscoveryRun) -> Manifest | None:
    return resource_reference(JOB, key_of(run.job), uid_of(run.job)) if run.job is not None else None
