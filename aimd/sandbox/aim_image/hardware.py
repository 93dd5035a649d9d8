"""The accelerators that the runtime works with: those that the environment names, else those of the container.

The process kubelet gives a container the GPUs that its pod was allocated: their PCI device ids in
`AIM_SANDBOX_GPUS`. They are always idle. On CPUs, left out: families and chips of EPYC; every CPU is just `CPU`.
"""

# tests: tests/unit/sandbox/aim_image/test_selection.py

from collections.abc import Mapping
from dataclasses import dataclass

from aimd.sandbox.aim_image.configuration import Configuration
from aimd.sandbox.aim_image.generations import UNKNOWN_DEVICE, device_by_id
from aimd.sandbox.aim_image.logs import ACCELERATORS, DETECTION, SELECTION
from aimd.sandbox.container_environment import GPUS


@dataclass(frozen=True, slots=True)
class Hardware:
    """The accelerator that a profile must be for, and how many of it; no `device` means that there is none."""

    device: str | None
    count: int


def visible_gpus(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the PCI device ids of the GPUs in the container."""
    return tuple(item for item in environment.get(GPUS, "").split(",") if item)


def detect(configuration: Configuration, gpus: tuple[str, ...]) -> Hardware:
    """Return the hardware that profiles are compared with."""
    if configuration.on_cpu:
        return Hardware("CPU", 0)
    if configuration.device is not None:
        return Hardware(configuration.device, _named_count(configuration))
    if not gpus:
        DETECTION.warning(_NONE_FOUND[configuration.generation.by_schema])
        return Hardware(None, 0)
    model = device_by_id(gpus[0], configuration.generation)
    if model is None and configuration.generation.by_schema:
        model = UNKNOWN_DEVICE
    return Hardware(model, len(gpus) if configuration.count is None else configuration.count)


def _named_count(configuration: Configuration) -> int:
    if configuration.count is not None:
        return configuration.count
    if configuration.generation.by_schema:
        SELECTION.warning(
            "AIM_GPU_MODEL is set but AIM_GPU_COUNT is 'auto'. Defaulting to 1 GPU. "
            "Set AIM_GPU_COUNT explicitly if needed."
        )
    else:
        ACCELERATORS.warning(
            "AIM_ACCELERATOR_MODEL is set but AIM_ACCELERATOR_COUNT is 'auto'. Defaulting to 1. "
            "Set AIM_ACCELERATOR_COUNT explicitly if needed."
        )
    return 1


_NONE_FOUND = {True: "No AMD GPUs detected", False: "No AMD GPUs detected (tried sysfs and amdsmi)"}
