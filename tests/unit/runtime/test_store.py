"""Stores: newer versions win, indexes follow, deletions stay deleted, several informers share one store."""

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from aimd.runtime.kinds import CONFIG_MAP, EVENT, POD
from aimd.runtime.objects import Key, Manifest, key_of
from aimd.runtime.store import Cache, KindNotWatched, Store


def thing(name: str, version: int, *, uid: str = "", owner: str = "", namespace: str = "ns", **more: Any) -> Manifest:
    metadata: Manifest = {
        "name": name,
        "namespace": namespace,
        "uid": uid or f"uid-{name}",
        "resourceVersion": str(version),
    }
    if owner:
        metadata["ownerReferences"] = [{"uid": owner}]
    return {"metadata": metadata, **more}


def names(store: Store) -> list[str]:
    return [key_of(manifest).name for manifest in store.list()]


def changes(store: Store) -> list[tuple[str | None, str | None]]:
    seen: list[tuple[str | None, str | None]] = []

    def version(manifest: Manifest | None) -> str | None:
        return manifest["metadata"]["resourceVersion"] if manifest else None

    store.subscribe(lambda delta: seen.append((version(delta.before), version(delta.after))))
    return seen


def test_newer_wins_and_handlers_hear_each_change_once() -> None:
    store = Store(CONFIG_MAP)
    seen = changes(store)
    assert store.upsert(thing("a", 5))
    assert not store.upsert(thing("a", 5))
    assert not store.upsert(thing("a", 4))
    assert store.upsert(thing("a", 10))
    assert seen == [(None, "5"), ("5", "10")]


def test_listings_are_sorted_and_by_namespace() -> None:
    store = Store(CONFIG_MAP)
    for name, namespace in (("b", "x"), ("a", "y"), ("a", "x")):
        store.upsert(thing(name, 1, namespace=namespace))
    assert [str(key_of(manifest)) for manifest in store.list()] == ["x/a", "x/b", "y/a"]
    assert [str(key_of(manifest)) for manifest in store.list("y")] == ["y/a"]


def test_the_owner_index_follows_changes() -> None:
    store = Store(CONFIG_MAP)
    store.upsert(thing("a", 1, owner="o1"))
    store.upsert(thing("b", 2, owner="o1"))
    store.upsert(thing("a", 3, owner="o2"))
    assert [key_of(manifest).name for manifest in store.by_index("owner", "o1")] == ["b"]
    assert [key_of(manifest).name for manifest in store.by_index("owner", "o2")] == ["a"]
    store.remove(thing("b", 4, owner="o1"))
    assert store.by_index("owner", "o1") == ()
    with pytest.raises(KeyError):
        store.by_index("no such index", "x")


def test_an_index_function_runs_once_per_version_and_added_indexes_follow_changes() -> None:
    calls: list[str] = []

    def color(manifest: Manifest) -> list[str]:
        calls.append(manifest["metadata"]["resourceVersion"])
        return [manifest["color"]]

    store = Store(CONFIG_MAP)
    store.upsert(thing("a", 1, color="red"))
    store.add_index("color", color)
    store.upsert(thing("a", 2, color="blue"))
    assert calls == ["1", "2"]
    assert store.by_index("color", "red") == ()
    assert names(store) == [key_of(manifest).name for manifest in store.by_index("color", "blue")]
    store.remove(thing("a", 3, color="blue"))
    assert store.by_index("color", "blue") == ()
    assert calls == ["1", "2"]


def test_what_we_deleted_is_not_brought_back_by_a_watch_that_lags() -> None:
    store = Store(CONFIG_MAP)
    store.upsert(thing("a", 5), informer="f")
    assert store.forget(Key("ns", "a"), "uid-a")
    assert not store.upsert(thing("a", 7), informer="f")
    assert store.upsert(thing("a", 9, uid="another"), informer="f")
    assert names(store) == ["a"]


def test_a_late_answer_to_our_write_does_not_bring_back_what_was_deleted() -> None:
    store = Store(CONFIG_MAP)
    store.upsert(thing("a", 5), informer="f")
    store.remove(thing("a", 8), informer="f")
    assert not store.upsert(thing("a", 7))
    assert names(store) == []


def test_an_object_that_left_the_selection_may_come_back() -> None:
    store = Store(CONFIG_MAP)
    store.upsert(thing("a", 5), informer="f")
    store.remove(thing("a", 8), informer="f")
    assert store.upsert(thing("a", 9), informer="f")


def test_replace_is_a_diff_and_keeps_what_we_wrote_since() -> None:
    store = Store(CONFIG_MAP)
    for name in ("gone", "kept", "changed"):
        store.upsert(thing(name, 1), informer="f")
    store.upsert(thing("ours", 50))
    seen = changes(store)
    store.replace([thing("kept", 1), thing("changed", 20), thing("new", 21)], 30, informer="f")
    assert names(store) == ["changed", "kept", "new", "ours"]
    assert sorted(seen, key=str) == sorted([("1", "20"), (None, "21"), ("1", None)], key=str)
    store.replace([thing("kept", 1)], 60, informer="f")
    assert names(store) == ["kept"]


