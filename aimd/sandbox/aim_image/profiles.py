"""The profile files in the container: found, checked as the generation of the image does, and named.

Left out: the order of files within a folder is that of their names here, and that of the file system in an image.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from aimd.sandbox.aim_image.configuration import Configuration
from aimd.sandbox.aim_image.container_root import PROFILES, ContainerRoot
from aimd.sandbox.aim_image.generations import NO_DEVICE, Generation
from aimd.sandbox.aim_image.logs import FILES
from aimd.sandbox.aim_image.logs import PROFILES as LOG
from aimd.sandbox.aim_image.schema import ProfileInvalid, check_schema
from aimd.sandbox.aim_image.structures import Metadata11, Metadata12, read_metadata


@dataclass(frozen=True, slots=True)
class Traits:
    """What a profile is for; `device` is None for a profile without an accelerator."""

    engine: str
    device: str | None
    count: int
    precision: str
    metric: str
    type: str
    manual_only: bool
    variant: str | None = None


@dataclass(frozen=True, slots=True)
class Profile:
    """A valid profile file; `path` is that in the container, and `document` the content."""

    path: str
    priority: int
    traits: Traits
    document: dict[str, Any]

    @property
    def general(self) -> bool:
        """Return whether the profile fits any model."""
        return is_general(self.path)

    @property
    def aim_id(self) -> str:
        """Return the AIM that the profile is for, empty if it is general."""
        return "" if self.general else str(self.document["aim_id"])

    @property
    def model_id(self) -> str:
        """Return the model whose weights the profile serves, empty if it is general."""
        return "" if self.general else str(self.document["model_id"])

    @property
    def file_name(self) -> str:
        """Return the name of the file."""
        return Path(self.path).name

    @property
    def id(self) -> str:
        """Return the id, which depends on the folder and the name of the file, and never on the metadata."""
        stem = Path(self.path).stem
        if "/custom/" in self.path:
            return f"custom/{'general' if self.general else self.aim_id}/{stem}"
        return f"general/{stem}" if self.general else stem

    def selectable(self, configuration: Configuration) -> bool:
        """Return whether the profile may be chosen without being named."""
        if configuration.generation >= Generation.V0_12:
            general = self.traits.type == "general"
            return self.traits.type != "unoptimized" and (configuration.general_fallback or not general)
        return not self.traits.manual_only and (configuration.general_fallback or not self.general)


def is_general(path: str) -> bool:
    """Return whether a profile file at this path of the container is general."""
    return "/general/" in path


def load_profiles(configuration: Configuration, root: ContainerRoot) -> list[Profile]:
    """Return the valid profiles of the container, those of custom profiles first; of one id, the first counts.

    An invalid file is left out with a warning.
    """
    found: dict[str, Profile] = {}
    for priority, folder in enumerate(_folders(configuration.aim_id), 1):
        for file in _files(root.on_disk(folder)):
            path = root.shown(str(file))
            try:
                profile = read_profile(file, path, priority, configuration.generation)
            except (ProfileInvalid, ValueError) as error:
                _refuse(path, error, configuration.generation)
            except Exception as error:
                LOG.warning(f"Failed to process profile file {path}: {error}")
            else:
                found.setdefault(profile.id, profile)
    LOG.info(f"Total valid profiles found: {len(found)}")
    return list(found.values())


def _refuse(path: str, error: Exception, generation: Generation) -> None:
    if isinstance(error, ProfileInvalid) or not generation.by_schema:
        LOG.warning(f"✗ Invalid profile: {path} - Validation error: {error}")
    else:
        LOG.warning(f"Failed to process profile file {path}: {error}")


def _folders(aim_id: str | None) -> Iterator[str]:
    """Yield the folders in the order of their precedence."""
    yield f"{PROFILES}/custom"
    if aim_id and "/" in aim_id:
        yield f"{PROFILES}/{aim_id}"
    yield f"{PROFILES}/general"


def _files(folder: Path) -> list[Path]:
    """Return all profile files below a folder, in the order of their names.

    A link to a folder is not entered, such as the `..data` of a mounted ConfigMap; but where the process kubelet has
    put a link for a mount, which leads to an absolute path, an image has a folder.
    """
    found: list[Path] = []
    for entry in folder.iterdir() if folder.is_dir() else ():
        if entry.name.endswith(".yaml"):
            found.append(entry)
        if entry.is_dir() and (not entry.is_symlink() or os.readlink(entry).startswith("/")):
            found += _files(entry)
    return sorted(found)


def read_profile(file: Path, path: str, priority: int, generation: Generation) -> Profile:
    """Return a profile file. Raises ProfileInvalid, ValueError and whatever reading a file may raise."""
    with file.open(encoding="utf-8") as content:
        document = yaml.safe_load(content)
    general = is_general(path)
    if generation.by_schema:
        check_schema(document, generation, general=general)
        return Profile(path, priority, _traits(document["metadata"]), document)
    if not isinstance(document, dict):
        problem = f"YAML file must contain a top-level mapping: {path} (got {type(document).__name__})"
        FILES.error(problem)
        raise ValueError(problem)
    metadata = read_metadata(document, generation, path, general=general)
    return Profile(path, priority, _later_traits(metadata), document)


def _traits(metadata: dict[str, Any]) -> Traits:
    return Traits(
        engine=metadata["engine"],
        device=None if metadata["gpu"] == NO_DEVICE else metadata["gpu"],
        count=metadata["gpu_count"],
        precision=metadata["precision"],
        metric=metadata["metric"],
        type=metadata["type"],
        manual_only=metadata["manual_selection_only"],
    )


def _later_traits(metadata: Metadata11 | Metadata12) -> Traits:
    return Traits(
        engine=metadata.engine,
        device=metadata.accelerator_model,
        count=metadata.accelerator_count,
        precision=metadata.precision,
        metric=metadata.metric,
        type=metadata.type,
        manual_only=metadata.manual_only,
        variant=metadata.variant if isinstance(metadata, Metadata12) else None,
    )
