"""A controller: watches declared as data, a queue of keys, workers that never die of what a reconciler does.

A reconciler says which informers it needs (`Informer`), which changes wake which keys (`Watch`), and what to do with
one key. Whatever it raises is logged with the key, counted and followed by a back-off; it is cancelled when it takes
too long. One key is never worked on twice at once.
"""

import asyncio
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import anyio
import structlog

from aimd.runtime.errors import ApiError, Conflict, TerminalError, WritesSuspended
from aimd.runtime.handlers import Handler
from aimd.runtime.informer import Informer
from aimd.runtime.logging import log_context
from aimd.runtime.metrics import ManagerMetrics, QueueMetrics, ReconcileMetrics
from aimd.runtime.objects import Key, Kind, Manifest, Request, Result, key_of, metadata_of
from aimd.runtime.predicates import Predicate, always
from aimd.runtime.store import Cache, Delta, Subscriber
from aimd.runtime.tracing import NoTracer, Tracer
from aimd.runtime.workqueue import LOW_PRIORITY, QueueClosed, Turn, WorkQueue

_log = structlog.get_logger()


@dataclass(frozen=True)
class Watch:
    """Changes of `kind` objects wake the keys that `handler` gives, of the controller's own kind.

    For an update, `handler` is called with both states, so that an object that changes its owner wakes both owners.
    `delay` (seconds) is for kinds whose changes come in bursts, such as a starting pod's: one turn answers them all.
    """

    kind: Kind
    handler: Handler
    predicate: Predicate = always
    delay: float = 0.0


