"""Kubernetes quantities, exactly; and the two sizes derived from them: the claim and what is shown.

No library reads every form the API server accepts (binary, decimal and exponent suffixes, milli to exa) without
floats, hence this module. Grammar: apimachinery `resource.Quantity`.
"""

import re
from decimal import ROUND_HALF_UP, Decimal

GIBIBYTE = 2**30
_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_FORM = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:([KMGTPE]i)|([eE][+-]?\d+)|([numkMGTPE]?))")
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


class InvalidQuantity(ValueError):
    """The text is not a Kubernetes quantity."""


def parse_quantity(text: str) -> Decimal:
    """Return the exact value of a quantity such as `500m`, `16Gi` or `1e3`. Raises InvalidQuantity."""
    match = _FORM.fullmatch(text.strip())
    if match is None:
        raise InvalidQuantity(f"{text!r} is not a quantity such as 500m, 16Gi or 1e3")
    number, binary, exponent, suffix = match.groups()
    value = Decimal(number)
    if binary:
        return value * Decimal(1024 ** _BINARY[binary])
    return value.scaleb(int(exponent[1:]) if exponent else _DECIMAL[suffix or ""])


def parse_bytes(text: str) -> int:
    """Return a quantity of bytes; a fraction of a byte rounds up (OBJ-QTY-1). Raises InvalidQuantity."""
    value = parse_quantity(text)
    whole = int(value)
    return whole + (1 if value > whole else 0)


def bytes_or_zero(text: str) -> int:
    """Return a quantity in bytes; 0 for an empty, malformed or negative one."""
    try:
        return max(0, parse_bytes(text)) if text else 0
    except (InvalidQuantity, ArithmeticError):
        return 0


def claim_size(size_bytes: int, headroom_percent: int) -> str:
    """Return the storage request of a claim: size plus headroom, rounded up to whole GiB.

    The float truncation is the reference's and part of the contract: an exact ceiling would ask for another GiB
    where a tenth of a byte is over (ART-CLM-1).
    """
    with_headroom = int(float(size_bytes) * (1 + float(headroom_percent) / 100))
    return f"{max(1, -(-with_headroom // GIBIBYTE))}Gi"


def display_size(size_bytes: int) -> str:
    """Return a size for people, in binary units with at most one decimal (OBJ-QTY-1)."""
    if size_bytes < 0 or size_bytes > 7 * 2**60:
        return str(size_bytes)
    unit = 0
    value = Decimal(size_bytes)
    while value >= 1024 and unit < len(_UNITS) - 1:
        value /= 1024
        unit += 1
    if value >= 100:
        return f"{value.quantize(Decimal(1), ROUND_HALF_UP)} {_UNITS[unit]}"
    rounded = value.quantize(Decimal("0.1"), ROUND_HALF_UP)
    text = str(rounded.to_integral_value()) if rounded == rounded.to_integral_value() else str(rounded)
    return f"{text} {_UNITS[unit]}"


def format_quantity(value: Decimal) -> str:
    """Return the shortest plain form of a computed value: an integer, or milli units."""
    if value == value.to_integral_value():
        return str(int(value))
    return f"{int((value * 1000).to_integral_value(ROUND_HALF_UP))}m"


def canonical_cpu(text: str) -> str:
    """Return a number of CPUs as Kubernetes writes it: `2000m` is `2`; malformed text is returned unchanged."""
    try:
        return format_quantity(parse_quantity(text)) if text else ""
    except (InvalidQuantity, ArithmeticError):
        return text
