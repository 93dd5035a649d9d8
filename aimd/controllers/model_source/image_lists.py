"""Lists of images for model sources: the filters, the credentials, and how often (SRC-SYN-1).

A registry is listed when the interval is over, when the filters change, and once after the operator starts.
"""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import anyio

from aimd.api.model_source import AIMClusterModelSource
from aimd.controllers.pipeline import Clock, utc_now
from aimd.controllers.registry_access import PERMANENT_BACKOFF, SECRET_BACKOFF, CredentialsMissing, PullSecrets
from aimd.planning.model_source.filters import FilterInvalid, ImageFilter, Strategy, matching
from aimd.planning.model_source.plan import FilterResult, Listed, filters_of, interval_seconds, result_of
from aimd.registry.credentials import Keyring
from aimd.registry.failures import RegistryFailure
from aimd.registry.listing import Listing
from aimd.runtime.objects import Failure, Key

FILTER_SECONDS = 150.0
LISTING_SECONDS = 200.0
"""Limits for one filter and for all filters of a source; shorter than a reconcile may take."""
MAX_CONCURRENT_FILTERS = 4
_FIRST_PAUSE = 60.0


class Lister(Protocol):
    """Lists registries; aimd.registry.client.RegistryClient is one."""

    async def list_tags(self, registry: str, repository: str, keyring: Keyring) -> Listing:
        """Return the tags of one repository."""

    async def list_images(
        self, registry: str, pattern: str, accepts: Callable[[str], bool], keyring: Keyring
    ) -> Listing:
        """Return the repositories that match `pattern` and that `accepts` confirms, with their tags."""


@dataclass(frozen=True, slots=True)
class _Listed:
    """The results for a source's filters, and when to list again. `failures` counts listings in a row that failed."""

    inputs: tuple[object, ...]
    results: Sequence[FilterResult]
    until: float
    failures: int
    secret: Failure | None = None


class ImageLists:
    """Lists the images of model sources, and remembers the results until they are due again."""

    def __init__(
        self,
        registries: Lister,
        secrets: PullSecrets,
        clock: Clock = utc_now,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._registries = registries
        self._secrets = secrets
        self._clock = clock
        self._monotonic = monotonic
        self._jitter = jitter
        self._listed: dict[Key, _Listed] = {}

    def forget(self, key: Key) -> None:
        """Drop the results of a source that no longer exists."""
        self._listed.pop(key, None)

    async def read(self, source: AIMClusterModelSource) -> Listed:
        """Return the list of a source; the registry is read only when that is due."""
        key, inputs = Key("", source.metadata.name), _inputs(source)
        known = self._listed.get(key)
        listed_at: datetime | None = None
        if known is None or known.inputs != inputs or self._monotonic() >= known.until:
            failures = known.failures if known is not None and known.inputs == inputs else 0
            known = self._listed[key] = await self._list(source, inputs, failures)
            listed_at = self._clock() if known.secret is None else None
        again_after = max(known.until - self._monotonic(), 1.0)
        return Listed(known.results, listed_at, again_after, known.secret)

    async def _list(self, source: AIMClusterModelSource, inputs: tuple[object, ...], failures: int) -> _Listed:
        """List all filters, several at a time; a filter that takes too long has failed (SRC-SYN-3, SRC-FLT-3)."""
        names = tuple(secret.name for secret in source.spec.image_pull_secrets if secret.name)
        try:
            credentials = await self._secrets.credentials("", names)
        except CredentialsMissing as problem:
            until = self._monotonic() + self._pause(SECRET_BACKOFF, failures)
            return _Listed(inputs, (), until, failures + 1, problem.failure)
        if isinstance(credentials, RegistryFailure):
            results: list[FilterResult] = [FilterResult("", failures=(credentials.message,))]
            until = self._monotonic() + self._pause(PERMANENT_BACKOFF, failures)
            return _Listed(inputs, results, until, failures + 1)
        filters = filters_of(source)
        listings = await self._list_filters(filters, credentials.keyring)
        pairs = tuple(zip(filters, listings, strict=True))
        results = [_result(image_filter, listing) for image_filter, listing in pairs]
        transient = any(failure.transient for listing in filter(None, listings) for failure in listing.failures)
        timed_out = any(listing is None and isinstance(image_filter, ImageFilter) for image_filter, listing in pairs)
        interval = interval_seconds(source)
        pause = interval * (1 + 0.02 * self._jitter())
        if transient or timed_out:
            pause = min(pause, self._pause((_FIRST_PAUSE, interval), failures))
            return _Listed(inputs, results, self._monotonic() + pause, failures + 1)
        return _Listed(inputs, results, self._monotonic() + pause, 0)

    async def _list_filters(
        self, filters: Sequence[ImageFilter | FilterInvalid], keyring: Keyring
    ) -> list[Listing | None]:
        """Return a listing for each filter, None for an invalid one and for one that takes too long."""
        listings: list[Listing | None] = [None] * len(filters)
        limiter = anyio.CapacityLimiter(MAX_CONCURRENT_FILTERS)

        async def list_one(position: int, image_filter: ImageFilter) -> None:
            async with limiter:
                listings[position] = await self._list_filter(image_filter, keyring)

        with anyio.move_on_after(LISTING_SECONDS):
            async with anyio.create_task_group() as group:
                for position, image_filter in enumerate(filters):
                    if isinstance(image_filter, ImageFilter):
                        group.start_soon(list_one, position, image_filter)
        return listings

    async def _list_filter(self, image_filter: ImageFilter, keyring: Keyring) -> Listing:
        registry, pattern = image_filter.registry, image_filter.pattern
        match image_filter.strategy:
            case Strategy.STATIC:
                return Listing()
            case Strategy.TAGS:
                return await self._registries.list_tags(registry, pattern, keyring)
            case _:
                return await self._registries.list_images(registry, pattern, image_filter.wants_repository, keyring)

    def _pause(self, backoff: tuple[float, float], failures: int) -> float:
        first, longest = backoff
        return float(min(first * 2 ** min(failures, 10), longest)) * (0.9 + 0.2 * self._jitter())


def _result(image_filter: ImageFilter | FilterInvalid, listing: Listing | None) -> FilterResult:
    if isinstance(image_filter, FilterInvalid):
        return FilterResult(image_filter.text, failures=(image_filter.message,))
    if listing is None:
        text = f"Filter {image_filter.text!r} was not listed within {LISTING_SECONDS:g} s; it is tried again"
        return FilterResult(image_filter.text, failures=(text,))
    found = {repository.name: repository.tags for repository in listing.repositories}
    failures = [f"Filter {image_filter.text!r}: {failure.message}" for failure in listing.failures]
    return result_of(image_filter, matching(image_filter, found), failures, sum(map(len, found.values())))


def _inputs(source: AIMClusterModelSource) -> tuple[object, ...]:
    """Return what a list depends on; the other fields only decide what is done with it."""
    spec = source.spec
    names = tuple(secret.name for secret in spec.image_pull_secrets)
    return source.metadata.uid, spec.registry, spec.filters, spec.versions, spec.sync_interval, names
