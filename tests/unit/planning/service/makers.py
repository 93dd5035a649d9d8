"""The type of the fixtures that make what planning a service looks at."""

from collections.abc import Callable
from typing import Any, TypeAlias

Maker: TypeAlias = Callable[..., Any]
"""Makes an object from what the test cares about; the rest has defaults (`conftest.py`)."""
