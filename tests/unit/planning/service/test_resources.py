"""The resources of the inference container."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimd.api.core import ResourceRequirements
from aimd.api.shared import Hardware
from aimd.planning.quantities import parse_quantity
from aimd.planning.service.resources import container_resources, cpu_level, predictor_resources


def gpus(count: int, **fields: str) -> Hardware:
    return Hardware.model_validate({"gpu": {"requests": count, **fields}})


def level(requests: dict[str, str] | None = None, limits: dict[str, str] | None = None) -> ResourceRequirements:
    return ResourceRequirements(requests=requests or {}, limits=limits or {})


@pytest.mark.parametrize(
    ("count", "cpu", "memory", "limit"),
    [(1, "4", "32Gi", "48Gi"), (4, "16", "128Gi", "192Gi"), (8, "32", "256Gi", "384Gi")],
)
def test_defaults_per_gpu(count: int, cpu: str, memory: str, limit: str) -> None:
    """Prove SVC-RES-1."""
    device = str(count)
    assert container_resources(gpus(count), ()) == {
        "requests": {"cpu": cpu, "memory": memory, "amd.com/gpu": device},
        "limits": {"memory": limit, "amd.com/gpu": device},
    }


def test_without_a_gpu_there_are_no_defaults() -> None:
    assert container_resources(None, ()) == {}
    assert container_resources(gpus(0, model="MI300X"), (None, level())) == {}


def test_levels_override_single_quantities() -> None:
    """Prove SVC-RES-1."""
    resources = container_resources(gpus(4), (level({"memory": "100Gi"}), None, level({"memory": "64Gi"})))
    assert resources["requests"] == {"cpu": "16", "memory": "64Gi", "amd.com/gpu": "4"}
    assert resources["limits"] == {"memory": "192Gi", "amd.com/gpu": "4"}


def test_a_gpu_count_on_one_side_holds_on_both() -> None:
    """Prove SVC-RES-2."""
    for given_side in (level(limits={"amd.com/gpu": "8"}), level(requests={"amd.com/gpu": "8"})):
        resources = container_resources(gpus(1), (None, None, given_side))
        assert resources["requests"]["amd.com/gpu"] == resources["limits"]["amd.com/gpu"] == "8"


def test_default_requests_give_way_to_user_limits() -> None:
    """Prove SVC-RES-3."""
    resources = container_resources(gpus(8), (None, None, level(limits={"cpu": "6", "memory": "48Gi"})))
    assert resources["requests"] == {"cpu": "6", "memory": "48Gi", "amd.com/gpu": "8"}
    assert resources["limits"] == {"cpu": "6", "memory": "48Gi", "amd.com/gpu": "8"}


def test_a_default_limit_gives_way_to_a_user_request() -> None:
    """Prove SVC-RES-3."""
    resources = container_resources(gpus(1), (None, level({"memory": "256Gi"}), None))
    assert (resources["requests"]["memory"], resources["limits"]["memory"]) == ("256Gi", "256Gi")


def test_a_partitioned_gpu_by_resource_name() -> None:
    resources = container_resources(gpus(2, resourceName="amd.com/cpx_nps4"), ())
    assert resources["limits"]["amd.com/cpx_nps4"] == "2"
    assert "amd.com/gpu" not in resources["limits"]


def test_cpu_hardware_is_a_level() -> None:
    """Prove SVC-RES-4."""
    hardware = Hardware.model_validate({"cpu": {"requests": "500m", "limits": "2"}})
    assert container_resources(hardware, (cpu_level(hardware),)) == {
        "requests": {"cpu": "500m"},
        "limits": {"cpu": "2"},
    }


@pytest.mark.parametrize(
    ("resources", "rendered"),
    [
        (None, {"requests": {"cpu": "500m"}}),
        ({}, {"requests": {"cpu": "500m"}}),
        ({"claims": [{"name": "gpu"}]}, {"requests": {"cpu": "500m"}}),
        ({"limits": {"memory": "1Gi"}}, {"limits": {"memory": "1Gi"}}),
    ],
)
def test_cpu_hardware_counts_unless_resources_say_something(
    resources: dict[str, Any] | None, rendered: dict[str, Any]
) -> None:
    """Prove SVC-RES-4."""
    hardware = Hardware.model_validate({"cpu": {"requests": "500m"}})
    template = ResourceRequirements.model_validate(resources) if resources is not None else None
    assert predictor_resources(hardware, model=None, template=template, service=None) == rendered


QUANTITIES = st.sampled_from(["1", "500m", "4", "16Gi", "64Gi", "1e3", "nonsense", ""])


SIDES = st.dictionaries(st.sampled_from(["cpu", "memory", "amd.com/gpu"]), QUANTITIES, max_size=3)


@given(count=st.integers(0, 8), requests=SIDES, limits=SIDES)
def test_user_values_stay_and_only_users_contradict_themselves(
    count: int, requests: dict[str, str], limits: dict[str, str]
) -> None:
    resources = container_resources(gpus(count), (level(requests, limits),))
    for name, quantity in requests.items():
        assert resources["requests"][name] == quantity
    for name, quantity in limits.items():
        assert resources["limits"][name] == quantity
    for name in resources.get("requests", {}).keys() & resources.get("limits", {}).keys():
        try:
            fits = parse_quantity(resources["requests"][name]) <= parse_quantity(resources["limits"][name])
        except ValueError:
            continue
        assert fits or (name in requests and name in limits)


def test_a_profile_for_cpus_gets_its_cores_and_no_defaults_of_gpus() -> None:
    """Prove SVC-RES-1 and SVC-RES-4."""
    hardware = Hardware.model_validate({"cpu": {"requests": "188"}})
    assert predictor_resources(hardware, model=None, template=None, service=None) == {"requests": {"cpu": "188"}}
