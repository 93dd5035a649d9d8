"""Profile files of published AIM images, and made-up ones, by path below the folder of profiles."""

from pathlib import Path
from typing import Any

import yaml

DATA = Path(__file__).parent / "data" / "aim-images" / "profiles"


def published(generation: str) -> dict[str, str]:
    """Return the files of a generation of images, such as `0.9` or `0.12/epyc`."""
    folder = DATA / generation
    return {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*.yaml"))}


def profile_text(model: str = "acme/tiny", **metadata: Any) -> str:
    """Return a profile file with both families of keys, as images of 0.11 have them; None leaves a key out."""
    gpu, count = metadata.get("gpu", "MI300X"), metadata.get("gpu_count", 1)
    given = {
        "engine": "vllm",
        "gpu": gpu,
        "gpu_count": count,
        "accelerator_model": gpu,
        "accelerator_count": count,
        "accelerator_type": "gpu",
        "metric": "latency",
        "precision": "fp8",
        "type": "optimized",
        "manual_selection_only": False,
        **metadata,
    }
    document = {
        "aim_id": model,
        "model_id": model,
        "metadata": {name: value for name, value in given.items() if value is not None},
        "engine_args": {"tensor-parallel-size": count},
        "env_vars": {"VLLM_DO_NOT_TRACK": "1"},
    }
    return str(yaml.safe_dump({name: value for name, value in document.items() if value}))
