"""The table of GPU models, spellings, and the inventory of nodes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimd.api.shared import Hardware
from aimd.planning.gpus import (
    GPU_MODELS,
    NodeRequirement,
    devices_of_gpu,
    gpu_of_device,
    gpu_rank,
    gpus_of_node,
    inventory_of,
    names_no_gpu,
    needs_gpu,
    normalize_gpu,
    parse_vram,
)

GIB = 2**30
MI300X = {"amd.com/gpu.device-id": "74a1", "amd.com/gpu.vram": "192G"}
DETECTED = "feature.node.kubernetes.io/aim-accelerator."
KEYS = [
    "amd.com/gpu.device-id",
    "beta.amd.com/gpu.vram.96G",
    "amd.com/gpu.product-name",
    "amd.com/gpu.family",
    f"{DETECTED}MI300X",
    f"{DETECTED}partitioning-scheme.CPX-NPS4",
    f"{DETECTED}vendor.GPU.AMD",
]


@pytest.mark.parametrize(
    ("text", "model"),
    [
        ("AMD Instinct MI300X", "MI300X"),
        ("mi325x-oam", "MI325X"),
        ("Radeon RX 7900", "RX7900"),
        ("AMD_Radeon_RX_7900_XTX", "RX7900"),
        ("RX9070XT", "RX9070"),
        ("AMD_Radeon_PRO_W7900", "W7900"),
        ("RadeonW7900", "W7900"),
        ("AMD_Radeon_AI_PRO_R9700", "R9700"),
        ("AMD_Instinct_MI300X_OAM", "MI300X"),
        ("AMD Instinct MI250X / MI250", "MI250X"),
        ("MI250", "MI250X"),
        ("0x740c", "MI250X"),
        ("AMD-75A8", "MI350P"),
        ("amd-ffff", "AMD-FFFF"),
        ("EPYC_9965", "EPYC_9965"),
        ("AMD EPYC zen5", "EPYC_ZEN5"),
        ("cpu", "CPU"),
        ("NONE", "NONE"),
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


@pytest.mark.parametrize(
    ("device", "model"),
    [
        ("74a1", "MI300X"),
        ("0x74A5", "MI325X"),
        ("ffff", "AMD-FFFF"),
        ("75a8", "MI350P"),
        ("7551", "R9700"),
        ("744b", "W7900"),
        ("74bc", "MI308X"),
    ],
)
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
        ({"amd.com/gpu.family": "AI"}, [""]),
        ({"amd.com/gpu.family": "NV", "amd.com/gpu.product-name": "AMD_Radeon_PRO_W7900"}, ["W7900"]),
        ({"amd.com/gpu.product-name": "Strix", "amd.com/gpu.family": "NV"}, [""]),
        ({f"{DETECTED}MI300X": "8"}, ["MI300X"]),
        ({f"{DETECTED}MI300X": "8", "amd.com/gpu.device-id": "74a1"}, ["MI300X", "MI300X"]),
        ({f"{DETECTED}MI300X": "8", "amd.com/gpu.family": "AI"}, ["MI300X"]),
        ({f"{DETECTED}RadeonW7900": "1", f"{DETECTED}vendor.GPU.AMD": "1"}, ["W7900"]),
        ({f"{DETECTED}MI999": "1", f"{DETECTED}vendor.GPU.AMD": "1"}, ["MI999"]),
        ({f"{DETECTED}H100": "8", f"{DETECTED}GPU": "8", f"{DETECTED}vendor.GPU.NVIDIA": "8"}, []),
        ({f"{DETECTED}EPYC_9965": "192", f"{DETECTED}CPU": "192", f"{DETECTED}vendor.CPU.AMD": "192"}, []),
        ({f"{DETECTED}partitioning-scheme.CPX-NPS4": "64"}, []),
        ({"kubernetes.io/os": "linux"}, []),
    ],
)
def test_labels_of_a_node_tell_its_gpus(labels: dict[str, str], models: list[str]) -> None:
    """Prove TPL-GPU-7."""
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


@pytest.mark.parametrize(
    ("labels", "model", "size"),
    [
        ({"amd.com/gpu.device-id": "74b5", "amd.com/gpu.vram": "191G"}, "MI300X", 192 * GIB),
        ({"amd.com/gpu.device-id": "74a1", "amd.com/gpu.vram": "96G"}, "MI300X", 96 * GIB),
        ({"amd.com/gpu.device-id": "75a8", "amd.com/gpu.vram": "144G"}, "MI350P", 144 * GIB),
        ({"amd.com/gpu.device-id": "1586", "beta.amd.com/gpu.vram.96G": "1"}, "AMD-1586", 96 * GIB),
        (
            {"amd.com/gpu.device-id": "1586", "beta.amd.com/gpu.vram.96G": "1", "beta.amd.com/gpu.vram.8G": "1"},
            "AMD-1586",
            0,
        ),
        ({"amd.com/gpu.device-id": "740f", "beta.amd.com/gpu.vram.96G": "0"}, "MI210", 64 * GIB),
    ],
)
def test_memory_that_a_labeler_rounded_down_is_the_usual_one(labels: dict[str, str], model: str, size: int) -> None:
    """Prove TPL-GPU-4."""
    assert inventory_of([labels]).vram == {model: size}


def test_partitioned_nodes_count_as_nodes_without_gpus() -> None:
    """Prove TPL-GPU-8."""
    scheme, whole = f"{DETECTED}partitioning-scheme.CPX-NPS4", f"{DETECTED}partitioning-scheme.default"
    spx = f"{DETECTED}partitioning-scheme.SPX-NPS1"
    assert inventory_of([{**MI300X, scheme: "64"}]).models == set()
    assert inventory_of([{**MI300X, scheme: "64", spx: "4"}]).excluded == (NodeRequirement(scheme, "DoesNotExist"),)
    for labels in ({whole: "8"}, {whole: "8", spx: "8"}, {spx: "8"}, {}):
        assert inventory_of([{**MI300X, **labels}]) == inventory_of([MI300X])


def test_a_gpu_without_a_name_is_there_but_is_no_model() -> None:
    """Prove TPL-GPU-7."""
    inventory = inventory_of([{"amd.com/gpu.family": "AI", "amd.com/gpu.vram": "192G"}])
    assert (inventory.models, inventory.vram, inventory.find("")) == (frozenset(), {"": 192 * GIB}, None)


def test_the_smallest_gpu_with_enough_memory() -> None:
    """Prove TPL-DSC-12."""
    devices = ["74a1", "740f", "738c", "7449"]
    inventory = inventory_of([{"amd.com/gpu.device-id": device} for device in devices])
    assert inventory.choose(40 * GIB) == "MI210"
    assert inventory.choose(32 * GIB) == "MI100"
    assert inventory.choose(500 * GIB) == ""
    assert inventory.choose(0) == "MI300X"
    assert inventory_of([{"amd.com/gpu.family": "AI", "amd.com/gpu.vram": "192G"}]).choose(GIB) == ""


@pytest.mark.parametrize(
    ("name", "expected"),
    [("CPU", True), ("epyc_9965", True), ("AMD EPYC 9965", True), ("none", True), ("MI300X", False), ("", False)],
)
def test_names_that_are_no_gpu(name: str, expected: bool) -> None:
    """Prove TPL-GPU-6."""
    assert names_no_gpu(name) is expected
    hardware = Hardware.model_validate({"gpu": {"requests": 1, "model": name}})
    assert needs_gpu(hardware) is not expected


@given(st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=30).map("amd.com/gpu.".__add__), st.text(max_size=12)))
def test_no_label_ever_fails(labels: dict[str, str]) -> None:
    inventory = inventory_of([labels])
    assert all(size >= 0 for size in inventory.vram.values())


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
