"""Compute resources of the container: defaults per GPU, then what users set on each level."""

from collections.abc import Mapping, Sequence
from decimal import Decimal

from aimd.api.core import ResourceRequirements
from aimd.api.shared import GPU_RESOURCE, Hardware
from aimd.planning.quantities import InvalidQuantity, parse_quantity
from aimd.runtime.objects import Manifest

_CPUS_PER_GPU = 4
_MEMORY_PER_GPU_GIB = 32
_MEMORY_LIMIT_PER_GPU_GIB = 48

_Quantities = dict[str, str]


def predictor_resources(
    hardware: Hardware | None,
    *,
    model: ResourceRequirements | None,
    template: ResourceRequirements | None,
    service: ResourceRequirements | None,
) -> Manifest:
    """Return `resources` of the predictor's container: the template's hardware, and what each level sets.

    A template whose `resources` set neither requests nor limits has the CPU part of its hardware instead (SVC-RES-4).
    """
    sets_resources = template is not None and bool(template.requests or template.limits)
    return container_resources(hardware, (model, template if sets_resources else cpu_level(hardware), service))


def container_resources(hardware: Hardware | None, levels: Sequence[ResourceRequirements | None]) -> Manifest:
    """Return `resources` of the container, empty when nothing is asked for (SVC-RES-1).

    `levels` are what users set, weakest first: model, template, service. Those values are never altered; defaults are
    adapted to them.
    """
    defaults = _defaults(hardware)
    users = _merged(levels)
    merged = {side: {**defaults[side], **users[side]} for side in ("requests", "limits")}
    _mirror_devices(merged, users)
    _fit_defaults(merged, users)
    return {side: dict(sorted(merged[side].items())) for side in ("limits", "requests") if merged[side]}


def cpu_level(hardware: Hardware | None) -> ResourceRequirements | None:
    """Return the CPU part of hardware as a level, for templates without resources of their own (SVC-RES-4)."""
    cpu = hardware.cpu if hardware is not None else None
    if cpu is None:
        return None
    return ResourceRequirements(
        requests={"cpu": cpu.requests} if cpu.requests else {},
        limits={"cpu": cpu.limits} if cpu.limits else {},
    )


def _defaults(hardware: Hardware | None) -> dict[str, _Quantities]:
    gpu = hardware.gpu if hardware is not None else None
    count = gpu.requests if gpu is not None else 0
    if gpu is None or count <= 0:
        return {"requests": {}, "limits": {}}
    device = gpu.resource_name or GPU_RESOURCE
    return {
        "requests": {
            "cpu": str(_CPUS_PER_GPU * count),
            "memory": f"{_MEMORY_PER_GPU_GIB * count}Gi",
            device: str(count),
        },
        "limits": {"memory": f"{_MEMORY_LIMIT_PER_GPU_GIB * count}Gi", device: str(count)},
    }


def _merged(levels: Sequence[ResourceRequirements | None]) -> dict[str, _Quantities]:
    users: dict[str, _Quantities] = {"requests": {}, "limits": {}}
    for level in levels:
        if level is not None:
            users["requests"].update(level.requests)
            users["limits"].update(level.limits)
    return users


def _mirror_devices(merged: dict[str, _Quantities], users: Mapping[str, Mapping[str, str]]) -> None:
    """Copy what a user sets for an extended resource to the other side: it cannot be overcommitted (SVC-RES-2)."""
    for side, other in (("requests", "limits"), ("limits", "requests")):
        for name, quantity in users[side].items():
            if _is_extended(name) and name not in users[other]:
                merged[other][name] = quantity


def _fit_defaults(merged: dict[str, _Quantities], users: Mapping[str, Mapping[str, str]]) -> None:
    """Lower a default request to a user's limit, and raise a default limit to a user's request (SVC-RES-3)."""
    for name in merged["requests"].keys() & merged["limits"].keys():
        request, limit = _value(merged["requests"][name]), _value(merged["limits"][name])
        if request is None or limit is None or request <= limit:
            continue
        if name not in users["requests"]:
            merged["requests"][name] = merged["limits"][name]
        elif name not in users["limits"]:
            merged["limits"][name] = merged["requests"][name]


def _is_extended(name: str) -> bool:
    domain, slash, _ = name.partition("/")
    return bool(slash) and domain != "kubernetes.io" and not domain.endswith(".kubernetes.io")


def _value(text: str) -> Decimal | None:
    try:
        return parse_quantity(text)
    except InvalidQuantity:
        return None
