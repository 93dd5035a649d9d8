"""Layers of variables, merged by name."""

import json

import pytest

from aimd.api.core import EnvVar
from aimd.planning.environment import AIM_ENGINE_ARGS, merge_container_env, merge_env, render_env


def given(**values: str) -> list[EnvVar]:
    return [EnvVar(name=name, value=value) for name, value in values.items()]


def test_a_later_layer_replaces_in_place_and_appends() -> None:
    """Prove OBJ-ENV-1."""
    merged = merge_env(given(A="1", B="1"), given(B="2", C="2"), given(A="3"))
    assert [(item.name, item.value) for item in merged] == [("A", "3"), ("B", "2"), ("C", "2")]


def test_engine_arguments_are_merged_deeply() -> None:
    """Prove SVC-ENV-2."""
    first, second = {"a": {"x": 1, "y": 1}, "b": [1]}, {"a": {"y": 2}, "b": [2]}
    (merged,) = merge_container_env(
        given(**{AIM_ENGINE_ARGS: json.dumps(first)}), given(**{AIM_ENGINE_ARGS: json.dumps(second)})
    )
    assert json.loads(merged.value or "") == {"a": {"x": 1, "y": 2}, "b": [2]}


@pytest.mark.parametrize(
    ("earlier", "later", "merged"),
    [("text", '{"a":1}', '{"a":1}'), ('{"a":1}', "text", "text"), ('{"a":1}', " ", '{"a":1}'), ("[1]", "[2]", "[2]")],
)
def test_engine_arguments_that_are_no_objects_are_replaced(earlier: str, later: str, merged: str) -> None:
    (found,) = merge_container_env(given(**{AIM_ENGINE_ARGS: earlier}), given(**{AIM_ENGINE_ARGS: later}))
    assert found.value == merged


def test_rendered_variables_keep_their_order() -> None:
    assert render_env(given(B="1", A="2")) == [{"name": "B", "value": "1"}, {"name": "A", "value": "2"}]


@pytest.mark.parametrize("levels", [300, 900, 5000])
def test_arguments_of_any_depth_are_merged_or_replaced(levels: int) -> None:
    """Prove OBJ-TEN-1."""
    deep = '{"a":' * levels + "1" + "}" * levels
    for earlier, later in ((deep, deep), (deep, '{"b":1}'), ('{"b":1}', deep)):
        layers = [[EnvVar(name=AIM_ENGINE_ARGS, value=value)] for value in (earlier, later)]
        (merged,) = merge_container_env(*layers)
        assert merged.value is not None
        assert merged.value == later or merged.value.startswith("{")
