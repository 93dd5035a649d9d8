"""Cache of inspections: a thousand models of fifty images cost fifty inspections.

The content of a digest never changes, and is kept until it is evicted; its texts have a budget in bytes (`contents`). A
tag is trusted for 15 minutes, then its digest is requested without downloading the image, which registries do not count
as a pull. A failure is kept for a short time, so that many callers at once meet it only once. Concurrent calls for the
same image share one request.

Results are cached per set of credentials, except for images that anonymous users can read (REG-CRD-4): no caller must
learn what its own credentials do not show.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from aimd.registry.contents import Contents
from aimd.registry.credentials import Keyring
from aimd.registry.failures import Problem, RegistryFailure
from aimd.registry.gate import LONGEST_PAUSE
from aimd.registry.images import Inspection, inspection_of
from aimd.registry.reference import ImageReference
from aimd.registry.single_flight import SingleFlight

TAG_LIFE = 900.0
"""Seconds for which a tag is trusted to mean the same image."""
FAILURE_LIFE = 20.0
"""Seconds for which a failure is returned without a request."""
MOST_IMAGES = 2048

_K = TypeVar("_K")
_V = TypeVar("_V")


class Inspector(Protocol):
    """Inspects images without a cache; implemented by the client."""

    async def inspect(
        self, reference: ImageReference, keyring: Keyring, contents: Contents
    ) -> Inspection | RegistryFailure:
        """Return what is in an image, and put it into `contents` under the digest of the result."""

    async def digest(self, reference: ImageReference, keyring: Keyring) -> str | RegistryFailure:
        """Return the current digest of a reference, empty if the registry does not say."""

    def credentials_id(self, reference: ImageReference, keyring: Keyring) -> str:
        """Return a hash of the credentials that are tried for the reference; empty if there are none."""


class InspectionCache:
    """Inspects images, each once as long as its result is cached."""

    def __init__(self, inspector: Inspector, clock: Callable[[], float] = time.monotonic) -> None:
        self._inspector = inspector
        self._clock = clock
        self._calls: SingleFlight[tuple[str, str], Inspection | RegistryFailure] = SingleFlight()
        self._contents = Contents(clock=clock)
        self._images: _Bounded[tuple[str, str, str], bool] = _Bounded(MOST_IMAGES)
        """By repository, digest and owner: whether the image is public. Its content is in `contents`."""
        self._tags: _Bounded[tuple[str, str], _Tag] = _Bounded(2 * MOST_IMAGES)
        self._failures: _Bounded[tuple[str, str], _Failed] = _Bounded(2 * MOST_IMAGES)

    async def inspect(self, reference: ImageReference, keyring: Keyring) -> Inspection | RegistryFailure:
        """Return what is in an image, from the cache if possible."""
        credentials_id = self._inspector.credentials_id(reference, keyring)
        return await self._calls.run(
            (str(reference), credentials_id),
            lambda: self._known(reference, credentials_id),
            lambda: self._inspect(reference, keyring, credentials_id),
        )

    def _known(self, reference: ImageReference, credentials_id: str) -> Inspection | RegistryFailure | None:
        """Return a cached result, None if there is none or it has expired."""
        now = self._clock()
        for owner in dict.fromkeys(("", credentials_id)):
            digest = reference.digest
            if not digest:
                tag = self._tags.get((str(reference), owner))
                digest = tag.digest if tag is not None and tag.until > now else ""
            image = self._image(reference, digest, owner)
            if image is not None:
                return image
        failed = self._failures.get((str(reference), credentials_id))
        if failed is None or failed.until <= now:
            return None
        left = failed.failure.retry_after
        return failed.failure if left is None else failed.failure.after(max(left - (now - failed.since), 0.0))

    def _image(self, reference: ImageReference, digest: str, owner: str) -> Inspection | None:
        """Return the cached image with a digest, for the requested reference: several tags may share a digest."""
        public = self._images.get((reference.name, digest, owner)) if digest else None
        content = self._contents.find(owner, digest) if public is not None else None
        return None if content is None else inspection_of(reference, digest, content, public=bool(public))

    async def _inspect(
        self, reference: ImageReference, keyring: Keyring, credentials_id: str
    ) -> Inspection | RegistryFailure:
        """Request the image and cache the result."""
        unchanged = await self._unchanged(reference, keyring, credentials_id)
        if unchanged is not None:
            return unchanged
        result = await self._inspector.inspect(reference, keyring, self._contents)
        now = self._clock()
        if isinstance(result, RegistryFailure):
            wait = result.retry_after if result.problem is Problem.RATE_LIMIT else None
            life = min(max(FAILURE_LIFE, wait or 0.0), LONGEST_PAUSE)
            self._failures.put((str(reference), credentials_id), _Failed(result, now, now + life))
            return result
        owner = "" if result.public else credentials_id
        self._images.put((reference.name, result.digest, owner), result.public)
        self._tags.put((str(reference), owner), _Tag(result.digest, now + TAG_LIFE))
        return result

    async def _unchanged(self, reference: ImageReference, keyring: Keyring, credentials_id: str) -> Inspection | None:
        """Return the cached image of an expired tag if its digest is unchanged, or if the registry is unavailable."""
        for owner in dict.fromkeys(("", credentials_id)):
            tag = self._tags.get((str(reference), owner))
            image = self._image(reference, tag.digest, owner) if tag is not None else None
            if image is None:
                continue
            digest = await self._inspector.digest(reference, keyring)
            if isinstance(digest, RegistryFailure):
                return image if digest.transient else None
            if digest == image.digest:
                self._tags.put((str(reference), owner), _Tag(digest, self._clock() + TAG_LIFE))
                return image
            return None
        return None


@dataclass(frozen=True, slots=True)
class _Tag:
    """Digest of a tag, and the time until which it is trusted."""

    digest: str
    until: float


@dataclass(frozen=True, slots=True)
class _Failed:
    """A failure, the time of the request, and the time until which it is returned."""

    failure: RegistryFailure
    since: float
    until: float


class _Bounded(Generic[_K, _V]):
    """A mapping that keeps the most recently used entries."""

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
