"""Live reads: what is known is not read again, and who answers which need. See also tests/integration."""

from typing import Any, cast

import pytest

from aimd.controllers.reads import LiveReads
from aimd.planning.kinds import AIM_ARTIFACT, AIM_MODEL, AIM_SERVICE_TEMPLATE
from aimd.planning.needs import (
    MOST_LIVE_READS,
    NO_READS,
    DiscoverySlot,
    InspectImage,
    ListImages,
    Lookup,
    ReadReference,
    Refused,
)
from aimd.runtime.client import Client
from aimd.runtime.kinds import SECRET
from aimd.runtime.objects import Key, Kind, Manifest
from aimd.runtime.store import Cache, Store

SLOT = DiscoverySlot(AIM_SERVICE_TEMPLATE, Key("a", "t"))
IMAGE = InspectImage(AIM_MODEL, Key("a", "m"), "u", "registry/aim:1")
LIST = ListImages(Key("", "s"))


class World:
    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.cache = Cache()
        answers = dict.fromkeys((DiscoverySlot, InspectImage, ListImages), self.answer)
        self.reads = LiveReads(cast(Client, None), self.cache, answers, lambda _kind, _key: None)

    async def answer(self, need: Any) -> str:
        self.asked.append(need)
        return type(need).__name__


@pytest.fixture
def world() -> World:
    return World()


async def test_each_need_is_answered_once(world: World) -> None:
    first = await world.reads.read(NO_READS, (SLOT, IMAGE))
    second = await world.reads.read(first, (SLOT, IMAGE, LIST))
    assert world.asked == [SLOT, IMAGE, LIST]
    assert dict(second.answers) == {SLOT: "DiscoverySlot", IMAGE: "InspectImage", LIST: "ListImages"}
    assert dict(first.answers) == {SLOT: "DiscoverySlot", IMAGE: "InspectImage"}


async def test_a_lookup_is_answered_from_the_cache(world: World) -> None:
    live = {"metadata": {"name": "x", "namespace": "a", "uid": "u", "resourceVersion": "1"}}
    world.cache.add(Store(AIM_ARTIFACT, {})).upsert(live)
    present, absent = (Lookup(AIM_ARTIFACT, Key("a", name)) for name in ("x", "y"))
    found = await world.reads.read(NO_READS, (present, absent))
    assert (found.answers[present], found.answers[absent]) == (live, None)


async def test_a_pass_reads_a_limited_number_of_objects() -> None:
    """Prove OBJ-BND-3."""
    asked: list[Key] = []

    class Server:
        async def get(self, _kind: Kind, key: Key) -> Manifest:
            asked.append(key)
            return {"metadata": {"uid": "u", "resourceVersion": "1"}, "data": {"k": ""}}

    reads = LiveReads(cast(Client, Server()), Cache(), {}, lambda _kind, _key: None)
    needs = [ReadReference(SECRET, Key("a", str(number)), ("k",)) for number in range(MOST_LIVE_READS + 5)]
    first = await reads.read(NO_READS, tuple(needs[:20]))
    second = await reads.read(first, tuple(needs))
    assert len(asked) == MOST_LIVE_READS
    assert all(need in second for need in needs)
    assert isinstance(second.reference(needs[-1]), Refused)
