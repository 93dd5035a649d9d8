"""Counters of the fleet: template selections, download attempts, discoveries.

As in `history`, only changes in the caches that this process saw count. Label values come from bounded sets, except
the names of artifacts: attempts are counted by name while the artifact exists and there are not too many.
"""

from collections import Counter as Multiset
from collections.abc import Iterator

from prometheus_client import Counter
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from aimd.metrics.figures import (
    attempt_ended,
    discovery_job_seconds,
    discovery_outcome,
    ready_reason,
    selection_of,
)
from aimd.planning.kinds import AIM_ARTIFACT, AIM_CLUSTER_SERVICE_TEMPLATE, AIM_SERVICE, AIM_SERVICE_TEMPLATE
from aimd.runtime.kinds import JOB
from aimd.runtime.metrics import TallyFamily
from aimd.runtime.objects import key_of
from aimd.runtime.store import Cache, Delta

_BUCKETS = (1, 5, 10, 30, 60, 120, 300, 600, 1200, 3600)


class FleetCounts(Collector):
    """Counters of the fleet (OPS-MET-2).

    `object_limit` is the maximum number of series of a family that names objects; above it, the names are empty.
    """

    def __init__(self, cache: Cache, object_limit: int) -> None:
        self._limit = object_limit
        self._selections = Counter(
            "aimd_template_selection",
            "Automatic template selections by outcome, and candidates by the filter that removed them.",
            ("outcome",),
            registry=None,
        )
        self._attempts = Multiset[tuple[str, str, str, str]]()
        self._discoveries = Counter("aimd_discovery", "Finished discoveries.", ("result", "reason"), registry=None)
        self._seconds = TallyFamily(
            "aimd_discovery_seconds", "Duration of discovery jobs.", ("result", "reason"), _BUCKETS
        )
        cache[AIM_SERVICE].subscribe(self._service_changed)
        cache[AIM_ARTIFACT].subscribe(self._artifact_changed)
        for kind in (AIM_SERVICE_TEMPLATE, AIM_CLUSTER_SERVICE_TEMPLATE):
            cache[kind].subscribe(self._template_changed)
        cache[JOB].subscribe(self._job_changed)

    def collect(self) -> Iterator[Metric]:
        """Yield the families as they are now."""
        for family in (self._selections, self._discoveries, self._seconds):
            yield from family.collect()
        yield self._attempts_family()

    def _attempts_family(self) -> Metric:
        family = CounterMetricFamily(
            "aimd_artifact_attempts",
            "Finished download attempts.",
            labels=("namespace", "name", "result", "reason"),
        )
        named = len(self._attempts) <= self._limit
        counts = Multiset[tuple[str, str, str, str]]()
        for (namespace, name, result, reason), count in self._attempts.items():
            counts[namespace, name if named else "", result, reason] += count
        for labels, count in sorted(counts.items()):
            family.add_metric(labels, count)
        return family

    def _service_changed(self, delta: Delta) -> None:
        before, after, initial = delta
        if before is None or after is None or initial:
            return
        selection = selection_of(after)
        if selection is not None and selection != selection_of(before):
            for outcome in selection.outcomes:
                self._selections.labels(outcome).inc()

    def _artifact_changed(self, delta: Delta) -> None:
        before, after, initial = delta
        if after is None:
            gone = key_of(before or {})
            for labels in [labels for labels in self._attempts if labels[:2] == gone]:
                del self._attempts[labels]
        elif before is not None and not initial and (result := attempt_ended(before, after)):
            self._attempts[*key_of(after), result, ready_reason(after)] += 1

    def _template_changed(self, delta: Delta) -> None:
        before, after, initial = delta
        if before is None or after is None or initial:
            return
        if outcome := discovery_outcome(before, after):
            self._discoveries.labels(*outcome).inc()

    def _job_changed(self, delta: Delta) -> None:
        before, after, initial = delta
        if before is None or after is None or initial or discovery_job_seconds(before) is not None:
            return
        if ended := discovery_job_seconds(after):
            *labels, seconds = ended
            self._seconds.labels(*labels).observe(seconds)
