"""Runs everything in the order that makes it safe.

Start: endpoints, informers, all mandatory caches whole, the lease if one is asked for, then workers. Stop (when `run`
is cancelled or `stop` is called): no key is handed out any more, turns under way end within the grace period or are
cancelled, then the lease is released, and the informers and endpoints go last. The order matters: a worker that starts
before the caches are whole takes "not seen yet" for "does not exist"; a lease released before the last worker has
ended lets two processes write.
"""

import gc
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import anyio
import structlog
from anyio.abc import TaskGroup, TaskStatus

from aimd.runtime.client import Client, Selection
from aimd.runtime.controller import Controller, Reconciler
from aimd.runtime.health import Endpoints, LoopWatchdog, checks_page, metrics_page
from aimd.runtime.informer import Informer
from aimd.runtime.leader import LeaderElection, LeaderElector
from aimd.runtime.metrics import ManagerMetrics
from aimd.runtime.objects import Kind
from aimd.runtime.reflector import Reflector
from aimd.runtime.serving import ServingCertificate, TokenAccess
from aimd.runtime.store import Cache, Store

_OPTIONAL_PATIENCE = 10.0
"""Seconds that the start waits for kinds that may be missing."""
COLLECT_AFTER = (50_000, 20, 50)
"""Allocations before a collection: decoding one object takes hundreds, and nearly none of them is in a cycle."""

_log = structlog.get_logger()


@dataclass(frozen=True)
class ManagerOptions:
    """How a manager runs; times in seconds, addresses as `host:port` (empty: off, port 0: a free one).

    `namespaces` empty means all. With `metrics_certificate` /metrics is HTTPS for those whom the cluster lets read it.
    `resync_period` wakes every object now and then, behind all real changes.
    """

    metric_prefix: str = "aimd"
    namespaces: tuple[str, ...] = ()
    health_address: str = ""
    metrics_address: str = ""
    metrics_certificate: ServingCertificate | None = None
    resync_period: float = 36000.0
    leader_election: LeaderElection | None = None
    shutdown_timeout: float = 25.0
    reconcile_timeout: float = 300.0
    stuck_after: float = 900.0
    tune_garbage_collection: bool = False


