"""Prometheus metrics with controller-runtime's and client-go's names, so that existing dashboards work.

Other metrics have the prefix of the manager's options. Nothing is global: a manager has its own registry, which also
exposes the client's metrics.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Protocol

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
    """The metrics of a client; every manager that uses it exposes them."""

    def __init__(self, prefix: str) -> None:
        by_result = ("kind", "result")
        requests = "Number of HTTP requests, partitioned by status code, method, and host."
        self.requests = _unregistered("rest_client_requests", requests, ("code", "method", "host"))
        retries = "Number of request retries, partitioned by status code, verb, and host."
        self.retries = _unregistered("rest_client_request_retries", retries, ("code", "verb", "host"))
        writes = "Number of writes sent to the API server, by kind, verb and reason"
        self.writes = _unregistered(f"{prefix}_api_writes", writes, ("kind", "verb", "reason"))
        self._applies = _unregistered(f"{prefix}_apply", "Number of objects applied, by result", by_result)
        self._statuses = _unregistered(f"{prefix}_status_write", "Number of status updates, by result", by_result)
        events = "Number of Events recorded, and whether they were emitted"
        self._events = _unregistered(f"{prefix}_events", events, ("kind", "type", "reason", "emitted"))
        seconds = "Request latency in seconds"
        self._seconds = TallyFamily("rest_client_request_duration_seconds", seconds, ("verb", "host"), _REQUEST_BUCKETS)
        self._counters: dict[tuple[str, str, str], Counter] = {}

    @property
    def collectors(self) -> tuple[Collector, ...]:
        """The collectors to register."""
        own = (self.writes, self._applies, self._statuses, self._events)
        return (self.requests, self.retries, *own, self._seconds)

    def count(self, code: str, method: str, host: str, seconds: float | None) -> None:
        """Count a request; `code` is `<error>` without a response, `seconds` None for a watch."""
        counter = self._counters.get((code, method, host))
        if counter is None:
            counter = self._counters[code, method, host] = self.requests.labels(code, method, host)
        counter.inc()
        if seconds is not None:
            self._seconds.labels(method, host).observe(seconds)

    def count_apply(self, kind: str, result: str) -> None:
        """Count an object: unchanged, created, updated, or how it was refused (`errors.refusal_of`)."""
        self._applies.labels(kind, result).inc()

    def count_status_write(self, kind: str, result: str) -> None:
        """Count a status: written, unchanged, conflict or error."""
        self._statuses.labels(kind, result).inc()

    def count_event(self, kind: str, type: str, reason: str, emitted: str) -> None:
        """Count an Event about an object of this kind; `emitted` is yes, suppressed, failed or dropped."""
        self._events.labels(kind, type, reason, emitted).inc()


def _unregistered(name: str, text: str, labels: Sequence[str]) -> Counter:
    return Counter(name, text, labels, registry=None)


class ReconcileMetrics:
    """The `controller_runtime_*` series of a controller, initialized to 0."""

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
        """Count a reconcile; `result` is success, error, requeue or requeue_after."""
        self._totals[result].inc()


class Tally:
    """A histogram that is cheap to add to; `buckets` are upper limits in ascending order, without infinity."""

    __slots__ = ("_buckets", "_counts", "_sum")

    def __init__(self, buckets: Sequence[float]) -> None:
        self._buckets = tuple(buckets)
        self._counts = [0] * (len(self._buckets) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Add a value."""
        self._counts[bisect_left(self._buckets, value)] += 1
        self._sum += value

    def add_to(self, family: HistogramMetricFamily, labels: Sequence[str]) -> None:
        """Add the histogram to `family` as a series with these label values."""
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
        """Return the series of these label values."""
        tally = self._series.get(values)
        if tally is None:
            tally = self._series[values] = Tally(self._buckets)
        return tally

    def collect(self) -> Iterator[Metric]:
        """Build the family."""
        family = HistogramMetricFamily(self._name, self._text, labels=self._label_names)
        for values, tally in self._series.items():
            tally.add_to(family, values)
        yield family


def _in_go(limit: float) -> str:
    """Format a number as Go does; dashboards compare bucket limits as text."""
    return str(floatToGoString(limit))  # type: ignore[no-untyped-call]


class Gated(Collector):
    """A collector that is exposed only while a condition holds; not registered by itself."""

    def __init__(self, collector: Collector, condition: Callable[[], bool]) -> None:
        self._collector = collector
        self._condition = condition

    def collect(self) -> Iterable[Metric]:
        """Return the families, or nothing."""
        return self._collector.collect() if self._condition() else ()


class QueueMetrics:
    """The `workqueue_*` series of a queue: plain numbers that a scrape reads."""

    def __init__(self, families: "ManagerMetrics", name: str) -> None:
        self.name = name
        self.adds = 0
        self.retries = 0
        self.queue_duration = Tally(_QUEUE_BUCKETS)
        self.work_duration = Tally(_QUEUE_BUCKETS)
        self.depths: Callable[[], Mapping[int, int]] = lambda: {0: 0}
        """Returns the number of ready items by priority."""
        self.unfinished: Callable[[], float] = lambda: 0.0
        """Returns the seconds spent so far on items in processing."""
        self.longest_running: Callable[[], float] = lambda: 0.0
        """Returns the seconds spent so far on the oldest of them."""
        families.queues.append(self)

    def depth_by_priority(self) -> Iterator[tuple[str, int]]:
        """Yield label and depth for each priority; those beyond the 25th share one label."""
        depths = self.depths()
        for number, (priority, depth) in enumerate(depths.items()):
            if number < _MOST_PRIORITIES:
                yield str(priority), depth
        if beyond := [*depths.values()][_MOST_PRIORITIES:]:
            yield "exceeded_cardinality_limit", sum(beyond)


