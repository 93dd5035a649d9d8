"""Replicas and autoscaling of the InferenceService."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aimd.api.service import (
    AIMServiceSpec,
    AutoScalingMetric,
    MetricQuery,
    MetricTarget,
    PodMetric,
    TargetType,
)
from aimd.planning.labels import AUTOSCALER_CLASS_ANNOTATION, INJECT_COLLECTOR_ANNOTATION, METRICS_PORT_ANNOTATION
from aimd.planning.quantities import InvalidQuantity, parse_quantity
from aimd.planning.service.child_names import predictor_name
from aimd.runtime.objects import Manifest

HTTP_PORT = 8000

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
        """Whether an autoscaler decides the number of replicas."""
        return bool(self.metrics)


def wants_autoscaling(spec: AIMServiceSpec) -> bool:
    """Return whether any of the three autoscaling fields is set; `replicas` is ignored then (SVC-SCL-1)."""
    return spec.auto_scaling is not None or spec.min_replicas is not None or spec.max_replicas is not None


def scaling_of(spec: AIMServiceSpec) -> Scaling:
    """Return the bounds in effect (SVC-SCL-2, SVC-SCL-3).

    Autoscaling that KServe would refuse stays off, at the lower bound.
    """
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
    """Return the annotations that choose the autoscaler and inject its collector into the pods (SVC-SCL-4)."""
    if not scaling.automatic:
        return {AUTOSCALER_CLASS_ANNOTATION: "none"}
    return {
        METRICS_PORT_ANNOTATION: str(HTTP_PORT),
        AUTOSCALER_CLASS_ANNOTATION: "keda",
        INJECT_COLLECTOR_ANNOTATION: predictor_name(inference_service),
    }


def scaling_fields(scaling: Scaling) -> Manifest:
    """Return `minReplicas`, `maxReplicas` and `autoScaling` of the predictor."""
    fields: Manifest = {"minReplicas": scaling.minimum, "maxReplicas": scaling.maximum}
    if scaling.automatic:
        metrics = [_render_metric(metric.type, metric.podmetric) for metric in scaling.metrics if metric.podmetric]
        fields["autoScaling"] = {"metrics": metrics}
    return fields


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


def _render_metric(type_: str, podmetric: PodMetric) -> Manifest:
    query, target = podmetric.metric, podmetric.target
    source = {
        "backend": query.backend,
        "serverAddress": query.server_address,
        "metricNames": list(query.metric_names),
        "query": query.query,
        "operationOverTime": query.operation_over_time,
    }
    values = {
        "type": str(target.type),
        # KServe passes only `value` on to KEDA, and KEDA reads it per pod.
        "value": target.value or (target.average_value if target.type == TargetType.AVERAGE_VALUE else ""),
        "averageValue": target.average_value,
        "averageUtilization": target.average_utilization,
    }
    return {
        "type": type_,
        "podmetric": {"metric": _filled(source), "target": _filled(values)},
    }


def _filled(fields: Mapping[str, Any]) -> Manifest:
    return {key: value for key, value in fields.items() if value not in (None, "", [])}
