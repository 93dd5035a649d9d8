"""Status, finalizers and Events on a real API server."""

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import anyio
import pytest

from aimd.runtime.client import Client, ClientOptions, connect
from aimd.runtime.errors import Conflict, Invalid
from aimd.runtime.events import BACKLOG, CREATIONS, LAST_SECONDS, EventRecorder
from aimd.runtime.finalizers import add_finalizer, remove_finalizer
from aimd.runtime.kinds import CONFIG_MAP, EVENT, NAMESPACE, PERSISTENT_VOLUME_CLAIM, SERVICE_ACCOUNT
from aimd.runtime.objects import Key, Kind, Manifest, metadata_of, uid_of
from aimd.runtime.status import StatusWriter
from aimd.runtime.store import Cache, Store
from tests.waiting import wait_until

PVC = PERSISTENT_VOLUME_CLAIM
"""A built-in kind with a status subresource that nobody else writes while the claim is unbound."""


class ApiServer(Protocol):
    kubeconfig: Path


class Bench:
    def __init__(self, client: Client, namespace: str) -> None:
        self.client = client
        self.namespace = namespace
        self.cache = Cache()
        for kind in (PVC, CONFIG_MAP, SERVICE_ACCOUNT):
            self.cache.add(Store(kind))
        client.observers.append(self.cache)
        self.status = StatusWriter(client, self.cache, "writes-tests")

    async def create(self, kind: Kind, name: str, **fields: Any) -> Manifest:
        metadata = {"name": name, "namespace": self.namespace}
        body = {"apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata, **fields}
        return await self.client.create(kind, body, reason="test")

    async def claim(self) -> Manifest:
        spec = {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
            "storageClassName": "nobody-provisions-this",
        }
        return await self.create(PVC, "p", spec=spec)

    def key(self, name: str) -> Key:
        return Key(self.namespace, name)


@pytest.fixture
async def bench(api_server: ApiServer) -> AsyncIterator[Bench]:
    async with connect(ClientOptions(kubeconfig=api_server.kubeconfig)) as client:
        namespace = f"writes-{uuid4().hex[:8]}"
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
        await client.create(NAMESPACE, body, reason="test")
        yield Bench(client, namespace)


def condition(message: str) -> Manifest:
    moment = "2026-01-01T00:00:00Z"
    return {"type": "Tested", "status": "True", "reason": "Test", "message": message, "lastTransitionTime": moment}


async def test_status_is_written_when_it_differs_and_leaves_other_keys_alone(bench: Bench) -> None:
    """Prove OBJ-APL-4."""
    live = await bench.claim()
    others = {"status": {"capacity": {"storage": "1Gi"}}}
    await bench.client.patch(PVC, bench.key("p"), others, reason="test", subresource="status")
    live = await bench.client.get(PVC, bench.key("p"))
    wanted = {"conditions": [condition("first")], "phase": "Pending"}
    assert await bench.status.write(PVC, live, wanted)
    stored = bench.cache[PVC].get(bench.key("p"))
    assert stored is not None
    assert stored["status"]["conditions"] == [{**condition("first"), "lastProbeTime": None}]
    assert stored["status"]["capacity"] == {"storage": "1Gi"}
    assert not await bench.status.write(PVC, stored, {"phase": "Pending"})
    assert await bench.status.write(PVC, stored, {"capacity": None})
    assert counts(bench, "aimd_status_write") == {
        ("PersistentVolumeClaim", "written"): 2,
        ("PersistentVolumeClaim", "unchanged"): 1,
    }
    again = await bench.client.get(PVC, bench.key("p"))
    assert "capacity" not in again["status"]


async def test_conditions_computed_from_an_old_version_are_rebuilt_once(bench: Bench) -> None:
    """Prove OBJ-APL-4."""
    stale = await bench.claim()
    labels = {"metadata": {"labels": {"changed": "meanwhile"}}}
    await bench.client.patch(PVC, bench.key("p"), labels, reason="test")
    assert await bench.status.write(PVC, stale, {"conditions": [condition("late")]})
    live = await bench.client.get(PVC, bench.key("p"))
    assert live["status"]["conditions"][0]["message"] == "late"


async def test_the_status_of_what_is_gone_or_another_object_is_left_alone(bench: Bench) -> None:
    live = await bench.create(CONFIG_MAP, "a")
    await bench.client.delete(CONFIG_MAP, bench.key("a"), reason="test")
    assert not await bench.status.write(CONFIG_MAP, live, {"x": 1})
    old = {**(await bench.claim())}
    old = {**old, "metadata": {**old["metadata"], "uid": "another"}}
    assert not await bench.status.write(PVC, old, {"capacity": {"storage": "1Gi"}})


@pytest.mark.parametrize("kind", [CONFIG_MAP, SERVICE_ACCOUNT, PVC])
async def test_what_we_deleted_is_gone_however_the_server_answers(bench: Bench, kind: Kind) -> None:
    """Answered with a Status, with the object as it was, or with the object while something still holds it."""
    live = await (bench.claim() if kind is PVC else bench.create(kind, "p"))
    store = bench.cache[kind]
    assert store.get(bench.key("p"))
    await bench.client.delete(kind, bench.key("p"), reason="test", uid=uid_of(live))
    left = store.get(bench.key("p"))
    assert (left is not None and "deletionTimestamp" in metadata_of(left)) if kind is PVC else left is None


FINALIZER = "example.com/one"


async def test_finalizers_come_and_go_beside_others(bench: Bench) -> None:
    live = await bench.create(CONFIG_MAP, "a")
    live = await add_finalizer(bench.client, CONFIG_MAP, live, FINALIZER)
    assert metadata_of(live)["finalizers"] == [FINALIZER]
    assert await add_finalizer(bench.client, CONFIG_MAP, live, FINALIZER) is live
    live = await add_finalizer(bench.client, CONFIG_MAP, live, "example.com/two")
    stale = live
    live = await remove_finalizer(bench.client, CONFIG_MAP, live, FINALIZER) or {}
    assert metadata_of(live)["finalizers"] == ["example.com/two"]
    again = await remove_finalizer(bench.client, CONFIG_MAP, stale, FINALIZER)
    assert metadata_of(again or {})["finalizers"] == ["example.com/two"], "the outdated copy removes nothing else"


async def test_a_stale_copy_adds_its_finalizer_to_what_is_there(bench: Bench) -> None:
    stale = await bench.create(CONFIG_MAP, "a")
    await add_finalizer(bench.client, CONFIG_MAP, stale, "example.com/theirs")
    live = await add_finalizer(bench.client, CONFIG_MAP, stale, FINALIZER)
    assert metadata_of(live)["finalizers"] == ["example.com/theirs", FINALIZER]


async def test_the_last_finalizer_lets_a_deleted_object_go(bench: Bench) -> None:
    live = await add_finalizer(bench.client, CONFIG_MAP, await bench.create(CONFIG_MAP, "a"), FINALIZER)
    await bench.client.delete(CONFIG_MAP, bench.key("a"), reason="test")
    dying = bench.cache[CONFIG_MAP].get(bench.key("a"))
    assert dying is not None
    assert metadata_of(dying)["deletionTimestamp"]
    await remove_finalizer(bench.client, CONFIG_MAP, dying, FINALIZER)
    assert bench.cache[CONFIG_MAP].get(bench.key("a")) is None
    assert await remove_finalizer(bench.client, CONFIG_MAP, live, FINALIZER) is None


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def counts(bench: Bench, name: str) -> dict[tuple[str, ...], float]:
    """A counter of the client by its labels, in the order in which they are declared."""
    families = (family for collector in bench.client.metrics.collectors for family in collector.collect())
    return {
        tuple(sample.labels.values()): sample.value
        for family in families
        if family.name == name
        for sample in family.samples
    }


async def events(bench: Bench) -> list[Manifest]:
    return await bench.client.list(EVENT, namespace=bench.namespace, field_selector="involvedObject.name=a")


async def test_a_lasting_fault_is_one_event_with_a_count(bench: Bench) -> None:
    """Prove OBJ-EVT-2."""
    live = await bench.create(CONFIG_MAP, "a")
    clock = Clock()
    recorder = EventRecorder(bench.client, "aim-test-controller", clock=clock)
    for second in range(0, 600, 5):
        clock.now = float(second)
        await recorder.record(CONFIG_MAP, live, type="Warning", reason="Broken", message=f"attempt {second}")
    found = await events(bench)
    assert len(found) == 1
    event = found[0]
    assert (event["type"], event["reason"], event["source"]["component"]) == (
        "Warning",
        "Broken",
        "aim-test-controller",
    )
    assert event["involvedObject"]["uid"] == live["metadata"]["uid"]
    assert event["count"] == 85, "written at 60, 180 and 420 s"
    assert event["message"] == "attempt 420"
    counted = [sample.value for family in bench.client.metrics.writes.collect() for sample in family.samples]
    assert sum(counted) == 1 + 1 + 1 + 3, "namespace, object, event, three counts"
    assert counts(bench, "aimd_events") == {("ConfigMap", "Warning", "Broken", "yes"): 4} | {
        ("ConfigMap", "Warning", "Broken", "suppressed"): 116
    }


async def test_an_object_gets_25_events_in_five_minutes(bench: Bench) -> None:
    """Prove OBJ-EVT-2."""
    live = await bench.create(CONFIG_MAP, "a")
    clock = Clock()
    recorder = EventRecorder(bench.client, "c", clock=clock)
    for number in range(40):
        await recorder.record(CONFIG_MAP, live, type="Normal", reason=f"Reason{number}", message="m")
    assert len(await events(bench)) == CREATIONS
    clock.now = 301.0
    await recorder.record(CONFIG_MAP, live, type="Normal", reason="Later", message="m")
    assert len(await events(bench)) == CREATIONS + 1


async def test_an_event_that_expired_is_created_again(bench: Bench) -> None:
    live = await bench.create(CONFIG_MAP, "a")
    clock = Clock()
    recorder = EventRecorder(bench.client, "c", clock=clock)
    await recorder.record(CONFIG_MAP, live, type="Normal", reason="Once", message="m")
    first = (await events(bench))[0]
    await bench.client.delete(EVENT, Key(bench.namespace, first["metadata"]["name"]), reason="test")
    clock.now = 61.0
    await recorder.record(CONFIG_MAP, live, type="Normal", reason="Once", message="m")
    assert [event["count"] for event in await events(bench)] == [1]


async def test_recording_never_fails(bench: Bench) -> None:
    nowhere = {"metadata": {"name": "a", "namespace": "no-such-namespace", "uid": "u"}}
    await EventRecorder(bench.client, "c").record(CONFIG_MAP, nowhere, type="Normal", reason="R", message="m")
    assert counts(bench, "aimd_events") == {("ConfigMap", "Normal", "R", "failed"): 1}


async def test_a_conflict_that_lasts_is_raised(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    live = await bench.claim()
    stale = {**live, "metadata": {**live["metadata"], "resourceVersion": "1"}}
    original = bench.client.get

    async def outdated(kind: Kind, key: Key) -> Manifest:
        await original(kind, key)
        return stale

    monkeypatch.setattr(bench.client, "get", outdated)
    with pytest.raises(Conflict):
        await bench.status.write(PVC, stale, {"conditions": [condition("never")]})
    assert counts(bench, "aimd_status_write") == {("PersistentVolumeClaim", "conflict"): 1}


async def test_a_dry_run_answers_like_a_write_and_stores_nothing(bench: Bench, api_server: ApiServer) -> None:
    live = await bench.create(CONFIG_MAP, "kept", data={"a": "1"})
    async with connect(ClientOptions(kubeconfig=api_server.kubeconfig, dry_run=True)) as client:
        cache = Cache()
        cache.add(Store(CONFIG_MAP))
        client.observers.append(cache)
        body = {**live, "metadata": {"name": "new", "namespace": bench.namespace}}
        assert uid_of(await client.create(CONFIG_MAP, body, reason="test"))
        patched = await client.patch(CONFIG_MAP, bench.key("kept"), {"data": {"a": "2"}}, reason="test")
        applied = await client.apply(
            CONFIG_MAP,
            {**body, "metadata": {"name": "kept", "namespace": bench.namespace}, "data": {"a": "3"}},
            field_manager="dry",
            reason="test",
        )
        replaced = await client.replace(CONFIG_MAP, {**live, "data": {"a": "4"}}, reason="test")
        assert [item["data"]["a"] for item in (patched, applied, replaced)] == ["2", "3", "4"]
        await client.delete(CONFIG_MAP, bench.key("kept"), reason="test")
        with pytest.raises(Invalid):
            await client.create(CONFIG_MAP, {**body, "metadata": {"name": "NO", "namespace": "default"}}, reason="test")
        assert len(cache[CONFIG_MAP]) == 0
    found = await bench.client.list(CONFIG_MAP, namespace=bench.namespace)
    assert {item["metadata"]["name"]: item.get("data", {}).get("a") for item in found} == {
        "kept": "1",
        "kube-root-ca.crt": None,
    }


async def test_submitting_waits_for_nothing_and_everything_submitted_is_written(bench: Bench) -> None:
    live = await bench.create(CONFIG_MAP, "a")
    recorder = EventRecorder(bench.client, "c")
    for number in range(5):
        recorder.submit(CONFIG_MAP, live, type="Normal", reason=f"Reason{number}", message="m")
    assert await events(bench) == [], "nobody writes yet"
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(recorder.run)
        await wait_until("five Events", partial(events, bench), lambda written: len(written) == 5)
        recorder.submit(CONFIG_MAP, live, type="Normal", reason="Reason5", message="m")
        recorder.close()
    assert sorted(event["reason"] for event in await events(bench)) == [f"Reason{number}" for number in range(6)]


async def test_a_backlog_of_events_does_not_hold_up_the_end(bench: Bench) -> None:
    recorder = EventRecorder(bench.client, "c")
    for number in range(BACKLOG + 5):
        live = {"metadata": {"name": f"n{number}", "namespace": bench.namespace, "uid": f"u{number}"}}
        recorder.submit(CONFIG_MAP, live, type="Normal", reason="Reason", message="m")
    recorder.close()
    with anyio.fail_after(LAST_SECONDS + 1.0):
        await recorder.run()
    written = await bench.client.list(EVENT, namespace=bench.namespace)
    assert 0 < len(written) < BACKLOG, "the rest is dropped"
    assert counts(bench, "aimd_events")["ConfigMap", "Normal", "Reason", "dropped"] == 5, "there is no place for more"
