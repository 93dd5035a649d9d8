"""The environment of the inference container."""

import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from aimd.api.core import EnvVar
from aimd.api.service import AIMService
from aimd.api.service_template import AIMServiceTemplate
from aimd.planning.service.container_environment import container_env
from aimd.planning.service_template.profile_file import profile_file
from tests.unit.planning.service.makers import Maker

IMAGE = "registry/aim:1"
SOURCES = [{"modelId": "Qwen/Qwen3", "sourceUri": "hf://Qwen/Qwen3"}]
PROFILE = {
    "aimId": "meta-llama/Llama-3-8B",
    "modelId": "meta-llama/Llama-3-8B",
    "metric": "latency",
    "precision": "fp16",
    "hardware": {"gpu": {"model": "MI300X", "requests": 1}},
    "customProfile": {"engineArgs": {"dtype": "float16"}},
}


def values(env: tuple[EnvVar, ...]) -> dict[str, str | None]:
    return {variable.name: variable.value for variable in env}


def variables(**pairs: str) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in pairs.items()]


def test_defaults_are_always_there_and_sorted(service: Maker, template: Maker) -> None:
    """Prove SVC-ENV-1."""
    env = container_env(service(), template(), (), IMAGE)
    assert values(env) == {"AIM_CACHE_PATH": "/workspace/cache", "VLLM_ENABLE_METRICS": "true"}
    assert [variable.name for variable in env] == sorted(variable.name for variable in env)


def test_precedence_from_config_to_service(service: Maker, template: Maker) -> None:
    """Prove SVC-ENV-1."""
    config = [EnvVar(name=name, value="config") for name in ("A", "B", "C", "AIM_METRIC")]
    chosen = template(env=variables(B="template", C="template"), metric="latency", precision="fp16", profileId="p1")
    env = values(container_env(service(env=variables(C="service")), chosen, config, IMAGE))
    assert (env["A"], env["B"], env["C"]) == ("config", "template", "service")
    assert (env["AIM_METRIC"], env["AIM_PRECISION"], env["AIM_PROFILE_ID"]) == ("latency", "fp16", "p1")


def test_template_env_beats_derived_values_and_service_beats_identity(service: Maker, template: Maker) -> None:
    chosen = template(modelSources=SOURCES, metric="latency", env=variables(AIM_METRIC="x", AIM_MODEL_ID="template"))
    env = values(container_env(service(), chosen, (), IMAGE))
    assert (env["AIM_METRIC"], env["AIM_MODEL_ID"]) == ("x", "Qwen/Qwen3")
    assert (
        values(container_env(service(env=variables(AIM_MODEL_ID="mine")), chosen, (), IMAGE))["AIM_MODEL_ID"] == "mine"
    )


def test_a_custom_profile_sets_aim_id_and_never_the_model_id(service: Maker, template: Maker) -> None:
    """Prove SVC-ENV-3."""
    chosen = template(**PROFILE, profileId="ignored", modelSources=SOURCES)
    env = values(container_env(service(), chosen, (), IMAGE))
    assert env["AIM_ID"] == "meta-llama/Llama-3-8B"
    assert env["AIM_PROFILE_ID"] == "custom/meta-llama/Llama-3-8B/vllm-mi300x-fp16-tp1-latency"
    assert "AIM_MODEL_ID" not in env


def test_engine_args_merge_over_all_levels(service: Maker, template: Maker) -> None:
    """Prove SVC-ENV-2."""
    config = [EnvVar(name="AIM_ENGINE_ARGS", value='{"a": 1, "n": {"x": 1, "y": 1}}')]
    chosen = template(env=variables(AIM_ENGINE_ARGS='{"a": 2, "n": {"y": 2}}'))
    mine = service(env=variables(AIM_ENGINE_ARGS='{"n": {"z": 3}}'))
    merged = values(container_env(mine, chosen, config, IMAGE))["AIM_ENGINE_ARGS"]
    assert json.loads(merged or "") == {"a": 2, "n": {"x": 1, "y": 2, "z": 3}}


