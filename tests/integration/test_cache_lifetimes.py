"""Who deletes what, and when: caches, artifacts and claims over the lives of services (spec/caching.md §4.2)."""

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import permutations
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from aimd.controllers.registry import build_reconcilers
from aimd.planning.kinds import ARTIFACT, MODEL, SERVICE, SERVICE_TEMPLATE, TEMPLATE_CACHE
from aimd.planning.settings import ControllerSettings
from aimd.registry.client import connect_registries
from aimd.runtime.client import Client, ClientOptions, connect
from aimd.runtime.errors import NotFound
from aimd.runtime.kinds import JOB, NAMESPACE, PERSISTENT_VOLUME_CLAIM
from aimd.runtime.manager import Manager, ManagerOptions
from aimd.runtime.model import Key, Kind, Manifest, key_of, metadata_of
from aimd.sandbox.control_plane import ControlPlane
from tests.integration.stand_ins import Kubelet, install_crds, make_namespace

SOURCES = {name: {"modelId": f"acme/{name}", "sourceUri": f"hf://acme/{name}", "size": "1Gi"} for name in "ab"}
TEMPLATES = {"t-a": "a", "t-ab": "ab"}
KEPT = (TEMPLATE_CACHE, ARTIFACT, PERSISTENT_VOLUME_CLAIM)


