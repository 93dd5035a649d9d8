"""Health of what runs: the InferenceService and its pods; and the trouble that a running service outlives."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from aimd.api.foreign_reasons import ForeignReason
from aimd.api.reasons import Reason
from aimd.api.service import AIMService, ServiceCondition
from aimd.api.shared import Status
from aimd.planning.component import Component, Direction, State
from aimd.planning.objects import condition_of, event_time, find_condition, involved_uid, last_transition, text
from aimd.planning.pods import probe_pods
from aimd.planning.time import parse_timestamp
from aimd.runtime.objects import Failure, Manifest, uid_of

INPUT_GRACE = timedelta(seconds=10)
EVENT_AGE = timedelta(minutes=5)

_RUNTIME, _MADE = ServiceCondition.INFERENCE_SERVICE_READY, Direction.DOWNSTREAM
_CONFLICTS = ("the object has been modified", "Operation cannot be fulfilled")


@dataclass(frozen=True, slots=True)
class TimedComponent:
    """A component, and after how many seconds to judge it again though nothing has changed."""

    component: Component
    again_after: float | None = None


@dataclass(frozen=True, slots=True)
class CurrentWarning:
    """A Warning Event that counts, and for how many seconds it still does; None for as long as it exists."""

    event: Manifest
    seconds_left: float | None = None


def impossible_component(problem: Failure) -> Component:
    """Return the health of an InferenceService that name, namespace or rights rule out (SVC-NAM-1, OBJ-TEN-10)."""
    return Component.blocked(_RUNTIME, problem, _MADE)


def kserve_missing_component() -> Component:
    """Return the health of an InferenceService in a cluster that has no such kind (SVC-ORD-4)."""
    message = "KServe is not installed: the cluster has no kind InferenceService. Install KServe"
    return Component(_RUNTIME, State.FAILED, Reason.FETCH_ERROR, message, _MADE)


def inference_service_component(
    live: Manifest | None, warning: CurrentWarning | None, *, keeps_serving: bool
) -> TimedComponent:
    """Return the health of the InferenceService (SVC-HLT-3).

    `keeps_serving` is whether the service has served before and has ready pods, which keep it Ready while it scales.
    """
    if live is None:
        message = "The InferenceService does not exist yet"
        return TimedComponent(Component.waiting(_RUNTIME, Reason.CREATING_RUNTIME, message, _MADE))
    ready = condition_of(live, "Ready")
    if ready is not None and ready.status == "True":
        return TimedComponent(Component.ready(_RUNTIME, Reason.RUNTIME_READY, "InferenceService is ready", _MADE))
    if keeps_serving:
        message = "InferenceService is scaling; its ready pods keep serving"
        return TimedComponent(Component.ready(_RUNTIME, Reason.RUNTIME_SCALING, message, _MADE))
    if warning is not None:
        message = text(warning.event, "message") or "KServe reports an error"
        failed = Component(_RUNTIME, State.FAILED, text(warning.event, "reason"), message, _MADE)
        return TimedComponent(failed, warning.seconds_left)
    message = (ready.message if ready is not None else "") or "The InferenceService is not ready yet"
    return TimedComponent(Component.waiting(_RUNTIME, Reason.CREATING_RUNTIME, message, _MADE))


def pods_component(pods: Sequence[Manifest], logs: Mapping[str, str], events: Sequence[Manifest]) -> Component:
    """Return the health of the predictor's pods; `logs` are by pod name, `events` are those of the pods.

    A Ready pod keeps the component Ready; trouble of the others makes the service Degraded (SVC-HLT-1).
    """
    health = probe_pods(pods, logs=logs, events=events, exit_codes={})
    component = health.component(ServiceCondition.INFERENCE_SERVICE_PODS_READY)
    if health.trouble is None:
        return component
    message = f"Pods are ready, but one of them has a problem: {health.trouble.message}"
    return replace(component, message=message, counts_as=State.DEGRADED)


def is_serving(component: Component) -> bool:
    """Return whether the InferenceService, or a pod of it, answers requests."""
    return component.effective_state is State.READY


def has_served(service: AIMService) -> bool:
    """Return whether the service served when its status was last written."""
    stored = find_condition(service.status.conditions, _RUNTIME)
    return stored is not None and stored.status == "True"


def forgiven_while_running(
    component: Component, service: AIMService, *, running: bool, now: datetime
) -> TimedComponent:
    """Return how trouble of a model or template shows on a service that is `running` (SVC-TPL-6).

    Pods do not need them any more: nothing is blocked, for 10 s only the condition shows the trouble, then the service
    is Degraded, never worse.
    """
    if not running or component.effective_state is State.READY:
        return TimedComponent(component)
    softened = replace(
        component,
        state=State.DEGRADED,
        reason=component.effective_reason,
        message=component.effective_message,
        failures=(),
        blocks_apply=False,
    )
    left = _grace_left(component.type, service, now)
    if left <= 0:
        return TimedComponent(softened)
    return TimedComponent(replace(softened, counts_as=State.READY), left)


def _grace_left(condition_type: str, service: AIMService, now: datetime) -> float:
    """Return the seconds of grace left; 0 once the service is Degraded, whatever for."""
    stored = find_condition(service.status.conditions, condition_type)
    if stored is None or stored.status == "True":
        return INPUT_GRACE.total_seconds()
    since = parse_timestamp(stored.last_transition_time)
    if service.status.status == Status.DEGRADED or since is None:
        return 0.0
    return (since + INPUT_GRACE - now).total_seconds()


def current_warning(live: Manifest, events: Sequence[Manifest], now: datetime) -> CurrentWarning | None:
    """Return the Warning Event that explains why the InferenceService is not ready, None without one (SVC-HLT-2)."""
    own = [event for event in events if text(event, "type") == "Warning" and involved_uid(event) == uid_of(live)]
    rejected = [event for event in own if text(event, "reason") == ForeignReason.SERVERLESS_MODE_REJECTED]
    if rejected:
        return CurrentWarning(max(rejected, key=event_time))
    since = last_transition(live)
    for event in sorted(own, key=event_time, reverse=True):
        moment = parse_timestamp(event_time(event))
        if text(event, "reason") != ForeignReason.INTERNAL_ERROR or moment is None or _is_conflict(event):
            continue
        left = (moment + EVENT_AGE - now).total_seconds()
        if left > 0 and (since is None or moment > since):
            return CurrentWarning(event, left)
    return None


def _is_conflict(event: Manifest) -> bool:
    """Return whether KServe only reports that it has to try again, because the object was written meanwhile."""
    return any(phrase in text(event, "message") for phrase in _CONFLICTS)
