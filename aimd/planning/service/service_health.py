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
from aimd.planning.kinds import INFERENCE_SERVICE
from aimd.planning.pods import probe_pods
from aimd.planning.service.observed import ObservedService
from aimd.planning.time import parse_timestamp
from aimd.runtime.objects import Category, Failure, uid_of

INPUT_GRACE = timedelta(seconds=10)
EVENT_AGE = timedelta(minutes=5)

_LOCK_COMPLAINTS = ("the object has been modified", "Operation cannot be fulfilled")


@dataclass(frozen=True, slots=True)
class TimedComponent:
    """A component, and after how many seconds time alone may change it."""

    component: Component
    again_after: float | None = None


def unusable_name_component(message: str) -> Component:
    """No InferenceService can exist for this service's name or namespace (SVC-NAM-1)."""
    failure = Failure(Category.INVALID_SPEC, Reason.INVALID_SPEC, message)
    return Component(
        ServiceCondition.INFERENCE_SERVICE_READY, failures=(failure,), direction=Direction.DOWNSTREAM, blocks_apply=True
    )


def inference_service_component(observed: ObservedService, pods: Component | None, now: datetime) -> TimedComponent:
    """Health of the InferenceService (SVC-HLT-3)."""
    live = observed.inference_service
    if live is None and INFERENCE_SERVICE.name in observed.absent_kinds:
        message = "KServe is not installed: the cluster has no kind InferenceService"
        return TimedComponent(_runtime(State.FAILED, Reason.FETCH_ERROR, message))
    if live is None:
        return TimedComponent(
            _runtime(State.PROGRESSING, Reason.CREATING_RUNTIME, "The InferenceService does not exist yet")
        )
    ready = _condition(live, "Ready")
    if ready.get("status") == "True":
        return TimedComponent(_runtime(State.READY, Reason.RUNTIME_READY, "InferenceService is ready"))
    if _has_served(observed.service) and pods is not None and pods.effective_state is State.READY:
        message = "InferenceService is scaling; its ready pods keep serving"
        return TimedComponent(_runtime(State.READY, Reason.RUNTIME_SCALING, message))
    warning = _current_warning(observed, now)
    if warning is not None:
        event, left = warning
        text = str(event.get("message") or "KServe reports an error")
        return TimedComponent(_runtime(State.FAILED, str(event.get("reason")), text), left)
    message = str(ready.get("message") or "The InferenceService is not ready yet")
    return TimedComponent(_runtime(State.PROGRESSING, Reason.CREATING_RUNTIME, message))


def pods_component(observed: ObservedService) -> Component | None:
    """Health of the predictor's pods; None without an InferenceService.

    A Ready pod keeps the component Ready; trouble of the others makes the service Degraded (SVC-HLT-1).
    """
    if observed.inference_service is None:
        return None
    health = probe_pods(observed.pods, logs=observed.logs, events=observed.pod_events, exit_codes={})
    component = health.component(ServiceCondition.INFERENCE_SERVICE_PODS_READY)
    if health.trouble is None:
        return component
    message = f"Pods are ready, but one is in trouble: {health.trouble.message}"
    return replace(component, message=message, counts_as=State.DEGRADED)


def is_serving(component: Component) -> bool:
    """Whether the InferenceService answers requests."""
    return component.effective_state is State.READY


def forgiven_while_running(component: Component, observed: ObservedService, now: datetime) -> TimedComponent:
    """Trouble of a model or template under a service that runs (SVC-TPL-6).

    Pods do not need them to go on: nothing is blocked, for 10 s nothing shows but the condition, then the service is
    Degraded, never worse.
    """
    if observed.inference_service is None or component.effective_state is State.READY:
        return TimedComponent(component)
    softened = replace(
        component,
        state=State.DEGRADED,
        reason=component.effective_reason,
        message=component.effective_message,
        failures=(),
        blocks_apply=False,
    )
    left = _grace_left(component.type, observed.service, now)
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


def _has_served(service: AIMService) -> bool:
    return any(
        condition.type == ServiceCondition.INFERENCE_SERVICE_READY and condition.status == "True"
        for condition in service.status.conditions
    )


def _current_warning(observed: ObservedService, now: datetime) -> tuple[Mapping[str, Any], float | None] | None:
    """A Warning event that still explains why the InferenceService is not ready, and how long it will count
    (SVC-HLT-2)."""
    live = observed.inference_service or {}
    own = [
        event
        for event in observed.inference_service_events
        if event.get("type") == "Warning" and (event.get("involvedObject") or {}).get("uid") == uid_of(live)
    ]
    rejected = [event for event in own if event.get("reason") == ForeignReason.SERVERLESS_MODE_REJECTED]
    if rejected:
        return max(rejected, key=_moment_text), None
    since = _last_transition(live)
    for event in sorted(own, key=_moment_text, reverse=True):
        moment = parse_timestamp(_moment_text(event))
        if event.get("reason") != ForeignReason.INTERNAL_ERROR or moment is None or _is_lock_complaint(event):
            continue
        left = (moment + EVENT_AGE - now).total_seconds()
        if left > 0 and (since is None or moment > since):
            return event, left
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
