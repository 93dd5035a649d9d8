"""The oracle of every disturbed run: what the caches hold is what a fresh list shows."""

from typing import Any

import anyio

from aimd.runtime.client import Client
from aimd.runtime.manager import Manager
from aimd.runtime.objects import Kind, key_of, metadata_of


async def cache_equals_cluster(manager: Manager, client: Client, namespace: str, seconds: float = 60.0) -> None:
    """Returns once every cache of the manager agrees with the server about the namespace; fails with the differences.

    `client` must talk to the server undisturbed. A cache may lag behind, hence the patience.
    """
    differences: dict[str, Any] = {}
    with anyio.move_on_after(seconds):
        while True:
            differences = {}
            for store in manager.cache.stores:
                if store.available and (found := await _differences(manager, client, store.kind, namespace)):
                    differences[str(store.kind)] = found
            if not differences:
                return
            await anyio.sleep(0.2)
    raise AssertionError(f"caches differ from the cluster: {differences}")


async def _differences(manager: Manager, client: Client, kind: Kind, namespace: str) -> dict[str, Any]:
    listed = {
        str(key_of(item)): metadata_of(item)["resourceVersion"]
        for item in await client.list(kind, namespace=namespace if kind.namespaced else "")
    }
    cached = {
        str(key_of(item)): metadata_of(item)["resourceVersion"]
        for item in manager.cache[kind].list(namespace if kind.namespaced else "")
    }
    return {
        key: {"cluster": listed.get(key), "cache": cached.get(key)}
        for key in listed.keys() | cached.keys()
        if listed.get(key) != cached.get(key)
    }
