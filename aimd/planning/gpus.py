"""GPUs: the models that aimd knows, the spellings of their names, and the inventory of a cluster from node labels.

A label alone counts as a GPU: capacity, readiness, cordons and taints are the scheduler's concern (TPL-GPU-2).
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from aimd.api.shared import GpuHardware, Hardware
from aimd.planning.quantities import GIBIBYTE, bytes_or_zero
from aimd.runtime.objects import Manifest

_AMD = "amd.com/"
_LABELER_PREFIXES = (_AMD, f"beta.{_AMD}")
_DETECTOR_PREFIX = "feature.node.kubernetes.io/aim-accelerator."
GPU_LABEL_PREFIXES = (*_LABELER_PREFIXES, _DETECTOR_PREFIX)
"""Prefixes of the labels by which nodes show their GPUs.

AMD's node labeler sets `amd.com/`. The accelerator detector of AIM sets the other, with the model in the key.
"""

DEVICE_ID_LABEL = f"{_AMD}gpu.device-id"
"""The PCI device id of a node's GPUs, where all of them are of one model."""

_PARTITIONING = f"{_DETECTOR_PREFIX}partitioning-scheme."
_WHOLE_GPUS = (f"{_PARTITIONING}default", f"{_PARTITIONING}SPX-NPS1")
_VENDOR = f"{_DETECTOR_PREFIX}vendor."
_BARE_MEBIBYTES_BELOW = 2**24
_NO_GPU = ("CPU", "NONE")


@dataclass(frozen=True, slots=True)
class GpuModel:
    """A GPU model: its usual name, the memory of one GPU (0 when unknown), and the PCI ids of its devices.

    `rank` orders the models when several templates fit, the preferred one first; a model without a rank comes last.
    `aliases` are other names of the same devices.
    """

    name: str
    gibibytes: int
    device_ids: tuple[str, ...]
    rank: int | None = None
    aliases: tuple[str, ...] = ()


GPU_MODELS = (
    GpuModel("MI355X", 288, ("75a3", "75b3"), rank=0),
    GpuModel("MI350X", 288, ("75a0", "75b0"), rank=1),
    GpuModel("MI325X", 256, ("74a5", "74b9"), rank=2),
    GpuModel("MI300X", 192, ("74a1", "74a9", "74b5", "74bd"), rank=3),
    GpuModel("MI308X", 128, ("74a2", "74a8", "74b6", "74bc"), rank=4),
    GpuModel("MI300A", 128, ("74a0",), rank=5),
    GpuModel("MI250X", 128, ("7408", "740c"), rank=6, aliases=("MI250",)),
    GpuModel("MI210", 64, ("740f", "7410"), rank=7),
    GpuModel("MI100", 32, ("738c", "738e"), rank=8),
    GpuModel("R9700", 32, ("7551",), rank=9),
    GpuModel("W7900", 48, ("7448", "744a", "744b"), rank=10),
    GpuModel("MI350P", 0, ("75a8",)),
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
)
"""Every GPU model that aimd knows by name; others are named after their device id or as their labels name them."""

_BY_NAME: Mapping[str, GpuModel] = {name: model for model in GPU_MODELS for name in (model.name, *model.aliases)}
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
    """A GPU model that a node shows, empty when its labels name none, and the term that selects such nodes."""

    model: str
    term: NodeTerm


@dataclass(frozen=True, slots=True)
class GpuInventory:
    """GPU models of the cluster's nodes with their memory in bytes (0 when unknown), and how nodes show them.

    GPUs whose labels name no model are under the empty name. `extra_terms` select the nodes that lack the usual
    device-id label, by model; `excluded` must hold beside each term, because some nodes divide their GPUs.
    """

    vram: Mapping[str, int] = field(default_factory=dict)
    extra_terms: Mapping[str, tuple[NodeTerm, ...]] = field(default_factory=dict)
    excluded: NodeTerm = ()

    @property
    def models(self) -> frozenset[str]:
        """Names of the GPU models present."""
        return frozenset(self.vram) - {""}

    def with_memory(self, minimum: int) -> tuple[str, ...]:
        """Return the models with at least `minimum` bytes of memory, sorted."""
        return tuple(sorted(model for model, size in self.vram.items() if size >= minimum))

    def choose(self, minimum: int) -> str:
        """Return the model with the least memory that is enough, empty if none is (TPL-DSC-12).

        The preferred one of several is chosen, and the preferred one of all where no memory is asked for.
        """
        fitting = [model for model in self.with_memory(minimum) if model]
        size = {model: self.vram[model] if minimum else 0 for model in fitting}
        return min(fitting, key=lambda model: (size[model], gpu_rank(model), model), default="")

    def find(self, wanted: str) -> str | None:
        """Return the present model that a request means: the one spelled exactly so, else by its normalized name."""
        if wanted.strip() in self.models:
            return wanted.strip()
        normalized = normalize_gpu(wanted)
        return normalized if normalized in self.models else None