class Manager:
    """Informers, controllers and endpoints of one process; `leads` while its workers run."""

    def __init__(self, client: Client, options: ManagerOptions | None = None) -> None:
        self.client = client
        self.options = options or ManagerOptions()
        self.cache = Cache()
        self.metrics = ManagerMetrics(self.options.metric_prefix, client.metrics.collectors)
        self.endpoints = Endpoints()
        self.watchdog = LoopWatchdog()
        self.controllers: list[Controller] = []
        self.leads = False
        self._reflectors: dict[Selection, Reflector] = {}
        self._mandatory: set[Kind] = set()
        self._stop = anyio.Event()
        self._serve_endpoints()

    def add_informer(self, informer: Informer) -> None:
        """An informer; sources of one kind share a store, sources that select the same objects a watch."""
        kind = informer.kind
        if kind in self.cache:
            store = self.cache[kind]
            if store.metadata_only != informer.metadata_only:
                raise ValueError(f"{kind}: one informer wants whole objects, another one metadata only")
            for name, function in informer.indexes.items():
                store.add_index(name, function)
            if informer.transform is not None:
                store.add_transform(informer.transform)
        else:
            store = self.cache.add(
                Store(kind, informer.indexes, informer.transform, metadata_only=informer.metadata_only)
            )
        # A process that may see some namespaces only may be refused what belongs to none; that is no fault.
        optional = informer.optional or (bool(self.options.namespaces) and not kind.namespaced)
        if not optional:
            self._mandatory.add(kind)
        for namespace in (self.options.namespaces if kind.namespaced else ()) or ("",):
            selection = Selection(
                kind, namespace, informer.label_selector, informer.field_selector, informer.metadata_only
            )
            if selection not in self._reflectors:
                self._reflectors[selection] = Reflector(self.client, store, selection, optional, self.metrics)
            self._reflectors[selection].optional &= optional  # Who needs the kind is stricter than who does not.

    def add(self, reconciler: Reconciler) -> None:
        """A controller with its informers; the reconciler's own kind is watched even if no informer names it."""
        for informer in reconciler.informers:
            self.add_informer(informer)
        if reconciler.kind not in self.cache:
            self.add_informer(Informer(reconciler.kind))
        timeout, tracer = self.options.reconcile_timeout, self.client.options.tracer
        controller = Controller(reconciler, self.cache, self.metrics, reconcile_timeout=timeout, tracer=tracer)
        self.controllers.append(controller)

    def stop(self) -> None:
        """Asks `run` to end in order; for signal handlers."""
        self._stop.set()

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Runs until cancelled or stopped; `started()` once all caches are whole.

        Raises KindNotWatched when a watch has no informer, and LeaseLost (inside an exception group) when the lease
        went to somebody else.
        """
        for controller in self.controllers:
            controller.subscribe()
        self.client.observers.append(self.cache)
        try:
            async with anyio.create_task_group() as life:
                life.start_soon(self._live, task_status)
                try:
                    await self._stop.wait()
                finally:
                    # Cancelled or stopped: `_live` is shielded and shuts down in order; the group waits for it.
                    self._stop.set()
        finally:
            self.client.observers.remove(self.cache)

    async def _live(self, task_status: TaskStatus[None]) -> None:
        with anyio.CancelScope(shield=True):
            await self.endpoints.open()
            try:
                async with anyio.create_task_group() as background:
                    background.start_soon(_measure_collections, self.metrics)
                    background.start_soon(self.endpoints.serve)
                    background.start_soon(self.watchdog.run, self.metrics.loop_lag.set)
                    await self._run_until_stopped(background, task_status)
                    background.cancel_scope.cancel()
            finally:
                await self.endpoints.close()

    async def _run_until_stopped(self, background: TaskGroup, task_status: TaskStatus[None]) -> None:
        with _garbage_collection_paused(self.options.tune_garbage_collection):
            for reflector in self._reflectors.values():
                background.start_soon(reflector.run)
            if not await self._unless_stopped(self._synced):
                return
        task_status.started()
        background.start_soon(self._resync)
        election = self.options.leader_election
        if election is None:
            await self._work()
            return
        self.metrics.leader.labels(election.name).set(0)
        async with self.client.separate(request_timeout=election.renew_deadline / 2) as own:
            slow_path = self.metrics.leader_slowpath.labels(election.name)
            elector = LeaderElector(own, election, on_slow_path=slow_path.inc)
            self.client.fence = elector.may_write
            if await self._unless_stopped(elector.acquire):
                await self._lead(elector, election)
            await elector.release()

    async def _lead(self, elector: LeaderElector, election: LeaderElection) -> None:
        gauge = self.metrics.leader.labels(election.name)
        async with anyio.create_task_group() as leading:
            gauge.set(1)
            leading.start_soon(elector.keep)
            try:
                await self._work()
            finally:
                gauge.set(0)
            leading.cancel_scope.cancel()

    async def _work(self) -> None:
        """Runs the workers until stopped, then waits for those under way."""
        self.leads = True
        try:
            await self._run_workers()
        finally:
            self.leads = False

    async def _run_workers(self) -> None:
        async with anyio.create_task_group() as workers:
            for controller in self.controllers:
                workers.start_soon(controller.run)
            await self._stop.wait()
            for controller in self.controllers:
                controller.queue.close()
            busy = sum(controller.queue.processing for controller in self.controllers)
            _log.info("stopping", under_way=busy)
            workers.cancel_scope.deadline = anyio.current_time() + self.options.shutdown_timeout

    async def _synced(self) -> None:
        for reflector in self._reflectors.values():
            patience = _OPTIONAL_PATIENCE if reflector.optional else float("inf")
            with anyio.move_on_after(patience):
                await reflector.synced.wait()
        _log.info("caches are whole", objects={str(store.kind): len(store) for store in self.cache.stores})

    async def _unless_stopped(self, action: Callable[[], Awaitable[None]]) -> bool:
        """Runs `action` to its end, True, or until `stop`, False."""
        async with anyio.create_task_group() as race:

            async def watch_for_stop() -> None:
                await self._stop.wait()
                race.cancel_scope.cancel()

            race.start_soon(watch_for_stop)
            await action()
            race.cancel_scope.cancel()
        return not self._stop.is_set()

    async def _resync(self) -> None:
        while True:
            await anyio.sleep(self.options.resync_period * random.uniform(0.9, 1.1))
            for controller in self.controllers:
                controller.enqueue_all("resync")

    def _serve_endpoints(self) -> None:
        options = self.options
        alive = checks_page({"event-loop": self.watchdog.check, "workers": self._stuck})
        self.endpoints.add(options.health_address, "healthz", alive)
        self.endpoints.add(options.health_address, "readyz", checks_page({"informers": self._unsynced}))
        self.endpoints.add(options.metrics_address, "metrics", metrics_page(self.metrics.exposition))
        if options.metrics_certificate is not None and options.metrics_address:
            access = TokenAccess(self.client)
            self.endpoints.secure(options.metrics_address, options.metrics_certificate, access.status)

    def _stuck(self) -> str:
        limit = self.options.stuck_after
        stuck = [item.name for item in self.controllers if item.queue.longest_running() > limit]
        return f"a worker has been busy for more than {limit:.0f} s in: {', '.join(stuck)}" if stuck else ""

    def _unsynced(self) -> str:
        waiting = [str(kind) for kind in self._mandatory if not self.cache[kind].synced]
        return f"waiting for the first list of: {', '.join(sorted(waiting))}" if waiting else ""


async def _measure_collections(metrics: ManagerMetrics) -> None:
    """Measures the interpreter's garbage collections until cancelled."""
    started = 0.0

    def note(phase: str, about: dict[str, int]) -> None:
        nonlocal started
        if phase == "start":
            started = time.perf_counter()
        else:
            metrics.gc_pauses.labels(str(about["generation"])).observe(time.perf_counter() - started)

    gc.callbacks.append(note)
    try:
        await anyio.sleep_forever()
    finally:
        gc.callbacks.remove(note)


@contextmanager
def _garbage_collection_paused(tune: bool) -> Iterator[None]:
    """While caches fill, collections find nothing and take half the time; what is there afterwards stays.

    The last collection comes before: after it would look at every object of the cache.
    """
    if not tune:
        yield
        return
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
        gc.set_threshold(*COLLECT_AFTER)
