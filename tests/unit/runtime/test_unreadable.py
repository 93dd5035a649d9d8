"""An object that cannot be handled costs itself alone: it is kept by name, counted, and logged once (OBJ-TEN-1)."""

from collections.abc import Iterable
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError, field_validator

from aimd.runtime.kinds import CONFIG_MAP
from aimd.runtime.objects import Key, Manifest, Remnant, key_of
from aimd.runtime.store import Cache, Store
from aimd.runtime.unreadable import reduced, summary_of, validated


def thing(name: str, version: int, **more: Any) -> Manifest:
    metadata = {"name": name, "namespace": "ns", "uid": f"uid-{name}", "resourceVersion": str(version)}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, **more}


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": value}
    return value


def by_color(manifest: Manifest) -> Iterable[str]:
    return [manifest["spec"]["color"]]


def failing(_manifest: Manifest) -> Manifest:
    raise RuntimeError("no idea")


@pytest.mark.parametrize("spec", ["text", None, {}, {"color": {"a": 1}}, {"color": [1]}, 5])
def test_an_index_function_that_fails_costs_one_object(spec: Any) -> None:
    store = Store(CONFIG_MAP, {"color": by_color})
    with structlog.testing.capture_logs() as logs:
        assert store.upsert(thing("odd", 1, spec=spec))
        assert store.upsert(thing("fine", 2, spec={"color": "red"}))
        store.add_index("again", by_color)
    assert [key_of(item).name for item in store.by_index("color", "red")] == ["fine"]
    assert [key_of(item).name for item in store.by_index("color", "odd")] == ["odd"], "found by its own name"
    assert [(line["key"], line["version"]) for line in logs] == [("ns/odd", "1")], "once for this version"
    assert len(store.unreadable) == 1
    store.upsert(thing("odd", 3, spec={"color": "blue"}))
    assert [key_of(item).name for item in store.by_index("color", "blue")] == ["odd"], "repaired"
    assert len(store.unreadable) == 0
    store.upsert(thing("odd", 4, spec=spec))
    store.remove(thing("odd", 5))
    assert len(store.unreadable) == 0, "gone"


@pytest.mark.parametrize("levels", [260, 900, 1020])
def test_an_object_that_cannot_be_sent_again_is_kept_by_its_surface(levels: int) -> None:
    store = Cache().add(Store(CONFIG_MAP))
    store.upsert(thing("deep", 1, data=nested(levels)))
    kept = store.get(Key("ns", "deep"))
    assert isinstance(kept, Remnant)
    assert "nested too deeply" in kept.problem
    assert kept["metadata"]["uid"] == "uid-deep"
    assert len(store.unreadable) == 1


def test_a_transform_that_fails_costs_one_object() -> None:
    found = reduced(thing("a", 1, data={"x": 1}), [failing])
    assert isinstance(found, Remnant)
    assert (key_of(found), found["data"]) == (Key("ns", "a"), {"x": 1})
    assert "no idea" in found.problem


def test_managed_fields_of_anything_are_survived() -> None:
    cache = Cache()
    cache.keep_fields_of("ours")
    store = cache.add(Store(CONFIG_MAP))
    for number, entries in enumerate((["text"], [{"manager": "ours", "operation": "Apply", "fieldsV1": nested(700)}])):
        manifest = thing(f"odd{number}", number + 1)
        manifest["metadata"]["managedFields"] = entries
        assert store.upsert(manifest)
    assert [type(item) for item in store.list()] == [Remnant, Remnant]
    assert all("managedFields" not in item["metadata"] for item in store.list())


class Strict(BaseModel):
    data: int

    @field_validator("data", mode="before")
    @classmethod
    def check(cls, value: Any) -> Any:
        return value["number"]


def test_parsing_fails_alike_for_every_cause_and_once_for_each_version() -> None:
    cache = Cache()
    store = cache.add(Store(CONFIG_MAP))
    store.upsert(thing("a", 1, data={}))
    store.upsert(Remnant("it is broken", thing("b", 2)))
    with structlog.testing.capture_logs() as logs:
        for _ in range(2):
            for item in store.list():
                with pytest.raises(ValidationError):
                    cache.parse(Strict, item)
    assert [line["key"] for line in logs] == ["ns/a"], "the Remnant was logged when it arrived"
    assert len(store.unreadable) == 2
    cache.written(CONFIG_MAP, Remnant("still", thing("b", 3)))
    assert isinstance(store.get(Key("ns", "b")), Remnant)
    cache.written(CONFIG_MAP, thing("b", 4, data={"number": 5}))
    found = store.get(Key("ns", "b"))
    assert found is not None
    assert cache.parse(Strict, found).data == 5


@given(
    st.recursive(
        st.none() | st.text() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_validation_is_a_value_for_any_json(value: Any) -> None:
    found = validated(Strict, {"data": value})
    assert isinstance(found, Strict) or summary_of(found)
