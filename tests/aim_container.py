"""A container of an AIM image in a folder, in which the stand-in of the runtime runs in this process."""

import io
import json
import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import yaml

from aimd.sandbox.aim_image.commands import main
from aimd.sandbox.aim_image.container_root import PROFILES
from aimd.sandbox.aim_image.generations import Generation

AIM = "Qwen/Qwen3-32B"


@dataclass(frozen=True)
class Outcome:
    """What a command left behind; `log` is without times."""

    code: int
    output: str
    log: str

    @property
    def document(self) -> Any:
        return json.loads(self.output)


@dataclass(frozen=True)
class AimContainer:
    """The root folder of a container, with profile files to add."""

    root: Path
    generation: Generation = Generation.V0_9

    def add(self, path: str, content: Any) -> None:
        """Write a file below the folder of the profiles: a document, or a text as it is."""
        file = self.root / f"{PROFILES}/{path}".lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content if isinstance(content, str) else yaml.safe_dump(content), encoding="utf-8")

    def cache(self, model: str, *files: str) -> Path:
        """Put a model into the cache."""
        folder = self.root / "workspace/model-cache" / model
        folder.mkdir(parents=True)
        for name in files:
            (folder / name).write_text("x")
        return folder

    def run(self, *arguments: str, gpus: Sequence[str] = (), **environment: str) -> Outcome:
        """Run a command of the image in its environment."""
        variables = {"AIM_SANDBOX_ROOT": str(self.root), "AIM_SANDBOX_GPUS": ",".join(gpus), **environment}
        output, log = io.StringIO(), io.StringIO()
        with (
            _OwnLogging(),
            patch.dict(os.environ, variables, clear=True),
            redirect_stdout(output),
            redirect_stderr(log),
        ):
            try:
                code = main(["--generation", self.generation.label, *arguments])
            except SystemExit as end:
                code = int(end.code or 0)
        return Outcome(code, output.getvalue(), log.getvalue())


class _OwnLogging:
    """Let the runtime set up logging as a process of its own, and then put everything back."""

    def __enter__(self) -> None:
        root, runtime = logging.getLogger(), logging.getLogger("aim_runtime")
        self._before = root.handlers[:], root.level, runtime.level
        root.handlers[:] = []
        root.setLevel(logging.WARNING)
        runtime.setLevel(logging.NOTSET)

    def __exit__(self, *_: object) -> None:
        root, runtime = logging.getLogger(), logging.getLogger("aim_runtime")
        root.handlers[:], root.level, runtime.level = self._before


def document(**changes: Any) -> dict[str, Any]:
    """A valid profile for 0.8 to 0.11; the changes are of its metadata, or of the whole for its other names."""
    metadata = {
        "engine": "vllm",
        "gpu": "MI300X",
        "gpu_count": 1,
        "precision": "fp16",
        "metric": "latency",
        "manual_selection_only": False,
        "type": "optimized",
    }
    whole: dict[str, Any] = {"aim_id": AIM, "model_id": AIM, "engine_args": {}, "env_vars": {}}
    others = {name: value for name, value in changes.items() if name in whole}
    return {**whole, **others, "metadata": {**metadata, **{k: v for k, v in changes.items() if k not in whole}}}


def later_document(**changes: Any) -> dict[str, Any]:
    """A valid profile for 0.12."""
    metadata = {"accelerator_type": "gpu", "accelerator_model": "MI300X", "accelerator_count": 1}
    older = document(**changes)
    kept: Mapping[str, Any] = {
        name: value
        for name, value in older["metadata"].items()
        if name not in ("gpu", "gpu_count", "manual_selection_only") or name in changes
    }
    return {**older, "metadata": {**metadata, **kept}}
