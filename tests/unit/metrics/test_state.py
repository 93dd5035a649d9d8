"""Metrics about the fleet: names, types and labels that dashboards rely on, and the figures behind them."""

import platform
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from aimd import __version__
from aimd.controllers.discovery import BY_ACTIVITY, DiscoverySlots, _activity_of
from aimd.controllers.service_watches import BY_INFERENCE_SERVICE, _inference_service_of
from aimd.metrics.counts import FleetCounts
from aimd.metrics.history import FleetHistory
from aimd.metrics.state import BuildInfo, FleetState
from aimd.planning.kinds import (
    AIM_ARTIFACT,
    AIM_CLUSTER_MODEL_SOURCE,
    AIM_CLUSTER_RUNTIME_CONFIG,
    AIM_CLUSTER_SERVICE_TEMPLATE,
    AIM_RUNTIME_CONFIG,
    AIM_SERVICE,
    AIM_SERVICE_TEMPLATE,
    HTTP_ROUTE,
    INFERENCE_SERVICE,
    SCALED_OBJECT,
)
from aimd.planning.model_source.plan import ImageCounts
from aimd.planning.service_template.discovery_job import JOB_LABELS
from aimd.runtime.kinds import HORIZONTAL_POD_AUTOSCALER, JOB, NODE, PERSISTENT_VOLUME_CLAIM, POD
from aimd.runtime.objects import Key, Kind, Manifest
from aimd.runtime.store import Cache, Store

START = datetime(2026, 1, 1, tzinfo=UTC)
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


