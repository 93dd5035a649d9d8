"""What the runtime reads from the environment: the settings, the warnings, and the errors."""

import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimd.sandbox.aim_image.configuration import Configuration, read_configuration
from aimd.sandbox.aim_image.generations import Generation

FIRST = (Generation.V0_8, Generation.V0_9)
LATER = (Generation.V0_11, Generation.V0_12)


def read(generation: Generation = Generation.V0_9, **environment: str) -> Configuration:
    return read_configuration({"AIM_ID": "a/b", **environment}, generation)


@pytest.mark.parametrize("generation", Generation)
def test_one_of_the_two_ids_is_needed(generation: Generation) -> None:
    with pytest.raises(ValueError, match="Cannot set both AIM_ID and AIM_MODEL_ID"):
        read(generation, AIM_MODEL_ID="c/d")
    for environment in ({}, {"AIM_ID": ""}, {"AIM_ID": "", "AIM_MODEL_ID": ""}):
        with pytest.raises(ValueError, match="Either AIM_MODEL_ID or AIM_ID environment variable is required"):
            read_configuration(environment, generation)
    assert read(generation, AIM_ID="", AIM_MODEL_ID="c/d").model_id == "c/d"


@pytest.mark.parametrize("generation", Generation)
@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, {"port": 8000, "cache_path": "/workspace/model-cache", "general_fallback": True, "metric": "latency"}),
        ({"AIM_METRIC": "Throughput", "AIM_PRECISION": "FP8"}, {"metric": "throughput", "precision": "fp8"}),
        ({"AIM_GPU_MODEL": "mi300x", "AIM_GPU_COUNT": "2"}, {"device": "MI300X", "count": 2}),
        ({"AIM_GPU_COUNT": "auto"}, {"device": None, "count": None}),
        ({"AIM_ALLOW_GENERAL_PROFILE_FALLBACK": "No"}, {"general_fallback": False}),
        ({"AIM_ENGINE_ARGS": '{"a": null}'}, {"engine_args": {"a": None}}),
        ({"AIM_PORT": "9000", "AIM_CACHE_PATH": "/c"}, {"port": 9000, "cache_path": "/c"}),
    ],
)
def test_settings(generation: Generation, environment: dict[str, str], expected: dict[str, Any]) -> None:
    found = read(generation, **environment)
    assert {name: getattr(found, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("generations", "environment", "says"),
    [
        (Generation, {"AIM_METRIC": "speed"}, "AIM_METRIC must be one of"),
        (Generation, {"AIM_PRECISION": "fp1"}, "AIM_PRECISION must be one of"),
        (FIRST, {"AIM_GPU_MODEL": "Instinct-MI300X"}, "AIM_GPU_MODEL must be one of"),
        (FIRST, {"AIM_GPU_COUNT": "many"}, "AIM_GPU_COUNT must be 'auto' or an integer. Was many."),
        (LATER, {"AIM_ACCELERATOR_MODEL": "Instinct-MI300X"}, "AIM_ACCELERATOR_MODEL must be one of"),
        (LATER, {"AIM_GPU_MODEL": "MI300X"}, "AIM_GPU_MODEL is deprecated, use AIM_ACCELERATOR_MODEL instead."),
        (Generation, {"AIM_ENGINE_ARGS": "[]"}, "AIM_ENGINE_ARGS must be a JSON object/dict. Got list. Ignoring."),
        (Generation, {"AIM_ENGINE_ARGS": "{"}, "Failed to parse AIM_ENGINE_ARGS as JSON"),
        (Generation, {"AIM_ALLOW_GENERAL_PROFILE_FALLBACK": "perhaps"}, "must be a boolean value"),
    ],
)
def test_wrong_values_are_ignored_with_a_warning(
    generations: Any, environment: dict[str, str], says: str, caplog: pytest.LogCaptureFixture
) -> None:
    for generation in generations:
        caplog.clear()
        found = read(generation, **environment)
        assert [says in record.message for record in caplog.records if record.levelno >= logging.WARNING] == [True]
        assert found.metric == "latency"
        assert found.engine_args is None


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"AIM_PORT": "http"}, "invalid literal for int"),
        ({"AIM_ACCELERATOR_TYPE": "tpu"}, "AIM_ACCELERATOR_TYPE must be one of [cpu, gpu]. Was 'tpu'."),
        ({"AIM_ACCELERATOR_FAMILY": "navi"}, "AIM_ACCELERATOR_FAMILY must be one of"),
    ],
)
def test_some_values_end_the_runtime(environment: dict[str, str], says: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011 (compared below)
        read(Generation.V0_11, **environment)
    assert says in str(error.value)


def test_the_newer_names_go_first(caplog: pytest.LogCaptureFixture) -> None:
    both = {"AIM_GPU_MODEL": "MI300X", "AIM_ACCELERATOR_MODEL": "MI350X"}
    assert read(Generation.V0_11, **both).device == "MI350X"
    assert read(Generation.V0_9, **both).device == "MI300X"
    assert not caplog.records
    assert read(Generation.V0_12, AIM_ACCELERATOR_COUNT="4", AIM_GPU_COUNT="1").count == 4
    assert read(Generation.V0_9, AIM_ALLOW_UNOPTIMIZED="true").allow_unoptimized is False
    assert read(Generation.V0_11, AIM_ALLOW_UNOPTIMIZED="true").allow_unoptimized is True


@given(
    st.dictionaries(
        st.sampled_from(
            [
                "AIM_METRIC",
                "AIM_PRECISION",
                "AIM_GPU_MODEL",
                "AIM_GPU_COUNT",
                "AIM_ENGINE",
                "AIM_ENGINE_ARGS",
                "AIM_ACCELERATOR_MODEL",
                "AIM_PROFILE_ID",
            ]
        ),
        st.text(max_size=8),
    ),
    st.sampled_from(Generation),
)
def test_any_environment_gives_settings(environment: dict[str, str], generation: Generation) -> None:
    found = read(generation, **environment)
    assert found.wanted_metric in ("latency", "throughput")
    assert found.wanted_engine in ("vllm", "bentoml", "vllm_omni")
