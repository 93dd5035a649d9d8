"""Who deletes what, and when: caches, artifacts and claims over the lives of services."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from aimd.planning.kinds import AIM_ARTIFACT, AIM_SERVICE, AIM_TEMPLATE_CACHE
from aimd.runtime.kinds import JOB, PERSISTENT_VOLUME_CLAIM, SECRET
from aimd.runtime.objects import Kind, Manifest, key_of, metadata_of
from aimd.sandbox.control_plane import ControlPlane
from tests.integration.cache_world import KEPT, TEMPLATES, World, cache_world, conditions, names


@pytest.fixture
async def world(api_server: ControlPlane) -> AsyncIterator[World]:
    async with cache_world(api_server) as running:
        yield running


async def nothing(world: World) -> bool:
    return not any([await world.list(kind) for kind in KEPT])


async def test_a_failed_shared_cache_goes_with_its_service(world: World) -> None:
    world.kubelet.failing = 21
    await world.make_service("chat", "t-a", "Shared")

    async def failed() -> bool:
        return "Failed" in (await world.words(AIM_ARTIFACT)).values()

    await world.until("the download failed", failed)
    await world.delete(AIM_SERVICE, "chat")
    await world.until("nothing is left", lambda: nothing(world))


async def test_deleting_one_of_two_services_leaves_a_cache_that_still_loads(world: World) -> None:
    """Prove SVC-DEL-2."""
    world.kubelet.failing = 30  # A network that is down: the download goes on trying.
    await world.make_service("one", "t-a", "Shared")
    await world.make_service("two", "t-a", "Shared")

    async def loading() -> bool:
        return len(await names(world, AIM_ARTIFACT)) == 1 and bool(await world.list(JOB))

    await world.until("the download began", loading)
    uids = {metadata_of(item)["uid"] for kind in KEPT for item in await world.list(kind)}
    await world.delete(AIM_SERVICE, "one")
    await asyncio.sleep(3)
    world.kubelet.failing = 0
    await world.until("the other one has its cache", world.all_ready)
    assert {metadata_of(item)["uid"] for kind in KEPT for item in await world.list(kind)} == uids


@pytest.mark.parametrize("giver", ["chat", "other"])
async def test_a_token_given_later_starts_a_fresh_try(world: World, giver: str) -> None:
    """By the service whose download failed without it, or by another one of the same template (SVC-CCH-7)."""
    world.kubelet.gated = True
    await world.make_service("chat", "t-a", "Shared")

    async def failed() -> bool:
        return "Failed" in (await world.words(AIM_TEMPLATE_CACHE)).values()

    await world.until("the download failed", failed)
    refused = {metadata_of(item)["uid"] for item in await world.list(AIM_ARTIFACT)}
    secret = {"metadata": {"name": "hub", "namespace": world.namespace}, "stringData": {"token": "hf_x"}}
    await world.admin.create(SECRET, {"apiVersion": "v1", "kind": "Secret", **secret}, reason="test")
    token = {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hub", "key": "token"}}}
    await world.make_service(giver, "t-a", "Shared", env=[token])

    async def replaced() -> bool:
        found = await world.list(AIM_ARTIFACT)
        return await world.all_ready() and not refused & {metadata_of(item)["uid"] for item in found}

    await world.until("the weights came with the token, and what failed is gone", replaced)
    assert len(world.kubelet.succeeded) == 1
    assert len(await world.list(AIM_TEMPLATE_CACHE)) == len(await world.list(AIM_ARTIFACT)) == 1


async def test_last_use_is_written_when_services_begin_and_end_to_use_the_weights(world: World) -> None:
    await world.make_service("chat", "t-a", "Shared")

    async def noted(status: str) -> str:
        found = [item for item in await world.list(AIM_ARTIFACT) if conditions(item).get("InUse") == status]
        return str(found[0]["status"].get("lastUsed")) if found else ""

    await world.until("use began", lambda: noted("True"))
    began = await noted("True")
    await asyncio.sleep(1.5)  # The time has whole seconds.
    await world.delete(AIM_SERVICE, "chat")
    # The garbage collector takes the InferenceService along.
    await world.until("use ended", lambda: noted("False"))
    assert began < await noted("False")


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
            await self.world.delete(AIM_SERVICE, name)
            await self.world.until(f"{name} is gone", lambda: self._gone(name))

    async def _gone(self, name: str) -> bool:
        return name not in {key_of(item).name for item in await self.world.list(AIM_SERVICE)}

    async def take_cache(self) -> None:
        await self._take(AIM_TEMPLATE_CACHE)

    async def take_artifact(self) -> None:
        await self._take(AIM_ARTIFACT)

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
    await world.until("what lost its cache is collected, and all else is there", lambda: all_settled(world), 120)
    await nothing_was_fetched_twice(world, user)
    shared = {metadata_of(item)["uid"] for item in await world.list(AIM_ARTIFACT) if is_shared(item)}
    for name in user.modes:
        await world.delete(AIM_SERVICE, name)
    await world.until("what was dedicated is gone", lambda: only_shared(world))
    left = {metadata_of(item)["uid"] for item in await world.list(AIM_ARTIFACT)}
    assert left == shared, "Ready and shared weights outlive all services"
    claims = await world.list(PERSISTENT_VOLUME_CLAIM)
    owners = {reference["uid"] for claim in claims for reference in metadata_of(claim)["ownerReferences"]}
    assert owners == left, "every claim belongs to an artifact that is there, and every artifact has one"


def is_shared(item: Manifest) -> bool:
    return not metadata_of(item).get("ownerReferences")


async def all_settled(world: World) -> bool:
    """Whether the garbage collector is done with caches that went before they were Ready, and every download ended."""
    if set((await world.words(AIM_ARTIFACT)).values()) - {"Ready"}:
        return False
    caches = {metadata_of(item)["uid"] for item in await world.list(AIM_TEMPLATE_CACHE)}
    owners = [metadata_of(item).get("ownerReferences") or () for item in await world.list(AIM_ARTIFACT)]
    return {reference["uid"] for references in owners for reference in references} <= caches


async def only_shared(world: World) -> bool:
    found: list[Any] = [item for kind in (AIM_TEMPLATE_CACHE, AIM_ARTIFACT) for item in await world.list(kind)]
    words = {str((item.get("status") or {}).get("status")) for item in found}
    going = any(metadata_of(item).get("deletionTimestamp") for item in found)
    claims = len(await world.list(PERSISTENT_VOLUME_CLAIM)) == len(await world.list(AIM_ARTIFACT))
    return all(is_shared(item) for item in found) and words <= {"Ready"} and not going and claims


async def nothing_was_fetched_twice(world: World, user: User) -> None:
    """A shared source is fetched once, and once more for each time that the user deleted its artifact."""
    succeeded = Counter(world.kubelet.succeeded)
    for item in await world.list(AIM_ARTIFACT):
        name, uid = key_of(item).name, metadata_of(item)["uid"]
        again = len(user.deleted - {uid})
        assert 1 <= succeeded[name] <= 1 + again, (name, succeeded[name], user.deleted)
    shared = [item["spec"]["sourceUri"] for item in await world.list(AIM_ARTIFACT) if is_shared(item)]
    assert len(shared) == len(set(shared)), "one shared artifact for each source"
