"""Reconcilers on a real cache that is filled by hand; nothing runs."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from aimd.controllers.pipeline import Definition, KindReconciler
from aimd.controllers.reads import LiveReads
from aimd.runtime.client import Client
from aimd.runtime.store import Cache, Store

NOW = datetime(2026, 1, 1, tzinfo=UTC)

Build = Callable[..., KindReconciler[Any, Any]]


async def no_answer(need: Any) -> Any:
    raise AssertionError(f"nobody answers {need}")


@pytest.fixture
def build() -> Build:
    """Return a function that makes the reconciler of a definition, and the stores of its informers."""

    def make(definition: Definition[Any, Any], cache: Cache, server: Any = None) -> KindReconciler[Any, Any]:
        client = cast(Client, server)
        reads = LiveReads(
            client,
            cache,
            grant=lambda need: True,
            release=lambda kind, key: None,
            inspect=no_answer,
            list_images=no_answer,
        )
        reconciler = KindReconciler(definition, client, cache, reads, lambda: NOW)
        for informer in reconciler.informers:
            if informer.kind not in cache:
                cache.add(Store(informer.kind, {})).synced = True
            for name, function in informer.indexes.items():
                cache[informer.kind].add_index(name, function)
        return reconciler

    return make
