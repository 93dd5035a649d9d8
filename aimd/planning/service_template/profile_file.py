"""The custom profile of a template as a file, the same for discovery and inference.

Images load a file only if it is valid, and run another profile or none if it is not. So whatever no image would load is
refused before anything is created for it (TPL-PRF-2).
"""

import difflib
import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import yaml

from aimd.api.service_template import AnyServiceTemplate
from aimd.api.shared import CustomProfile, Hardware, Metric, ModelSource, Precision, ProfileType
from aimd.planning.gpus import GPU_MODELS, normalize_gpu

BASE_PATH = "/workspace/aim-runtime/profiles/custom"
VOLUME = "custom-profile"
MOST_GPUS = 8
"""The largest number of GPUs in a profile of AIM images."""

_AIM_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*/[A-Za-z0-9_-][A-Za-z0-9._-]*")
_GENERAL = "general"
_GPU_NAMES = tuple(model.name for model in GPU_MODELS)
_UNKNOWN_PRECISIONS = (Precision.AUTO, Precision.FP64)
_PRECISIONS = tuple(word.value for word in Precision if word not in _UNKNOWN_PRECISIONS)
_LONGEST_QUOTE = 64


class InvalidProfile(ValueError):
    """A custom profile that no image loads; the message says what to change."""


@dataclass(frozen=True, slots=True)
class ProfileFile:
    """A profile as the container finds it: the file name and its YAML."""

    name: str
    text: str

    @property
    def checksum(self) -> str:
        """Digest of the content."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:16]


def profile_file(template: AnyServiceTemplate) -> ProfileFile | None:
    """Return the template's profile file, None without a custom profile (TPL-PRF-1). Raises InvalidProfile."""
    profile = template.spec.custom_profile
    if profile is None:
        return None
    problem = next(_problems(template, profile), None)
    if problem is not None:
        raise InvalidProfile(f"Template {template.metadata.name}: {problem}")
    document = {
        "aim_id": template.spec.aim_id,
        "model_id": template.spec.model_id,
        "engine_args": {} if profile.engine_args is None else profile.engine_args,
        "env_vars": dict(profile.env_vars),
        "metadata": _metadata(template),
    }
    text = yaml.safe_dump(document, sort_keys=True, default_flow_style=False, allow_unicode=True)
    return ProfileFile(f"{_stem(template)}.yaml", text)


def profile_id_of(template: AnyServiceTemplate) -> str:
    """Return the value of `AIM_PROFILE_ID` for a custom profile, empty without one."""
    if template.spec.custom_profile is None:
        return ""
    return f"custom/{template.spec.aim_id}/{_stem(template)}"


def profile_folder(template: AnyServiceTemplate) -> str:
    """Return the folder in which the container finds the file."""
    return f"{BASE_PATH}/{template.spec.aim_id}"


def source_of_profile(sources: Sequence[ModelSource], model_id: str) -> ModelSource | None:
    """Return the source whose weights a profile for `model_id` runs: the one of that id, else the only one (SVC-VOL-4).

    None if it is not clear which.
    """
    same = [source for source in sources if source.model_id == model_id]
    candidates = same or list(sources)
    return candidates[0] if len(candidates) == 1 else None


def _metadata(template: AnyServiceTemplate) -> dict[str, object]:
    """Return the metadata that images of all generations accept (TPL-PRF-3).

    Each knows one of two families of keys for the GPU, and some lack a type that others have. The type has no effect on
    a profile that is selected by its id.
    """
    model, count = _gpu(template)
    return {
        "accelerator_count": count,
        "accelerator_model": model,
        "accelerator_type": "gpu",
        "engine": "vllm",
        "gpu": model,
        "gpu_count": count,
        "manual_selection_only": False,
        "metric": template.spec.metric,
        "precision": template.spec.precision,
        "type": ProfileType.UNOPTIMIZED.value,
    }


def _problems(template: AnyServiceTemplate, profile: CustomProfile) -> Iterator[str]:
    """Yield why no image would load the profile, and what to change (TPL-PRF-2)."""
    spec = template.spec
    if profile.engine_args is not None and not isinstance(profile.engine_args, dict):
        yield "customProfile.engineArgs is not an object"
    for name, value in profile.env_vars.items():
        if not name or "=" in name or "\0" in name + value:
            yield f"customProfile.envVars has {_quoted(name)}, which cannot be set: write names such as NCCL_DEBUG"
    for field, value in (("aimId", spec.aim_id), ("modelId", spec.model_id)):
        if not _AIM_ID.fullmatch(value):
            yield f"{field} is {_quoted(value)}; with customProfile, write it as organization/name"
    if _GENERAL in spec.aim_id.split("/"):
        yield f"aimId is {_quoted(spec.aim_id)}; images take a profile in a folder {_GENERAL} for any model: rename it"
    yield from _hardware_problems(spec.hardware)
    if spec.metric not in tuple(Metric):
        yield f"metric is {_quoted(spec.metric)}; with customProfile, set it to {_listed(tuple(Metric))}"
    if spec.precision not in _PRECISIONS:
        yield f"precision is {_quoted(spec.precision)}; with customProfile, set it to {_listed(_PRECISIONS)}"
    if spec.model_sources and source_of_profile(spec.model_sources, spec.model_id) is None:
        ids = _listed([source.model_id for source in spec.model_sources], "and")
        yield (
            f"it is not clear which of modelSources {ids} customProfile runs: set modelId to exactly one of their "
            "modelId, or keep one source"
        )


def _hardware_problems(hardware: Hardware | None) -> Iterator[str]:
    gpu = hardware.gpu if hardware is not None else None
    if gpu is None or not gpu.model.strip():
        yield "hardware.gpu.model is not set; customProfile is written for one GPU model, such as MI300X"
        return
    name = normalize_gpu(gpu.model)
    if name not in _GPU_NAMES:
        near = difflib.get_close_matches(name, _GPU_NAMES, n=3, cutoff=0.6) or _GPU_NAMES[:4]
        yield f"no AIM image knows hardware.gpu.model {_quoted(gpu.model)}; with customProfile, use {_listed(near)}"
    if not 1 <= gpu.requests <= MOST_GPUS:
        yield f"hardware.gpu.requests is {gpu.requests}; with customProfile, set it to 1 to {MOST_GPUS}"


def _gpu(template: AnyServiceTemplate) -> tuple[str, int]:
    gpu = template.spec.hardware.gpu if template.spec.hardware is not None else None
    return (normalize_gpu(gpu.model), gpu.requests) if gpu is not None else ("", 0)


def _stem(template: AnyServiceTemplate) -> str:
    model, count = _gpu(template)
    return f"vllm-{model.lower()}-{template.spec.precision}-tp{count}-{template.spec.metric}"


def _listed(names: Sequence[str], word: str = "or") -> str:
    return f" {word} ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


def _quoted(text: str) -> str:
    if not text.strip():
        return "not set"
    return repr(text if len(text) <= _LONGEST_QUOTE else f"{text[:_LONGEST_QUOTE]}…")