def test_a_secret_replaces_engine_args_instead_of_getting_lost(service: Maker, template: Maker) -> None:
    """Prove SVC-ENV-2."""
    reference = {"secretKeyRef": {"name": "s", "key": "k"}}
    mine = service(env=[{"name": "AIM_ENGINE_ARGS", "valueFrom": reference}])
    env = container_env(mine, template(env=variables(AIM_ENGINE_ARGS="{}")), (), IMAGE)
    assert next(variable for variable in env if variable.name == "AIM_ENGINE_ARGS").value_from == reference


def test_weights_of_ones_own_need_no_profile_of_their_model(service: Maker, template: Maker) -> None:
    """Prove SVC-ENV-3: an image of one model has its own `AIM_ID` built in and refuses general profiles."""
    env = values(container_env(service(), template(modelSources=SOURCES), (), IMAGE))
    assert (env["AIM_MODEL_ID"], env["AIM_ID"]) == ("Qwen/Qwen3", "")
    assert env["AIM_ALLOW_GENERAL_PROFILE_FALLBACK"] == "true"
    strict = [EnvVar(name="AIM_ALLOW_GENERAL_PROFILE_FALLBACK", value="false")]
    env = values(container_env(service(), template(modelSources=SOURCES), strict, IMAGE))
    assert env["AIM_ALLOW_GENERAL_PROFILE_FALLBACK"] == "false"


def test_weights_for_a_profile_of_the_image_s_model_leave_the_model_to_the_image(
    service: Maker, template: Maker
) -> None:
    """Prove SVC-ENV-3: the image loads profiles of its own model only while it serves that model."""
    env = values(container_env(service(), template(modelSources=SOURCES, profileId="vllm-mi300x-fp8"), (), IMAGE))
    assert env["AIM_PROFILE_ID"] == "vllm-mi300x-fp8"
    assert not env.keys() & {"AIM_ID", "AIM_MODEL_ID", "AIM_ALLOW_GENERAL_PROFILE_FALLBACK"}
    env = values(container_env(service(), template(modelSources=SOURCES, profileId="general/x"), (), IMAGE))
    assert (env["AIM_PROFILE_ID"], env["AIM_MODEL_ID"]) == ("general/x", "Qwen/Qwen3")


@pytest.mark.parametrize(
    ("config", "own", "mine", "expected"),
    [
        ({}, {}, {"AIM_ID": "acme/x"}, {"AIM_ID": "acme/x"}),
        ({}, {}, {"AIM_MODEL_ID": "acme/x"}, {"AIM_MODEL_ID": "acme/x", "AIM_ID": ""}),
        ({}, {}, {"AIM_MODEL_ID": ""}, {"AIM_MODEL_ID": ""}),
        ({"AIM_ID": "acme/c"}, {}, {}, {"AIM_MODEL_ID": "Qwen/Qwen3", "AIM_ID": ""}),
        ({}, {"AIM_ID": "acme/t"}, {}, {"AIM_MODEL_ID": "Qwen/Qwen3", "AIM_ID": ""}),
        ({}, {}, {"AIM_ID": "a/b", "AIM_MODEL_ID": "c/d"}, {"AIM_ID": "a/b", "AIM_MODEL_ID": "c/d"}),
    ],
)
def test_what_users_set_decides_which_model_is_served(
    service: Maker,
    template: Maker,
    config: dict[str, str],
    own: dict[str, str],
    mine: dict[str, str],
    expected: dict[str, str],
) -> None:
    """Prove SVC-ENV-3."""
    chosen = template(modelSources=SOURCES, env=variables(**own))
    given = [EnvVar(name=name, value=value) for name, value in config.items()]
    env = values(container_env(service(env=variables(**mine)), chosen, given, IMAGE))
    assert {name: env[name] for name in ("AIM_ID", "AIM_MODEL_ID") if name in env} == expected


def test_a_model_id_of_the_service_beats_the_one_built_into_the_image(service: Maker, template: Maker) -> None:
    """Prove SVC-ENV-3."""
    mine = service(env=variables(AIM_MODEL_ID="acme/x"))
    env = values(container_env(mine, template(profileId="vllm-mi300x-fp16-tp1-latency"), (), IMAGE))
    assert (env["AIM_ID"], env["AIM_ALLOW_GENERAL_PROFILE_FALLBACK"]) == ("", "true")
    assert "AIM_PROFILE_ID" not in env
    env = values(container_env(mine, template(profileId="general/vllm-mi300x-fp16-tp1-latency"), (), IMAGE))
    assert env["AIM_PROFILE_ID"] == "general/vllm-mi300x-fp16-tp1-latency"


