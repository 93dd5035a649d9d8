"""Workers survive whatever a reconciler does, one key at a time, and say how it went."""

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any

import anyio
import pytest
import structlog

from aimd.runtime.controller import Controller, Watch
from aimd.runtime.errors import Conflict, TerminalError, TooManyRequests
from aimd.runtime.handlers import for_object, for_owner
from aimd.runtime.informer import Informer
from aimd.runtime.kinds import CONFIG_MAP, JOB, NODE, POD
from aimd.runtime.logging import configure
from aimd.runtime.metrics import ManagerMetrics
from aimd.runtime.objects import Key, Manifest, Request, Result
from aimd.runtime.predicates import generation_changed
from aimd.runtime.store import Cache, Store


def thing(name: str, version: int = 1, **metadata: Any) -> Manifest:
    return {"metadata": {"name": name, "namespace": "ns", "uid": name, "resourceVersion": str(version), **metadata}}


class Scripted:
    """Reconciles by calling `act` with the request."""

    name = "scripted"
    kind = CONFIG_MAP
    workers = 3
    watches: Sequence[Watch] = (Watch(CONFIG_MAP, for_object), Watch(POD, for_owner(CONFIG_MAP), generation_changed))
    informers: Sequence[Informer] = (Informer(NODE, optional=True),)

    def __init__(self, act: Callable[[Request], Any]) -> None:
        self.act = act
        self.requests: list[Request] = []

    async def reconcile(self, request: Request) -> Result:
        self.requests.append(request)
        outcome = self.act(request)
        if hasattr(outcome, "__await__"):
            outcome = await outcome
        return outcome or Result()


class Bench:
    def __init__(self, act: Callable[[Request], Any], timeout: float = 5.0) -> None:
        self.cache = Cache()
        self.cache.add(Store(CONFIG_MAP))
        self.cache.add(Store(POD))
        self.cache.add(Store(NODE))
        self.metrics = ManagerMetrics("test")
        self.reconciler = Scripted(act)
        self.controller = Controller(self.reconciler, self.cache, self.metrics, reconcile_timeout=timeout)
        self.controller.subscribe()

    def value(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, {"controller": "scripted", **labels})

    async def run_until(self, done: Callable[[], bool]) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.controller.run)
            with anyio.fail_after(5):
                while not done():  # noqa: ASYNC110
                    await anyio.sleep(0.002)
            self.controller.queue.close()

    def upsert(self, name: str, version: int = 1) -> None:
        self.cache[CONFIG_MAP].upsert(thing(name, version))

    @property
    def keys(self) -> list[str]:
        return [request.key.name for request in self.reconciler.requests]


async def test_changes_wake_keys_with_the_reason() -> None:
    bench = Bench(lambda request: None)
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "a", "uid": "a", "controller": True}
    pod = thing("p", generation=1, ownerReferences=[owner])
    bench.cache[POD].upsert(pod)
    bench.cache[POD].upsert({**pod, "metadata": {**pod["metadata"], "resourceVersion": "2"}})
    await bench.run_until(lambda: bench.keys == ["a"])
    assert bench.reconciler.requests == [Request(Key("ns", "a"), ("Pod ns/p",))]
    assert bench.value("controller_runtime_reconcile_total", result="success") == 1
    assert bench.value("controller_runtime_reconcile_total", result="error") == 0


async def test_everybody_is_woken_when_an_optional_kind_comes_or_goes() -> None:
    bench = Bench(lambda request: None)
    for name in ("a", "b"):
        bench.upsert(name)
    bench.cache[NODE].set_available(available=True)
    bench.cache[NODE].set_available(available=False)
    await bench.run_until(lambda: len(bench.keys) == 2)
    assert {request.reasons for request in bench.reconciler.requests} == {
        ("ConfigMap ns/a", "Node appeared or disappeared"),
        ("ConfigMap ns/b", "Node appeared or disappeared"),
    }


async def test_a_deleted_object_wakes_its_own_key() -> None:
    bench = Bench(lambda request: None)
    bench.upsert("a")
    await bench.run_until(lambda: len(bench.keys) == 1)
    bench.controller.queue.closed = False
    bench.cache[CONFIG_MAP].remove(thing("a", 2))
    await bench.run_until(lambda: len(bench.keys) == 2)


