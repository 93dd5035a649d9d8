"""Limits per host: how many requests at the same time, and pauses after failures and rate limits.

A registry that hangs costs its own images a deadline each, then nothing: after three failures in a row its requests
fail at once with the last failure, for 30 s. Other registries are not affected (REG-NET-4).
"""

from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio

from aimd.registry.failures import RegistryError, RegistryFailure

FAILURES_BEFORE_PAUSE = 3
PAUSE = 30.0
"""Seconds."""
LONGEST_PAUSE = 3600.0
"""Seconds."""
_HOSTS = 512
_ANONYMOUS = "anonymous"


@dataclass(slots=True)
class _Pause:
    """When a pause ends, and the failure that caused it."""

    until: float
    failure: RegistryFailure


class Gate:
    """Admits requests to hosts. A rate limit pauses one credential only, because registries count by credential."""

    def __init__(self, concurrency: int, clock: Callable[[], float]) -> None:
        self._concurrency = concurrency
        self._clock = clock
        self._slots: dict[str, anyio.CapacityLimiter] = {}
        self._pauses: OrderedDict[tuple[str, str], _Pause] = OrderedDict()
        self._failures: OrderedDict[str, int] = OrderedDict()

    @asynccontextmanager
    async def slot(self, host: str) -> AsyncIterator[None]:
        """Wait for one of the host's concurrent slots, and hold it for the block."""
        slots = self._slots.get(host)
        if slots is None:
            self._drop_idle()
            slots = self._slots[host] = anyio.CapacityLimiter(self._concurrency)
        async with slots:
            yield

    def check(self, host: str, credential_id: str) -> None:
        """Raise the failure that paused the host or this credential, if the pause has not ended."""
        for key in ((host, ""), (host, credential_id or _ANONYMOUS)):
            pause = self._pauses.get(key)
            if pause is None:
                continue
            remaining = pause.until - self._clock()
            if remaining > 0:
                raise RegistryError(pause.failure.after(remaining))
            del self._pauses[key]

    def succeeded(self, host: str) -> None:
        """Record a response of the host."""
        self._failures.pop(host, None)

    def failed(self, host: str, failure: RegistryFailure) -> None:
        """Record that a request got no response after all its retries.

        A host that returns 500 is not recorded, because it answers fast.
        """
        count = self._failures[host] = self._failures.get(host, 0) + 1
        self._failures.move_to_end(host)
        if len(self._failures) > _HOSTS:
            self._failures.popitem(last=False)
        if count >= FAILURES_BEFORE_PAUSE:
            self._pause((host, ""), PAUSE, failure)

    def limited(self, host: str, credential_id: str, failure: RegistryFailure) -> None:
        """Record that the host limits the requests of a credential; all anonymous requests share one."""
        self._pause((host, credential_id or _ANONYMOUS), failure.retry_after or PAUSE, failure)

    def _pause(self, key: tuple[str, str], seconds: float, failure: RegistryFailure) -> None:
        self._pauses[key] = _Pause(self._clock() + min(seconds, LONGEST_PAUSE), failure)
        self._pauses.move_to_end(key)
        if len(self._pauses) > _HOSTS:
            self._pauses.popitem(last=False)

    def _drop_idle(self) -> None:
        if len(self._slots) >= _HOSTS:
            busy = {host: slots for host, slots in self._slots.items() if slots.statistics().borrowed_tokens}
            self._slots = busy
