"""The same operator three times: on our runtime, on kopf, and as a bare loop; each reads pods and does nothing.

All follow one script: start, handle every object, then handle one change of every object, for some rounds. A round ends
when its last change is handled, so that two changes of one object are never merged, and every change is one run of the
handler. Our operator runs as `aimd run` does, with the garbage collector paused while it syncs; kopf runs with its
defaults, except that it posts no events and logs only warnings.
"""

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
import anyio
import orjson

from aimd.runtime.client import ClientOptions, connect
from aimd.runtime.controller import Watch
from aimd.runtime.handlers import for_object
from aimd.runtime.informer import Informer
from aimd.runtime.kinds import POD
from aimd.runtime.logging import configure
from aimd.runtime.manager import Manager, ManagerOptions
from aimd.runtime.objects import Request, Result
from aimd.runtime.store import Cache
from bench.meters import kubeconfig, metered, resident_bytes

_PODS = "/api/v1/pods"


@dataclass(frozen=True, slots=True)
class OperatorCost:
    """Seconds of CPU per object at the start and per event afterwards (best round); bytes of memory per object."""

    start: float
    event: float
    memory: float


class Reconciles:
    """Count the handler's runs, and wait until there were enough."""

    def __init__(self) -> None:
        self._count = 0
        self._target = 0
        self._reached = asyncio.Event()

    def count(self) -> None:
        """Count one run."""
        self._count += 1
        if self._count == self._target:
            self._reached.set()

    async def reach(self, target: int) -> None:
        """Wait until there have been this many runs."""
        self._target = target
        self._reached.clear()
        if self._count < target:
            await self._reached.wait()


async def on_runtime(url: str, objects: int, rounds: int) -> OperatorCost:
    """Run on aimd.runtime."""
    configure("info")
    reconciles = Reconciles()
    with kubeconfig(url) as path:
        async with connect(ClientOptions(kubeconfig=path)) as client:
            manager = Manager(client, ManagerOptions(tune_garbage_collection=True))
            manager.add(_Looker(manager.cache, reconciles))
            return await _follow(manager.run, url, reconciles, objects, rounds)


class _Looker:
    """Reads the object from the cache and changes nothing."""

    name = "looker"
    kind = POD
    workers = 4
    informers: Sequence[Informer] = (Informer(POD),)
    watches: Sequence[Watch] = (Watch(POD, for_object),)

    def __init__(self, cache: Cache, reconciles: Reconciles) -> None:
        self._cache = cache
        self._reconciles = reconciles

    async def reconcile(self, request: Request) -> Result:
        """Count the reconcile."""
        assert self._cache[POD].get(request.key) is not None
        self._reconciles.count()
        return Result()


async def on_kopf(url: str, objects: int, rounds: int) -> OperatorCost:
    """Run on kopf."""
    import logging

    import kopf

    logging.basicConfig(level=logging.WARNING)
    registry = kopf.OperatorRegistry()
    reconciles = Reconciles()

    def login(**_: object) -> kopf.ConnectionInfo:
        return kopf.ConnectionInfo(server=url)

    def start(settings: kopf.OperatorSettings, **_: object) -> None:
        settings.posting.enabled = False
        settings.scanning.disabled = True

    async def look(**_: object) -> None:
        reconciles.count()

    async def operate() -> None:
        await kopf.operator(registry=registry, clusterwide=True, standalone=True)

    kopf.on.login(registry=registry)(login)
    kopf.on.startup(registry=registry)(start)
    kopf.on.event("", "v1", "pods", registry=registry)(look)

    return await _follow(operate, url, reconciles, objects, rounds)


async def bare(url: str, objects: int, rounds: int) -> OperatorCost:
    """Run a watch over aiohttp into a dict, and a function call: no queue, retries or metrics, collector off."""
    gc.disable()
    reconciles = Reconciles()
    known: dict[tuple[str, str], object] = {}

    async def operate() -> None:
        async for event in watched(url + _PODS):
            if event["type"] != "BOOKMARK":
                metadata = event["object"]["metadata"]
                known[(metadata["namespace"], metadata["name"])] = event["object"]
                reconciles.count()

    return await _follow(operate, url, reconciles, objects, rounds)


async def watched(url: str, headers: Mapping[str, str] | None = None) -> AsyncIterator[dict[str, Any]]:
    """Yield the decoded events of a watch that begins with all objects."""
    parameters = {"watch": "true", "sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}
    timeout = aiohttp.ClientTimeout(total=None)
    rest = bytearray()
    async with (
        aiohttp.ClientSession(timeout=timeout, headers=headers) as session,
        session.get(url, params=parameters) as response,
    ):
        async for piece in response.content.iter_any():
            rest += piece
            start = 0
            while (end := rest.find(b"\n", start)) >= 0:
                yield orjson.loads(bytes(rest[start:end]))
                start = end + 1
            del rest[:start]


async def _follow(
    operate: Callable[[], Awaitable[None]], url: str, reconciles: Reconciles, objects: int, rounds: int
) -> OperatorCost:
    """Run the operator through the script."""
    before = resident_bytes()
    best = float("inf")
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as script,
        anyio.create_task_group() as tasks,
    ):

        async def run() -> None:
            await operate()

        with metered() as start:
            tasks.start_soon(run)
            await reconciles.reach(objects)
        memory = resident_bytes() - before
        await asyncio.sleep(0.2)
        for number in range(2, rounds + 2):
            with metered() as round_cost:
                async with script.post(f"{url}/script/modify/pods") as response:
                    await response.read()
                await reconciles.reach(objects * number)
            best = min(best, round_cost.cpu)
        tasks.cancel_scope.cancel()
    return OperatorCost(start.cpu / objects, best / objects, memory / objects)
