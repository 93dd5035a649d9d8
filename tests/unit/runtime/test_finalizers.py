"""Finalizers come and go beside those of others; a real API server does the same in test_runtime_writes.py."""

import pytest

from aimd.runtime.errors import Conflict, NotFound
from aimd.runtime.finalizers import add_finalizer, remove_finalizer
from aimd.runtime.kinds import CONFIG_MAP
from aimd.runtime.objects import Key, Manifest
from tests.unit.runtime.fake_api import FakeApi

OURS, OTHER = "example.com/ours", "example.com/other"
KEY = Key("ns", "a")


def thing(*finalizers: str, **metadata: str) -> Manifest:
    named = {"finalizers": list(finalizers)} if finalizers else {}
    return {"metadata": {"name": "a", "namespace": "ns", **named, **metadata}}


def finalizers(api: FakeApi) -> list[str]:
    found: list[str] = api.objects[CONFIG_MAP, KEY]["metadata"].get("finalizers", [])
    return found


@pytest.mark.parametrize("others", [(), (OTHER,)])
async def test_it_is_added_behind_others_and_removed_alone(others: tuple[str, ...]) -> None:
    api = FakeApi()
    live = api.put(CONFIG_MAP, thing(*others))
    held = await add_finalizer(api.client, CONFIG_MAP, live, OURS)
    assert held["metadata"]["finalizers"] == finalizers(api) == [*others, OURS]
    assert await remove_finalizer(api.client, CONFIG_MAP, held, OURS) is not None
    assert finalizers(api) == list(others)


async def test_what_is_so_already_costs_no_request() -> None:
    api = FakeApi()
    live = api.put(CONFIG_MAP, thing(OURS))
    assert await add_finalizer(api.client, CONFIG_MAP, live, OURS) is live
    bare = api.put(CONFIG_MAP, thing())
    assert await remove_finalizer(api.client, CONFIG_MAP, bare, OURS) is bare
    assert api.requests == []


async def test_a_list_that_changed_meanwhile_is_read_again() -> None:
    api = FakeApi()
    stale = api.put(CONFIG_MAP, thing(OTHER))
    api.put(CONFIG_MAP, thing("example.com/first", OTHER, uid=stale["metadata"]["uid"]))
    await add_finalizer(api.client, CONFIG_MAP, stale, OURS)
    assert finalizers(api) == ["example.com/first", OTHER, OURS]
    assert [verb for verb, _ in api.requests] == ["patch", "get", "patch"]


async def test_a_list_that_keeps_changing_is_a_conflict() -> None:
    api = FakeApi()
    live = api.put(CONFIG_MAP, thing(OTHER))
    api.faults = [Conflict("changed", status=409), None, Conflict("changed", status=409)]
    with pytest.raises(Conflict, match="keep changing"):
        await add_finalizer(api.client, CONFIG_MAP, live, OURS)


async def test_a_new_object_of_the_same_name_is_left_alone() -> None:
    api = FakeApi()
    old = api.put(CONFIG_MAP, thing(OURS))
    api.put(CONFIG_MAP, thing(OURS, uid="another"))
    with pytest.raises(NotFound, match="created again"):
        await add_finalizer(api.client, CONFIG_MAP, {**old, "metadata": {**old["metadata"], "finalizers": []}}, OURS)
    assert await remove_finalizer(api.client, CONFIG_MAP, old, OURS) is None
    assert finalizers(api) == [OURS]


async def test_an_object_that_is_gone() -> None:
    api = FakeApi()
    live = thing(uid="gone")
    with pytest.raises(NotFound):
        await add_finalizer(api.client, CONFIG_MAP, live, OURS)
    assert await remove_finalizer(api.client, CONFIG_MAP, thing(OURS, uid="gone"), OURS) is None
