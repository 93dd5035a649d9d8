"""Durations of a route: Go's notation in, the Gateway API's out (GEP-2257)."""

import re
from decimal import Decimal

_UNITS = {"ns": Decimal("1e-6"), "us": Decimal("1e-3"), "µs": Decimal("1e-3"), "μs": Decimal("1e-3"), "ms": Decimal(1)}
_UNITS |= {"s": Decimal(1000), "m": Decimal(60_000), "h": Decimal(3_600_000)}
_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_MAXIMUM_HOURS = 99_999


class InvalidDuration(ValueError):
    """A text that is no duration, or one that the Gateway API cannot express."""


def gateway_duration(text: str) -> str:
    """`180s` → `3m0s`, `90m` → `1h30m0s`, `1.5s` → `1s500ms`; raises InvalidDuration (SVC-RTE-8)."""
    milliseconds = _milliseconds(text.strip())
    seconds, rest = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    if hours > _MAXIMUM_HOURS:
        raise InvalidDuration(f"{text!r} is longer than a gateway can wait: use at most {_MAXIMUM_HOURS}h")
    fraction = f"{rest}ms" if rest else ""
    if hours:
        return f"{hours}h{minutes}m{seconds}s{fraction}"
    if minutes:
        return f"{minutes}m{seconds}s{fraction}"
    if seconds or not fraction:
        return f"{seconds}s{fraction}"
    return fraction


def _milliseconds(text: str) -> int:
    if text in ("0", "+0", "-0"):
        return 0
    if text.startswith("-"):
        raise InvalidDuration(f"{text!r} is negative: a timeout has to be positive")
    bare = text.removeprefix("+")
    parts = _PART.findall(bare)
    if not parts or "".join(number + unit for number, unit in parts) != bare or len(bare) > 64:
        raise InvalidDuration(f"{text!r} is not a duration such as 180s or 2h30m")
    total = sum((Decimal(number) * _UNITS[unit] for number, unit in parts), Decimal(0))
    if total != total.to_integral_value():
        raise InvalidDuration(f"{text!r} has a fraction of a millisecond: a gateway counts whole milliseconds")
    return int(total)
