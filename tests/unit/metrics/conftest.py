"""A fleet with one of everything."""

from datetime import timedelta
from typing import Any

import pytest

from aimd.planning.kinds import (
    AIM_ARTIFACT,
    AIM_CLUSTER_MODEL_SOURCE,
    AIM_CLUSTER_SERVICE_TEMPLATE,
    AIM_RUNTIME_CONFIG,
    AIM_SERVICE,
    AIM_SERVICE_TEMPLATE,
)
from aimd.planning.service_template.discovery_job import JOB_LABELS
from aimd.runtime.kinds import JOB, NODE, PERSISTENT_VOLUME_CLAIM
from tests.unit.metrics.fleet import START, FleetWorld


@pytest.fixture
def fleet() -> FleetWorld:
    """One of everything."""
    fleet = FleetWorld()
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
    owner: dict[str, Any] = {
        "apiVersion": AIM_SERVICE_TEMPLATE.api_version,
        "kind": AIM_SERVICE_TEMPLATE.name,
        "name": "tiny",
    }
    owner |= {"uid": f"{AIM_SERVICE_TEMPLATE.name}/tiny", "controller": True}
    discovery = {"labels": dict(JOB_LABELS), "ownerReferences": [owner]}
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
    chosen: dict[str, Any] = {"status": "Pending", "templateCandidates": choice, "conditions": missed}
    chosen["resolvedTemplate"] = {"name": "tiny", "scope": "Namespace"}
    fleet.put(AIM_SERVICE, "undecided", status=chosen)
    status = {"status": "Ready", "availableModels": 5, "discoveredModels": 3, "lastSyncTime": "2026-01-01T00:00:00Z"}
    fleet.put(AIM_CLUSTER_MODEL_SOURCE, "catalog", status=status)
    fleet.put(AIM_RUNTIME_CONFIG, "default", spec={})
    return fleet
