"""Health of what runs: InferenceService and pods; and what a running service forgives."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from aimd.api.foreign_reasons import ForeignReason
from aimd.api.reasons import Reason
from aimd.api.service import AIMService, ServiceCondition
from aimd.api.shared import Status
from aimd.planning.component import Component, Direction, State
from aimd.planning.pods import probe_pods
from aimd.planning.time import parse_timestamp
from aimd.runtime.objects import Category, Failure, Manifest, uid_of

INPUT_GRACE = timedelta(seconds=10)
EVENT_AGE = timedelta(minutes=5)

_LOCK_COMPLAINTS = ("the object has been modified", "Operation cannot be fulfilled")


@dataclass(frozen=True, slots=True)
class TimedComponent:
    """A component, and after how many seconds time alone may change it."""

    component: Component
    again_after: float | None = None


@dataclass(frozen=True, slots=True)
class CurrentWarning:
    """A Warning Event that counts, and for how many seconds it still does; None as long as it exists."""

    event: Manifest
    seconds_left: float | None = None


def unusable_name_component(message: str) -> Component:
    """No InferenceService can exist for this service's name or namespace (SVC-NAM-1)."""
    failure = Failure(Category.INVALID_SPEC, Reason.INVALID_SPEC, message)
    return Component(
        ServiceCondition.INFERENCE_SERVICE_READY, failures=(failure,), direction=Direction.DOWNSTREAM, blocks_apply=True
    )


def kserve_missing_component() -> Component:
    """Return the health of an InferenceService in a cluster that has no such kind (SVC-ORD-4)."""
    message = "KServe is not installed: the cluster has no kind InferenceService"
    return _runtime(State.FAILED, Reason.FETCH_ERROR, message)


def inference_service_component(
    live: Manifest | None, warning: CurrentWarning | None, *, keeps_serving: bool
) -> TimedComponent:
    """Return the health of the InferenceService (SVC-HLT-3).

    `keeps_serving` is whether the service has served before and has ready pods, which keep it Ready while it scales.
    """
    if live is None:
        return TimedComponent(
            _runtime(State.PROGRESSING, Reason.CREATING_RUNTIME, "The InferenceService does not exist yet")
        )
    ready = _condition(live, "Ready")
    if ready.get("status") == "True":
        return TimedComponent(_runtime(State.READY, Reason.RUNTIME_READY, "InferenceService is ready"))
    if keeps_serving:
        message = "InferenceService is scaling; its ready pods keep serving"
        return TimedComponent(_runtime(State.READY, Reason.RUNTIME_SCALING, message))
    if warning is not None:
        text = str(warning.event.get("message") or "KServe reports an error")
        return TimedComponent(_runtime(State.FAILED, str(warning.event.get("reason")), text), warning.seconds_left)
    message = str(ready.get("message") or "The InferenceService is not ready yet")
    return TimedComponent(_runtime(State.PROGRESSING, Reason.CREATING_RUNTIME, message))


def pods_component(pods: Sequence[Manifest], logs: Mapping[str, str], events: Sequence[Manifest]) -> Component:
    """Return the health of the predictor's pods; `logs` are by pod name, `events` are those of the pods.

    A Ready pod keeps the component Ready; trouble of the others makes the service Degraded (SVC-HLT-1).
    """
    health = probe_pods(pods, logs=logs, events=events, exit_codes={})
    component = health.component(ServiceCondition.INFERENCE_SERVICE_PODS_READY)
    if health.trouble is None:
        return component
    message = f"Pods are ready, but one is in trouble: {health.trouble.message}"
    return replace(component, message=message, counts_as=State.DEGRADED)


def is_serving(component: Component) -> bool:
    """Return whether the InferenceService, or a pod of it, answers requests."""
    return component.effective_state is State.READY


def forgiven_while_running(
    component: Component, service: AIMService, *, running: bool, now: datetime
) -> TimedComponent:
    """Return how trouble of a model or template shows on a service that is `running` (SVC-TPL-6).

    Pods do not need them to go on: nothing is blocked, for 10 s nothing shows but the condition, then the service is
    Degraded, never worse.
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
    """Seconds of grace left; none once the service shows that it has run out, whatever the reason is by now."""
    stored = next((item for item in service.status.conditions if item.type == condition_type), None)
    if stored is None or stored.status == "True":
        return INPUT_GRACE.total_seconds()
    since = parse_timestamp(stored.last_transition_time)
    if service.status.status == Status.DEGRADED or since is None:
        return 0.0
    return (since + INPUT_GRACE - now).total_seconds()


def has_served(service: AIMService) -> bool:
    """Return whether the service served when its status was last written."""
    return any(
        condition.type == ServiceCondition.INFERENCE_SERVICE_READY and condition.status == "True"
        for condition in service.status.conditions
    )


def current_warning(live: Manifest, events: Sequence[Manifest], now: datetime) -> CurrentWarning | None:
    """Return the Warning Event that explains why the InferenceService is not ready, None without one (SVC-HLT-2)."""
    own = [
        event
        for event in events
        if event.get("type") == "Warning" and (event.get("involvedObject") or {}).get("uid") == uid_of(live)
    ]
    rejected = [event for event in own if event.get("reason") == ForeignReason.SERVERLESS_MODE_REJECTED]
    if rejected:
        return CurrentWarning(max(rejected, key=_moment_text))
    since = _last_transition(live)
    for event in sorted(own, key=_moment_text, reverse=True):
        moment = parse_timestamp(_moment_text(event))
        if event.get("reason") != ForeignReason.INTERNAL_ERROR or moment is None or _is_lock_complaint(event):
            continue
        left = (moment + EVENT_AGE - now).total_seconds()
        if left > 0 and (since is None or moment > since):
            return CurrentWarning(event, left)
    return None


def _is_lock_complaint(event: Mapping[str, Any]) -> bool:
    return any(phrase in str(event.get("message") or "") for phrase in _LOCK_COMPLAINTS)


def _moment_text(event: Mapping[str, Any]) -> str:
    series = event.get("series") or {}
    times = (series.get("lastObservedTime"), event.get("lastTimestamp"), event.get("eventTime"))
    return max(str(time or "") for time in times)


def _last_transition(inference_service: Mapping[str, Any]) -> datetime | None:
    moments = (parse_timestamp(str(item.get("lastTransitionTime") or "")) for item in _conditions(inference_service))
    return max((moment for moment in moments if moment is not None), default=None)


def _condition(inference_service: Mapping[str, Any], type_: str) -> Mapping[str, Any]:
    return next((item for item in _conditions(inference_service) if item.get("type") == type_), {})


def _conditions(inference_service: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    conditions: Sequence[Mapping[str, Any]] = (inference_service.get("status") or {}).get("conditions") or ()
    return conditions


def _runtime(state: State, reason: str, message: str) -> Component:
    return Component(ServiceCondition.INFERENCE_SERVICE_READY, state, reason, message, direction=Direction.DOWNSTREAM)
