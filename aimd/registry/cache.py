"""What is known about images, so that a thousand models of fifty images cost fifty inspections.

What stands under a digest never changes, so it is kept until there is no room. What a tag stands for is believed for a
while, then asked for without fetching the image, which registries do not count as a pull. A failure is kept shortly,
so that many who ask at once meet it once.

Nobody learns what his own credentials would not have shown him: answers are kept per set of credentials, save those of
images that nobody has to log in for (REG-CRD-4). And who asks while the same question is under way waits for its
answer.
"""

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeVar

import anyio

from aimd.registry.credentials import Keyring
from aimd.registry.failures import Problem, RegistryFailure
from aimd.registry.gate import LONGEST_REST
from aimd.registry.images import Inspection
from aimd.registry.reference import ImageReference

TAG_LIFE = 900.0
"""Seconds for which a tag is believed to stand for the same image."""
FAILURE_LIFE = 20.0
"""Seconds for which a failure is repeated without asking."""
MOST_IMAGES = 2048

_K = TypeVar("_K")
_V = TypeVar("_V")


class Inspector(Protocol):
    """Who really asks: the client."""

    async def inspect(self, reference: ImageReference, keyring: Keyring) -> Inspection | RegistryFailure: ...

    async def digest(self, reference: ImageReference, keyring: Keyring) -> str | RegistryFailure: ...


class InspectionCache:
    """Inspections, each made once while it is known."""

    def __init__(self, inspector: Inspector, clock: Callable[[], float] = time.monotonic) -> None:
        self._inspector = inspector
        self._clock = clock
        self._flights: dict[tuple[str, str], _Flight] = {}
        self._images: _Bounded[tuple[str, str, str], Inspection] = _Bounded(MOST_IMAGES)
        self._tags: _Bounded[tuple[str, str], _Tagged] = _Bounded(2 * MOST_IMAGES)
        self._failures: _Bounded[tuple[str, str], _Failed] = _Bounded(2 * MOST_IMAGES)

    async def inspect(self, reference: ImageReference, keyring: Keyring) -> Inspection | RegistryFailure:
        """What the image says about itself, from memory if that is allowed."""
        who = keyring.fingerprint(reference.name)
        while (known := self._known(reference, who)) is None:
            flight = self._flights.get((str(reference), who))
            if flight is None:
                return await self._fly((str(reference), who), lambda: self._ask(reference, keyring, who))
            await flight.landed.wait()
            if flight.answer is not None:
                return _for(reference, flight.answer)
            # Whoever asked was cancelled before there was an answer: somebody else asks.
        return known

    async def _fly(
        self, key: tuple[str, str], ask: Callable[[], Awaitable[Inspection | RegistryFailure]]
    ) -> Inspection | RegistryFailure:
        flight = self._flights[key] = _Flight()
        try:
            flight.answer = await ask()
        finally:
            del self._flights[key]
            flight.landed.set()
        return flight.answer

    def _known(self, reference: ImageReference, who: str) -> Inspection | RegistryFailure | None:
        now = self._clock()
        for owner in dict.fromkeys(("", who)):
            digest = reference.digest
            if not digest:
                tagged = self._tags.get((str(reference), owner))
                digest = tagged.digest if tagged is not None and tagged.until > now else ""
            image = self._images.get((reference.name, digest, owner)) if digest else None
            if image is not None:
                return _for(reference, image)
        failed = self._failures.get((str(reference), who))
        if failed is None or failed.until <= now:
            return None
        left = failed.failure.retry_after
        return failed.failure if left is None else failed.failure.after(max(left - (now - failed.since), 0.0))

    async def _ask(self, reference: ImageReference, keyring: Keyring, who: str) -> Inspection | RegistryFailure:
        same = await self._unchanged(reference, keyring, who)
        if same is not None:
            return same
        answer = await self._inspector.inspect(reference, keyring)
        now = self._clock()
        if isinstance(answer, RegistryFailure):
            wait = answer.retry_after if answer.problem is Problem.RATE_LIMIT else None
            life = min(max(FAILURE_LIFE, wait or 0.0), LONGEST_REST)
            self._failures.put((str(reference), who), _Failed(answer, now, now + life))
            return answer
        owner = "" if answer.public else who
        self._images.put((reference.name, answer.digest, owner), answer)
        self._tags.put((str(reference), owner), _Tagged(answer.digest, now + TAG_LIFE))
        return answer

    async def _unchanged(self, reference: ImageReference, keyring: Keyring, who: str) -> Inspection | None:
        """The image of a tag that was known before, if it still is, or if the registry cannot say now."""
        for owner in dict.fromkeys(("", who)):
            tagged = self._tags.get((str(reference), owner))
            image = self._images.get((reference.name, tagged.digest, owner)) if tagged is not None else None
            if image is None:
                continue
            digest = await self._inspector.digest(reference, keyring)
            if isinstance(digest, RegistryFailure):
                return image if digest.passing else None
            if digest == image.digest:
                self._tags.put((str(reference), owner), _Tagged(digest, self._clock() + TAG_LIFE))
                return image
            return None
        return None


@dataclass(slots=True, eq=False)
class _Flight:
    """A question under way; without an answer once landed, it was given up."""

    landed: anyio.Event
    answer: Inspection | RegistryFailure | None

    def __init__(self) -> None:
        self.landed = anyio.Event()
        self.answer = None


@dataclass(frozen=True, slots=True)
class _Tagged:
    """What a tag stands for, and until when that is believed."""

    digest: str
    until: float


@dataclass(frozen=True, slots=True)
class _Failed:
    """A failure, since when it is known, and until when it is repeated."""

    failure: RegistryFailure
    since: float
    until: float


class _Bounded(Generic[_K, _V]):
    """The entries used last."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._entries: OrderedDict[_K, _V] = OrderedDict()

    def get(self, key: _K) -> _V | None:
        value = self._entries.get(key)
        if value is not None:
            self._entries.move_to_end(key)
        return value

    def put(self, key: _K, value: _V) -> None:
        self._entries[key] = value
        self._entries.move_to_end(key)
        if len(self._entries) > self._most:
            self._entries.popitem(last=False)


def _for(reference: ImageReference, answer: Inspection | RegistryFailure) -> Inspection | RegistryFailure:
    """The answer under the name that was asked for: two tags may share a digest."""
    return replace(answer, reference=reference) if isinstance(answer, Inspection) else answer
