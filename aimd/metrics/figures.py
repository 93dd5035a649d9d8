"""The figures behind the metrics of the fleet: objects go in, plain values come out. Pure.

Most functions read an object as the cache has it, because a scrape reads a whole fleet and a change carries the object
before it, and each needs few fields.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from aimd.api import source_uri
from aimd.api.model import AnyModel
from aimd.api.model_source import ModelSourceCondition
from aimd.api.reasons import Reason, Verdict
from aimd.api.service import AIMService, ServiceCondition
from aimd.api.service_template import AnyServiceTemplate, TemplateCondition
from aimd.api.shared import GPU_RESOURCE, CommonCondition, Hardware, Status
from aimd.planning.gpus import is_gpu_resource, normalize_gpu
from aimd.planning.jobs import JobPhase, finished_at, job_phase
from aimd.planning.objects import (
    View,
    condition_of,
    conditions_of,
    generation_of,
    part,
    parts,
    spec_of,
    status_of,
    status_word,
    text,
    whole_number,
)
from aimd.planning.quantities import InvalidQuantity, parse_bytes
from aimd.planning.service.resources import predictor_resources
from aimd.planning.service_template.discovery_job import JOB_LABELS
from aimd.planning.time import parse_timestamp
from aimd.runtime.objects import labels_of

UNKNOWN = "Unknown"
"""Status word and reason of an object before its first reconcile."""
ANY_GPU = "any"
"""Model of the GPUs of a template that names none."""

_FILTERS: Mapping[str, str] = {
    Verdict.UNOPTIMIZED_TEMPLATE_FILTERED: "optimization",
    Verdict.SERVICE_OVERRIDES_NOT_MATCHED: "overrides",
    Verdict.REQUIRED_GPU_NOT_IN_CLUSTER: "gpu",
}
"""The filter behind a verdict on a candidate; all other verdicts are about its availability."""
_NO_CHOICE: Mapping[str, str] = {
    Reason.TEMPLATE_NOT_FOUND: "none",
    Reason.TEMPLATE_NOT_READY: "none",
    Reason.TEMPLATE_SELECTION_AMBIGUOUS: "ambiguous",
}
"""The outcome of a selection that chose no template, by the reason of the condition TemplateReady."""
_DISCOVERY_CONDITIONS = (TemplateCondition.DISCOVERY_PODS_READY, TemplateCondition.DISCOVERY_JOB_READY)
"""Conditions whose reason says why a discovery failed, the closest to the cause first."""
_PROTOCOLS = ("xet", "http", "hf_transfer", "s3")
_OTHER = "other"
_CONDITION_VALUES = {"True": 1.0, "False": 0.0}

PHASES: Mapping[str, tuple[str, ...]] = {
    "resolve": (
        CommonCondition.RUNTIME_CONFIG_READY,
        ServiceCondition.MODEL_READY,
        ServiceCondition.TEMPLATE_READY,
    ),
    "cache": (ServiceCondition.CACHE_READY,),
    "start": (ServiceCondition.INFERENCE_SERVICE_READY, ServiceCondition.INFERENCE_SERVICE_PODS_READY),
    "route": (ServiceCondition.HTTP_ROUTE_READY,),
}
"""The phases of a service's start, in order, and the conditions that end each."""


# Objects of any kind


def word_of(manifest: View) -> str:
    """Return the status word."""
    return status_word(manifest) or UNKNOWN


def ready_reason(manifest: View) -> str:
    """Return the reason of the condition Ready."""
    return _reason(manifest, CommonCondition.READY) or UNKNOWN


def ready_since(manifest: View) -> datetime | None:
    """Return when the condition Ready last changed its status, None before the first reconcile."""
    ready = condition_of(manifest, CommonCondition.READY)
    return parse_timestamp(ready.last_transition_time) if ready is not None else None


def condition_value(status: str) -> float:
    """Return the status of a condition as a number: 1 for True, 0 for False, else -1."""
    return _CONDITION_VALUES.get(status, -1.0)


def generation_lag(manifest: View) -> int:
    """Return how many generations of the spec have not been reconciled yet."""
    return generation_of(manifest) - whole_number(status_of(manifest), "observedGeneration")


def config_in_effect(manifest: View) -> tuple[str, str, str] | None:
    """Return kind, namespace and name of the runtime config that the status names, None if it names none."""
    reference = part(status_of(manifest), "resolvedRuntimeConfig")
    kind = text(reference, "kind").rpartition("/")[2]
    return (kind, text(reference, "namespace"), text(reference, "name")) if kind else None


