"""What an administrator counts: services by state, where their start went, the GPUs they ask for.

Pure: manifests as the cache has them go in, plain values come out. Raw, because a whole fleet is read at each scrape
and nothing here needs more than a few fields.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aimd.api.model_source import ModelSourceCondition
from aimd.api.reasons import Reason, Verdict
from aimd.api.service import ServiceCondition
from aimd.api.service_template import TemplateCondition
from aimd.api.shared import CommonCondition
from aimd.planning.component import State
from aimd.planning.gpus import normalize_gpu
from aimd.planning.jobs import JobPhase, finished_at, job_phase
from aimd.planning.service.resources import DEFAULT_GPU_RESOURCE
from aimd.planning.service_template.discovery_job import JOB_LABELS
from aimd.planning.time import parse_timestamp
from aimd.runtime.objects import Manifest, labels_of

ANY_GPU = "any"
"""Model of the GPUs of a template that names none."""

_FILTERS: Mapping[str, str] = {
    Verdict.UNOPTIMIZED_TEMPLATE_FILTERED: "optimization",
    Verdict.SERVICE_OVERRIDES_NOT_MATCHED: "overrides",
    Verdict.REQUIRED_GPU_NOT_IN_CLUSTER: "gpu",
}
"""Which filter gives a candidate that verdict; the others are about its availability."""
_CHOSEN, _OUTRANKED = Verdict.BEST_MATCH, Verdict.LOWER_PREFERENCE_RANK
_NO_CHOICE: Mapping[str, str] = {
    Reason.TEMPLATE_NOT_FOUND: "none",
    Reason.TEMPLATE_NOT_READY: "none",
    Reason.TEMPLATE_SELECTION_AMBIGUOUS: "ambiguous",
}
_DISCOVERY_CONDITIONS = (TemplateCondition.DISCOVERY_PODS_READY, TemplateCondition.DISCOVERY_JOB_READY)
"""Whose reason says why a discovery failed, the closest to the cause first."""
_PROTOCOLS = ("xet", "http", "hf_transfer", "s3")

PHASES: Mapping[str, tuple[str, ...]] = {
    "resolve": (CommonCondition.RUNTIME_CONFIG_READY, ServiceCondition.MODEL_READY, ServiceCondition.TEMPLATE_READY),
    "cache": (ServiceCondition.CACHE_READY,),
    "start": (ServiceCondition.INFERENCE_SERVICE_READY, ServiceCondition.INFERENCE_SERVICE_PODS_READY),
    "route": (ServiceCondition.HTTP_ROUTE_READY,),
}
"""The phases of a service's start, in order, and the conditions that end each."""


@dataclass(frozen=True, slots=True)
class GpuRequest:
    """`count` GPUs of a model, over all replicas, by the resource they are asked under."""

    model: str
    resource: str
    count: int


@dataclass(frozen=True, slots=True)
class TemplateSelection:
    """An automatic choice of a template: what became of each candidate, and the counters it raises."""

    verdicts: tuple[tuple[str, str, str], ...]
    outcomes: tuple[str, ...]


def conditions_of(manifest: Manifest) -> Iterator[Mapping[str, Any]]:
    """The stored conditions that can be read."""
    for item in (manifest.get("status") or {}).get("conditions") or ():
        if isinstance(item, Mapping) and item.get("type"):
            yield item


def status_word(manifest: Manifest) -> str:
    """The status word; `Unknown` before the first reconcile."""
    return str((manifest.get("status") or {}).get("status") or "Unknown")


def ready_reason(manifest: Manifest) -> str:
    """Reason of the condition Ready; `Unknown` before the first reconcile."""
    return _reason(manifest, CommonCondition.READY) or "Unknown"


def in_state_since(manifest: Manifest) -> datetime | None:
    """When readiness last turned; None before the first reconcile."""
    times = (
        parse_timestamp(str(item.get("lastTransitionTime") or ""))
        for item in conditions_of(manifest)
        if item["type"] == CommonCondition.READY
    )
    return next(times, None)


def config_in_force(manifest: Manifest) -> tuple[str, str, str] | None:
    """Kind, namespace and name of the runtime config that the status names; None where it names none."""
    reference = (manifest.get("status") or {}).get("resolvedRuntimeConfig") or {}
    kind = str(reference.get("kind") or "").rpartition("/")[2]
    return (kind, str(reference.get("namespace") or ""), str(reference.get("name") or "")) if kind else None


def phase_seconds(service: Manifest, began: datetime) -> dict[str, float]:
    """Seconds of each phase of a start that began then.

    A phase ends when the last of its conditions turned, or at once where none of them turned since: their sum is the
    time from the beginning to the last turn.
    """
    turned = {
        str(item["type"]): parse_timestamp(str(item.get("lastTransitionTime") or ""))
        for item in conditions_of(service)
        if item.get("status") == "True"
    }
    seconds, reached = {}, began
    for phase, conditions in PHASES.items():
        ends = [time for name in conditions if (time := turned.get(name)) is not None]
        end = max([reached, *ends])
        seconds[phase] = (end - reached).total_seconds()
        reached = end
    return seconds


def gpu_request(service: Manifest, template: Manifest | None) -> GpuRequest | None:
    """The GPUs that a service asks for; None when it asks for none or has no template yet."""
    spec = service.get("spec") or {}
    hardware = (spec.get("overrides") or {}).get("hardware") or ((template or {}).get("spec") or {}).get("hardware")
    gpu = (hardware or {}).get("gpu") or {}
    count = int(gpu.get("requests") or 0)
    replicas = replica_figures(service).get("desired")
    if replicas is None:
        replicas = int(spec["replicas"]) if spec.get("replicas") is not None else 1
    if count <= 0 or template is None:
        return None
    model = normalize_gpu(str(gpu["model"])) if gpu.get("model") else ANY_GPU
    return GpuRequest(model, str(gpu.get("resourceName") or DEFAULT_GPU_RESOURCE), count * replicas)


