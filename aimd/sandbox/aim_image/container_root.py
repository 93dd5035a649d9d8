"""The files of the container: the runtime's paths on disk, and paths on disk as the container knows them."""

# tests: tests/unit/sandbox/aim_image/test_profiles.py

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from aimd.sandbox.container_environment import ROOT

PROFILES = "/workspace/aim-runtime/profiles"
ENGINES = "/workspace/aim-runtime/config/engines.yaml"
MODEL_CACHE = "/workspace/model-cache"


@dataclass(frozen=True, slots=True)
class ContainerRoot:
    """The folder that is `/` in the container; `/` itself if the process runs in a container of its own."""

    folder: str = ""

    def on_disk(self, path: str) -> Path:
        """Return the path on disk for a path of the container, or for one that is already on disk."""
        inside = not self.folder or path == self.folder or path.startswith(f"{self.folder}/")
        return Path(path if inside else f"{self.folder}/{path.lstrip('/')}")

    def shown(self, text: str) -> str:
        """Return a text with paths on disk replaced by those of the container."""
        return text.replace(self.folder, "") if self.folder else text


def container_root(environment: Mapping[str, str]) -> ContainerRoot:
    """Return the root that the process kubelet set for this process."""
    return ContainerRoot(os.path.normpath(folder) if (folder := environment.get(ROOT)) else "")
