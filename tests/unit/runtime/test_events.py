"""Events: one for each fault, counted up ever more rarely, and never in the way of a reconcile (in virtual time)."""

from collections.abc import Callable, Coroutine
from typing import Any

import anyio
import pytest

from aimd.runtime import events as module
from aimd.runtime.errors import Forbidden, NotFound
from aimd.runtime.events import EventRecorder
from aimd.runtime.kinds import CONFIG_MAP, EVENT, NODE
from aimd.runtime.objects import Kind, Manifest
from tests.unit.runtime.fake_api import FakeApi
from tests.unit.runtime.virtual_time import now, virtually

THING: Manifest = {"metadata": {"name": "a", "namespace": "ns", "uid": "uid-a", "resourceVersion": "7"}}


class Scene:
    """An API server and a recorder on its clock."""

    def __init__(self) -> None:
        self.api = FakeApi()
        self.recorder = EventRecorder(self.api.client, "greeter", clock=now)

    async def record(self, reason: str = "Failed", message: str = "it failed", kind: Kind = CONFIG_MAP) -> None:
        await self.recorder.record(kind, THING, type="Warning", reason=reason, message=message)

    def submit(self, reason: str = "Failed") -> None:
        self.recorder.submit(CONFIG_MAP, THING, type="Warning", reason=reason, message="it failed")

    @property
    def events(self) -> list[Manifest]:
        return [stored for (kind, _), stored in self.api.objects.items() if kind == EVENT]

    def counted(self, emitted: str) -> float:
        family = next(iter(self.api.metrics.collectors[-2].collect()))
        return sum(item.value for item in family.samples if item.labels.get("emitted") == emitted)


def played(scenario: Callable[[Scene], Coroutine[Any, Any, None]]) -> Scene:
    async def play() -> Scene:
        scene = Scene()
        await scenario(scene)
        return scene

    return virtually(play)


def test_an_event_says_about_what_and_by_whom() -> None:
    async def scenario(scene: Scene) -> None:
        await scene.record()

    (event,) = played(scenario).events
    assert event["involvedObject"] == {
        "apiVersion": "v1", "kind": "ConfigMap", "name": "a", "namespace": "ns", "uid": "uid-a", "resourceVersion": "7",
    }  # fmt: skip
    assert (event["type"], event["reason"], event["message"], event["count"]) == ("Warning", "Failed", "it failed", 1)
    assert event["source"] == {"component": "greeter"}
    assert event["metadata"]["namespace"] == "ns"


def test_an_event_about_a_cluster_scoped_object_is_in_the_namespace_default() -> None:
    async def scenario(scene: Scene) -> None:
        await scene.recorder.record(NODE, {"metadata": {"name": "n"}}, type="Normal", reason="R", message="m")

    assert played(scenario).events[0]["metadata"]["namespace"] == "default"


def test_a_lasting_fault_is_one_event_whose_count_is_written_ever_more_rarely() -> None:
    """Prove OBJ-EVT-2."""
    moments: list[float] = []

    async def scenario(scene: Scene) -> None:
        for _ in range(4000):
            before = len(scene.api.requests)
            await scene.record()
            if len(scene.api.requests) > before:
                moments.append(now())
            await anyio.sleep(1)

    scene = played(scenario)
    (event,) = scene.events
    assert moments == [0, 60, 180, 420, 900, 1800, 2700, 3600]
    assert event["count"] == 3601
    assert scene.counted("suppressed") == 4000 - len(moments)


def test_an_event_that_expired_is_created_again() -> None:
    async def scenario(scene: Scene) -> None:
        await scene.record()
        scene.api.objects.clear()
        await anyio.sleep(60)
        await scene.record()
        assert [verb for verb, _ in scene.api.requests] == ["create", "patch", "create"]

    assert len(played(scenario).events) == 1


def test_an_object_gets_25_events_in_five_minutes() -> None:
    """Prove OBJ-EVT-2."""

    async def scenario(scene: Scene) -> None:
        for number in range(40):
            await scene.record(f"Reason{number}")
        assert len(scene.events) == 25
        await anyio.sleep(301)
        await scene.record("Another")

    scene = played(scenario)
    assert len(scene.events) == 26
    assert scene.counted("suppressed") == 15


def test_a_failure_is_counted_and_not_raised() -> None:
    async def scenario(scene: Scene) -> None:
        scene.api.faults = [Forbidden("no", status=403), NotFound("no namespace", status=404)]
        await scene.record("First")
        await scene.record("Second")

    scene = played(scenario)
    assert (scene.events, scene.counted("failed")) == ([], 2)


def test_long_messages_are_cut() -> None:
    async def scenario(scene: Scene) -> None:
        await scene.record(message="x" * 5000)

    assert len(played(scenario).events[0]["message"]) == 1024


def test_what_is_submitted_is_written_in_order_and_close_waits_for_it() -> None:
    async def scenario(scene: Scene) -> None:
        scene.api.latency = 0.01
        async with anyio.create_task_group() as tasks:
            for number in range(20):
                scene.submit(f"Reason{number}")
            assert (scene.api.requests, now()) == ([], 0), "submitting waits for nothing"
            tasks.start_soon(scene.recorder.run)
            await anyio.sleep(0.05)
            scene.recorder.close()
        assert now() == pytest.approx(0.2)

    assert [event["reason"] for event in played(scenario).events] == [f"Reason{number}" for number in range(20)]


def test_a_backlog_does_not_hold_up_the_end() -> None:
    async def scenario(scene: Scene) -> None:
        scene.api.latency = 0.3
        for number in range(20):
            scene.submit(f"Reason{number}")
        scene.recorder.close()
        await scene.recorder.run()
        assert now() == module.LAST_SECONDS

    assert len(played(scenario).events) == 3


def test_a_full_backlog_drops_events(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BACKLOG", 5)

    async def scenario(scene: Scene) -> None:
        for number in range(8):
            scene.submit(f"Reason{number}")

    assert played(scenario).counted("dropped") == 3
