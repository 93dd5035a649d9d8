"""Container environment: every variable that aimd sets or reads, and how layers of variables are merged by name.

Variables that only the downloader reads are declared in `aimd.downloads.settings`, those of `aimd` itself in
`aimd.cli.settings`.
"""

import json
from collections.abc import Iterable, Sequence

from aimd.api.core import EnvVar
from aimd.runtime.objects import Manifest

AIM_CACHE_PATH = "AIM_CACHE_PATH"
"""Folder in which a predictor finds its weights."""

AIM_ENGINE_ARGS = "AIM_ENGINE_ARGS"
"""JSON object of arguments for the inference engine; later layers are merged into earlier ones."""

AIM_PROFILE_ID = "AIM_PROFILE_ID"
"""The profile to run with; without it the image chooses one."""

AIM_METRIC = "AIM_METRIC"
"""The metric that the profile is optimized for: `latency` or `throughput`."""

AIM_PRECISION = "AIM_PRECISION"
"""The precision of the profile, such as `fp8`."""

AIM_ENGINE = "AIM_ENGINE"
"""The engine of the profile; the image assumes `vllm`."""

AIM_ID = "AIM_ID"
"""The model whose profiles are used, as `organization/name`; images of one model have it built in."""

AIM_MODEL_ID = "AIM_MODEL_ID"
"""The model whose weights a predictor loads, as `organization/name`; excludes `AIM_ID`."""

AIM_ALLOW_GENERAL_PROFILE_FALLBACK = "AIM_ALLOW_GENERAL_PROFILE_FALLBACK"
"""Whether an image of one model may choose a profile that fits any model."""

AIM_GPU_MODEL = "AIM_GPU_MODEL"
"""The GPU model that a profile is chosen for."""

AIM_GPU_COUNT = "AIM_GPU_COUNT"
"""The number of GPUs that a profile is chosen for."""

AIM_ACCELERATOR_TYPE = "AIM_ACCELERATOR_TYPE"
"""What discovery chooses a profile for: `gpu` or `cpu`. Newer images read it, others ignore it."""

AIM_ACCELERATOR_MODEL = "AIM_ACCELERATOR_MODEL"
"""`AIM_GPU_MODEL` under the name that newer images prefer."""

AIM_ACCELERATOR_COUNT = "AIM_ACCELERATOR_COUNT"
"""`AIM_GPU_COUNT` under the name that newer images prefer."""

AIM_BASE_IMAGE_REF = "AIM_BASE_IMAGE_REF"
"""The base image that an AIM image was built from; images have it in their own environment."""

AIM_BASE_VERSION = "AIM_BASE_VERSION"
"""`AIM_BASE_IMAGE_REF` as the first AIM images called it."""

AIM_CONFIG_PATH = "AIM_CONFIG_PATH"
"""Folder in which newer AIM images describe their engines; images have it in their own environment."""

AIM_EVAL_BACKEND_COMMAND = "AIM_EVAL_BACKEND_COMMAND"
"""Command by which the newest AIM images evaluate a model; images have it in their own environment."""

AIM_LOG_LEVEL = "AIM_LOG_LEVEL"
"""Log level of the AIM runtime; discovery reads its output, and at `WARNING` it says why no profile fits."""

AIM_LOG_LEVEL_ROOT = "AIM_LOG_LEVEL_ROOT"
"""Log level of the libraries of the AIM runtime."""

VLLM_ENABLE_METRICS = "VLLM_ENABLE_METRICS"
"""Whether the inference engine serves Prometheus metrics."""

AIM_DOWNLOADER_PROTOCOL = "AIM_DOWNLOADER_PROTOCOL"
"""Protocols that a download tries, in this order, separated by commas."""

ARTIFACT_NAME = "ARTIFACT_NAME"
"""The AIMArtifact that a download reports its progress to."""

ARTIFACT_NAMESPACE = "ARTIFACT_NAMESPACE"
"""The namespace of the AIMArtifact that a download reports its progress to."""

EXPECTED_SIZE_BYTES = "EXPECTED_SIZE_BYTES"
"""Size of the weights, of which a download reports percentages."""

MOUNT_PATH = "MOUNT_PATH"
"""Folder at which a download finds its volume."""

TARGET_DIR = "TARGET_DIR"
"""Folder that a download writes to."""

STALL_TIMEOUT = "STALL_TIMEOUT"
"""Seconds without progress after which a download starts its protocol again."""

TMPDIR = "TMPDIR"
"""Folder for temporary files."""

HF_HOME = "HF_HOME"
"""Folder in which the Hugging Face client keeps its own files."""

HF_HUB_OFFLINE = "HF_HUB_OFFLINE"
"""Whether the Hugging Face client fetches nothing."""