class Fleet:
    """A cache, its metrics and a clock that a test moves."""

    def __init__(self, limit: int = 100) -> None:
        self.cache = Cache()
        kinds = (
            AIM_SERVICE,
            AIM_ARTIFACT,
            AIM_SERVICE_TEMPLATE,
            AIM_CLUSTER_SERVICE_TEMPLATE,
            AIM_CLUSTER_MODEL_SOURCE,
            INFERENCE_SERVICE,
        )
        for kind in (
            *kinds,
            AIM_RUNTIME_CONFIG,
            AIM_CLUSTER_RUNTIME_CONFIG,
            HTTP_ROUTE,
            HORIZONTAL_POD_AUTOSCALER,
            SCALED_OBJECT,
            NODE,
            PERSISTENT_VOLUME_CLAIM,
        ):
            self.cache.add(Store(kind))
        self.cache.add(Store(POD, {BY_INFERENCE_SERVICE: _inference_service_of}))
        self.cache.add(Store(JOB, {BY_ACTIVITY: _activity_of}))
        self.seconds = 0.0
        self.version = 0
        self.registry = CollectorRegistry()
        self.image_counts: dict[Key, ImageCounts] = {}
        self.places = DiscoverySlots(self.cache, 10, lambda: self.seconds)
        self.registry.register(FleetState(self.cache, self.places, limit, self.image_counts))
        self.registry.register(FleetCounts(self.cache, limit))
        self.registry.register(
            FleetHistory(self.cache, lambda: START + timedelta(seconds=self.seconds), lambda: self.seconds)
        )

    def put(self, kind: Kind, name: str, /, generation: int = 1, initial: bool = False, **parts: Any) -> None:
        self.version += 1
        namespace = {"namespace": "ml-team"} if kind.namespaced else {}
        metadata = {"name": name, "uid": f"{kind.name}/{name}", "generation": generation, **namespace}
        metadata |= {"resourceVersion": str(self.version), **parts.pop("metadata", {})}
        manifest: Manifest = {"metadata": metadata, **parts}
        self.cache[kind].upsert(manifest, initial=initial)

    def service(self, status: str, generation: int = 1, observed: int | None = None, **turned: float) -> None:
        """The service `chat`; conditions turned that many seconds after the start of time."""
        conditions = [
            {
                "type": name,
                "status": "True",
                "reason": "Fine",
                "lastTransitionTime": (START + timedelta(seconds=at)).isoformat(),
            }
            for name, at in {"Ready": self.seconds, **turned}.items()
        ]
        body = {
            "status": status,
            "observedGeneration": generation if observed is None else observed,
            "conditions": conditions,
            "resolvedTemplate": {"name": "tiny", "scope": "Cluster"},
            "runtime": {"currentReplicas": 1, "desiredReplicas": 2, "minReplicas": 1, "maxReplicas": 4},
        }
        self.put(AIM_SERVICE, "chat", generation=generation, spec={}, status=body)

    def scrape(self) -> dict[str, Metric]:
        text = generate_latest(self.registry).decode()
        return {family.name: family for family in text_string_to_metric_families(text)}

    def value(self, sample: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(sample, labels)


@pytest.fixture
def fleet() -> Fleet:
    """One of everything."""
    fleet = Fleet()
    gpu = {"gpu": {"model": "MI300X", "requests": 4}}
    fleet.put(AIM_CLUSTER_SERVICE_TEMPLATE, "tiny", spec={"hardware": gpu}, status={"status": "Ready"})
    fleet.service("Starting")
    fleet.seconds = 90
    fleet.service("Running", ModelReady=1, CacheReady=61, InferenceServiceReady=90, HTTPRouteReady=80)
    for at, there in ((100, 10), (110, 1010)):
        fleet.seconds = at
        progress = {"totalBytes": 5000, "downloadedBytes": there}
        fleet.put(
            AIM_ARTIFACT,
            "moving",
            spec={"sourceUri": "hf://a/b"},
            status={"status": "Progressing", "progress": progress},
        )
        fleet.put(AIM_ARTIFACT, "ended", spec={"sourceUri": "s3://a/b"}, status={"status": "Progressing"})
    fleet.put(AIM_ARTIFACT, "ended", spec={"sourceUri": "s3://a/b"}, status={"status": "Failed"})
    labels = {"amd.com/gpu.device-id": "74a1"}
    fleet.put(NODE, "gpu-0", metadata={"labels": labels}, status={"allocatable": {"amd.com/gpu": "8", "cpu": "64"}})
    request = {"resources": {"requests": {"storage": "10Gi"}}, "storageClassName": "fast"}
    fleet.put(PERSISTENT_VOLUME_CLAIM, "weights", spec=request)
    discovery = {"labels": dict(JOB_LABELS)}
    fleet.put(JOB, "discover", metadata=discovery, status={})
    began = START.isoformat()
    fleet.put(JOB, "discovered", metadata=discovery, status={"startTime": began})
    ended = {"type": "Complete", "status": "True", "reason": "CompletionsReached"}
    ended["lastTransitionTime"] = (START + timedelta(seconds=40)).isoformat()
    fleet.put(JOB, "discovered", metadata=discovery, status={"startTime": began, "conditions": [ended]})
    fleet.put(AIM_SERVICE_TEMPLATE, "tiny", status={"status": "Progressing"})
    conditions = [
        {"type": "Discovered", "status": "False", "reason": "DiscoveryFailed"},
        {"type": "DiscoveryJobReady", "status": "False", "reason": "JobDeadlineExceeded"},
    ]
    status: dict[str, Any] = {"status": "NotAvailable", "discovery": {"attempts": 1}, "conditions": conditions}
    fleet.put(AIM_SERVICE_TEMPLATE, "tiny", spec={"hardware": gpu}, status=status)
    choice = [{"name": "tiny", "scope": "Cluster", "verdict": "RequiredGPUNotInCluster"}]
    missed = [{"type": "TemplateReady", "status": "False", "reason": "TemplateNotFound"}]
    fleet.put(AIM_SERVICE, "undecided", status={"status": "Pending"})
    chosen = {"status": "Pending", "templateCandidates": choice, "conditions": missed}
    chosen["resolvedTemplate"] = {"name": "tiny", "scope": "Namespace"}
    fleet.put(AIM_SERVICE, "undecided", status=chosen)
    status = {"status": "Ready", "availableModels": 5, "discoveredModels": 3, "lastSyncTime": "2026-01-01T00:00:00Z"}
    fleet.put(AIM_CLUSTER_MODEL_SOURCE, "catalogue", status=status)
    fleet.put(AIM_RUNTIME_CONFIG, "default", spec={})
    return fleet


def test_names_types_and_labels(fleet: Fleet) -> None:
    found = fleet.scrape()
    shapes = {
        name: (family.type, {label for sample in family.samples for label in sample.labels} - {"le"})
        for name, family in found.items()
    }
    assert shapes == EXPECTED
    assert [name for name, family in found.items() if not family.documentation] == []


def test_figures(fleet: Fleet) -> None:
    value, team = fleet.value, {"namespace": "ml-team"}
    assert value("aimd_service_status", **team, status="Running", reason="Fine") == 1
    assert value("aimd_objects", kind="AIMArtifact", **team, status="Failed") == 1
    assert value("aimd_service_gpus_requested", **team, model="MI300X", resource="amd.com/gpu") == 8 + 4
    assert value("aimd_gpu_allocatable", model="MI300X", resource="amd.com/gpu") == 8
    assert value("aimd_gpu_nodes", model="MI300X") == 1
    assert value("aimd_cache_requested_bytes", **team, storage_class="fast") == 10 * 2**30
    assert value("aimd_artifact_download_rate_bytes", **team, name="moving", scheme="hf") == 100
    assert value("aimd_artifact_download_seconds_sum", scheme="s3", protocol="other", result="Failed") == 10
    assert value("aimd_artifact_attempts_total", **team, name="ended", result="Failed", reason="Unknown") == 1
    assert value("aimd_cache_volume", **team, persistentvolumeclaim="weights") == 1
    assert value("aimd_service_gpu_missing", **team, model="MI300X") == 1
    assert value("aimd_template_selection_total", outcome="none") == 1
    assert value("aimd_template_selection_total", outcome="removed_by_gpu") == 1
    assert value("aimd_discovery_total", result="failed", reason="JobDeadlineExceeded") == 1
    assert value("aimd_discovery_seconds_sum", result="succeeded", reason="CompletionsReached") == 40
    assert value("aimd_discovery_jobs") == 1
    assert value("aimd_model_source_next_sync_timestamp_seconds", name="catalogue") == START.timestamp() + 3600
    assert value("aimd_object_condition", kind="AIMService", **team, name="chat", type="Ready", reason="Fine") == 1
    assert value("aimd_model_source_last_success_timestamp_seconds", name="catalogue") == START.timestamp()


def test_what_may_not_be_seen_is_told(fleet: Fleet) -> None:
    """Prove OPS-RGT-1."""
    fleet.cache[NODE].available = False
    fleet.cache[SCALED_OBJECT].available = False
    told = {sample.labels["api"]: sample.value for sample in fleet.scrape()["aimd_capability"].samples}
    assert told == {"kserve": 1, "gateway": 1, "hpa": 1, "keda": 0, "nodes": 0, "cluster-kinds": 1}


def test_the_build_is_told_by_version_commit_and_python() -> None:
    registry = CollectorRegistry()
    registry.register(BuildInfo("abc"))
    labels = {"version": __version__, "commit": "abc", "python": platform.python_version()}
    assert registry.get_sample_value("aimd_build_info", labels) == 1


def test_ready_replicas_are_the_ready_pods_of_the_services_own_inference_service(fleet: Fleet) -> None:
    for name, owner in (("chat-8a52b1", "chat"), ("someones", "")):
        reference = {"apiVersion": AIM_SERVICE.api_version, "kind": AIM_SERVICE.name, "name": owner, "controller": True}
        fleet.put(INFERENCE_SERVICE, name, metadata={"ownerReferences": [reference] if owner else []})
    for number, (of, ready) in enumerate((("chat-8a52b1", "True"), ("chat-8a52b1", "False"), ("someones", "True"))):
        status = {"conditions": [{"type": "Ready", "status": ready}]}
        labels = {"serving.kserve.io/inferenceservice": of}
        fleet.put(POD, f"pod-{number}", metadata={"labels": labels}, status=status)
    ready = {
        sample.labels["name"]: sample.value
        for sample in fleet.scrape()["aimd_service_replicas"].samples
        if sample.labels["type"] == "ready"
    }
    assert ready == {"chat": 1, "undecided": 0}


def test_users_of_runtime_configs_are_counted() -> None:
    fleet = Fleet()
    fleet.put(AIM_RUNTIME_CONFIG, "default", spec={})
    fleet.put(AIM_CLUSTER_RUNTIME_CONFIG, "default", spec={})
    fleet.put(AIM_CLUSTER_RUNTIME_CONFIG, "unused", spec={})
    api = AIM_SERVICE.api_version
    team = {"kind": f"{api}/AIMRuntimeConfig", "name": "default", "namespace": "ml-team", "scope": "Namespace"}
    cluster = {"kind": f"{api}/AIMClusterRuntimeConfig", "name": "default", "scope": "Cluster"}
    for kind, name, reference in (
        (AIM_SERVICE, "a", team),
        (AIM_SERVICE, "b", team),
        (AIM_SERVICE_TEMPLATE, "t", team),
        (AIM_CLUSTER_SERVICE_TEMPLATE, "t", cluster),
        (AIM_SERVICE, "without", None),
    ):
        fleet.put(kind, name, status={"resolvedRuntimeConfig": reference})

    def users(kind: str, namespace: str, name: str) -> float | None:
        return fleet.value("aimd_runtime_config_users", kind=kind, namespace=namespace, name=name)

    assert users("AIMRuntimeConfig", "ml-team", "default") == 3
    assert users("AIMClusterRuntimeConfig", "", "default") == 1
    assert users("AIMClusterRuntimeConfig", "", "unused") == 0


def test_images_of_a_source_are_told_by_what_became_of_them(fleet: Fleet) -> None:
    fleet.image_counts[Key("", "catalogue")] = ImageCounts(seen=9, over_limit=2)
    samples = fleet.scrape()["aimd_model_source_images"].samples
    told = {sample.labels["state"]: sample.value for sample in samples}
    assert told == {"seen": 9, "matched": 5, "created": 3, "over_limit": 2}


def test_a_start_is_timed_once(fleet: Fleet) -> None:
    assert fleet.value("aimd_service_time_to_running_seconds_sum", namespace="ml-team", cache="cold") == 90
    phases = {
        phase: fleet.value("aimd_service_phase_seconds_sum", phase=phase)
        for phase in ("resolve", "cache", "start", "route")
    }
    assert phases == {"resolve": 1, "cache": 60, "start": 29, "route": 0}
    fleet.service("Degraded")
    fleet.service("Running")
    assert fleet.value("aimd_service_time_to_running_seconds_count", namespace="ml-team", cache="cold") == 1


def test_an_edit_begins_a_start_that_ends_when_it_was_looked_at(fleet: Fleet) -> None:
    fleet.seconds = 1000
    fleet.service("Running", generation=2, observed=1)
    assert fleet.value("aimd_service_time_to_running_seconds_count", namespace="ml-team", cache="cold") == 1
    fleet.seconds = 1030
    fleet.service("Running", generation=2)
    assert fleet.value("aimd_service_time_to_running_seconds_sum", namespace="ml-team", cache="warm") == 30


def test_what_was_there_before_is_not_timed() -> None:
    fleet = Fleet()
    fleet.put(AIM_SERVICE, "old", initial=True, status={"status": "Running", "observedGeneration": 1})
    fleet.put(AIM_SERVICE, "old", status={"status": "Running", "observedGeneration": 1})
    assert fleet.value("aimd_service_time_to_running_seconds_count", namespace="ml-team", cache="cold") is None


def test_every_word_of_a_kind_is_told(fleet: Fleet) -> None:
    fleet.put(AIM_SERVICE, "new")
    told = {
        (sample.labels["name"], sample.labels["status"]): sample.value
        for sample in fleet.scrape()["aimd_object_status"].samples
        if sample.labels["kind"] == AIM_SERVICE.name and sample.labels["name"] in ("chat", "new")
    }
    words = ("Pending", "Starting", "Running", "Degraded", "Failed")
    expected = {(name, word): float((name, word) == ("chat", "Running")) for name in ("chat", "new") for word in words}
    assert told == {**expected, ("new", "Unknown"): 1}


def test_a_deleted_object_leaves_no_series(fleet: Fleet) -> None:
    """Prove OPS-MET-3."""
    fleet.cache[AIM_ARTIFACT].forget(Key("ml-team", "moving"), "AIMArtifact/moving")
    assert fleet.value("aimd_artifact_download_rate_bytes", namespace="ml-team", name="moving", scheme="hf") is None
    assert fleet.value("aimd_artifact_expected_bytes", namespace="ml-team", name="moving", scheme="hf") is None


def test_a_download_that_went_silent_has_no_rate(fleet: Fleet) -> None:
    labels = {"namespace": "ml-team", "name": "moving", "scheme": "hf"}
    fleet.seconds += 60
    assert fleet.value("aimd_artifact_download_rate_bytes", **labels) == 100
    fleet.seconds += 1
    assert fleet.value("aimd_artifact_download_rate_bytes", **labels) == 0


def test_a_family_with_too_many_series_is_left_out_whole() -> None:
    """Prove OPS-MET-2."""
    fleet = Fleet(limit=2)
    for number in range(3):
        fleet.put(AIM_SERVICE, f"chat-{number}", status={"status": "Pending"})
    found = fleet.scrape()
    assert "aimd_object_status" not in found
    assert fleet.value("aimd_metrics_left_out", family="aimd_object_status") == 1
    assert fleet.value("aimd_metrics_left_out", family="aimd_artifact_expected_bytes") == 0
    assert fleet.value("aimd_objects", kind="AIMService", namespace="ml-team", status="Pending") == 3


def test_object_metrics_that_are_off_are_not_missed() -> None:
    fleet = Fleet(limit=0)
    fleet.put(AIM_SERVICE, "chat", status={"status": "Pending"})
    found = fleet.scrape()
    assert "aimd_object_status" not in found
    assert found["aimd_metrics_left_out"].samples == []


def test_a_choice_is_counted_when_it_changes(fleet: Fleet) -> None:
    best = {"name": "tiny", "scope": "Cluster", "verdict": "BestMatch"}
    outranked = {"name": "other", "scope": "Cluster", "verdict": "LowerPreferenceRank"}
    for chosen in ([best], [best], [best, outranked]):
        fleet.put(AIM_SERVICE, "undecided", status={"status": "Starting", "templateCandidates": chosen})
    assert fleet.value("aimd_template_selection_total", outcome="selected") == 2
    assert fleet.value("aimd_template_selection_total", outcome="removed_by_availability") is None
    tied = [{"type": "TemplateReady", "status": "False", "reason": "TemplateSelectionAmbiguous"}]
    fleet.put(AIM_SERVICE, "undecided", status={"status": "Pending", "conditions": tied})
    assert fleet.value("aimd_template_selection_total", outcome="ambiguous") == 1
    named = {"template": {"name": "tiny"}}
    fleet.put(AIM_SERVICE, "named", spec=named)
    fleet.put(AIM_SERVICE, "named", spec=named, status={"templateCandidates": [best]})
    assert fleet.value("aimd_template_selection_total", outcome="selected") == 2


def test_another_attempt_within_a_job_is_one_that_ended(fleet: Fleet) -> None:
    for attempt in (1, 2, 2):
        fleet.put(AIM_ARTIFACT, "moving", status={"status": "Progressing", "download": {"attempt": attempt}})
    labels = {"namespace": "ml-team", "result": "Retried", "reason": "Unknown"}
    assert fleet.value("aimd_artifact_attempts_total", name="moving", **labels) == 1


def test_attempts_of_too_many_artifacts_are_told_without_their_names() -> None:
    fleet = Fleet(limit=2)
    for number in range(3):
        for word in ("Progressing", "Failed"):
            fleet.put(AIM_ARTIFACT, f"weights-{number}", status={"status": word})
    told = {sample.labels["name"]: sample.value for sample in fleet.scrape()["aimd_artifact_attempts"].samples}
    assert told == {"": 3}
    fleet.cache[AIM_ARTIFACT].forget(Key("ml-team", "weights-0"), "AIMArtifact/weights-0")
    told = {sample.labels["name"]: sample.value for sample in fleet.scrape()["aimd_artifact_attempts"].samples}
    assert told == {"weights-1": 1, "weights-2": 1}


def test_a_source_that_only_fails_had_its_last_success_before(fleet: Fleet) -> None:
    since = START - timedelta(hours=5)
    condition = {"type": "FiltersReady", "status": "False", "reason": "AllFiltersFailed"}
    status = {"lastSyncTime": START.isoformat(), "conditions": [{**condition, "lastTransitionTime": since.isoformat()}]}
    fleet.put(AIM_CLUSTER_MODEL_SOURCE, "catalogue", spec={"syncInterval": "never"}, status=status)
    assert fleet.value("aimd_model_source_last_success_timestamp_seconds", name="catalogue") == since.timestamp()
    due = fleet.value("aimd_model_source_next_sync_timestamp_seconds", name="catalogue")
    assert due == START.timestamp() + 3600


def test_who_waits_for_a_place_is_counted_while_asking(fleet: Fleet) -> None:
    tickets = [(AIM_SERVICE_TEMPLATE, Key("ml-team", f"t{number}")) for number in range(12)]
    assert sum(fleet.places.ask(ticket) for ticket in tickets) == 9
    assert fleet.value("aimd_discovery_waiting") == 3
    fleet.seconds += 60
    assert fleet.value("aimd_discovery_waiting") == 0
