"""Profiles that an image of some generation does not accept."""

from typing import Any

import pytest

from aimd.planning.image_generation import refusal
from aimd.planning.profiles import read_profiles
from tests.aim_images import QWEN, ProfileFile, image_of
from tests.aim_profiles import published

FIRST = {"AIM_BASE_VERSION": "base:1"}
SECOND = {"AIM_BASE_IMAGE_REF": "base:1"}
THIRD = {**SECOND, "AIM_CONFIG_PATH": "/config"}
FOURTH = {**THIRD, "AIM_ACCELERATOR_TYPE": "gpu"}
NEWEST = {**FOURTH, "AIM_EVAL_BACKEND_COMMAND": "evaluate"}
ENVIRONMENTS = {"0.8": FIRST, "0.9": SECOND, "0.10": THIRD, "0.11": FOURTH, "0.11x": FOURTH, "0.12": NEWEST}
EXACT = {
    "engine": "vllm",
    "gpu": "MI300X",
    "gpu_count": 1,
    "manual_selection_only": False,
    "metric": "latency",
    "precision": "fp8",
    "type": "optimized",
}
NEW = {"accelerator_model": "MI300X", "accelerator_count": 1, "accelerator_type": "gpu", "type": "optimized"}


@pytest.mark.parametrize("env", [*ENVIRONMENTS.values(), {}])
def test_what_every_generation_accepts(env: dict[str, str]) -> None:
    """Prove OBJ-PRO-4."""
    assert refusal({**EXACT, **NEW}, env) == ""


@pytest.mark.parametrize(
    ("env", "metadata", "problem"),
    [
        (FIRST, {**EXACT, "type": "preview"}, "type preview"),
        (FIRST, {**EXACT, "gpu": "mi300x"}, "metadata.gpu is no name"),
        (SECOND, {**EXACT, "gpu": "MI9000X"}, "metadata.gpu is no name"),
        (SECOND, {**EXACT, "precision": "FP8"}, "metadata.precision is not in lower case"),
        (SECOND, {**EXACT, "engine": "bentoml"}, "metadata.engine is not vllm"),
        (SECOND, {**EXACT, "gpu_count": 9}, "metadata.gpu_count is above 8"),
        (THIRD, {**EXACT, "gpu_count": 9}, "metadata.gpu_count is above 8"),
        (THIRD, {**EXACT, "gpu": "none"}, "metadata.gpu is NONE"),
        (THIRD, NEW, "metadata.gpu is missing"),
        (THIRD, {**EXACT, "manual_selection_only": None}, "metadata.manual_selection_only is missing"),
        (FOURTH, {"type": "optimized", "accelerator_count": 1}, "metadata.accelerator_model is missing"),
        (NEWEST, {**EXACT, "gpu": "NONE"}, "metadata.accelerator_model is missing"),
        (NEWEST, {**EXACT, "gpu_count": 0}, "metadata.accelerator_count is not above 0"),
        (NEWEST, {**NEW, "accelerator_type": None}, "metadata.accelerator_type is missing"),
    ],
)
def test_what_a_generation_does_not_accept(env: dict[str, str], metadata: dict[str, Any], problem: str) -> None:
    """Prove OBJ-PRO-4."""
    assert problem in refusal(metadata, env)
    assert refusal(metadata, {}) == "", "what is unknown is accepted"


@pytest.mark.parametrize(
    ("env", "metadata"),
    [
        (SECOND, {**EXACT, "type": "preview"}),
        (SECOND, {**EXACT, "gpu": "NONE", "gpu_count": 0}),
        (THIRD, {**EXACT, "gpu": "mi300x", "precision": "FP8"}),
        (FOURTH, {**EXACT, "gpu_count": 0}),
        (FOURTH, NEW),
        (NEWEST, {**NEW, "accelerator_count": 192, "accelerator_type": "cpu"}),
        (NEWEST, EXACT),
    ],
)
def test_what_a_generation_accepts(env: dict[str, str], metadata: dict[str, Any]) -> None:
    """Prove OBJ-PRO-4."""
    assert refusal(metadata, env) == ""


@pytest.mark.parametrize("folder", ["0.8", "0.9", "0.10/instinct", "0.11/instinct", "0.11x/instinct", "0.12/instinct"])
def test_published_images_accept_what_they_contain(folder: str) -> None:
    """Prove OBJ-PRO-4."""
    env = {**ENVIRONMENTS[folder.partition("/")[0]], "AIM_ID": QWEN}
    found = read_profiles(published(folder), env)
    assert found.rejected == ()
    assert found.profiles


def test_a_file_of_another_generation_is_left_out_and_named() -> None:
    """Prove OBJ-PRO-4."""
    image = image_of("0.9").image
    newer = ProfileFile(precision="int4")
    found = read_profiles({**image.files, newer.path: newer.text("0.12")}, image.env)
    assert found.by_id(newer.stem) is None
    assert found.rejected == (f"{newer.path}: metadata.gpu is missing",)
