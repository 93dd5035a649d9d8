"""Which profile a predictor takes."""

from typing import Any

import pytest

from aimd.api.core import EnvVar
from aimd.planning.service.container_environment import container_env
from tests.unit.planning.service.makers import Maker

IMAGE = "registry/aim:1"
STEM = "vllm-mi300x-fp8-tp1-latency"
FOUND = {"engine": "vllm", "gpu": "MI300X", "gpuCount": 1, "metric": "latency", "precision": "fp8"}
OUTPUT = {"filename": f"{STEM}.yaml", "profile": {"aim_id": "Qwen/Qwen3-32B", "model_id": "Qwen/Qwen3-32B-FP8"}}
SOURCES = [{"modelId": "Qwen/Qwen3", "sourceUri": "hf://Qwen/Qwen3"}]


def discovered(metadata: dict[str, Any] | None = None, **status: Any) -> dict[str, Any]:
    profile = {"metadata": {**FOUND, **(metadata or {})}, "originalDiscoveryOutput": OUTPUT}
    return {"status_fields": {"profile": profile, **status}}


def variables(**pairs: str) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in pairs.items()]


def env_of(service: Any, template: Any, **config: str) -> dict[str, str | None]:
    layer = [EnvVar(name=name, value=value) for name, value in config.items()]
    return {item.name: item.value for item in container_env(service, template, layer, IMAGE)}


def test_what_was_discovered_is_what_runs(service: Maker, template: Maker) -> None:
    """Prove SVC-ENV-4."""
    env = env_of(service(), template(metric="latency", **discovered()))
    assert env["AIM_PROFILE_ID"] == STEM
    assert "AIM_ID" not in env
    assert "AIM_ENGINE" not in env


def test_the_spec_beats_what_was_discovered(service: Maker, template: Maker) -> None:
    """Prove SVC-ENV-4."""
    assert env_of(service(), template(profileId="other", **discovered()))["AIM_PROFILE_ID"] == "other"


def test_a_result_for_another_image_pins_nothing(service: Maker, template: Maker) -> None:
    """Prove SVC-ENV-4."""
    former = template(**discovered({"engine": "bentoml"}, discovery={"specHash": "0123456789abcdef"}))
    assert not {"AIM_PROFILE_ID", "AIM_ENGINE"} & set(env_of(service(), former))


def test_the_engine_is_named_unless_images_assume_it(service: Maker, template: Maker) -> None:
    """Prove SVC-ENV-6."""
    bento = template(**discovered({"engine": "bentoml"}))
    assert env_of(service(), bento)["AIM_ENGINE"] == "bentoml"
    assert env_of(service(env=variables(AIM_ENGINE="vllm")), bento)["AIM_ENGINE"] == "vllm"


@pytest.mark.parametrize(
    ("env", "is_pinned"),
    [
        ({"AIM_METRIC": "throughput"}, False),
        ({"AIM_METRIC": "latency"}, True),
        ({"AIM_PRECISION": "fp16"}, False),
        ({"AIM_PRECISION": "auto"}, True),
        ({"AIM_GPU_MODEL": "MI325X"}, False),
        ({"AIM_GPU_MODEL": "instinct-mi300x"}, True),
        ({"AIM_ACCELERATOR_COUNT": "8"}, False),
        ({"AIM_GPU_COUNT": "1"}, True),
        ({"AIM_ENGINE": "vllm_omni"}, False),
        ({"AIM_ID": "Qwen/Qwen3-32B"}, True),
        ({"AIM_ID": "acme/other"}, False),
        ({"AIM_MODEL_ID": "acme/other"}, False),
        ({"HF_TOKEN": "x", "AIM_METRIC": ""}, True),
    ],
)
def test_users_who_ask_for_another_profile_get_it(
    service: Maker, template: Maker, env: dict[str, str], *, is_pinned: bool
) -> None:
    """Prove SVC-ENV-4."""
    assert ("AIM_PROFILE_ID" in env_of(service(env=variables(**env)), template(**discovered()))) is is_pinned
    assert ("AIM_PROFILE_ID" in env_of(service(), template(**discovered()), **env)) is is_pinned


@pytest.mark.parametrize("layer", ["service", "template", "config"])
def test_a_profile_that_users_name_wins(service: Maker, template: Maker, layer: str) -> None:
    """Prove SVC-ENV-4."""
    named = variables(AIM_PROFILE_ID="mine")
    mine = service(env=named if layer == "service" else [])
    chosen = template(**discovered(), env=named if layer == "template" else [])
    config = {"AIM_PROFILE_ID": "mine"} if layer == "config" else {}
    assert env_of(mine, chosen, **config)["AIM_PROFILE_ID"] == "mine"


@pytest.mark.parametrize(
    ("gpu", "model", "count"),
    [
        ({"model": "amd-instinct-mi300x", "requests": 2}, "MI300X", "2"),
        ({"model": "MI300X"}, "MI300X", None),
        ({"minVram": "128Gi", "requests": 4}, None, "4"),
        ({}, None, None),
    ],
)
def test_own_weights_get_a_profile_for_the_hardware(
    service: Maker, template: Maker, gpu: dict[str, Any], model: str | None, count: str | None
) -> None:
    """Prove SVC-ENV-5."""
    env = env_of(service(), template(modelSources=SOURCES, hardware={"gpu": gpu}))
    assert (env.get("AIM_GPU_MODEL"), env.get("AIM_GPU_COUNT")) == (model, count)
    assert (env.get("AIM_ACCELERATOR_MODEL"), env.get("AIM_ACCELERATOR_COUNT")) == (model, count)
    assert "AIM_GPU_MODEL" not in env_of(service(), template(hardware={"gpu": gpu}))


def test_users_may_name_other_hardware(service: Maker, template: Maker) -> None:
    """Prove SVC-ENV-5."""
    chosen = template(modelSources=SOURCES, hardware={"gpu": {"model": "MI300X", "requests": 1}})
    assert env_of(service(env=variables(AIM_GPU_COUNT="8")), chosen)["AIM_GPU_COUNT"] == "8"


def test_cpus_are_no_gpus(service: Maker, template: Maker) -> None:
    """Prove SVC-ENV-5."""
    assert "AIM_GPU_MODEL" not in env_of(service(), template(modelSources=SOURCES, hardware={"cpu": {"requests": "4"}}))
