"""What the configuration of an image says: labels, environment, and how its layers were made.

Only labels that are not texts are an error, because all else is about them. Any other part that is malformed counts as
absent.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from aimd.registry.access import Target
from aimd.registry.failures import Problem, registry_error
from aimd.registry.reference import is_digest

_MARKED_LABELS = ("com.amd.aim.", "org.amd.silogen.")
_MARKED_VARIABLES = "AIM_"


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """The configuration of an image.

    `instructions` are those of the history that made a layer, and `diff_ids` the digests of the layers' archives; both
    are in the order of the layers.
    """

    labels: Mapping[str, str]
    env: Mapping[str, str]
    instructions: tuple[str, ...] = ()
    diff_ids: tuple[str, ...] = ()

    @property
    def is_aim(self) -> bool:
        """Whether the image says that it is an AIM, by a label or a variable (REG-PRF-2)."""
        return any(name.startswith(_MARKED_LABELS) for name in self.labels) or any(
            name.startswith(_MARKED_VARIABLES) for name in self.env
        )


def parse_config(document: Mapping[str, Any], target: Target) -> ImageConfig:
    """Parse a configuration. Raises RegistryError if its labels are malformed."""
    return ImageConfig(labels_of(document, target), env_of(document), _instructions(document), _diff_ids(document))


def labels_of(config: Mapping[str, Any], target: Target) -> Mapping[str, str]:
    """Return `config.Labels`, empty if there are none. Raises RegistryError if they are malformed."""
    labels = _settings(config).get("Labels")
    if labels is None:
        return MappingProxyType({})
    if not isinstance(labels, dict) or not all(isinstance(value, str) for value in labels.values()):
        raise registry_error(Problem.CONTENT, f"{target.what} has labels that are not strings: build the image again")
    return MappingProxyType(labels)


def env_of(config: Mapping[str, Any]) -> Mapping[str, str]:
    """Return `config.Env` by name; entries that are not `NAME=value` are ignored (REG-PRF-1)."""
    variables = _settings(config).get("Env")
    texts = [entry for entry in variables if isinstance(entry, str)] if isinstance(variables, list) else []
    pairs = (text.partition("=") for text in texts)
    return MappingProxyType({name: value for name, separator, value in pairs if name and separator})


def _settings(config: Mapping[str, Any]) -> Mapping[str, Any]:
    settings = config.get("config")
    return settings if isinstance(settings, dict) else {}


def _instructions(config: Mapping[str, Any]) -> tuple[str, ...]:
    history = config.get("history")
    entries = [entry for entry in history if isinstance(entry, dict)] if isinstance(history, list) else []
    made = [entry.get("created_by") for entry in entries if entry.get("empty_layer") is not True]
    return tuple(text if isinstance(text, str) else "" for text in made)


def _diff_ids(config: Mapping[str, Any]) -> tuple[str, ...]:
    rootfs = config.get("rootfs")
    found = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    entries = found if isinstance(found, list) else ()
    return tuple(entry if isinstance(entry, str) and is_digest(entry) else "" for entry in entries)
