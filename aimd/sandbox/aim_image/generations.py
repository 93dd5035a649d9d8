"""The generations of the AIM runtime, and the accelerators that each knows."""

from collections.abc import Mapping
from enum import IntEnum


class Generation(IntEnum):
    """A generation of the runtime in an image. The tag of an image does not tell it; its environment does."""

    V0_8 = 8
    V0_9 = 9
    V0_11 = 11
    V0_12 = 12

    @property
    def label(self) -> str:
        """Return the generation as `0.9`."""
        return f"0.{self.value}"

    @property
    def by_schema(self) -> bool:
        """Return whether profiles are checked against a JSON schema (0.8, 0.9), instead of by pydantic."""
        return self <= Generation.V0_9


def generation_named(label: str) -> Generation:
    """Return the generation `0.9`. Raises ValueError for one that is unknown."""
    for generation in Generation:
        if generation.label == label:
            return generation
    raise ValueError(f"{label} is none of the generations {', '.join(item.label for item in Generation)}")


def generation_of(environment: Mapping[str, str]) -> Generation:
    """Return the generation of an image by its baked-in environment. Raises ValueError if that marks none.

    Of the later generations, only the instinct images carry all marks; 0.10 is not among ours.
    """
    if "AIM_EVAL_BACKEND_COMMAND" in environment:
        return Generation.V0_12
    if "AIM_ACCELERATOR_TYPE" in environment:
        return Generation.V0_11
    if "AIM_BASE_IMAGE_REF" in environment and "AIM_CONFIG_PATH" not in environment:
        return Generation.V0_9
    if "AIM_BASE_VERSION" in environment:
        return Generation.V0_8
    raise ValueError("the environment of the image has the marks of no known AIM generation")


_INSTINCT = ("MI100", "MI250X", "MI210", "MI300A", "MI300X", "MI308X", "MI325X", "MI350X", "MI355X")
_RADEON = ("V710", "W7900", "W7800", "W6900X", "W6800", "W6800X", "V620", "RX9070", "RX7900", "RX6900", "RX6800")
_CPUS = ("EPYC_9965", "EPYC_ZEN5", "EPYC_ZEN4", "CPU")

NO_DEVICE = "NONE"
UNKNOWN_DEVICE = "UNKNOWN"

_DEVICE_IDS = {
    "MI100": ("738c", "738e"),
    "MI250X": ("7408", "740c"),
    "MI210": ("740f", "7410"),
    "MI300A": ("74a0",),
    "MI300X": ("74a1", "74a9", "74b5", "74bd"),
    "MI308X": ("74a2", "74a8", "74b6"),
    "MI325X": ("74a5", "74b9"),
    "MI350X": ("75a0", "75b0"),
    "MI355X": ("75a3", "75b3"),
    "V710": ("7460", "7461"),
    "W7900": ("7448", "744a"),
    "W7800": ("7449", "745e"),
    "W6900X": ("73a2",),
    "W6800": ("73a3",),
    "W6800X": ("73ab",),
    "V620": ("73a1", "73ae"),
    "RX9070": ("7550",),
    "RX7900": ("744c",),
    "RX6900": ("73af",),
    "RX6800": ("73bf",),
}
_LATER_DEVICE_IDS = {"MI350P": ("75a8",), "R9700": ("7551",), "W7900": ("744b",)}


def device_names(generation: Generation) -> tuple[str, ...]:
    """Return the names of accelerators that a profile may have, in the order of the runtime's messages."""
    if generation.by_schema:
        return (*_INSTINCT, *_RADEON, NO_DEVICE)
    return (*_INSTINCT, "MI350P", "R9700", *_RADEON, *_CPUS)


def device_by_id(device_id: str, generation: Generation) -> str | None:
    """Return the name of the GPU with this PCI device id (`74a1`), None for one that the runtime doesn't know."""
    tables = (_DEVICE_IDS,) if generation.by_schema else (_DEVICE_IDS, _LATER_DEVICE_IDS)
    wanted = device_id.lower().removeprefix("0x")
    return next((name for table in tables for name, ids in table.items() if wanted in ids), None)


def device_named(text: str, generation: Generation) -> str | None:
    """Return the accelerator with this name, in any case, or with this PCI id (`0x74a1`); None if unknown.

    This is how the runtimes from 0.10 on read a name.
    """
    if text.upper() in device_names(generation):
        return text.upper()
    return device_by_id(text, generation) if text.lower().startswith("0x") else None
