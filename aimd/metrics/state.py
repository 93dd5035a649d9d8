"""Metrics about the fleet as it is now, computed from the caches when somebody scrapes (OPS-MET-3).

Nothing is kept between scrapes, so a series of something deleted cannot stay behind. Families with the names of
objects end at a limit: beyond it a family is left out whole, and `aimd_metrics_left_out` says so; the counts by
namespace and state go on.
"""

import platform
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from pydantic import ValidationError

from aimd import __version__
from aimd.api.crd import status_words
from aimd.api.kinds import RESOURCES
from aimd.api.model_source import AIMClusterModelSource
from aimd.controllers.discovery import DiscoverySlots
from aimd.controllers.service_watches import BY_INFERENCE_SERVICE
from aimd.metrics.figures import (
    conditions_of,
    config_in_force,
    download_bytes,
    gpu_request,
    in_state_since,
    last_success,
    missing_gpu,
    ready_reason,
    replica_figures,
    scheme_of,
    status_word,
)
from aimd.planning.gpus import gpus_of_node
from aimd.planning.kinds import (
    AIM_ARTIFACT,
    AIM_CLUSTER_MODEL_SOURCE,
    AIM_CLUSTER_RUNTIME_CONFIG,
    AIM_CLUSTER_SERVICE_TEMPLATE,
    AIM_RUNTIME_CONFIG,
    AIM_SERVICE,
    AIM_SERVICE_TEMPLATE,
    HTTP_ROUTE,
    INFERENCE_SERVICE,
    SCALED_OBJECT,
)
from aimd.planning.model_source.plan import DEFAULT_INTERVAL_SECONDS, ImageCounts, interval_seconds
from aimd.planning.quantities import InvalidQuantity, parse_bytes
from aimd.planning.service.autoscaler import count_ready
from aimd.planning.time import parse_timestamp
from aimd.runtime.kinds import HORIZONTAL_POD_AUTOSCALER, NODE, PERSISTENT_VOLUME_CLAIM, POD
from aimd.runtime.objects import Key, Kind, Manifest, controller_of, key_of, labels_of
from aimd.runtime.store import Cache

_KINDS = tuple(
    Kind(resource.group, resource.version, resource.kind, resource.plural, resource.namespaced)
    for resource in RESOURCES
)
_WORDS = {resource.kind: status_words(resource) for resource in RESOURCES}
_CAPABILITIES = {
    "kserve": INFERENCE_SERVICE,
    "gateway": HTTP_ROUTE,
    "hpa": HORIZONTAL_POD_AUTOSCALER,
    "keda": SCALED_OBJECT,
    "nodes": NODE,
    "cluster-kinds": AIM_CLUSTER_SERVICE_TEMPLATE,
}
_CONDITION_VALUES = {"True": 1.0, "False": 0.0}
_OBJECT = ("kind", "namespace", "name")


class BuildInfo(Collector):
    """Which aimd this is."""

    def __init__(self, commit: str) -> None:
        self._commit = commit

    def collect(self) -> Iterator[Metric]:
        """One series, always 1."""
        family = _gauge("aimd_build_info", "Which aimd this is", "version", "commit", "python")
        family.add_metric((__version__, self._commit, platform.python_version()), 1)
        yield family


