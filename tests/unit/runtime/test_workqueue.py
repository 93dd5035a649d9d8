"""The queue against a simple model of what it promises, on a clock that the test sets."""

from typing import Any

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from prometheus_client import CollectorRegistry

from aimd.runtime.metrics import ManagerMetrics, QueueMetrics
from aimd.runtime.objects import Key
from aimd.runtime.workqueue import LOW_PRIORITY, QueueClosed, TokenBucket, WorkQueue


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def queue(clock: Clock, **options: Any) -> WorkQueue[str]:
    return WorkQueue(clock=clock, **options)


def drain(work: WorkQueue[str]) -> list[str]:
    keys = []
    while (item := work.take()) is not None:
        keys.append(item.key)
    return keys


def test_a_key_is_queued_once_and_keeps_why() -> None:
    work = queue(Clock())
    work.add("a", reason="pod x")
    work.add("b")
    work.add("a", reason="pod y")
    first = work.take()
    assert first is not None
    assert (first.key, first.reasons) == ("a", ("pod x", "pod y"))
    assert drain(work) == ["b"]


def test_a_key_in_flight_is_handed_out_again_only_after_done_and_once() -> None:
    work = queue(Clock())
    work.add("a")
    assert drain(work) == ["a"]
    work.add("a")
    work.add("a")
    assert drain(work) == []
    work.done("a")
    assert drain(work) == ["a"]
    work.done("a")
    assert drain(work) == []


def test_higher_priority_goes_first_and_equals_in_order() -> None:
    work = queue(Clock())
    for key in ("c", "a", "b"):
        work.add(key, priority=LOW_PRIORITY)
    work.add("z")
    work.add("b")
    assert drain(work) == ["z", "b", "c", "a"]


def test_namespaces_take_turns_however_much_one_has_to_do() -> None:
    """Prove OBJ-BND-4."""
    queue: WorkQueue[Key] = WorkQueue()
    queue.group_of = lambda key: key.namespace
    for number in range(500):
        for noisy in range(20):
            queue.add(Key(f"noisy-{noisy}", f"x{number}"))
    queue.add(Key("quiet", "b"))
    queue.add(Key("quiet", "a"))
    order = []
    while (item := queue.take()) is not None:
        order.append(item.key)
        queue.done(item.key)
    assert [order.index(Key("quiet", name)) for name in "ba"] == [20, 41]
    assert len(order) == 10_002
    assert [key.name for key in order if key.namespace == "noisy-7"] == [f"x{number}" for number in range(500)]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3), st.integers(-1, 1)), max_size=40))
def test_turns_lose_no_key_and_respect_priorities(added: list[tuple[str, int, int]]) -> None:
    """Prove OBJ-BND-4."""
    queue: WorkQueue[Key] = WorkQueue()
    queue.group_of = lambda key: key.namespace
    highest: dict[Key, int] = {}
    for namespace, number, priority in added:
        key = Key(namespace, str(number))
        highest[key] = max(highest.get(key, -1), priority)
        queue.add(key, priority=priority)
    taken = []
    while (item := queue.take()) is not None:
        taken.append(item)
    assert sorted(item.key for item in taken) == sorted(highest)
    assert [item.priority for item in taken] == sorted(highest.values(), reverse=True)


def test_delayed_keys_wait_and_the_earliest_time_wins() -> None:
    clock = Clock()
    work = queue(clock)
    work.add("a", after=10)
    work.add("b", after=5)
    work.add("a", after=20)
    assert drain(work) == []
    clock.now += 5
    assert drain(work) == ["b"]
    clock.now += 5
    assert drain(work) == ["a"]
    clock.now += 100
    assert drain(work) == []


def test_a_change_overtakes_the_back_off() -> None:
    work = queue(Clock())
    work.add_after_failure("a")
    assert drain(work) == []
    work.add("a")
    assert drain(work) == ["a"]


