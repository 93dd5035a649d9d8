"""GPUs of the cluster, read from node labels, and what a template's hardware asks of them.

Presence of a label is what counts: capacity, readiness, cordons and taints are the scheduler's business (TPL-GPU-2).
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from aimd.api.reasons import Reason
from aimd.api.service_template import TemplateCondition
from aimd.api.shared import GpuHardware, Hardware
from aimd.planning.component import Component, State
from aimd.planning.quantities import GIBIBYTE, InvalidQuantity, parse_bytes
from aimd.runtime.objects import Manifest

_GPU = TemplateCondition.GPU_READY
DEVICE_ID_LABEL = "amd.com/gpu.device-id"
GPU_LABEL_PREFIXES = ("amd.com/", "beta.amd.com/")
"""Prefixes of the labels by which nodes show their GPUs; AMD's node labeller sets them."""
_BARE_MEBIBYTES_BELOW = 2**24

_DEVICES: tuple[tuple[str, int, str], ...] = (
    ("MI100", 32, "738c 738e"),
    ("MI210", 64, "740f 7410"),
    ("MI250X", 128, "7408 740c"),
    ("MI300A", 128, "74a0"),
    ("MI300X", 192, "74a1 74a9 74b5 74bd"),
    ("MI308X", 128, "74a2 74a8 74b6"),
    ("MI325X", 256, "74a5 74b9"),
    ("MI350X", 288, "75a0 75b0"),
    ("MI355X", 288, "75a3 75b3"),
    ("RX6800", 16, "73bf"),
    ("RX6900", 16, "73af"),
    ("RX7900", 24, "744c"),
    ("RX9070", 16, "7550"),
    ("V620", 32, "73a1 73ae"),
    ("V710", 32, "7460 7461"),
    ("W6800", 32, "73a3"),
    ("W6800X", 32, "73ab"),
    ("W6900X", 32, "73a2"),
    ("W7800", 32, "7449 745e"),
    ("W7900", 48, "7448 744a"),
)
_MODEL_OF_ID: Mapping[str, str] = {device: model for model, _, ids in _DEVICES for device in ids.split()}
_IDS_OF_MODEL: Mapping[str, tuple[str, ...]] = {model: tuple(sorted(ids.split())) for model, _, ids in _DEVICES}
_VRAM_OF_MODEL: Mapping[str, int] = {model: gibibytes * GIBIBYTE for model, gibibytes, _ in _DEVICES}


Expression: TypeAlias = tuple[str, str, tuple[str, ...]]
"""A node selector requirement: key, operator, values."""
Term: TypeAlias = tuple[Expression, ...]
"""Requirements that must hold together."""


@dataclass(frozen=True, slots=True)
class NodeGpu:
    """A GPU model that a node shows, and the term that selects such nodes."""

    model: str
    expressions: Term


@dataclass(frozen=True, slots=True)
class GpuInventory:
    """GPU models of the cluster's nodes with their memory in bytes (0 when unknown), and how nodes show them.

    `extra_terms` are the label forms of nodes that lack the usual device-id label, by model.
    """

    vram: Mapping[str, int] = field(default_factory=dict)
    extra_terms: Mapping[str, tuple[Term, ...]] = field(default_factory=dict)

    @property
    def models(self) -> frozenset[str]:
        """Names of the GPU models present."""
        return frozenset(self.vram)

    def with_memory(self, minimum: int) -> tuple[str, ...]:
        """Models with at least that much memory, sorted."""
        return tuple(sorted(model for model, size in self.vram.items() if size >= minimum))

    def find(self, wanted: str) -> str | None:
        """The present model that a request means: spelled exactly so, else by its normalized name."""
        if wanted.strip() in self.vram:
            return wanted.strip()
        normalized = normalize_gpu(wanted)
        return normalized if normalized in self.vram else None


