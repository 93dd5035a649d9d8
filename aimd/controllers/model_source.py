"""The controller of AIMClusterModelSource.

A registry is listed when the interval is over, when the filters have changed, or when this process has not done it yet;
in between, models that come and go are only counted anew (SRC-SYN-1).
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
from aimd.controllers.pipeline import Clock, KindReconciler, utc_now
from aimd.controllers.predicates import intent_changed
from aimd.controllers.runtime_config import CONFIG_INFORMERS, observe_config
from aimd.planning.kinds import AIM_CLUSTER_MODEL, AIM_CLUSTER_MODEL_SOURCE
from aimd.planning.labels import name_label
from aimd.planning.model_source.filters import FilterInvalid, ImageFilter, Strategy, matching
from aimd.planning.model_source.plan import (
    SOURCE_LABEL,
    FilterResult,
    ImageCounts,
    ObservedSource,
    filters_of,
    image_counts,
    interval_seconds,
    plan_model_source,
    result_of,
)
from aimd.planning.plan import Plan
from aimd.registry.credentials import Keyring
from aimd.registry.failures import RegistryFailure
from aimd.registry.listing import Listing
from aimd.runtime.client import Client
from aimd.runtime.controller import Watch
from aimd.runtime.handlers import for_object, for_owner
from aimd.runtime.informer import Informer
from aimd.runtime.objects import Failure, Key, Manifest, Request, Result, key_of, labels_of
from aimd.runtime.predicates import generation_changed
from aimd.runtime.store import Cache

FILTER_SECONDS = 150.0
LISTING_SECONDS = 200.0
"""Longest times for one filter and for all of a source; below the time that a reconcile may take."""
FILTERS_AT_ONCE = 4
_PASSING_WAIT = 60.0


class Lister(Protocol):
    """Who knows what registries hold: their client."""

    async def list_tags(self, registry: str, repository: str, keyring: Keyring) -> Listing: ...

    async def list_images(
        self, registry: str, pattern: str, accepts: Callable[[str], bool], keyring: Keyring
    ) -> Listing: ...


@dataclass(frozen=True, slots=True)
class _Listed:
    """What came of listing a source's filters, and when to do it again."""

    question: tuple[object, ...]
    results: Sequence[FilterResult]
    until: float
    troubles: int
    secret: Failure | None = None


class ModelSourceReconciler(KindReconciler[AIMClusterModelSource, ObservedSource]):
    """Reconciles AIMClusterModelSources; `counts` are told of each."""

    name = "cluster-model-source"

    def __init__(
        self,
        client: Client,
        cache: Cache,
        registries: Lister,
        secrets: PullSecrets,
        clock: Clock = utc_now,
        *,
        counts: dict[Key, ImageCounts] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        super().__init__(client, cache, AIM_CLUSTER_MODEL_SOURCE, AIMClusterModelSource, clock)
        self._registries = registries
        self._secrets = secrets
        self._monotonic = monotonic
        self._jitter = jitter
        self._counts = {} if counts is None else counts
        self._listed: dict[Key, _Listed] = {}

    @property
    def informers(self) -> Sequence[Informer]:
        return (Informer(AIM_CLUSTER_MODEL_SOURCE), Informer(AIM_CLUSTER_MODEL), *CONFIG_INFORMERS)

    @property
    def watches(self) -> Sequence[Watch]:
        return (
            Watch(AIM_CLUSTER_MODEL_SOURCE, for_object, intent_changed),
            Watch(AIM_CLUSTER_MODEL, for_owner(AIM_CLUSTER_MODEL_SOURCE), generation_changed),
        )

    def plan(self, observed: ObservedSource, now: datetime) -> Plan:
        return plan_model_source(observed, now)

    async def reconcile(self, request: Request) -> Result:
        """What was listed for a source that is gone need not be remembered."""
        if self.cache[self.kind].get(request.key) is None:
            self._listed.pop(request.key, None)
            self._counts.pop(request.key, None)
        return await super().reconcile(request)

    async def observe(self, obj: AIMClusterModelSource) -> ObservedSource:
        """The registry's answer, of now or before, and the models that there are."""
        key, question = Key("", obj.metadata.name), _question(obj)
        known, listed_at = self._listed.get(key), None
        if known is None or known.question != question or self._monotonic() >= known.until:
            troubles = known.troubles if known is not None and known.question == question else 0
            known = self._listed[key] = await self._list(obj, question, troubles)
            listed_at = self.clock() if known.secret is None else None
        models = self.cache[AIM_CLUSTER_MODEL].list()
        own = frozenset(_image_of(model) for model in models if _is_own(obj, model))
        observed = ObservedSource(
            source=obj,
            config=observe_config(self.cache, "", ""),
            results=known.results,
            own=own,
            others=frozenset(_image_of(model) for model in models if not _is_own(obj, model)),
            names=frozenset(key_of(model).name for model in models),
            listed_at=listed_at,
            again_after=max(known.until - self._monotonic(), 1.0),
            secret=known.secret,
        )
        self._counts[key] = image_counts(observed)
        return observed

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
        passing = any(failure.passing for answer in answers if answer is not None for failure in answer.failures)
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


def _is_own(obj: AIMClusterModelSource, model: Manifest) -> bool:
    return labels_of(model).get(SOURCE_LABEL) == name_label(obj.metadata.name)


def _image_of(model: Manifest) -> str:
    return str((model.get("spec") or {}).get("image") or "")
