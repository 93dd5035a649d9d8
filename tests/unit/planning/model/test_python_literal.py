"""Python literals as JSON, against Python itself."""

import json
from time import monotonic
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimd.planning.model.python_literal import literal_as_json

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(_VALUES)
def test_what_python_prints_means_the_same(value: Any) -> None:
    """Prove MDL-LBL-2."""
    assert json.loads(literal_as_json(str([value]))) == [value]


@given(_VALUES)
def test_json_stays_what_it_is(value: Any) -> None:
    assert json.loads(literal_as_json(json.dumps([value]))) == [value]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("""['it\\'s', "it's", 'a "b"']""", ["it's", "it's", 'a "b"']),
        (r"['\x41\u00e9\U0001F600', '\UFFFFFFFF', '\/']", ["Aé😀", "\N{REPLACEMENT CHARACTER}", "/"]),
        ("[None, True, False, 'None']", [None, True, False, "None"]),
    ],
)
def test_texts(text: str, expected: list[Any]) -> None:
    assert json.loads(literal_as_json(text)) == expected


@pytest.mark.parametrize("text", ["'open", '"open', "['a' 'b'", "'\\", "Nonesuch"])
def test_what_is_no_literal_is_no_json(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        json.loads(literal_as_json(text))


@given(st.text(max_size=100))
def test_no_text_ever_fails(text: str) -> None:
    literal_as_json(text)


@pytest.mark.parametrize("unit", ["'", '"', "\\'", "\\", "[", "None", "'a", "-", "\\x"])
def test_the_time_for_a_long_label_is_bounded(unit: str) -> None:
    started = monotonic()
    literal_as_json(unit * (256 * 1024 // len(unit)))
    assert monotonic() - started < 5
