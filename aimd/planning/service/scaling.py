"""Replicas and autoscaling: what the InferenceService is told, and how the autoscaler fares (spec/service.md §13)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from aimd.api.service import (
    AIMService,
    AIMServiceSpec,
    AutoScalingMetric,
    MetricQuery,
    MetricTarget,
    PodMetric,
    TargetType,
)
from aimd.planning.health import Component, Direction, State, parse_timestamp
from aimd.planning.quantities import InvalidQuantity, parse_quantity
from aimd.planning.service.names import predictor_name
from aimd.runtime.model import Manifest

COMPONENT = "HPA"
METRICS_GRACE = timedelta(seconds=60)
AUTOSCALER_CLASS = "serving.kserve.io/autoscalerClass"
HTTP_PORT = 8000

_NOT_INSTALLED = (
    "Autoscaling needs KEDA, and the cluster has no kind ScaledObject: install KEDA with its OpenTelemetry scaler, "
    "or remove minReplicas, maxReplicas and autoScaling; until then there are minReplicas replicas"
)

_DEFAULT_METRIC = AutoScalingMetric(
    type="PodMetric",
    podmetric=PodMetric(
        metric=MetricQuery(
            metric_names=("vllm:num_requests_running",),
            query="vllm:num_requests_running",
            operation_over_time="avg",
        ),
        target=MetricTarget(type=TargetType.VALUE, value="1"),
    ),
)


@dataclass(frozen=True, slots=True)
class Scaling:
    """Bounds of the predictor; `metrics` is empty for a fixed count. `problem` says why autoscaling stays off."""

    minimum: int
    maximum: int
    metrics: tuple[AutoScalingMetric, ...] = ()
    problem: str = ""

    @property
    def automatic(self) -> bool:
        return bool(self.metrics)


def wants_autoscaling(spec: AIMServiceSpec) -> bool:
    """Whether any of the three autoscaling fields is present; `replicas` is ignored then."""
    return spec.auto_scaling is not None or spec.min_replicas is not None or spec.max_replicas is not None


def scaling_of(spec: AIMServiceSpec) -> Scaling:
    """The bounds in force. Autoscaling that KServe would refuse is left off, at the lower bound."""
    if not wants_autoscaling(spec):
        return Scaling(spec.replicas, spec.replicas)
    minimum = spec.min_replicas or 1
    maximum = spec.max_replicas or minimum
    metrics = (spec.auto_scaling.metrics if spec.auto_scaling is not None else ()) or (_DEFAULT_METRIC,)
    problem = _bounds_problem(minimum, maximum) or next(filter(None, map(_metric_problem, metrics)), "")
    if problem:
        return Scaling(minimum, minimum, problem=problem)
    return Scaling(minimum, maximum, metrics)


def scaling_annotations(scaling: Scaling, inference_service: str) -> dict[str, str]:
    """Annotations that choose the autoscaler and let its collector into the pods."""
    if not scaling.automatic:
        return {AUTOSCALER_CLASS: "none"}
    return {
        "prometheus.kserve.io/port": str(HTTP_PORT),
        AUTOSCALER_CLASS: "keda",
        "sidecar.opentelemetry.io/inject": predictor_name(inference_service),
    }


def scaling_fields(scaling: Scaling) -> Manifest:
    """`minReplicas`, `maxReplicas` and `autoScaling` of the predictor."""
    fields: Manifest = {"minReplicas": scaling.minimum, "maxReplicas": scaling.maximum}
    if scaling.automatic:
        fields["autoScaling"] = {"metrics": [_render_metric(metric) for metric in scaling.metrics]}
    return fields


def autoscaler_component(
    service: AIMService, autoscaler: Mapping[str, Any] | None, *, serving: bool, now: datetime, installed: bool = True
) -> Component | None:
    """Health of the autoscaler (§13.4); None while autoscaling is not asked for.

    `installed` is whether the cluster has KEDA; without it the service runs at its lower bound (decision 36).
    """
    if not wants_autoscaling(service.spec):
        return None
    problem = scaling_of(service.spec).problem
    if problem:
        return _component(State.DEGRADED, "InvalidSpec", f"Autoscaling is off: {problem}")
    if autoscaler is None and not installed:
        return _component(State.DEGRADED if serving else State.PROGRESSING, "AutoscalerNotInstalled", _NOT_INSTALLED)
    if autoscaler is None:
        return _component(State.PROGRESSING, "HPANotFound", "The autoscaler has not been created yet")
    conditions = {item.get("type"): item for item in (autoscaler.get("status") or {}).get("conditions") or ()}
    active = conditions.get("ScalingActive") or {}
    if active.get("status") != "True":
        return _without_metrics(service, active, serving=serving, now=now)
    able = conditions.get("AbleToScale")
    if able is not None and able.get("status") != "True":
        return _component(State.PROGRESSING, "ScaleTargetNotReady", _detail(able, "The target cannot be scaled yet"))
    return _component(State.READY, "HPAOperational", "The autoscaler is operational")


def metrics_grace_left(
    service: AIMService, autoscaler: Mapping[str, Any] | None, *, serving: bool, now: datetime
) -> float | None:
    """Seconds until missing metrics count as a fault, None when nothing is waited for."""
    component = autoscaler_component(service, autoscaler, serving=serving, now=now)
    if not serving or component is None or component.reason != "WaitingForMetrics":
        return None
    since = _waiting_since(service) or now
    return max((since + METRICS_GRACE - now).total_seconds(), 1.0)


def runtime_status(service: AIMService, autoscaler: Mapping[str, Any] | None, ready_pods: int) -> Manifest:
    """`status.runtime` (§13.5): the autoscaler's figures, else the bounds asked for and the pods that are ready."""
    scaling = scaling_of(service.spec)
    minimum, maximum = scaling.minimum, scaling.maximum
    current, desired = ready_pods, scaling.minimum
    if autoscaler is not None and scaling.automatic:
        spec, status = autoscaler.get("spec") or {}, autoscaler.get("status") or {}
        minimum, maximum = int(spec.get("minReplicas") or 0), int(spec.get("maxReplicas") or 0)
        current, desired = int(status.get("currentReplicas") or 0), int(status.get("desiredReplicas") or 0)
    display = str(current) if minimum == maximum else f"{current}/{desired} ({minimum}-{maximum})"
    return {
        "currentReplicas": current,
        "desiredReplicas": desired,
        "minReplicas": minimum,
        "maxReplicas": maximum,
        "replicas": display,
    }