class _QueueCollector(Collector):
    """Exposes the queues of a manager."""

    def __init__(self, queues: Sequence[QueueMetrics]) -> None:
        self._queues = queues

    def collect(self) -> Iterator[Metric]:
        """Build the families."""
        by, prefix = ("name", "controller"), "workqueue_"
        depth = GaugeMetricFamily(f"{prefix}depth", "Number of ready items", labels=(*by, "priority"))
        adds = CounterMetricFamily(f"{prefix}adds", "Number of items added", labels=by)
        retries = CounterMetricFamily(f"{prefix}retries", "Number of items added after a failure", labels=by)
        waited = HistogramMetricFamily(f"{prefix}queue_duration_seconds", "Seconds a ready item waited", labels=by)
        worked = HistogramMetricFamily(f"{prefix}work_duration_seconds", "Seconds per processed item", labels=by)
        unfinished_name, longest_name = f"{prefix}unfinished_work_seconds", f"{prefix}longest_running_processor_seconds"
        unfinished = GaugeMetricFamily(unfinished_name, "Seconds spent so far on items in processing", labels=by)
        longest = GaugeMetricFamily(longest_name, "Seconds spent so far on the oldest of these items", labels=by)
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


class InformerHealth(Protocol):
    """What metrics show of an informer."""

    @property
    def healthy(self) -> bool:
        """Whether its cache follows the API server."""

    @property
    def failing_seconds(self) -> float:
        """Seconds for which it has been failing."""

    @property
    def silence(self) -> float:
        """Seconds since the API server last sent anything."""


class ManagerMetrics:
    """The metric families of a manager, in a registry of its own."""

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
        """Return all metrics in the Prometheus text format (`CONTENT_TYPE`)."""
        return generate_latest(self.registry)

    def add_informer(self, kind: str, informer: "InformerHealth") -> None:
        """Expose the health of an informer; a kind with several is as healthy as the worst of them."""
        informers = self._informers.setdefault(kind, [])
        informers.append(informer)
        self.informer_synced.labels(kind).set_function(lambda: float(all(each.healthy for each in informers)))
        self.informer_failing.labels(kind).set_function(lambda: max(each.failing_seconds for each in informers))
        self.informer_silence.labels(kind).set_function(lambda: max(each.silence for each in informers))

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
        self.reconcile_total = self._counter(f"{prefix}reconcile", "Number of reconciles, by result", by, "result")
        self.reconcile_errors = self._counter(f"{prefix}reconcile_errors", "Number of failed reconciles", by)
        terminal = "Number of failed reconciles that are not retried"
        self.terminal_errors = self._counter(f"{prefix}terminal_reconcile_errors", terminal, by)
        panics = "Number of reconciles that raised an unexpected error"
        self.panics = self._counter(f"{prefix}reconcile_panics", panics, by)
        self.timeouts = self._counter(f"{prefix}reconcile_timeouts", "Number of reconciles that timed out", by)
        seconds = f"{prefix}reconcile_time_seconds"
        self.reconcile_time = self._tally(seconds, "Seconds per reconcile", _RECONCILE_BUCKETS, by)
        self.max_concurrent = self._gauge(f"{prefix}max_concurrent_reconciles", "Number of workers", by)
        self.active_workers = self._gauge(f"{prefix}active_workers", "Number of busy workers", by)

    def _add_own_families(self, prefix: str) -> None:
        informer = f"{prefix}_informer_"
        self.leader = self._gauge("leader_election_master_status", "1 if this replica holds the lease", "name")
        slow = "Number of renewals that had to read the lease first"
        self.leader_slowpath = self._counter("leader_election_slowpath", slow, "name")
        self._informers: dict[str, list[InformerHealth]] = {}
        synced = "1 if the cache of the kind is synced and follows the API server"
        self.informer_synced = self._gauge(f"{informer}synced", synced, "kind")
        failing = "Seconds for which lists and watches of the kind have been failing"
        self.informer_failing = self._gauge(f"{informer}failing_seconds", failing, "kind")
        self.informer_objects = self._gauge(f"{informer}objects", "Number of cached objects", "kind")
        restarts = "Number of restarted lists and watches, by cause"
        self.informer_restarts = self._counter(f"{informer}restarts", restarts, "kind", "cause")
        silence = "Seconds since the API server last sent anything"
        self.informer_silence = self._gauge(f"{informer}silence_seconds", silence, "kind")
        unreadable = "Number of cached objects that cannot be read"
        self.unreadable_objects = self._gauge(f"{prefix}_unreadable_objects", unreadable, "kind")
        pause = "Seconds per garbage collection, during which nothing else runs"
        self.gc_pauses = self._tally(f"{prefix}_gc_pause_seconds", pause, _PAUSE_BUCKETS, "generation")
        self.loop_lag = self._gauge(f"{prefix}_event_loop_lag_seconds", "Seconds by which the event loop was late")
