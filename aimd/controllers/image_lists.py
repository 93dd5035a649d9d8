"""Listing image registries for model sources: which filters, with which credentials, how often (SRC-SYN-1).

A registry is listed when the interval is over, when the filters have changed, or when this process has not done it yet.
"""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import anyio

from aimd.api.model_source import AIMClusterModelSource
from aimd.controllers.inspection import LASTING_WAITS, SECRET_WAITS, CredentialsMissing, PullSecrets
from aimd.controllers.pipeline import Clock, utc_now
from aimd.planning.model_source.filters import FilterInvalid, ImageFilter, Strategy, matching
from aimd.planning.model_source.plan import FilterResult, Listed, filters_of, interval_seconds, result_of
from aimd.registry.credentials import Keyring
from aimd.registry.failures import RegistryFailure
from aimd.registry.listing import Listing
from aimd.runtime.objects import Failure, Key

FILTER_SECONDS = 150.0
LISTING_SECONDS = 200.0
"""Longest times for one filter and for all of a source; below the time that a reconcile may take."""
FILTERS_AT_ONCE = 4
_PASSING_WAIT = 60.0


class Lister(Protocol):
    """What lists registries: their client."""

    async def list_tags(self, registry: str, repository: str, keyring: Keyring) -> Listing: ...

    async def list_images(
        self, registry: str, pattern: str, accepts: Callable[[str], bool], keyring: Keyring
    ) -> Listing: ...


@dataclass(frozen=True, slots=True)
class _Listed:
    """The results of listing a source's filters, and when to do it again."""

    question: tuple[object, ...]
    results: Sequence[FilterResult]
    until: float
    troubles: int
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
        """Return the registry's answer, of now or before."""
        key, question = Key("", source.metadata.name), _question(source)
        known = self._listed.get(key)
        listed_at: datetime | None = None
        if known is None or known.question != question or self._monotonic() >= known.until:
            troubles = known.troubles if known is not None and known.question == question else 0
            known = self._listed[key] = await self._list(source, question, troubles)
            listed_at = self._clock() if known.secret is None else None
        again_after = max(known.until - self._monotonic(), 1.0)
        return Listed(known.results, listed_at, again_after, known.secret)

    async def _list(self, obj: AIMClusterModelSource, question: tuple[object, ...], troubles: int) -> _Listed:
        """All filters, several at once; those that are not done in time are in error until the next listing (SRC-SYN-3,
        SRC-FLT-3)."""
        names = tuple(secret.name for secret in obj.spec.image_pull_secrets if secret.name)
        try:
            credentials = await self._secrets.credentials("", names)
        except CredentialsMissing as problem:
            wait = self._wait(SECRET_WAITS, troubles)
            return _Listed(question, (), self._monotonic() + wait, troubles + 1, problem.failure)
        if isinstance(credentials, RegistryFailure):
            results: list[FilterResult] = [FilterResult("", failures=(credentials.message,))]
            return _Listed(question, results, self._monotonic() + self._wait(LASTING_WAITS, troubles), troubles + 1)
        filters = filters_of(obj)
        answers = await self._ask(filters, credentials.keyring)
        results = [_result(wanted, answer) for wanted, answer in zip(filters, answers, strict=True)]
        passing = any(failure.transient for answer in answers if answer is not None for failure in answer.failures)
        unanswered = any(
            answer is None and not isinstance(wanted, FilterInvalid)
            for wanted, answer in zip(filters, answers, strict=True)
        )
        interval = interval_seconds(obj)
        wait = interval * (1 + 0.02 * self._jitter())
        if passing or unanswered:
            wait = min(wait, self._wait((_PASSING_WAIT, interval), troubles))
            return _Listed(question, results, self._monotonic() + wait, troubles + 1)
        return _Listed(question, results, self._monotonic() + wait, 0)

    async def _ask(self, filters: Sequence[ImageFilter | FilterInvalid], keyring: Keyring) -> list[Listing | None]:
        answers: list[Listing | None] = [None] * len(filters)
        places = anyio.CapacityLimiter(FILTERS_AT_ONCE)

        async def ask(position: int, wanted: ImageFilter) -> None:
            async with places:
                answers[position] = await self._list_one(wanted, keyring)

        with anyio.move_on_after(LISTING_SECONDS):
            async with anyio.create_task_group() as group:
                for position, wanted in enumerate(filters):
                    if isinstance(wanted, ImageFilter):
                        group.start_soon(ask, position, wanted)
        return answers

    async def _list_one(self, wanted: ImageFilter, keyring: Keyring) -> Listing:
        if wanted.strategy is Strategy.STATIC:
            return Listing()
        if wanted.strategy is Strategy.TAGS:
            return await self._registries.list_tags(wanted.registry, wanted.pattern, keyring)
        accepts = wanted.wants_repository
        return await self._registries.list_images(wanted.registry, wanted.pattern, accepts, keyring)

    def _wait(self, bounds: tuple[float, float], troubles: int) -> float:
        first, longest = bounds
        return float(min(first * 2 ** min(troubles, 10), longest)) * (0.9 + 0.2 * self._jitter())


def _result(wanted: ImageFilter | FilterInvalid, answer: Listing | None) -> FilterResult:
    if isinstance(wanted, FilterInvalid):
        return FilterResult(wanted.text, failures=(wanted.message,))
    if answer is None:
        text = f"Filter {wanted.text!r} was not listed within {LISTING_SECONDS:g} s; it is tried again"
        return FilterResult(wanted.text, failures=(text,))
    listed = {repository.name: repository.tags for repository in answer.repositories}
    failures = [f"Filter {wanted.text!r}: {failure.message}" for failure in answer.failures]
    return result_of(wanted, matching(wanted, listed), failures, sum(map(len, listed.values())))


def _question(obj: AIMClusterModelSource) -> tuple[object, ...]:
    """What a listing depends on; the other fields only decide what is made of it."""
    spec = obj.spec
    names = tuple(secret.name for secret in spec.image_pull_secrets)
    return obj.metadata.uid, spec.registry, spec.filters, spec.versions, spec.sync_interval, names
