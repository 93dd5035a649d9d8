"""Every order of deleting service, template, cache, artifact, claim and job.

Many lives run beside one another in one namespace, each with a template, a source and a service of its own. After each
deletion a life waits until what `expected` says has come, so that what follows from one is not hidden by the next.
"""

import asyncio
import re
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import combinations, permutations

import pytest

from aimd.planning.kinds import AIM_ARTIFACT, AIM_SERVICE, AIM_SERVICE_TEMPLATE, AIM_TEMPLATE_CACHE
from aimd.planning.labels import DOWNLOAD_COMPLETE_ANNOTATION
from aimd.runtime.client import ClientOptions, connect
from aimd.runtime.informer import Informer
from aimd.runtime.kinds import JOB, PERSISTENT_VOLUME_CLAIM, ROLE, ROLE_BINDING, SERVICE_ACCOUNT
from aimd.runtime.manager import Manager, ManagerOptions
from aimd.runtime.objects import Kind, Manifest, key_of, labels_of, metadata_of
from aimd.runtime.store import Cache
from aimd.sandbox.control_plane import ControlPlane
from tests.integration.cache_world import World, cache_world, conditions

KINDS = {
    "service": AIM_SERVICE,
    "template": AIM_SERVICE_TEMPLATE,
    "cache": AIM_TEMPLATE_CACHE,
    "artifact": AIM_ARTIFACT,
    "claim": PERSISTENT_VOLUME_CLAIM,
    "job": JOB,
}
IDENTITIES = (SERVICE_ACCOUNT, ROLE, ROLE_BINDING)
RESOURCE_QUOTA = Kind("", "v1", "ResourceQuota", "resourcequotas")
WATCHED = (*KINDS.values(), *IDENTITIES)
LIFE = re.compile(r"w\d{4}x")
"""A life's name: in its source, by which artifacts are named, and in the names or labels of what belongs to those."""
THINGS = tuple(KINDS)
WEIGHTS = frozenset({"artifact", "claim"})
KEPT = WEIGHTS | {"cache"}
ALL = frozenset(THINGS)

# A balanced square: each thing is first once, and follows each other thing once.
BALANCED = [tuple(THINGS[(row + step) % 6] for step in (0, 1, 5, 2, 4, 3)) for row in range(6)]
EVERY = list(permutations(THINGS))
AT_ONCE = 40
_LOOK_SECONDS = 0.4


def expected(mode: str, there: frozenset[str], deleted: str) -> tuple[frozenset[str], frozenset[str]]:
    """What is there after a deletion has had its effects, and which of it is new; of `there`, all but the job."""
    service, template = (name in there and name != deleted for name in ("service", "template"))
    left = there - {deleted}
    if deleted == "artifact" or (deleted == "cache" and mode == "Dedicated"):
        left -= WEIGHTS
    if deleted == "service":
        # What is dedicated goes with it, and of what is shared a cache that cannot be Ready.
        left -= KEPT if mode == "Dedicated" else frozenset() if template else {"cache"}
    wanted = frozenset[str]()
    if service and template:
        wanted |= KEPT
    if template and "cache" in left:
        wanted |= WEIGHTS
    if "artifact" in left:
        wanted |= {"claim"}
    return left | wanted, wanted - left


@dataclass
class Snapshots:
    """What is in the namespace, as watches of the test's own tell, looked at for all lives at once."""

    world: World
    cache: Cache
    items: dict[tuple[str, Kind], list[Manifest]] = field(default_factory=dict)
    _fresh: asyncio.Condition = field(default_factory=asyncio.Condition)

    @asynccontextmanager
    async def kept_up(self) -> AsyncIterator["Snapshots"]:
        looking = asyncio.create_task(self._look())
        try:
            yield self
        finally:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)

    async def next(self) -> None:
        async with self._fresh:
            await self._fresh.wait()

    async def _look(self) -> None:
        while True:
            items = defaultdict[tuple[str, Kind], list[Manifest]](list)
            for kind in WATCHED:
                for item in self.cache[kind].list():
                    for life in set(LIFE.findall(key_of(item).name) or LIFE.findall(str(labels_of(item)))):
                        items[life, kind].append(item)
            self.items = items
            async with self._fresh:
                self._fresh.notify_all()
            await asyncio.sleep(_LOOK_SECONDS)


