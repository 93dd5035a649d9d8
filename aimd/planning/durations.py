"""Durations as Go writes them: `1h30m`, `90s`, `250ms`."""

import re
from decimal import Decimal

_UNITS = {"ns": Decimal("1e-9"), "us": Decimal("1e-6"), "µs": Decimal("1e-6"), "μs": Decimal("1e-6")}
_UNITS |= {"ms": Decimal("1e-3"), "s": Decimal(1), "m": Decimal(60), "h": Decimal(3600)}
_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_LONGEST = 64


class InvalidDuration(ValueError):
    """The text is no duration."""


def duration_seconds(text: str) -> float:
    """Seconds of a duration that is not negative; raises InvalidDuration."""
    bare = text.strip().removeprefix("+")
    if bare == "0":
        return 0.0
    parts = _PART.findall(bare)
    if not parts or len(bare) > _LONGEST or "".join(number + unit for number, unit in parts) != bare:
        raise InvalidDuration(f"{text[:_LONGEST]!r} is not a duration such as 30m or 1h30m")
    return float(sum(Decimal(number) * _UNITS[unit] for number, unit in parts))
