"""The environment of the inference container."""

import json

from hypothesis import given
from hypothesis import strategies as st

from aimd.api.core import EnvVar
from aimd.planning.service.container_environment import container_env
from tests.unit.planning.service.makers import Maker


def values(env: tuple[EnvVar, ...]) -> dict[str, str | None]:
    return {variable.name: variable.value for variable in env}


def variables(**pairs: str) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in pairs.items()]


def test_defaults_are_always_there_and_sorted(service: Maker, template: Maker) -> None:
    """Prove SVC-ENV-1."""
    env = container_env(service(), template(), ())
    assert values(env) == {"AIM_CACHE_PATH": "/workspace/cache", "VLLM_ENABLE_METRICS": "true"}
    assert [variable.name for variable in env] == sorted(variable.name for variable in env)


def test_precedence_from_config_to_service(service: Maker, template: Maker) -> None:
    """Prove SVC-ENV-1."""
    config = [EnvVar(name=name, value="config") for name in ("A", "B", "C", "AIM_METRIC")]
    chosen = template(env=variables(B="template", C="template"), metric="latency", precision="fp16", profileId="p1")
    env = values(container_env(service(env=variables(C="service")), chosen, config))
    assert (env["A"], env["B"], env["C"]) == ("config", "template", "service")
    assert (env["AIM_METRIC"], env["AIM_PRECISION"], env["AIM_PROFILE_ID"]) == ("latency", "fp16", "p1")


def test_template_env_beats_derived_values_and_service_beats_identity(service: Maker, template: Maker) -> None:
    sources = [{"modelId": "Qwen/Qwen3", "sourceUri": "hf://Qwen/Qwen3"}]
    chosen = template(modelSources=sources, metric="latency", env=variables(AIM_METRIC="x", AIM_MODEL_ID="template"))
    env = values(container_env(service(), chosen, ()))
    assert (env["AIM_METRIC"], env["AIM_MODEL_ID"]) == ("x", "Qwen/Qwen3")
    assert values(container_env(service(env=variables(AIM_MODEL_ID="mine")), chosen, ()))["AIM_MODEL_ID"] == "mine"


def test_a_custom_profile_sets_aim_id_and_never_the_model_id(service: Maker, template: Maker) -> None:
    """Prove SVC-ENV-3."""
    chosen = template(
        aimId="meta-llama/Llama-3-8B",
        modelId="meta-llama/Llama-3-8B",
        metric="latency",
        precision="fp16",
        profileId="ignored",
        hardware={"gpu": {"model": "MI300X", "requests": 1}},
        customProfile={"engineArgs": {"dtype": "float16"}},
        modelSources=[{"modelId": "a/b", "sourceUri": "hf://a/b"}],
    )
    env = values(container_env(service(), chosen, ()))
    assert env["AIM_ID"] == "meta-llama/Llama-3-8B"
    assert env["AIM_PROFILE_ID"] == "custom/meta-llama/Llama-3-8B/vllm-mi300x-fp16-tp1-latency"
    assert "AIM_MODEL_ID" not in env


def test_engine_args_merge_over_all_levels(service: Maker, template: Maker) -> None:
    """Prove SVC-ENV-2."""
    config = [EnvVar(name="AIM_ENGINE_ARGS", value='{"a": 1, "n": {"x": 1, "y": 1}}')]
    chosen = template(env=variables(AIM_ENGINE_ARGS='{"a": 2, "n": {"y": 2}}'))
    mine = service(env=variables(AIM_ENGINE_ARGS='{"n": {"z": 3}}'))
    merged = values(container_env(mine, chosen, config))["AIM_ENGINE_ARGS"]
    assert json.loads(merged or "") == {"a": 2, "n": {"x": 1, "y": 2, "z": 3}}


def test_a_secret_replaces_engine_args_instead_of_getting_lost(service: Maker, template: Maker) -> None:
    """Prove SVC-ENV-2."""
    reference = {"secretKeyRef": {"name": "s", "key": "k"}}
    mine = service(env=[{"name": "AIM_ENGINE_ARGS", "valueFrom": reference}])
    env = container_env(mine, template(env=variables(AIM_ENGINE_ARGS="{}")), ())
    assert next(variable for variable in env if variable.name == "AIM_ENGINE_ARGS").value_from == reference


NAMES = st.sampled_from(["AIM_METRIC", "AIM_ID", "AIM_ENGINE_ARGS", "AIM_CACHE_PATH", "X"])


LAYERS = st.dictionaries(NAMES, st.sampled_from(["", "1", "{}", '{"a": 1}', "["]), max_size=4)


@given(config=LAYERS, own=LAYERS)
def test_no_name_ever_occurs_twice(config: dict[str, str], own: dict[str, str]) -> None:
    from aimd.api.service import AIMService
    from aimd.api.service_template import AIMServiceTemplate

    service = AIMService.model_validate({"spec": {"env": variables(**own)}})
    template = AIMServiceTemplate.model_validate({"spec": {"metric": "latency", "env": variables(**config)}})
    env = container_env(service, template, [EnvVar(name=name, value=value) for name, value in config.items()])
    names = [variable.name for variable in env]
    assert names == sorted(set(names))
