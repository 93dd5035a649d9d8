"""Prometheus metrics under controller-runtime's and client-go's names, so that existing dashboards keep working.

Nothing here is global: a manager has its own registry, and the client's metrics are joined to it. What has no
counterpart there carries the prefix of the manager's options.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

disable_created_metrics()  # type: ignore[no-untyped-call]  # Go has no `_created` series

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_RECONCILE_BUCKETS = (
    *(0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7, 0.8, 0.9),
    *(1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5, 6, 7, 8, 9, 10, 15, 20, 25, 30, 40, 50, 60),
)
_REQUEST_BUCKETS = (0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 45.0, 60.0)
_PAUSE_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
_QUEUE_BUCKETS = tuple(1e-8 * 10**exponent for exponent in range(12))
_MOST_PRIORITIES = 25
_RESULTS = ("success", "error", "requeue", "requeue_after")


class ClientMetrics:
    """What the API client counts; belongs to the client and is exposed by every manager that uses it."""

    def __init__(self, prefix: str) -> None:
        self.requests = _unregistered(
            "rest_client_requests",
            "Number of HTTP requests, partitioned by status code, method, and host.",
            ("code", "method", "host"),
        )
        self.retries = _unregistered(
            "rest_client_request_retries",
            "Requests sent again, by the status code of the answer before, verb and host.",
            ("code", "verb", "host"),
        )
        self.writes = _unregistered(
            f"{prefix}_api_writes",
            "Writes sent to the API server, by kind of object, verb and the reason the caller gave.",
            ("kind", "verb", "reason"),
        )
        by_result = ("kind", "result")
        self._applies = _unregistered(f"{prefix}_apply", "Objects of plans, by what came of applying them.", by_result)
        self._statuses = _unregistered(f"{prefix}_status_write", "Statuses, by what came of writing them.", by_result)
        by_event = ("kind", "type", "reason", "emitted")
        self._events = _unregistered(f"{prefix}_events", "Events about objects, by what came of them.", by_event)
        self._seconds = TallyFamily(
            "rest_client_request_duration_seconds", "Length of a request", ("verb", "host"), _REQUEST_BUCKETS
        )
        self._counters: dict[tuple[str, str, str], Counter] = {}

    @property
    def collectors(self) -> tuple[Collector, ...]:
        """To be registered where they shall be exposed."""
        own = (self.writes, self._applies, self._statuses, self._events)
        return (self.requests, self.retries, *own, self._seconds)

    def count(self, code: str, method: str, host: str, seconds: float | None) -> None:
        """One request; the code is `<error>` when no answer came, `seconds` None for a watch."""
        counter = self._counters.get((code, method, host))
        if counter is None:
            counter = self._counters[code, method, host] = self.requests.labels(code, method, host)
        counter.inc()
        if seconds is not None:
            self._seconds.labels(method, host).observe(seconds)

    def count_apply(self, kind: str, result: str) -> None:
        """One object; unchanged, created, updated, or how it was refused (`errors.refusal_of`)."""
        self._applies.labels(kind, result).inc()

    def count_status_write(self, kind: str, result: str) -> None:
        """One status; written, unchanged, conflict or error."""
        self._statuses.labels(kind, result).inc()

    def count_event(self, kind: str, type: str, reason: str, emitted: str) -> None:
        """One Event about an object of that kind; `emitted` is yes, suppressed, failed or dropped."""
        self._events.labels(kind, type, reason, emitted).inc()


def _unregistered(name: str, text: str, labels: Sequence[str]) -> Counter:
    return Counter(name, text, labels, registry=None)


class ReconcileMetrics:
    """The `controller_runtime_*` series of one controller, all initialized to 0."""

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


class Tally:
    """A histogram that costs next to nothing to add to; `buckets` are upper limits, in order, without infinity."""

    __slots__ = ("_buckets", "_counts", "_sum")

    def __init__(self, buckets: Sequence[float]) -> None:
        self._buckets = tuple(buckets)
        self._counts = [0] * (len(self._buckets) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Counts one value."""
        self._counts[bisect_left(self._buckets, value)] += 1
        self._sum += value

    def add_to(self, family: HistogramMetricFamily, labels: Sequence[str]) -> None:
        """Adds a series to what Prometheus reads."""
        limits = [*(_in_go(limit) for limit in self._buckets), "+Inf"]
        counts = (float(count) for count in accumulate(self._counts))
        family.add_metric(labels, list(zip(limits, counts, strict=True)), self._sum)


