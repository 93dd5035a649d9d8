"""The first sync of 10,000 pods and 10,000 AIMServices: CPU, memory and stalls of our reflector and store.

The floor reads the same list over bare aiohttp, as a whole or streamed, and decodes it; the garbage collector is off
for both, as in the manager while caches sync. kopf is compared as an operator: from start to the last object handled.
"""

import asyncio
import gc
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import aiohttp
import anyio
import orjson

from aimd.planning.kinds import AIM_SERVICE
from aimd.runtime.client import ClientOptions, Selection, connect
from aimd.runtime.kinds import POD
from aimd.runtime.objects import Kind, Manifest, metadata_of
from aimd.runtime.reflector import Reflector
from aimd.runtime.store import Cache, Store, Transform
from bench.figures import Figure, Figures, at_least, at_most, no_more_than
from bench.fresh import in_fresh_process
from bench.meters import forget_peak, kubeconfig, metered, peak_resident_bytes, resident_bytes, stall_watch
from bench.operators import on_kopf, on_runtime, watched
from bench.server import serving

NAME = "initial-sync"
MOST_OF_RAW = at_most(1.5)
LEAST_OF_KOPF = at_least(10)
MOST_CPU_MICROSECONDS = no_more_than(150)
"""1.5 s for 10,000 pods."""
MOST_TRIMMED_KIB = no_more_than(8)
MOST_METADATA_KIB = no_more_than(2)
MOST_PEAK = at_most(1.3)
LONGEST_STALL_MS = no_more_than(50)


class Content(StrEnum):
    """How much of an object the store keeps."""

    WHOLE = "whole"
    TRIMMED = "trimmed"
    METADATA = "metadata only"


@dataclass(frozen=True, slots=True)
class Sync:
    """Cost per object: seconds of CPU, bytes in the end and at the peak; and the longest stall in seconds."""

    cpu: float
    memory: float = 0.0
    peak: float = 0.0
    stall_cpu: float = 0.0
    stall_wall: float = 0.0


KINDS: dict[str, Kind] = {"pods": POD, "aimservices": AIM_SERVICE}


def without_annotations(manifest: Manifest) -> Manifest:
    """Return what a collector of orphans reads: identity, owner, labels."""
    metadata = metadata_of(manifest)
    return {**manifest, "metadata": {name: metadata[name] for name in _KEPT_METADATA if name in metadata}}


def trimmed_pod(manifest: Manifest) -> Manifest:
    """Return what the planner reads of a pod: identity, owner, labels, states of the containers."""
    metadata, status = metadata_of(manifest), manifest.get("status") or {}
    return {
        "apiVersion": manifest.get("apiVersion"),
        "kind": manifest.get("kind"),
        "metadata": {name: metadata[name] for name in _KEPT_METADATA if name in metadata},
        "status": {name: status[name] for name in _KEPT_STATUS if name in status},
    }


_KEPT_METADATA = (
    *("name", "namespace", "uid", "resourceVersion", "labels", "ownerReferences", "creationTimestamp"),
    *("deletionTimestamp", "managedFields"),
)
_TRANSFORMS: dict[Content, Transform | None] = {
    Content.WHOLE: None,
    Content.TRIMMED: trimmed_pod,
    Content.METADATA: without_annotations,
}
_KEPT_STATUS = ("phase", "reason", "message", "conditions", "containerStatuses", "initContainerStatuses")


async def through_reflector(
    url: str, plural: str, count: int, content: Content, streams: bool, watch_stalls: bool = False
) -> Sync:
    """Sync with our reflector and store, wired as in a manager."""
    kind = KINDS[plural]
    transform = _TRANSFORMS[content]
    metadata_only = content is Content.METADATA
    cache = Cache()
    store = cache.add(Store(kind, transform=transform, metadata_only=metadata_only))
    with kubeconfig(url) as path:
        async with connect(ClientOptions(kubeconfig=path)) as client:
            reflector = Reflector(client, store, Selection(kind, metadata_only=metadata_only), streams=streams)

            async def sync() -> None:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(reflector.run)
                    await reflector.synced.wait()
                    tasks.cancel_scope.cancel()

            measured = await _measured(sync, count, watch_stalls)
    assert len(store) == count
    return measured


async def raw(url: str, plural: str, count: int, metadata_only: bool, streams: bool) -> Sync:
    """Sync with the floor, bare aiohttp and orjson, and keep what it decoded."""
    kind = KINDS[plural]
    prefix = f"/apis/{kind.api_version}" if kind.group else f"/api/{kind.version}"
    address = f"{url}{prefix}/{plural}"
    accept = "application/json;as=PartialObjectMetadata{};g=meta.k8s.io;v=v1"
    kept: list[Any] = []

    async def stream() -> None:
        headers = {"Accept": accept.format("")} if metadata_only else {}
        async for event in watched(address, headers):
            if event["type"] == "BOOKMARK":
                return
            kept.append(event["object"])

    async def pages() -> None:
        headers = {"Accept": accept.format("List")} if metadata_only else {}
        token = ""
        async with aiohttp.ClientSession(headers=headers) as session:
            while True:
                parameters = {"limit": "500"} | ({"continue": token} if token else {})
                async with session.get(address, params=parameters) as response:
                    page = orjson.loads(await response.read())
                kept.extend(page["items"])
                token = page["metadata"].get("continue", "")
                if not token:
                    return

    measured = await _measured(stream if streams else pages, count, False)
    assert len(kept) == count
    return measured