def whole_quantity(quantity: object) -> int:
    """Return a quantity as a whole number, 0 if it is missing or cannot be parsed."""
    try:
        return parse_bytes(str(quantity or 0))
    except InvalidQuantity:
        return 0


# Services


def phase_seconds(service: View, began: datetime) -> dict[str, float]:
    """Return the seconds of each phase of a start that began at `began`.

    A phase ends when the last of its conditions became True, or at once if none of them did since the phase before.
    The sum is the time from the beginning to the last of these moments.
    """
    turned = {
        condition.type: parse_timestamp(condition.last_transition_time)
        for condition in conditions_of(service)
        if condition.status == "True"
    }
    seconds, reached = {}, began
    for phase, conditions in PHASES.items():
        ends = [time for name in conditions if (time := turned.get(name)) is not None]
        end = max([reached, *ends])
        seconds[phase] = (end - reached).total_seconds()
        reached = end
    return seconds


def is_up_to_date(service: View) -> bool:
    """Return whether the status is about the current generation of the spec."""
    return generation_lag(service) == 0


@dataclass(frozen=True, slots=True)
class GpuRequest:
    """A number of GPUs of one model that a service requests over all replicas, and the name of their resource."""

    model: str
    resource: str
    count: int


def gpu_requests(
    service: AIMService, template: AnyServiceTemplate | None, model: AnyModel | None
) -> tuple[GpuRequest, ...]:
    """Return the GPUs that the pods of a service get, empty without a template.

    The pods get what the renderer of the InferenceService decides: the hardware of the template as resolved, unless
    the resources of model, template or service say otherwise.
    """
    if template is None:
        return ()
    hardware = _hardware_of(service, template)
    resources = predictor_resources(
        hardware,
        model=model.spec.resources if model is not None else None,
        template=template.spec.resources,
        service=service.spec.resources,
    )
    own = _resource_of(hardware)
    replicas = _desired_replicas(service)
    return tuple(
        GpuRequest(_model_of(hardware), resource, whole_quantity(quantity) * replicas)
        for resource, quantity in sorted(part(resources, "limits").items())
        if (resource == own or is_gpu_resource(resource)) and whole_quantity(quantity) > 0
    )


def missing_gpu(service: AIMService, template: AnyServiceTemplate | None) -> str | None:
    """Return the GPU model that the template of a service needs and the cluster lacks, None if it lacks none."""
    if template is None or template.status.status != Status.NOT_AVAILABLE:
        return None
    return _model_of(_hardware_of(service, template))


def replica_figures(service: View) -> dict[str, int]:
    """Return the known numbers of replicas by type: current, desired, min, max."""
    runtime = part(status_of(service), "runtime")
    types = ("current", "desired", "min", "max")
    return {
        type_: whole_number(runtime, name) for type_ in types if runtime.get(name := f"{type_}Replicas") is not None
    }


def _hardware_of(service: AIMService, template: AnyServiceTemplate) -> Hardware | None:
    """Return the hardware of one replica: as resolved, before that as the service or its template asks for it."""
    overrides = service.spec.overrides
    wanted = overrides.hardware if overrides is not None else None
    return template.status.resolved_hardware or wanted or template.spec.hardware


def _model_of(hardware: Hardware | None) -> str:
    model = hardware.gpu.model if hardware is not None and hardware.gpu is not None else ""
    return normalize_gpu(model) if model else ANY_GPU


def _resource_of(hardware: Hardware | None) -> str:
    gpu = hardware.gpu if hardware is not None else None
    return (gpu.resource_name if gpu is not None else "") or GPU_RESOURCE


def _desired_replicas(service: AIMService) -> int:
    runtime = service.status.runtime
    if runtime is not None and runtime.desired_replicas is not None:
        return runtime.desired_replicas
    return service.spec.replicas if service.spec.replicas is not None else 1


@dataclass(frozen=True, slots=True)
class TemplateSelection:
    """An automatic selection of a template: its outcome, and one more outcome for each candidate that was removed.

    `verdicts` are scope, name and verdict of each candidate; two selections with other verdicts are different ones.
    """

    verdicts: tuple[tuple[str, str, str], ...]
    outcomes: tuple[str, ...]


def selection_of(service: View) -> TemplateSelection | None:
    """Return the automatic selection that the status shows, None if there was none or the spec names a template."""
    if text(part(spec_of(service), "template"), "name"):
        return None
    candidates = parts(status_of(service), "templateCandidates")
    verdicts = tuple((text(item, "scope"), text(item, "name"), text(item, "verdict")) for item in candidates)
    given = [verdict for _, _, verdict in verdicts]
    missed = _NO_CHOICE.get(_reason(service, ServiceCondition.TEMPLATE_READY))
    selected = Verdict.BEST_MATCH in given
    if not selected and missed is None:
        return None
    removed = (verdict for verdict in given if verdict not in (Verdict.BEST_MATCH, Verdict.LOWER_PREFERENCE_RANK))
    filters = tuple(f"removed_by_{_FILTERS.get(verdict, 'availability')}" for verdict in removed)
    return TemplateSelection(verdicts, ("selected" if selected else missed or "none", *filters))


