"""Metrics about what happened to the fleet: how long starts took and where the time went, how downloads ended.

Told by the changes in the caches, so that a standby that takes over knows of what is under way. Only changes count that
this process saw: what was there when it started is not timed.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from aimd.controllers.pipeline import Clock, utc_now
from aimd.metrics.figures import download_bytes, phase_seconds, protocol_of, scheme_of, status_word
from aimd.planning.kinds import AIM_ARTIFACT, AIM_SERVICE
from aimd.runtime.metrics import TallyFamily
from aimd.runtime.objects import Manifest, key_of, metadata_of, uid_of
from aimd.runtime.store import Cache, Delta

_BUCKETS = (1, 5, 10, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400)
_SMOOTHING = 0.5
_SILENT_SECONDS = 60.0
"""A download that tells of nothing new for so long has no rate; one that moves tells of it every few seconds."""
_ENDED = ("Ready", "Failed")


@dataclass(slots=True)
class _Download:
    began: float
    at: float
    size: int
    rate: float = 0.0


class FleetHistory(Collector):
    """Histograms of starts and downloads, and the rate of each download under way; `monotonic` is in seconds."""

    def __init__(self, cache: Cache, clock: Clock = utc_now, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._monotonic = monotonic
        self._starting: dict[str, datetime] = {}
        self._downloads: dict[str, tuple[tuple[str, str, str], _Download]] = {}
        self._running = TallyFamily(
            "aimd_service_time_to_running_seconds",
            "From creation or the last edit to Running",
            ("namespace", "cache"),
            _BUCKETS,
        )
        self._phases = TallyFamily("aimd_service_phase_seconds", "Where the time of a start went", ("phase",), _BUCKETS)
        self._downloaded = TallyFamily(
            "aimd_artifact_download_seconds", "Length of a download", ("scheme", "protocol", "result"), _BUCKETS
        )
        cache[AIM_SERVICE].subscribe(self._service_changed)
        cache[AIM_ARTIFACT].subscribe(self._artifact_changed)

    def collect(self) -> Iterator[Metric]:
        """The families as they are now."""
        for family in (self._running, self._phases, self._downloaded):
            yield from family.collect()
        rate = GaugeMetricFamily(
            "aimd_artifact_download_rate_bytes", "Bytes a second of a download under way",
            labels=("namespace", "name", "scheme"),
        )  # fmt: skip
        for labels, download in self._downloads.values():
            silent = self._monotonic() - download.at > _SILENT_SECONDS
            rate.add_metric(labels, 0.0 if silent else download.rate)
        yield rate

    def _service_changed(self, delta: Delta) -> None:
        before, after, initial = delta
        if after is None:
            self._starting.pop(uid_of(before or {}), None)
            return
        if initial:
            return
        uid = uid_of(after)
        edited = before is None or metadata_of(before).get("generation") != metadata_of(after).get("generation")
        if edited:
            self._starting[uid] = self._clock()
        if status_word(after) != "Running" or not _is_up_to_date(after):
            return
        began = self._starting.pop(uid, None)
        if began is None:
            return
        phases = phase_seconds(after, began)
        # Turns are told to the second: weights that were there turn ready with what comes before them.
        cache = "cold" if phases["cache"] else "warm"
        self._running.labels(key_of(after).namespace, cache).observe((self._clock() - began).total_seconds())
        for phase, seconds in phases.items():
            self._phases.labels(phase).observe(seconds)

    def _artifact_changed(self, delta: Delta) -> None:
        before, after, initial = delta
        if after is None:
            self._downloads.pop(uid_of(before or {}), None)
            return
        uid, word, now = uid_of(after), status_word(after), self._monotonic()
        _, size = download_bytes(after)
        if word == "Progressing":
            labels = (key_of(after).namespace, key_of(after).name, scheme_of(after))
            _, download = self._downloads.setdefault(uid, (labels, _Download(now, now, size)))
            _note(download, size, now)
            return
        ended = self._downloads.pop(uid, None)
        if ended is not None and word in _ENDED and not initial:
            labels, download = ended
            self._downloaded.labels(labels[2], protocol_of(after), word).observe(now - download.began)


def _is_up_to_date(service: Manifest) -> bool:
    return bool((service.get("status") or {}).get("observedGeneration") == metadata_of(service).get("generation"))


def _note(download: _Download, size: int, now: float) -> None:
    """Takes new progress into the rate; a smaller size is a new attempt."""
    if size == download.size or now <= download.at:
        return
    if size > download.size:
        measured = (size - download.size) / (now - download.at)
        download.rate = measured if not download.rate else download.rate + _SMOOTHING * (measured - download.rate)
    else:
        download.rate = 0.0
    download.at, download.size = now, size