def _without_metrics(service: AIMService, active: Mapping[str, Any], *, serving: bool, now: datetime) -> Component:
    message = _detail(active, "The autoscaler has no metrics yet")
    since = _waiting_since(service)
    if not serving or since is None or now - since < METRICS_GRACE:
        return _component(State.PROGRESSING, "WaitingForMetrics", message)
    return _component(State.DEGRADED, "MetricsFailed", message)


def _waiting_since(service: AIMService) -> datetime | None:
    """When the service began to serve without metrics, by its own conditions; long ago once that was a fault."""
    stored = {condition.type: condition for condition in service.status.conditions}
    waiting = stored.get(f"{COMPONENT}Ready")
    served = stored.get("InferenceServiceReady")
    if waiting is None or served is None or served.status != "True":
        return None
    began = parse_timestamp(waiting.last_transition_time)
    serving = parse_timestamp(served.last_transition_time)
    if began is None or serving is None:
        return None
    if waiting.reason == "MetricsFailed":
        return began - METRICS_GRACE
    return max(began, serving) if waiting.reason == "WaitingForMetrics" else None


def _bounds_problem(minimum: int, maximum: int) -> str:
    if minimum > maximum:
        return f"spec.minReplicas {minimum} is greater than spec.maxReplicas {maximum}"
    return ""


def _metric_problem(metric: AutoScalingMetric) -> str:
    if metric.podmetric is None:
        return "a metric of spec.autoScaling has no podmetric"
    target = metric.podmetric.target
    if not metric.podmetric.metric.query.strip():
        return "a metric of spec.autoScaling has no query"
    if target.type == TargetType.UTILIZATION:
        return "target type Utilization is not possible for a PodMetric: use Value or AverageValue"
    wanted = target.average_value if target.type == TargetType.AVERAGE_VALUE else target.value
    field = "averageValue" if target.type == TargetType.AVERAGE_VALUE else "value"
    try:
        parse_quantity(wanted)
    except (InvalidQuantity, ArithmeticError):
        return f"a metric target of spec.autoScaling needs a quantity in {field}, not {wanted!r}"
    return ""


def _render_metric(metric: AutoScalingMetric) -> Manifest:
    assert metric.podmetric is not None  # scaling_of lets no other metric through
    query, target = metric.podmetric.metric, metric.podmetric.target
    source = {
        "backend": query.backend,
        "serverAddress": query.server_address,
        "metricNames": list(query.metric_names),
        "query": query.query,
        "operationOverTime": query.operation_over_time,
    }
    values = {
        "type": str(target.type),
        # KServe hands only `value` on to KEDA, and KEDA reads it per pod.
        "value": target.value or (target.average_value if target.type == TargetType.AVERAGE_VALUE else ""),
        "averageValue": target.average_value,
        "averageUtilization": target.average_utilization,
    }
    return {
        "type": metric.type,
        "podmetric": {"metric": _filled(source), "target": _filled(values)},
    }


def _filled(fields: Mapping[str, Any]) -> Manifest:
    return {key: value for key, value in fields.items() if value not in (None, "", [])}


def _detail(condition: Mapping[str, Any], fallback: str) -> str:
    return str(condition.get("message") or fallback)


def _component(state: State, reason: str, message: str) -> Component:
    return Component(COMPONENT, state, reason, message, direction=Direction.DOWNSTREAM)


def count_ready(pods: Sequence[Mapping[str, Any]]) -> int:
    """Pods that answer: Running with condition Ready, not being deleted."""
    return sum(1 for pod in pods if _is_ready(pod))


def _is_ready(pod: Mapping[str, Any]) -> bool:
    if (pod.get("metadata") or {}).get("deletionTimestamp"):
        return False
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(item.get("type") == "Ready" and item.get("status") == "True" for item in conditions)
