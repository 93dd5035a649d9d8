"""Images as each generation publishes them, small: a few profiles of one model, or of a base."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import yaml

from tests.aim_runtime_oracle import GENERATIONS, Image
from tests.planned_cluster import PublishedImage

QWEN = "Qwen/Qwen3-32B"
QUANTIZED = f"{QWEN}-FP8"


@dataclass(frozen=True, slots=True)
class ProfileFile:
    """A profile, to be written with the keys of a generation."""

    aim_id: str = QWEN
    model_id: str = QWEN
    model: str = "MI300X"
    count: int = 1
    metric: str = "latency"
    precision: str = "fp8"
    type: str = "optimized"
    primary: bool = False
    engine: str = "vllm"
    accelerator: str = "gpu"
    general: bool = False
    engine_args: Mapping[str, Any] | None = None

    @property
    def stem(self) -> str:
        return f"{self.engine}-{self.model.lower()}-{self.precision}-tp{self.count}-{self.metric}"

    @property
    def path(self) -> str:
        return f"{'general' if self.general else self.aim_id}/{self.stem}.yaml"

    def text(self, generation: str) -> str:
        """The file as the generation writes it."""
        order = GENERATIONS.index(generation)
        metadata: dict[str, Any] = {
            "engine": self.engine,
            "metric": self.metric,
            "precision": self.precision,
            "type": self.type,
        }
        if order >= GENERATIONS.index("0.11"):
            metadata |= {"accelerator_model": self.model, "accelerator_count": self.count}
            metadata |= {"accelerator_type": self.accelerator}
            metadata |= {} if self.general else {"primary": self.primary}
        if order < GENERATIONS.index("0.12"):
            metadata["manual_selection_only"] = self.type == "unoptimized"
            metadata |= {"gpu": self.model, "gpu_count": self.count} if self.accelerator == "gpu" else {}
        document = {"metadata": metadata, "engine_args": dict(self.engine_args or {}), "env_vars": {"HSA": "1"}}
        identity = {} if self.general else {"aim_id": self.aim_id, "model_id": self.model_id}
        return yaml.safe_dump({**identity, **document})


GENERAL = (
    ProfileFile(general=True, precision="fp16", type="general"),
    ProfileFile(general=True, precision="fp16", type="general", metric="throughput"),
    ProfileFile(general=True, precision="fp16", type="general", count=2),
    ProfileFile(general=True, precision="fp16", type="general", model="MI325X"),
)
LATENCY = ProfileFile(model_id=QUANTIZED, primary=True)
THROUGHPUT = ProfileFile(model_id=QUANTIZED, metric="throughput", primary=True)
ON_MI325X = ProfileFile(model="MI325X", model_id=QUANTIZED, primary=True)
WIDER = ProfileFile(precision="fp16", count=2, type="unoptimized")
FULL = ProfileFile(precision="fp16")
QWEN_PROFILES = (LATENCY, THROUGHPUT, ON_MI325X, FULL, WIDER)


def image_of(
    generation: str,
    profiles: tuple[ProfileFile, ...] = QWEN_PROFILES,
    *,
    aim_id: str = QWEN,
    label: bool | tuple[Mapping[str, Any], ...] = False,
    engines: frozenset[str] = frozenset({"vllm"}),
    unreadable: str = "",
    **env: str,
) -> PublishedImage:
    """An image of one model; `label` is whether it has recommended deployments, or these themselves."""
    entries = tuple(map(_recommended, filter(lambda item: item.primary, profiles))) if label is True else label or ()
    labels = {"com.amd.aim.model.canonicalName": aim_id, "com.amd.aim.hfToken.required": "False"}
    if entries:
        labels["com.amd.aim.model.recommendedDeployments"] = ", ".join(map(json.dumps, entries))
    own = {"AIM_ID": aim_id, "AIM_ALLOW_GENERAL_PROFILE_FALLBACK": "false", **env}
    return replace(_base(generation, (*profiles, *GENERAL), engines, own), labels=labels, unreadable=unreadable)


def base_image(generation: str) -> PublishedImage:
    """The base image of a generation: general profiles and no model."""
    return _base(generation, GENERAL, frozenset({"vllm"}), {"AIM_ALLOW_GENERAL_PROFILE_FALLBACK": "true"})


def _base(
    generation: str, profiles: tuple[ProfileFile, ...], engines: frozenset[str], own: Mapping[str, str]
) -> PublishedImage:
    env = {"HF_HOME": "/workspace/model-cache", **own}
    order = GENERATIONS.index(generation)
    env |= {"AIM_BASE_VERSION" if generation == "0.8" else "AIM_BASE_IMAGE_REF": "amdenterpriseai/aim-base:1"}
    env |= {"AIM_CONFIG_PATH": "/workspace/aim-runtime/config"} if order >= GENERATIONS.index("0.10") else {}
    if order >= GENERATIONS.index("0.11"):
        env = {"AIM_ACCELERATOR_TYPE": "gpu", "AIM_ACCELERATOR_FAMILY": "instinct", **env}
    env |= {"AIM_EVAL_BACKEND_COMMAND": "evaluate"} if generation == "0.12" else {}
    files = {profile.path: profile.text(generation) for profile in profiles}
    return PublishedImage(Image(generation, files, env, engines), {"com.amd.aim.title": "base"})


def _recommended(profile: ProfileFile) -> dict[str, Any]:
    cpu = profile.accelerator == "cpu"
    return {
        "gpuModel": "CPU" if cpu else profile.model,
        "gpuCount": 1 if cpu else profile.count,
        "metric": profile.metric,
        "precision": profile.precision,
        "description": f"Optimized for {profile.metric}",
    }
