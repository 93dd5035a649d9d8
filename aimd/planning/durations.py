"""Durations as Go and the Kubernetes API write them (`1h30m`, `90s`, `250ms`), and as the Gateway API does."""

import re
from fractions import Fraction

_UNITS = {
    "ns": Fraction(1, 10**9),
    "us": Fraction(1, 10**6),
    "µs": Fraction(1, 10**6),  # U+00B5, the micro sign
    "μs": Fraction(1, 10**6),  # U+03BC, the Greek letter
    "ms": Fraction(1, 1000),
    "s": Fraction(1),
    "m": Fraction(60),
    "h": Fraction(3600),
}
_PART = re.compile(rf"(\d+\.?\d*|\.\d+)({'|'.join(_UNITS)})", re.ASCII)
_MAXIMUM_LENGTH = 64
_MAXIMUM_SECONDS = Fraction(2**63 - 1, 10**9)
"""What Go's time.Duration can hold, about 292 years."""
_MAXIMUM_GATEWAY_HOURS = 99_999


class InvalidDuration(ValueError):
    """A text that is not a duration, or one that its reader cannot express; says what to write instead."""


def parse_duration(text: str) -> Fraction:
    """Return the exact seconds of a duration, as Go's time.ParseDuration reads it.

    A leading `+` is accepted, `-` is not: no field takes a negative duration. Raises InvalidDuration.
    """
    if text.startswith("-"):
        raise InvalidDuration(f"{_quoted(text)} is negative: write a duration of 0 or more, such as 30s")
    bare = text.removeprefix("+")
    if bare == "0":
        return Fraction(0)
    parts = _PART.findall(bare)
    if not parts or len(text) > _MAXIMUM_LENGTH or "".join(number + unit for number, unit in parts) != bare:
        raise InvalidDuration(f"{_quoted(text)} is not a duration: write one such as 30s, 1h30m or 250ms")
    seconds = sum((Fraction(number) * _UNITS[unit] for number, unit in parts), Fraction(0))
    if seconds > _MAXIMUM_SECONDS:
        raise InvalidDuration(f"{_quoted(text)} is too long: write at most {_MAXIMUM_SECONDS // 3600}h")
    return seconds


def gateway_duration(text: str) -> str:
    """Return a duration as the Gateway API writes it (GEP-2257): `180s` → `3m0s`, `1.5s` → `1s500ms` (SVC-RTE-8).

    Raises InvalidDuration for a text that is not a duration, for fractions of a millisecond and above 99999h.
    """
    milliseconds = parse_duration(text) * 1000
    if milliseconds.denominator != 1:
        raise InvalidDuration(f"{_quoted(text)} has a fraction of a millisecond: write whole milliseconds")
    seconds, rest = divmod(milliseconds.numerator, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    if hours > _MAXIMUM_GATEWAY_HOURS:
        raise InvalidDuration(f"{_quoted(text)} is too long for a gateway: write at most {_MAXIMUM_GATEWAY_HOURS}h")
    fraction = f"{rest}ms" if rest else ""
    if hours:
        return f"{hours}h{minutes}m{seconds}s{fraction}"
    if minutes:
        return f"{minutes}m{seconds}s{fraction}"
    if seconds or not fraction:
        return f"{seconds}s{fraction}"
    return fraction


def _quoted(text: str) -> str:
    """Return the text in quotes, shortened to what can be a duration."""
    return repr(text[:_MAXIMUM_LENGTH])
