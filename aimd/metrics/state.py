"""The collector of the fleet's gauges, computed from the caches at each scrape (OPS-MET-3).

Nothing is kept between scrapes, so a deleted object leaves no series behind. Gauges that name objects have a limit: one
with more series is left out as a whole, and `aimd_metrics_left_out` reports that; the counts by namespace and status
go on.
"""

import platform
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from aimd import __version__
from aimd.controllers.service_template.discovery_slots import DiscoverySlots
from aimd.metrics import cluster, discovery, model_sources, runtime_configs, services, statuses, weights
from aimd.metrics.fleet import Fleet
from aimd.planning.model_source.plan import ImageCounts
from aimd.runtime.objects import Key
from aimd.runtime.store import Cache

GAUGES = (
    *cluster.GAUGES,
    *statuses.GAUGES,
    *services.GAUGES,
    *weights.GAUGES,
    *discovery.GAUGES,
    *model_sources.GAUGES,
    *runtime_configs.GAUGES,
)


class BuildInfo(Collector):
    """The version of the running aimd; `commit` is the commit that its image was built from."""

    def __init__(self, commit: str) -> None:
        self._commit = commit

    def collect(self) -> Iterator[Metric]:
        """Yield one series, always 1."""
        labels = ("version", "commit", "python")
        family = GaugeMetricFamily("aimd_build_info", "Version of aimd.", labels=labels)
        family.add_metric((__version__, self._commit, platform.python_version()), 1)
        yield family


class FleetState(Collector):
    """All gauges of the fleet (OPS-MET-2).

    `object_limit` is the maximum number of series of a gauge that names objects; 0 leaves out all of these. `slots`
    are those of the discovery Jobs; `image_counts` is kept up to date by the controller of model sources.
    """

    def __init__(
        self,
        cache: Cache,
        slots: DiscoverySlots,
        object_limit: int,
        image_counts: Mapping[Key, ImageCounts] = MappingProxyType({}),
    ) -> None:
        self._fleet = Fleet(cache, slots, image_counts)
        self._limit = object_limit

    def collect(self) -> Iterator[Metric]:
        """Yield all families as they are now."""
        left_out = GaugeMetricFamily(
            "aimd_metrics_left_out", "1 if the family has more series than the limit.", labels=("family",)
        )
        for gauge in GAUGES:
            if gauge.per_object and not self._limit:
                continue
            family = gauge.family(self._fleet, self._limit if gauge.per_object else None)
            if gauge.per_object:
                left_out.add_metric((gauge.name,), float(family is None))
            if family is not None:
                yield family
        yield left_out
