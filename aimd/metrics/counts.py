"""Metrics that count what the fleet decided and tried: choices of templates, attempts at downloads, discoveries.

Like `fleet_history`, told by the changes in the caches that this process saw. What labels say comes from bounded
sets, but for the names of artifacts: their attempts are told by name as long as they are there and few enough.
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

    `object_limit` is the most series of a family with names of objects; with more, the names are left empty.
    """

    def __init__(self, cache: Cache, object_limit: int) -> None:
        self._limit = object_limit
        self._selections = Counter(
            "aimd_template_selection", "Automatic choices of a template by their outcome, and what candidates fell to",
            ("outcome",), registry=None,
        )  # fmt: skip
        self._attempts = Multiset[tuple[str, str, str, str]]()
        self._discoveries = Counter("aimd_discovery", "Discoveries that ended", ("result", "reason"), registry=None)
        self._seconds = TallyFamily(
            "aimd_discovery_seconds", "Length of a discovery job", ("result", "reason"), _BUCKETS
        )
        cache[AIM_SERVICE].subscribe(self._service_changed)
        cache[AIM_ARTIFACT].subscribe(self._artifact_changed)
        for kind in (AIM_SERVICE_TEMPLATE, AIM_CLUSTER_SERVICE_TEMPLATE):
            cache[kind].subscribe(self._template_changed)
        cache[JOB].subscribe(self._job_changed)

    def collect(self) -> Iterator[Metric]:
        """The families as they are now."""
        for family in (self._selections, self._discoveries, self._seconds):
            yield from family.collect()
        yield self._attempts_told()

    def _attempts_told(self) -> Metric:
        family = CounterMetricFamily(
            "aimd_artifact_attempts", "Attempts at downloads that ended",
            labels=("namespace", "name", "result", "reason"),
        )  # fmt: skip
        named = len(self._attempts) <= self._limit
        told = Multiset[tuple[str, str, str, str]]()
        for (namespace, name, result, reason), count in self._attempts.items():
            told[namespace, name if named else "", result, reason] += count
        for labels, count in sorted(told.items()):
            family.add_metric(labels, count)
        return family

    def _service_changed(self, delta: Delta) -> None:
        before, after, initial = delta
        if before is None or after is None or initial:
            return
        known, made = selection_of(before), selection_of(after)
        if made is not None and made != known:
            for outcome in made.outcomes:
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
