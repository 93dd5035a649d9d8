"""Health of the autoscaler, the replica figures in the status, and what to delete when autoscaling is switched off.

KServe creates a ScaledObject for an InferenceService with autoscaling, and KEDA a HorizontalPodAutoscaler for that.
KServe leaves its ScaledObject behind when autoscaling is switched off, and KEDA would continue to scale.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from aimd.api.reasons import Reason
from aimd.api.service import AIMService, AIMServiceSpec, ServiceCondition
from aimd.planning.component import Component, Direction, State
from aimd.planning.kinds import SCALED_OBJECT
from aimd.planning.objects import (
    condition_of,
    find_condition,
    has_condition,
    is_controlled_by,
    spec_of,
    status_of,
    whole_number,
)
from aimd.planning.service.scaling import scaling_of, wants_autoscaling
from aimd.planning.time import parse_timestamp
from aimd.runtime.objects import Deletion, Manifest, key_of, uid_of

GRACE = timedelta(seconds=60)

_HPA, _MADE = ServiceCondition.HPA_READY, Direction.DOWNSTREAM

_NOT_INSTALLED = (
    "KEDA is not installed: the cluster has no kind ScaledObject. Install KEDA with its OpenTelemetry scaler, or "
    "remove spec.minReplicas, spec.maxReplicas and spec.autoScaling; until then, the service runs at minReplicas"
)
_FAULTS: Mapping[str, Reason] = {
    Reason.WAITING_FOR_METRICS: Reason.METRICS_FAILED,
    Reason.HPA_NOT_FOUND: Reason.AUTOSCALER_NOT_INSTALLED,
}
"""The reason that replaces a reason to wait when the grace is over."""


@dataclass(frozen=True, slots=True)
class Keda:
    """What KEDA makes of a service with autoscaling; `installed` is whether the cluster has its kinds."""

    installed: bool = True
    scaled_object: Manifest | None = None
    autoscaler: Manifest | None = None


def autoscaler_component(service: AIMService, keda: Keda, *, serving: bool, now: datetime) -> Component | None:
    """Return the health of the autoscaler, None while autoscaling is not asked for.

    Without KEDA, or one that acts, the service runs at its lower bound (SVC-SCL-5).
    """
    autoscaler = keda.autoscaler
    if not wants_autoscaling(service.spec):
        return None
    problem = scaling_of(service.spec).problem
    if problem:
        return Component(_HPA, State.DEGRADED, Reason.INVALID_SPEC, f"Autoscaling is off: {problem}", _MADE)
    if autoscaler is None:
        return _without_autoscaler(service, keda, serving=serving, now=now)
    if not has_condition(autoscaler, "ScalingActive"):
        state, reason = _waiting(service, Reason.WAITING_FOR_METRICS, serving=serving, now=now)
        message = _message_of(autoscaler, "ScalingActive") or "The autoscaler has no metrics yet"
        return Component(_HPA, state, reason, message, _MADE)
    able = condition_of(autoscaler, "AbleToScale")
    if able is not None and able.status != "True":
        message = able.message or "The target cannot be scaled yet"
        return Component.waiting(_HPA, Reason.SCALE_TARGET_NOT_READY, message, _MADE)
    return Component.ready(_HPA, Reason.HPA_OPERATIONAL, "The autoscaler is operational", _MADE)


def autoscaler_grace_left(component: Component | None, service: AIMService, now: datetime) -> float | None:
    """Return the seconds until what the service waits for counts as a fault.

    None when it waits for nothing, or does not serve.
    """
    if component is None or component.reason not in _FAULTS or component.state is not State.PROGRESSING:
        return None
    since = _waiting_since(service, component.reason) or now
    return max((since + GRACE - now).total_seconds(), 1.0)


def runtime_status(spec: AIMServiceSpec, autoscaler: Manifest | None, ready_pods: int) -> Manifest:
    """Return `status.runtime`: the autoscaler's figures, else the bounds asked for and the ready pods (SVC-SCL-6)."""
    scaling = scaling_of(spec)
    minimum, maximum = scaling.minimum, scaling.maximum
    current, desired = ready_pods, scaling.minimum
    if autoscaler is not None and scaling.automatic:
        bounds, figures = spec_of(autoscaler), status_of(autoscaler)
        minimum, maximum = whole_number(bounds, "minReplicas"), whole_number(bounds, "maxReplicas")
        current, desired = whole_number(figures, "currentReplicas"), whole_number(figures, "desiredReplicas")
    display = str(current) if minimum == maximum else f"{current}/{desired} ({minimum}-{maximum})"
    return {
        "currentReplicas": current,
        "desiredReplicas": desired,
        "minReplicas": minimum,
        "maxReplicas": maximum,
        "replicas": display,
    }


