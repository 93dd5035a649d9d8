"""How long starts and downloads took.

Computed from the changes in the caches, so that a standby that takes over knows what is in progress. Only changes that
this process saw count: objects that existed when it started are not timed.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from aimd.api.shared import Status
from aimd.controllers.pipeline import Clock, utc_now
from aimd.metrics.figures import (
    download_bytes,
    is_up_to_date,
    phase_seconds,
    protocol_of,
    scheme_of,
)
from aimd.planning.kinds import AIM_ARTIFACT, AIM_SERVICE
from aimd.planning.objects import generation_of, status_word
from aimd.runtime.metrics import TallyFamily
from aimd.runtime.objects import Manifest, key_of, uid_of
from aimd.runtime.store import Cache, Delta

_BUCKETS = (1, 5, 10, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400)
_SMOOTHING = 0.5
_SILENT_SECONDS = 60.0
"""A download that reports no progress for this long has a rate of 0; others report every few seconds."""
_ENDED = (Status.READY, Status.FAILED)


@dataclass(slots=True)
class _Download:
    """A download in progress: when it began, when it last made progress, its bytes then, its bytes per second."""

    labels: tuple[str, str, str]
    began: float
    at: float
    size: int
    rate: float = 0.0

    def note(self, size: int, now: float) -> None:
        """Take progress into the rate; a smaller size is that of a new attempt."""
        if size == self.size or now <= self.at:
            return
        if size > self.size:
            measured = (size - self.size) / (now - self.at)
            self.rate = measured if not self.rate else self.rate + _SMOOTHING * (measured - self.rate)
        else:
            self.rate = 0.0
        self.at, self.size = now, size


class FleetHistory(Collector):
    """Histograms of starts and downloads, and the rate of each download in progress.

    `clock` is the time of day, `monotonic` a clock in seconds that never goes back.
    """

    def __init__(self, cache: Cache, clock: Clock = utc_now, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._monotonic = monotonic
        self._starting: dict[str, datetime] = {}
        self._downloads: dict[str, _Download] = {}
        self._running = TallyFamily(
            "aimd_service_time_to_running_seconds",
            "Time from creation or the last edit of a service to Running.",
            ("namespace", "cache"),
            _BUCKETS,
        )
        self._phases = TallyFamily(
            "aimd_service_phase_seconds", "Time of a service's start by phase.", ("phase",), _BUCKETS
        )
        self._downloaded = TallyFamily(
            "aimd_artifact_download_seconds",
            "Duration of finished downloads.",
            ("scheme", "protocol", "result"),
            _BUCKETS,
        )
        cache[AIM_SERVICE].subscribe(self._service_changed)
        cache[AIM_ARTIFACT].subscribe(self._artifact_changed)

    def collect(self) -> Iterator[Metric]:
        """Yield the families as they are now."""
        for family in (self._running, self._phases, self._downloaded):
            yield from family.collect()
        rate = GaugeMetricFamily(
            "aimd_artifact_download_rate_bytes",
            "Bytes per second of downloads in progress.",
            labels=("namespace", "name", "scheme"),
        )
        for download in self._downloads.values():
            silent = self._monotonic() - download.at > _SILENT_SECONDS
            rate.add_metric(download.labels, 0.0 if silent else download.rate)
        yield rate

    def _service_changed(self, delta: Delta) -> None:
        before, after, initial = delta
        if after is None:
            self._starting.pop(uid_of(before or {}), None)
            return
        if initial:
            return
        uid = uid_of(after)
        if before is None or generation_of(before) != generation_of(after):
            self._starting[uid] = self._clock()
        if status_word(after) != Status.RUNNING or not is_up_to_date(after):
            return
        began = self._starting.pop(uid, None)
        if began is not None:
            self._add_start(after, began)

    def _add_start(self, service: Manifest, began: datetime) -> None:
        phases = phase_seconds(service, began)
        # Transition times are whole seconds: cached weights become ready at the same time as what precedes them.
        cache = "cold" if phases["cache"] else "warm"
        self._running.labels(key_of(service).namespace, cache).observe((self._clock() - began).total_seconds())
        for phase, seconds in phases.items():
            self._phases.labels(phase).observe(seconds)

    def _artifact_changed(self, delta: Delta) -> None:
        before, after, initial = delta
        if after is None:
            self._downloads.pop(uid_of(before or {}), None)
            return
        uid, word, now = uid_of(after), status_word(after), self._monotonic()
        if word == Status.PROGRESSING:
            size = download_bytes(after).downloaded
            labels = (key_of(after).namespace, key_of(after).name, scheme_of(after))
            self._downloads.setdefault(uid, _Download(labels, now, now, size)).note(size, now)
            return
        ended = self._downloads.pop(uid, None)
        if ended is not None and word in _ENDED and not initial:
            self._downloaded.labels(scheme_of(after), protocol_of(after), word).observe(now - ended.began)
