"""The same small operator twice, on the runtime and as a bare loop: it copies a value of a parent to its child.

Parents and children are ConfigMaps with a label, so that both operators can work side by side on one API server. Both
patch by server-side apply. Ours compares with its cache first, and keeps a backlog of low-priority items on request.
"""

import ssl
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import orjson

from aimd.runtime.apply import Applier
from aimd.runtime.client import ClientOptions, connect
from aimd.runtime.controller import Watch
from aimd.runtime.informer import Informer
from aimd.runtime.kinds import CONFIG_MAP
from aimd.runtime.logging import configure
from aimd.runtime.manager import Manager, ManagerOptions
from aimd.runtime.objects import Desired, Key, Manifest, Request, Result, key_of, labels_of, owner_reference
from aimd.runtime.store import Cache
from aimd.runtime.workqueue import LOW_PRIORITY
from bench.fresh import READY

OPERATOR = "bench.example.com/operator"
ROLE = "bench.example.com/role"
NAMESPACE = "bench"
_URL = f"/api/v1/namespaces/{NAMESPACE}/configmaps"


def parent(operator: str, number: int) -> Manifest:
    """Return a parent of this operator."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": f"{operator}-{number:05d}",
            "namespace": NAMESPACE,
            "labels": {OPERATOR: operator, ROLE: "parent"},
        },
        "data": {"value": ""},
    }


def child(of: Manifest) -> Manifest:
    """Return the child of a parent."""
    key = key_of(of)
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": f"{key.name}-copy",
            "namespace": key.namespace,
            "labels": {OPERATOR: labels_of(of)[OPERATOR], ROLE: "child"},
            "ownerReferences": [owner_reference(CONFIG_MAP, of)],
        },
        "data": {"value": str(of["data"]["value"])},
    }


async def on_runtime(kubeconfig: Path, operator: str, backlog: int) -> None:
    """Run on aimd.runtime until cancelled; with `backlog`, keep at least that many items waiting."""
    configure("warning")
    async with connect(ClientOptions(kubeconfig=kubeconfig)) as client:
        options = ManagerOptions(namespaces=(NAMESPACE,), tune_garbage_collection=True)
        manager = Manager(client, options)
        manager.add(_Copier(manager, operator))
        async with anyio.create_task_group() as tasks:
            await tasks.start(manager.run)
            queue = manager.controllers[0].queue
            while len(queue):  # noqa: ASYNC110 - the start itself is not measured
                await anyio.sleep(0.05)
            print(READY, flush=True)
            parents = [key for key in map(key_of, manager.cache[CONFIG_MAP].list()) if not key.name.endswith("-copy")]
            while True:
                if backlog and len(queue) < backlog:
                    for key in parents:
                        queue.add(key, priority=LOW_PRIORITY, reason="startup")
                await anyio.sleep(0.05)


class _Copier:
    """Applies the child of one parent."""

    name = "copier"
    kind = CONFIG_MAP
    workers = 4

    def __init__(self, manager: Manager, operator: str) -> None:
        self._cache = manager.cache
        self._applier = Applier(manager.client, manager.cache, operator)
        self.informers: Sequence[Informer] = (Informer(CONFIG_MAP, label_selector=f"{OPERATOR}={operator}"),)
        self.watches: Sequence[Watch] = (Watch(CONFIG_MAP, _parent_of),)

    async def reconcile(self, request: Request) -> Result:
        live = self._cache[CONFIG_MAP].get(request.key)
        if live is not None:
            await self._applier.apply([Desired(CONFIG_MAP, child(live), "copy")])
        return Result()


def _parent_of(manifest: Manifest, cache: Cache) -> Iterable[Key]:
    key = key_of(manifest)
    return (Key(key.namespace, key.name.removesuffix("-copy")),)


async def bare(url: str, authority: Path, token: str, operator: str) -> None:
    """Run a watch and a PATCH over aiohttp, one after the other, until cancelled."""
    context = ssl.create_default_context(cafile=str(authority))
    headers = {"Authorization": f"Bearer {token}"}
    selector = f"{OPERATOR}={operator},{ROLE}=parent"
    parameters = {"watch": "true", "labelSelector": selector, "sendInitialEvents": "true"}
    parameters |= {"resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}
    connector = aiohttp.TCPConnector(ssl=context)
    async with (
        aiohttp.ClientSession(
            url, headers=headers, connector=connector, timeout=aiohttp.ClientTimeout(total=None)
        ) as session,
        session.get(_URL, params=parameters) as response,
    ):
        async for line in response.content:
            event = orjson.loads(line)
            if event["type"] == "BOOKMARK":
                print(READY, flush=True)
            else:
                await _patch(session, child(event["object"]), operator)


async def _patch(session: aiohttp.ClientSession, manifest: dict[str, Any], operator: str) -> None:
    async with session.patch(
        f"{_URL}/{manifest['metadata']['name']}",
        params={"fieldManager": operator, "force": "true"},
        data=orjson.dumps(manifest),
        headers={"Content-Type": "application/apply-patch+yaml"},
    ) as response:
        response.raise_for_status()
        await response.read()