def normalize_gpu(name: str) -> str:
    """The model name inside a GPU's many spellings: `AMD Instinct MI300X` → `MI300X`, `mi325x-oam` → `MI325X`
    (TPL-GPU-3)."""
    text = name.strip().replace("_", "-").upper()
    tokens = [token for token in re.split(r"[-\s/:]+", text) if token and token not in ("AMD", "INSTINCT")]
    for token in tokens:
        bare = token.removeprefix("INSTINCT")
        if re.fullmatch(r"[A-Z0-9]*[0-9][A-Z0-9]*", bare):
            return bare
    return tokens[0] if tokens else text


def gpu_of_device(device_id: str) -> str:
    """Model of a PCI device id; `AMD-<ID>` when it is not in the table (TPL-GPU-3)."""
    bare = device_id.strip().lower().removeprefix("0x")
    return _MODEL_OF_ID.get(bare) or f"AMD-{bare.upper()}"


def gpus_of_node(labels: Mapping[str, str]) -> tuple[NodeGpu, ...]:
    """GPU models a node shows: by device id, else by family, each in the plain form, else in the counted one."""
    for suffix, model_of in (("gpu.device-id", gpu_of_device), ("gpu.family", normalize_gpu)):
        for prefix in GPU_LABEL_PREFIXES:
            value = (labels.get(prefix + suffix) or "").strip()
            if value:
                return (NodeGpu(model_of(value), ((prefix + suffix, "In", (value,)),)),)
        found = [
            NodeGpu(model_of(key.removeprefix(f"{prefix}{suffix}.")), ((key, "Exists", ()), (key, "NotIn", ("", "0"))))
            for prefix in GPU_LABEL_PREFIXES
            for key in sorted(labels)
            if key.startswith(f"{prefix}{suffix}.") and labels[key] not in ("", "0")
        ]
        if found:
            return tuple(found)
    return ()


def inventory_of(nodes: Iterable[Mapping[str, str]]) -> GpuInventory:
    """The inventory of nodes given by their labels; the order of the nodes does not matter."""
    vram: dict[str, int] = {}
    extra: dict[str, set[Term]] = {}
    for labels in nodes:
        labelled = next((size for size in (_vram_label(labels, prefix) for prefix in GPU_LABEL_PREFIXES) if size), 0)
        for gpu in gpus_of_node(labels):
            vram[gpu.model] = max(vram.get(gpu.model, 0), labelled)
            if not _is_usual_form(gpu):
                extra.setdefault(gpu.model, set()).add(gpu.expressions)
    return GpuInventory(
        {model: size or _VRAM_OF_MODEL.get(model, 0) for model, size in sorted(vram.items())},
        {model: tuple(sorted(terms)) for model, terms in sorted(extra.items())},
    )


def parse_vram(text: str) -> int:
    """Bytes of a memory label: `192G` and `192Gi` are GiB, a bare number below 2^24 is MiB; 0 when unusable
    (TPL-GPU-4)."""
    cleaned = text.strip().upper().removesuffix("I").removesuffix("B")
    match = re.fullmatch(r"(\d+)([GT]?)", cleaned)
    if match is None:
        return _quantity(text.strip())
    number, suffix = int(match[1]), match[2]
    if suffix:
        return number * (GIBIBYTE if suffix == "G" else 1024 * GIBIBYTE)
    return number * 2**20 if number < _BARE_MEBIBYTES_BELOW else number


def needs_gpu(hardware: Hardware | None) -> bool:
    """Whether hardware asks for a GPU: a count above zero, or a model."""
    gpu = hardware.gpu if hardware is not None else None
    return gpu is not None and (gpu.requests > 0 or bool(gpu.model.strip()))


def asks_for_gpu(*hardware: Hardware | None) -> bool:
    """Return whether one of the hardware descriptions has a GPU."""
    return any(item is not None and item.gpu is not None for item in hardware)


