"""A custom profile as a file."""

import re
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from aimd.api.service_template import AIMServiceTemplate
from aimd.planning.gpus import GPU_MODELS
from aimd.planning.service_template.profile_file import (
    InvalidProfile,
    profile_file,
    profile_folder,
    profile_id_of,
    source_of_profile,
)

GPU_NAMES = {model.name for model in GPU_MODELS}
PROFILE: dict[str, Any] = {
    "aimId": "meta-llama/Llama-3-8B",
    "modelId": "meta-llama/Llama-3-8B",
    "metric": "latency",
    "precision": "fp16",
    "hardware": {"gpu": {"model": "MI300X", "requests": 1}},
}


def template(**spec: Any) -> AIMServiceTemplate:
    return AIMServiceTemplate.model_validate({"spec": {"modelName": "qwen", **spec}})


def test_the_document() -> None:
    """Prove TPL-PRF-1."""
    engine = {"dtype": "float16", "gpu-memory-utilization": 0.95}
    profile = profile_file(template(**PROFILE, customProfile={"engineArgs": engine, "envVars": {"A": "1"}}))
    assert profile is not None
    assert profile.name == "vllm-mi300x-fp16-tp1-latency.yaml"
    assert yaml.safe_load(profile.text) == {
        "aim_id": "meta-llama/Llama-3-8B",
        "model_id": "meta-llama/Llama-3-8B",
        "engine_args": engine,
        "env_vars": {"A": "1"},
        "metadata": {
            "accelerator_count": 1,
            "accelerator_model": "MI300X",
            "accelerator_type": "gpu",
            "engine": "vllm",
            "gpu": "MI300X",
            "gpu_count": 1,
            "manual_selection_only": False,
            "metric": "latency",
            "precision": "fp16",
            "type": "unoptimized",
        },
    }
    lines = [line for line in profile.text.splitlines() if not line.startswith(" ")]
    assert lines == sorted(lines)


def test_empty_parts_are_empty_objects() -> None:
    hardware = {"gpu": {"model": "MI325X", "requests": 4}}
    fields = {**PROFILE, "hardware": hardware, "precision": "fp8", "metric": "throughput"}
    profile = profile_file(template(**fields, customProfile={}))
    assert profile is not None
    assert profile.name == "vllm-mi325x-fp8-tp4-throughput.yaml"
    document = yaml.safe_load(profile.text)
    assert (document["engine_args"], document["env_vars"]) == ({}, {})


def test_no_profile_and_no_object() -> None:
    """Prove TPL-PRF-2."""
    assert profile_file(template()) is None
    with pytest.raises(InvalidProfile):
        profile_file(template(**PROFILE, customProfile={"engineArgs": ["--x"]}))


CUSTOM = {**PROFILE, "customProfile": {"engineArgs": {}}}


def test_folder_and_id_follow_the_model() -> None:
    assert profile_folder(template(**CUSTOM)) == "/workspace/aim-runtime/profiles/custom/meta-llama/Llama-3-8B"
    assert profile_id_of(template(**CUSTOM)) == "custom/meta-llama/Llama-3-8B/vllm-mi300x-fp16-tp1-latency"
    assert profile_id_of(template(**PROFILE)) == ""


def test_the_checksum_follows_the_content() -> None:
    one, same, other = (profile_file(template(**spec)) for spec in (CUSTOM, CUSTOM, {**CUSTOM, "metric": "throughput"}))
    assert one is not None
    assert same is not None
    assert other is not None
    assert one.checksum == same.checksum != other.checksum


def gpu(**fields: Any) -> dict[str, Any]:
    return {"hardware": {"gpu": {"model": "MI300X", "requests": 1, **fields}}}


