"""Derived names: golden tables, and their invariants."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimd.planning.naming import NameTooLong, derive_name, fits_whole, image_part, image_tag, is_kept_whole, name_hash

ENDPOINT = "https://minio-a.example.com"
DUMMY = "ghcr.io/silogen/aim-dummy:0.1.10"


@pytest.mark.parametrize(
    ("parts", "hash_inputs", "options", "expected"),
    [
        (["qwen-chat"], ["ml-team"], {}, "qwen-chat-a04542d9"),
        (["svc"], ["ns"], {}, "svc-e2c6bafc"),
        (["test-service"], ["default"], {}, "test-service-1080a608"),
        (["my-service"], ["n" * 42], {"limit": 63 - 11 - 42}, "m-70a2a165"),
        (
            ["qwen-qwen3-32b-instruct-production-canary-blue"],
            ["ml-team"],
            {"limit": 45},
            "qwen-qwen3-32b-instruct-production-c-a04542d9",
        ),
        (["qwen3-32b-latency"], ["ml-team"], {}, "qwen3-32b-latency-a04542d9"),
        (
            ["qwen3-32b-latency", "qwen-chat"],
            ["11111111-2222-3333-4444-555555555555"],
            {},
            "qwen3-32b-latency-qwen-chat-16b81fda",
        ),
        (
            ["aim-qwen-qwen3-32b", "0.8.5"],
            ["amdenterpriseai/aim-qwen-qwen3-32b:0.8.5"],
            {},
            "aim-qwen-qwen3-32b-0-8-5-cdc1fb22",
        ),
        (["llama-3-8b", "v1.0.0"], ["ghcr.io/amd/llama-3-8b:v1.0.0"], {}, "llama-3-8b-v1-0-0-f15afcca"),
        (["model", "abc123"], ["ghcr.io/amd/model@sha256:abc123def456"], {}, "model-abc123-cbd63f4c"),
        (
            ["Qwen/Qwen2-0.5B"],
            ["amdenterpriseai/aim-base:0.9", "Qwen/Qwen2-0.5B", "hf://Qwen/Qwen2-0.5B"],
            {},
            "qwen-qwen2-0-5b-8cd3ca3d",
        ),
        (
            ["shared/s3-endpoint-model"],
            [DUMMY, "shared/s3-endpoint-model", "s3://test-bucket/model", ENDPOINT],
            {},
            "shared-s3-endpoint-model-6b8c5ec3",
        ),
        (
            ["my-template", "ovr", "mi300x", "4gpu", "fp8", "throughput"],
            ["gpu", "MI300X", "count", 4, "precision", "fp8", "metric", "throughput"],
            {"hash_length": 4},
            "my-template-ovr-mi300x-4gpu-fp8-throughput-b295",
        ),
        (["base", "ovr", "latency"], ["metric", "latency"], {"hash_length": 4}, "base-ovr-latency-817c"),
        (["base", "ovr", "mi300x"], ["gpu", "MI300X"], {"hash_length": 4}, "base-ovr-mi300x-a61e"),
        (["base", "ovr", "4gpu"], ["count", 4], {"hash_length": 4}, "base-ovr-4gpu-2da2"),
        (
            ["llama-custom", "custom-profile"],
            ["llama-custom", "service-custom-profile"],
            {},
            "llama-custom-custom-profile-8cf11a2d",
        ),
        (["a&b<c>"], ["x&y<z>"], {}, "a-b-c-6e2ba56e"),
        (["aaaa-bbbb-----cccc"], ["ns"], {"limit": 20}, "aaaa-bbbb-e2c6bafc"),
        (["a" * 70], ["ns"], {}, "a" * 54 + "-e2c6bafc"),
        (["a" * 40, "b" * 40], ["z"], {}, "a" * 26 + "-" + "b" * 27 + "-20c40055"),
        (["x"], ["a<b>&c"], {}, "x-e888ef29"),
        (["x"], [{"a": "1", "b": "2"}], {}, "x-59851255"),
        (
            ["hf://Qwen/Qwen3-32B"],
            ["hf://Qwen/Qwen3-32B", None, ""],
            {"hash_length": 10},
            "hf---qwen-qwen3-32b-c00b812b59",
        ),
        (
            ["hf://Qwen/Qwen3-32B"],
            [
                "hf://Qwen/Qwen3-32B",
                [{"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "huggingface-creds", "key": "token"}}}],
                "longhorn",
            ],
            {"hash_length": 10},
            "hf---qwen-qwen3-32b-aa11150d2a",
        ),
    ],
)
def test_golden_names(parts: list[str], hash_inputs: list[object], options: dict[str, int], expected: str) -> None:
    """Prove OBJ-NAM-1."""
    assert derive_name(parts, hash_inputs, **options) == expected


def test_too_small_a_limit_is_an_error() -> None:
    with pytest.raises(NameTooLong):
        derive_name(["my-service"], ["ns"], limit=9)


def test_fits_whole_tells_truncated_names_apart() -> None:
    assert fits_whole(["qwen-chat"], limit=45)
    assert not fits_whole(["qwen-qwen3-32b-instruct-production-canary-blue"], limit=45)
    assert not fits_whole(["a" * 70], limit=100)


@pytest.mark.parametrize(
    ("text", "whole"), [("qwen-chat", True), ("qwen.chat", False), ("Qwen", False), ("-a", False), ("a" * 64, False)]
)
def test_what_is_replaced_or_cut_is_not_kept_whole(text: str, *, whole: bool) -> None:
    """Prove SVC-NAM-2."""
    assert is_kept_whole(text) == whole


@pytest.mark.parametrize(("text", "expected"), [("0.8.5", "0-8-5"), ("Hf://Qwen//X", "hf-qwen-x"), ("__", "")])
def test_image_part_collapses_runs(text: str, expected: str) -> None:
    assert image_part(text) == expected


@given(st.lists(st.text(max_size=80), min_size=1, max_size=4), st.lists(st.text(), max_size=3), st.integers(20, 63))
def test_names_are_valid_stable_and_within_the_limit(parts: list[str], hash_inputs: list[str], limit: int) -> None:
    """Prove OBJ-NAM-1."""
    name = derive_name(parts, hash_inputs, limit=limit)
    assert name == derive_name(parts, hash_inputs, limit=limit)
    assert len(name) <= limit
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", name)
    assert name.endswith("-" + name_hash(hash_inputs))


@pytest.mark.parametrize(
    ("reference", "tag"),
    [
        ("ghcr.io/acme/tiny:0.8.5", "0.8.5"),
        ("localhost:5000/tiny:1-rc1", "1-rc1"),
        ("localhost:5000/tiny", ""),
        ("acme/tiny", ""),
        (f"acme/tiny:1@sha256:{'0' * 64}", ""),
        ("acme/tiny:not a tag", ""),
        ("", ""),
    ],
)
def test_the_tag_of_an_image(reference: str, tag: str) -> None:
    """Prove MDL-STA-5."""
    assert image_tag(reference) == tag
