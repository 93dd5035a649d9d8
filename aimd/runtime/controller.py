"""A controller: watches declared as data, a queue of keys, and workers that survive whatever a reconciler raises."""

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
from aimd.runtime.workqueue import LOW_PRIORITY, Item, QueueClosed, WorkQueue

_log = structlog.get_logger()


@dataclass(frozen=True)
class Watch:
    """Which changes of which kind wake which keys of a controller.

    A change of a `kind` object that `predicate` accepts wakes the keys that `handler` returns for it, before and after
    the change: an object that changes its owner wakes both owners. Every object of a first list wakes its keys.
    """

    kind: Kind
    handler: Handler
    predicate: Predicate = always
    delay: float = 0.0
    """Seconds to wait, 0 by default. Set it for kinds whose changes come in bursts: one reconcile answers them all."""


class Reconciler(Protocol):
    """What a controller runs: brings the objects of one kind to their desired state.

    Reconciling is level-based, meaning it isn't driven by the changes in single events but by the state of the cluster
    as the cache shows it. A request names an object and not what happened to it: after a deletion, `reconcile` finds
    the object missing.

    Example:
        class GreetingReconciler:
            name, kind, workers = "greeting", GREETING, 4
            informers = (Informer(GREETING), Informer(CONFIG_MAP))
            watches = (Watch(GREETING, for_object, generation_changed), Watch(CONFIG_MAP, for_owner(GREETING)))

            async def reconcile(self, request: Request) -> Result:
                greeting = self.cache[GREETING].get(request.key)
                if greeting is None:
                    return Result()  # Deleted; garbage collection deletes its ConfigMap.
                applied = await self.applier.apply([Desired(CONFIG_MAP, plan(greeting), "greeting")])
                return Result(retry=bool(applied.failures))

    docs/examples/greeter.py is a complete operator.
    """

    @property
    def name(self) -> str:
        """Name of the controller in logs and metrics."""

    @property
    def kind(self) -> Kind:
        """Kind of the objects to reconcile, which the keys belong to."""

    @property
    def watches(self) -> Sequence[Watch]:
        """Which changes wake which keys. Each watched kind needs an informer."""

    @property
    def informers(self) -> Sequence[Informer]:
        """Everything that `reconcile` reads from the cache."""

    @property
    def workers(self) -> int:
        """Number of objects that are reconciled at the same time."""

    async def reconcile(self, request: Request) -> Result:
        """Bring the object with this key closer to its desired state; return when to reconcile it again.

        Must be idempotent, and may be canceled at any await. An exception is logged and counted, and the key is
        reconciled again after its backoff; after a TerminalError only when something changes.
        """


class Runnable(Protocol):
    """Runs beside the workers of a reconciler that lists it in its optional attribute `runnables`."""

    async def run(self) -> None:
        """Run until `close` is called; an exception ends the controller."""

    def close(self) -> None:
        """Make `run` finish what it has begun and return."""


