"""Applying: only where something would change, and what is remembered of refusals and differences.

Against a real API server, with its merges and defaults, it is tested in tests/integration/test_runtime_apply.py.
"""

from dataclasses import replace
from typing import Any

import pytest
import structlog

from aimd.runtime.apply import Applier, _is_nulled, _without_emptied
from aimd.runtime.errors import Conflict, Forbidden, Invalid, WritesSuspended
from aimd.runtime.kinds import CONFIG_MAP, SECRET
from aimd.runtime.objects import Applied, Category, Deletion, Desired, Failure, Key, Manifest
from aimd.runtime.ownership import Owner
from aimd.runtime.store import Cache, Store
from tests.unit.runtime.fake_api import FakeApi

KEY = Key("ns", "a")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def rendered(name: str = "a", **data: str) -> Manifest:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "ns"}, "data": data}


def desired(name: str = "a", **data: str) -> Desired:
    return Desired(CONFIG_MAP, rendered(name, **data), "test")


class Scene:
    """An applier of ConfigMaps on a fake API server and a synced cache."""

    def __init__(self) -> None:
        self.api = FakeApi()
        self.cache = Cache()
        self.cache.add(Store(CONFIG_MAP)).synced = True
        self.api.observers.append(self.cache)
        self.clock = Clock()
        self.applier = Applier(self.api.client, self.cache, "test", clock=self.clock)

    async def apply(self, *items: Desired, delete: tuple[Deletion, ...] = ()) -> Applied:
        return await self.applier.apply(items, delete)

    def changed_by_others(self, **data: str) -> None:
        """Change the data behind our back; the watch brings it to the cache."""
        stored = self.api.objects[CONFIG_MAP, KEY]
        self.cache[CONFIG_MAP].upsert(self.api.put(CONFIG_MAP, {**stored, "data": data}))

    @property
    def data(self) -> dict[str, str]:
        found: dict[str, str] = self.api.objects[CONFIG_MAP, KEY]["data"]
        return found

    @property
    def verbs(self) -> list[str]:
        return [verb for verb, _ in self.api.requests]

    def counted(self, result: str) -> float:
        family = next(iter(self.api.metrics.collectors[-4].collect()))
        return sum(item.value for item in family.samples if item.labels.get("result") == result)


async def test_what_is_missing_is_created_and_what_is_as_wanted_costs_no_request() -> None:
    """Prove OBJ-APL-1."""
    scene = Scene()
    assert await scene.apply(desired(x="1")) == Applied(written=1)
    for _ in range(3):
        assert await scene.apply(desired(x="1")) == Applied(written=0)
    assert scene.verbs == ["apply"]
    assert [scene.counted(result) for result in ("created", "updated", "unchanged")] == [1, 0, 3]


async def test_our_fields_are_put_right_and_fields_of_others_stay() -> None:
    """Prove OBJ-APL-1."""
    scene = Scene()
    await scene.apply(desired(x="1"))
    scene.changed_by_others(x="2", theirs="3")
    assert (await scene.apply(desired(x="1"))).written == 1
    assert scene.data == {"x": "1", "theirs": "3"}
    assert (await scene.apply(desired(x="1"))).written == 0


async def test_an_object_is_written_at_the_version_the_decision_is_based_on() -> None:
    """Prove OBJ-APL-2."""
    scene = Scene()
    await scene.apply(desired(x="1"))
    version = scene.api.objects[CONFIG_MAP, KEY]["metadata"]["resourceVersion"]
    await scene.apply(desired(x="2"))
    assert scene.api.bodies[-1]["metadata"]["resourceVersion"] == version


async def test_an_outdated_decision_is_made_again() -> None:
    """Prove OBJ-APL-2."""
    scene = Scene()
    await scene.apply(desired(x="1"))
    stored = scene.api.objects[CONFIG_MAP, KEY]
    scene.api.put(CONFIG_MAP, {**stored, "data": {"x": "1", "theirs": "3"}})
    assert (await scene.apply(desired(x="2"))).written == 1
    assert scene.verbs == ["apply", "apply", "get", "apply"]
    assert scene.data == {"x": "2", "theirs": "3"}


async def test_an_object_that_keeps_changing_is_a_failure() -> None:
    scene = Scene()
    scene.api.faults = [Conflict("changed", status=409), None, Conflict("changed", status=409), None]
    scene.api.faults += [Conflict("changed", status=409)]
    applied = await scene.apply(desired(x="1"))
    assert [(failure.category, failure.reason) for _, _, failure in applied.failures] == [
        (Category.INFRASTRUCTURE, "Conflict")
    ]
    assert scene.counted("conflict") == 1


