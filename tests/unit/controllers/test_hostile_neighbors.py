"""Any JSON in any place of any object: everybody else still plans, and so does the object itself (OBJ-TEN-1)."""

import copy
from functools import cache
from typing import Any

import anyio
import orjson
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from aimd.planning.kinds import (
    AIM_CLUSTER_MODEL,
    AIM_CLUSTER_RUNTIME_CONFIG,
    AIM_CLUSTER_SERVICE_TEMPLATE,
    AIM_MODEL,
    AIM_RUNTIME_CONFIG,
    AIM_SERVICE,
    AIM_TEMPLATE_CACHE,
    MODELS,
)
from aimd.runtime.kinds import NODE
from aimd.runtime.objects import Kind, Manifest
from tests.aim_images import QWEN, ProfileFile, image_of
from tests.planned_cluster import PlannedCluster

IMAGE = "amdenterpriseai/aim-qwen-qwen3-32b:1"
Path = tuple[Any, ...]


def nested(levels: int) -> Any:
    value: Any = "x"
    for level in range(levels):
        value = {"a": value} if level % 2 else [value]
    return value


scalars = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(max_size=6)
)
anything = st.one_of(
    scalars,
    st.sampled_from(
        [{}, [], "", "x" * 5000, "\ud800", -1, 1e300, [None], {"": None}, [[]], "tiny", "/", "{", "hf://", "{.a}"]
    ),
    st.sampled_from([10, 130, 200, 240, 252, 260, 900, 1010]).map(nested),
    st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "key", "a", ""]), inner),
        max_leaves=6,
    ),
)


@cache
def settled() -> PlannedCluster:
    """Return a cluster with an object of each kind, in which nothing changes any more."""
    cluster = PlannedCluster({IMAGE: image_of("0.11", (ProfileFile(QWEN),))})
    cluster.user_applies(AIM_MODEL, "tiny", {"image": IMAGE})
    cluster.user_applies(AIM_CLUSTER_MODEL, "tiny-for-all", {"image": IMAGE})
    cluster.user_applies(AIM_CLUSTER_SERVICE_TEMPLATE, "for-all", {"modelName": "tiny-for-all"})
    cluster.user_applies(AIM_RUNTIME_CONFIG, "default", {"env": [{"name": "A", "value": "1"}]})
    cluster.user_applies(AIM_CLUSTER_RUNTIME_CONFIG, "default", {"routing": {"enabled": False}})
    cluster.user_applies(AIM_SERVICE, "chat", {"model": {"name": "tiny"}, "caching": {"mode": "Shared"}})
    cluster.settle()
    return cluster


def places(value: Any, path: Path = ()) -> list[Path]:
    """Return every path in spec, status and data; the API server itself checks the metadata."""
    found: list[Path] = []
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in inner:
        if path or name not in ("apiVersion", "kind", "metadata"):
            found += [(*path, name), *places(item, (*path, name))]
    return found


def replaced(manifest: Manifest, path: Path, value: Any) -> Manifest:
    changed = copy.deepcopy(manifest)
    place: Any = changed
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    return changed


async def decide_all(cluster: PlannedCluster) -> list[str]:
    """Plan every object; return what was raised."""
    raised = []
    for kind, live, plan in cluster.plans():
        try:
            found = await plan
            for desired in found.desired:
                orjson.dumps(desired.manifest)
        except orjson.JSONEncodeError:
            pass  # Refused as invalid when it is written.
        except Exception as error:
            raised.append(f"{kind} {live['metadata']['name']}: {type(error).__name__}: {str(error)[:200]}")
    return raised


def objects(cluster: PlannedCluster) -> list[tuple[Kind, Manifest]]:
    return [(store.kind, live) for store in cluster.stores if store.kind != NODE for live in store.list()]


def test_the_cluster_has_what_can_be_a_neighbor() -> None:
    kinds = {kind.name for kind, _ in objects(settled())}
    assert {"AIMService", "AIMModel", "AIMServiceTemplate", AIM_TEMPLATE_CACHE.name, "AIMArtifact"} <= kinds
    assert {"InferenceService", "PersistentVolumeClaim"} <= kinds
    assert anyio.run(decide_all, settled()) == []


@settings(max_examples=200)
@given(st.data())
def test_any_json_anywhere_costs_at_most_its_own_object(data: st.DataObject) -> None:
    cluster = settled()
    kind, live = data.draw(st.sampled_from(objects(cluster)), label="object")
    path = data.draw(st.sampled_from(places(live)), label="path")
    value = data.draw(anything, label="value")
    event(kind.name)
    with cluster.other(kind, replaced(live, path, value)):
        assert anyio.run(decide_all, cluster) == []


@pytest.mark.parametrize("value", ["text", None, {"name": {}}])
def test_each_field_of_our_objects(value: Any) -> None:
    cluster, raised = settled(), {}
    for kind, live in objects(cluster):
        for path in places(live) if kind in MODELS else ():
            if len(path) <= 2:
                with cluster.other(kind, replaced(live, path, value)):
                    if found := anyio.run(decide_all, cluster):
                        raised[kind.name, path] = found
    assert raised == {}
