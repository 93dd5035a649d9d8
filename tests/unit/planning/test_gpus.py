"""GPU inventory, spelling and affinity."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimd.api.shared import Hardware
from aimd.planning.component import State
from aimd.planning.gpus import (
    GpuInventory,
    gpu_component,
    gpu_of_device,
    gpus_of_node,
    inventory_of,
    node_affinity,
    normalize_gpu,
    parse_vram,
)

GIB = 2**30
MI300X = {"amd.com/gpu.device-id": "74a1", "amd.com/gpu.vram": "192G"}


def hardware(**gpu: object) -> Hardware:
    return Hardware.model_validate({"gpu": gpu})


@pytest.mark.parametrize(
    ("text", "model"),
    [
        ("AMD Instinct MI300X", "MI300X"),
        ("mi325x-oam", "MI325X"),
        ("Radeon RX 7900", "7900"),
        ("MI300X (rev 2)", "MI300X"),
        ("RX7900-XTX", "RX7900"),
        ("Instinct_MI250X", "MI250X"),
        ("  mi300x ", "MI300X"),
        ("navi", "NAVI"),
        ("", ""),
    ],
)
def test_a_gpu_has_one_name_for_many_spellings(text: str, model: str) -> None:
    """Prove TPL-GPU-3."""
    assert normalize_gpu(text) == model


@given(st.text(max_size=40))
def test_normalising_never_fails_and_is_stable(text: str) -> None:
    once = normalize_gpu(text)
    assert normalize_gpu(once) == once or not once.strip()


@pytest.mark.parametrize(("device", "model"), [("74a1", "MI300X"), ("0x74A5", "MI325X"), ("ffff", "AMD-FFFF")])
def test_device_ids_name_models(device: str, model: str) -> None:
    """Prove TPL-GPU-3."""
    assert gpu_of_device(device) == model


@pytest.mark.parametrize(
    ("labels", "models"),
    [
        ({"amd.com/gpu.device-id": "74a1", "amd.com/gpu.family": "MI210"}, ["MI300X"]),
        ({"beta.amd.com/gpu.device-id": "740f"}, ["MI210"]),
        ({"amd.com/gpu.device-id.74a1": "4", "amd.com/gpu.device-id.74a5": "4"}, ["MI300X", "MI325X"]),
        ({"amd.com/gpu.device-id.74a1": "0"}, []),
        ({"amd.com/gpu.family": "AMD_Instinct_MI300X"}, ["MI300X"]),
        ({"beta.amd.com/gpu.family.MI250X": "2"}, ["MI250X"]),
        ({"kubernetes.io/os": "linux"}, []),
    ],
)
def test_labels_of_a_node_tell_its_gpus(labels: dict[str, str], models: list[str]) -> None:
    assert [gpu.model for gpu in gpus_of_node(labels)] == models


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("192G", 192 * GIB),
        ("192Gi", 192 * GIB),
        ("1T", 1024 * GIB),
        (" 192g ", 192 * GIB),
        ("196608", 192 * GIB),
        (str(192 * GIB), 192 * GIB),
        ("", 0),
        ("abc", 0),
        ("-5G", 0),
    ],
)
def test_memory_labels(text: str, size: int) -> None:
    """Prove TPL-GPU-4."""
    assert parse_vram(text) == size


@given(st.text(max_size=20))
def test_memory_labels_never_fail(text: str) -> None:
    assert parse_vram(text) >= 0


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


def test_memory_comes_from_the_table_when_no_label_tells_it() -> None:
    """Prove TPL-GPU-4."""
    assert inventory_of([{"amd.com/gpu.device-id": "740f"}]).vram == {"MI210": 64 * GIB}


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


node_labels = st.dictionaries(
    st.sampled_from(
        [
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
