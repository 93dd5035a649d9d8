"""GPUs: the models that aimd knows, the spellings of their names, and the inventory of a cluster from node labels.

A label alone counts as a GPU: capacity, readiness, cordons and taints are the scheduler's concern (TPL-GPU-2).
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from aimd.api.shared import GpuHardware, Hardware
from aimd.planning.quantities import GIBIBYTE, bytes_or_zero
from aimd.runtime.objects import Manifest

_AMD = "amd.com/"
GPU_LABEL_PREFIXES = (_AMD, f"beta.{_AMD}")
"""Prefixes of the labels by which nodes show their GPUs; AMD's node labeler sets them."""

DEVICE_ID_LABEL = f"{_AMD}gpu.device-id"
"""The PCI device id of a node's GPUs, where all of them are of one model."""

_BARE_MEBIBYTES_BELOW = 2**24


@dataclass(frozen=True, slots=True)
class GpuModel:
    """A GPU model: its usual name, the memory of one GPU, and the PCI ids of its devices.

    `rank` orders the models when several templates fit, the preferred one first; a model without a rank comes last.
    """

    name: str
    gibibytes: int
    device_ids: tuple[str, ...]
    rank: int | None = None


GPU_MODELS = (
    GpuModel("MI355X", 288, ("75a3", "75b3"), rank=0),
    GpuModel("MI350X", 288, ("75a0", "75b0"), rank=1),
    GpuModel("MI325X", 256, ("74a5", "74b9"), rank=2),
    GpuModel("MI300X", 192, ("74a1", "74a9", "74b5", "74bd"), rank=3),
    GpuModel("MI308X", 128, ("74a2", "74a8", "74b6"), rank=4),
    GpuModel("MI300A", 128, ("74a0",), rank=5),
    GpuModel("MI250X", 128, ("7408", "740c"), rank=6),
    GpuModel("MI210", 64, ("740f", "7410"), rank=7),
    GpuModel("MI100", 32, ("738c", "738e"), rank=8),
    GpuModel("RX6800", 16, ("73bf",)),
    GpuModel("RX6900", 16, ("73af",)),
    GpuModel("RX7900", 24, ("744c",)),
    GpuModel("RX9070", 16, ("7550",)),
    GpuModel("V620", 32, ("73a1", "73ae")),
    GpuModel("V710", 32, ("7460", "7461")),
    GpuModel("W6800", 32, ("73a3",)),
    GpuModel("W6800X", 32, ("73ab",)),
    GpuModel("W6900X", 32, ("73a2",)),
    GpuModel("W7800", 32, ("7449", "745e")),
    GpuModel("W7900", 48, ("7448", "744a")),
)
"""Every GPU model that aimd knows by name; others are named after their device id or their family label."""

_BY_NAME: Mapping[str, GpuModel] = {model.name: model for model in GPU_MODELS}
_BY_DEVICE: Mapping[str, GpuModel] = {device: model for model in GPU_MODELS for device in model.device_ids}


