"""A fleet in a cache, with its metrics, for tests of this room."""

from datetime import UTC, datetime, timedelta
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from aimd.controllers.reader import Reader
from aimd.controllers.relations import SERVICE_POD
from aimd.controllers.service_template.controller import DISCOVERY_INFORMERS
from aimd.controllers.service_template.discovery_slots import DiscoverySlots
from aimd.metrics.counts import FleetCounts
from aimd.metrics.history import FleetHistory
from aimd.metrics.state import FleetState
from aimd.planning.kinds import (
    AIM_ARTIFACT,
    AIM_CLUSTER_MODEL,
    AIM_CLUSTER_MODEL_SOURCE,
    AIM_CLUSTER_RUNTIME_CONFIG,
    AIM_CLUSTER_SERVICE_TEMPLATE,
    AIM_MODEL,
    AIM_RUNTIME_CONFIG,
    AIM_SERVICE,
    AIM_SERVICE_TEMPLATE,
    HTTP_ROUTE,
    INFERENCE_SERVICE,
    SCALED_OBJECT,
)
from aimd.planning.model_source.plan import ImageCounts
from aimd.runtime.kinds import HORIZONTAL_POD_AUTOSCALER, JOB, NODE, PERSISTENT_VOLUME_CLAIM, POD
from aimd.runtime.objects import Key, Kind, Manifest
from aimd.runtime.store import Cache, Store

START = datetime(2026, 1, 1, tzinfo=UTC)
TEAM = {"namespace": "ml-team"}


class FleetWorld:
    """A cache, the metrics computed from it, and a clock that the test moves."""

    def __init__(self, limit: int = 100) -> None:
        self.cache = Cache()
        kinds = (
            AIM_SERVICE,
            AIM_ARTIFACT,
            AIM_SERVICE_TEMPLATE,
            AIM_CLUSTER_SERVICE_TEMPLATE,
            AIM_MODEL,
            AIM_CLUSTER_MODEL,
            AIM_CLUSTER_MODEL_SOURCE,
            INFERENCE_SERVICE,
        )
        for kind in (
            *kinds,
            AIM_RUNTIME_CONFIG,
            AIM_CLUSTER_RUNTIME_CONFIG,
            HTTP_ROUTE,
            HORIZONTAL_POD_AUTOSCALER,
            SCALED_OBJECT,
            NODE,
            PERSISTENT_VOLUME_CLAIM,
        ):
            self.cache.add(Store(kind))
        self.cache.add(Store(POD, SERVICE_POD.indexes(Reader(self.cache))[POD]))
        for informer in DISCOVERY_INFORMERS:
            if informer.kind == JOB:
                self.cache.add(Store(JOB, informer.indexes))
        self.seconds = 0.0
        self.version = 0
        self.registry = CollectorRegistry()
        self.image_counts: dict[Key, ImageCounts] = {}
        self.slots = DiscoverySlots(self.cache, 10, lambda: self.seconds)
        self.registry.register(FleetState(self.cache, self.slots, limit, self.image_counts))
        self.registry.register(FleetCounts(self.cache, limit))
        self.registry.register(
            FleetHistory(self.cache, lambda: START + timedelta(seconds=self.seconds), lambda: self.seconds)
        )

    def put(self, kind: Kind, name: str, /, generation: int = 1, initial: bool = False, **parts: Any) -> None:
        self.version += 1
        namespace = {"namespace": "ml-team"} if kind.namespaced else {}
        metadata = {"name": name, "uid": f"{kind.name}/{name}", "generation": generation, **namespace}
        metadata |= {"resourceVersion": str(self.version), **parts.pop("metadata", {})}
        manifest: Manifest = {"metadata": metadata, **parts}
        self.cache[kind].upsert(manifest, initial=initial)

    def service(self, status: str, generation: int = 1, observed: int | None = None, **turned: float) -> None:
        """The service `chat`; conditions turned that many seconds after the start of time."""
        conditions = [
            {
                "type": name,
                "status": "True",
                "reason": "Fine",
                "lastTransitionTime": (START + timedelta(seconds=at)).isoformat(),
            }
            for name, at in {"Ready": self.seconds, **turned}.items()
        ]
        body = {
            "status": status,
            "observedGeneration": generation if observed is None else observed,
            "conditions": conditions,
            "resolvedTemplate": {"name": "tiny", "scope": "Cluster"},
            "runtime": {"currentReplicas": 1, "desiredReplicas": 2, "minReplicas": 1, "maxReplicas": 4},
        }
        self.put(AIM_SERVICE, "chat", generation=generation, spec={}, status=body)

    def scrape(self) -> dict[str, Metric]:
        text = generate_latest(self.registry).decode()
        return {family.name: family for family in text_string_to_metric_families(text)}

    def value(self, sample: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(sample, labels)

    def samples(self, family: str, label: str) -> dict[str, float]:
        """Values of a family's samples by the value of one label."""
        return {sample.labels[label]: sample.value for sample in self.scrape()[family].samples}
