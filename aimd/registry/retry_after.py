"""How long a registry asks to wait, in the headers that registries use for it."""

import email.utils
from collections.abc import Mapping


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds to wait from `now` (Unix time); None if the response does not say.

    `Retry-After` is seconds or a date; Docker Hub's `X-Retry-After`, and the `X-RateLimit-Reset` that belongs to an
    `X-RateLimit-Remaining` of 0, are Unix times.
    """
    text = headers.get("retry-after", "").strip()
    if text.isdecimal() and text.isascii():
        return float(text[:9])
    if text:
        try:
            return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - now)
        except (ValueError, TypeError, OverflowError, OSError):
            return None
    moment = headers.get("x-retry-after", "").strip()
    if not moment and headers.get("x-ratelimit-remaining", "").strip() == "0":
        moment = headers.get("x-ratelimit-reset", "").strip()
    return max(0.0, float(moment[:12]) - now) if moment.isdecimal() and moment.isascii() else None
