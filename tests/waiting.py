"""Waiting for what comes true in its own time."""

import json
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

import anyio
import pytest

from aimd.runtime.errors import NotFound

T = TypeVar("T")


async def wait_until(
    what: str,
    look: Callable[[], Awaitable[T]],
    holds: Callable[[T], object] = bool,
    timeout: float = 120.0,
    every: float = 0.1,
) -> T:
    """Looks until what was seen `holds`, and returns it; fails with what was last seen after `timeout` seconds.

    NotFound and a failed assertion, of the look or of what must hold, mean "not yet".
    """
    deadline = time.monotonic() + timeout
    seen: T | None = None
    while time.monotonic() < deadline:
        with suppress(NotFound, AssertionError):
            seen = await look()
            if holds(seen):
                return seen
        await anyio.sleep(every)
    pytest.fail(f"{what} did not come true in {timeout:.0f} s; last seen:\n{json.dumps(seen, indent=1, default=str)}")