class Reconciler(Protocol):
    """What a controller runs. `name` is its name in logs and metrics."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> Kind: ...
    @property
    def watches(self) -> Sequence[Watch]: ...
    @property
    def informers(self) -> Sequence[Informer]: ...
    @property
    def workers(self) -> int: ...

    async def reconcile(self, request: Request) -> Result:
        """Brings one object nearer to what it should be; must be idempotent and may be cancelled at any await."""


class Runnable(Protocol):
    """Something that runs beside the workers of a reconciler which lists it in `runnables`."""

    async def run(self) -> None:
        """Runs until `close`; what it raises ends the controller."""

    def close(self) -> None:
        """Lets `run` finish what is begun."""


class Controller:
    """Queue and workers of one reconciler."""

    def __init__(
        self,
        reconciler: Reconciler,
        cache: Cache,
        metrics: ManagerMetrics,
        reconcile_timeout: float = 300.0,
        tracer: Tracer | None = None,
    ) -> None:
        self.name = reconciler.name
        self.reconciler = reconciler
        self.queue: WorkQueue[Key] = WorkQueue(metrics=QueueMetrics(metrics, self.name))
        self._cache = cache
        self._metrics = ReconcileMetrics(metrics, self.name, reconciler.workers)
        self._timeout = reconcile_timeout
        self._tracer = tracer or NoTracer()

    def subscribe(self) -> None:
        """Connects the watches to the stores; to be called before the reflectors start."""
        for watch in self.reconciler.watches:
            self._cache[watch.kind].subscribe(self._handler(watch))
        for kind in {informer.kind for informer in self.reconciler.informers if informer.optional}:
            self._cache[kind].on_availability(partial(self.enqueue_all, f"{kind.name} has come or gone"))

    def enqueue_all(self, reason: str) -> None:
        """Wants a turn for every known object, behind everything that really changed."""
        for manifest in self._cache[self.reconciler.kind].list():
            self.queue.add(key_of(manifest), priority=LOW_PRIORITY, reason=reason)

    async def run(self) -> None:
        """Runs the workers until the queue is closed; turns that are under way end first, then the runnables."""
        runnables: Sequence[Runnable] = getattr(self.reconciler, "runnables", ())
        async with anyio.create_task_group() as beside:
            for runnable in runnables:
                beside.start_soon(runnable.run)
            async with anyio.create_task_group() as workers:
                for _ in range(self.reconciler.workers):
                    workers.start_soon(self._work)
            for runnable in runnables:
                runnable.close()

    async def _work(self) -> None:
        while True:
            try:
                turn = await self.queue.get()
            except QueueClosed:
                return
            try:
                await self._take_turn(turn)
            finally:
                self.queue.done(turn.key)
            # A turn that found nothing to do has not waited for anything; with many of them the loop would stand still.
            await asyncio.sleep(0)

    def _handler(self, watch: Watch) -> Subscriber:
        kind = watch.kind.name

        def handle(delta: Delta) -> None:
            before, after, initial = delta
            if not initial and not watch.predicate(before, after):
                return
            priority, delay = (LOW_PRIORITY, 0.0) if initial else (0, watch.delay)
            for manifest in (before, after):
                if manifest is None:
                    continue
                for key in watch.handler(manifest, self._cache):
                    self.queue.add(key, after=delay, priority=priority, reason=f"{kind} {key_of(manifest)}")

        return handle

    async def _take_turn(self, turn: Turn[Key]) -> None:
        started = time.monotonic()
        self._metrics.active_workers.inc()
        try:
            kind = self.reconciler.kind
            fields = _TurnFields(self.name, kind, turn, self._cache[kind].get(turn.key))
            with log_context(fields), self._tracer.turn(self.name, fields) as tell:
                outcome, written = await self._reconcile(turn)
                tell("result", outcome)
                seconds = time.monotonic() - started
                _log.debug("reconciled", result=outcome, written=written, duration=round(seconds, 4))
        finally:
            self._metrics.active_workers.dec()
        self._metrics.count(outcome)
        self._metrics.duration.observe(seconds)

    async def _reconcile(self, turn: Turn[Key]) -> tuple[str, int]:
        """One turn; returns how it ended, in controller-runtime's words, and how many objects it wrote."""
        limit = anyio.CancelScope(deadline=anyio.current_time() + self._timeout)
        result = Result()
        try:
            with limit:
                result = await self.reconciler.reconcile(Request(turn.key, turn.reasons))
            if limit.cancel_called:  # Also when the reconciler swallowed the cancellation.
                raise TimeoutError
        except TerminalError as error:
            self._metrics.terminal_errors.inc()
            self._metrics.errors.inc()
            _log.error("reconcile failed for good", error=str(error))
            self.queue.forget(turn.key)
            return "error", 0
        except (Exception, asyncio.CancelledError) as error:
            if isinstance(error, asyncio.CancelledError) and _is_being_cancelled():
                raise
            self._back_off(turn, error, timed_out=limit.cancel_called)
            return "error", 0
        return self._requeue(turn, result), result.written

    def _requeue(self, turn: Turn[Key], result: Result) -> str:
        if result.retry:
            self.queue.add_after_failure(turn.key, priority=turn.priority, at_least=result.requeue_after or 0.0)
            return "requeue"
        self.queue.forget(turn.key)
        if result.requeue_after is not None:
            self.queue.add(turn.key, after=result.requeue_after, priority=turn.priority, reason="requeue")
            return "requeue_after"
        return "success"

    def _back_off(self, turn: Turn[Key], error: BaseException, *, timed_out: bool) -> None:
        self._metrics.errors.inc()
        at_least = (error.retry_after or 0.0) if isinstance(error, ApiError) else 0.0
        delay = self.queue.add_after_failure(turn.key, priority=turn.priority, at_least=at_least)
        if isinstance(error, Conflict | WritesSuspended):
            _log.debug("reconcile will be repeated", error=str(error), delay=delay)
        elif isinstance(error, ApiError):
            _log.error("reconcile failed", error=str(error), delay=delay)
        elif isinstance(error, TimeoutError) and timed_out:
            self._metrics.timeouts.inc()
            _log.error("reconcile took too long", timeout=self._timeout, delay=delay)
        else:
            self._metrics.panics.inc()
            _log.exception("reconcile raised", error=f"{type(error).__name__}: {error}", delay=delay)


class _TurnFields:
    """What every log line of a turn carries, under controller-runtime's names."""

    __slots__ = ("_controller", "_id", "_kind", "_live", "_turn")

    def __init__(self, controller: str, kind: Kind, turn: Turn[Key], live: Manifest | None) -> None:
        self._controller = controller
        self._kind = kind
        self._turn = turn
        self._live = live
        self._id = ""

    def __call__(self) -> Mapping[str, Any]:
        self._id = self._id or str(uuid.uuid4())
        key = self._turn.key
        return {
            "controller": self._controller,
            "controllerGroup": self._kind.group,
            "controllerKind": self._kind.name,
            self._kind.name: {"name": key.name, "namespace": key.namespace},
            "namespace": key.namespace,
            "name": key.name,
            "generation": metadata_of(self._live or {}).get("generation", 0),
            "reconcileID": self._id,
            "reasons": self._turn.reasons,
        }


def _is_being_cancelled() -> bool:
    """Whether somebody wants this task to end; if not, a CancelledError has strayed out of some library."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
