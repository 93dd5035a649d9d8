"""What is read of JSON that the decoder refuses: all that is near the surface, whatever is below."""

import json
from time import thread_time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimd.runtime.client.salvage import LEVELS, Malformed, salvage, salvage_list

TEXT = st.text(max_size=8) | st.sampled_from(['"', "\\", "}{][", 'a"b', "\\u0041", ":,", "\u2028"])
SHALLOW = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


def deep(levels: int, opening: str = '{"a":', closing: str = "}") -> str:
    return opening * levels + "1" + closing * levels


def depth(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(depth, inner), default=0) if isinstance(value, dict | list) else 0


@given(st.dictionaries(TEXT, SHALLOW, max_size=4), st.booleans(), st.sampled_from([None, 1]))
def test_json_of_few_levels_is_read_as_any_decoder_reads_it(value: Any, escaped: bool, indent: int | None) -> None:
    if depth(value) <= LEVELS:
        assert salvage(json.dumps(value, ensure_ascii=escaped, indent=indent).encode()) == value


@given(st.dictionaries(TEXT, SHALLOW, max_size=3), st.integers(LEVELS, 3000), st.booleans())
def test_what_stands_beside_something_deep_is_read(value: Any, levels: int, is_list: bool) -> None:
    below = deep(levels, "[", "]") if is_list else deep(levels)
    members = [f'"deep":{below}', *(f"{json.dumps(name)}:{json.dumps(item)}" for name, item in value.items())]
    found = salvage(f"{{{','.join(members)}}}".encode())
    if depth(value) <= LEVELS and "deep" not in value:
        assert {name: item for name, item in found.items() if name != "deep"} == value
        assert depth(found) <= LEVELS + 1, "the last ones are empty"


def test_strings_and_numbers_that_are_none_do_not_end_the_reading() -> None:
    text = (
        rb'{"a":"\ud800x","b":1e999,"c":"\udc00\ud83d\ude00","d":NaN,"e":"' + b"\xff" + rb'","f":[1,-Infinity],"g":2}'
    )
    found = salvage(text)
    assert (found["a"], found["b"], found["d"], found["g"]) == ("\ufffdx", None, None, 2)
    assert set(found) == set("abcdefg")


@given(st.binary(max_size=60))
def test_any_bytes_are_survived(text: bytes) -> None:
    salvage(text)
    salvage(b'{"a":' + text)


def test_what_comes_before_malformed_text_is_kept() -> None:
    assert salvage(b'{"metadata":{"name":"x","resourceVersion":"5"},"spec":{"a":}') == {
        "metadata": {"name": "x", "resourceVersion": "5"},
        "spec": {},
    }


def test_a_list_is_cut_between_its_items() -> None:
    items = [b'{"a":"]}"}', deep(2000).encode(), b'{"b":[1,{"c":"\\""}]}']
    text = b'{"kind":"L","items":[' + b" , ".join(items) + b'],"metadata":{"continue":"c"}}'
    assert salvage_list(text) == ({"kind": "L", "metadata": {"continue": "c"}}, items)


@pytest.mark.parametrize(
    "text", [b"<html>", b"", b"[1]", b'{"items":[{"a":1}', b'{"items":[{"a":1}]', b'{"items":[{"a":1,']
)
def test_a_list_that_is_not_complete_is_none(text: bytes) -> None:
    with pytest.raises(Malformed):
        salvage_list(text)


def test_a_million_brackets_take_no_minute() -> None:
    text = b'{"metadata":{"name":"x"},"deep":' + deep(5000).encode() + b',"wide":[' + b"[]," * 300_000 + b"0]}"
    started = thread_time()
    assert salvage(text)["metadata"] == {"name": "x"}
    assert thread_time() - started < 5
