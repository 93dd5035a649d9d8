"""Nodes with AMD GPUs that exist only as objects; the process kubelet runs their pods.

They have the labels of AMD's node labeller and the capacity of its device plugin. Left out: heartbeats and leases,
because the controller that reads them is disabled.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from aimd.runtime.client import Client
from aimd.runtime.kinds import NODE
from aimd.runtime.objects import Key, Manifest

GPU_RESOURCE = "amd.com/gpu"


@dataclass(frozen=True)
class Accelerator:
    """A GPU model, as the labels of a node describe it."""

    product: str
    device_id: str
    vram: str


MI300X = Accelerator("AMD_Instinct_MI300X_OAM", "74a1", "192G")
MI350X = Accelerator("AMD_Instinct_MI350X_OAM", "75a0", "288G")
ACCELERATORS = (MI300X, MI350X)
"""The GPU models of the nodes, in rotation."""

_GPUS = "8"
_RESOURCES = {"cpu": "128", "memory": "2Ti", "ephemeral-storage": "4Ti", "pods": "110", GPU_RESOURCE: _GPUS}


async def register_nodes(client: Client, count: int, *, version: str, kubelet_port: int) -> list[str]:
    """Create `count` ready nodes, and return their names; the API server reads logs from `kubelet_port`."""
    names = []
    for index in range(count):
        node = _node(f"gpu-{index + 1}", ACCELERATORS[index % len(ACCELERATORS)])
        name = node["metadata"]["name"]
        await client.create(NODE, node, reason="sandbox")
        status = {"status": _status(version, kubelet_port)}
        await client.patch(NODE, Key("", name), status, reason="sandbox", subresource="status")
        names.append(name)
    return names


def labels_of(name: str, accelerator: Accelerator) -> dict[str, str]:
    """Return the labels of a node."""
    return {
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        f"{GPU_RESOURCE}.device-id": accelerator.device_id,
        f"{GPU_RESOURCE}.vram": accelerator.vram,
        f"{GPU_RESOURCE}.family": "AI",
        f"{GPU_RESOURCE}.product-name": accelerator.product,
    }


def _node(name: str, accelerator: Accelerator) -> Manifest:
    metadata = {"name": name, "labels": labels_of(name, accelerator)}
    return {"apiVersion": "v1", "kind": "Node", "metadata": metadata}


def _status(version: str, kubelet_port: int) -> Manifest:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    healthy = {
        "Ready": ("True", "KubeletReady", "the process kubelet of the sandbox runs the pods of this node"),
        "MemoryPressure": ("False", "KubeletHasSufficientMemory", ""),
        "DiskPressure": ("False", "KubeletHasNoDiskPressure", ""),
        "PIDPressure": ("False", "KubeletHasSufficientPID", ""),
    }
    conditions = [
        {
            "type": type_,
            "status": status,
            "reason": reason,
            "message": message,
            "lastHeartbeatTime": now,
            "lastTransitionTime": now,
        }
        for type_, (status, reason, message) in healthy.items()
    ]
    return {
        "capacity": _RESOURCES,
        "allocatable": _RESOURCES,
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}, {"type": "Hostname", "address": "localhost"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": kubelet_port}},
        "conditions": conditions,
        "nodeInfo": {
            "architecture": "amd64",
            "bootID": "",
            "containerRuntimeVersion": "aimd-process://1",
            "kernelVersion": "",
            "kubeProxyVersion": "",
            "kubeletVersion": version,
            "machineID": "",
            "operatingSystem": "linux",
            "osImage": "aimd sandbox",
            "systemUUID": "",
        },
    }