def sources(*ids: str) -> dict[str, Any]:
    return {"modelSources": [{"modelId": name, "sourceUri": f"hf://{name}"} for name in ids]}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"hardware": {"gpu": {"minVram": "128Gi", "requests": 1}}}, "hardware.gpu.model is not set"),
        ({"hardware": {"cpu": {"requests": "4"}}}, "hardware.gpu.model is not set"),
        (gpu(model="MI300"), "hardware.gpu.model 'MI300'; with customProfile, use MI3"),
        (gpu(model="EPYC_9965"), "hardware.gpu.model"),
        (gpu(requests=0), "hardware.gpu.requests is 0"),
        (gpu(requests=9), "hardware.gpu.requests is 9; with customProfile, set it to 1 to 8"),
        ({"precision": "auto"}, "precision is 'auto'"),
        ({"precision": "fp64"}, "precision is 'fp64'"),
        ({"precision": ""}, "precision is not set"),
        ({"metric": ""}, "metric is not set; with customProfile, set it to latency or throughput"),
        ({"aimId": "../m"}, "aimId is '../m'"),
        ({"aimId": "/etc"}, "aimId"),
        ({"aimId": "llama"}, "aimId"),
        ({"aimId": "a/b/c"}, "aimId"),
        ({"aimId": "acme/general"}, "aimId is 'acme/general'"),
        ({"aimId": "general/llama"}, "aimId"),
        ({"modelId": "a/b/c"}, "modelId is 'a/b/c'"),
        ({"modelId": "llama"}, "modelId"),
        ({"modelId": ""}, "modelId is not set"),
        ({"customProfile": {"engineArgs": ["--x"]}}, "customProfile.engineArgs"),
        ({"customProfile": {"envVars": {"A=B": "1"}}}, "customProfile.envVars"),
        ({"customProfile": {"envVars": {"": "1"}}}, "customProfile.envVars"),
        (sources("a/b", "c/d"), "modelSources a/b and c/d"),
        (sources("a/b", "a/b"), "modelSources"),
        (sources(PROFILE["modelId"], PROFILE["modelId"]), "modelSources"),
    ],
)
def test_what_no_image_loads_is_refused(spec: dict[str, Any], message: str) -> None:
    """Prove TPL-PRF-2."""
    with pytest.raises(InvalidProfile, match=re.escape(message)):
        profile_file(template(**{**CUSTOM, **spec}))


def test_a_gpu_has_the_name_that_images_know() -> None:
    """Prove TPL-PRF-3."""
    for name in ("mi300x", "AMD Instinct MI300X", "instinct-mi300x-oam", "0x74a1", " MI300X ", "MI300X/../x"):
        chosen = template(**{**CUSTOM, **gpu(model=name)})
        profile = profile_file(chosen)
        assert profile is not None
        assert profile.name == "vllm-mi300x-fp16-tp1-latency.yaml"
        assert profile_id_of(chosen).endswith("/vllm-mi300x-fp16-tp1-latency")
        metadata = yaml.safe_load(profile.text)["metadata"]
        assert metadata["gpu"] == metadata["accelerator_model"] == "MI300X"


@pytest.mark.parametrize("word", ["", "optimized", "preview", "unoptimized"])
def test_the_type_in_the_file_is_one_that_all_images_know(word: str) -> None:
    """Prove TPL-PRF-3."""
    profile = profile_file(template(**{**CUSTOM, "type": word}))
    assert profile is not None
    assert yaml.safe_load(profile.text)["metadata"]["type"] == "unoptimized"


def test_the_source_of_the_profiles_model_or_the_only_one_counts() -> None:
    """Prove SVC-VOL-4."""
    two = template(**sources("a/b", "c/d")).spec.model_sources
    assert source_of_profile(two, "c/d") is two[1]
    assert source_of_profile(two[:1], "c/d") is two[0]
    assert source_of_profile(two, "e/f") is None
    assert source_of_profile((), "e/f") is None


WORDS = st.sampled_from(["", "a/b", "MI300X", "mi325x", "auto", "fp8", "latency", "a b", "../..", "0x74a1", "\0"])
GPUS = st.fixed_dictionaries({"model": WORDS, "requests": st.integers(-1, 9)}) | st.just({"minVram": "1Gi"})
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text("a:-#\n'\0", max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["on", "1", "a b"]), inner, max_size=2),
    max_leaves=6,
)


@given(
    words=st.fixed_dictionaries(dict.fromkeys(("aimId", "modelId", "metric", "precision", "type"), WORDS)),
    gpu=GPUS,
    arguments=JSON,
    variables=st.dictionaries(st.text("A=_\0", max_size=2), st.text("x: #\0", max_size=3), max_size=2),
)
def test_a_file_is_refused_or_says_what_the_template_says(
    words: dict[str, str], gpu: dict[str, Any], arguments: Any, variables: dict[str, str]
) -> None:
    """Prove TPL-PRF-2 and TPL-PRF-3."""
    custom = {"engineArgs": arguments, "envVars": variables}
    chosen = template(**words, hardware={"gpu": gpu}, customProfile=custom)
    try:
        profile = profile_file(chosen)
    except InvalidProfile:
        return
    assert profile is not None
    document = yaml.safe_load(profile.text)
    assert document["engine_args"] == (arguments or {})
    assert document["env_vars"] == variables
    assert document["metadata"]["gpu"] in GPU_NAMES
    assert 1 <= document["metadata"]["gpu_count"] <= 8
    assert "/" not in profile.name
    assert profile_id_of(chosen) == f"custom/{words['aimId']}/{profile.name.removesuffix('.yaml')}"
