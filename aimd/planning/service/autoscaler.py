"""How the autoscaler fares, what it reports, and what is left of it.

KServe makes a ScaledObject of an InferenceService with autoscaling, and KEDA a HorizontalPodAutoscaler of that. Neither
ends when autoscaling is switched off: KServe forgets its ScaledObject, and KEDA would go on scaling.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from aimd.api.reasons import Reason
from aimd.api.service import AIMService, AIMServiceSpec, ServiceCondition
from aimd.planning.component import Component, Direction, State
from aimd.planning.kinds import SCALED_OBJECT
from aimd.planning.objects import spec_of, status_of, whole_number
from aimd.planning.service.scaling import scaling_of, wants_autoscaling
from aimd.planning.time import parse_timestamp
from aimd.runtime.objects import Deletion, Manifest, controller_of, key_of, uid_of

GRACE = timedelta(seconds=60)

_NOT_INSTALLED = (
    "Autoscaling needs KEDA, and the cluster has no kind ScaledObject: install KEDA with its OpenTelemetry scaler, "
    "or remove minReplicas, maxReplicas and autoScaling; until then there are minReplicas replicas"
)
_FAULTS: Mapping[str, Reason] = {
    Reason.WAITING_FOR_METRICS: Reason.METRICS_FAILED,
    Reason.HPA_NOT_FOUND: Reason.AUTOSCALER_NOT_INSTALLED,
}
"""What waiting turns into when the grace is over."""


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
        return _component(State.DEGRADED, Reason.INVALID_SPEC, f"Autoscaling is off: {problem}")
    if autoscaler is None:
        return _without_autoscaler(service, keda, serving=serving, now=now)
    conditions = _conditions(autoscaler)
    active = conditions.get("ScalingActive") or {}
    if active.get("status") != "True":
        state, reason = _waiting(service, Reason.WAITING_FOR_METRICS, serving=serving, now=now)
        return _component(state, reason, _detail(active, "The autoscaler has no metrics yet"))
    able = conditions.get("AbleToScale")
    if able is not None and able.get("status") != "True":
        return _component(
            State.PROGRESSING, Reason.SCALE_TARGET_NOT_READY, _detail(able, "The target cannot be scaled yet")
        )
    return _component(State.READY, Reason.HPA_OPERATIONAL, "The autoscaler is operational")


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
    owner = controller_of(live)
    if owner is None or owner.get("uid") != uid_of(inference_service):
        return None
    return Deletion(SCALED_OBJECT, key_of(live), uid_of(live), reason="autoscaling-off")


def count_ready(pods: Sequence[Mapping[str, Any]]) -> int:
    """Pods that answer: Running with condition Ready, not being deleted."""
    return sum(1 for pod in pods if _is_ready(pod))


def _without_autoscaler(service: AIMService, keda: Keda, *, serving: bool, now: datetime) -> Component:
    """Return why there is no autoscaler: KEDA is not installed, does nothing, refuses, or just needs time."""
    if not keda.installed:
        return _component(
            State.DEGRADED if serving else State.PROGRESSING, Reason.AUTOSCALER_NOT_INSTALLED, _NOT_INSTALLED
        )
    state, reason = _waiting(service, Reason.HPA_NOT_FOUND, serving=serving, now=now)
    refused = _conditions(keda.scaled_object or {}).get("Ready") or {}
    if refused.get("status") == "False":
        return _component(state, Reason.HPA_NOT_FOUND, f"KEDA cannot scale: {_detail(refused, 'it does not say why')}")
    if state is State.PROGRESSING:
        return _component(state, reason, "The autoscaler has not been created yet")
    what = f" of ScaledObject {key_of(keda.scaled_object)}" if keda.scaled_object is not None else ""
    text = (
        f"KEDA has made no autoscaler{what}: is KEDA running? Until it does there are minReplicas replicas; "
        "or remove minReplicas, maxReplicas and autoScaling"
    )
    return _component(state, reason, text)


def _waiting(service: AIMService, reason: Reason, *, serving: bool, now: datetime) -> tuple[State, Reason]:
    """What to wait for is a fault once a serving service has waited for it through the grace (SVC-SCL-5)."""
    since = _waiting_since(service, reason)
    if not serving or since is None or now - since < GRACE:
        return State.PROGRESSING, reason
    return State.DEGRADED, _FAULTS[reason]


def _waiting_since(service: AIMService, reason: str) -> datetime | None:
    """When the service began to serve without it, by its own conditions; long ago once that was a fault."""
    stored = {condition.type: condition for condition in service.status.conditions}
    waiting = stored.get(ServiceCondition.HPA_READY)
    served = stored.get(ServiceCondition.INFERENCE_SERVICE_READY)
    if waiting is None or served is None or served.status != "True":
        return None
    began = parse_timestamp(waiting.last_transition_time)
    serving = parse_timestamp(served.last_transition_time)
    if began is None or serving is None:
        return None
    if waiting.reason == _FAULTS[reason]:
        return began - GRACE
    return max(began, serving) if waiting.reason == reason else None


def _conditions(manifest: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {str(item.get("type")): item for item in (manifest.get("status") or {}).get("conditions") or ()}


def _detail(condition: Mapping[str, Any], fallback: str) -> str:
    return str(condition.get("message") or fallback)


def _component(state: State, reason: Reason, message: str) -> Component:
    return Component(ServiceCondition.HPA_READY, state, reason, message, direction=Direction.DOWNSTREAM)


def _is_ready(pod: Mapping[str, Any]) -> bool:
    if (pod.get("metadata") or {}).get("deletionTimestamp"):
        return False
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(item.get("type") == "Ready" and item.get("status") == "True" for item in conditions)