def test_owners_are_matched_by_group_and_kind() -> None:
    cache = Cache()

    def owned(api_version: str, kind: str) -> Manifest:
        reference = {"apiVersion": api_version, "kind": kind, "name": "o", "uid": "u", "controller": True}
        return thing("x", ownerReferences=[reference])

    assert list(for_owner(JOB)(owned("batch/v1", "Job"), cache)) == [Key("ns", "o")]
    assert list(for_owner(JOB)(owned("batch/v1beta1", "Job"), cache)) == [Key("ns", "o")]
    assert list(for_owner(JOB)(owned("other/v1", "Job"), cache)) == []
    assert list(for_owner(NODE)(owned("v1", "Node"), cache)) == [Key("", "o")]
    assert list(for_owner(JOB)(thing("x"), cache)) == []


async def test_every_exception_is_counted_backed_off_and_survived(capsys: pytest.CaptureFixture[str]) -> None:
    configure("error", json=True)

    def act(request: Request) -> Any:
        seen = bench.keys.count(request.key.name)
        match request.key.name:
            case "panics" if seen < 3:
                raise ValueError("a bug")
            case "conflicts" if seen < 3:
                raise Conflict("changed meanwhile", status=409)
            case "ends":
                raise TerminalError("never")
        return None

    bench = Bench(act)
    for name in ("panics", "conflicts", "ends", "fine"):
        bench.upsert(name)
    try:
        await bench.run_until(lambda: len(bench.keys) == 8)
    finally:
        structlog.reset_defaults()
    assert bench.keys.count("ends") == 1
    assert bench.value("controller_runtime_reconcile_panics_total") == 2
    assert bench.value("controller_runtime_terminal_reconcile_errors_total") == 1
    assert bench.value("controller_runtime_reconcile_errors_total") == 5
    assert bench.value("controller_runtime_reconcile_total", result="success") == 3
    lines = [json.loads(text) for text in capsys.readouterr().err.splitlines()]
    assert len(lines) == 3, "two panics and a terminal error; conflicts are quiet"
    panic = next(line for line in lines if line["name"] == "panics")
    assert "ValueError: a bug" in panic["exception"]
    assert (panic["controller"], panic["namespace"], panic["level"]) == ("scripted", "ns", "error")
    assert panic["reconcileID"]


async def test_a_reconcile_that_hangs_is_cancelled_and_holds_up_nobody() -> None:
    def act(request: Request) -> Any:
        if request.key.name == "hangs" and bench.keys.count("hangs") == 1:
            return anyio.sleep(60)
        return None

    bench = Bench(act, timeout=0.1)
    for name in ("hangs", "a", "b"):
        bench.upsert(name)
    await bench.run_until(lambda: bench.keys.count("hangs") == 2)
    assert bench.value("controller_runtime_reconcile_timeouts_total") == 1
    assert bench.value("controller_runtime_reconcile_panics_total") == 0


async def test_one_hangs_one_raises_one_swallows_its_cancellation_and_the_others_are_as_quick_as_ever() -> None:
    async def swallow() -> None:
        try:
            await anyio.sleep(60)
        except asyncio.CancelledError:
            return

    def act(request: Request) -> Any:
        kind = request.key.name.partition("-")[0]
        if kind == "hangs":
            return anyio.sleep(60)
        if kind == "raises":
            raise RuntimeError("no")
        return swallow() if kind == "swallows" else None

    bench = Bench(act, timeout=0.1)
    for name in ("hangs-1", "raises-1", "swallows-1", *(f"good-{index}" for index in range(50))):
        bench.upsert(name)
    timeouts = "controller_runtime_reconcile_timeouts_total"
    good = {f"good-{index}" for index in range(50)}
    await bench.run_until(lambda: good <= set(bench.keys) and (bench.value(timeouts) or 0) >= 2)
    assert all(bench.keys.count(name) == 1 for name in good)
    assert (bench.value("controller_runtime_reconcile_panics_total") or 0) >= 1


async def test_a_stray_cancellation_ends_no_worker() -> None:
    def act(request: Request) -> Any:
        if len(bench.keys) <= 6:
            raise asyncio.CancelledError
        return None

    bench = Bench(act)
    bench.upsert("a")
    bench.upsert("b")
    await bench.run_until(lambda: len(bench.keys) == 8)
    assert bench.value("controller_runtime_reconcile_panics_total") == 6


async def test_a_timeout_of_its_own_is_no_reconcile_timeout() -> None:
    def act(request: Request) -> Any:
        if len(bench.keys) == 1:
            raise TimeoutError("some library")
        return None

    bench = Bench(act)
    bench.upsert("a")
    await bench.run_until(lambda: len(bench.keys) == 2)
    assert bench.value("controller_runtime_reconcile_timeouts_total") == 0
    assert bench.value("controller_runtime_reconcile_panics_total") == 1


