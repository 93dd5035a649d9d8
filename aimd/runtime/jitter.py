"""Random delays, which spread load over time."""

import random


def jitter(low: float, high: float) -> float:
    """Return a random number between `low` and `high`."""
    return random.uniform(low, high)  # noqa: S311  Nothing secret depends on it.
