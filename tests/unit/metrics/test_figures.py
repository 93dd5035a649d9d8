"""What is counted about the fleet, from manifests alone."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimd.api.model import AIMModel
from aimd.api.service import AIMService
from aimd.api.service_template import AIMServiceTemplate
from aimd.metrics.figures import (
    PHASES,
    DownloadBytes,
    GpuRequest,
    discovery_outcome,
    download_bytes,
    gpu_requests,
    missing_gpu,
    phase_seconds,
    ready_reason,
    scheme_of,
    word_of,
)

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
TYPES = [condition for conditions in PHASES.values() for condition in conditions]


def service(turned: Mapping[str, float], status: str = "True") -> dict[str, Any]:
    """A service whose conditions turned that many seconds after the beginning."""
    conditions = [
        {"type": name, "status": status, "lastTransitionTime": (BEGAN + timedelta(seconds=after)).isoformat()}
        for name, after in turned.items()
    ]
    return {"status": {"conditions": conditions}}


def test_where_the_time_of_a_start_went() -> None:
    turned = {
        "ModelReady": 1,
        "TemplateReady": 5,
        "CacheReady": 300,
        "InferenceServiceReady": 310,
        "HTTPRouteReady": 312,
    }
    assert phase_seconds(service(turned), BEGAN) == {"resolve": 5, "cache": 295, "start": 10, "route": 2}


def test_what_was_ready_before_took_no_time() -> None:
    turned = {"ModelReady": -100, "CacheReady": -50, "InferenceServiceReady": 20, "HTTPRouteReady": 2}
    assert phase_seconds(service(turned), BEGAN) == {"resolve": 0, "cache": 0, "start": 20, "route": 0}


@given(st.dictionaries(st.sampled_from(TYPES), st.integers(-1000, 100_000)), st.sampled_from(["True", "False"]))
def test_phases_add_up_to_the_last_turn(turned: dict[str, float], status: str) -> None:
    phases = phase_seconds(service(turned, status), BEGAN)
    assert set(phases) == set(PHASES)
    assert min(phases.values()) >= 0
    assert sum(phases.values()) == (max([0, *turned.values()]) if status == "True" else 0)


@pytest.mark.parametrize("status", [{}, {"status": None}, {"status": {"conditions": [{}, {"type": "Ready"}, "x"]}}])
def test_an_object_that_nobody_looked_at_yet(status: dict[str, Any]) -> None:
    assert (word_of(status), ready_reason(status)) == ("Unknown", "Unknown")
    assert set(phase_seconds(status, BEGAN).values()) == {0}


def template(**gpu: Any) -> dict[str, Any]:
    return {"spec": {"hardware": {"gpu": gpu}}}


@pytest.mark.parametrize(
    ("manifest", "template_", "expected"),
    [
        ({"spec": {}}, template(model="MI300X", requests=2), GpuRequest("MI300X", "amd.com/gpu", 2)),
        ({"spec": {"replicas": 3}}, template(model="mi300x", requests=2), GpuRequest("MI300X", "amd.com/gpu", 6)),
        ({"spec": {"replicas": 0}}, template(model="MI300X", requests=2), GpuRequest("MI300X", "amd.com/gpu", 0)),
        (
            {"spec": {"replicas": 1}, "status": {"runtime": {"desiredReplicas": 4}}},
            template(requests=1, resourceName="amd.com/gpu-cpx"),
            GpuRequest("any", "amd.com/gpu-cpx", 4),
        ),
        (
            {"spec": {"overrides": {"hardware": {"gpu": {"requests": 8, "model": "MI325X"}}}}},
            template(model="MI300X", requests=2),
            GpuRequest("MI325X", "amd.com/gpu", 8),
        ),
        ({"spec": {}}, {"spec": {"hardware": {"cpu": {}}}}, None),
        ({"spec": {}}, None, None),
    ],
)
def test_gpus_that_a_service_asks_for(manifest: Any, template_: Any, expected: GpuRequest | None) -> None:
    service_ = AIMService.model_validate(manifest)
    found = gpu_requests(service_, AIMServiceTemplate.model_validate(template_) if template_ else None, None)
    assert found == ((expected,) if expected is not None else ())


def resolved(requests: int, model: str = "MI300X", **spec: Any) -> AIMServiceTemplate:
    """A template whose discovery found so many GPUs of a model."""
    hardware = {"gpu": {"requests": requests, "model": model}}
    return AIMServiceTemplate.model_validate({"spec": spec, "status": {"resolvedHardware": hardware}})


@pytest.mark.parametrize(
    ("spec", "template_", "expected"),
    [
        ({}, resolved(8), 16),
        ({}, resolved(8, hardware={"gpu": {"requests": 1, "model": "MI210"}}), 16),
        ({"overrides": {"hardware": {"gpu": {"requests": 1}}}}, resolved(8), 16),
        ({}, resolved(8, resources={"limits": {"amd.com/gpu": "4"}}), 8),
        ({"resources": {"limits": {"amd.com/gpu": "2"}}}, resolved(8, resources={"limits": {"amd.com/gpu": "4"}}), 4),
        ({"resources": {"requests": {"amd.com/gpu": "2"}}}, resolved(8), 4),
        ({"resources": {"limits": {"amd.com/gpu": "0"}}}, resolved(8), None),
        ({"resources": {"limits": {"cpu": "2", "example.com/nic": "1"}}}, resolved(0), None),
    ],
)
def test_gpus_are_those_that_pods_get(spec: Any, template_: AIMServiceTemplate, expected: int | None) -> None:
    """Discovered hardware goes over that of the spec, resources that a user sets over both, as in the container."""
    service_ = AIMService.model_validate({"spec": {"replicas": 2, **spec}})
    found = gpu_requests(service_, template_, None)
    assert found == ((GpuRequest("MI300X", "amd.com/gpu", expected),) if expected is not None else ())


def test_resources_of_the_model_count() -> None:
    model = AIMModel.model_validate({"spec": {"resources": {"limits": {"amd.com/gpu": "3"}}}})
    assert gpu_requests(AIMService(), resolved(8), model) == (GpuRequest("MI300X", "amd.com/gpu", 3),)


def test_every_device_of_a_pod_counts() -> None:
    own = {"gpu": {"requests": 1, "model": "MI300X", "resourceName": "example.com/gpu"}}
    template_ = AIMServiceTemplate.model_validate({"status": {"resolvedHardware": own}})
    service_ = AIMService.model_validate({"spec": {"resources": {"limits": {"amd.com/gpu-cpx": "2"}}}})
    assert gpu_requests(service_, template_, None) == (
        GpuRequest("MI300X", "amd.com/gpu-cpx", 2),
        GpuRequest("MI300X", "example.com/gpu", 1),
    )


@pytest.mark.parametrize(("status", "expected"), [("NotAvailable", "MI210"), ("Ready", None), ("", None)])
def test_a_missing_gpu_is_that_of_the_template(status: str, expected: str | None) -> None:
    hardware = {"gpu": {"requests": 1, "model": "MI210"}}
    template_ = AIMServiceTemplate.model_validate({"spec": {"hardware": hardware}, "status": {"status": status}})
    assert missing_gpu(AIMService(), template_) == expected
    assert missing_gpu(AIMService(), None) is None


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({}, (0, 0)),
        ({"discoveredSizeBytes": 9}, (9, 0)),
        ({"progress": {"totalBytes": 10, "downloadedBytes": 4}, "discoveredSizeBytes": 9}, (10, 4)),
        ({"progress": {"totalBytes": 10, "downloadedBytes": 4}, "status": "Ready"}, (10, 10)),
    ],
)
def test_bytes_of_a_download(status: dict[str, Any], expected: tuple[int, int]) -> None:
    assert download_bytes({"status": status}) == DownloadBytes(*expected)


@pytest.mark.parametrize(
    ("uri", "scheme"), [("hf://a/b", "hf"), ("S3://b/k", "s3"), ("x-evil-1://", "other"), ("", "other")]
)
def test_schemes_are_few(uri: str, scheme: str) -> None:
    assert scheme_of({"spec": {"sourceUri": uri}}) == scheme


@pytest.mark.parametrize("reason", ["DiscoveryComplete", "ProfileReadFromRegistry"])
def test_a_profile_that_was_found_in_either_way_is_a_discovery(reason: str) -> None:
    def template(status: str, why: str) -> dict[str, Any]:
        return {"status": {"conditions": [{"type": "Discovered", "status": status, "reason": why}]}}

    waiting, found = template("False", "AwaitingDiscovery"), template("True", reason)
    assert discovery_outcome(waiting, found) == ("succeeded", reason)
    assert discovery_outcome(found, found) is None
    assert discovery_outcome(waiting, template("True", "InlineModelSources")) is None
