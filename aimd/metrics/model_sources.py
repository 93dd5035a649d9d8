"""Gauges of model sources: their images, and when their registries were listed."""

from aimd.api.model_source import AIMClusterModelSource
from aimd.metrics.figures import last_success, last_sync
from aimd.metrics.fleet import Fleet
from aimd.metrics.gauges import Gauge, Series
from aimd.planning.kinds import AIM_CLUSTER_MODEL_SOURCE
from aimd.planning.model_source.plan import DEFAULT_INTERVAL_SECONDS, interval_seconds
from aimd.planning.objects import status_of, whole_number
from aimd.runtime.objects import Manifest, key_of


def _images(fleet: Fleet) -> Series:
    for source in fleet.objects(AIM_CLUSTER_MODEL_SOURCE):
        name, status = key_of(source).name, status_of(source)
        yield (name, "matched"), whole_number(status, "availableModels")
        yield (name, "created"), whole_number(status, "discoveredModels")
        if counts := fleet.image_counts.get(key_of(source)):
            yield (name, "seen"), counts.seen
            yield (name, "over_limit"), counts.over_limit


def _last_success(fleet: Fleet) -> Series:
    for source in fleet.objects(AIM_CLUSTER_MODEL_SOURCE):
        if moment := last_success(source):
            yield (key_of(source).name,), moment.timestamp()


def _next_sync(fleet: Fleet) -> Series:
    for source in fleet.objects(AIM_CLUSTER_MODEL_SOURCE):
        if moment := last_sync(source):
            yield (key_of(source).name,), moment.timestamp() + _interval_of(fleet, source)


def _interval(fleet: Fleet) -> Series:
    for source in fleet.objects(AIM_CLUSTER_MODEL_SOURCE):
        yield (key_of(source).name,), _interval_of(fleet, source)


def _interval_of(fleet: Fleet, source: Manifest) -> float:
    parsed = fleet.parsed(AIMClusterModelSource, source)
    return interval_seconds(parsed) if parsed is not None else DEFAULT_INTERVAL_SECONDS


GAUGES = (
    Gauge(
        "aimd_model_source_images",
        "Images of a model source: seen by its filters, matched, created, over_limit.",
        ("name", "state"),
        _images,
    ),
    Gauge(
        "aimd_model_source_last_success_timestamp_seconds",
        "Unix time at which the registry last answered.",
        ("name",),
        _last_success,
    ),
    Gauge(
        "aimd_model_source_next_sync_timestamp_seconds",
        "Unix time at which the registry is listed next.",
        ("name",),
        _next_sync,
    ),
    Gauge("aimd_model_source_interval_seconds", "Seconds between two listings of the registry.", ("name",), _interval),
)