async def test_a_difference_that_a_webhook_makes_is_logged_once_and_left_alone() -> None:
    scene = Scene()
    scene.api.webhook = lambda manifest: {**manifest, "data": {**manifest["data"], "x": "theirs"}}
    with structlog.testing.capture_logs() as lines:
        for _ in range(5):
            await scene.apply(desired(x="1"))
    assert scene.verbs == ["apply"]
    (warning,) = [line for line in lines if line["log_level"] == "warning"]
    assert warning["event"].startswith("applied object still differs")
    assert warning["fields"] == ["data.x: value"]
    await scene.apply(desired(x="2"))
    assert scene.verbs == ["apply", "apply"], "a new rendering is applied"
    scene.changed_by_others(x="somebody's")
    await scene.apply(desired(x="2"))
    assert scene.verbs == ["apply"] * 3, "so is the old one to a changed object"


async def test_an_invalid_rendering_is_not_sent_again_until_something_changes_or_time_passes() -> None:
    scene = Scene()
    await scene.apply(desired(x="1"))
    refusal = Failure(Category.INVALID_SPEC, "InvalidSpec", "no")
    scene.api.faults = [Invalid("no", status=422)]
    for _ in range(3):
        assert (await scene.apply(desired(x="2"))).failures == ((CONFIG_MAP, KEY, refusal),)
    assert scene.verbs == ["apply", "apply"]
    scene.clock.now += 301
    assert (await scene.apply(desired(x="2"))).written == 1
    scene.api.faults = [Invalid("no", status=422)]
    await scene.apply(desired(x="3"))
    assert (await scene.apply(desired(x="4"))).written == 1, "another rendering"


async def test_one_failure_does_not_stop_the_others() -> None:
    scene = Scene()
    scene.api.faults = [Forbidden("no", status=403)]
    applied = await scene.apply(desired("a"), desired("b"))
    assert applied.written == 1
    assert [(key.name, failure.category) for _, key, failure in applied.failures] == [("a", Category.AUTH)]


async def test_without_the_lease_nothing_more_is_tried() -> None:
    scene = Scene()
    scene.api.faults = [WritesSuspended("no lease")]
    with pytest.raises(WritesSuspended):
        await scene.apply(desired("a"), desired("b"))
    assert scene.verbs == ["apply"]


async def test_an_object_that_is_being_deleted_is_left_alone() -> None:
    scene = Scene()
    await scene.apply(desired(x="1"))
    stored = scene.api.objects[CONFIG_MAP, KEY]
    dying = {**stored, "metadata": {**stored["metadata"], "deletionTimestamp": "t", "finalizers": ["x"]}}
    scene.cache[CONFIG_MAP].upsert(scene.api.put(CONFIG_MAP, dying))
    assert (await scene.apply(desired(x="2"))).written == 0


async def test_deletions_come_first_and_mean_one_object() -> None:
    """Prove OBJ-APL-2."""
    scene = Scene()
    await scene.apply(desired(x="1"))
    uid = scene.api.objects[CONFIG_MAP, KEY]["metadata"]["uid"]
    other, same = (Deletion(CONFIG_MAP, KEY, by, "test") for by in ("another", uid))
    assert (await scene.apply(delete=(other,))).written == 0
    applied = await scene.apply(desired("b"), delete=(same,))
    assert applied == Applied(written=2)
    assert scene.verbs == ["apply", "delete", "apply"], "the wrong UID cost no request"


async def test_a_kind_without_an_informer_is_read_and_a_missing_object_is_no_failure() -> None:
    scene = Scene()
    secret = Desired(SECRET, {**rendered(), "kind": "Secret"}, "test")
    assert (await scene.apply(secret)).written == 1
    assert (await scene.apply(secret)).written == 0
    assert scene.verbs == ["get", "apply", "get"]
    assert (await scene.apply(delete=(Deletion(SECRET, Key("ns", "gone"), "", "test"),))) == Applied()


@pytest.mark.parametrize(
    ("wanted", "live", "sent"),
    [
        ({"a": {}, "b": 1}, {"a": {"x": 1}, "b": 1}, {"b": 1}),
        ({"a": [], "b": 1}, {"a": [1]}, {"b": 1}),
        ({"a": {}}, {"a": {}}, {"a": {}}),
        ({"a": {}}, {}, {"a": {}}),
        ({"a": {"b": {}, "c": 1}}, {"a": {"b": {"x": 1}}}, {"a": {"c": 1}}),
    ],
)
def test_what_we_empty_is_left_out(wanted: Any, live: Any, sent: Any) -> None:
    assert _without_emptied(wanted, live) == sent


@pytest.mark.parametrize(
    ("wanted", "stored", "nulled"),
    [
        ({"a": {}}, {"a": None}, True),
        ({"a": []}, {"a": None}, True),
        ({"a": {"b": []}}, {"a": {"b": None}}, True),
        ({"a": {}}, {}, False),
        ({"a": [1]}, {"a": None}, False),
        ({"a": 1}, {"a": 1}, False),
    ],
)
def test_null_for_what_is_rendered_empty_is_noticed(wanted: Any, stored: Any, nulled: bool) -> None:
    assert _is_nulled(wanted, stored) is nulled


OWNER = Owner("Thing", "mine", "uid-mine", marks={"for": frozenset({"mine"})}, shared={"by": frozenset({"us"})})