def scaled_object_deletion(
    spec: AIMServiceSpec, inference_service: Manifest | None, live: Manifest | None
) -> Deletion | None:
    """Return the deletion of the ScaledObject that KServe leaves behind when autoscaling is switched off (SVC-DEL-1).

    KEDA's autoscaler is deleted with it.
    """
    if live is None or inference_service is None or scaling_of(spec).automatic:
        return None
    maker = uid_of(inference_service)
    if not is_controlled_by(live, maker):
        return None
    return Deletion(SCALED_OBJECT, key_of(live), uid_of(live), reason="autoscaling-off", controller=maker)


def _without_autoscaler(service: AIMService, keda: Keda, *, serving: bool, now: datetime) -> Component:
    """Return why there is no autoscaler: KEDA is not installed, does nothing, refuses, or just needs time."""
    if not keda.installed:
        state = State.DEGRADED if serving else State.PROGRESSING
        return Component(_HPA, state, Reason.AUTOSCALER_NOT_INSTALLED, _NOT_INSTALLED, _MADE)
    state, reason = _waiting(service, Reason.HPA_NOT_FOUND, serving=serving, now=now)
    scaled_object = keda.scaled_object or {}
    if has_condition(scaled_object, "Ready", "False"):
        why = _message_of(scaled_object, "Ready") or "KEDA gives no reason"
        message = f"KEDA does not accept ScaledObject {key_of(scaled_object)}: {why}"
        return Component(_HPA, state, Reason.HPA_NOT_FOUND, message, _MADE)
    if state is State.PROGRESSING:
        return Component(_HPA, state, reason, "The autoscaler has not been created yet", _MADE)
    for_object = f" for ScaledObject {key_of(scaled_object)}" if scaled_object else ""
    message = (
        f"KEDA has not created an autoscaler{for_object}. Check that KEDA is running, or remove spec.minReplicas, "
        "spec.maxReplicas and spec.autoScaling; until then, the service runs at minReplicas"
    )
    return Component(_HPA, state, reason, message, _MADE)


def _waiting(service: AIMService, reason: Reason, *, serving: bool, now: datetime) -> tuple[State, Reason]:
    """Return state and reason of waiting, which is a fault once a serving service has waited too long (SVC-SCL-5)."""
    since = _waiting_since(service, reason)
    if not serving or since is None or now - since < GRACE:
        return State.PROGRESSING, reason
    return State.DEGRADED, _FAULTS[reason]


def _waiting_since(service: AIMService, reason: str) -> datetime | None:
    """Return since when the service serves and waits for `reason`, by its own conditions; None when it does not.

    Once waiting has become a fault, the answer lies before the grace, so that it stays one.
    """
    waiting = find_condition(service.status.conditions, _HPA)
    served = find_condition(service.status.conditions, ServiceCondition.INFERENCE_SERVICE_READY)
    if waiting is None or served is None or served.status != "True":
        return None
    began = parse_timestamp(waiting.last_transition_time)
    serving = parse_timestamp(served.last_transition_time)
    if began is None or serving is None:
        return None
    if waiting.reason == _FAULTS[reason]:
        return began - GRACE
    return max(began, serving) if waiting.reason == reason else None


def _message_of(manifest: Manifest, type_: str) -> str:
    found = condition_of(manifest, type_)
    return found.message if found is not None else ""
