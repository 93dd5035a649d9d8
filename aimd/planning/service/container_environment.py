"""Environment of the inference container, weakest layer first."""

from collections.abc import Iterable, Sequence

from aimd.api.core import EnvVar
from aimd.api.service import AIMService
from aimd.api.service_template import AnyServiceTemplate
from aimd.planning.environment import (
    AIM_ALLOW_GENERAL_PROFILE_FALLBACK,
    AIM_CACHE_PATH,
    AIM_ID,
    AIM_MODEL_ID,
    VLLM_ENABLE_METRICS,
    has_value,
    merge_container_env,
)
from aimd.planning.service.profile_choice import discovered_choice, is_profile_of_model, template_choice
from aimd.planning.service_template.discovered_profile import discovered_profile
from aimd.planning.weights import WEIGHTS_PATH

DEFAULTS = (
    EnvVar(name=AIM_CACHE_PATH, value=WEIGHTS_PATH),
    EnvVar(name=VLLM_ENABLE_METRICS, value="true"),
)
_OWN_WEIGHTS = (
    # An image of one model has its own AIM_ID built in, and refuses profiles that fit any model.
    EnvVar(name=AIM_ID, value=""),
    EnvVar(name=AIM_ALLOW_GENERAL_PROFILE_FALLBACK, value="true"),
)


def container_env(
    service: AIMService, template: AnyServiceTemplate, config_env: Sequence[EnvVar], image: str
) -> tuple[EnvVar, ...]:
    """Return every variable once, sorted by name; `image` is the one that runs.

    A variable set on several levels has the value of the strongest (SVC-ENV-1, SVC-ENV-2). The `env_vars` of a profile
    are not among them: the image sets these over all others when it starts the engine (SVC-ENV-7).
    """
    own = (template.spec.env, _identity(template))
    choice = template_choice(template, merge_container_env(config_env, *own, service.spec.env))
    of_template = merge_container_env(choice, *own)
    users = merge_container_env(config_env, choice, *own, service.spec.env)
    found = discovered_choice(discovered_profile(template, image), of_template, users)
    merged = merge_container_env(DEFAULTS, found, users)
    return tuple(sorted(_completed(merged), key=lambda variable: variable.name))


def _identity(template: AnyServiceTemplate) -> tuple[EnvVar, ...]:
    """Return what decides which model the container serves; empty for the model of the image (SVC-ENV-3).

    A profile of the image's own model is loaded only while the image serves that model, also with weights of users.
    """
    spec = template.spec
    if spec.custom_profile is not None:
        return (EnvVar(name=AIM_ID, value=spec.aim_id),)
    if spec.model_sources and not is_profile_of_model(spec.profile_id):
        return (EnvVar(name=AIM_MODEL_ID, value=spec.model_sources[0].model_id),)
    return ()


def _completed(variables: Iterable[EnvVar]) -> tuple[EnvVar, ...]:
    """Return the variables with what an image of one model needs to serve another one (SVC-ENV-3)."""
    given = {variable.name: variable for variable in variables}
    serves_another = AIM_MODEL_ID in given and has_value(given[AIM_MODEL_ID])
    missing = (variable for variable in _OWN_WEIGHTS if serves_another and variable.name not in given)
    return (*given.values(), *missing)
