"""Random delays stay within their bounds."""

from aimd.runtime.jitter import jitter


def test_numbers_spread_between_the_bounds() -> None:
    numbers = [jitter(2.0, 3.0) for _ in range(1000)]
    assert 2.0 <= min(numbers) < 2.1
    assert 2.9 < max(numbers) <= 3.0
