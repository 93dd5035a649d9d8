"""The gauges of the fleet together: names, types and labels that dashboards rely on, and their limit."""

import platform

from prometheus_client import CollectorRegistry

from aimd import __version__
from aimd.metrics.state import BuildInfo
from aimd.planning.kinds import AIM_ARTIFACT, AIM_SERVICE
from aimd.runtime.objects import Key
from tests.unit.metrics.fleet import FleetWorld

OBJECT = {"kind", "namespace", "name"}
WEIGHTS = {"namespace", "name", "scheme"}
EXPECTED = {
    "aimd_capability": ("gauge", {"api"}),
    "aimd_objects": ("gauge", {"kind", "namespace", "status"}),
    "aimd_object_status": ("gauge", OBJECT | {"status"}),
    "aimd_object_status_since_seconds": ("gauge", OBJECT),
    "aimd_object_generation_lag": ("gauge", OBJECT),
    "aimd_object_condition": ("gauge", OBJECT | {"type", "reason"}),
    "aimd_metrics_left_out": ("gauge", {"family"}),
    "aimd_service_status": ("gauge", {"namespace", "status", "reason"}),
    "aimd_service_replicas": ("gauge", {"namespace", "name", "type"}),
    "aimd_service_gpus_requested": ("gauge", {"namespace", "model", "resource"}),
    "aimd_service_gpu_missing": ("gauge", {"namespace", "model"}),
    "aimd_service_time_to_running_seconds": ("histogram", {"namespace", "cache"}),
    "aimd_service_phase_seconds": ("histogram", {"phase"}),
    "aimd_artifact_expected_bytes": ("gauge", WEIGHTS),
    "aimd_artifact_downloaded_bytes": ("gauge", WEIGHTS),
    "aimd_artifact_download_rate_bytes": ("gauge", WEIGHTS),
    "aimd_artifact_download_seconds": ("histogram", {"scheme", "protocol", "result"}),
    "aimd_artifact_attempts": ("counter", {"namespace", "name", "result", "reason"}),
    "aimd_template_selection": ("counter", {"outcome"}),
    "aimd_cache_volume": ("gauge", {"namespace", "persistentvolumeclaim"}),
    "aimd_cache_requested_bytes": ("gauge", {"namespace", "storage_class"}),
    "aimd_discovery_jobs": ("gauge", set()),
    "aimd_discovery_slots": ("gauge", set()),
    "aimd_discovery_waiting": ("gauge", set()),
    "aimd_discovery": ("counter", {"result", "reason"}),
    "aimd_discovery_seconds": ("histogram", {"result", "reason"}),
    "aimd_gpu_nodes": ("gauge", {"model"}),
    "aimd_gpu_allocatable": ("gauge", {"model", "resource"}),
    "aimd_runtime_config_users": ("gauge", {"kind", "namespace", "name"}),
    "aimd_model_source_images": ("gauge", {"name", "state"}),
    "aimd_model_source_last_success_timestamp_seconds": ("gauge", {"name"}),
    "aimd_model_source_interval_seconds": ("gauge", {"name"}),
    "aimd_model_source_next_sync_timestamp_seconds": ("gauge", {"name"}),
}


def test_names_types_and_labels(fleet: FleetWorld) -> None:
    found = fleet.scrape()
    shapes = {
        name: (family.type, {label for sample in family.samples for label in sample.labels} - {"le"})
        for name, family in found.items()
    }
    assert shapes == EXPECTED
    assert [name for name, family in found.items() if not family.documentation] == []


def test_build_info() -> None:
    registry = CollectorRegistry()
    registry.register(BuildInfo("abc"))
    labels = {"version": __version__, "commit": "abc", "python": platform.python_version()}
    assert registry.get_sample_value("aimd_build_info", labels) == 1


def test_a_deleted_object_leaves_no_series(fleet: FleetWorld) -> None:
    """Prove OPS-MET-3."""
    fleet.cache[AIM_ARTIFACT].forget(Key("ml-team", "moving"), "AIMArtifact/moving")
    assert fleet.value("aimd_artifact_download_rate_bytes", namespace="ml-team", name="moving", scheme="hf") is None
    assert fleet.value("aimd_artifact_expected_bytes", namespace="ml-team", name="moving", scheme="hf") is None


def test_a_family_with_too_many_series_is_left_out_whole() -> None:
    """Prove OPS-MET-2."""
    fleet = FleetWorld(limit=2)
    for number in range(3):
        fleet.put(AIM_SERVICE, f"chat-{number}", status={"status": "Pending"})
    found = fleet.scrape()
    assert "aimd_object_status" not in found
    assert fleet.value("aimd_metrics_left_out", family="aimd_object_status") == 1
    assert fleet.value("aimd_metrics_left_out", family="aimd_artifact_expected_bytes") == 0
    assert fleet.value("aimd_objects", kind="AIMService", namespace="ml-team", status="Pending") == 3


def test_object_metrics_that_are_off_are_not_missed() -> None:
    fleet = FleetWorld(limit=0)
    fleet.put(AIM_SERVICE, "chat", status={"status": "Pending"})
    found = fleet.scrape()
    assert "aimd_object_status" not in found
    assert found["aimd_metrics_left_out"].samples == []
