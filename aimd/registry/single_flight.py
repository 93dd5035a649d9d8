"""Concurrent callers of one thing share one call."""

from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

import anyio

_K = TypeVar("_K", bound=Hashable)
_V = TypeVar("_V")


class SingleFlight(Generic[_K, _V]):
    """Calls in progress by key."""

    def __init__(self) -> None:
        self._pending: dict[_K, _Pending[_V]] = {}

    async def run(self, key: _K, known: Callable[[], _V | None], call: Callable[[], Awaitable[_V]]) -> _V:
        """Return what is known, else the result of a call, which may be that of another caller.

        If the caller that made the call is canceled, or its call raises, one of those that wait makes it again.
        """
        while (value := known()) is None:
            pending = self._pending.get(key)
            if pending is None:
                return await self._lead(key, call)
            await pending.done.wait()
            if pending.result is not None:
                return pending.result
        return value

    async def _lead(self, key: _K, call: Callable[[], Awaitable[_V]]) -> _V:
        pending = self._pending[key] = _Pending[_V]()
        try:
            pending.result = await call()
        finally:
            del self._pending[key]
            pending.done.set()
        return pending.result


class _Pending(Generic[_V]):
    """A call in progress; if it is done without a result, its caller was canceled."""

    def __init__(self) -> None:
        self.done = anyio.Event()
        self.result: _V | None = None