def normalize_gpu(name: str) -> str:
    """Return the model name inside a GPU's many spellings, as AIM images write it (TPL-GPU-3).

    `AMD Instinct MI300X` is `MI300X`, `mi325x-oam` is `MI325X`, `0x740c` is `MI250X`, `Radeon RX 7900 XTX` is `RX7900`.
    Models of CPUs keep the underscore that images write: `EPYC_9965`.
    """
    text = name.strip().replace("_", "-").upper()
    device = re.fullmatch(r"(?:AMD-|0X)([0-9A-F]{4})", text)
    if device is not None:
        return gpu_of_device(device[1])
    tokens = [token for token in re.split(r"[-\s/:]+", text) if token and token not in ("AMD", "INSTINCT", "RADEON")]
    if names_no_gpu(text):
        return "_".join(tokens)
    for before, token in zip(["", *tokens], tokens, strict=False):
        series = "RX" if before == "RX" and token[0].isdecimal() else ""
        bare = series + re.sub("^(?:INSTINCT|RADEON)+", "", token)
        if re.fullmatch(r"[A-Z0-9]*[0-9][A-Z0-9]*", bare):
            model = re.sub(r"^(RX\d{4})(?:XTX?|GRE)$", r"\1", bare)
            return _BY_NAME[model].name if model in _BY_NAME else model
    return tokens[0] if tokens else text


def names_no_gpu(name: str) -> bool:
    """Return whether the model of an accelerator is that of a CPU, as in CPU images, or none (TPL-GPU-6)."""
    words = name.strip().replace("_", "-").upper().removeprefix("AMD").strip("- ")
    return words in _NO_GPU or words.startswith("EPYC")


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
    """Return the GPU models that a node shows by device id and by the keys of the accelerator detector (TPL-GPU-7).

    Without these, its product name counts, then its family. Both may name no model: AMD's labeler writes the family
    `AI` for each of its accelerators.
    """
    return (
        (*_shown(labels, "gpu.device-id", gpu_of_device), *_detected(labels))
        or _shown(labels, "gpu.product-name", _model_in)
        or _shown(labels, "gpu.family", _model_in)
    )


