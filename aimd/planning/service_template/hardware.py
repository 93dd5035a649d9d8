"""Hardware of a template: what inference will use, whether the cluster has the GPU, and which nodes can run it."""

import json
from collections.abc import Mapping, Sequence

from aimd.api.reasons import Reason
from aimd.api.service_template import AnyServiceTemplate, TemplateCondition
from aimd.api.shared import GPU_RESOURCE, CpuHardware, Hardware
from aimd.planning.component import Component, State
from aimd.planning.gpus import (
    DEVICE_ID_LABEL,
    GpuInventory,
    NodeRequirement,
    NodeTerm,
    devices_of_gpu,
    minimum_vram,
    names_no_gpu,
    needs_gpu,
    normalize_gpu,
)
from aimd.planning.service_template.discovery_output import DiscoveredProfile
from aimd.runtime.objects import Manifest

_GPU = TemplateCondition.GPU_READY


def resolved_hardware(
    template: AnyServiceTemplate,
    profile: DiscoveredProfile | None,
    *,
    is_discovered: bool,
    stored_profile: DiscoveredProfile | None = None,
) -> Hardware | None:
    """Return the hardware that inference will use (TPL-GPU-1).

    `profile` is what this reconcile discovered; `is_discovered` is whether the status holds an earlier discovery,
    `stored_profile` is what that found. Count and model are the discovered ones if there are any, the rest comes from
    the spec. A model and a minimum of memory exclude each other in the schema, so a minimum is dropped when a model is
    known.
    """
    hardware = _without_false_gpu(template.spec.hardware)
    if profile is not None:
        hardware = _discovered_hardware(hardware, profile)
    elif is_discovered and not template.spec.model_sources:
        stored = _without_false_gpu(template.status.resolved_hardware)
        if stored_profile is not None and _is_erased(stored):
            # Earlier versions did not read the hardware of newer images, and stored 0 GPUs of no model.
            stored = _discovered_hardware(hardware, stored_profile)
        hardware = stored or hardware
    if hardware is None or hardware.gpu is None or not (hardware.gpu.model and hardware.gpu.min_vram):
        return hardware
    gpu = {name: value for name, value in hardware.gpu.manifest().items() if name != "minVram"}
    return Hardware.model_validate({**hardware.manifest(), "gpu": gpu})


def hardware_summary(hardware: Hardware | None) -> str:
    """Return the hardware in short: `2 x MI300X`, `MI300X`, `1 x GPU` or `CPU`; empty without any."""
    if hardware is None:
        return ""
    count = hardware.gpu.requests if hardware.gpu is not None else 0
    model = hardware.gpu.model.strip() if hardware.gpu is not None else ""
    if count:
        return f"{count} x {model or 'GPU'}"
    return model or ("CPU" if hardware.cpu is not None else "")


def gpu_component(hardware: Hardware | None, inventory: GpuInventory | None) -> Component | None:
    """Return the health of the component `GPU`, None when no GPU is asked for (TPL-GPU-2).

    `inventory` is None when nodes may not be read; the check then passes, because the scheduler decides.
    """
    if hardware is None or hardware.gpu is None or not needs_gpu(hardware):
        return None
    if inventory is None:
        return Component.ready(
            _GPU, Reason.GPU_NOT_CHECKED, "GPU availability is not checked, because aimd may not read nodes"
        )
    wanted, present = hardware.gpu, _listed(inventory)
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
        text = f"No node has a GPU with {wanted.min_vram} of memory; the cluster has {present}"
        return Component(_GPU, State.NOT_AVAILABLE, Reason.VRAM_NOT_AVAILABLE, text)
    if not inventory.vram:
        return Component(_GPU, State.NOT_AVAILABLE, Reason.GPU_NOT_AVAILABLE, "No node has the labels of an AMD GPU")
    return Component.ready(_GPU, Reason.GPU_AVAILABLE, f"The cluster has {present}")