@dataclass(frozen=True, slots=True, order=True)
class NodeRequirement:
    """A requirement of a node selector on one label; `values` is empty for operators that take none."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def manifest(self) -> Manifest:
        """Return the requirement as an entry of `matchExpressions`."""
        return {
            "key": self.key,
            "operator": self.operator,
            **({"values": list(self.values)} if self.values else {}),
        }


NodeTerm: TypeAlias = tuple[NodeRequirement, ...]
"""Requirements that must hold together."""


@dataclass(frozen=True, slots=True)
class NodeGpu:
    """A GPU model that a node shows, and the term that selects such nodes."""

    model: str
    term: NodeTerm


@dataclass(frozen=True, slots=True)
class GpuInventory:
    """GPU models of the cluster's nodes with their memory in bytes (0 when unknown), and how nodes show them.

    `extra_terms` select the nodes that lack the usual device-id label, by model.
    """

    vram: Mapping[str, int] = field(default_factory=dict)
    extra_terms: Mapping[str, tuple[NodeTerm, ...]] = field(default_factory=dict)

    @property
    def models(self) -> frozenset[str]:
        """Names of the GPU models present."""
        return frozenset(self.vram)

    def with_memory(self, minimum: int) -> tuple[str, ...]:
        """Return the models with at least `minimum` bytes of memory, sorted."""
        return tuple(sorted(model for model, size in self.vram.items() if size >= minimum))

    def find(self, wanted: str) -> str | None:
        """Return the present model that a request means: the one spelled exactly so, else by its normalized name."""
        if wanted.strip() in self.vram:
            return wanted.strip()
        normalized = normalize_gpu(wanted)
        return normalized if normalized in self.vram else None


def normalize_gpu(name: str) -> str:
    """Return the model name inside a GPU's many spellings (TPL-GPU-3).

    `AMD Instinct MI300X` is `MI300X`, `mi325x-oam` is `MI325X`.
    """
    text = name.strip().replace("_", "-").upper()
    tokens = [token for token in re.split(r"[-\s/:]+", text) if token and token not in ("AMD", "INSTINCT")]
    for token in tokens:
        bare = token.removeprefix("INSTINCT")
        if re.fullmatch(r"[A-Z0-9]*[0-9][A-Z0-9]*", bare):
            return bare
    return tokens[0] if tokens else text


def gpu_rank(name: str) -> int:
    """Return the rank of a GPU model in any spelling; models without a rank come after all others."""
    model = _BY_NAME.get(normalize_gpu(name)) if name else None
    return len(GPU_MODELS) if model is None or model.rank is None else model.rank


def gpu_of_device(device_id: str) -> str:
    """Return the model of a PCI device id, `AMD-<ID>` when it is not in the table (TPL-GPU-3)."""
    bare = device_id.strip().lower().removeprefix("0x")
    model = _BY_DEVICE.get(bare)
    return model.name if model is not None else f"AMD-{bare.upper()}"


def devices_of_gpu(model: str) -> tuple[str, ...]:
    """Return the PCI device ids of a model as `gpu_of_device` names it, sorted; none for a model named otherwise."""
    known = _BY_NAME.get(model)
    if known is not None:
        return known.device_ids
    return (model.removeprefix("AMD-").lower(),) if model.startswith("AMD-") else ()


def gpus_of_node(labels: Mapping[str, str]) -> tuple[NodeGpu, ...]:
    """Return the GPU models that a node shows: by device id, else by family, plain labels before counted ones."""
    for suffix, model_of in (("gpu.device-id", gpu_of_device), ("gpu.family", normalize_gpu)):
        for prefix in GPU_LABEL_PREFIXES:
            value = (labels.get(prefix + suffix) or "").strip()
            if value:
                return (NodeGpu(model_of(value), (NodeRequirement(prefix + suffix, "In", (value,)),)),)
        found = [
            NodeGpu(model_of(key.removeprefix(f"{prefix}{suffix}.")), _is_counted(key))
            for prefix in GPU_LABEL_PREFIXES
            for key in sorted(labels)
            if key.startswith(f"{prefix}{suffix}.") and labels[key] not in ("", "0")
        ]
        if found:
            return tuple(found)
    return ()


def inventory_of(nodes: Iterable[Mapping[str, str]]) -> GpuInventory:
    """Return the inventory of nodes given by their labels; the order of the nodes does not matter."""
    vram: dict[str, int] = {}
    extra: dict[str, set[NodeTerm]] = {}
    for labels in nodes:
        labeled = next((size for size in (_vram_label(labels, prefix) for prefix in GPU_LABEL_PREFIXES) if size), 0)
        for gpu in gpus_of_node(labels):
            vram[gpu.model] = max(vram.get(gpu.model, 0), labeled)
            if not _is_usual(gpu):
                extra.setdefault(gpu.model, set()).add(gpu.term)
    return GpuInventory(
        {model: size or _memory_of(model) for model, size in sorted(vram.items())},
        {model: tuple(sorted(terms)) for model, terms in sorted(extra.items())},
    )


def parse_vram(text: str) -> int:
    """Return the bytes of a memory label, 0 when it is not usable (TPL-GPU-4).

    `192G` and `192Gi` are GiB; a number without a unit is MiB below 2^24, else bytes.
    """
    cleaned = text.strip().upper().removesuffix("I").removesuffix("B")
    match = re.fullmatch(r"(\d+)([GT]?)", cleaned)
    if match is None:
        return bytes_or_zero(text.strip())
    number, suffix = int(match[1]), match[2]
    if suffix:
        return number * (GIBIBYTE if suffix == "G" else 1024 * GIBIBYTE)
    return number * 2**20 if number < _BARE_MEBIBYTES_BELOW else number


def needs_gpu(hardware: Hardware | None) -> bool:
    """Return whether hardware asks for a GPU: for a count above zero, or for a model."""
    gpu = hardware.gpu if hardware is not None else None
    return gpu is not None and (gpu.requests > 0 or bool(gpu.model.strip()))


def asks_for_gpu(*hardware: Hardware | None) -> bool:
    """Return whether one of the hardware descriptions has a GPU."""
    return any(item is not None and item.gpu is not None for item in hardware)


def minimum_vram(gpu: GpuHardware) -> int:
    """Return the memory that each GPU must have, in bytes; 0 when none is asked for or the quantity is malformed."""
    return bytes_or_zero(gpu.min_vram)


def is_gpu_resource(name: str) -> bool:
    """Return whether an extended resource of a node is one of AMD's device plugin."""
    return name.startswith(_AMD)


def _memory_of(model: str) -> int:
    known = _BY_NAME.get(model)
    return known.gibibytes * GIBIBYTE if known is not None else 0


def _is_counted(key: str) -> NodeTerm:
    return NodeRequirement(key, "Exists"), NodeRequirement(key, "NotIn", ("", "0"))


def _is_usual(gpu: NodeGpu) -> bool:
    first = gpu.term[0]
    return first.key == DEVICE_ID_LABEL and first.operator == "In" and first.values[0] in devices_of_gpu(gpu.model)


def _vram_label(labels: Mapping[str, str], prefix: str) -> int:
    return parse_vram(labels.get(f"{prefix}gpu.vram") or "")
