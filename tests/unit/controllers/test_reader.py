"""Typed reads from the cache, which is the real one, filled by hand."""

from aimd.controllers.reader import Found, Reader
from aimd.planning.kinds import AIM_MODEL
from aimd.planning.unreadable import Unreadable
from aimd.runtime.kinds import NODE, POD
from aimd.runtime.objects import Key, Kind, Manifest
from aimd.runtime.store import Cache, Store


def live(name: str, **fields: object) -> Manifest:
    metadata = {"name": name, "namespace": "a", "uid": f"a/{name}", "resourceVersion": "1"}
    return {"kind": "Any", "metadata": metadata, **fields}


def reader(kind: Kind, *objects: Manifest) -> Reader:
    cache = Cache()
    store = cache.add(Store(kind, {}))
    for item in objects:
        store.upsert(item)
    return Reader(cache)


def test_own_kinds_are_parsed_and_others_are_manifests() -> None:
    pod = live("p")
    assert reader(POD, pod).get(POD, Key("a", "p")) is pod
    models = reader(AIM_MODEL, live("m", spec={"image": "i:1"}), live("broken", spec={"image": {}}))
    assert models.get(AIM_MODEL, Key("a", "m")).spec.image == "i:1"
    assert isinstance(models.get(AIM_MODEL, Key("a", "broken")), Unreadable)
    assert models.get(AIM_MODEL, Key("a", "absent")) is None


def test_what_does_not_parse_is_collected_apart_and_indexed_by_its_name() -> None:
    broken = live("broken", spec={"image": {}})
    models = reader(AIM_MODEL)
    found = models.collect(AIM_MODEL, (live("m", spec={"image": "i:1"}), broken, broken))
    assert [item.metadata.name for item in found.objects] == ["m"]
    assert len(found.unreadable) == 1
    index = models.tokens(lambda model: (model.spec.image, model.spec.image), AIM_MODEL)
    assert tuple(index(live("m", spec={"image": "i:1"}))) == ("i:1",)
    assert tuple(index(broken)) == ("broken",)


def test_found_objects_are_merged_each_once_in_order() -> None:
    first, second = live("a"), live("b")
    merged = Found((first, second)) + Found((second, first))
    assert merged.objects == (first, second)
    assert merged.first == first
    assert Found().first is None


def test_the_inventory_of_gpus_is_computed_once_per_change_of_a_node() -> None:
    def node(name: str, device: str, version: str = "1") -> Manifest:
        labels = {"amd.com/gpu.device-id": device}
        return {"metadata": {"name": name, "uid": name, "resourceVersion": version, "labels": labels}}

    nodes = reader(NODE, node("a", "74a1"))
    assert nodes.gpu_inventory() is None, "nodes that are not listed yet are unknown"
    nodes.cache[NODE].synced = True
    first = nodes.gpu_inventory()
    assert first is not None
    assert first.models == {"MI300X"}
    assert nodes.gpu_inventory() is first
    nodes.cache[NODE].upsert(node("b", "74a5", "2"))
    second = nodes.gpu_inventory()
    assert second is not None
    assert second.models == {"MI300X", "MI325X"}
    nodes.cache[NODE].available = False
    assert nodes.gpu_inventory() is None
