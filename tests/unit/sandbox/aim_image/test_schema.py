"""The profiles that 0.8 and 0.9 refuse, and the fault that they name, in the words of the jsonschema package."""

from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimd.sandbox.aim_image.generations import Generation
from aimd.sandbox.aim_image.schema import ProfileInvalid, _engine_arguments, check_schema
from tests.aim_container import document


def fault(content: Any, generation: Generation = Generation.V0_9, *, general: bool = False) -> str:
    try:
        check_schema(content, generation, general=general)
    except ProfileInvalid as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (document(), ""),
        (document(gpu="NONE", gpu_count=0), ""),
        (document(made_up=1, accelerator_model="MI300X"), ""),
        (document(engine_args={"max-model-len": None, "made-up": [1]}, env_vars={"lower": 5}), ""),
        (document(gpu="mi300x"), "'mi300x' is not one of ['MI100',"),
        (document(gpu="MI350P"), "'MI350P' is not one of"),
        (document(precision="auto"), "'auto' is not one of ['fp4', 'fp8',"),
        (document(gpu_count=9), "9 is greater than the maximum of 8"),
        (document(gpu_count=-1), "-1 is less than the minimum of 0"),
        (document(gpu_count=True), "True is not of type 'integer'"),
        (document(gpu_count=2.0), ""),
        (document(manual_selection_only="no"), "'no' is not of type 'boolean'"),
        (document(engine="sglang"), "'sglang' is not one of ['vllm']"),
        (document(engine_args={"max-model-len": "8192"}), "'8192' is not of type 'integer', 'null'"),
        (document(engine_args={"block-size": 7}), "7 is not one of [1, 8, 16, 32, 64, 128, None]"),
        (document(engine_args={"served-model-name": ["a", 5]}), "5 is not of type 'string'"),
        (document(engine_args={"served-model-name": 5}), "5 is not valid under any of the given schemas"),
        (document(env_vars={"A": 1}), "1 is not of type 'string'"),
        (document(env_vars=None), "None is not of type 'object'"),
        (document(aim_id=None), "None is not of type 'string'"),
        (None, "None is not of type 'object'"),
        ([], "[] is not of type 'object'"),
        ({}, "'aim_id' is a required property"),
        ({"aim_id": "a/b", "model_id": "a/b"}, "'metadata' is a required property"),
    ],
)
def test_one_fault_is_named(content: Any, says: str) -> None:
    found = fault(content)
    assert found.startswith(says)
    assert bool(found) == bool(says)


def test_what_0_8_does_not_know() -> None:
    assert fault(document(type="preview"), Generation.V0_8).startswith("'preview' is not one of ['optimized',")
    assert fault(document(type="preview"), Generation.V0_9) == ""


def test_a_general_profile_has_no_ids() -> None:
    content = {name: value for name, value in document().items() if name not in ("aim_id", "model_id")}
    assert fault(content, general=True) == ""
    assert fault(content) == "'aim_id' is a required property"


def test_names_of_variables_are_texts() -> None:
    with pytest.raises(TypeError):
        check_schema(document(env_vars={5: "x"}), Generation.V0_9, general=False)


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 9),
    st.floats(-2, 9),
    st.sampled_from(["auto", "fp8", ""]),
    st.lists(st.integers()),
)


@given(st.sampled_from(sorted(_engine_arguments())), VALUES)
def test_arguments_are_checked_as_jsonschema_does(name: str, value: Any) -> None:
    schema = {"type": "object", "properties": _engine_arguments()}
    error = jsonschema.exceptions.best_match(jsonschema.Draft7Validator(schema).iter_errors({name: value}))
    assert fault(document(engine_args={name: value})) == (error.message if error else "")
