"""Environment of the inference container, weakest layer first."""

from collections.abc import Sequence

from aimd.api.core import EnvVar
from aimd.api.service import AIMService
from aimd.api.service_template import AnyServiceTemplate
from aimd.planning.environment import (
    AIM_CACHE_PATH,
    AIM_ID,
    AIM_MODEL_ID,
    HF_HUB_OFFLINE,
    VLLM_ENABLE_METRICS,
    merge_container_env,
    with_other_model,
)
from aimd.planning.service.profile_choice import discovered_choice, is_profile_of_model, template_choice
from aimd.planning.service_template.discovered_profile import discovered_profile
from aimd.planning.weights import WEIGHTS_PATH

DEFAULTS = (
    EnvVar(name=AIM_CACHE_PATH, value=WEIGHTS_PATH),
    EnvVar(name=VLLM_ENABLE_METRICS, value="true"),
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
    merged = merge_container_env(_defaults(template), found, users)
    return tuple(sorted(with_other_model(merged), key=lambda variable: variable.name))


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


def _defaults(template: AnyServiceTemplate) -> tuple[EnvVar, ...]:
    """Return the weakest variables.

    A profile of the image's own model loads that model. If the weights of the template are others, the container must
    fail and not fetch those of the profile (SVC-ENV-8).
    """
    spec = template.spec
    if spec.custom_profile is None and spec.model_sources and is_profile_of_model(spec.profile_id):
        return (*DEFAULTS, EnvVar(name=HF_HUB_OFFLINE, value="1"))
    return DEFAULTS