def test_after_the_server_was_reset_its_list_is_right() -> None:
    store = Store(CONFIG_MAP)
    store.replace([thing("a", 500), thing("b", 600)], 600, informer="f")
    store.replace([thing("a", 20, data={"x": "y"})], 30, informer="f", reset=True)
    assert names(store) == ["a"]
    found = store.get(Key("ns", "a"))
    assert found is not None
    assert found["data"] == {"x": "y"}


def test_informers_share_a_store() -> None:
    store = Store(POD)
    store.expect("f")
    store.expect("g")
    store.replace([thing("a", 1), thing("both", 2)], 10, informer="f")
    assert not store.synced
    store.upsert(thing("from-g-written-by-us", 9))
    store.replace([thing("a", 1), thing("both", 2)], 20, informer="f")
    assert "from-g-written-by-us" in names(store), "the other informer has not shown what it has"
    store.replace([thing("both", 2)], 11, informer="g")
    assert store.synced
    store.remove(thing("both", 12), informer="f")
    assert "both" in names(store)
    store.remove(thing("both", 12), informer="g")
    assert "both" not in names(store)


def test_a_transform_and_managed_fields_of_our_own_only() -> None:
    cache = Cache()
    cache.keep_fields_of("aim-x")
    store = cache.add(Store(POD, transform=lambda pod: {**pod, "spec": {}}))

    for name in ("a", "b"):
        store.upsert(owned_thing(name))
    first, second = store.list()
    assert first["spec"] == {}
    assert [item["manager"] for item in first["metadata"]["managedFields"]] == ["aim-x"]
    assert first["metadata"]["managedFields"][0]["fieldsV1"] is second["metadata"]["managedFields"][0]["fieldsV1"]


def test_who_wrote_an_object_keeps_the_answer_whole() -> None:
    cache = Cache()
    store = cache.add(Store(POD))
    answer = owned_thing("a")
    whole = deepcopy(answer)
    cache.written(POD, answer)
    assert answer == whole, "the cache trims what is its own only"
    assert "managedFields" not in store.list()[0]["metadata"]


def owned_thing(name: str) -> Manifest:
    """With the record of four field managers."""

    def entry(manager: str, operation: str = "Apply", **more: str) -> Manifest:
        return {"manager": manager, "operation": operation, "fieldsV1": {"f:spec": {}}, "time": "t", **more}

    pod = thing(name, 1, spec={"x": 1})
    pod["metadata"]["managedFields"] = [
        entry("kubelet", "Update"),
        entry("aim-x"),
        entry("aim-x", "Update"),
        entry("aim-x", subresource="status"),
    ]
    return pod


class Typed(BaseModel):
    metadata: dict[str, Any]


def test_parse_once_per_version() -> None:
    cache = Cache()
    first = cache.parse(Typed, thing("a", 1))
    assert cache.parse(Typed, thing("a", 1)) is first
    assert cache.parse(Typed, thing("a", 2)) is not first


@pytest.mark.parametrize("successor", [None, thing("a", 3, uid="another")])
def test_what_was_parsed_goes_with_its_object(successor: Manifest | None) -> None:
    cache = Cache()
    store = cache.add(Store(CONFIG_MAP))
    store.upsert(thing("a", 1))
    first = cache.parse(Typed, thing("a", 1))
    if successor is None:
        store.forget(Key("ns", "a"), "uid-a")
    else:
        store.upsert(successor)
    assert cache.parse(Typed, thing("a", 1)) is not first


def test_events_that_we_write_are_not_kept() -> None:
    """Each would stay for ever: no watch of ours selects it, so none tells that it has expired."""
    cache = Cache()
    store = cache.add(Store(EVENT))
    cache.written(EVENT, thing("told", 1))
    assert names(store) == []


def test_reading_an_undeclared_kind_is_an_error() -> None:
    with pytest.raises(KindNotWatched, match="ConfigMap"):
        Cache()[CONFIG_MAP]


def test_removing_the_last_finalizer_of_a_deleted_object_ends_it() -> None:
    cache = Cache()
    store = cache.add(Store(CONFIG_MAP))
    dying = thing("a", 5)
    dying["metadata"] |= {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["x"]}
    cache.written(CONFIG_MAP, dying)
    assert names(store) == ["a"]
    ended = thing("a", 6)
    ended["metadata"] |= {"deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": 0}
    cache.written(CONFIG_MAP, ended)
    assert names(store) == []


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(1, 30), st.sampled_from(["o1", "o2", ""]), st.booleans()),
        max_size=30,
    )
)
def test_indexes_equal_a_full_scan(steps: list[tuple[str, int, str, bool]]) -> None:
    store = Store(CONFIG_MAP, indexes={"label": lambda m: m.get("labels", ())})
    for name, version, owner, delete in steps:
        manifest = thing(name, version, owner=owner, labels=[owner, "all"] if owner else ["all"])
        if delete:
            store.remove(manifest)
        else:
            store.upsert(manifest)
    for value in ("o1", "o2"):
        expected = [m for m in store.list() if any(r["uid"] == value for r in m["metadata"].get("ownerReferences", ()))]
        assert list(store.by_index("owner", value)) == expected
        assert list(store.by_index("label", value)) == expected
    assert list(store.by_index("label", "all")) == list(store.list())