class Controller:
    """The queue and the workers of one reconciler.

    Expected flow:
    - `subscribe`, then start the informers, then `run` once the caches are synced.

    Guarantees:
    - A key is reconciled by one worker at a time.
    - A worker survives whatever a reconcile raises, and a reconcile that takes longer than `reconcile_timeout` seconds
      is canceled.
    - When the queue is closed, reconciles in flight end first, then the runnables.

    Caveats:
    - A reconcile that blocks the event loop can't be canceled; the manager's liveness check notices it.
    """

    def __init__(
        self,
        reconciler: Reconciler,
        cache: Cache,
        metrics: ManagerMetrics,
        *,
        reconcile_timeout: float = 300.0,
        tracer: Tracer | None = None,
    ) -> None:
        self.name = reconciler.name
        self.reconciler = reconciler
        self.queue: WorkQueue[Key] = WorkQueue(metrics=QueueMetrics(metrics, self.name))
        self.queue.group_of = lambda key: key.namespace  # One with many changes does not hold up others (OBJ-BND-4).
        self._cache = cache
        self._metrics = ReconcileMetrics(metrics, self.name, reconciler.workers)
        self._timeout = reconcile_timeout
        self._tracer = tracer or NoTracer()

    def subscribe(self) -> None:
        """Connect the watches to the stores; call it before the informers start. Raises KindNotWatched."""
        for watch in self.reconciler.watches:
            self._cache[watch.kind].subscribe(self._subscriber(watch))
        for kind in {informer.kind for informer in self.reconciler.informers if informer.optional}:
            self._cache[kind].on_availability(partial(self.enqueue_all, f"{kind.name} appeared or disappeared"))

    def enqueue_all(self, reason: str) -> None:
        """Enqueue every cached object at low priority."""
        for manifest in self._cache[self.reconciler.kind].list():
            self.queue.add(key_of(manifest), priority=LOW_PRIORITY, reason=reason)

    async def run(self) -> None:
        """Run the workers and runnables until the queue is closed and reconciles in flight have ended."""
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
                item = await self.queue.get()
            except QueueClosed:
                return
            try:
                await self._process(item)
            finally:
                self.queue.done(item.key)
            # A reconcile that found nothing to do never awaited anything; many of them would block the event loop.
            await asyncio.sleep(0)

    def _subscriber(self, watch: Watch) -> Subscriber:
        kind = watch.kind.name

        def enqueue(delta: Delta) -> None:
            before, after, initial = delta
            if not initial and not _matters(watch, before, after):
                return
            priority, delay = (LOW_PRIORITY, 0.0) if initial else (0, watch.delay)
            for manifest in (before, after):
                if manifest is None:
                    continue
                for key in self._woken(watch, manifest):
                    self.queue.add(key, after=delay, priority=priority, reason=f"{kind} {key_of(manifest)}")

        return enqueue

    def _woken(self, watch: Watch, manifest: Manifest) -> Sequence[Key]:
        """Return the keys that a handler gives; if it fails, the object's own key, so that its reconcile reports it."""
        try:
            return tuple(watch.handler(manifest, self._cache))
        except Exception:
            _log.exception("handler failed", kind=watch.kind.name, key=str(key_of(manifest)))
            return (key_of(manifest),) if watch.kind == self.reconciler.kind else ()

    async def _process(self, item: Item[Key]) -> None:
        started = time.monotonic()
        self._metrics.active_workers.inc()
        try:
            kind = self.reconciler.kind
            fields = _Fields(self.name, kind, item, self._cache[kind].get(item.key))
            with log_context(fields), self._tracer.reconcile(self.name, fields) as set_attribute:
                result, written = await self._reconcile(item)
                set_attribute("result", result)
                seconds = time.monotonic() - started
                _log.debug("reconciled", result=result, written=written, duration=round(seconds, 4))
        finally:
            self._metrics.active_workers.dec()
        self._metrics.count(result)
        self._metrics.duration.observe(seconds)

    async def _reconcile(self, item: Item[Key]) -> tuple[str, int]:
        """Reconcile once; return the result in controller-runtime's words, and the number of objects written."""
        limit = anyio.CancelScope(deadline=anyio.current_time() + self._timeout)
        result = Result()
        try:
            with limit:
                result = await self.reconciler.reconcile(Request(item.key, item.reasons))
            if limit.cancel_called:  # Also when the reconciler swallowed the cancellation.
                raise TimeoutError
        except TerminalError as error:
            self._metrics.terminal_errors.inc()
            self._metrics.errors.inc()
            _log.error("reconcile failed, will not be retried", error=str(error))
            self.queue.forget(item.key)
            return "error", 0
        except (Exception, asyncio.CancelledError) as error:
            if isinstance(error, asyncio.CancelledError) and _is_being_cancelled():
                raise
            self._back_off(item, error, timed_out=limit.cancel_called)
            return "error", 0
        return self._requeue(item, result), result.written

    def _requeue(self, item: Item[Key], result: Result) -> str:
        if result.retry:
            self.queue.add_after_failure(item.key, priority=item.priority, at_least=result.requeue_after or 0.0)
            return "requeue"
        self.queue.forget(item.key)
        if result.requeue_after is not None:
            self.queue.add(item.key, after=result.requeue_after, priority=item.priority, reason="requeue")
            return "requeue_after"
        return "success"

    def _back_off(self, item: Item[Key], error: BaseException, *, timed_out: bool) -> None:
        self._metrics.errors.inc()
        at_least = (error.retry_after or 0.0) if isinstance(error, ApiError) else 0.0
        delay = self.queue.add_after_failure(item.key, priority=item.priority, at_least=at_least)
        if isinstance(error, Conflict | WritesSuspended):
            _log.debug("reconcile will be retried", error=str(error), delay=delay)
        elif isinstance(error, ApiError):
            _log.error("reconcile failed", error=str(error), delay=delay)
        elif isinstance(error, TimeoutError) and timed_out:
            self._metrics.timeouts.inc()
            _log.error("reconcile timed out", timeout=self._timeout, delay=delay)
        else:
            self._metrics.panics.inc()
            _log.exception("reconcile raised", error=f"{type(error).__name__}: {error}", delay=delay)


def _matters(watch: Watch, before: Manifest | None, after: Manifest | None) -> bool:
    """Return what the predicate says; a change that it cannot handle matters."""
    try:
        return watch.predicate(before, after)
    except Exception:
        _log.exception("predicate failed", kind=watch.kind.name, key=str(key_of(after or before or {})))
        return True


class _Fields:
    """The log fields and span attributes of one reconcile, under controller-runtime's names; computed on demand."""

    __slots__ = ("_controller", "_id", "_item", "_kind", "_live")

    def __init__(self, controller: str, kind: Kind, item: Item[Key], live: Manifest | None) -> None:
        self._controller = controller
        self._kind = kind
        self._item = item
        self._live = live
        self._id = ""

    def __call__(self) -> Mapping[str, Any]:
        self._id = self._id or str(uuid.uuid4())
        key = self._item.key
        return {
            "controller": self._controller,
            "controllerGroup": self._kind.group,
            "controllerKind": self._kind.name,
            self._kind.name: {"name": key.name, "namespace": key.namespace},
            "namespace": key.namespace,
            "name": key.name,
            "generation": metadata_of(self._live or {}).get("generation", 0),
            "reconcileID": self._id,
            "reasons": self._item.reasons,
        }


def _is_being_cancelled() -> bool:
    """Return whether this task is asked to end; if not, a library has leaked a CancelledError."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
