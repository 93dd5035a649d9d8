"""What the KEDA stand-in makes of a ScaledObject, and how it answers the autoscaling controller."""

from typing import Any

import pytest

from aimd.runtime.objects import Key, Manifest
from aimd.sandbox.keda import Trigger, autoscaler_of, triggers_of

METRIC = "vllm:num_requests_running"
QUERY = f'sum({METRIC}{{namespace="ns", deployment="chat-predictor"}})'
LABELS = {"app": "isvc.chat-predictor"}


def scaled_object(**trigger: Any) -> Manifest:
    metadata = {"metricQuery": QUERY, "targetValue": "2", "scalerAddress": "keda-otel-scaler.keda.svc:4318"}
    return {
        "metadata": {"namespace": "ns", "name": "chat-predictor", "uid": "u", "labels": {"team": "blue"}},
        "spec": {
            "scaleTargetRef": {"name": "chat-predictor"},
            "minReplicaCount": 1,
            "maxReplicaCount": 3,
            "triggers": [{"type": "external", "metadata": metadata, **trigger}],
        },
    }


def test_a_scaled_object_becomes_an_autoscaler() -> None:
    assert triggers_of(scaled_object()) == [Trigger(METRIC, Key("ns", "chat-predictor"), "2")]
    made = autoscaler_of(scaled_object())
    assert made["metadata"]["name"] == "keda-hpa-chat-predictor"
    assert made["metadata"]["labels"]["team"] == "blue"
    assert (made["spec"]["minReplicas"], made["spec"]["maxReplicas"]) == (1, 3)
    (metric,) = made["spec"]["metrics"]
    assert metric["external"]["target"] == {"type": "AverageValue", "averageValue": "2"}


@pytest.mark.parametrize("trigger", [{"type": "cpu"}, {"metadata": {"metricQuery": "rate(x[1m])"}}, {"metadata": {}}])
def test_other_triggers_are_not_understood(trigger: dict[str, Any]) -> None:
    assert triggers_of(scaled_object(**trigger)) == [None]
    assert autoscaler_of(scaled_object(**trigger))["spec"]["metrics"] == []