class FleetState(Collector):
    """The fleet's gauges (OPS-MET-2).

    `object_limit` is the most series of a family with names of objects; 0 leaves all of these out. `places` are
    those of the discovery Jobs; `image_counts` are the model sources' own.
    """

    def __init__(
        self,
        cache: Cache,
        places: DiscoverySlots,
        object_limit: int,
        image_counts: Mapping[Key, ImageCounts] = MappingProxyType({}),
    ) -> None:
        self._cache = cache
        self._places = places
        self._limit = object_limit
        self._image_counts = image_counts

    def collect(self) -> Iterator[Metric]:
        """All families, made anew."""
        yield from (self._capabilities(), *self._counts(), self._gpus_requested(), self._gpus_missing())
        yield from (*self._gpus_there(), self._requested_storage(), *self._discoveries(), *self._sources())
        yield self._config_users()
        left_out = _gauge("aimd_metrics_left_out", "1 where a family would have more series than the limit", "family")
        for family in self._object_families() if self._limit else ():
            fits = len(family.samples) <= self._limit
            left_out.add_metric((family.name,), 0 if fits else 1)
            if fits:
                yield family
        yield left_out

    def _objects(self, kind: Kind) -> Iterable[Manifest]:
        return self._cache[kind].list() if kind in self._cache else ()

    def _capabilities(self) -> Metric:
        """Which APIs the cluster serves and the operator may use (OPS-RGT-1)."""
        family = _gauge("aimd_capability", "1 when the cluster serves the API and the operator may use it", "api")
        for api, kind in _CAPABILITIES.items():
            if kind in self._cache:
                family.add_metric((api,), float(self._cache[kind].available))
        return family

    def _counts(self) -> Iterator[Metric]:
        objects = _gauge("aimd_objects", "Objects by state word", "kind", "namespace", "status")
        for kind in _KINDS:
            counted = Counter((_namespace(item), status_word(item)) for item in self._objects(kind))
            for (namespace, status), count in sorted(counted.items()):
                objects.add_metric((kind.name, namespace, status), count)
        yield objects
        services = _gauge(
            "aimd_service_status", "Services by state word and reason of Ready", "namespace", "status", "reason"
        )
        states = Counter(
            (_namespace(item), status_word(item), ready_reason(item)) for item in self._objects(AIM_SERVICE)
        )
        for labels, count in sorted(states.items()):
            services.add_metric(labels, count)
        yield services

    def _gpus_requested(self) -> Metric:
        family = _gauge(
            "aimd_service_gpus_requested", "GPUs that services ask for, over all replicas",
            "namespace", "model", "resource",
        )  # fmt: skip
        wanted: Counter[tuple[str, str, str]] = Counter()
        for service in self._objects(AIM_SERVICE):
            request = gpu_request(service, self._template_of(service))
            if request is not None:
                wanted[_namespace(service), request.model, request.resource] += request.count
        for labels, count in sorted(wanted.items()):
            family.add_metric(labels, count)
        return family

    def _gpus_missing(self) -> Metric:
        family = _gauge(
            "aimd_service_gpu_missing", "Services whose template needs a GPU that no node carries", "namespace", "model"
        )
        missed = (
            (_namespace(service), model)
            for service in self._objects(AIM_SERVICE)
            if (model := missing_gpu(service, self._template_of(service))) is not None
        )
        for labels, count in sorted(Counter(missed).items()):
            family.add_metric(labels, count)
        return family

    def _template_of(self, service: Manifest) -> Manifest | None:
        reference = (service.get("status") or {}).get("resolvedTemplate") or {}
        cluster = reference.get("scope") == "Cluster"
        kind = AIM_CLUSTER_SERVICE_TEMPLATE if cluster else AIM_SERVICE_TEMPLATE
        namespace = "" if cluster else _namespace(service)
        return self._cache[kind].get(Key(namespace, str(reference.get("name") or ""))) if kind in self._cache else None

    def _gpus_there(self) -> Iterator[Metric]:
        nodes = _gauge("aimd_gpu_nodes", "Nodes that carry the GPU model", "model")
        allocatable = _gauge("aimd_gpu_allocatable", "GPUs that nodes offer to pods", "model", "resource")
        counted: Counter[str] = Counter()
        offered: Counter[tuple[str, str]] = Counter()
        for node in self._objects(NODE):
            models = {gpu.model for gpu in gpus_of_node(labels_of(node))}
            counted.update(models)
            for resource, quantity in ((node.get("status") or {}).get("allocatable") or {}).items():
                if models and resource.startswith("amd.com/"):
                    offered["+".join(sorted(models)), resource] += _amount(quantity)
        for model, count in sorted(counted.items()):
            nodes.add_metric((model,), count)
        for labels, count in sorted(offered.items()):
            allocatable.add_metric(labels, count)
        yield from (nodes, allocatable)

    def _requested_storage(self) -> Metric:
        family = _gauge(
            "aimd_cache_requested_bytes", "Storage that volumes of weights ask for", "namespace", "storage_class"
        )
        asked: Counter[tuple[str, str]] = Counter()
        for claim in self._objects(PERSISTENT_VOLUME_CLAIM):
            spec = claim.get("spec") or {}
            size = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
            asked[_namespace(claim), str(spec.get("storageClassName") or "")] += _amount(size)
        for labels, size in sorted(asked.items()):
            family.add_metric(labels, size)
        return family

    def _discoveries(self) -> Iterator[Metric]:
        jobs = _gauge("aimd_discovery_jobs", "Discovery jobs that run")
        slots = _gauge("aimd_discovery_slots", "Discovery jobs that may run at once")
        waiting = _gauge("aimd_discovery_waiting", "Templates that wait for a place for their discovery job")
        for family, count in (
            (jobs, self._places.running),
            (slots, self._places.total),
            (waiting, self._places.waiting),
        ):
            family.add_metric((), count)
        yield from (jobs, slots, waiting)

    def _sources(self) -> Iterator[Metric]:
        images = _gauge("aimd_model_source_images", "Images of a model source", "name", "state")
        synced = _gauge("aimd_model_source_last_success_timestamp_seconds", "When the registry last answered", "name")
        due = _gauge("aimd_model_source_next_sync_timestamp_seconds", "When the registry is due to be listed", "name")
        interval = _gauge("aimd_model_source_interval_seconds", "Time between two listings of the registry", "name")
        for source in self._objects(AIM_CLUSTER_MODEL_SOURCE):
            name, status = key_of(source).name, source.get("status") or {}
            images.add_metric((name, "matched"), int(status.get("availableModels") or 0))
            images.add_metric((name, "created"), int(status.get("discoveredModels") or 0))
            if counts := self._image_counts.get(key_of(source)):
                images.add_metric((name, "seen"), counts.seen)
                images.add_metric((name, "over_limit"), counts.over_limit)
            if time := last_success(source):
                synced.add_metric((name,), time.timestamp())
            if listed := parse_timestamp(str(status.get("lastSyncTime") or "")):
                due.add_metric((name,), listed.timestamp() + self._interval_of(source))
            interval.add_metric((name,), self._interval_of(source))
        yield from (images, synced, due, interval)

    def _config_users(self) -> Metric:
        family = _gauge(
            "aimd_runtime_config_users", "Objects whose status names the runtime config", "kind", "namespace", "name"
        )
        used = Counter(user for kind in _KINDS for item in self._objects(kind) if (user := config_in_force(item)))
        for kind in (AIM_RUNTIME_CONFIG, AIM_CLUSTER_RUNTIME_CONFIG):
            for config in self._objects(kind):
                labels = (kind.name, _namespace(config), key_of(config).name)
                family.add_metric(labels, used[labels])
        return family

    def _interval_of(self, source: Manifest) -> float:
        try:
            return interval_seconds(self._cache.parse(AIMClusterModelSource, source))
        except ValidationError:
            return DEFAULT_INTERVAL_SECONDS

    def _object_families(self) -> Iterator[GaugeMetricFamily]:
        yield from self._states()
        yield self._conditions()
        yield self._replicas()
        by = ("namespace", "name", "scheme")
        expected = _gauge("aimd_artifact_expected_bytes", "Size of the weights", *by)
        there = _gauge("aimd_artifact_downloaded_bytes", "Bytes of the weights that are there", *by)
        for artifact in self._objects(AIM_ARTIFACT):
            labels = (_namespace(artifact), key_of(artifact).name, scheme_of(artifact))
            total, downloaded = download_bytes(artifact)
            expected.add_metric(labels, total)
            there.add_metric(labels, downloaded)
        yield from (expected, there, self._volumes())

    def _replicas(self) -> GaugeMetricFamily:
        family = _gauge("aimd_service_replicas", "Replicas of a service", "namespace", "name", "type")
        ready = self._ready_pods()
        for service in self._objects(AIM_SERVICE):
            key = key_of(service)
            for type_, count in {"ready": ready[key], **replica_figures(service)}.items():
                family.add_metric((key.namespace, key.name, type_), count)
        return family

    def _ready_pods(self) -> Counter[Key]:
        """Ready pods by service, over all InferenceServices that it controls."""
        ready: Counter[Key] = Counter()
        for inference_service in self._objects(INFERENCE_SERVICE):
            key, owner = key_of(inference_service), controller_of(inference_service)
            if owner is not None and owner.get("kind") == AIM_SERVICE.name:
                pods = self._cache[POD].by_index(BY_INFERENCE_SERVICE, str(key))
                ready[Key(key.namespace, str(owner.get("name")))] += count_ready(pods)
        return ready

    def _volumes(self) -> GaugeMetricFamily:
        """Named as kubelet names them, to be joined with what it tells about volumes."""
        family = _gauge("aimd_cache_volume", "1 for a volume of weights", "namespace", "persistentvolumeclaim")
        for claim in self._objects(PERSISTENT_VOLUME_CLAIM):
            family.add_metric((_namespace(claim), key_of(claim).name), 1)
        return family

    def _states(self) -> Iterator[GaugeMetricFamily]:
        state = _gauge("aimd_object_status", "1 for an object's current state word, 0 for others", *_OBJECT, "status")
        since = _gauge("aimd_object_status_since_seconds", "When readiness last turned, unix time", *_OBJECT)
        lag = _gauge("aimd_object_generation_lag", "Generations of the spec not yet looked at", *_OBJECT)
        for kind in _KINDS:
            for item in self._objects(kind):
                labels = (kind.name, _namespace(item), key_of(item).name)
                word = status_word(item)
                for other in _WORDS[kind.name]:
                    state.add_metric((*labels, other), float(other == word))
                if word not in _WORDS[kind.name]:
                    state.add_metric((*labels, word), 1)
                if time := in_state_since(item):
                    since.add_metric(labels, time.timestamp())
                seen = int((item.get("status") or {}).get("observedGeneration") or 0)
                lag.add_metric(labels, int(item["metadata"].get("generation") or 0) - seen)
        yield from (state, since, lag)

    def _conditions(self) -> GaugeMetricFamily:
        family = _gauge(
            "aimd_object_condition", "Conditions: 1 True, 0 False, -1 Unknown; the current reason",
            *_OBJECT, "type", "reason",
        )  # fmt: skip
        for kind in _KINDS:
            for item in self._objects(kind):
                if len(family.samples) > self._limit:
                    return family  # Left out anyway.
                labels = (kind.name, _namespace(item), key_of(item).name)
                for condition in conditions_of(item):
                    value = _CONDITION_VALUES.get(str(condition.get("status")), -1.0)
                    family.add_metric((*labels, str(condition["type"]), str(condition.get("reason") or "")), value)
        return family


def _gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, labels=labels)


def _namespace(manifest: Manifest) -> str:
    return key_of(manifest).namespace


def _amount(quantity: object) -> int:
    try:
        return parse_bytes(str(quantity or 0))
    except InvalidQuantity:
        return 0
