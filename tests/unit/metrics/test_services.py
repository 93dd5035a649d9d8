"""Services: status, GPUs, replicas."""

from typing import Any

from aimd.planning.kinds import AIM_MODEL, AIM_SERVICE, AIM_SERVICE_TEMPLATE, INFERENCE_SERVICE
from aimd.runtime.kinds import POD
from tests.unit.metrics.fleet import TEAM, FleetWorld


def test_services_are_counted_by_status_and_reason(fleet: FleetWorld) -> None:
    assert fleet.value("aimd_service_status", **TEAM, status="Running", reason="Fine") == 1


def test_gpus_of_all_services_of_a_namespace_add_up(fleet: FleetWorld) -> None:
    assert fleet.value("aimd_service_gpus_requested", **TEAM, model="MI300X", resource="amd.com/gpu") == 8 + 4
    assert fleet.value("aimd_service_gpu_missing", **TEAM, model="MI300X") == 1


def test_gpus_are_those_that_pods_get() -> None:
    """What a discovery found and what model and service set about resources count, not the spec of the template."""
    fleet = FleetWorld()
    found = {"gpu": {"model": "MI300X", "requests": 8}}
    small = {"gpu": {"model": "MI210", "requests": 1}}
    fleet.put(AIM_SERVICE_TEMPLATE, "found", spec={"modelName": "m"}, status={"resolvedHardware": found})
    fleet.put(AIM_SERVICE_TEMPLATE, "both", spec={"hardware": small}, status={"resolvedHardware": found})
    fleet.put(AIM_MODEL, "m", spec={"image": "m:1", "resources": {"limits": {"amd.com/gpu": "6"}}})

    def serve(name: str, template: str, model: str = "", **spec: Any) -> None:
        resolved = {"resolvedTemplate": {"name": template, "scope": "Namespace"}}
        if model:
            resolved["resolvedModel"] = {"name": model, "scope": "Namespace"}
        fleet.put(AIM_SERVICE, name, spec={"replicas": 2, **spec}, status=resolved)

    def requested(model: str = "MI300X") -> float | None:
        return fleet.value("aimd_service_gpus_requested", **TEAM, model=model, resource="amd.com/gpu")

    serve("a", "found")
    assert requested() == 2 * 8
    serve("b", "both")
    assert requested() == 2 * 8 + 2 * 8
    assert requested("MI210") is None
    serve("c", "found", model="m")
    assert requested() == 2 * 8 + 2 * 8 + 2 * 6
    serve("d", "found", model="m", resources={"limits": {"amd.com/gpu": "4"}})
    assert requested() == 2 * 8 + 2 * 8 + 2 * 6 + 2 * 4


def test_ready_replicas_are_the_ready_pods_of_the_services_own_inference_service(fleet: FleetWorld) -> None:
    for name, owner in (("chat-8a52b1", "chat"), ("someones", "")):
        reference = {"apiVersion": AIM_SERVICE.api_version, "kind": AIM_SERVICE.name, "name": owner, "controller": True}
        fleet.put(INFERENCE_SERVICE, name, metadata={"ownerReferences": [reference] if owner else []})
    for number, (of, ready) in enumerate((("chat-8a52b1", "True"), ("chat-8a52b1", "False"), ("someones", "True"))):
        status = {"phase": "Running", "conditions": [{"type": "Ready", "status": ready}]}
        labels = {"serving.kserve.io/inferenceservice": of}
        fleet.put(POD, f"pod-{number}", metadata={"labels": labels}, status=status)
    shown = {
        sample.labels["name"]: sample.value
        for sample in fleet.scrape()["aimd_service_replicas"].samples
        if sample.labels["type"] == "ready"
    }
    assert shown == {"chat": 1, "undecided": 0}


def test_replicas_are_those_of_the_status(fleet: FleetWorld) -> None:
    replicas = {
        sample.labels["type"]: sample.value
        for sample in fleet.scrape()["aimd_service_replicas"].samples
        if sample.labels["name"] == "chat"
    }
    assert replicas == {"ready": 0, "current": 1, "desired": 2, "min": 1, "max": 4}