def test_own_weights_with_a_profile_of_the_image_are_those_of_its_model(service: Maker, template: Maker) -> None:
    """Prove SVC-ENV-8: only the image's own model has the profile, and others must not be downloaded in its place."""
    chosen = template(profileId="vllm-mi300x-fp16-tp1-latency", modelSources=SOURCES)
    env = values(container_env(service(), chosen, (), IMAGE))
    assert not {"AIM_ID", "AIM_MODEL_ID"} & set(env)
    assert (env["AIM_PROFILE_ID"], env["HF_HUB_OFFLINE"]) == ("vllm-mi300x-fp16-tp1-latency", "1")
    env = values(container_env(service(env=variables(HF_HUB_OFFLINE="0")), chosen, (), IMAGE))
    assert env["HF_HUB_OFFLINE"] == "0"
    general = template(profileId="general/vllm-mi300x-fp16-tp1-latency", modelSources=SOURCES)
    env = values(container_env(service(), general, (), IMAGE))
    assert (env["AIM_MODEL_ID"], "HF_HUB_OFFLINE" in env) == ("Qwen/Qwen3", False)


def test_the_env_of_a_profile_is_left_to_the_image(service: Maker, template: Maker) -> None:
    """Prove SVC-ENV-7: the container has the users' value, over which the image sets the profile's."""
    chosen = template(**{**PROFILE, "customProfile": {"envVars": {"NCCL_DEBUG": "WARN"}}})
    env = values(container_env(service(env=variables(NCCL_DEBUG="INFO")), chosen, (), IMAGE))
    assert env["NCCL_DEBUG"] == "INFO"
    file = profile_file(chosen)
    assert file is not None
    assert yaml.safe_load(file.text)["env_vars"] == {"NCCL_DEBUG": "WARN"}


NAMES = st.sampled_from(["AIM_METRIC", "AIM_ID", "AIM_ENGINE_ARGS", "AIM_CACHE_PATH", "X"])
LAYERS = st.dictionaries(NAMES, st.sampled_from(["", "1", "{}", '{"a": 1}', "["]), max_size=4)
IDS = st.dictionaries(st.sampled_from(["AIM_ID", "AIM_MODEL_ID"]), st.sampled_from(["", "a/b", "c/d"]))
SPECS: dict[str, dict[str, Any]] = {"image": {}, "sources": {"modelSources": SOURCES}, "profile": PROFILE}


@given(config=LAYERS, own=LAYERS)
def test_no_name_ever_occurs_twice(config: dict[str, str], own: dict[str, str]) -> None:
    service = AIMService.model_validate({"spec": {"env": variables(**own)}})
    template = AIMServiceTemplate.model_validate({"spec": {"metric": "latency", "env": variables(**config)}})
    env = container_env(service, template, [EnvVar(name=name, value=value) for name, value in config.items()], IMAGE)
    names = [variable.name for variable in env]
    assert names == sorted(set(names))


@given(spec=st.sampled_from(sorted(SPECS)), config=IDS, own=IDS, mine=IDS, baked=st.sampled_from(["", "a/b"]))
def test_what_runs_has_one_identity(
    spec: str, config: dict[str, str], own: dict[str, str], mine: dict[str, str], baked: str
) -> None:
    """Prove SVC-ENV-3 for all layers: the image starts, unless one layer sets both variables or empties the last."""
    service = AIMService.model_validate({"spec": {"env": variables(**mine)}})
    template = AIMServiceTemplate.model_validate({"spec": {**SPECS[spec], "env": variables(**own)}})
    given_ = [EnvVar(name=name, value=value) for name, value in config.items()]
    env = {"AIM_ID": baked, **values(container_env(service, template, given_, IMAGE))}
    chosen = [name for name in ("AIM_ID", "AIM_MODEL_ID") if env.get(name)]
    both = any(len([value for value in layer.values() if value]) == 2 for layer in (config, own, mine))
    emptied = "" in (*config.values(), *own.values(), *mine.values())
    assert len(chosen) <= 1 or both
    if spec != "image" and "" not in mine.values():
        assert chosen
    if spec == "image" and baked and not emptied:
        assert chosen
