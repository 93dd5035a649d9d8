"""Reconcilers on a real cache that is filled by hand; nothing runs."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from aimd.controllers.pipeline import Definition, KindReconciler
from aimd.controllers.reads import LiveReads
from aimd.planning.needs import DiscoverySlot, InspectImage, ListImages
from aimd.runtime.client import Client
from aimd.runtime.objects import Key
from aimd.runtime.store import Cache, Store

NOW = datetime(2026, 1, 1, tzinfo=UTC)

Build = Callable[..., KindReconciler[Any, Any]]


async def grant(_need: DiscoverySlot) -> bool:
    return True


async def no_answer(need: Any) -> Any:
    raise AssertionError(f"nobody answers {need}")


@pytest.fixture
def build() -> Build:
    """Return a function that makes the reconciler of a definition, and the stores of its informers."""

    def make(
        definition: Definition[Any, Any],
        cache: Cache,
        server: Any = None,
        release: Callable[[Key], None] = lambda _key: None,
    ) -> KindReconciler[Any, Any]:
        client = cast(Client, server)
        answers = {DiscoverySlot: grant, InspectImage: no_answer, ListImages: no_answer}
        reads = LiveReads(client, cache, answers, lambda _kind, key: release(key))
        reconciler = KindReconciler(definition, client, cache, reads, lambda: NOW)
        for informer in reconciler.informers:
            if informer.kind not in cache:
                cache.add(Store(informer.kind, {})).synced = True
            for name, function in informer.indexes.items():
                cache[informer.kind].add_index(name, function)
        return reconciler

    return make
