"""The manager: starts and stops everything in the order that makes it safe."""

import gc
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import anyio
import structlog
from anyio.abc import TaskGroup, TaskStatus

from aimd.runtime.client import Client, Selection
from aimd.runtime.controller import Controller, Reconciler
from aimd.runtime.health import Endpoints, LoopWatchdog, checks_page, metrics_page
from aimd.runtime.informer import Informer
from aimd.runtime.jitter import jitter
from aimd.runtime.leader import LeaderElection, LeaderElector
from aimd.runtime.metrics import ManagerMetrics
from aimd.runtime.objects import Kind
from aimd.runtime.reflector import FAILING_AFTER, Reflector
from aimd.runtime.serving import ServingCertificate, TokenAccess
from aimd.runtime.store import Cache, Store

_OPTIONAL_PATIENCE = 10.0
"""Seconds that the start waits for optional kinds."""
COLLECT_AFTER = (50_000, 20, 50)
"""Thresholds of garbage collection: decoding an object allocates hundreds of others, nearly none of them in a cycle."""

_log = structlog.get_logger()


@dataclass(frozen=True)
class ManagerOptions:
    """How a manager runs. Addresses are `host:port`; port 0 takes a free one, an empty address turns a page off."""

    metric_prefix: str = "aimd"
    """Prefix of metrics that controller-runtime doesn't have."""
    namespaces: tuple[str, ...] = ()
    """Namespaces to watch; all by default. Set it to run without rights to the whole cluster.

    Cluster-scoped kinds are optional then.
    """
    health_address: str = ""
    """Where /healthz and /readyz are served; off by default."""
    metrics_address: str = ""
    """Where /metrics is served; off by default."""
    metrics_certificate: ServingCertificate | None = None
    """Serves /metrics over HTTPS to callers authorized for it; by default over HTTP to everyone."""
    resync_period: float = 36000.0
    """Seconds, give or take 10%, after which every object is reconciled again, at low priority."""
    leader_election: LeaderElection | None = None
    """The lease to hold while reconciling; none by default. Set it to run several replicas."""
    shutdown_timeout: float = 25.0
    """Seconds that reconciles in flight have to end on shutdown; must be below the pod's grace period."""
    reconcile_timeout: float = 300.0
    """Seconds after which a reconcile is canceled."""
    stuck_after: float = 900.0
    """Seconds after which a reconcile that doesn't end fails /healthz; must be above `reconcile_timeout`."""
    tune_garbage_collection: bool = False
    """Adapts Python's garbage collection to large caches, for the whole process. Set it unless others share it."""


