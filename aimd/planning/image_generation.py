"""What the generations of AIM images require of a profile, beyond what all of them do (OBJ-PRO-4).

An image leaves out a profile that it does not accept, and stops if that profile is asked for by its id. Published
images contain only what they accept; images that users derive from them may contain files of another generation. The
generation shows in the image's environment, never in its tag. What is unknown is accepted.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from aimd.planning.environment import (
    AIM_ACCELERATOR_TYPE,
    AIM_BASE_IMAGE_REF,
    AIM_BASE_VERSION,
    AIM_CONFIG_PATH,
    AIM_EVAL_BACKEND_COMMAND,
)
from aimd.planning.gpus import GPU_MODELS

_GPUS: Final = frozenset(model.name for model in GPU_MODELS)
_MOST_GPUS = 8
_NONE = "NONE"
_MANUAL = "manual_selection_only"


def refusal(metadata: Mapping[str, Any], env: Mapping[str, str]) -> str:
    """Return why an image with this environment does not accept a profile with this metadata; empty if it does.

    The metadata is valid for some generation.
    """
    return next(_refusals(metadata, env), "")


def _refusals(metadata: Mapping[str, Any], env: Mapping[str, str]) -> Iterator[str]:
    if AIM_ACCELERATOR_TYPE in env:
        yield from _of_accelerators(metadata, is_newest=AIM_EVAL_BACKEND_COMMAND in env)
    elif AIM_CONFIG_PATH in env:
        yield from _of_gpus(metadata)
        if str(metadata.get("gpu")).upper() == _NONE:
            yield "metadata.gpu is NONE"
    elif AIM_BASE_IMAGE_REF in env or AIM_BASE_VERSION in env:
        yield from _of_gpus(metadata)
        yield from _of_exact_words(metadata)
        if metadata.get("type") == "preview" and AIM_BASE_IMAGE_REF not in env:
            yield "metadata.type preview is newer than the image"


def _of_accelerators(metadata: Mapping[str, Any], *, is_newest: bool) -> Iterator[str]:
    """Yield refusals of images that know other accelerators; of these, the newest choose by type alone."""
    if not is_newest and metadata.get(_MANUAL) is not None:
        return
    if str(metadata.get("accelerator_model") or metadata.get("gpu") or _NONE).upper() == _NONE:
        yield "metadata.accelerator_model is missing"
    if not metadata.get("accelerator_count", metadata.get("gpu_count")):
        yield "metadata.accelerator_count is not above 0"
    if metadata.get("accelerator_type") is None and metadata.get("gpu") is None:
        yield "metadata.accelerator_type is missing"


def _of_gpus(metadata: Mapping[str, Any]) -> Iterator[str]:
    """Yield refusals of images that know GPUs only."""
    for name in ("gpu", "gpu_count", _MANUAL):
        if metadata.get(name) is None:
            yield f"metadata.{name} is missing"
    count = metadata.get("gpu_count")
    if isinstance(count, int) and count > _MOST_GPUS:
        yield f"metadata.gpu_count is above {_MOST_GPUS}"


def _of_exact_words(metadata: Mapping[str, Any]) -> Iterator[str]:
    """Yield refusals of images that compare words letter by letter."""
    if metadata.get("gpu") not in (*_GPUS, _NONE):
        yield "metadata.gpu is no name that the image knows, such as MI300X"
    if metadata.get("engine") != "vllm":
        yield "metadata.engine is not vllm"
    for name in ("metric", "precision", "type"):
        text = str(metadata.get(name))
        if text != text.lower().strip():
            yield f"metadata.{name} is not in lower case"