async def _measured(sync: Callable[[], Awaitable[None]], count: int, watch_stalls: bool) -> Sync:
    gc.collect()
    gc.disable()
    before = resident_bytes()
    forget_peak()
    if watch_stalls:
        async with stall_watch() as stalls:
            await sync()
        return Sync(0.0, stall_cpu=stalls.cpu, stall_wall=stalls.wall)
    with metered() as cost:
        await sync()
    peak = peak_resident_bytes() - before
    await asyncio.sleep(0)
    return Sync(cost.cpu / count, (resident_bytes() - before) / count, peak / count)


def run(objects: int = 10_000, rounds: int = 3, kopf_objects: int = 10_000) -> Figures:
    """Run every subject alternately, `rounds` times; the least CPU and memory of each counts."""
    figures: list[Figure] = []
    with serving(pods=objects, aimservices=objects) as url:
        for plural in KINDS:
            figures += _cost_figures(url, plural, objects, rounds)
        figures += _memory_figures(url, objects, rounds)
        figures += _stall_figures(url, objects, rounds)
    with serving(pods=kopf_objects) as url:
        figures.append(_against_kopf(url, kopf_objects))
    return Figures(NAME, tuple(figures))


def _cost_figures(url: str, plural: str, objects: int, rounds: int) -> list[Figure]:
    figures = []
    for streams, how in ((True, "streamed"), (False, "in pages")):
        ours, floor = [], []
        for _ in range(rounds):
            ours.append(in_fresh_process(through_reflector, url, plural, objects, Content.WHOLE, streams).cpu)
            floor.append(in_fresh_process(raw, url, plural, objects, False, streams).cpu)
        limits = (MOST_OF_RAW, *((MOST_CPU_MICROSECONDS,) if plural == "pods" and streams else ()))
        figures.append(
            Figure(
                f"{NAME}/{plural}/{how}/cpu",
                f"sync of {objects:,} {plural}, {how}, per object",
                min(ours) * 1e6,
                "µs of CPU",
                "raw request and decode",
                min(floor) * 1e6,
                limits,
            )
        )
    return figures


def _memory_figures(url: str, objects: int, rounds: int) -> list[Figure]:
    """Return the memory of pods in each form; the raw floor keeps whole objects, or all of their metadata."""
    figures = []
    limits = {Content.WHOLE: (), Content.TRIMMED: (MOST_TRIMMED_KIB,), Content.METADATA: (MOST_METADATA_KIB,)}
    for content, limit in limits.items():
        ours = [in_fresh_process(through_reflector, url, "pods", objects, content, True) for _ in range(rounds)]
        floor = in_fresh_process(raw, url, "pods", objects, content is Content.METADATA, True)
        best = min(ours, key=lambda sync: sync.memory)
        name = f"{NAME}/pods/{content.replace(' ', '-')}"
        kept = f"memory per pod, {content}"
        figures += [
            Figure(
                f"{name}/memory", kept, best.memory / 1024, "KiB", "raw request and decode", floor.memory / 1024, limit
            ),
            Figure(
                f"{name}/peak",
                f"{kept}, peak during the sync",
                best.peak / 1024,
                "KiB",
                "after the sync",
                best.memory / 1024,
                (MOST_PEAK,),
            ),
        ]
    return figures


def _stall_figures(url: str, objects: int, rounds: int) -> list[Figure]:
    figures = []
    for streams, how in ((True, "streamed"), (False, "in pages")):
        tried = [
            in_fresh_process(through_reflector, url, "pods", objects, Content.TRIMMED, streams, True)
            for _ in range(rounds)
        ]
        figures.append(
            Figure(
                f"{NAME}/pods/{how}/stall",
                f"longest stall of the event loop, {objects:,} pods {how}",
                min(sync.stall_cpu for sync in tried) * 1e3,
                "ms of CPU",
                limits=(LONGEST_STALL_MS,),
            )
        )
    return figures


def _against_kopf(url: str, objects: int) -> Figure:
    """Return both as operators, in objects per second: more is better."""
    ours = min(in_fresh_process(on_runtime, url, objects, 0).start for _ in range(2))
    kopf = in_fresh_process(on_kopf, url, objects, 0).start
    return Figure(
        f"{NAME}/kopf",
        f"start until {objects:,} pods are handled",
        1 / ours,
        "objects/s of CPU",
        "kopf",
        1 / kopf,
        (LEAST_OF_KOPF,),
    )
