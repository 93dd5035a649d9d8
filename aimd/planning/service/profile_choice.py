"""Which profile of its image a predictor is told to take.

What was discovered is what runs: the container takes the profile that the template's status shows, whatever GPUs it
detects (SVC-ENV-4). Users override this choice with the variables by which images choose.
"""

from collections.abc import Iterable, Mapping

from aimd.api.core import EnvVar
from aimd.api.service_template import AnyServiceTemplate, Profile
from aimd.planning.environment import (
    AIM_ACCELERATOR_COUNT,
    AIM_ACCELERATOR_MODEL,
    AIM_ENGINE,
    AIM_GPU_COUNT,
    AIM_GPU_MODEL,
    AIM_ID,
    AIM_METRIC,
    AIM_MODEL_ID,
    AIM_PRECISION,
    AIM_PROFILE_ID,
    has_value,
)
from aimd.planning.gpus import needs_gpu, normalize_gpu
from aimd.planning.profiles import VLLM
from aimd.planning.service_template.discovered_profile import (
    aim_id_of,
    discovered_profile,
    discovered_profile_id,
)
from aimd.planning.service_template.profile_file import profile_id_of

_MODELS = (AIM_GPU_MODEL, AIM_ACCELERATOR_MODEL)
_COUNTS = (AIM_GPU_COUNT, AIM_ACCELERATOR_COUNT)
_CHOOSING = (AIM_METRIC, AIM_PRECISION, AIM_ENGINE, *_MODELS, *_COUNTS)
_IDENTITY = (AIM_ID, AIM_MODEL_ID)


def template_choice(template: AnyServiceTemplate, users: Iterable[EnvVar]) -> tuple[EnvVar, ...]:
    """Return the variables by which the template's spec chooses a profile.

    `users` are the effective variables apart from these. A profile of the image's own model is left out if they serve
    another model by `AIM_MODEL_ID`: the image then has no such profile.
    """
    spec = template.spec
    model = _by_name(users).get(AIM_MODEL_ID)
    serves_another = model is not None and has_value(model) and not spec.model_sources
    is_lost = serves_another and is_profile_of_model(spec.profile_id)
    return _variables(
        {
            AIM_PROFILE_ID: profile_id_of(template) or ("" if is_lost else spec.profile_id),
            AIM_METRIC: spec.metric,
            AIM_PRECISION: spec.precision,
            **_hardware(template),
        }
    )


def is_profile_of_model(profile_id: str) -> bool:
    """Return whether an id is that of a profile of the image's own model; others have a folder in their id."""
    return bool(profile_id) and "/" not in profile_id


def discovered_choice(
    found: Profile | None, of_template: Iterable[EnvVar], effective: Iterable[EnvVar]
) -> tuple[EnvVar, ...]:
    """Return the variables that make the container take the discovered profile (SVC-ENV-4, SVC-ENV-6).

    `of_template` are the variables that follow from the template, `effective` those with the users' besides. No profile
    is pinned if they ask for another one.
    """
    if found is None:
        return ()
    before, after = _by_name(of_template), _by_name(effective)
    engine = found.metadata.engine if found.metadata is not None else ""
    is_pinned = not (_is_other_model(found, before, after) or _asks_otherwise(found, before, after))
    return _variables(
        {
            AIM_PROFILE_ID: discovered_profile_id(found) if is_pinned else "",
            AIM_ENGINE: engine if engine != VLLM else "",
        }
    )


def env_of_profile(template: AnyServiceTemplate, image: str, env: Iterable[EnvVar]) -> Mapping[str, str]:
    """Return the variables of the profile that a container with `env` runs, none if that is unknown (SVC-ENV-7)."""
    pinned = _by_name(env).get(AIM_PROFILE_ID)
    custom, found = template.spec.custom_profile, discovered_profile(template, image)
    if pinned is None or not pinned.value:
        return {}
    if custom is not None:
        return custom.env_vars if pinned.value == profile_id_of(template) else {}
    if found is None or pinned.value not in (template.spec.profile_id, discovered_profile_id(found)):
        return {}
    return found.env_vars


def _is_other_model(found: Profile, before: Mapping[str, EnvVar], after: Mapping[str, EnvVar]) -> bool:
    """Return whether users run another model than the profile's, for which the image has no such profile."""
    if all(before.get(name) == after.get(name) for name in _IDENTITY):
        return False
    model, own = after.get(AIM_MODEL_ID), after.get(AIM_ID)
    if model is not None and has_value(model):
        return True
    return own is None or not own.value or own.value != aim_id_of(found)


def _asks_otherwise(found: Profile, before: Mapping[str, EnvVar], after: Mapping[str, EnvVar]) -> bool:
    """Return whether users set a variable to a value by which the image would not choose the profile."""
    profile = found.metadata
    if profile is None:
        return False
    expected = {
        AIM_METRIC: profile.metric,
        AIM_PRECISION: profile.precision,
        AIM_ENGINE: profile.engine or VLLM,
        **dict.fromkeys(_MODELS, normalize_gpu(profile.gpu)),
        **dict.fromkeys(_COUNTS, str(profile.gpu_count)),
    }
    for name in _CHOOSING:
        variable = after.get(name)
        if variable is None or variable == before.get(name) or not has_value(variable):
            continue
        value = (variable.value or "").strip()
        if name in _MODELS:
            value = normalize_gpu(value)
        if value.lower() not in ("auto", expected[name].lower()):
            return True
    return False


def _hardware(template: AnyServiceTemplate) -> dict[str, str]:
    """Return the GPUs for which the image chooses a profile for weights that users bring (SVC-ENV-5).

    A minimum of memory names no model; the container then detects the one it got.
    """
    hardware = template.spec.hardware
    if not template.spec.model_sources or template.spec.custom_profile is not None:
        return {}
    if hardware is None or hardware.gpu is None or not needs_gpu(hardware):
        return {}
    model = normalize_gpu(hardware.gpu.model) if hardware.gpu.model.strip() else ""
    count = str(hardware.gpu.requests) if hardware.gpu.requests > 0 else ""
    return {**dict.fromkeys(_MODELS, model), **dict.fromkeys(_COUNTS, count)}


def _variables(values: Mapping[str, str]) -> tuple[EnvVar, ...]:
    return tuple(EnvVar(name=name, value=value) for name, value in values.items() if value)


def _by_name(variables: Iterable[EnvVar]) -> dict[str, EnvVar]:
    return {variable.name: variable for variable in variables}
