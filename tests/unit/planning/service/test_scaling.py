"""Replicas and autoscaling, as the InferenceService is told."""

from datetime import datetime
from typing import Any

import pytest

from aimd.planning.component import State
from aimd.planning.service.autoscaler import Keda, autoscaler_component
from aimd.planning.service.scaling import scaling_annotations, scaling_fields, scaling_of
from tests.unit.planning.service.makers import Maker


def metric(target: dict[str, Any], query: str = "vllm:num_requests_running", **source: Any) -> dict[str, Any]:
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
def test_bounds(service: Maker, spec: dict[str, Any], bounds: tuple[int, int]) -> None:
    """Prove SVC-SCL-1."""
    scaling = scaling_of(service(**spec).spec)
    assert (scaling.minimum, scaling.maximum) == bounds
    assert scaling.automatic is bool({"minReplicas", "maxReplicas", "autoScaling"} & spec.keys())


def test_annotations_choose_the_autoscaler(service: Maker) -> None:
    """Prove SVC-SCL-4."""
    fixed = scaling_of(service().spec)
    assert scaling_annotations(fixed, "x") == {"serving.kserve.io/autoscalerClass": "none"}
    assert scaling_annotations(scaling_of(service(minReplicas=1).spec), "x-1") == {
        "prometheus.kserve.io/port": "8000",
        "serving.kserve.io/autoscalerClass": "keda",
        "sidecar.opentelemetry.io/inject": "x-1-predictor",
    }


def test_bounds_alone_scale_on_running_requests(service: Maker) -> None:
    """Prove SVC-SCL-2."""
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


def test_an_average_value_also_sets_the_value_that_keda_reads(service: Maker) -> None:
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
def test_what_kserve_would_refuse_leaves_autoscaling_off(service: Maker, now: datetime, spec: Any, names: Any) -> None:
    """Prove SVC-SCL-3."""
    mine = service(**spec)
    assert not scaling_of(mine.spec).automatic
    component = autoscaler_component(mine, Keda(), serving=True, now=now)
    assert component is not None
    assert (component.reason, component.state) == ("InvalidSpec", State.DEGRADED)
    assert names in component.message
    assert not component.failures