def gpu_is_available(hardware: Hardware | None, inventory: GpuInventory | None) -> bool:
    """Return whether the cluster has the GPU that the hardware asks for, as its health says (TPL-DSC-7)."""
    component = gpu_component(hardware, inventory)
    return component is None or component.effective_state is State.READY


def node_affinity(hardware: Hardware | None, inventory: GpuInventory | None) -> Manifest | None:
    """Return the affinity of nodes that can run the hardware, None when any node can (TPL-GPU-5).

    One term selects by the usual device-id label: every id of the model, or of each present model with enough memory.
    Further terms select nodes that show the GPU in another way. Each keeps off nodes with partitioned GPUs. Values are
    sorted, because a reordering would restart pods.
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
    ids = sorted({device for model in models for device in devices_of_gpu(model)})
    terms: list[NodeTerm] = [(NodeRequirement(DEVICE_ID_LABEL, "In", tuple(ids)),)] if ids else []
    terms += [term for model in models for term in available.extra_terms.get(model, ())]
    if not terms:
        return None
    rendered = [
        {"matchExpressions": [requirement.manifest() for requirement in (*term, *available.excluded)]} for term in terms
    ]
    return {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": rendered}}


def resolved_affinity(
    hardware: Hardware | None, inventory: GpuInventory | None, stored: Manifest | None
) -> Manifest | None:
    """Return the affinity for the status, None when any node can run the hardware (TPL-GPU-5).

    The `stored` one is kept while it differs only in the order of its lists: services copy it into pods, and a new
    order would restart them.
    """
    if hardware is None or hardware.gpu is None:
        return None
    # A minimum of memory counts only if a GPU is really requested (TPL-GPU-1).
    if not hardware.gpu.model and minimum_vram(hardware.gpu) and not hardware.gpu.requests:
        return None
    wanted = node_affinity(hardware, inventory)
    return stored if stored is not None and _unordered(stored) == _unordered(wanted) else wanted


def _discovered_hardware(wanted: Hardware | None, found: DiscoveredProfile) -> Hardware | None:
    """Return the hardware as discovered; what discovery leaves unsaid stays as in the spec (TPL-GPU-1)."""
    gpu = wanted.gpu.manifest() if wanted is not None and wanted.gpu is not None else {}
    described: Manifest = {}
    if found.gpu_count or found.gpu or gpu:
        said = (("requests", found.gpu_count), ("model", found.gpu))
        described["gpu"] = {"resourceName": GPU_RESOURCE, **gpu, **{name: value for name, value in said if value}}
    if wanted is not None and wanted.cpu is not None:
        described["cpu"] = wanted.cpu.manifest()
    elif found.cpus and not gpu:
        described["cpu"] = {"requests": str(found.cpus)}
    return Hardware.model_validate(described) if described else None


def _is_erased(hardware: Hardware | None) -> bool:
    return hardware is not None and hardware.gpu is not None and not (hardware.gpu.requests or hardware.gpu.model)


def _without_false_gpu(hardware: Hardware | None) -> Hardware | None:
    """Return hardware whose GPU model is that of a CPU as cores of a CPU (TPL-GPU-6)."""
    if hardware is None or hardware.gpu is None or not names_no_gpu(hardware.gpu.model):
        return hardware
    cores = CpuHardware(requests=str(hardware.gpu.requests)) if hardware.gpu.requests > 0 else None
    cpu = hardware.cpu or cores
    return Hardware(cpu=cpu) if cpu is not None else None


def _unordered(value: object) -> str:
    """Return a text that is equal for values that differ only in the order of their lists."""
    if isinstance(value, Mapping):
        return json.dumps({key: _unordered(item) for key, item in sorted(value.items())})
    if isinstance(value, list | tuple):
        return json.dumps(sorted(_unordered(item) for item in value))
    return json.dumps(value)


def _listed(inventory: GpuInventory) -> str:
    unnamed = ["a GPU whose labels name no model"] if "" in inventory.vram else []
    return ", ".join([*sorted(inventory.models), *unnamed]) or "no AMD GPU"
