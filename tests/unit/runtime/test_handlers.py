"""Handlers: the changed object, its controlling owner, and the objects indexed under one of its values."""

from collections.abc import Iterable

import pytest

from aimd.runtime.handlers import for_index, for_object, for_owner
from aimd.runtime.kinds import NODE, POD
from aimd.runtime.objects import Key, Kind, Manifest
from aimd.runtime.store import Cache, KindNotWatched, Store

WIDGET = Kind("example.com", "v1", "Widget", "widgets")
RACK = Kind("example.com", "v1", "Rack", "racks", namespaced=False)


def thing(name: str, namespace: str = "ns", **more: object) -> Manifest:
    return {"metadata": {"name": name, "namespace": namespace, "uid": f"uid-{name}", "resourceVersion": "1"}, **more}


def owned(api_version: str, kind: str, *, controller: bool = True) -> Manifest:
    reference = {"apiVersion": api_version, "kind": kind, "name": "boss", "controller": controller}
    return {"metadata": {"name": "child", "namespace": "ns", "ownerReferences": [reference]}}


def test_for_object_wakes_the_object_itself() -> None:
    assert list(for_object(thing("a"), Cache())) == [Key("ns", "a")]
    assert list(for_object({"metadata": {"name": "node-1"}}, Cache())) == [Key("", "node-1")]


def test_for_owner_wakes_the_controlling_owner_of_the_kind_whatever_its_version() -> None:
    assert list(for_owner(WIDGET)(owned("example.com/v1", "Widget"), Cache())) == [Key("ns", "boss")]
    assert list(for_owner(WIDGET)(owned("example.com/v1beta1", "Widget"), Cache())) == [Key("ns", "boss")]
    assert list(for_owner(RACK)(owned("example.com/v1", "Rack"), Cache())) == [Key("", "boss")]


@pytest.mark.parametrize(
    "child",
    [
        thing("orphan"),
        owned("example.com/v1", "Gadget"),
        owned("example.org/v1", "Widget"),
        owned("example.com/v1", "Widget", controller=False),
    ],
)
def test_for_owner_ignores_other_owners(child: Manifest) -> None:
    assert list(for_owner(WIDGET)(child, Cache())) == []


def test_for_owner_of_a_core_kind_compares_the_empty_group() -> None:
    assert list(for_owner(NODE)(owned("v1", "Node"), Cache())) == [Key("", "boss")]


def mounted(pod: Manifest) -> Iterable[str]:
    mounts: Iterable[str] = pod.get("mounts", ())
    return mounts


def named(config_map: Manifest) -> Iterable[str]:
    return (f"{config_map['metadata']['namespace']}/{config_map['metadata']['name']}", "any")


def test_for_index_wakes_the_objects_indexed_under_a_value_each_once() -> None:
    cache = Cache()
    pods = cache.add(Store(POD, indexes={"mounts": mounted}))
    pods.upsert(thing("both", mounts=["ns/settings", "any"]))
    pods.upsert(thing("another", mounts=["ns/settings"]))
    pods.upsert(thing("unrelated", mounts=["ns/other"]))
    wakes = for_index(POD, "mounts", named)
    assert list(wakes(thing("settings"), cache)) == [Key("ns", "another"), Key("ns", "both")]
    assert list(wakes(thing("settings", "elsewhere"), cache)) == [Key("ns", "both")]


def test_for_index_reads_the_index_as_it_is_when_the_change_comes() -> None:
    cache = Cache()
    pods = cache.add(Store(POD, indexes={"mounts": mounted}))
    wakes = for_index(POD, "mounts", named)
    assert list(wakes(thing("settings"), cache)) == []
    pods.upsert(thing("late", mounts=["ns/settings"]))
    assert list(wakes(thing("settings"), cache)) == [Key("ns", "late")]


def test_for_index_refuses_what_is_not_declared() -> None:
    cache = Cache()
    with pytest.raises(KindNotWatched, match="Pod"):
        for_index(POD, "mounts", named)(thing("settings"), cache)
    cache.add(Store(POD))
    with pytest.raises(KeyError):
        for_index(POD, "mounts", named)(thing("settings"), cache)
    assert list(for_index(POD, "owner", lambda _: ())(thing("settings"), cache)) == []