class Manager:
    """The informers, controllers, lease and endpoints of a process, as controller-runtime's Manager.

    Expected flow:
    - `add` reconcilers, then `run`. Endpoints are opened, then informers started; when the caches are synced, the lease
      is acquired; then the workers start.
    - On `stop` or cancellation no item is handed out any more, reconciles in flight end or are canceled after
      `shutdown_timeout`, the lease is released, and informers and endpoints stop last.

    Guarantees:
    - A worker starts only when the caches are synced; otherwise it could take "not seen yet" for "doesn't exist".
    - The lease is released only when the last worker has ended; otherwise two processes could write.

    Caveats:
    - A manager runs once.

    Errors:
    - KindNotWatched from `run` if a watched kind has no informer.
    - LeaseLost from `run`, in an exception group, if the lease could not be renewed: exit and start again.
    - OSError from `run` if an address can't be bound.
    """

    def __init__(self, client: Client, options: ManagerOptions | None = None) -> None:
        self.client = client
        self.options = options or ManagerOptions()
        self.cache = Cache()
        self.metrics = ManagerMetrics(self.options.metric_prefix, client.metrics.collectors)
        self.endpoints = Endpoints()
        self.watchdog = LoopWatchdog()
        self.controllers: list[Controller] = []
        self.leads = False
        """Whether the workers run."""
        self._reflectors: dict[Selection, Reflector] = {}
        self._mandatory: set[Kind] = set()
        self._stop = anyio.Event()
        self._serve_endpoints()

    def add_informer(self, informer: Informer) -> None:
        """Add an informer. Raises ValueError if another informer of the kind differs in `metadata_only`."""
        kind = informer.kind
        if kind in self.cache:
            store = self.cache[kind]
            if store.metadata_only != informer.metadata_only:
                raise ValueError(f"{kind}: one informer requests whole objects, another one only metadata")
            for name, function in informer.indexes.items():
                store.add_index(name, function)
            if informer.transform is not None:
                store.add_transform(informer.transform)
        else:
            store = self.cache.add(
                Store(kind, informer.indexes, informer.transform, metadata_only=informer.metadata_only)
            )
            unreadable = store.unreadable
            self.metrics.unreadable_objects.labels(kind.name).set_function(lambda: len(unreadable))
        # A process that is limited to some namespaces need not have rights to cluster-scoped kinds.
        optional = informer.optional or (bool(self.options.namespaces) and not kind.namespaced)
        if not optional:
            self._mandatory.add(kind)
        for namespace in (self.options.namespaces if kind.namespaced else ()) or ("",):
            selection = Selection(
                kind, namespace, informer.label_selector, informer.field_selector, informer.metadata_only
            )
            if selection not in self._reflectors:
                self._reflectors[selection] = Reflector(self.client, store, selection, optional, self.metrics)
            self._reflectors[selection].optional &= optional  # An informer that requires the kind prevails.

    def add(self, reconciler: Reconciler) -> None:
        """Add a controller and its informers; the reconciler's own kind gets an informer even if none is declared."""
        for informer in reconciler.informers:
            self.add_informer(informer)
        if reconciler.kind not in self.cache:
            self.add_informer(Informer(reconciler.kind))
        timeout, tracer = self.options.reconcile_timeout, self.client.options.tracer
        controller = Controller(reconciler, self.cache, self.metrics, reconcile_timeout=timeout, tracer=tracer)
        self.controllers.append(controller)

    def stop(self) -> None:
        """Make `run` shut down in order and return; for signal handlers."""
        self._stop.set()

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Run until stopped or canceled; report `started()` when the caches are synced."""
        for controller in self.controllers:
            controller.subscribe()
        self.client.observers.append(self.cache)
        try:
            async with anyio.create_task_group() as life:
                life.start_soon(self._live, task_status)
                try:
                    await self._stop.wait()
                finally:
                    # `_live` is shielded from a cancellation and shuts down in order; the task group waits for it.
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
        with _garbage_collection_paused() if self.options.tune_garbage_collection else nullcontext():
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
        """Run the workers until stopped, then wait for reconciles in flight."""
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
            in_flight = sum(controller.queue.processing for controller in self.controllers)
            _log.info("stopping", under_way=in_flight)
            workers.cancel_scope.deadline = anyio.current_time() + self.options.shutdown_timeout

    async def _synced(self) -> None:
        for reflector in self._reflectors.values():
            patience = _OPTIONAL_PATIENCE if reflector.optional else float("inf")
            with anyio.move_on_after(patience):
                await reflector.synced.wait()
        _log.info("caches synced", objects={str(store.kind): len(store) for store in self.cache.stores})

    async def _unless_stopped(self, action: Callable[[], Awaitable[None]]) -> bool:
        """Run `action` to its end or until `stop`; return whether it was not stopped."""
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
            await anyio.sleep(self.options.resync_period * jitter(0.9, 1.1))
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
        return f"a reconcile has taken more than {limit:.0f} s in: {', '.join(stuck)}" if stuck else ""

    def _unsynced(self) -> str:
        waiting = [str(kind) for kind in self._mandatory if not self.cache[kind].synced]
        if waiting:
            return f"waiting for the first list of: {', '.join(sorted(waiting))}"
        failing = [each for each in self._reflectors.values() if not (each.optional or each.healthy)]
        named = (f"{each.selection.kind} ({each.last_failure})" for each in failing)
        return f"failing for more than {FAILING_AFTER:.0f} s: {', '.join(named)}" if failing else ""


async def _measure_collections(metrics: ManagerMetrics) -> None:
    """Measure the interpreter's garbage collections until canceled."""
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
def _garbage_collection_paused() -> Iterator[None]:
    """Pause garbage collection while caches fill, and leave what they hold out of later collections.

    Collections would find nothing and take half of the time. The last one comes first: afterwards it would have to
    visit every object of the cache.
    """
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
        gc.set_threshold(*COLLECT_AFTER)
