"""The table of GPU models, spellings, and the inventory of nodes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimd.planning.gpus import (
    GPU_MODELS,
    devices_of_gpu,
    gpu_of_device,
    gpu_rank,
    gpus_of_node,
    inventory_of,
    normalize_gpu,
    parse_vram,
)

GIB = 2**30
MI300X = {"amd.com/gpu.device-id": "74a1", "amd.com/gpu.vram": "192G"}


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


def test_memory_comes_from_the_table_when_no_label_tells_it() -> None:
    """Prove TPL-GPU-4."""
    assert inventory_of([{"amd.com/gpu.device-id": "740f"}]).vram == {"MI210": 64 * GIB}


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


def test_the_table_has_every_model_and_device_once() -> None:
    names = [model.name for model in GPU_MODELS]
    devices = [device for model in GPU_MODELS for device in model.device_ids]
    assert len(set(names)) == len(names)
    assert len(set(devices)) == len(devices)
    assert all(gpu_of_device(device) == model.name for model in GPU_MODELS for device in devices_of_gpu(model.name))
    assert all(list(model.device_ids) == sorted(model.device_ids) for model in GPU_MODELS)


def test_models_without_a_rank_come_after_all_others() -> None:
    ranked = [model for model in GPU_MODELS if model.rank is not None]
    assert [model.rank for model in ranked] == list(range(len(ranked)))
    assert gpu_rank("AMD Instinct MI355X") == 0
    assert gpu_rank("RX7900") == gpu_rank("") == gpu_rank("unheard-of") > gpu_rank("MI100")


@pytest.mark.parametrize(("model", "devices"), [("MI210", ("740f", "7410")), ("AMD-FFFF", ("ffff",)), ("NAVI", ())])
def test_devices_of_a_gpu(model: str, devices: tuple[str, ...]) -> None:
    assert devices_of_gpu(model) == devices
