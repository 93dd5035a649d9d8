"""Environment of the inference container, weakest layer first."""

from collections.abc import Sequence

from aimd.api.core import EnvVar
from aimd.api.service import AIMService
from aimd.api.service_template import AnyServiceTemplate
from aimd.planning.environment import (
    AIM_CACHE_PATH,
    AIM_ID,
    AIM_METRIC,
    AIM_MODEL_ID,
    AIM_PRECISION,
    AIM_PROFILE_ID,
    VLLM_ENABLE_METRICS,
    merge_container_env,
)
from aimd.planning.service_template.profile_file import profile_id_of
from aimd.planning.weights import WEIGHTS_PATH

DEFAULTS = (
    EnvVar(name=AIM_CACHE_PATH, value=WEIGHTS_PATH),
    EnvVar(name=VLLM_ENABLE_METRICS, value="true"),
)


def container_env(
    service: AIMService, template: AnyServiceTemplate, config_env: Sequence[EnvVar]
) -> tuple[EnvVar, ...]:
    """Return every variable once, sorted by name.

    A variable set on several levels has the value of the strongest (SVC-ENV-1, SVC-ENV-2).
    """
    merged = merge_container_env(
        DEFAULTS,
        config_env,
        _profile(template),
        template.spec.env,
        _identity(template),
        service.spec.env,
    )
    return tuple(sorted(merged, key=lambda variable: variable.name))


def _profile(template: AnyServiceTemplate) -> tuple[EnvVar, ...]:
    """Return the variables that select the profile inside the image."""
    values = {
        AIM_PROFILE_ID: profile_id_of(template) or template.spec.profile_id,
        AIM_METRIC: template.spec.metric,
        AIM_PRECISION: template.spec.precision,
    }
    return tuple(EnvVar(name=name, value=value) for name, value in values.items() if value)


def _identity(template: AnyServiceTemplate) -> tuple[EnvVar, ...]:
    """Return `AIM_ID` or `AIM_MODEL_ID`, never both: they exclude each other in the image (SVC-ENV-3)."""
    if template.spec.custom_profile is not None:
        return (EnvVar(name=AIM_ID, value=template.spec.aim_id),)
    if template.spec.model_sources:
        return (EnvVar(name=AIM_MODEL_ID, value=template.spec.model_sources[0].model_id),)
    return ()
