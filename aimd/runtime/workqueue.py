"""A queue of keys with client-go's guarantees, for one event loop.

A key is in the queue once however often it is added; a key that is being worked on is handed out again only after
`done`, once; failures are delayed per key (5 ms doubling to 1000 s) and by an overall bucket; among ready keys the
higher priority goes first, equals in the order they came. The clock is a parameter, so that tests run in no time.
"""

import heapq
import itertools
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

import anyio

from aimd.runtime.metrics import QueueMetrics

K = TypeVar("K", bound=Hashable)

LOW_PRIORITY = -100
"""For the first list and for resyncs: whatever really happens overtakes them."""

_REASONS_KEPT = 8


class QueueClosed(Exception):
    """The queue hands out no more keys."""


@dataclass(slots=True)
class _Waiting:
    priority: int
    ready_at: float
    order: int
    reasons: frozenset[str]
    counted: bool = False


@dataclass(frozen=True, slots=True)
class Turn(Generic[K]):
    """A key handed out, why it was added, and with which priority."""

    key: K
    reasons: frozenset[str]
    priority: int


class TokenBucket:
    """`rate` per second on average, `burst` at once; says how long to wait instead of waiting."""

    def __init__(self, rate: float = 10.0, burst: int = 100, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._burst = float(burst)
        self._clock = clock
        self._tokens = float(burst)
        self._at = clock()

    def reserve(self) -> float:
        """Takes one token, on credit if need be; seconds until it is covered."""
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        self._tokens -= 1.0
        return max(0.0, -self._tokens / self._rate)


class WorkQueue(Generic[K]):
    """The keys of one controller that wait for a turn."""

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
        self._metrics = metrics
        self._bucket = bucket or TokenBucket(clock=clock)
        self._base_delay = base_delay
        self._max_delay = max_delay
        self._waiting: dict[K, _Waiting] = {}
        self._working: dict[K, float] = {}
        self._failures: dict[K, int] = {}
        self._ready: list[tuple[int, int, K]] = []
        self._delayed: list[tuple[float, int, K]] = []
        self._depths: dict[int, int] = {}
        self._orders = itertools.count()
        self._changed = anyio.Event()
        self.closed = False
        if metrics is not None:
            metrics.observe_running(self._unfinished_seconds, self.longest_running)

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def working(self) -> int:
        """Number of keys handed out and not done."""
        return len(self._working)

    def add(self, key: K, *, after: float = 0.0, priority: int = 0, reason: str = "") -> None:
        """Wants a turn for `key`, in `after` seconds; merges with what already waits: sooner and higher win."""
        if self.closed:
            return
        now = self._clock()
        reasons = frozenset((reason,)) if reason else frozenset[str]()
        entry = _Waiting(priority, now + max(after, 0.0), next(self._orders), reasons)
        known = self._waiting.get(key)
        if known is None:
            if self._metrics is not None:
                self._metrics.adds.inc()
        else:
            unchanged = known.ready_at <= entry.ready_at and known.priority >= priority
            merged = known.reasons | reasons
            if len(merged) <= _REASONS_KEPT:
                known.reasons = merged
            if unchanged:
                return
            self._uncount(known)
            entry.reasons = known.reasons
            entry.priority = max(known.priority, priority)
            entry.ready_at = min(known.ready_at, entry.ready_at)
        self._waiting[key] = entry
        if key not in self._working:
            self._schedule(key, entry)

    def add_after_failure(self, key: K, *, reason: str = "retry", priority: int = 0, at_least: float = 0.0) -> float:
        """Wants another turn after the key's back-off; returns the delay in seconds."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        own = min(self._base_delay * 2.0 ** min(failures, 64), self._max_delay)
        delay = max(own, self._bucket.reserve(), at_least)
        if self._metrics is not None:
            self._metrics.retries.inc()
        self.add(key, after=delay, priority=priority, reason=reason)
        return delay

    def forget(self, key: K) -> None:
        """The key succeeded: its next failure starts with the shortest delay."""
        self._failures.pop(key, None)

    def take(self) -> Turn[K] | None:
        """The next ready key, or None; the caller must call `done` for it."""
        now = self._clock()
        self._promote(now)
        while self._ready:
            negative, order, key = heapq.heappop(self._ready)
            entry = self._waiting.get(key)
            if entry is None or key in self._working or (entry.order, -entry.priority) != (order, negative):
                continue
            del self._waiting[key]
            self._uncount(entry)
            self._working[key] = now
            if self._metrics is not None:
                self._metrics.queue_duration.observe(now - entry.ready_at)
            return Turn(key, entry.reasons, entry.priority)
        return None

    async def get(self) -> Turn[K]:
        """Waits for the next key. Raises QueueClosed after `close`."""
        while not self.closed:
            turn = self.take()
            if turn is not None:
                return turn
            changed = self._changed
            with anyio.move_on_after(self._until_next()):
                await changed.wait()
        raise QueueClosed

    def done(self, key: K) -> None:
        """The turn is over; the key is handed out again if it was added meanwhile."""
        started = self._working.pop(key, None)
        if started is not None and self._metrics is not None:
            self._metrics.work_duration.observe(self._clock() - started)
        entry = self._waiting.get(key)
        if entry is not None:
            self._schedule(key, entry)

    def close(self) -> None:
        """Hands out nothing more and wakes whoever waits."""
        self.closed = True
        self._wake()

    def longest_running(self) -> float:
        """Seconds the longest unfinished turn has taken so far."""
        return self._clock() - min(self._working.values()) if self._working else 0.0

    def _unfinished_seconds(self) -> float:
        now = self._clock()
        return sum(now - started for started in self._working.values())

    def _schedule(self, key: K, entry: _Waiting) -> None:
        if entry.ready_at <= self._clock():
            self._make_ready(key, entry)
        else:
            heapq.heappush(self._delayed, (entry.ready_at, entry.order, key))
        self._wake()

    def _promote(self, now: float) -> None:
        while self._delayed and self._delayed[0][0] <= now:
            _, order, key = heapq.heappop(self._delayed)
            entry = self._waiting.get(key)
            if entry is not None and entry.order == order and key not in self._working:
                self._make_ready(key, entry)

    def _make_ready(self, key: K, entry: _Waiting) -> None:
        heapq.heappush(self._ready, (-entry.priority, entry.order, key))
        if not entry.counted:
            entry.counted = True
            self._count_depth(entry, +1)

    def _uncount(self, entry: _Waiting) -> None:
        if entry.counted:
            entry.counted = False
            self._count_depth(entry, -1)

    def _until_next(self) -> float:
        """Seconds until a delayed key may be ready."""
        return max(0.0, self._delayed[0][0] - self._clock()) if self._delayed else float("inf")

    def _wake(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    def _count_depth(self, entry: _Waiting, change: int) -> None:
        depth = self._depths[entry.priority] = self._depths.get(entry.priority, 0) + change
        if self._metrics is not None:
            self._metrics.set_depth(entry.priority, depth)
