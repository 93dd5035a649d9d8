"""What an administrator counts: services by state, where their start went, the GPUs they ask for.

Pure: manifests as the cache has them go in, plain values come out. Raw, because a whole fleet is read at each scrape
and nothing here needs more than a few fields.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aimd.planning.gpus import normalise_gpu
from aimd.planning.health import parse_timestamp
from aimd.planning.service.resources import DEFAULT_GPU_RESOURCE
from aimd.runtime.model import Manifest

ANY_GPU = "any"
"""Model of the GPUs of a template that names none."""

PHASES: Mapping[str, tuple[str, ...]] = {
    "resolve": ("RuntimeConfigReady", "ModelReady", "TemplateReady"),
    "cache": ("CacheReady",),
    "start": ("InferenceServiceReady", "InferenceServicePodsReady"),
    "route": ("HTTPRouteReady",),
}
"""The phases of a service's start, in order, and the conditions that end each."""


@dataclass(frozen=True, slots=True)
class GpuRequest:
    """`count` GPUs of a model, over all replicas, by the resource they are asked under."""

    model: str
    resource: str
    count: int


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
    return next(
        (str(item.get("reason") or "Unknown") for item in conditions_of(manifest) if item["type"] == "Ready"), "Unknown"
    )


def in_state_since(manifest: Manifest) -> datetime | None:
    """When readiness last turned; None before the first reconcile."""
    times = (
        parse_timestamp(str(item.get("lastTransitionTime") or ""))
        for item in conditions_of(manifest)
        if item["type"] == "Ready"
    )
    return next(times, None)


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
    model = normalise_gpu(str(gpu["model"])) if gpu.get("model") else ANY_GPU
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