async def test_one_key_is_never_worked_on_twice_at_once() -> None:
    running: set[str] = set()

    async def act(request: Request) -> Result:
        assert request.key.name not in running
        running.add(request.key.name)
        await anyio.sleep(0.01)
        running.remove(request.key.name)
        return Result()

    bench = Bench(act)
    version = 0
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bench.run_until, lambda: len(bench.keys) >= 15)
        while len(bench.keys) < 15:
            version += 1
            bench.upsert("a", version)
            bench.upsert("b", version)
            await anyio.sleep(0.003)
    assert bench.value("controller_runtime_reconcile_panics_total") == 0


async def test_asking_again() -> None:
    def act(request: Request) -> Any:
        seen = bench.keys.count(request.key.name)
        if request.key.name == "later":
            return Result(requeue_after=0.01) if seen < 3 else None
        if request.key.name == "retry":
            return Result(retry=True) if seen < 3 else None
        if seen == 1:
            raise TooManyRequests("slow down", status=429, retry_after=0.2)
        return None

    bench = Bench(act)
    for name in ("later", "retry", "limited"):
        bench.upsert(name)
    started = anyio.current_time()
    await bench.run_until(lambda: len(bench.keys) == 8)
    assert anyio.current_time() - started >= 0.2
    assert bench.value("controller_runtime_reconcile_total", result="requeue_after") == 2
    assert bench.value("controller_runtime_reconcile_total", result="requeue") == 2


async def test_closing_lets_reconciles_in_flight_end() -> None:
    ended: list[str] = []

    async def act(request: Request) -> Result:
        await anyio.sleep(0.05)
        ended.append(request.key.name)
        return Result()

    bench = Bench(act)
    for name in "abcdef":
        bench.upsert(name)
    await bench.run_until(lambda: len(bench.keys) == 3)
    assert sorted(ended) == sorted(bench.keys)
    assert len(ended) == 3


async def test_a_burst_of_changes_is_one_reconcile_and_a_user_s_change_does_not_wait_for_it() -> None:
    bench = Bench(lambda request: None)
    bench.reconciler.watches = (Watch(CONFIG_MAP, for_object), Watch(POD, for_object, delay=0.1))
    burst = Controller(bench.reconciler, bench.cache, ManagerMetrics("burst"))
    burst.subscribe()
    for version in range(1, 6):
        bench.cache[POD].upsert(
            {"metadata": {"name": "p", "namespace": "ns", "uid": "u", "resourceVersion": str(version)}}
        )
    assert burst.queue.take() is None
    bench.cache[CONFIG_MAP].upsert(thing("p", 9))
    item = burst.queue.take()
    assert item is not None
    assert item.key == Key("ns", "p")
    burst.queue.done(item.key)
    await anyio.sleep(0.15)
    assert burst.queue.take() is None


async def test_a_backlog_of_reconciles_that_wait_for_nothing_lets_others_run() -> None:
    count = 300
    bench = Bench(lambda request: None)
    for number in range(count):
        bench.upsert(f"object-{number}")
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0)
            ticks += 1

    ticking = asyncio.create_task(tick())
    await bench.run_until(lambda: len(bench.keys) == count)
    ticking.cancel()
    assert ticks >= count / Scripted.workers


async def test_predicates_and_handlers_that_fail_cost_one_object() -> None:
    """Prove OBJ-TEN-1."""

    def by_data(manifest: Manifest, _cache: Cache) -> Sequence[Key]:
        return [Key("ns", manifest["data"]["target"])]

    def data_changed(before: Manifest | None, after: Manifest | None) -> bool:
        return bool(
            (before or {})["data"]["target"] != (after or {})["data"]["target"]
        )  # raises for objects without data

    bench = Bench(lambda request: None)
    for watch in (Watch(CONFIG_MAP, by_data, data_changed), Watch(POD, by_data)):
        bench.cache[watch.kind].subscribe(bench.controller._subscriber(watch))
    with structlog.testing.capture_logs() as logs:
        bench.upsert("odd")
        bench.cache[POD].upsert(thing("p"))
        bench.cache[POD].upsert({**thing("q"), "data": {"target": "other"}})
    await bench.run_until(lambda: len(bench.keys) == 2)
    assert sorted(bench.keys) == ["odd", "other"], "an object of the own kind wakes itself"
    assert {(line["event"], line["key"]) for line in logs} == {
        ("predicate failed", "ns/odd"), ("handler failed", "ns/odd"), ("handler failed", "ns/p"),
    }  # fmt: skip
