"""Gauges of what the cluster provides: APIs and GPUs."""

from aimd.metrics.figures import whole_quantity
from aimd.metrics.fleet import Fleet
from aimd.metrics.gauges import Gauge, Series, counted, summed
from aimd.planning.gpus import gpus_of_node, is_gpu_resource
from aimd.planning.kinds import AIM_CLUSTER_SERVICE_TEMPLATE, HTTP_ROUTE, INFERENCE_SERVICE, SCALED_OBJECT
from aimd.planning.objects import part, status_of
from aimd.runtime.kinds import HORIZONTAL_POD_AUTOSCALER, NODE
from aimd.runtime.objects import Manifest, labels_of

_APIS = {
    "kserve": INFERENCE_SERVICE,
    "gateway": HTTP_ROUTE,
    "hpa": HORIZONTAL_POD_AUTOSCALER,
    "keda": SCALED_OBJECT,
    "nodes": NODE,
    "cluster-kinds": AIM_CLUSTER_SERVICE_TEMPLATE,
}
"""The kind whose availability stands for that of an API."""

_UNKNOWN = "unknown"


def _capabilities(fleet: Fleet) -> Series:
    """Yield whether the cluster serves each API and aimd may use it (OPS-RGT-1)."""
    for api, kind in _APIS.items():
        if kind in fleet.cache:
            yield (api,), float(fleet.cache[kind].available)


def _nodes(fleet: Fleet) -> Series:
    return counted((model,) for node in fleet.objects(NODE) for model in _models_of(node))


def _allocatable(fleet: Fleet) -> Series:
    """Yield the GPUs that pods can request; a node with several models counts under their joined names."""
    return summed(
        (("+".join(sorted(models)), resource), whole_quantity(quantity))
        for node in fleet.objects(NODE)
        if (models := _models_of(node))
        for resource, quantity in part(status_of(node), "allocatable").items()
        if is_gpu_resource(resource)
    )


def _models_of(node: Manifest) -> set[str]:
    return {gpu.model or _UNKNOWN for gpu in gpus_of_node(labels_of(node))}


GAUGES = (
    Gauge(
        "aimd_capability",
        "1 if the cluster serves the API and aimd may use it.",
        ("api",),
        _capabilities,
    ),
    Gauge("aimd_gpu_nodes", "Nodes that have the GPU model.", ("model",), _nodes),
    Gauge("aimd_gpu_allocatable", "GPUs that nodes provide to pods.", ("model", "resource"), _allocatable),
)