@dataclass
class Life:
    """One service with all that belongs to it, taken apart in one order."""

    snapshots: Snapshots
    number: int
    mode: str
    order: Sequence[str]
    there: frozenset[str] = ALL - {"job"}
    downloads: int = 1

    @property
    def world(self) -> World:
        return self.snapshots.world

    @property
    def name(self) -> str:
        return f"w{self.number:04d}x"

    async def run(self) -> None:
        await self.world.make_template(self.name, [self.name])
        await self.world.make_service(self.name, self.name, self.mode)
        await self._until("everything", self.there, {}, frozenset())
        for thing in self.order:
            await self._delete(thing)
        await self._clean_up()

    async def _delete(self, thing: str) -> None:
        before = {name: uid for name in THINGS for uid in self._uids(name)}
        self.there, renewed = expected(self.mode, self.there, thing)
        self.downloads += "claim" in renewed
        for name in self._names(KINDS[thing]):
            await self.world.delete(KINDS[thing], name)
        await self._until(thing, self.there, before, renewed)

    async def _until(self, after: str, there: frozenset[str], before: dict[str, str], renewed: frozenset[str]) -> None:
        for _ in range(300):
            await self.snapshots.next()
            missing = self._missing(there, before, renewed)
            if not missing:
                return
        pytest.fail(f"{self.mode}, {'-'.join(self.order)}, after {after}: {missing}")

    def _missing(self, there: frozenset[str], before: dict[str, str], renewed: frozenset[str]) -> str:
        """What is not yet as it has to be; empty when all is."""
        for name in sorted(ALL - {"job"}):
            found = self._own(KINDS[name])
            if any(metadata_of(item).get("deletionTimestamp") for item in found):
                return f"{name} is going"
            if len(found) != (name in there):
                return f"{len(found)} of {name}"
            if name in before and name in there and (before[name] in self._uids(name)) is (name in renewed):
                return f"{name} is {'not' if name in renewed else 'needlessly'} new"
            if found and not self._is_fit(name, found[0]):
                return f"{name} is not as it should be: {found[0].get('status')}"
        if "artifact" not in there and any(self._own(kind) for kind in (JOB, *IDENTITIES)):
            return "what a download needs is still there"
        fetched = sum(self.name in label for label in self.world.kubelet.succeeded)
        return "" if fetched == self.downloads else f"fetched {fetched} times, not {self.downloads}"

    def _is_fit(self, name: str, item: Manifest) -> bool:
        word = (item.get("status") or {}).get("status")
        if name == "artifact":
            return bool(word == "Ready")
        if name == "claim":
            return DOWNLOAD_COMPLETE_ANNOTATION in (metadata_of(item).get("annotations") or {})
        if name == "cache":
            return bool(word == ("Ready" if "template" in self.there else "Failed"))
        if name == "service":
            return "template" not in self.there or conditions(item).get("CacheReady") == "True"
        return True

    async def _clean_up(self) -> None:
        """What is left belongs to nobody, or to what does; a user may delete it."""
        for name in ("cache", "artifact"):
            for found in self._names(KINDS[name]):
                await self.world.delete(KINDS[name], found)
        await self._until("the end", frozenset(), {}, frozenset())

    def _own(self, kind: Kind) -> list[Manifest]:
        return self.snapshots.items.get((self.name, kind), [])

    def _names(self, kind: Kind) -> set[str]:
        return {key_of(item).name for item in self._own(kind)}

    def _uids(self, name: str) -> set[str]:
        return {metadata_of(item)["uid"] for item in self._own(KINDS[name])}


@pytest.fixture
async def snapshots(api_server: ControlPlane) -> AsyncIterator[Snapshots]:
    async with AsyncExitStack() as stack:
        world = await stack.enter_async_context(cache_world(api_server))
        # Nobody asks here for Events, which are half of what the server would have to write.
        await world.make(RESOURCE_QUOTA, "no-events", {"hard": {"count/events": "0"}})
        cache = await stack.enter_async_context(watched(api_server, world.namespace))
        yield await stack.enter_async_context(Snapshots(world, cache).kept_up())


@asynccontextmanager
async def watched(api_server: ControlPlane, namespace: str) -> AsyncIterator[Cache]:
    async with connect(ClientOptions(kubeconfig=api_server.kubeconfig)) as client:
        manager = Manager(client, ManagerOptions(namespaces=(namespace,)))
        for kind in WATCHED:
            manager.add_informer(Informer(kind))
        running = asyncio.create_task(manager.run())
        try:
            yield manager.cache
        finally:
            manager.stop()
            await running


async def live(snapshots: Snapshots, orders: Iterable[tuple[str, Sequence[str]]]) -> None:
    """All of them, so many at once as the controllers have to do with anyway."""
    places = asyncio.Semaphore(AT_ONCE)

    async def run(life: Life) -> None:
        async with places:
            await life.run()

    async with asyncio.TaskGroup() as lives:
        for number, (mode, order) in enumerate(orders):
            lives.create_task(run(Life(snapshots, number, mode, order)))


async def test_each_thing_first_and_after_each_other(snapshots: Snapshots) -> None:
    await live(snapshots, [(mode, order) for mode in ("Shared", "Dedicated") for order in BALANCED])


def mode_of(order: Sequence[str]) -> str:
    """By the parity of the order: two orders that differ in their last two things get different modes."""
    places = [THINGS.index(thing) for thing in order]
    swaps = sum(left > right for left, right in combinations(places, 2))
    return "Dedicated" if swaps % 2 else "Shared"


def test_both_modes_see_every_order_of_the_first_four() -> None:
    orders = {mode: [order for order in EVERY if mode_of(order) == mode] for mode in ("Shared", "Dedicated")}
    assert [len(those) for those in orders.values()] == [360, 360]
    assert all({order[:4] for order in those} == set(permutations(THINGS, 4)) for those in orders.values())


@pytest.mark.slow
@pytest.mark.early
@pytest.mark.timeout(600)
@pytest.mark.parametrize("first", THINGS)
async def test_every_order(snapshots: Snapshots, first: str) -> None:
    await live(snapshots, [(mode_of(order), order) for order in EVERY if order[0] == first])
