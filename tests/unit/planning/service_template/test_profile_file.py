"""A custom profile as a file."""

from typing import Any

import pytest
import yaml

from aimd.api.service_template import AIMServiceTemplate
from aimd.planning.service_template.profile_file import InvalidProfile, profile_file, profile_folder, profile_id_of

PROFILE = {
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


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"hardware": {"gpu": {"model": "MI300X/../x", "requests": 1}}}, "hardware.gpu.model"),
        ({"aimId": "../m"}, "aimId"),
        ({"aimId": "/etc"}, "aimId"),
    ],
)
def test_what_would_leave_the_folder_is_refused(spec: dict[str, Any], message: str) -> None:
    """Prove TPL-PRF-2."""
    with pytest.raises(InvalidProfile, match=message):
        profile_file(template(**{**CUSTOM, **spec}))