class TallyFamily(Collector):
    """A histogram family whose series are tallies; not registered by itself."""

    def __init__(self, name: str, text: str, labels: Sequence[str], buckets: Sequence[float]) -> None:
        self._name = name
        self._text = text
        self._label_names = tuple(labels)
        self._buckets = buckets
        self._series: dict[tuple[str, ...], Tally] = {}

    def labels(self, *values: str) -> Tally:
        """The series of these label values."""
        tally = self._series.get(values)
        if tally is None:
            tally = self._series[values] = Tally(self._buckets)
        return tally

    def collect(self) -> Iterator[Metric]:
        """The family, made anew each time it is read."""
        family = HistogramMetricFamily(self._name, self._text, labels=self._label_names)
        for values, tally in self._series.items():
            tally.add_to(family, values)
        yield family


def _in_go(limit: float) -> str:
    """As Go writes a number: scrapers and dashboards compare bucket limits as texts."""
    return str(floatToGoString(limit))  # type: ignore[no-untyped-call]


class Gated(Collector):
    """A collector that is exposed only while a condition holds; not registered by itself."""

    def __init__(self, collector: Collector, condition: Callable[[], bool]) -> None:
        self._collector = collector
        self._condition = condition

    def collect(self) -> Iterable[Metric]:
        """The families, or nothing."""
        return self._collector.collect() if self._condition() else ()


class QueueMetrics:
    """The `workqueue_*` series of one queue: plain numbers, read when somebody asks for them.

    `depths` tells the number of ready keys by priority; `unfinished` and `longest_running` are seconds.
    """

    def __init__(self, families: "ManagerMetrics", name: str) -> None:
        self.name = name
        self.adds = 0
        self.retries = 0
        self.queue_duration = Tally(_QUEUE_BUCKETS)
        self.work_duration = Tally(_QUEUE_BUCKETS)
        self.depths: Callable[[], Mapping[int, int]] = lambda: {0: 0}
        self.unfinished: Callable[[], float] = lambda: 0.0
        self.longest_running: Callable[[], float] = lambda: 0.0
        families.queues.append(self)

    def depth_by_priority(self) -> Iterator[tuple[str, int]]:
        """Label and depth; priorities beyond the 25th share one label."""
        depths = self.depths()
        for number, (priority, depth) in enumerate(depths.items()):
            if number < _MOST_PRIORITIES:
                yield str(priority), depth
        if beyond := [*depths.values()][_MOST_PRIORITIES:]:
            yield "exceeded_cardinality_limit", sum(beyond)


