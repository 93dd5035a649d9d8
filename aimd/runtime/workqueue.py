"""A queue of keys with client-go's guarantees, for one event loop."""

import heapq
import itertools
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

import anyio

from aimd.runtime.metrics import QueueMetrics

K = TypeVar("K", bound=Hashable)

LOW_PRIORITY = -100
"""Priority of the first list and of resyncs; real changes overtake them."""

_REASONS_KEPT = 8


class QueueClosed(Exception):
    """The queue hands out no more items."""


class Item(Generic[K]):
    """A key that waits in the queue, and then is processed."""

    __slots__ = ("key", "lane", "priority", "ready_at", "reasons")

    def __init__(self, key: K, priority: int, ready_at: float, reasons: tuple[str, ...]) -> None:
        self.key = key
        self.priority = priority
        self.ready_at = ready_at
        """When the item may be handed out, by the queue's clock."""
        self.reasons = reasons
        """Why the key was added: the first few reasons."""
        self.lane: Lane[K] | None = None
        """The lane of the ready items of this priority; None while the item isn't ready."""


class Lane(Generic[K]):
    """The ready items of one priority: groups take turns, and within a group the order is kept."""

    def __init__(self) -> None:
        self._groups: OrderedDict[Hashable, deque[Item[K]]] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._groups)

    def append(self, item: Item[K], group: Hashable) -> None:
        """Add an item as the last of its group."""
        self._groups.setdefault(group, deque()).append(item)

    def popleft(self) -> Item[K]:
        """Remove and return the first item of the group whose turn it is; that group is the last now."""
        group, items = self._groups.popitem(last=False)
        item = items.popleft()
        if items:
            self._groups[group] = items
        return item


