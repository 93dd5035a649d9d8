"""Prometheus metrics under controller-runtime's and client-go's names, so that existing dashboards keep working.

Nothing here is global: a manager has its own registry, and the client's metrics are joined to it. What has no
counterpart there carries the prefix of the manager's options.
"""

from collections.abc import Callable, Iterable, Sequence

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.registry import Collector

disable_created_metrics()  # type: ignore[no-untyped-call]  # Go has no `_created` series

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_RECONCILE_BUCKETS = (
    *(0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7, 0.8, 0.9),
    *(1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5, 6, 7, 8, 9, 10, 15, 20, 25, 30, 40, 50, 60),
)
_QUEUE_BUCKETS = tuple(1e-8 * 10**exponent for exponent in range(12))
_RESULTS = ("success", "error", "requeue", "requeue_after")


class ClientMetrics:
    """What the API client counts; belongs to the client and is exposed by every manager that uses it."""

    def __init__(self, prefix: str) -> None:
        self.requests = Counter(
            "rest_client_requests",
            "Number of HTTP requests, partitioned by status code, method, and host.",
            ("code", "method", "host"),
            registry=None,
        )
        self.writes = Counter(
            f"{prefix}_api_writes",
            "Writes sent to the API server, by kind of object, verb and the reason the caller gave.",
            ("kind", "verb", "reason"),
            registry=None,
        )

    @property
    def collectors(self) -> tuple[Collector, ...]:
        """To be registered where they shall be exposed."""
        return (self.requests, self.writes)


class ReconcileMetrics:
    """The `controller_runtime_*` series of one controller, all initialised to 0."""

    def __init__(self, families: "ManagerMetrics", controller: str, workers: int) -> None:
        self._totals = {result: families.reconcile_total.labels(controller, result) for result in _RESULTS}
        self.errors = families.reconcile_errors.labels(controller)
        self.terminal_errors = families.terminal_errors.labels(controller)
        self.panics = families.panics.labels(controller)
        self.timeouts = families.timeouts.labels(controller)
        self.duration = families.reconcile_time.labels(controller)
        self.active_workers = families.active_workers.labels(controller)
        self.active_workers.set(0)
        families.max_concurrent.labels(controller).set(workers)

    def count(self, result: str) -> None:
        """`result` is one of success, error, requeue, requeue_after."""
        self._totals[result].inc()


class QueueMetrics:
    """The `workqueue_*` series of one queue."""

    def __init__(self, families: "ManagerMetrics", name: str) -> None:
        self._name = name
        self._families = families
        self.adds = families.queue_adds.labels(name, name)
        self.retries = families.queue_retries.labels(name, name)
        self.queue_duration = families.queue_duration.labels(name, name)
        self.work_duration = families.work_duration.labels(name, name)
        self._depths: dict[int, Gauge] = {}
        self.set_depth(0, 0)

    def set_depth(self, priority: int, depth: int) -> None:
        """Number of keys ready to be handed out with this priority."""
        gauge = self._depths.get(priority)
        if gauge is None:
            label = str(priority) if len(self._depths) < 25 else "exceeded_cardinality_limit"
            gauge = self._depths[priority] = self._families.queue_depth.labels(self._name, self._name, label)
        gauge.set(depth)

    def observe_running(self, unfinished: Callable[[], float], longest: Callable[[], float]) -> None:
        """Both functions are evaluated whenever the metrics are read."""
        self._families.unfinished_work.labels(self._name, self._name).set_function(unfinished)
        self._families.longest_running.labels(self._name, self._name).set_function(longest)


class ManagerMetrics:
    """All metric families of one manager, in a registry of its own."""

    def __init__(self, prefix: str, joined: Iterable[Collector] = ()) -> None:
        self.registry = CollectorRegistry()
        for collector in joined:
            self.registry.register(collector)
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self._add_controller_families()
        self._add_queue_families()
        self._add_own_families(prefix)

    def exposition(self) -> bytes:
        """All metrics in the Prometheus text format (`CONTENT_TYPE`)."""
        return generate_latest(self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: Sequence[float], *labels: str) -> Histogram:
        return Histogram(name, text, labels, buckets=buckets, registry=self.registry)

    def _add_controller_families(self) -> None:
        prefix, by = "controller_runtime_", "controller"
        self.reconcile_total = self._counter(f"{prefix}reconcile", "Reconciliations by result", by, "result")
        self.reconcile_errors = self._counter(f"{prefix}reconcile_errors", "Reconciliations that failed", by)
        self.terminal_errors = self._counter(f"{prefix}terminal_reconcile_errors", "Failures for good", by)
        self.panics = self._counter(f"{prefix}reconcile_panics", "Reconciliations ended by an unexpected error", by)
        self.timeouts = self._counter(f"{prefix}reconcile_timeouts", "Reconciliations that took too long", by)
        self.reconcile_time = self._histogram(
            f"{prefix}reconcile_time_seconds", "Length of a reconciliation", _RECONCILE_BUCKETS, by
        )
        self.max_concurrent = self._gauge(f"{prefix}max_concurrent_reconciles", "Workers there are", by)
        self.active_workers = self._gauge(f"{prefix}active_workers", "Workers that are busy", by)

    def _add_queue_families(self) -> None:
        by = ("name", "controller")
        self.queue_depth = self._gauge("workqueue_depth", "Keys that are ready and wait", *by, "priority")
        self.queue_adds = self._counter("workqueue_adds", "Keys added", *by)
        self.queue_retries = self._counter("workqueue_retries", "Keys added after a failure", *by)
        self.queue_duration = self._histogram(
            "workqueue_queue_duration_seconds", "How long a ready key waits for its turn", _QUEUE_BUCKETS, *by
        )
        self.work_duration = self._histogram(
            "workqueue_work_duration_seconds", "How long a turn takes", _QUEUE_BUCKETS, *by
        )
        self.unfinished_work = self._gauge(
            "workqueue_unfinished_work_seconds", "Seconds spent so far in turns that have not ended", *by
        )
        self.longest_running = self._gauge(
            "workqueue_longest_running_processor_seconds", "Seconds the longest turn has taken so far", *by
        )

    def _add_own_families(self, prefix: str) -> None:
        informer = f"{prefix}_informer_"
        self.leader = self._gauge("leader_election_master_status", "1 leads, 0 stands by", "name")
        self.informer_synced = self._gauge(f"{informer}synced", "1 when the cache of the kind is whole", "kind")
        self.informer_objects = self._gauge(f"{informer}objects", "Objects in the cache of the kind", "kind")
        self.informer_restarts = self._counter(f"{informer}restarts", "Lists and watches begun anew", "kind", "cause")
        self.loop_lag = self._gauge(f"{prefix}_event_loop_lag_seconds", "How late the event loop last ticked")