def gpu_component(hardware: Hardware | None, inventory: GpuInventory | None) -> Component | None:
    """Health of the component `GPU`; None when no GPU is asked for.

    Without an inventory (nodes may not be read) the check passes: the scheduler has the last word (TPL-GPU-2).
    """
    if hardware is None or hardware.gpu is None or not needs_gpu(hardware):
        return None
    if inventory is None:
        return Component.ready(
            _GPU, Reason.GPU_NOT_CHECKED, "Nodes cannot be read here, so GPU availability is not checked"
        )
    wanted, present = hardware.gpu, _listed(inventory.models)
    if wanted.model.strip():
        if (found := inventory.find(wanted.model)) is not None:
            return Component.ready(_GPU, Reason.GPU_AVAILABLE, f"GPU model {found} is available")
        return Component(
            _GPU,
            State.NOT_AVAILABLE,
            Reason.GPU_NOT_AVAILABLE,
            f"No node has a GPU of model {wanted.model}; the cluster has {present}",
        )
    minimum = minimum_vram(wanted)
    if minimum > 0 and not inventory.with_memory(minimum):
        text = f"No GPU of the cluster has {wanted.min_vram} of memory; the cluster has {present}"
        return Component(_GPU, State.NOT_AVAILABLE, Reason.VRAM_NOT_AVAILABLE, text)
    if not inventory.models:
        return Component(
            _GPU, State.NOT_AVAILABLE, Reason.GPU_NOT_AVAILABLE, "No node of the cluster shows an AMD GPU by its labels"
        )
    return Component.ready(_GPU, Reason.GPU_AVAILABLE, f"The cluster has {present}")


def minimum_vram(gpu: GpuHardware) -> int:
    """Memory each GPU must have, in bytes; 0 without a (readable) demand."""
    return _quantity(gpu.min_vram)


def node_affinity(hardware: Hardware | None, inventory: GpuInventory | None) -> Manifest | None:
    """Which nodes can run the hardware, None when any can (TPL-GPU-5).

    One term for the usual device-id label with every id of the model, or of each present model with enough memory;
    further terms only for label forms of nodes that lack it. Values are sorted: a reordering would restart pods.
    """
    if hardware is None or hardware.gpu is None or not needs_gpu(hardware):
        return None
    wanted, available = hardware.gpu, inventory or GpuInventory()
    if wanted.model.strip():
        models: Sequence[str] = (available.find(wanted.model) or normalize_gpu(wanted.model),)
    elif minimum := minimum_vram(wanted):
        models = available.with_memory(minimum)
    else:
        return None
    ids = sorted({device for model in models for device in _ids(model)})
    terms: list[Term] = [((DEVICE_ID_LABEL, "In", tuple(ids)),)] if ids else []
    terms += [term for model in models for term in available.extra_terms.get(model, ())]
    if not terms:
        return None
    rendered = [{"matchExpressions": [_expression(*expression) for expression in term]} for term in terms]
    return {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": rendered}}


def _ids(model: str) -> tuple[str, ...]:
    return _IDS_OF_MODEL.get(model) or ((model.removeprefix("AMD-").lower(),) if model.startswith("AMD-") else ())


def _is_usual_form(gpu: NodeGpu) -> bool:
    key, operator, values = gpu.expressions[0]
    return key == DEVICE_ID_LABEL and operator == "In" and values[0] in _ids(gpu.model)


def _expression(key: str, operator: str, values: tuple[str, ...]) -> Manifest:
    return {"key": key, "operator": operator, **({"values": list(values)} if values else {})}


def _vram_label(labels: Mapping[str, str], prefix: str) -> int:
    return parse_vram(labels.get(f"{prefix}gpu.vram") or "")


def _quantity(text: str) -> int:
    try:
        return max(0, parse_bytes(text)) if text else 0
    except (InvalidQuantity, ArithmeticError):
        return 0


def _listed(models: Iterable[str]) -> str:
    return ", ".join(sorted(models)) or "no AMD GPU"
