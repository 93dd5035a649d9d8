"""Who may ask a host now: so many at once, and nobody while it wants, or needs, to be left alone.

A registry that hangs costs its own images a deadline each, then nothing: after three failures in a row it rests, and
who asks meanwhile gets the last failure at once. Other registries never notice.
"""

from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio

from aimd.registry.failures import RegistryError, RegistryFailure

FAILURES_BEFORE_REST = 3
REST = 30.0
LONGEST_REST = 3600.0
_HOSTS = 512
_ANONYMOUS = "anonymous"


@dataclass(slots=True)
class _Rest:
    """Until when to leave somebody alone, and why."""

    until: float
    failure: RegistryFailure


class Gate:
    """Limits per host; a rest after 429 is for one credential, because registries count by it."""

    def __init__(self, concurrency: int, clock: Callable[[], float]) -> None:
        self._concurrency = concurrency
        self._clock = clock
        self._slots: dict[str, anyio.CapacityLimiter] = {}
        self._rests: OrderedDict[tuple[str, str], _Rest] = OrderedDict()
        self._failures: OrderedDict[str, int] = OrderedDict()

    @asynccontextmanager
    async def turn(self, host: str) -> AsyncIterator[None]:
        """One of the host's places, waited for."""
        slots = self._slots.get(host)
        if slots is None:
            self._forget_idle()
            slots = self._slots[host] = anyio.CapacityLimiter(self._concurrency)
        async with slots:
            yield

    def check(self, host: str, who: str) -> None:
        """Raises the failure that made the host rest, for everybody or for this credential."""
        for key in ((host, ""), (host, who or _ANONYMOUS)):
            rest = self._rests.get(key)
            if rest is None:
                continue
            remaining = rest.until - self._clock()
            if remaining > 0:
                raise RegistryError(rest.failure.after(remaining))
            del self._rests[key]

    def answered(self, host: str) -> None:
        """The host works."""
        self._failures.pop(host, None)

    def unanswered(self, host: str, failure: RegistryFailure) -> None:
        """A question got no answer, however often it was repeated (REG-NET-4). (A host that answers 500 costs nobody
        time.)
        """
        count = self._failures[host] = self._failures.get(host, 0) + 1
        self._failures.move_to_end(host)
        if len(self._failures) > _HOSTS:
            self._failures.popitem(last=False)
        if count >= FAILURES_BEFORE_REST:
            self._rest((host, ""), REST, failure)

    def limited(self, host: str, who: str, failure: RegistryFailure) -> None:
        """The host counts requests, and this credential has had its share (REG-NET-4). Anonymous requests share one."""
        self._rest((host, who or _ANONYMOUS), failure.retry_after or REST, failure)

    def _rest(self, key: tuple[str, str], seconds: float, failure: RegistryFailure) -> None:
        self._rests[key] = _Rest(self._clock() + min(seconds, LONGEST_REST), failure)
        self._rests.move_to_end(key)
        if len(self._rests) > _HOSTS:
            self._rests.popitem(last=False)

    def _forget_idle(self) -> None:
        if len(self._slots) >= _HOSTS:
            busy = {host: slots for host, slots in self._slots.items() if slots.statistics().borrowed_tokens}
            self._slots = busy
