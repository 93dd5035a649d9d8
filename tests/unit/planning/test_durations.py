"""One grammar of durations for every field and flag: Go's."""

import re
from contextlib import suppress
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimd.planning.durations import InvalidDuration, gateway_duration, parse_duration

GATEWAY_API = re.compile(r"([0-9]{1,5}(h|m|s|ms)){1,4}", re.ASCII)
NANOSECONDS = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "μs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
PARTS = st.lists(st.tuples(st.integers(0, 999_999), st.sampled_from(sorted(NANOSECONDS))), min_size=1, max_size=4)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("30s", 30.0),
        ("1h30m", 5400.0),
        ("250ms", 0.25),
        ("1.5s", 1.5),
        (".5m", 30.0),
        ("1.s", 1.0),
        ("+30s", 30.0),
        ("+0", 0.0),
        ("2s1h", 3602.0),
        ("1s1s", 2.0),
    ],
)
def test_duration(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "30", "s", "1x", "-1s", "1h 30m"])
def test_no_duration(text: str) -> None:
    with pytest.raises(InvalidDuration, match=r"is (not a duration|negative)"):
        parse_duration(text)


@pytest.mark.parametrize(
    "text", ["5s 5s", " 1s", "1s ", "1s\n", "٣s", "1_0s", "1e3s", "++1s", "+", "1d", "1S", ".s", "1/2s"]
)
def test_only_what_go_reads_is_a_duration(text: str) -> None:
    with pytest.raises(InvalidDuration, match="is not a duration: write one such as 30s, 1h30m or 250ms"):
        parse_duration(text)


def test_both_ways_to_write_a_microsecond() -> None:
    micro, mu = "5\u00b5s", "5\u03bcs"
    assert parse_duration(micro) == parse_duration(mu) == parse_duration("5us") == Fraction(5, 10**6)


@pytest.mark.parametrize("text", ["-1s", "-0", "-soon"])
def test_no_duration_is_negative(text: str) -> None:
    with pytest.raises(InvalidDuration, match="is negative: write a duration of 0 or more"):
        parse_duration(text)


def test_a_text_of_any_length_ends_in_a_short_message() -> None:
    assert parse_duration("0" * 63 + "s") == 0
    with pytest.raises(InvalidDuration) as refused:
        parse_duration("0" * 64 + "s")
    assert len(str(refused.value)) < 200


def test_the_longest_duration_is_gos() -> None:
    assert parse_duration("2562047h47m16.854775807s") == Fraction(2**63 - 1, 10**9)
    with pytest.raises(InvalidDuration, match="is too long: write at most 2562047h"):
        parse_duration("2562047h47m16.854775808s")


@given(PARTS)
def test_durations_add_up_exactly(parts: list[tuple[int, str]]) -> None:
    nanoseconds = sum(number * NANOSECONDS[unit] for number, unit in parts)
    text = "".join(f"{number}{unit}" for number, unit in parts)
    assert parse_duration(text) == parse_duration(f"+{text}") == Fraction(nanoseconds, 10**9)


@given(st.integers(0, 10**8), st.integers(0, 999_999_999))
def test_fractions_are_exact(seconds: int, nanoseconds: int) -> None:
    assert parse_duration(f"{seconds}.{nanoseconds:09}s") == Fraction(seconds * 10**9 + nanoseconds, 10**9)


@given(st.text(max_size=80) | st.from_regex(r"[+-]?([0-9]{0,5}\.?[0-9]{0,5}[nuµμmsh ]{1,2}){0,4}", fullmatch=True))
def test_any_text_is_a_duration_or_refused(text: str) -> None:
    with suppress(InvalidDuration):
        assert parse_duration(text) >= 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("180s", "3m0s"),
        ("90m", "1h30m0s"),
        ("30s", "30s"),
        ("1.5s", "1s500ms"),
        ("500ms", "500ms"),
        ("0", "0s"),
        ("2h30m", "2h30m0s"),
        ("1000us", "1ms"),
        ("+30s", "30s"),
        ("99999h", "99999h0m0s"),
    ],
)
def test_durations_for_a_gateway(text: str, expected: str) -> None:
    """Prove SVC-RTE-8."""
    assert gateway_duration(text) == expected
    assert GATEWAY_API.fullmatch(expected)


@pytest.mark.parametrize(
    "text", ["-5s", "soon", "5", "1us", "1.0001s", "", "9999999999h", "5s 5s", "100000h", f"1.{'0' * 40}1s"]
)
def test_durations_that_a_gateway_cannot_express(text: str) -> None:
    with pytest.raises(InvalidDuration):
        gateway_duration(text)


@given(st.text(max_size=12))
def test_any_text_is_a_duration_for_a_gateway_or_refused(text: str) -> None:
    with suppress(InvalidDuration):
        assert GATEWAY_API.fullmatch(gateway_duration(text))


@given(st.integers(0, 99_999 * 3_600_000))
def test_a_gateway_waits_as_long_as_the_field_says(milliseconds: int) -> None:
    assert parse_duration(gateway_duration(f"{milliseconds}ms")) == Fraction(milliseconds, 1000)
