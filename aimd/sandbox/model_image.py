"""Stand-in for an AIM image: its labels, and its program.

The labels are in a real registry, on a real manifest, under a host that the operator finds by `--registry-mirrors`. The
program answers a dry run with the profiles of the image, the best match first, and serves the model of the image as
`model_server` does.

Left out: several models in one image, profiles for several GPUs, custom profiles that are mounted.

Run it with `python -m aimd.sandbox.model_image dry-run --format=json`, or with `serve` and the options of the server.
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from aimd.sandbox import model_server
from aimd.sandbox.image_registry import Image, push_image, start_registry
from aimd.sandbox.processes import Supervisor

HOST = "images.sandbox.local"
REPOSITORY = "aim/qwen2-5-0-5b-instruct"
TAG = "1.0.0"
MODEL = "Qwen/Qwen2.5-0.5B-Instruct"
_SIZE_GB = 0.03125


@dataclass(frozen=True, slots=True)
class Profile:
    """A profile of the image."""

    gpu: str
    metric: str
    precision: str = "fp16"
    gpu_count: int = 1

    @property
    def name(self) -> str:
        """Return the name of the profile, as in its file name."""
        return f"vllm-{self.gpu.lower()}-{self.precision}-tp{self.gpu_count}-{self.metric}"


PROFILES = (Profile("MI300X", "latency"), Profile("MI350X", "latency"))


async def start_image_registry(supervisor: Supervisor, binary: Path) -> str:
    """Start a registry with the image, and return its URL. Raises ProcessFailed or httpx.HTTPError."""
    url = f"http://127.0.0.1:{await start_registry(supervisor, binary)}"
    async with httpx.AsyncClient(base_url=url, trust_env=False) as http:
        await push_image(http, REPOSITORY, TAG, Image(image_labels()))
    return url


def image_labels() -> dict[str, str]:
    """Return the labels of the image: its model, and a recommended deployment for each profile."""
    recommended = [
        {
            "gpuModel": profile.gpu,
            "gpuCount": profile.gpu_count,
            "metric": profile.metric,
            "precision": profile.precision,
            "profileId": profile.name,
        }
        for profile in PROFILES
    ]
    prefix = "com.amd.aim."
    return {
        f"{prefix}model.canonicalName": MODEL,
        f"{prefix}title": "Qwen2.5 0.5B Instruct, as the sandbox serves it",
        f"{prefix}model.recommendedDeployments": json.dumps(recommended),
        "org.opencontainers.image.version": TAG,
    }


def dry_run(environment: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the profiles, those that match the environment (`AIM_GPU_MODEL`, `AIM_METRIC`, …) best first."""
    asked = {
        "gpu": environment.get("AIM_GPU_MODEL", ""),
        "metric": environment.get("AIM_METRIC", ""),
        "precision": environment.get("AIM_PRECISION", ""),
        "gpu_count": environment.get("AIM_GPU_COUNT", ""),
        "name": environment.get("AIM_PROFILE_ID", ""),
    }

    def agreement(profile: Profile) -> int:
        return sum(str(getattr(profile, name)) == value for name, value in asked.items() if value)

    return [_described(profile) for profile in sorted(PROFILES, key=agreement, reverse=True)]


def _described(profile: Profile) -> dict[str, Any]:
    metadata = {
        "engine": "vllm",
        "gpu": profile.gpu,
        "gpu_count": profile.gpu_count,
        "metric": profile.metric,
        "precision": profile.precision,
        "type": "optimized",
    }
    return {
        "filename": f"{profile.name}.yaml",
        "profile": {
            "model": MODEL,
            "metadata": metadata,
            "engine_args": {"tensor-parallel-size": profile.gpu_count, "gpu-memory-utilization": 0.95},
            "env_vars": {"VLLM_DO_NOT_TRACK": "1"},
        },
        "models": [{"name": MODEL, "source": f"hf://{MODEL}", "size_gb": _SIZE_GB}],
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the profiles as JSON, or serve; return status 2 for any other command."""
    command, *rest = (sys.argv[1:] if arguments is None else arguments) or [""]
    if command == "serve":
        return model_server.main([*rest, "--model", MODEL])
    if (command, *rest) != ("dry-run", "--format=json"):
        print(f"error: unknown command {command!r}; use dry-run --format=json, or serve", file=sys.stderr)
        return 2
    print(json.dumps(dry_run(os.environ), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
