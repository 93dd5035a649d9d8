"""What the environment of the container asks of the runtime.

Wrong values are ignored with a warning, except those that make a ValueError, which ends the runtime.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from aimd.sandbox.aim_image.container_root import MODEL_CACHE
from aimd.sandbox.aim_image.generations import (
    NO_DEVICE,
    UNKNOWN_DEVICE,
    Generation,
    device_named,
    device_names,
)
from aimd.sandbox.aim_image.logs import CONFIGURATION as LOG

AUTO = "auto"
ENGINES = ("bentoml", "vllm", "vllm_omni")
METRICS = ("latency", "throughput")
PRECISIONS = ("fp4", "fp8", "fp16", "fp32", "bf16", "int4", "int8")
PRECISION_RANK = ("int4", "int8", "fp4", "fp8", "fp16", "bf16", "fp32")
"""Precisions from the first choice to the last."""

_TRUE, _FALSE = ("true", "yes", "1"), ("false", "no", "0")


@dataclass(frozen=True, slots=True)
class Configuration:
    """The settings of one run. `device` and `count` are None if they are to be detected."""

    generation: Generation
    aim_id: str | None = None
    model_id: str | None = None
    precision: str = AUTO
    device: str | None = None
    count: int | None = None
    engine: str = "vllm"
    metric: str = "latency"
    profile_id: str = ""
    cache_path: str = MODEL_CACHE
    port: int = 8000
    engine_args: Mapping[str, Any] | None = None
    general_fallback: bool = True
    allow_unoptimized: bool = False
    on_cpu: bool = False

    @property
    def wanted_engine(self) -> str:
        """Return the engine that a profile must have."""
        return "vllm" if self.engine == AUTO else self.engine

    @property
    def wanted_metric(self) -> str:
        """Return the metric that a profile must have."""
        return "latency" if self.metric == AUTO else self.metric


def read_configuration(environment: Mapping[str, str], generation: Generation) -> Configuration:
    """Return the settings. Raises ValueError with the message of a configuration error."""
    on_cpu = False if generation.by_schema else _read_accelerator_kind(environment)
    aim_id, model_id = environment.get("AIM_ID"), environment.get("AIM_MODEL_ID")
    if aim_id and model_id:
        raise ValueError("Cannot set both AIM_ID and AIM_MODEL_ID. Only one should be set.")
    if not aim_id and not model_id:
        raise ValueError("Either AIM_MODEL_ID or AIM_ID environment variable is required")
    read = _read_first if generation.by_schema else _read_later
    precision, count, device, engine, metric = read(environment, generation)
    return Configuration(
        generation=generation,
        aim_id=aim_id,
        model_id=model_id,
        precision=precision,
        device=device,
        count=count,
        engine=engine,
        metric=metric,
        profile_id=environment.get("AIM_PROFILE_ID") or "",
        cache_path=environment.get("AIM_CACHE_PATH", MODEL_CACHE),
        port=int(environment.get("AIM_PORT", "8000")),
        engine_args=_read_engine_args(environment.get("AIM_ENGINE_ARGS", "")),
        general_fallback=_read_flag(environment, "AIM_ALLOW_GENERAL_PROFILE_FALLBACK", default=True),
        allow_unoptimized=not generation.by_schema and _read_flag(environment, "AIM_ALLOW_UNOPTIMIZED", default=False),
        on_cpu=on_cpu,
    )


_Choice = tuple[str, int | None, str | None, str, str]
"""Precision, count, device, engine and metric."""


def _read_first(environment: Mapping[str, str], generation: Generation) -> _Choice:
    """Read the choice as 0.8 and 0.9 do, which also quote a wrong word as they compare it."""
    environment = {
        name: value.upper() if name == "AIM_GPU_MODEL" else value.lower() for name, value in environment.items()
    }
    precision = _read_word(environment, "AIM_PRECISION", AUTO, (AUTO, *PRECISIONS))
    count = _read_count(environment.get("AIM_GPU_COUNT"), "AIM_GPU_COUNT")
    names = tuple(name for name in device_names(generation) if name != NO_DEVICE)
    device = _read_word(environment, "AIM_GPU_MODEL", NO_DEVICE, (*names, UNKNOWN_DEVICE, NO_DEVICE))
    engine = _read_word(environment, "AIM_ENGINE", "vllm", (AUTO, "vllm"))
    metric = _read_word(environment, "AIM_METRIC", "latency", (AUTO, *METRICS))
    return precision, count, None if device in (NO_DEVICE, UNKNOWN_DEVICE) else device, engine, metric


def _read_later(environment: Mapping[str, str], generation: Generation) -> _Choice:
    """Read the choice as 0.11 and 0.12 do, where `AIM_ACCELERATOR_*` comes before `AIM_GPU_*`."""
    precision = environment.get("AIM_PRECISION") or AUTO
    if precision.lower() not in (AUTO, *PRECISIONS):
        LOG.warning(f"AIM_PRECISION must be one of {list(PRECISIONS)}. Was {precision}. Ignoring.")
        precision = AUTO
    count = _read_count(_renamed(environment, "COUNT"), "AIM_ACCELERATOR_COUNT")
    asked = environment.get("AIM_ACCELERATOR_MODEL") or _renamed(environment, "MODEL")
    device = device_named(asked, generation) if asked else None
    if asked and device is None:
        names = list(device_names(generation))
        LOG.warning(f"AIM_ACCELERATOR_MODEL must be one of {names}. Was {asked}. Ignoring.")
    engine = _read_word(environment, "AIM_ENGINE", "vllm", ENGINES)
    metric = _read_word(environment, "AIM_METRIC", "latency", METRICS)
    return precision.lower(), count, device, engine, metric


def _renamed(environment: Mapping[str, str], name: str) -> str | None:
    """Return `AIM_ACCELERATOR_<name>`, or with a warning `AIM_GPU_<name>`; an empty model counts as none."""
    current, former = f"AIM_ACCELERATOR_{name}", f"AIM_GPU_{name}"
    value = environment.get(current)
    if value or (value is not None and name == "COUNT"):
        return value
    value = environment.get(former)
    if value or (value is not None and name == "COUNT"):
        LOG.warning(f"{former} is deprecated, use {current} instead.")
    return value


def _read_accelerator_kind(environment: Mapping[str, str]) -> bool:
    """Return whether the profiles are for CPUs. Raises ValueError for a type or family that does not exist."""
    for name, default, known in (
        ("AIM_ACCELERATOR_TYPE", "gpu", ("cpu", "gpu")),
        ("AIM_ACCELERATOR_FAMILY", "instinct", ("epyc", "instinct", "radeon", "cpu")),
    ):
        value = environment.get(name, default).lower()
        if value not in known:
            raise ValueError(f"{name} must be one of [{', '.join(known)}]. Was '{value}'.")
    return environment.get("AIM_ACCELERATOR_TYPE", "gpu").lower() == "cpu"


def _read_word(environment: Mapping[str, str], name: str, default: str, known: Iterable[str]) -> str:
    """Return one of the known words, which are read in any case; the default with a warning for any other."""
    written = environment.get(name, default)
    words = list(known)
    for word in words:
        if word.lower() == written.lower():
            return word
    LOG.warning(f"{name} must be one of {words}. Was {written}. Defaulting to {default}.")
    return default


def _read_count(value: str | None, name: str) -> int | None:
    if value is None or value == AUTO:
        return None
    try:
        return int(value)
    except ValueError:
        LOG.warning(f"{name} must be 'auto' or an integer. Was {value}. Defaulting to 'auto'.")
        return None


def _read_flag(environment: Mapping[str, str], name: str, *, default: bool) -> bool:
    value = environment.get(name, "").lower()
    if value in (*_TRUE, *_FALSE):
        return value in _TRUE
    if value:
        words = "must be a boolean value (true/false, yes/no, 1/0)"
        LOG.warning(f"{name} {words}. Was '{value}'. Defaulting to {default}.")
    return default


def _read_engine_args(text: str) -> dict[str, Any] | None:
    if not text:
        return None
    try:
        arguments = json.loads(text)
    except json.JSONDecodeError as error:
        LOG.warning(f"Failed to parse AIM_ENGINE_ARGS as JSON: {error}. Ignoring engine args override.")
        return None
    if not isinstance(arguments, dict):
        kind = type(arguments).__name__
        LOG.warning(f"AIM_ENGINE_ARGS must be a JSON object/dict. Got {kind}. Ignoring.")
        return None
    LOG.info(f"Loaded {len(arguments)} engine argument overrides from AIM_ENGINE_ARGS")
    return arguments
