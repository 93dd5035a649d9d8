"""The GPUs that a container gets: as many as it asks for, and of the model of its node.

A real device plugin mounts the device files. A process here finds the PCI device ids in a variable instead.
"""

from aimd.runtime.objects import Manifest, metadata_of
from aimd.sandbox.nodes import GPU_RESOURCE

_DEVICE_ID = f"{GPU_RESOURCE}.device-id"


def gpus_of(container: Manifest, node: Manifest | None) -> tuple[str, ...]:
    """Return the PCI device id of each GPU of a container, none without a limit."""
    limits = (container.get("resources") or {}).get("limits") or {}
    device_id = ((metadata_of(node).get("labels") or {}) if node else {}).get(_DEVICE_ID, "")
    return (device_id,) * int(limits.get(GPU_RESOURCE) or 0) if device_id else ()