def test_back_off_doubles_from_5_ms_to_1000_s_and_is_forgotten_on_success() -> None:
    clock = Clock()
    work = queue(clock, bucket=TokenBucket(rate=1e9, burst=1000, clock=clock))
    delays = [work.add_after_failure("a") for _ in range(30)]
    assert delays[:4] == [0.005, 0.01, 0.02, 0.04]
    assert delays[-1] == 1000.0
    work.forget("a")
    assert work.add_after_failure("a") == 0.005


def test_the_bucket_slows_failures_of_many_keys_and_nothing_else() -> None:
    clock = Clock()
    work = queue(clock, bucket=TokenBucket(rate=10, burst=100, clock=clock))
    delays = [work.add_after_failure(str(number)) for number in range(200)]
    assert delays[99] == 0.005
    assert delays[199] == pytest.approx(10.0)
    work.add("urgent")
    assert drain(work) == ["urgent"]


def test_ten_thousand_keys_of_the_first_list_do_not_delay_a_change() -> None:
    work = queue(Clock())
    for number in range(10_000):
        work.add(str(number), priority=LOW_PRIORITY)
    work.add("9999")
    item = work.take()
    assert item is not None
    assert item.key == "9999"


def test_depth_counts_what_is_ready_by_priority() -> None:
    clock = Clock()
    families = ManagerMetrics("test")
    work = queue(clock, metrics=QueueMetrics(families, "q"))
    work.add("a")
    work.add("b", after=5)
    work.add("c", priority=LOW_PRIORITY)

    def depth(priority: str) -> float | None:
        labels = {"name": "q", "controller": "q", "priority": priority}
        registry: CollectorRegistry = families.registry
        return registry.get_sample_value("workqueue_depth", labels)

    assert (depth("0"), depth("-100")) == (1.0, 1.0)
    work.add("c")
    assert (depth("0"), depth("-100")) == (2.0, 0.0)
    drain(work)
    assert (depth("0"), depth("-100")) == (0.0, 0.0)
    clock.now += 5
    work.take()
    assert depth("0") == 0.0


async def test_get_waits_for_keys_and_ends_when_closed() -> None:
    work: WorkQueue[str] = WorkQueue()
    got: list[str] = []

    async def worker() -> None:
        while True:
            try:
                item = await work.get()
            except QueueClosed:
                return
            got.append(item.key)
            work.done(item.key)

    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(worker)
        await anyio.lowlevel.checkpoint()
        work.add("a")
        work.add("b", after=0.01)
        with anyio.fail_after(2):
            while len(got) < 2:  # noqa: ASYNC110
                await anyio.sleep(0.001)
        work.close()
    assert got == ["a", "b"]


class QueueModel(RuleBasedStateMachine):
    """Whatever is added is handed out, once ready, never twice at once, highest priority first."""

    keys = st.sampled_from("abcde")

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.queue = queue(self.clock)
        self.waiting: dict[str, tuple[float, int]] = {}
        self.processing: set[str] = set()

    @rule(key=keys, after=st.sampled_from([0, 0, 1, 5]), priority=st.sampled_from([LOW_PRIORITY, 0, 10]))
    def add(self, key: str, after: float, priority: int) -> None:
        self.queue.add(key, after=after, priority=priority)
        ready, known = self.waiting.get(key, (float("inf"), priority))
        self.waiting[key] = (min(ready, self.clock.now + after), max(known, priority))

    @rule(seconds=st.sampled_from([0.5, 1, 7]))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule()
    def take(self) -> None:
        item = self.queue.take()
        ready = {
            key: priority
            for key, (at, priority) in self.waiting.items()
            if at <= self.clock.now and key not in self.processing
        }
        if item is None:
            assert not ready
            return
        assert ready[item.key] == item.priority == max(ready.values())
        del self.waiting[item.key]
        self.processing.add(item.key)

    @precondition(lambda self: self.processing)
    @rule(data=st.data())
    def done(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.processing)))
        self.processing.remove(key)
        self.queue.done(key)

    @invariant()
    def sizes_agree(self) -> None:
        assert len(self.queue) == len(self.waiting)
        assert self.queue.processing == len(self.processing)


TestQueueModel = QueueModel.TestCase
TestQueueModel.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
