"""A queue of keys with client-go's guarantees, for one event loop.

A key is in the queue once however often it is added; a key that is being worked on is handed out again only after
`done`, once; failures are delayed per key (5 ms doubling to 1000 s) and by an overall bucket; among ready keys the
higher priority goes first, equals in the order they came. The clock is a parameter, so that tests run in no time.
"""

import heapq
import itertools
import time
from collections import deque
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

import anyio

from aimd.runtime.metrics import QueueMetrics

K = TypeVar("K", bound=Hashable)

LOW_PRIORITY = -100
"""For the first list and for resyncs: whatever really happens overtakes them."""

_REASONS_KEPT = 8


class QueueClosed(Exception):
    """The queue hands out no more keys."""


class Turn(Generic[K]):
    """A turn that is wanted, then handed out: its key, why it was added (the first few reasons), its priority.

    `ready_at` is when it may be handed out; `line` where it stands among the ready ones, None while it is not ready.
    """

    __slots__ = ("key", "line", "priority", "ready_at", "reasons")

    def __init__(self, key: K, priority: int, ready_at: float, reasons: tuple[str, ...]) -> None:
        self.key = key
        self.priority = priority
        self.ready_at = ready_at
        self.reasons = reasons
        self.line: deque[Turn[K]] | None = None


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
        self._waiting: dict[K, Turn[K]] = {}
        self._working: dict[K, float] = {}
        self._failures: dict[K, int] = {}
        # A line for each priority, highest first; who has left his line without being taken is skipped in it.
        self._lines: dict[int, deque[Turn[K]]] = {0: deque()}
        self._delayed: list[tuple[float, int, Turn[K]]] = []
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
    def working(self) -> int:
        """Number of keys handed out and not done."""
        return len(self._working)

    def add(self, key: K, *, after: float = 0.0, priority: int = 0, reason: str = "") -> None:
        """Wants a turn for `key`, in `after` seconds; merges with what already waits: sooner and higher win."""
        if self.closed:
            return
        now = self._clock()
        ready_at = now + after if after > 0 else now
        entry = self._waiting.get(key)
        if entry is None:
            if self._metrics is not None:
                self._metrics.adds += 1
            entry = self._waiting[key] = Turn(key, priority, ready_at, (reason,) if reason else ())
        else:
            if reason and reason not in entry.reasons and len(entry.reasons) < _REASONS_KEPT:
                entry.reasons = (*entry.reasons, reason)
            if entry.ready_at <= ready_at and entry.priority >= priority:
                return
            entry.line = None
            entry.priority = max(entry.priority, priority)
            entry.ready_at = min(entry.ready_at, ready_at)
        if key not in self._working:
            self._schedule(entry, now)

    def add_after_failure(self, key: K, *, reason: str = "retry", priority: int = 0, at_least: float = 0.0) -> float:
        """Wants another turn after the key's back-off; returns the delay in seconds."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        own = min(self._base_delay * 2.0 ** min(failures, 64), self._max_delay)
        delay = max(own, self._bucket.reserve(), at_least)
        if self._metrics is not None:
            self._metrics.retries += 1
        self.add(key, after=delay, priority=priority, reason=reason)
        return delay

    def forget(self, key: K) -> None:
        """The key succeeded: its next failure starts with the shortest delay."""
        self._failures.pop(key, None)

    def take(self) -> Turn[K] | None:
        """The next ready key, or None; the caller must call `done` for it."""
        now = self._clock()
        if self._delayed:
            self._promote(now)
        for line in self._lines.values():
            while line:
                entry = line.popleft()
                if entry.line is not line:
                    continue
                key = entry.key
                del self._waiting[key]
                self._working[key] = now
                if self._metrics is not None:
                    self._metrics.queue_duration.observe(now - entry.ready_at)
                return entry
        return None

    async def get(self) -> Turn[K]:
        """Waits for the next key. Raises QueueClosed after `close`."""
        while not self.closed:
            turn = self.take()
            if turn is not None:
                return turn
            await self._sleep()
        raise QueueClosed

    def done(self, key: K) -> None:
        """The turn is over; the key is handed out again if it was added meanwhile."""
        started = self._working.pop(key, None)
        now = self._clock()
        if started is not None and self._metrics is not None:
            self._metrics.work_duration.observe(now - started)
        entry = self._waiting.get(key)
        if entry is not None and entry.line is None:
            self._schedule(entry, now)

    def close(self) -> None:
        """Hands out nothing more and wakes whoever waits."""
        self.closed = True
        while self._sleepers:
            self._wake_one()

    def depths(self) -> dict[int, int]:
        """Number of ready keys by priority; counted when asked, so that no turn pays for it."""
        counts = dict.fromkeys(self._lines, 0)
        for entry in self._waiting.values():
            if entry.line is not None:
                counts[entry.priority] += 1
        return counts

    def longest_running(self) -> float:
        """Seconds the longest unfinished turn has taken so far."""
        return self._clock() - min(self._working.values()) if self._working else 0.0

    def _unfinished_seconds(self) -> float:
        now = self._clock()
        return sum(now - started for started in self._working.values())

    def _schedule(self, entry: Turn[K], now: float) -> None:
        if entry.ready_at <= now:
            self._enter_line(entry)
            if self._sleepers:
                self._wake_one()
            return
        heapq.heappush(self._delayed, (entry.ready_at, next(self._orders), entry))
        if self._delayed[0][2] is entry:
            self._wake_one()  # Whoever sleeps now would sleep too long.

    def _promote(self, now: float) -> None:
        while self._delayed and self._delayed[0][0] <= now:
            ready_at, _, entry = heapq.heappop(self._delayed)
            current = self._waiting.get(entry.key) is entry and entry.line is None and entry.ready_at == ready_at
            if current and entry.key not in self._working:
                self._enter_line(entry)

    def _enter_line(self, entry: Turn[K]) -> None:
        line = self._lines.get(entry.priority)
        if line is None:
            self._lines[entry.priority] = line = deque()
            self._lines = dict(sorted(self._lines.items(), reverse=True))
        entry.line = line
        line.append(entry)

    async def _sleep(self) -> None:
        """Until a key may be ready: one was added, or the first delayed one is due."""
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
