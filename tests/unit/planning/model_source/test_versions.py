"""Version constraints: tables of examples, and the rules of ranges."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimd.planning.model_source.versions import Constraints, is_constraint, parse_constraints, parse_version


@pytest.mark.parametrize(
    ("tag", "constraint", "expected"),
    [
        ("v1.0.0", ">=1.0.0", True),
        ("latest", ">=0.0.0", False),
        ("dev", "*", False),
        ("1.2", ">=1.0.0", False),
        ("01.2.3", ">=1.0.0", False),
        ("1.2.3", "1.2.3", True),
        ("1.2.3", "==1.2.3", True),
        ("1.2.3", "=v1.2.3", True),
        ("1.2.3", "!=1.2.3", False),
        ("1.2.4", "!1.2.3", True),
        ("1.2.3-rc1", "!=1.2.3", True),
        ("1.2.3", ">1.2.3", False),
        ("1.2.3", "<=1.2.3", True),
        ("1.2.3+build", "1.2.3", True),
        ("1.5.0", ">=1.0.0 <2.0.0", True),
        ("2.5.0", ">= 1.0.0, < 2.0.0", False),
        ("2.5.0", "<1.0.0 || >=2.0.0", True),
        ("1.5.0", "<1.0.0||>=2.0.0", False),
        # pre-releases take part in plain ordering
        ("0.8.1-rc1", ">=0.8.0", True),
        ("0.8.1-rc1", ">=0.8.1", False),
        ("0.8.1-rc1", ">=0.8.1-rc1", True),
        ("1.0.0-alpha.1", ">=1.0.0-alpha", True),
        ("1.0.0-rc.10", ">1.0.0-rc.9", True),
        ("2.0.0-rc1", "<2.0.0", True),
        # one dot
        ("0.8.4", ">=0.9", False),
        ("0.9.0", ">=0.9", True),
        ("0.9.0", "0.9", True),
        ("0.9.1", "0.9", False),
        ("0.9.1", "<=0.9", False),
        # wildcards
        ("1.9.9", "1.x", True),
        ("2.0.0", "1.X", False),
        ("1.2.9", "1.2.*", True),
        ("1.3.0-rc1", "1.2.x", False),
        ("7.0.0", "*", True),
        # tilde and caret
        ("1.2.3", "~1.2.0", True),
        ("1.3.0", "~1.2.0", False),
        ("1.3.0-rc1", "~1.2.0", False),
        ("1.2.9", "~1.2", True),
        ("1.9.0", "~1", True),
        ("1.2.3", "~>1.2.0", True),
        ("1.5.0", "^1.2.0", True),
        ("1.1.9", "^1.2.0", False),
        ("2.0.0", "^1.2.0", False),
        ("2.0.0-rc1", "^1.2.0", False),
        ("0.2.9", "^0.2.3", True),
        ("0.3.0", "^0.2.3", False),
        ("0.0.3", "^0.0.3", True),
        ("0.0.4", "^0.0.3", False),
        ("0.9.0", "^0", True),
        ("0.9.0", "^0.x", True),
        ("1.0.0", "^0", False),
        ("0.0.9", "^0.0", True),
        ("0.1.0", "^0.0", False),
        # hyphen ranges
        ("1.0.0", "1.0.0 - 2.0.0", True),
        ("2.0.0", "1.0.0 - 2.0.0", True),
        ("2.0.1", "1.0.0 - 2.0.0", False),
        ("2.3.9", "1.2 - 2.3", True),
        ("2.4.0", "1.2 - 2.3", False),
        ("3.0.0-rc1", "1 - 2", False),
    ],
)
def test_constraints(tag: str, constraint: str, expected: bool) -> None:
    """Prove SRC-FLT-6."""
    assert is_constraint(constraint)
    assert parse_constraints([constraint]).allow(tag) is expected


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "banana", ">=", ">=1.0.0 banana",
        ">=1.0.0-", "1.0.0 ||", "|| 1.0.0", ">>1.0.0", "1.x.5", "x.1", ">=1.0.0,",
        ", 1.0.0", "<x", "1.0.0.0", "01.0.0", ">=1.0.0>0.5.0",
        "１.0.0", "1.0.0 - ", "9" * 5000, "1" + " " * 600, "~latest",
    ],
)  # fmt: skip
def test_what_is_no_constraint(text: str) -> None:
    assert not is_constraint(text)
    assert parse_constraints([text]).invalid == (text,)


def test_all_have_to_hold_and_two_versions_cannot() -> None:
    """Prove SRC-FLT-4."""
    assert parse_constraints([">=1.0.0", "<2.0.0"]).allow("1.5.0")
    assert not parse_constraints([">=1.0.0", "<2.0.0"]).allow("2.5.0")
    assert not parse_constraints(["1.0.0", "1.1.0"]).allow("1.0.0")


def test_without_constraints_every_tag_will_do() -> None:
    assert parse_constraints([]) == Constraints(())
    assert parse_constraints([]).allow("latest")


def test_invalid_constraints_are_ignored_beside_valid_ones_and_never_widen() -> None:
    """Prove SRC-FLT-5."""
    mixed = parse_constraints(["banana", ">=1.0.0"])
    assert (mixed.invalid, mixed.usable) == (("banana",), True)
    assert mixed.allow("1.0.0")
    assert not mixed.allow("0.9.0")
    alone = parse_constraints(["banana"])
    assert not alone.usable
    assert not alone.allow("1.0.0")


_NUMBERS = st.integers(0, 12)
_VERSIONS = st.tuples(_NUMBERS, _NUMBERS, _NUMBERS)
_PRE = st.sampled_from(["", "-rc.1", "-rc.2", "-alpha", "-1"])


def text_of(version: tuple[int, int, int]) -> str:
    return ".".join(map(str, version))


@given(_VERSIONS, _VERSIONS)
def test_comparisons_agree_with_the_order_of_numbers(
    version: tuple[int, int, int], other: tuple[int, int, int]
) -> None:
    tag = text_of(version)
    outcomes = {
        ">=": version >= other, ">": version > other, "<=": version <= other, "<": version < other,
        "=": version == other, "!=": version != other,
        "~": other <= version and version[:2] == other[:2],
        "^": other <= version and version[: _significant(other)] == other[: _significant(other)],
    }  # fmt: skip
    for operator, expected in outcomes.items():
        assert parse_constraints([f"{operator}{text_of(other)}"]).allow(tag) is expected, operator


def _significant(version: tuple[int, int, int]) -> int:
    return next((position + 1 for position, number in enumerate(version) if number), 3)


@given(_VERSIONS, _PRE, _VERSIONS, _PRE)
def test_of_two_versions_one_order_holds(one: tuple[int, int, int], a: str, two: tuple[int, int, int], b: str) -> None:
    tag, other = text_of(one) + a, text_of(two) + b
    holds = [parse_constraints([f"{operator}{other}"]).allow(tag) for operator in ("<", "=", ">")]
    assert holds.count(True) == 1
    assert parse_constraints([f"!={other}"]).allow(tag) is not holds[1]


@given(st.lists(st.text(" .|<>=!~^xX*-v0123", max_size=12), max_size=3), st.text(max_size=12))
def test_nothing_raises(texts: list[str], tag: str) -> None:
    parse_constraints(texts).allow(tag)
    parse_version(tag)


@pytest.mark.timeout(10)
def test_hostile_texts_take_no_time() -> None:
    for text in (" " * 500, "1." * 250, ">=1.0.0 " * 60, "||" * 250, "1.0.0-" + "a." * 240, "1.0.0 -" + " " * 480):
        is_constraint(text)