def inventory_of(nodes: Iterable[Mapping[str, str]]) -> GpuInventory:
    """Return the inventory of nodes given by their labels; the order of the nodes does not matter.

    Nodes whose GPUs are partitioned count as nodes without GPUs, because a template asks for whole ones (TPL-GPU-8).
    """
    vram: dict[str, int] = {}
    extra: dict[str, set[NodeTerm]] = {}
    divided: set[str] = set()
    for labels in nodes:
        schemes = _partitioning(labels)
        divided.update(schemes)
        labeled = _labeled_memory(labels)
        for gpu in gpus_of_node(labels) if not schemes else ():
            vram[gpu.model] = max(vram.get(gpu.model, 0), labeled)
            if not _is_usual(gpu):
                extra.setdefault(gpu.model, set()).add(gpu.term)
    return GpuInventory(
        {model: _memory_of(model, labeled) for model, labeled in sorted(vram.items())},
        {model: tuple(sorted(terms)) for model, terms in sorted(extra.items())},
        tuple(NodeRequirement(key, "DoesNotExist") for key in sorted(divided)),
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
    """Return whether hardware asks for a GPU: for a count above zero, or for a model (TPL-GPU-6)."""
    gpu = hardware.gpu if hardware is not None else None
    if gpu is None or names_no_gpu(gpu.model):
        return False
    return gpu.requests > 0 or bool(gpu.model.strip())


def asks_for_gpu(*hardware: Hardware | None) -> bool:
    """Return whether one of the hardware descriptions has a GPU."""
    return any(item is not None and item.gpu is not None for item in hardware)


def minimum_vram(gpu: GpuHardware) -> int:
    """Return the memory that each GPU must have, in bytes; 0 when none is asked for or the quantity is malformed."""
    return bytes_or_zero(gpu.min_vram)


def is_gpu_resource(name: str) -> bool:
    """Return whether an extended resource of a node is one of AMD's device plugin."""
    return name.startswith(_AMD)


def _shown(labels: Mapping[str, str], name: str, model_of: Callable[[str], str]) -> tuple[NodeGpu, ...]:
    """Return the GPUs in one kind of the labeler's labels, plain ones before counted ones."""
    for prefix in _LABELER_PREFIXES:
        value = (labels.get(prefix + name) or "").strip()
        if value:
            return (NodeGpu(model_of(value), (NodeRequirement(prefix + name, "In", (value,)),)),)
    return tuple(
        NodeGpu(model_of(key.removeprefix(f"{prefix}{name}.")), _is_counted(key))
        for prefix in _LABELER_PREFIXES
        for key in _counted(labels, f"{prefix}{name}.")
    )


def _detected(labels: Mapping[str, str]) -> Iterator[NodeGpu]:
    """Yield the AMD GPUs that the accelerator detector found; only whether a key exists counts (TPL-GPU-7)."""
    vendors = {key.removeprefix(f"{_VENDOR}GPU.") for key in labels if key.startswith(f"{_VENDOR}GPU.")}
    for key in sorted(labels):
        name = key.removeprefix(_DETECTOR_PREFIX)
        if name == key or "." in name or names_no_gpu(name):
            continue
        model = _model_in(name)
        if model in _BY_NAME or (model and (not vendors or "AMD" in vendors)):
            yield NodeGpu(model, (NodeRequirement(key, "Exists"),))


def _model_in(text: str) -> str:
    """Return the GPU model that a label names; the names of all have a digit, so that `AI` is none."""
    model = normalize_gpu(text)
    return model if any(character.isdecimal() for character in model) else ""


def _partitioning(labels: Mapping[str, str]) -> tuple[str, ...]:
    """Return the keys of the schemes by which a node divides its GPUs, none where they are whole (TPL-GPU-8)."""
    if _WHOLE_GPUS[0] in labels:
        return ()
    return tuple(key for key in labels if key.startswith(_PARTITIONING) and key not in _WHOLE_GPUS)


def _memory_of(model: str, labeled: int) -> int:
    """Return the memory of a GPU: the labeled one, but the table's where there is no label or it was rounded down."""
    known = _BY_NAME.get(model)
    nominal = known.gibibytes * GIBIBYTE if known is not None else 0
    is_rounded = 0 < nominal - labeled <= max(GIBIBYTE, nominal // 100)
    return nominal if is_rounded or not labeled else labeled


def _labeled_memory(labels: Mapping[str, str]) -> int:
    """Return the memory in the labels of a node, 0 without any; a counted label is of use where it is the only one."""
    for prefix in _LABELER_PREFIXES:
        if size := parse_vram(labels.get(f"{prefix}gpu.vram") or ""):
            return size
    for prefix in _LABELER_PREFIXES:
        counted = {parse_vram(key.removeprefix(f"{prefix}gpu.vram.")) for key in _counted(labels, f"{prefix}gpu.vram.")}
        if len(counted) == 1:
            return counted.pop()
    return 0


def _counted(labels: Mapping[str, str], prefix: str) -> list[str]:
    return [key for key in sorted(labels) if key.startswith(prefix) and labels[key] not in ("", "0")]


def _is_counted(key: str) -> NodeTerm:
    return NodeRequirement(key, "Exists"), NodeRequirement(key, "NotIn", ("", "0"))


def _is_usual(gpu: NodeGpu) -> bool:
    first = gpu.term[0]
    return first.key == DEVICE_ID_LABEL and first.operator == "In" and first.values[0] in devices_of_gpu(gpu.model)