def owned(uid: str = "uid-mine", name: str = "mine", **labels: str) -> dict[str, Any]:
    reference = {"apiVersion": "v1", "kind": "Thing", "name": name, "uid": uid, "controller": True}
    return {"name": "a", "namespace": "ns", "labels": labels, "ownerReferences": [reference]}


FOREIGN: dict[str, dict[str, Any]] = {
    "somebody else's": owned("uid-other", "other"),
    "somebody else's with our labels": owned("uid-other", "other", **{"for": "mine", "by": "us"}),
    "nobody's": {"name": "a", "namespace": "ns"},
    "nobody's with other labels": {"name": "a", "namespace": "ns", "labels": {"for": "other"}},
}


@pytest.mark.parametrize("cached", [True, False], ids=["cached", "not selected by the informer"])
@pytest.mark.parametrize("metadata", FOREIGN.values(), ids=list(FOREIGN))
async def test_an_object_of_somebody_else_is_not_touched(metadata: dict[str, Any], *, cached: bool) -> None:
    """Prove OBJ-OWN-1: whether the cache shows it, or the server refuses to create what exists."""
    scene = Scene()
    stored = scene.api.put(CONFIG_MAP, {**rendered(x="theirs"), "metadata": metadata})
    if cached:
        scene.cache[CONFIG_MAP].upsert(stored)
    wanted = Desired(CONFIG_MAP, {**rendered(x="ours"), "metadata": owned()}, "test")
    for _ in range(2):
        applied = await scene.applier.apply([wanted], (), OWNER)
        (failure,) = [failure for _, _, failure in applied.failures]
        assert (failure.category, failure.reason) == (Category.INVALID_SPEC, "NameTaken")
        assert "Delete it, or use another name" in failure.message
    assert scene.api.objects[CONFIG_MAP, KEY] == stored
    assert (scene.cache[CONFIG_MAP].get(KEY) is not None) == cached
    gone = await scene.applier.apply((), [Deletion(CONFIG_MAP, KEY, stored["metadata"]["uid"], "test")], OWNER)
    assert gone == Applied()
    if cached:
        assert scene.api.objects[CONFIG_MAP, KEY] == stored
    del scene.api.objects[CONFIG_MAP, KEY]
    scene.cache[CONFIG_MAP].forget(KEY, stored["metadata"]["uid"])
    assert (await scene.applier.apply([wanted], (), OWNER)).written == 1


async def test_what_goes_with_a_former_owner_of_the_name_is_waited_for() -> None:
    """Prove OBJ-OWN-1."""
    scene = Scene()
    stored = scene.api.put(CONFIG_MAP, {**rendered(x="1"), "metadata": owned("uid-former")})
    scene.cache[CONFIG_MAP].upsert(stored)
    wanted = Desired(CONFIG_MAP, {**rendered(x="2"), "metadata": owned()}, "test")
    assert await scene.applier.apply([wanted], (), OWNER) == Applied()
    assert scene.data == {"x": "1"}


async def test_an_orphan_with_all_marks_is_adopted() -> None:
    """Prove OBJ-OWN-1."""
    scene = Scene()
    orphan = {"name": "a", "namespace": "ns", "labels": {"for": "mine"}}
    scene.cache[CONFIG_MAP].upsert(scene.api.put(CONFIG_MAP, {**rendered(x="1"), "metadata": orphan}))
    wanted = Desired(CONFIG_MAP, {**rendered(x="2"), "metadata": owned()}, "test")
    assert await scene.applier.apply([wanted], (), OWNER) == Applied(written=1)


async def test_what_is_shared_is_created_once_and_never_changed_after() -> None:
    """Prove OBJ-OWN-2."""
    scene = Scene()
    metadata = {"name": "a", "namespace": "ns", "labels": {"by": "us", "for": "mine"}}
    wanted = Desired(CONFIG_MAP, {**rendered(x="1"), "metadata": metadata}, "test", shared=True, once=True)
    assert await scene.applier.apply([wanted], (), OWNER) == Applied(written=1)
    other = {**wanted.manifest, "data": {"x": "2"}, "metadata": {**metadata, "labels": {"by": "us", "for": "other"}}}
    assert await scene.applier.apply([replace(wanted, manifest=other)], (), OWNER) == Applied()
    assert scene.data == {"x": "1"}


async def test_what_a_child_controls_is_deleted_for_the_owner() -> None:
    """Prove OBJ-OWN-1."""
    scene = Scene()
    stored = scene.api.put(CONFIG_MAP, {**rendered(), "metadata": owned("uid-child", "child")})
    scene.cache[CONFIG_MAP].upsert(stored)
    deletion = Deletion(CONFIG_MAP, KEY, stored["metadata"]["uid"], "test")
    assert await scene.applier.apply((), [deletion], OWNER) == Applied()
    assert await scene.applier.apply((), [replace(deletion, controller="uid-child")], OWNER) == Applied(written=1)
