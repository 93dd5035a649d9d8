"""The status: written only if it differs, only what differs, and never over what others wrote since."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimd.runtime.errors import Conflict, Forbidden
from aimd.runtime.kinds import POD
from aimd.runtime.objects import Key, Manifest
from aimd.runtime.status import StatusWriter, merge_patch
from aimd.runtime.store import Cache, Store
from tests.unit.runtime.fake_api import FakeApi

values = st.recursive(
    st.integers(0, 3) | st.sampled_from(["", "x"]) | st.booleans(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(st.sampled_from("abcd"), values, max_size=4)


def merged(target: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


@given(objects, objects)
def test_the_patch_leads_from_one_to_the_other_and_is_empty_for_equals(before: Manifest, after: Manifest) -> None:
    untouched = copy.deepcopy(before)
    assert merged(before, merge_patch(before, after)) == after
    assert merge_patch(after, after) == {}
    assert before == untouched


def test_keys_that_are_not_named_stay_and_none_removes() -> None:
    """Prove OBJ-APL-4."""
    before = {"progress": {"bytes": 5}, "status": "Pending", "path": "/a", "nested": {"old": 1, "same": 2}}
    wanted = {"status": "Ready", "path": None, "absent": None, "nested": {"same": 2}}
    patch = merge_patch(before, wanted, remove_unnamed=False)
    assert patch == {"status": "Ready", "path": None, "nested": {"old": None}}


KEY = Key("ns", "a")
READY = [{"type": "Ready", "status": "True"}]


class Scene:
    """A pod with a status on a fake API server, and a writer."""

    def __init__(self, **status: Any) -> None:
        self.api = FakeApi()
        self.cache = Cache()
        self.cache.add(Store(POD))
        self.writer = StatusWriter(self.api.client, self.cache, "test")
        self.live = self.put(**status)

    def put(self, uid: str = "uid", **status: Any) -> Manifest:
        return self.api.put(POD, {"metadata": {"name": "a", "namespace": "ns", "uid": uid}, "status": status})

    @property
    def stored(self) -> Manifest:
        found: Manifest = self.api.objects[POD, KEY]["status"]
        return found

    def counted(self, result: str) -> float:
        family = next(iter(self.api.metrics.collectors[-3].collect()))
        return sum(item.value for item in family.samples if item.labels.get("result") == result)


async def test_what_is_as_wanted_costs_no_request() -> None:
    """Prove OBJ-APL-4."""
    scene = Scene(phase="Running", conditions=READY)
    assert not await scene.writer.write(POD, scene.live, {"phase": "Running", "conditions": READY, "gone": None})
    assert (scene.api.requests, scene.counted("unchanged")) == ([], 1)


async def test_only_what_differs_is_sent_and_other_keys_stay() -> None:
    """Prove OBJ-APL-4."""
    scene = Scene(phase="Pending", podIP="10.0.0.1")
    assert await scene.writer.write(POD, scene.live, {"phase": "Running", "conditions": READY})
    version = scene.live["metadata"]["resourceVersion"]
    assert scene.api.bodies == [
        {
            "metadata": {"uid": "uid", "resourceVersion": version},
            "status": {"phase": "Running", "conditions": READY},
        }
    ]
    assert scene.stored == {"phase": "Running", "podIP": "10.0.0.1", "conditions": READY}
    assert scene.counted("written") == 1


async def test_a_patch_without_conditions_needs_no_version() -> None:
    scene = Scene(phase="Pending")
    scene.put(phase="Pending", podIP="10.0.0.1")
    assert await scene.writer.write(POD, scene.live, {"phase": "Running"})
    assert scene.stored == {"phase": "Running", "podIP": "10.0.0.1"}


async def test_conditions_from_an_old_version_are_computed_against_the_new_one() -> None:
    """Prove OBJ-APL-4."""
    scene = Scene(phase="Pending")
    scene.put(phase="Running")
    assert await scene.writer.write(POD, scene.live, {"phase": "Running", "conditions": READY})
    assert scene.api.bodies[-1]["status"] == {"conditions": READY}, "the phase is right by now"
    assert scene.stored == {"phase": "Running", "conditions": READY}
    assert scene.cache[POD].get(KEY) is not None, "the new version is cached"


async def test_an_object_that_keeps_changing_is_a_conflict() -> None:
    scene = Scene()
    scene.api.faults = [Conflict("changed", status=409), None, Conflict("changed", status=409)]
    with pytest.raises(Conflict):
        await scene.writer.write(POD, scene.live, {"conditions": READY})
    assert scene.counted("conflict") == 1


async def test_a_new_object_of_the_same_name_is_left_alone() -> None:
    for status in ({"phase": "Running"}, {"conditions": READY}):
        scene = Scene()
        scene.put("another")
        assert not await scene.writer.write(POD, scene.live, status)
        assert scene.stored == {}


async def test_an_object_that_is_gone_is_left_alone() -> None:
    scene = Scene()
    scene.api.objects.clear()
    assert not await scene.writer.write(POD, scene.live, {"phase": "Running"})


async def test_other_errors_are_raised_and_counted() -> None:
    scene = Scene()
    scene.api.faults = [Forbidden("no", status=403)]
    with pytest.raises(Forbidden):
        await scene.writer.write(POD, scene.live, {"phase": "Running"})
    assert scene.counted("error") == 1