# Artifacts


@dataclass(frozen=True, slots=True)
class DownloadBytes:
    """Bytes of a download, 0 where not known."""

    expected: int
    downloaded: int


def download_bytes(artifact: View) -> DownloadBytes:
    """Return how far a download is; a Ready artifact has all of its bytes."""
    status = status_of(artifact)
    progress = part(status, "progress")
    expected = whole_number(progress, "totalBytes") or whole_number(status, "discoveredSizeBytes")
    ready = status_word(artifact) == Status.READY
    return DownloadBytes(expected, expected if ready else whole_number(progress, "downloadedBytes"))


def scheme_of(artifact: View) -> str:
    """Return the scheme of the source URI, `hf` or `s3`; any other one is `other`."""
    scheme = source_uri.scheme_of(text(spec_of(artifact), "sourceUri"))
    return scheme.value if scheme is not None else _OTHER


def protocol_of(artifact: View) -> str:
    """Return the protocol of the download in lower case; one that aimd does not use is `other`."""
    protocol = text(_download(artifact), "protocol").lower()
    return protocol if protocol in _PROTOCOLS else _OTHER


def attempt_ended(before: View, after: View) -> str:
    """Return how an attempt at a download ended between two states: Ready, Failed or Retried; empty if none did."""
    word, ended = status_word(after), (Status.READY, Status.FAILED)
    if word in ended and status_word(before) not in ended:
        return word
    return "Retried" if _attempt(after) > _attempt(before) > 0 else ""


def _attempt(artifact: View) -> int:
    return whole_number(_download(artifact), "attempt")


def _download(artifact: View) -> View:
    return part(status_of(artifact), "download")


# Templates, and the Jobs that discover them


def discovery_outcome(before: View, after: View) -> tuple[str, str] | None:
    """Return result (succeeded, failed) and reason of a discovery that ended between two states of its template."""
    if _discovery_attempts(after) > _discovery_attempts(before):
        reasons = (_reason(after, type_, "False") for type_ in _DISCOVERY_CONDITIONS)
        return "failed", next(filter(None, reasons), UNKNOWN)
    found = _discovered_by(after)
    return ("succeeded", found) if found and not _discovered_by(before) else None


def discovery_job_seconds(job: View) -> tuple[str, str, float] | None:
    """Return result, reason and length of a discovery Job; None while it runs, and for other Jobs."""
    labels, phase = labels_of(job), job_phase(job)
    if phase not in (JobPhase.COMPLETE, JobPhase.FAILED) or any(labels.get(k) != v for k, v in JOB_LABELS.items()):
        return None
    began, ended = parse_timestamp(text(status_of(job), "startTime")), finished_at(job)
    if began is None or ended is None:
        return None
    result = "succeeded" if phase is JobPhase.COMPLETE else "failed"
    return result, _reason(job, phase, "True") or UNKNOWN, (ended - began).total_seconds()


def _discovered_by(template: View) -> str:
    """Return the reason of a template with the result of a discovery: by a Job, or from the registry; else empty."""
    reason = _reason(template, TemplateCondition.DISCOVERED, "True")
    return reason if reason in (Reason.DISCOVERY_COMPLETE, Reason.PROFILE_READ_FROM_REGISTRY) else ""


def _discovery_attempts(template: View) -> int:
    return whole_number(part(status_of(template), "discovery"), "attempts")


# Model sources


def last_sync(source: View) -> datetime | None:
    """Return when the registry of a model source was last listed, None before the first time."""
    return parse_timestamp(text(status_of(source), "lastSyncTime"))


def last_success(source: View) -> datetime | None:
    """Return when the registry of a model source last answered; while every filter fails, when that began."""
    filters = condition_of(source, ModelSourceCondition.FILTERS_READY)
    if filters is not None and filters.reason == Reason.ALL_FILTERS_FAILED:
        return parse_timestamp(filters.last_transition_time)
    return last_sync(source)


def _reason(manifest: View, type_: str, status: str = "") -> str:
    """Return the reason of a condition, if it has the status, where one is given; empty otherwise."""
    found = condition_of(manifest, type_)
    return found.reason if found is not None and status in ("", found.status) else ""
