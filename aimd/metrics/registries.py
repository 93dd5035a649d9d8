"""Counters of requests to image registries."""

from collections.abc import Sequence

from prometheus_client import Counter, Histogram
from prometheus_client.registry import Collector

_LABELS = ("registry", "operation", "code")
_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_MAXIMUM_REGISTRIES = 50
_OTHERS = "others"


class RegistryMetrics:
    """Counts requests to image registries; `observe` is the observer of `RegistryOptions` (OPS-MET-2).

    Users name the registries, so their number is bounded: those after the first 50 are counted together.
    """

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._requests = Counter(
            "aimd_registry_requests",
            "Requests to image registries by status code; <error> if there was no response.",
            _LABELS,
            registry=None,
        )
        self._seconds = Histogram(
            "aimd_registry_request_seconds",
            "Duration of requests to image registries.",
            _LABELS,
            registry=None,
            buckets=_BUCKETS,
        )

    @property
    def collectors(self) -> Sequence[Collector]:
        """Return the collectors to register where the metrics are exposed."""
        return (self._requests, self._seconds)

    def observe(self, registry: str, operation: str, code: str, seconds: float) -> None:
        """Count one request; `code` is its HTTP status code, or `<error>` if there was no response."""
        if registry not in self._known and len(self._known) >= _MAXIMUM_REGISTRIES:
            registry = _OTHERS
        self._known.add(registry)
        self._requests.labels(registry, operation, code).inc()
        self._seconds.labels(registry, operation, code).observe(seconds)
