"""Generations are told by the environment of an image, and know different accelerators."""

import pytest

from aimd.sandbox.aim_image.generations import (
    Generation,
    device_by_id,
    device_named,
    device_names,
    generation_named,
    generation_of,
)


@pytest.mark.parametrize(
    ("environment", "generation"),
    [
        ({"AIM_BASE_VERSION": "x"}, Generation.V0_8),
        ({"AIM_BASE_IMAGE_REF": "x"}, Generation.V0_9),
        ({"AIM_BASE_IMAGE_REF": "x", "AIM_CONFIG_PATH": "c", "AIM_ACCELERATOR_TYPE": "gpu"}, Generation.V0_11),
        (
            {"AIM_BASE_IMAGE_REF": "x", "AIM_ACCELERATOR_TYPE": "gpu", "AIM_EVAL_BACKEND_COMMAND": "e"},
            Generation.V0_12,
        ),
    ],
)
def test_an_image_is_of_the_generation_that_its_marks_say(environment: dict[str, str], generation: Generation) -> None:
    assert generation_of(environment) == generation
    assert generation_named(generation.label) == generation


def test_an_image_without_marks_is_of_no_generation() -> None:
    for environment in ({}, {"AIM_BASE_IMAGE_REF": "x", "AIM_CONFIG_PATH": "0.10"}):
        with pytest.raises(ValueError, match="no known AIM generation"):
            generation_of(environment)
    with pytest.raises(ValueError, match=r"0\.10 is none of"):
        generation_named("0.10")


def test_later_generations_know_more_accelerators() -> None:
    assert device_by_id("0x74A1", Generation.V0_8) == device_by_id("74a1", Generation.V0_12) == "MI300X"
    assert device_by_id("75a8", Generation.V0_9) is None
    assert device_by_id("75a8", Generation.V0_11) == "MI350P"
    assert device_by_id("744b", Generation.V0_9) is None
    assert device_by_id("744b", Generation.V0_12) == "W7900"
    assert "NONE" in device_names(Generation.V0_9)
    assert "NONE" not in device_names(Generation.V0_11)


@pytest.mark.parametrize(
    ("text", "name"),
    [("mi300x", "MI300X"), ("0x74a1", "MI300X"), ("74a1", None), ("Instinct-MI300X", None), ("epyc_9965", "EPYC_9965")],
)
def test_later_generations_read_names_in_any_case_and_device_ids(text: str, name: str | None) -> None:
    assert device_named(text, Generation.V0_11) == name
