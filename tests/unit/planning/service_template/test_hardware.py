"""GPU health and node affinity of a template's hardware."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimd.api.service_template import AIMServiceTemplate
from aimd.api.shared import Hardware
from aimd.planning.component import State
from aimd.planning.gpus import GpuInventory, inventory_of
from aimd.planning.service_template.discovery_output import DiscoveredProfile, read_output
from aimd.planning.service_template.hardware import (
    gpu_component,
    gpu_is_available,
    hardware_summary,
    node_affinity,
    resolved_affinity,
    resolved_hardware,
)

MI300X = {"amd.com/gpu.device-id": "74a1", "amd.com/gpu.vram": "192G"}
DETECTED = "feature.node.kubernetes.io/aim-accelerator."


def hardware(**gpu: object) -> Hardware:
    return Hardware.model_validate({"gpu": gpu})


@pytest.mark.parametrize(
    ("wanted", "nodes", "state", "reason"),
    [
        (hardware(requests=1, model="mi300x"), [MI300X], State.READY, "GPUAvailable"),
        (hardware(requests=1, model="MI355X"), [MI300X], State.NOT_AVAILABLE, "GPUNotAvailable"),
        (hardware(requests=0, model="MI355X"), [], State.NOT_AVAILABLE, "GPUNotAvailable"),
        (hardware(requests=2), [MI300X], State.READY, "GPUAvailable"),
        (hardware(requests=2), [], State.NOT_AVAILABLE, "GPUNotAvailable"),
        (hardware(requests=1, minVram="64Gi"), [MI300X], State.READY, "GPUAvailable"),
        (hardware(requests=1, minVram="1Ti"), [MI300X], State.NOT_AVAILABLE, "VRAMNotAvailable"),
        (hardware(requests=1, model="AMD-FFFF"), [{"amd.com/gpu.device-id": "ffff"}], State.READY, "GPUAvailable"),
    ],
)
def test_availability(wanted: Hardware, nodes: list[dict[str, str]], state: State, reason: str) -> None:
    """Prove TPL-GPU-2."""
    component = gpu_component(wanted, inventory_of(nodes))
    assert component is not None
    assert (component.effective_state, component.effective_reason) == (state, reason)


@pytest.mark.parametrize("wanted", [None, hardware(requests=0), hardware(requests=0, minVram="64Gi"), Hardware()])
def test_no_gpu_need_no_component(wanted: Hardware | None) -> None:
    assert gpu_component(wanted, inventory_of([MI300X])) is None
    assert node_affinity(wanted, inventory_of([MI300X])) is None


def test_unreadable_nodes_pass_the_check() -> None:
    """Prove TPL-GPU-2."""
    component = gpu_component(hardware(requests=1, model="MI300X"), None)
    assert component is not None
    assert component.effective_state is State.READY


def test_affinity_is_one_sorted_term_of_the_usual_label() -> None:
    """Prove TPL-GPU-5."""
    for inventory in (inventory_of([MI300X]), GpuInventory(), None):
        affinity = node_affinity(hardware(requests=1, model="MI300X"), inventory)
        assert affinity == {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [
                    {
                        "matchExpressions": [
                            {
                                "key": "amd.com/gpu.device-id",
                                "operator": "In",
                                "values": ["74a1", "74a9", "74b5", "74bd"],
                            }
                        ]
                    }
                ]
            }
        }


def test_affinity_by_memory_takes_every_present_model_that_has_it() -> None:
    inventory = inventory_of([MI300X, {"amd.com/gpu.device-id": "740f"}])
    affinity = node_affinity(hardware(requests=1, minVram="128Gi"), inventory)
    assert affinity is not None
    (term,) = affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert term["matchExpressions"][0]["values"] == ["74a1", "74a9", "74b5", "74bd"]


def test_nodes_without_the_usual_label_get_a_term_of_their_own() -> None:
    """Prove TPL-GPU-5."""
    nodes = [MI300X, {"beta.amd.com/gpu.device-id": "74a1"}, {"amd.com/gpu.device-id": "0x74A1"}]
    affinity = node_affinity(hardware(requests=1, model="MI300X"), inventory_of(nodes))
    assert affinity is not None
    terms = affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert [term["matchExpressions"][0]["key"] for term in terms] == [
        "amd.com/gpu.device-id",
        "amd.com/gpu.device-id",
        "beta.amd.com/gpu.device-id",
    ]


def test_the_keys_of_the_accelerator_detector_are_a_further_way() -> None:
    """Prove TPL-GPU-5 and TPL-GPU-7."""
    wanted = hardware(requests=1, model="W7900")
    inventory = inventory_of([{f"{DETECTED}RadeonW7900": "2"}, {"amd.com/gpu.device-id": "744b"}])
    component, affinity = gpu_component(wanted, inventory), node_affinity(wanted, inventory)
    assert component is not None
    assert component.effective_state is State.READY
    assert affinity is not None
    terms = affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert terms == [
        {"matchExpressions": [{"key": "amd.com/gpu.device-id", "operator": "In", "values": ["7448", "744a", "744b"]}]},
        {"matchExpressions": [{"key": f"{DETECTED}RadeonW7900", "operator": "Exists"}]},
    ]


def test_every_term_keeps_off_nodes_with_partitioned_gpus() -> None:
    """Prove TPL-GPU-8."""
    scheme = f"{DETECTED}partitioning-scheme.CPX-NPS4"
    wanted = hardware(requests=1, model="MI300X")
    divided = {**MI300X, f"{DETECTED}MI300X": "64", scheme: "64"}
    alone = gpu_component(wanted, inventory_of([divided]))
    assert alone is not None
    assert alone.effective_state is State.NOT_AVAILABLE
    affinity = node_affinity(wanted, inventory_of([divided, MI300X, {f"{DETECTED}MI300X": "8"}]))
    assert affinity is not None
    terms = affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert [term["matchExpressions"][0]["key"] for term in terms] == ["amd.com/gpu.device-id", f"{DETECTED}MI300X"]
    assert all(term["matchExpressions"][-1] == {"key": scheme, "operator": "DoesNotExist"} for term in terms)


def test_a_gpu_whose_labels_name_no_model_is_a_gpu() -> None:
    """Prove TPL-GPU-7."""
    inventory = inventory_of([{"amd.com/gpu.family": "AI", "amd.com/gpu.vram": "192G"}])
    for wanted in (hardware(requests=1), hardware(requests=1, minVram="64Gi")):
        component = gpu_component(wanted, inventory)
        assert component is not None
        assert component.effective_state is State.READY
    named = gpu_component(hardware(requests=1, model="AI"), inventory)
    assert named is not None
    assert (named.effective_state, named.effective_message) == (
        State.NOT_AVAILABLE,
        "No node has a GPU of model AI; the cluster has a GPU whose labels name no model",
    )


@pytest.mark.parametrize("model", ["CPU", "EPYC_9965", "NONE"])
def test_the_model_of_a_cpu_asks_for_no_gpu(model: str) -> None:
    """Prove TPL-GPU-6."""
    assert gpu_component(hardware(requests=1, model=model), inventory_of([])) is None
    assert node_affinity(hardware(requests=1, model=model), inventory_of([])) is None


def template(status: dict[str, Any] | None = None, **spec: Any) -> AIMServiceTemplate:
    return AIMServiceTemplate.model_validate({"spec": {"modelName": "m", **spec}, "status": status or {}})


def found(**metadata: object) -> DiscoveredProfile:
    return read_output(json.dumps([{"profile": {"metadata": metadata}}]))


@pytest.mark.parametrize(
    ("wanted", "profile", "expected"),
    [
        ({"gpu": {"requests": 2, "model": "MI300X"}}, found(), ("MI300X", 2, None)),
        ({"gpu": {"requests": 2, "minVram": "64Gi"}}, found(gpu="MI210"), ("MI210", 2, None)),
        ({"gpu": {"requests": 2}}, found(accelerator_model="R9700", accelerator_count=1), ("R9700", 1, None)),
        ({"gpu": {"requests": 1, "model": "MI300X"}}, found(gpu="MI100", gpu_count=0), ("MI300X", 1, None)),
        (None, found(accelerator_model="EPYC_9965", accelerator_count=188, accelerator_type="cpu"), ("", 0, "188")),
        ({"cpu": {"requests": "4"}}, found(accelerator_count=188, accelerator_type="cpu"), ("", 0, "4")),
        ({"gpu": {"requests": 8, "model": "EPYC_9965"}}, found(), ("", 0, "8")),
        ({"gpu": {"requests": 0, "model": "NONE"}}, found(), ("", 0, None)),
        (None, found(), ("", 0, None)),
    ],
)
def test_what_discovery_leaves_unsaid_stays_as_in_the_spec(
    wanted: dict[str, Any] | None, profile: DiscoveredProfile, expected: tuple[str, int, str | None]
) -> None:
    """Prove TPL-GPU-1 and TPL-GPU-6."""
    result = resolved_hardware(template(hardware=wanted), profile, is_discovered=True)
    gpu, cpu = (result.gpu, result.cpu) if result is not None else (None, None)
    assert (gpu.model if gpu else "", gpu.requests if gpu else 0, cpu.requests if cpu else None) == expected
    assert gpu is None or not (gpu.model and gpu.min_vram)


def test_hardware_that_an_earlier_version_erased_is_read_again() -> None:
    """Prove TPL-GPU-1."""
    stored = {"resolvedHardware": {"gpu": {"requests": 0}}}
    profile = found(accelerator_model="R9700", accelerator_count=1)
    of = template(stored, hardware={"gpu": {"requests": 2}})
    result = resolved_hardware(of, None, is_discovered=True, stored_profile=profile)
    assert result is not None
    assert result.gpu is not None
    assert (result.gpu.requests, result.gpu.model) == (1, "R9700")
    kept = template({"resolvedHardware": {"gpu": {"requests": 4, "model": "MI300X"}}})
    same = resolved_hardware(kept, None, is_discovered=True, stored_profile=profile)
    assert same is not None
    assert same.gpu is not None
    assert (same.gpu.requests, same.gpu.model) == (4, "MI300X")


node_labels = st.dictionaries(
    st.sampled_from(
        [
            f"{DETECTED}MI300X",
            f"{DETECTED}partitioning-scheme.CPX-NPS4",
            f"{DETECTED}partitioning-scheme.default",
            "amd.com/gpu.device-id",
            "beta.amd.com/gpu.device-id",
            "amd.com/gpu.device-id.74a1",
            "amd.com/gpu.family",
            "amd.com/gpu.vram",
        ]
    ),
    st.sampled_from(["74a1", "0x74a5", "", "0", "8", "MI300X", "192G", "zzz"]),
)


@given(st.lists(node_labels, max_size=6).flatmap(lambda nodes: st.tuples(st.just(nodes), st.permutations(nodes))))
def test_the_order_of_nodes_never_shows(nodes: tuple[list[dict[str, str]], list[dict[str, str]]]) -> None:
    one, other = (inventory_of(order) for order in nodes)
    assert one == other
    for wanted in (hardware(requests=1, model="MI300X"), hardware(requests=1, minVram="64Gi")):
        assert node_affinity(wanted, one) == node_affinity(wanted, other)
        assert gpu_component(wanted, one) == gpu_component(wanted, other)


def test_a_stored_affinity_in_another_order_is_kept() -> None:
    """Prove TPL-GPU-5."""
    wanted, inventory = hardware(requests=1, model="MI300X"), inventory_of([MI300X])
    fresh = resolved_affinity(wanted, inventory, None)
    assert fresh is not None
    (term,) = fresh["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    requirement = {**term["matchExpressions"][0], "values": ["74bd", "74b5", "74a9", "74a1"]}
    reordered = {
        "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": [requirement]}]}
    }
    assert resolved_affinity(wanted, inventory, reordered) is reordered
    assert resolved_affinity(hardware(requests=1, model="MI210"), inventory, reordered) != reordered


def test_health_and_plan_agree_on_availability() -> None:
    """Prove TPL-DSC-7."""
    assert gpu_is_available(None, None)
    assert gpu_is_available(hardware(requests=1, model="MI300X"), inventory_of([MI300X]))
    assert not gpu_is_available(hardware(requests=1, model="MI210"), inventory_of([MI300X]))


@pytest.mark.parametrize(
    ("hardware", "text"),
    [
        ({"gpu": {"model": "MI300X", "requests": 2}}, "2 x MI300X"),
        ({"gpu": {"model": "MI300X", "requests": 0}}, "MI300X"),
        ({"gpu": {"requests": 2}}, "2 x GPU"),
        ({"cpu": {"requests": "2"}}, "CPU"),
        (None, ""),
    ],
)
def test_hardware_in_short(hardware: dict[str, Any] | None, text: str) -> None:
    assert hardware_summary(Hardware.model_validate(hardware) if hardware else None) == text