class _QueueCollector(Collector):
    """Exposes all queues of a manager."""

    def __init__(self, queues: Sequence[QueueMetrics]) -> None:
        self._queues = queues

    def collect(self) -> Iterator[Metric]:
        """The families, made anew each time they are read."""
        by = ("name", "controller")
        prefix = "workqueue_"
        depth = GaugeMetricFamily(f"{prefix}depth", "Keys that are ready and wait", labels=(*by, "priority"))
        adds = CounterMetricFamily(f"{prefix}adds", "Keys added", labels=by)
        retries = CounterMetricFamily(f"{prefix}retries", "Keys added after a failure", labels=by)
        waited = HistogramMetricFamily(f"{prefix}queue_duration_seconds", "How long a ready key waits", labels=by)
        worked = HistogramMetricFamily(f"{prefix}work_duration_seconds", "How long a turn takes", labels=by)
        unfinished = GaugeMetricFamily(
            f"{prefix}unfinished_work_seconds", "Seconds spent so far in turns that have not ended", labels=by
        )
        longest = GaugeMetricFamily(
            f"{prefix}longest_running_processor_seconds", "Seconds the longest turn has taken so far", labels=by
        )
        for queue in self._queues:
            labels = (queue.name, queue.name)
            for priority, count in queue.depth_by_priority():
                depth.add_metric((*labels, priority), count)
            adds.add_metric(labels, queue.adds)
            retries.add_metric(labels, queue.retries)
            queue.queue_duration.add_to(waited, labels)
            queue.work_duration.add_to(worked, labels)
            unfinished.add_metric(labels, queue.unfinished())
            longest.add_metric(labels, queue.longest_running())
        yield from (depth, adds, retries, waited, worked, unfinished, longest)


class ManagerMetrics:
    """All metric families of one manager, in a registry of its own."""

    def __init__(self, prefix: str, joined: Iterable[Collector] = ()) -> None:
        self.registry = CollectorRegistry()
        for collector in joined:
            self.registry.register(collector)
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self._add_controller_families()
        self.queues: list[QueueMetrics] = []
        self.registry.register(_QueueCollector(self.queues))
        self._add_own_families(prefix)

    def exposition(self) -> bytes:
        """All metrics in the Prometheus text format (`CONTENT_TYPE`)."""
        return generate_latest(self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, labels, registry=self.registry)

    def _tally(self, name: str, text: str, buckets: Sequence[float], *labels: str) -> TallyFamily:
        family = TallyFamily(name, text, labels, buckets)
        self.registry.register(family)
        return family

    def _add_controller_families(self) -> None:
        prefix, by = "controller_runtime_", "controller"
        self.reconcile_total = self._counter(f"{prefix}reconcile", "Reconciliations by result", by, "result")
        self.reconcile_errors = self._counter(f"{prefix}reconcile_errors", "Reconciliations that failed", by)
        self.terminal_errors = self._counter(f"{prefix}terminal_reconcile_errors", "Failures for good", by)
        self.panics = self._counter(f"{prefix}reconcile_panics", "Reconciliations ended by an unexpected error", by)
        self.timeouts = self._counter(f"{prefix}reconcile_timeouts", "Reconciliations that took too long", by)
        seconds = f"{prefix}reconcile_time_seconds"
        self.reconcile_time = self._tally(seconds, "Length of a reconciliation", _RECONCILE_BUCKETS, by)
        self.max_concurrent = self._gauge(f"{prefix}max_concurrent_reconciles", "Workers there are", by)
        self.active_workers = self._gauge(f"{prefix}active_workers", "Workers that are busy", by)

    def _add_own_families(self, prefix: str) -> None:
        informer = f"{prefix}_informer_"
        self.leader = self._gauge("leader_election_master_status", "1 leads, 0 stands by", "name")
        self.leader_slowpath = self._counter(
            "leader_election_slowpath", "Renewals that had to read the lease before they could write it", "name"
        )
        self.informer_synced = self._gauge(f"{informer}synced", "1 when the cache of the kind is whole", "kind")
        self.informer_objects = self._gauge(f"{informer}objects", "Objects in the cache of the kind", "kind")
        self.informer_restarts = self._counter(f"{informer}restarts", "Lists and watches begun anew", "kind", "cause")
        self.informer_silence = self._gauge(
            f"{informer}silence_seconds", "Since the server last sent anything about the kind", "kind"
        )
        pause = "How long a garbage collection held everything up"
        self.gc_pauses = self._tally(f"{prefix}_gc_pause_seconds", pause, _PAUSE_BUCKETS, "generation")
        self.loop_lag = self._gauge(f"{prefix}_event_loop_lag_seconds", "How late the event loop last ticked")
