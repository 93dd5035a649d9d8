"""Gauges of services: their status, the GPUs that they request, their replicas."""

from collections import Counter
from collections.abc import Mapping

from aimd.controllers.reader import Reader
from aimd.controllers.relations import SERVICE_POD
from aimd.metrics.figures import gpu_requests, missing_gpu, ready_reason, replica_figures, word_of
from aimd.metrics.fleet import Fleet
from aimd.metrics.gauges import Gauge, Series, counted, summed
from aimd.planning.kinds import AIM_SERVICE, INFERENCE_SERVICE
from aimd.planning.pods import count_ready
from aimd.runtime.objects import Key, controller_of, key_of


def _statuses(fleet: Fleet) -> Series:
    services = fleet.objects(AIM_SERVICE)
    return counted((key_of(item).namespace, word_of(item), ready_reason(item)) for item in services)


def _gpus_requested(fleet: Fleet) -> Series:
    return summed(
        ((service.metadata.namespace, request.model, request.resource), request.count)
        for service in fleet.services()
        for request in gpu_requests(service, fleet.template_of(service), fleet.model_of(service))
    )


def _gpus_missing(fleet: Fleet) -> Series:
    return counted(
        (service.metadata.namespace, model)
        for service in fleet.services()
        if (model := missing_gpu(service, fleet.template_of(service))) is not None
    )


def _replicas(fleet: Fleet) -> Series:
    ready = _ready_pods(fleet)
    for service in fleet.objects(AIM_SERVICE):
        key = key_of(service)
        for type_, count in {"ready": ready.get(key, 0), **replica_figures(service)}.items():
            yield (key.namespace, key.name, type_), count


def _ready_pods(fleet: Fleet) -> Mapping[Key, int]:
    """Return the number of ready pods by service, over all InferenceServices that the service controls."""
    ready: Counter[Key] = Counter()
    for inference_service in fleet.objects(INFERENCE_SERVICE):
        key, owner = key_of(inference_service), controller_of(inference_service)
        if owner is not None and owner.get("kind") == AIM_SERVICE.name:
            pods = SERVICE_POD.of(Reader(fleet.cache), (inference_service,), key.namespace).objects
            ready[Key(key.namespace, str(owner.get("name")))] += count_ready(pods)
    return ready


GAUGES = (
    Gauge(
        "aimd_service_status",
        "Services by status word and reason of the condition Ready.",
        ("namespace", "status", "reason"),
        _statuses,
    ),
    Gauge(
        "aimd_service_gpus_requested",
        "GPUs that services request, over all replicas.",
        ("namespace", "model", "resource"),
        _gpus_requested,
    ),
    Gauge(
        "aimd_service_gpu_missing",
        "Services whose template needs a GPU that no node has.",
        ("namespace", "model"),
        _gpus_missing,
    ),
    Gauge(
        "aimd_service_replicas",
        "Replicas of a service: ready, current, desired, min, max.",
        ("namespace", "name", "type"),
        _replicas,
        per_object=True,
    ),
)