class TokenBucket:
    """Limits a rate to `rate` per second on average and `burst` at once; returns a delay instead of waiting."""

    def __init__(self, rate: float = 10.0, burst: int = 100, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._burst = float(burst)
        self._clock = clock
        self._tokens = float(burst)
        self._at = clock()

    def reserve(self) -> float:
        """Take one token, on credit if there is none; return the seconds until it is covered."""
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        self._tokens -= 1.0
        return max(0.0, -self._tokens / self._rate)


class WorkQueue(Generic[K]):
    """The keys that one controller has to process.

    Expected flow:
    - A change adds a key. A worker gets it as an item, processes it, and calls `done` with its key.
    - After a success it calls `forget`, after a failure `add_after_failure`.

    Guarantees:
    - A key is in the queue once, however often it is added. The earliest time and the highest priority count.
    - A key that is being processed is handed out again only after `done`, and only if it was added meanwhile.
    - Among ready items the higher priority goes first. Of equal ones each group has one in turn, in the order they
      became ready; `group_of` gives the group of a key, such as its namespace.
    - Failures are delayed by key (5 ms, doubling to 1000 s) and by a token bucket that all keys share.

    Assumptions:
    - All calls come from one event loop. `clock` returns seconds and never goes back.

    Errors:
    - QueueClosed from `get`, after `close`.
    """

    def __init__(
        self,
        *,
        metrics: QueueMetrics | None = None,
        clock: Callable[[], float] = time.monotonic,
        bucket: TokenBucket | None = None,
        base_delay: float = 0.005,
        max_delay: float = 1000.0,
    ) -> None:
        self._clock = clock
        self.group_of: Callable[[K], Hashable] = lambda _: None
        """The group of a key; by default all keys are in one. Set it before keys are added."""
        self._metrics = metrics
        self._bucket = bucket or TokenBucket(clock=clock)
        self._base_delay = base_delay
        self._max_delay = max_delay
        self._waiting: dict[K, Item[K]] = {}
        self._processing: dict[K, float] = {}
        self._failures: dict[K, int] = {}
        # One lane for each priority, highest first. An item that was moved stays in its old lane and is skipped there.
        self._lanes: dict[int, Lane[K]] = {0: Lane()}
        self._delayed: list[tuple[float, int, Item[K]]] = []
        self._orders = itertools.count()
        self._sleepers: deque[anyio.Event] = deque()
        self.closed = False
        if metrics is not None:
            metrics.depths = self.depths
            metrics.unfinished = self._unfinished_seconds
            metrics.longest_running = self.longest_running

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def processing(self) -> int:
        """Number of items handed out and not done."""
        return len(self._processing)

    def add(self, key: K, *, after: float = 0.0, priority: int = 0, reason: str = "") -> None:
        """Enqueue `key`, ready after `after` s. If queued already, keep the earlier time and the higher priority."""
        if self.closed:
            return
        now = self._clock()
        ready_at = now + after if after > 0 else now
        item = self._waiting.get(key)
        if item is None:
            if self._metrics is not None:
                self._metrics.adds += 1
            item = self._waiting[key] = Item(key, priority, ready_at, (reason,) if reason else ())
        else:
            if reason and reason not in item.reasons and len(item.reasons) < _REASONS_KEPT:
                item.reasons = (*item.reasons, reason)
            if item.ready_at <= ready_at and item.priority >= priority:
                return
            item.lane = None
            item.priority = max(item.priority, priority)
            item.ready_at = min(item.ready_at, ready_at)
        if key not in self._processing:
            self._schedule(item, now)

    def add_after_failure(self, key: K, *, reason: str = "retry", priority: int = 0, at_least: float = 0.0) -> float:
        """Enqueue `key` after its backoff, or after `at_least` s if that is longer; return the delay in seconds."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        own = min(self._base_delay * 2.0 ** min(failures, 64), self._max_delay)
        delay = max(own, self._bucket.reserve(), at_least)
        if self._metrics is not None:
            self._metrics.retries += 1
        self.add(key, after=delay, priority=priority, reason=reason)
        return delay

    def forget(self, key: K) -> None:
        """Reset the key's backoff, after a success."""
        self._failures.pop(key, None)

    def take(self) -> Item[K] | None:
        """Return the next ready item, or None; call `done` for it."""
        now = self._clock()
        if self._delayed:
            self._promote(now)
        for lane in self._lanes.values():
            while lane:
                item = lane.popleft()
                if item.lane is not lane:
                    continue
                key = item.key
                del self._waiting[key]
                self._processing[key] = now
                if self._metrics is not None:
                    self._metrics.queue_duration.observe(now - item.ready_at)
                return item
        return None

    async def get(self) -> Item[K]:
        """Wait for the next ready item and return it; call `done` for it. Raises QueueClosed."""
        while not self.closed:
            item = self.take()
            if item is not None:
                return item
            await self._sleep()
        raise QueueClosed

    def done(self, key: K) -> None:
        """End the processing of `key`; it is handed out again if it was added meanwhile."""
        started = self._processing.pop(key, None)
        now = self._clock()
        if started is not None and self._metrics is not None:
            self._metrics.work_duration.observe(now - started)
        item = self._waiting.get(key)
        if item is not None and item.lane is None:
            self._schedule(item, now)

    def close(self) -> None:
        """Hand out nothing more, and make every `get` raise QueueClosed."""
        self.closed = True
        while self._sleepers:
            self._wake_one()

    def depths(self) -> dict[int, int]:
        """Count the ready items by priority; a scrape pays for it, not the workers."""
        counts = dict.fromkeys(self._lanes, 0)
        for item in self._waiting.values():
            if item.lane is not None:
                counts[item.priority] += 1
        return counts

    def longest_running(self) -> float:
        """Return for how many seconds the oldest item has been processed so far."""
        return self._clock() - min(self._processing.values()) if self._processing else 0.0

    def _unfinished_seconds(self) -> float:
        now = self._clock()
        return sum(now - started for started in self._processing.values())

    def _schedule(self, item: Item[K], now: float) -> None:
        if item.ready_at <= now:
            self._enter_lane(item)
            if self._sleepers:
                self._wake_one()
            return
        heapq.heappush(self._delayed, (item.ready_at, next(self._orders), item))
        if self._delayed[0][2] is item:
            self._wake_one()  # The workers sleep until an item that is ready later.

    def _promote(self, now: float) -> None:
        """Move delayed items that are ready by now to their lanes."""
        while self._delayed and self._delayed[0][0] <= now:
            ready_at, _, item = heapq.heappop(self._delayed)
            current = self._waiting.get(item.key) is item and item.lane is None and item.ready_at == ready_at
            if current and item.key not in self._processing:
                self._enter_lane(item)

    def _enter_lane(self, item: Item[K]) -> None:
        lane = self._lanes.get(item.priority)
        if lane is None:
            self._lanes[item.priority] = lane = Lane()
            self._lanes = dict(sorted(self._lanes.items(), reverse=True))
        item.lane = lane
        lane.append(item, self.group_of(item.key))

    async def _sleep(self) -> None:
        """Wait until an item may be ready: one was added, or the first delayed one is due."""
        mine = anyio.Event()
        self._sleepers.append(mine)
        due = max(0.0, self._delayed[0][0] - self._clock()) if self._delayed else float("inf")
        try:
            with anyio.move_on_after(due):
                await mine.wait()
        finally:
            if mine in self._sleepers:
                self._sleepers.remove(mine)

    def _wake_one(self) -> None:
        if self._sleepers:
            self._sleepers.popleft().set()