def replica_figures(service: Manifest) -> dict[str, int]:
    """Replica figures by type (current, desired, min, max), as far as they are known."""
    runtime = (service.get("status") or {}).get("runtime") or {}
    return {
        name: int(runtime[f"{name}Replicas"])
        for name in ("current", "desired", "min", "max")
        if runtime.get(f"{name}Replicas") is not None
    }


def download_bytes(artifact: Manifest) -> tuple[int, int]:
    """Bytes expected and bytes there, 0 where not known; a Ready artifact has all of them."""
    status = artifact.get("status") or {}
    progress = status.get("progress") or {}
    expected = int(progress.get("totalBytes") or status.get("discoveredSizeBytes") or 0)
    return expected, expected if status.get("status") == "Ready" else int(progress.get("downloadedBytes") or 0)


def scheme_of(artifact: Manifest) -> str:
    """Scheme of the source, `hf` or `s3`; anything else is `other`."""
    scheme = str((artifact.get("spec") or {}).get("sourceUri") or "").partition("://")[0].lower()
    return scheme if scheme in ("hf", "s3") else "other"


def protocol_of(artifact: Manifest) -> str:
    """Protocol of the download, in small letters; anything that aimd does not speak is `other`."""
    protocol = str(((artifact.get("status") or {}).get("download") or {}).get("protocol") or "").lower()
    return protocol if protocol in _PROTOCOLS else "other"


def selection_of(service: Manifest) -> TemplateSelection | None:
    """The automatic choice that the status tells; None where the template is named or nothing was chosen yet."""
    if ((service.get("spec") or {}).get("template") or {}).get("name"):
        return None
    candidates = (service.get("status") or {}).get("templateCandidates") or ()
    verdicts = tuple(
        (str(item.get("scope")), str(item.get("name")), str(item.get("verdict")))
        for item in candidates
        if isinstance(item, Mapping)
    )
    given = [verdict for _, _, verdict in verdicts]
    missed = _NO_CHOICE.get(_reason(service, ServiceCondition.TEMPLATE_READY))
    if _CHOSEN not in given and missed is None:
        return None
    fallen = (verdict for verdict in given if verdict not in (_CHOSEN, _OUTRANKED))
    removed = tuple(f"removed_by_{_FILTERS.get(verdict, 'availability')}" for verdict in fallen)
    return TemplateSelection(verdicts, ("selected" if _CHOSEN in given else missed or "none", *removed))


def attempt_ended(before: Manifest, after: Manifest) -> str:
    """How an attempt at a download ended between two looks: Ready, Failed, Retried; empty when none did."""
    word = status_word(after)
    if word in (State.READY, State.FAILED) and status_word(before) not in (State.READY, State.FAILED):
        return word
    return "Retried" if _attempt(after) > _attempt(before) > 0 else ""


def discovery_outcome(before: Manifest, after: Manifest) -> tuple[str, str] | None:
    """Result (succeeded, failed) and reason of a discovery that ended between two looks at its template."""
    if _discovery_attempts(after) > _discovery_attempts(before):
        reason = next((text for type_ in _DISCOVERY_CONDITIONS if (text := _reason(after, type_, "False"))), "Unknown")
        return "failed", reason
    found, discovered = Reason.DISCOVERY_COMPLETE, TemplateCondition.DISCOVERED
    if _reason(after, discovered, "True") == found and _reason(before, discovered, "True") != found:
        return "succeeded", str(found)
    return None


def discovery_job_seconds(job: Manifest) -> tuple[str, str, float] | None:
    """Result (succeeded, failed), reason and length of a discovery Job; None while it runs, and for other Jobs."""
    labels, phase = labels_of(job), job_phase(job)
    if phase not in (JobPhase.COMPLETE, JobPhase.FAILED) or any(labels.get(k) != v for k, v in JOB_LABELS.items()):
        return None
    began, ended = parse_timestamp(str((job.get("status") or {}).get("startTime") or "")), finished_at(job)
    if began is None or ended is None:
        return None
    result = "succeeded" if phase is JobPhase.COMPLETE else "failed"
    return result, _reason(job, str(phase), "True") or "Unknown", (ended - began).total_seconds()


def missing_gpu(service: Manifest, template: Manifest | None) -> str | None:
    """GPU model that the service's template needs and the cluster lacks; None when nothing is missing."""
    if template is None or status_word(template) != State.NOT_AVAILABLE:
        return None
    request = gpu_request(service, template)
    return request.model if request is not None else ANY_GPU


def last_success(source: Manifest) -> datetime | None:
    """When the registry of a model source last answered; while all of it fails, when that began."""
    filters = next((item for item in conditions_of(source) if item["type"] == ModelSourceCondition.FILTERS_READY), {})
    since = filters if filters.get("reason") == Reason.ALL_FILTERS_FAILED else None
    text = since.get("lastTransitionTime") if since else (source.get("status") or {}).get("lastSyncTime")
    return parse_timestamp(str(text or ""))


def _reason(manifest: Manifest, type_: str, status: str = "") -> str:
    """Reason of a condition, if it has that status where one is given; empty when there is none."""
    found = (item for item in conditions_of(manifest) if item["type"] == type_)
    return next((str(item.get("reason") or "") for item in found if status in ("", item.get("status"))), "")


def _discovery_attempts(template: Manifest) -> int:
    return int(((template.get("status") or {}).get("discovery") or {}).get("attempts") or 0)


def _attempt(artifact: Manifest) -> int:
    return int(((artifact.get("status") or {}).get("download") or {}).get("attempt") or 0)