@dataclass
class World:
    admin: Client
    plane: ControlPlane
    namespace: str
    kubelet: Kubelet
    _manager: Manager | None = None
    _running: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """The real controllers, all of them, for this namespace."""
        started = asyncio.Event()

        async def run() -> None:
            kubeconfig = self.plane.add_user("lifetimes", groups=["system:masters"])
            async with connect(ClientOptions(kubeconfig=kubeconfig)) as client, connect_registries() as registries:
                manager = self._manager = Manager(client, ManagerOptions(namespaces=(self.namespace,)))
                settings = ControllerSettings(downloader_image="aimd:test", retry_base_seconds=1)
                for reconciler in build_reconcilers(client, manager.cache, settings, registries):
                    manager.add(reconciler)
                started.set()
                await manager.run()

        self._running = asyncio.create_task(run())
        await started.wait()

    async def stop(self) -> None:
        assert self._manager is not None
        assert self._running is not None
        self._manager.stop()
        await self._running

    async def list(self, kind: Kind) -> Sequence[Manifest]:
        return await self.admin.list(kind, namespace=self.namespace)

    async def delete(self, kind: Kind, name: str) -> None:
        with suppress(NotFound):
            await self.admin.delete(kind, Key(self.namespace, name), reason="test")

    async def make(self, kind: Kind, name: str, spec: Manifest) -> None:
        metadata = {"name": name, "namespace": self.namespace}
        manifest = {"apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata, "spec": spec}
        await self.admin.apply(kind, manifest, field_manager="user", reason="test")

    async def make_service(self, name: str, template: str, mode: str) -> None:
        spec = {"model": {"name": "tiny"}, "template": {"name": template}, "caching": {"mode": mode}}
        await self.make(SERVICE, name, spec)

    async def words(self, kind: Kind) -> dict[str, str]:
        return {key_of(item).name: str((item.get("status") or {}).get("status")) for item in await self.list(kind)}

    async def all_ready(self) -> bool:
        """Every service has a Ready cache."""
        services = await self.list(SERVICE)
        return all(conditions(item).get("CacheReady") == "True" for item in services)

    async def until(self, what: str, holds: Callable[[], Awaitable[object]], seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if await holds():
                return
            await asyncio.sleep(0.2)
        left = {kind.name: await self.words(kind) for kind in (SERVICE, TEMPLATE_CACHE, ARTIFACT)}
        pytest.fail(f"{what} did not come true; there are {json.dumps(left, indent=1)}")


def conditions(item: Manifest) -> dict[str, str]:
    return {each["type"]: each["status"] for each in (item.get("status") or {}).get("conditions") or ()}


@pytest.fixture
async def world(api_server: ControlPlane, tmp_path: Path) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        admin = await stack.enter_async_context(connect(ClientOptions(kubeconfig=api_server.kubeconfig)))
        await install_crds(admin, tmp_path)
        namespace = f"lifetimes-{uuid4().hex[:8]}"
        await make_namespace(admin, namespace)
        kubelet = await stack.enter_async_context(Kubelet(admin, namespace).running())
        world = World(admin, api_server, namespace, kubelet)
        model = {"image": "aim:1", "discovery": {"extractMetadata": False, "createServiceTemplates": False}}
        await world.make(MODEL, "tiny", model)
        for name, sources in TEMPLATES.items():
            wanted = [SOURCES[source] for source in sources]
            hardware = {"cpu": {"requests": "1"}}
            await world.make(
                SERVICE_TEMPLATE, name, {"modelName": "tiny", "hardware": hardware, "modelSources": wanted}
            )
        await world.start()
        yield world
        await world.stop()
        await admin.delete(NAMESPACE, Key("", namespace), reason="test")


async def names(world: World, kind: Kind) -> set[str]:
    return {key_of(item).name for item in await world.list(kind) if not metadata_of(item).get("deletionTimestamp")}


ORDERS = [
    pytest.param(order, marks=() if index in (0, 5) else pytest.mark.slow, id="-".join(order))
    for index, order in enumerate(permutations(("service", "cache", "artifact")))
]


@pytest.mark.parametrize("mode", ["Shared", "Dedicated"])
@pytest.mark.parametrize("order", ORDERS)
async def test_whatever_is_deleted_first_what_is_in_use_comes_back_and_the_rest_goes(
    world: World, mode: str, order: tuple[str, ...]
) -> None:
    await world.make_service("chat", "t-a", mode)
    await world.until("the cache is ready", world.all_ready)
    wanted = True
    for thing in order:
        before = {kind: await names(world, kind) for kind in KEPT}
        uids = {metadata_of(item)["uid"] for kind in KEPT for item in await world.list(kind)}
        if thing == "service":
            await world.delete(SERVICE, "chat")
            wanted = False
        else:
            kind = TEMPLATE_CACHE if thing == "cache" else ARTIFACT
            for name in before[kind]:
                await world.delete(kind, name)
        look = partial(settled, world, mode, wanted, thing, before, uids)
        await world.until(f"settled after {thing}", look)
        if not wanted and mode == "Dedicated":
            for kind in KEPT:
                assert await names(world, kind) == set()
    if mode == "Shared":
        # What is left belongs to nobody, and a user may delete it.
        for kind in (TEMPLATE_CACHE, ARTIFACT):
            for name in await names(world, kind):
                await world.delete(kind, name)
    await world.until("nothing is left", lambda: nothing(world))


async def nothing(world: World) -> bool:
    return not any([await world.list(kind) for kind in KEPT])


async def settled(
    world: World, mode: str, wanted: bool, thing: str, before: dict[Kind, set[str]], uids: set[str]
) -> bool:
    """Whether what follows from deleting `thing` has come."""
    items = {kind: await world.list(kind) for kind in KEPT}
    if any(metadata_of(item).get("deletionTimestamp") for found in items.values() for item in found):
        return False
    if wanted:
        # Somebody uses it: the cache and its weights are there, and new where they were deleted.
        renewed = {"cache": TEMPLATE_CACHE, "artifact": ARTIFACT}[thing]
        fresh = all(metadata_of(item)["uid"] not in uids for item in items[renewed])
        return bool(items[renewed]) and fresh and await world.all_ready()
    if mode == "Dedicated":
        return not any(items.values())
    # Shared and Ready: it outlives the service, whole, unless the user deletes it.
    expected = dict(before)
    if thing == "cache":
        expected[TEMPLATE_CACHE] = set()
    if thing == "artifact":
        expected[ARTIFACT] = expected[PERSISTENT_VOLUME_CLAIM] = set()
        if before[TEMPLATE_CACHE]:  # A cache that is there wants its artifacts.
            return len(items[ARTIFACT]) == 1 and set((await world.words(TEMPLATE_CACHE)).values()) == {"Ready"}
    return {kind: {key_of(item).name for item in found} for kind, found in items.items()} == expected


async def test_a_failed_shared_cache_goes_with_its_service(world: World) -> None:
    world.kubelet.failing = 21
    await world.make_service("chat", "t-a", "Shared")

    async def failed() -> bool:
        return "Failed" in (await world.words(ARTIFACT)).values()

    await world.until("the download failed", failed)
    await world.delete(SERVICE, "chat")
    await world.until("nothing is left", lambda: nothing(world))


async def test_deleting_one_of_two_services_leaves_a_cache_that_still_loads(world: World) -> None:
    world.kubelet.failing = 30  # A network that is down: the download goes on trying.
    await world.make_service("one", "t-a", "Shared")
    await world.make_service("two", "t-a", "Shared")

    async def loading() -> bool:
        return len(await names(world, ARTIFACT)) == 1 and bool(await world.list(JOB))

    await world.until("the download began", loading)
    uids = {metadata_of(item)["uid"] for kind in KEPT for item in await world.list(kind)}
    await world.delete(SERVICE, "one")
    await asyncio.sleep(3)
    world.kubelet.failing = 0
    await world.until("the other one has its cache", world.all_ready)
    assert {metadata_of(item)["uid"] for kind in KEPT for item in await world.list(kind)} == uids


@dataclass
class User:
    """Does random things and remembers what it took away itself."""

    world: World
    dice: random.Random
    deleted: set[str] = field(default_factory=set)
    done: Counter[str] = field(default_factory=Counter)
    modes: dict[str, str] = field(default_factory=dict)

    async def act(self) -> None:
        acts = [self.create] * 5 + [self.remove] * 3 + [self.take_cache, self.take_artifact, self.toggle, self.restart]
        act = self.dice.choice(acts)
        self.done[act.__name__] += 1
        await act()
        await asyncio.sleep(self.dice.uniform(0, 1.5))

    async def create(self) -> None:
        name = f"s{self.dice.randrange(5)}"
        if name not in self.modes:  # The mode of a cache does not change with the service.
            self.modes[name] = self.dice.choice(["Shared", "Dedicated"])
            await self.world.make_service(name, self.dice.choice(sorted(TEMPLATES)), self.modes[name])

    async def remove(self) -> None:
        if self.modes:
            name = self.dice.choice(sorted(self.modes))
            self.modes.pop(name)
            await self.world.delete(SERVICE, name)
            await self.world.until(f"{name} is gone", lambda: self._gone(name))

    async def _gone(self, name: str) -> bool:
        return name not in {key_of(item).name for item in await self.world.list(SERVICE)}

    async def take_cache(self) -> None:
        await self._take(TEMPLATE_CACHE)

    async def take_artifact(self) -> None:
        await self._take(ARTIFACT)

    async def _take(self, kind: Kind) -> None:
        found = sorted(await self.world.list(kind), key=lambda item: key_of(item).name)
        if found:
            chosen = self.dice.choice(found)
            self.deleted.add(metadata_of(chosen)["uid"])
            await self.world.delete(kind, key_of(chosen).name)

    async def toggle(self) -> None:
        self.world.kubelet.failing = 0 if self.world.kubelet.failing else 30

    async def restart(self) -> None:
        await self.world.stop()
        await self.world.start()


@pytest.mark.parametrize(
    ("seed", "steps"), [(1, 15), *[pytest.param(seed, 60, marks=pytest.mark.slow) for seed in (2, 3, 4)]]
)
async def test_random_lives_lose_nothing_leave_nothing_and_fetch_nothing_twice(
    world: World, seed: int, steps: int
) -> None:
    user = User(world, random.Random(seed))
    for _ in range(steps):
        await user.act()
    world.kubelet.failing = 0
    await world.until("every service has its cache", world.all_ready, 120)
    print(f"\nseed {seed}: {dict(user.done)}, {len(world.kubelet.succeeded)} downloads")
    await nothing_was_fetched_twice(world, user)
    shared = {metadata_of(item)["uid"] for item in await world.list(ARTIFACT) if is_shared(item)}
    for name in user.modes:
        await world.delete(SERVICE, name)
    await world.until("what was dedicated is gone", lambda: only_shared(world))
    left = {metadata_of(item)["uid"] for item in await world.list(ARTIFACT)}
    assert left == shared, "Ready and shared weights outlive all services"
    claims = await world.list(PERSISTENT_VOLUME_CLAIM)
    owners = {reference["uid"] for claim in claims for reference in metadata_of(claim)["ownerReferences"]}
    assert owners == left, "every claim belongs to an artifact that is there, and every artifact has one"


def is_shared(item: Manifest) -> bool:
    return not metadata_of(item).get("ownerReferences")


async def only_shared(world: World) -> bool:
    found: list[Any] = [item for kind in (TEMPLATE_CACHE, ARTIFACT) for item in await world.list(kind)]
    words = {str((item.get("status") or {}).get("status")) for item in found}
    going = any(metadata_of(item).get("deletionTimestamp") for item in found)
    claims = len(await world.list(PERSISTENT_VOLUME_CLAIM)) == len(await world.list(ARTIFACT))
    return all(is_shared(item) for item in found) and words <= {"Ready"} and not going and claims


async def nothing_was_fetched_twice(world: World, user: User) -> None:
    """A shared source is fetched once, and once more for each time that the user deleted its artifact."""
    succeeded = Counter(world.kubelet.succeeded)
    for item in await world.list(ARTIFACT):
        name, uid = key_of(item).name, metadata_of(item)["uid"]
        again = len(user.deleted - {uid})
        assert 1 <= succeeded[name] <= 1 + again, (name, succeeded[name], user.deleted)
    shared = [item["spec"]["sourceUri"] for item in await world.list(ARTIFACT) if is_shared(item)]
    assert len(shared) == len(set(shared)), "one shared artifact for each source"
