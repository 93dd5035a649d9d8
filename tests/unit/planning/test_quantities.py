"""Quantities, claim sizes and display sizes."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimd.planning.quantities import (
    GIBIBYTE,
    InvalidQuantity,
    claim_size,
    display_size,
    format_quantity,
    parse_bytes,
    parse_quantity,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", "1"),
        ("1000m", "1"),
        ("500m", "0.5"),
        ("16Gi", str(16 * 2**30)),
        ("1.5Gi", str(3 * 2**29)),
        ("500M", "500000000"),
        ("1e3", "1000"),
        ("1E3", "1000"),
        ("2E", "2000000000000000000"),
        ("192G", "192000000000"),
        (".5", "0.5"),
        ("-1k", "-1000"),
    ],
)
def test_parse_quantity(text: str, expected: str) -> None:
    assert parse_quantity(text) == Decimal(expected)


@pytest.mark.parametrize("text", ["", "Gi", "1 Gi", "1GB", "0x10", "1.2.3", "1mm"])
def test_bad_quantities_are_refused(text: str) -> None:
    with pytest.raises(InvalidQuantity):
        parse_quantity(text)


@pytest.mark.parametrize(
    ("size", "headroom", "expected"),
    [
        (1, 10, "1Gi"),
        (100 * 2**20, 10, "1Gi"),
        (GIBIBYTE, 10, "2Gi"),
        (parse_bytes("2.2Gi"), 10, "3Gi"),
        (5 * GIBIBYTE, 10, "6Gi"),
        (10 * GIBIBYTE, 10, "11Gi"),
        (9_094_593_249, 10, "10Gi"),
        (976_128_931, 10, "1Gi"),
        (16 * GIBIBYTE, 10, "18Gi"),
        (20 * GIBIBYTE, 10, "22Gi"),
        (40 * GIBIBYTE, 10, "44Gi"),
        (100 * GIBIBYTE, 10, "110Gi"),
        (65_500_000_000, 15, "71Gi"),
        (2**40, 10, "1127Gi"),
        (10 * GIBIBYTE, 0, "10Gi"),
    ],
)
def test_claim_size(size: int, headroom: int, expected: str) -> None:
    """Prove ART-CLM-1."""
    assert claim_size(size, headroom) == expected


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (2**20 - 1, "1024 KiB"),
        (500_000_000, "477 MiB"),
        (1280 * 2**20, "1.3 GiB"),
        (102349 * 2**20, "100 GiB"),
        (2**40 - 1, "1024 GiB"),
        (65_500_000_000, "61 GiB"),
        (8 * 2**60, str(8 * 2**60)),
        (-1, "-1"),
    ],
)
def test_display_size(size: int, expected: str) -> None:
    """Prove OBJ-QTY-1."""
    assert display_size(size) == expected


def test_a_fraction_of_a_byte_rounds_up() -> None:
    """Prove OBJ-QTY-1."""
    assert parse_bytes("1500m") == 2
    assert parse_bytes("2.2Gi") == 2_362_232_013


@given(st.integers(1, 2**50), st.integers(0, 100))
def test_the_claim_always_holds_what_was_asked(size: int, headroom: int) -> None:
    asked = int(float(size) * (1 + headroom / 100))
    assert parse_bytes(claim_size(size, headroom)) >= asked
    assert parse_bytes(claim_size(size, headroom)) - asked < GIBIBYTE + 1


@given(st.integers(-(10**12), 10**12).map(lambda milli: Decimal(milli) / 1000))
def test_formatted_quantities_parse_back(value: Decimal) -> None:
    assert parse_quantity(format_quantity(value)) == value
