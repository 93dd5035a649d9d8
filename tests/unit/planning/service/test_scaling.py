"""Replicas, autoscaling, and the service's own figures (service.md §13)."""

from datetime import timedelta

import pytest

from aimd.planning.health import State
from aimd.planning.service.scaling import (
    autoscaler_component,
    metrics_grace_left,
    runtime_status,
    scaling_annotations,
    scaling_fields,
    scaling_of,
)


def metric(target: dict, query: str = "vllm:num_requests_running", **source) -> dict:
    return {"type": "PodMetric", "podmetric": {"metric": {"query": query, **source}, "target": target}}


VALUE = {"type": "Value", "value": "1"}


@pytest.mark.parametrize(
    ("spec", "bounds"),
    [
        ({"replicas": 3}, (3, 3)),
        ({}, (1, 1)),
        ({"replicas": 4, "minReplicas": 2, "maxReplicas": 5}, (2, 5)),
        ({"minReplicas": 3}, (3, 3)),
        ({"maxReplicas": 5}, (1, 5)),
        ({"autoScaling": {"metrics": [metric(VALUE)]}}, (1, 1)),
    ],
)
def test_bounds(service, spec: dict, bounds: tuple[int, int]) -> None:
    scaling = scaling_of(service(**spec).spec)
    assert (scaling.minimum, scaling.maximum) == bounds
    assert scaling.automatic is bool({"minReplicas", "maxReplicas", "autoScaling"} & spec.keys())


def test_annotations_choose_the_autoscaler(service) -> None:
    fixed = scaling_of(service().spec)
    assert scaling_annotations(fixed, "x") == {"serving.kserve.io/autoscalerClass": "none"}
    assert scaling_annotations(scaling_of(service(minReplicas=1).spec), "x-1") == {
        "prometheus.kserve.io/port": "8000",
        "serving.kserve.io/autoscalerClass": "keda",
        "sidecar.opentelemetry.io/inject": "x-1-predictor",
    }


def test_bounds_alone_scale_on_running_requests(service) -> None:
    fields = scaling_fields(scaling_of(service(minReplicas=1, maxReplicas=5).spec))
    assert fields == {
        "minReplicas": 1,
        "maxReplicas": 5,
        "autoScaling": {
            "metrics": [
                {
                    "type": "PodMetric",
                    "podmetric": {
                        "metric": {
                            "backend": "opentelemetry",
                            "metricNames": ["vllm:num_requests_running"],
                            "query": "vllm:num_requests_running",
                            "operationOverTime": "avg",
                        },
                        "target": {"type": "Value", "value": "1"},
                    },
                }
            ]
        },
    }


def test_an_average_value_also_sets_the_value_that_keda_reads(service) -> None:
    spec = service(autoScaling={"metrics": [metric({"type": "AverageValue", "averageValue": "5"})]}).spec
    rendered = scaling_fields(scaling_of(spec))["autoScaling"]["metrics"][0]["podmetric"]
    assert rendered["target"] == {"type": "AverageValue", "value": "5", "averageValue": "5"}
    assert "serverAddress" not in rendered["metric"]


@pytest.mark.parametrize(
    ("spec", "names"),
    [
        ({"minReplicas": 5, "maxReplicas": 2}, "greater than"),
        ({"autoScaling": {"metrics": [metric({"type": "Utilization", "averageUtilization": 50})]}}, "Utilization"),
        ({"autoScaling": {"metrics": [metric(VALUE, query=" ")]}}, "no query"),
        ({"autoScaling": {"metrics": [metric({"type": "Value"})]}}, "needs a quantity in value"),
        ({"autoScaling": {"metrics": [metric({"type": "AverageValue", "value": "1"})]}}, "averageValue"),
        ({"autoScaling": {"metrics": [{"type": "PodMetric"}]}}, "no podmetric"),
    ],
)
def test_what_kserve_would_refuse_leaves_autoscaling_off(service, now, spec: dict, names: str) -> None:
    mine = service(**spec)
    assert not scaling_of(mine.spec).automatic
    component = autoscaler_component(mine, None, serving=True, now=now)
    assert component is not None
    assert (component.reason, component.state) == ("InvalidSpec", State.DEGRADED)
    assert names in component.message
    assert not component.failures


def autoscaler(active: str = "True", able: str = "True", **status) -> dict:
    conditions = [{"type": "ScalingActive", "status": active}, {"type": "AbleToScale", "status": able}]
    return {"spec": {"minReplicas": 1, "maxReplicas": 5}, "status": {"conditions": conditions, **status}}


def test_health_of_the_autoscaler(service, now) -> None:
    mine = service(minReplicas=1, maxReplicas=5)

    def reason(found, serving: bool = True, owner=mine) -> str:
        component = autoscaler_component(owner, found, serving=serving, now=now)
        return component.reason if component is not None else ""

    assert reason(None) == "HPANotFound"
    assert reason(autoscaler()) == "HPAOperational"
    assert reason(autoscaler(able="False")) == "ScaleTargetNotReady"
    assert reason(autoscaler(active="False"), serving=False) == "WaitingForMetrics"
    assert reason(autoscaler(active="False")) == "WaitingForMetrics"
    assert autoscaler_component(service(), autoscaler(), serving=True, now=now) is None


def test_a_cluster_without_keda_is_told_what_to_install(service, now) -> None:
    mine = service(minReplicas=1, maxReplicas=5)
    component = autoscaler_component(mine, None, serving=True, now=now, installed=False)
    assert component is not None
    assert (component.reason, component.state) == ("AutoscalerNotInstalled", State.DEGRADED)
    assert "install KEDA" in component.message
    starting = autoscaler_component(mine, None, serving=False, now=now, installed=False)
    assert starting is not None
    assert starting.state is State.PROGRESSING
    found = autoscaler_component(mine, autoscaler(), serving=True, now=now, installed=False)
    assert found is not None
    assert found.reason == "HPAOperational"


def test_missing_metrics_become_a_fault_after_a_minute(service, now) -> None:
    def since(seconds: int, reason: str = "WaitingForMetrics"):
        stamp = (now - timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
        conditions = [
            {"type": "HPAReady", "status": "False", "reason": reason, "lastTransitionTime": stamp},
            {"type": "InferenceServiceReady", "status": "True", "reason": "x", "lastTransitionTime": stamp},
        ]
        return service(minReplicas=1, status={"conditions": conditions})

    silent = autoscaler(active="False")
    young = since(50)
    assert metrics_grace_left(young, silent, serving=True, now=now) == 10
    old = autoscaler_component(since(61), silent, serving=True, now=now)
    assert old is not None
    assert (old.reason, old.state) == ("MetricsFailed", State.DEGRADED)
    again = autoscaler_component(since(1, "MetricsFailed"), silent, serving=True, now=now)
    assert again is not None
    assert again.reason == "MetricsFailed"


def test_figures(service) -> None:
    assert runtime_status(service(replicas=3), None, 2)["replicas"] == "2"
    scaled = runtime_status(service(minReplicas=1, maxReplicas=5), autoscaler(currentReplicas=1, desiredReplicas=2), 1)
    assert scaled == {
        "currentReplicas": 1,
        "desiredReplicas": 2,
        "minReplicas": 1,
        "maxReplicas": 5,
        "replicas": "1/2 (1-5)",
    }
    leftover = runtime_status(service(replicas=1), autoscaler(currentReplicas=4), 1)
    assert leftover["replicas"] == "1"
    early = runtime_status(service(minReplicas=2, maxReplicas=5), None, 0)
    assert early["replicas"] == "0/2 (2-5)"
