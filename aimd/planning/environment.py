"""Container environment: layers merged by variable name."""

import json
from collections.abc import Iterable, Sequence

from aimd.api.core import EnvVar
from aimd.runtime.objects import Manifest

ENGINE_ARGS = "AIM_ENGINE_ARGS"


def merge_env(*layers: Iterable[EnvVar]) -> tuple[EnvVar, ...]:
    """Merges by name: a later layer replaces the whole entry in place, new names are appended (OBJ-ENV-1)."""
    merged: dict[str, EnvVar] = {}
    for layer in layers:
        for variable in layer:
            merged[variable.name] = variable
    return tuple(merged.values())


def merge_container_env(*layers: Iterable[EnvVar]) -> tuple[EnvVar, ...]:
    """Like `merge_env`, but `AIM_ENGINE_ARGS` values that are JSON objects are merged deeply (SVC-ENV-2)."""
    merged: dict[str, EnvVar] = {}
    for layer in layers:
        for variable in layer:
            earlier = merged.get(variable.name)
            if earlier is not None and variable.name == ENGINE_ARGS:
                variable = _merge_engine_args(earlier, variable)
            merged[variable.name] = variable
    return tuple(merged.values())


def render_env(variables: Sequence[EnvVar]) -> list[Manifest]:
    """The variables as container `env` entries, in the given order."""
    return [variable.model_dump(by_alias=True, exclude_none=True) for variable in variables]


def _merge_engine_args(earlier: EnvVar, later: EnvVar) -> EnvVar:
    if earlier.value_from is not None or later.value_from is not None:
        return later
    if not (later.value or "").strip():
        return earlier
    base, override = _json_object(earlier.value), _json_object(later.value)
    if base is None or override is None:
        return later
    text = json.dumps(_merge_objects(base, override), separators=(",", ":"), sort_keys=True, ensure_ascii=False)
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
