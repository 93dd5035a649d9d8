"""A status has a bound, whatever an image or a registry said (OBJ-TEN-3)."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimd.planning.status_size import LARGEST_STATUS, bounded, remarked, without_refused
from aimd.runtime.objects import Condition
from tests.unit.runtime.test_unreadable import nested

TEXT = st.text(st.characters(codec=None), max_size=12)
SMALL = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=10,
)


def enlarged(value: Any, way: str, times: int) -> Any:
    """Make something large of a value, in one of several ways."""
    match way:
        case "text":
            return str(value) * times * 40 + "x" * times
        case "list":
            return [value] * times
        case "map":
            return {f"key{number}": value for number in range(times)}
        case "texts":
            return ["y" * 200] * times
        case "fields":
            return {"a": {"b": ["z" * 50 * times], "c": value}, "d": "w" * 50 * times}
        case _:
            return nested(times)


@given(
    st.dictionaries(
        st.sampled_from(["profile", "discovery", "modelSources", "hardware"]),
        st.tuples(SMALL, st.sampled_from(["text", "list", "map", "texts", "fields", "deep"]), st.integers(0, 9000)),
        max_size=4,
    )
)
def test_any_status_fits_and_can_be_written(parts: Any) -> None:
    status = {
        name: enlarged(value, way, times if way != "deep" else times // 20)
        for name, (value, way, times) in parts.items()
    }
    found, cut = bounded(status)
    assert len(orjson.dumps(found)) <= LARGEST_STATUS
    assert set(cut) <= set(status)
    assert bounded(found) == (found, ()), "nothing is left to cut"
    assert {name for name in status if name not in cut} == {name for name in status if found[name] == status[name]}


@pytest.mark.parametrize("value", ["x" * 900_000, ["y" * 900] * 1000, {f"k{n}": "v" * 90 for n in range(9000)}])
def test_much_of_what_is_cut_is_left(value: Any) -> None:
    found, cut = bounded({"profile": {"id": "p", "engineArgs": value}, "other": [1]})
    assert cut == ("profile",)
    assert found["other"] == [1]
    assert found["profile"]["id"] == "p"
    assert type(found["profile"]["engineArgs"]) is type(value)
    assert len(orjson.dumps(found)) > LARGEST_STATUS // 2


def test_ready_says_what_was_cut() -> None:
    ready, other = Condition("Ready", "True", "Ready", "fine"), Condition("Other", "True", "Ready", "fine")
    assert remarked(ready, ()) is ready
    assert remarked(other, ("profile",)) is other
    expected = "fine (status.profile is cut, because a status may have 256 KiB and 64 levels)"
    assert remarked(ready, ("profile",)).message == expected


def test_fields_that_the_api_server_refuses_are_left_out() -> None:
    message = 'AIMModel "m" is invalid: [status.profile.metadata.gpu: Invalid value: "x", status.conditions[0]: bad]'
    status: dict[str, Any] = {"profile": {}, "conditions": [], "discovery": {}}
    assert without_refused(status, message) == {"conditions": [], "discovery": {}}
    assert without_refused(status, "spec.model: Invalid value") == status
