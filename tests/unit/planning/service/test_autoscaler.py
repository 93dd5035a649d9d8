"""How the autoscaler fares, the service's own figures, what goes when autoscaling ends."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from aimd.planning.component import Component, State
from aimd.planning.service.autoscaler import (
    Keda,
    autoscaler_component,
    autoscaler_grace_left,
    runtime_status,
    scaled_object_deletion,
)
from tests.unit.planning.service.makers import Maker


def autoscaler(active: str = "True", able: str = "True", **status: Any) -> dict[str, Any]:
    conditions = [{"type": "ScalingActive", "status": active}, {"type": "AbleToScale", "status": able}]
    return {"spec": {"minReplicas": 1, "maxReplicas": 5}, "status": {"conditions": conditions, **status}}


def scaled_object(owner: str = "uid-isvc", **ready: str) -> dict[str, Any]:
    owners = [{"kind": "InferenceService", "name": "isvc", "uid": owner, "controller": True}]
    metadata = {"name": "isvc-predictor", "namespace": "ml-team", "uid": "uid-so", "ownerReferences": owners}
    return {"metadata": metadata, "status": {"conditions": [{"type": "Ready", **ready}] if ready else []}}


@pytest.fixture
def judge(service: Maker, now: datetime) -> Maker:
    """`judge(waited=61, reason="HPANotFound", **fields)`: the component of a service that has waited so long."""

    def make(
        waited: int = 0, reason: str = "", serving: bool = True, installed: bool = True, **made: Any
    ) -> tuple[Component, float | None]:
        stamp = (now - timedelta(seconds=waited)).strftime("%Y-%m-%dT%H:%M:%SZ")
        conditions = [
            {"type": "HPAReady", "status": "False", "reason": reason, "lastTransitionTime": stamp},
            {"type": "InferenceServiceReady", "status": "True", "reason": "x", "lastTransitionTime": stamp},
        ]
        status = {"conditions": conditions} if reason else {}
        mine = service(minReplicas=1, maxReplicas=5, status=status)
        component = autoscaler_component(mine, Keda(installed, **made), serving=serving, now=now)
        assert component is not None
        return component, autoscaler_grace_left(component, mine, now)

    return make


@pytest.mark.parametrize(
    ("found", "serving", "reason"),
    [
        (None, True, "HPANotFound"),
        (autoscaler(), True, "HPAOperational"),
        (autoscaler(able="False"), True, "ScaleTargetNotReady"),
        (autoscaler(active="False"), False, "WaitingForMetrics"),
        (autoscaler(active="False"), True, "WaitingForMetrics"),
    ],
)
def test_health_of_the_autoscaler(judge: Maker, found: Any, serving: bool, reason: str) -> None:
    component, _ = judge(serving=serving, autoscaler=found)
    assert component.reason == reason
    assert component.state is (State.READY if reason == "HPAOperational" else State.PROGRESSING)


def test_without_autoscaling_there_is_nothing_to_judge(service: Maker, now: datetime) -> None:
    keda = Keda(autoscaler=autoscaler())
    assert autoscaler_component(service(), keda, serving=True, now=now) is None


def test_a_cluster_without_keda_is_told_what_to_install(judge: Maker) -> None:
    """Prove SVC-SCL-5."""
    component, _ = judge(installed=False)
    assert (component.reason, component.state) == ("AutoscalerNotInstalled", State.DEGRADED)
    assert "Install KEDA" in component.message
    assert judge(serving=False, installed=False)[0].state is State.PROGRESSING
    assert judge(autoscaler=autoscaler(), installed=False)[0].reason == "HPAOperational"


@pytest.mark.parametrize(
    ("waiting", "fault", "fields"),
    [
        ("WaitingForMetrics", "MetricsFailed", {"autoscaler": autoscaler(active="False")}),
        ("HPANotFound", "AutoscalerNotInstalled", {"scaled_object": scaled_object()}),
        ("HPANotFound", "AutoscalerNotInstalled", {}),
    ],
)
def test_what_is_waited_for_becomes_a_fault_after_a_minute(judge: Maker, waiting: str, fault: str, fields: Any) -> None:
    """Prove SVC-SCL-5."""
    young, left = judge(50, waiting, **fields)
    assert (young.reason, young.state, left) == (waiting, State.PROGRESSING, 10)
    for waited, reason in ((61, waiting), (1, fault), (3600, fault)):
        old, left = judge(waited, reason, **fields)
        assert (old.reason, old.state, left) == (fault, State.DEGRADED, None)
    assert judge(61, waiting, serving=False, **fields)[0].state is State.PROGRESSING


def test_keda_that_does_nothing_is_named_and_keda_that_refuses_is_quoted(judge: Maker) -> None:
    silent, _ = judge(61, "HPANotFound", scaled_object=scaled_object())
    assert "ScaledObject ml-team/isvc-predictor. Check that KEDA is running" in silent.message
    refused = scaled_object(status="False", message="no scaler at otel:4318")
    component, _ = judge(61, "HPANotFound", scaled_object=refused)
    assert (component.reason, component.state) == ("HPANotFound", State.DEGRADED)
    assert "no scaler at otel:4318" in component.message


def test_figures(service: Maker) -> None:
    """Prove SVC-SCL-6."""

    def figures(ready: int, found: Any = None, **spec: Any) -> dict[str, Any]:
        return runtime_status(service(**spec).spec, found, ready)

    assert figures(2, replicas=3)["replicas"] == "2"
    assert figures(1, autoscaler(currentReplicas=1, desiredReplicas=2), minReplicas=1, maxReplicas=5) == {
        "currentReplicas": 1,
        "desiredReplicas": 2,
        "minReplicas": 1,
        "maxReplicas": 5,
        "replicas": "1/2 (1-5)",
    }
    assert figures(1, autoscaler(currentReplicas=4), replicas=1)["replicas"] == "1"
    assert figures(0, minReplicas=2, maxReplicas=5)["replicas"] == "0/2 (2-5)"


@pytest.mark.parametrize(
    ("spec", "owner", "goes"),
    [
        ({}, "uid-isvc", True),
        ({"minReplicas": 5, "maxReplicas": 2}, "uid-isvc", True),
        ({"minReplicas": 1}, "uid-isvc", False),
        ({}, "somebody-else", False),
    ],
)
def test_the_scaled_object_goes_with_autoscaling(service: Maker, spec: dict[str, Any], owner: str, goes: bool) -> None:
    """Prove SVC-DEL-1."""
    inference_service = {"metadata": {"name": "isvc", "namespace": "ml-team", "uid": "uid-isvc"}}
    deletion = scaled_object_deletion(service(**spec).spec, inference_service, scaled_object(owner))
    assert (deletion is not None) is goes
    assert deletion is None or (deletion.key.name, deletion.uid) == ("isvc-predictor", "uid-so")