HF_ENDPOINT = "HF_ENDPOINT"
"""URL of the Hugging Face hub or of a mirror."""

AWS_ENDPOINT_URL = "AWS_ENDPOINT_URL"
"""URL of the object store of `s3://` sources."""

S3_NO_SSL = "S3_NO_SSL"
"""Whether the object store is reached without TLS."""

HF_TOKEN = "HF_TOKEN"  # noqa: S105 - the name of a variable
"""Token for the Hugging Face hub."""

AWS_ACCESS_KEY_ID = "AWS_ACCESS_KEY_ID"
"""Name of the key for an object store."""

AWS_SECRET_ACCESS_KEY = "AWS_SECRET_ACCESS_KEY"  # noqa: S105 - the name of a variable
"""The key for an object store."""

AWS_SESSION_TOKEN = "AWS_SESSION_TOKEN"  # noqa: S105 - the name of a variable
"""Token of a temporary key for an object store."""

_DEBUG_PREFIX = "AIM_DEBUG_"

_IDENTITIES = (AIM_ID, AIM_MODEL_ID)


def merge_env(*layers: Iterable[EnvVar]) -> tuple[EnvVar, ...]:
    """Merge by name: a later layer replaces the whole entry in place, new names are appended (OBJ-ENV-1)."""
    merged: dict[str, EnvVar] = {}
    for layer in layers:
        for variable in layer:
            merged[variable.name] = variable
    return tuple(merged.values())


def merge_container_env(*layers: Iterable[EnvVar]) -> tuple[EnvVar, ...]:
    """Merge as `merge_env` does, except for variables that are more than a text.

    Values of `AIM_ENGINE_ARGS` that are JSON objects are merged deeply (SVC-ENV-2). `AIM_ID` and `AIM_MODEL_ID` exclude
    each other in every image: a layer that gives one of them a value drops the other of earlier layers (SVC-ENV-3).
    """
    merged: dict[str, EnvVar] = {}
    for layer in layers:
        own = tuple(layer)
        if any(variable.name in _IDENTITIES and has_value(variable) for variable in own):
            merged = {name: variable for name, variable in merged.items() if name not in _IDENTITIES}
        for variable in own:
            earlier = merged.get(variable.name)
            if earlier is not None and variable.name == AIM_ENGINE_ARGS:
                variable = _merge_engine_args(earlier, variable)
            merged[variable.name] = variable
    return tuple(merged.values())


def with_other_model(variables: Iterable[EnvVar]) -> tuple[EnvVar, ...]:
    """Return the variables with what an image of one model needs to serve the one in `AIM_MODEL_ID` (SVC-ENV-3).

    Such an image has its own `AIM_ID` built in, and refuses profiles that fit any model.
    """
    given = {variable.name: variable for variable in variables}
    if AIM_MODEL_ID in given and has_value(given[AIM_MODEL_ID]):
        given.setdefault(AIM_ID, EnvVar(name=AIM_ID, value=""))
        fallback = EnvVar(name=AIM_ALLOW_GENERAL_PROFILE_FALLBACK, value="true")
        given.setdefault(AIM_ALLOW_GENERAL_PROFILE_FALLBACK, fallback)
    return tuple(given.values())


def is_debug_switch(variable: str) -> bool:
    """Return whether a variable is one of those with which test suites simulate downloads."""
    return variable.startswith(_DEBUG_PREFIX)


def has_value(variable: EnvVar) -> bool:
    """Return whether a variable has a value other than the empty text, which AIM images take for none."""
    return bool(variable.value) or variable.value_from is not None


def render_env(variables: Sequence[EnvVar]) -> list[Manifest]:
    """Return the variables as container `env` entries, in the given order."""
    return [variable.model_dump(by_alias=True, exclude_none=True) for variable in variables]


def _merge_engine_args(earlier: EnvVar, later: EnvVar) -> EnvVar:
    if earlier.value_from is not None or later.value_from is not None:
        return later
    if not (later.value or "").strip():
        return earlier
    try:
        base, override = _json_object(earlier.value), _json_object(later.value)
        if base is None or override is None:
            return later
        text = json.dumps(_merge_objects(base, override), separators=(",", ":"), sort_keys=True, ensure_ascii=False)
    except RecursionError:  # Hundreds of levels, which no engine has arguments for.
        return later
    return EnvVar(name=later.name, value=text)


def _json_object(text: str | None) -> dict[str, object] | None:
    try:
        value = json.loads(text or "")
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _merge_objects(base: dict[str, object], override: dict[str, object]) -> dict[str, object]:
    merged = dict(base)
    for key, value in override.items():
        current = merged.get(key)
        if isinstance(current, dict) and isinstance(value, dict):
            merged[key] = _merge_objects(current, value)
        else:
            merged[key] = value
    return merged
