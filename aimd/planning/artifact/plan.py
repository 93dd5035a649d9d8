"""AIMArtifact: one set of weights on one volume. The rules are in docs/rules/artifact.md.

Three stages, each beginning when the one before has settled: size, claim, download.
"""

from datetime import datetime
from typing import Any

from aimd.api.artifact import ArtifactCondition
from aimd.api.reasons import Reason
from aimd.api.source_uri import SourceUri
from aimd.planning.artifact.claim import bytes_of, requested_bytes, settle_claim
from aimd.planning.artifact.download import DownloadStage, settle_download
from aimd.planning.artifact.download_job import claim_name
from aimd.planning.artifact.needs import artifact_needs, explained_after
from aimd.planning.artifact.observed import ObservedArtifact, given_size, headroom_percent, is_complete
from aimd.planning.artifact.size import settle_size
from aimd.planning.artifact.stages import Stage
from aimd.planning.artifact.usage import usage
from aimd.planning.component import Component
from aimd.planning.jobs import JobPhase
from aimd.planning.plan import Plan
from aimd.planning.quantities import display_size
from aimd.planning.runtime_config import config_component, tolerated
from aimd.runtime.objects import Category, Failure, Manifest


def plan_artifact(observed: ObservedArtifact, now: datetime) -> Plan:
    """The decision about an artifact; pure and total."""
    config = config_component(observed.config)
    if is_complete(observed):
        config = tolerated(config)
    refusal = _refusal(observed)
    size_bytes, size = settle_size(observed, now) if refusal is None else (0, Stage((refusal,)))
    claim, download = Stage(), DownloadStage(Stage())
    if size_bytes:
        claim = settle_claim(observed, size_bytes)
        download = settle_download(observed, observed.claim if claim.settled else None, size_bytes, now)
    stages = (size, claim, download.stage)
    used, last_used = usage(observed, now)
    waits = (explained_after(observed, now), *(stage.requeue_after for stage in stages))
    delays = [seconds for seconds in waits if seconds is not None]
    return Plan(
        components=(config, *(component for stage in stages for component in stage.components)),
        desired=tuple(desired for stage in stages for desired in stage.desired),
        deletions=tuple(deletion for stage in stages for deletion in stage.deletions),
        status={**_status(observed, size_bytes, download.outcome), **last_used},
        extra_conditions=tuple(item for item in (download.condition, used) if item is not None),
        requeue_after=min(delays) if delays else None,
        needs=artifact_needs(observed, now),
    )


def _refusal(observed: ObservedArtifact) -> Component | None:
    """Refuse a malformed source URI before anything is created for it (ART-SRC-1).

    Weights that are there stay usable, and a download that has been started may end: an image other than aimd's may
    understand more forms.
    """
    source = observed.source
    started = observed.claim is not None and observed.download.phase in (JobPhase.RUNNING, JobPhase.COMPLETE)
    if isinstance(source, SourceUri) or started or is_complete(observed):
        return None
    text = f"spec.sourceUri {source}. It cannot be changed: create the artifact again, or correct its template"
    failure = Failure(Category.INVALID_SPEC, Reason.INVALID_SOURCE, text)
    return Component.blocked(ArtifactCondition.SOURCE_READY, failure)


def _status(observed: ObservedArtifact, size_bytes: int, outcome: str) -> dict[str, Any]:
    """The status keys that change hands here; `progress` and `download` are otherwise the pod's to write."""
    artifact = observed.artifact
    status: dict[str, Any] = {"mode": "Dedicated" if artifact.metadata.owner_references else "Shared"}
    if size_bytes:
        status["displaySize"] = display_size(size_bytes)
    if size_bytes and not given_size(artifact) and not artifact.status.discovered_size_bytes:
        status["discoveredSizeBytes"] = size_bytes
    if observed.claim is not None:
        status |= _claim_status(observed, observed.claim)
    return status | _progress(observed, size_bytes, outcome)


def _claim_status(observed: ObservedArtifact, claim: Manifest) -> dict[str, Any]:
    """Written when the claim is first seen, the size again when it has grown."""
    artifact, status = observed.artifact, dict[str, Any]()
    if not artifact.status.persistent_volume_claim:
        status["persistentVolumeClaim"] = claim_name(artifact)
    if artifact.status.allocated_size not in ("", "0"):
        if requested_bytes(claim) > bytes_of(artifact.status.allocated_size):
            status["allocatedSize"] = str(claim["spec"]["resources"]["requests"]["storage"])
    else:
        requests = ((claim.get("spec") or {}).get("resources") or {}).get("requests") or {}
        if requests.get("storage"):
            status["allocatedSize"] = str(requests["storage"])
            status["headroomPercent"] = headroom_percent(observed)
    return status


def _progress(observed: ObservedArtifact, size_bytes: int, outcome: str) -> dict[str, Any]:
    current = observed.artifact.status
    if outcome == "complete":
        status: dict[str, Any] = {"progress": _figures(100, "100 %", size_bytes, size_bytes)}
        if current.download is not None and current.download.message != "Complete":
            status["download"] = {**current.download.manifest(), "message": "Complete"}
        return status
    if outcome == "failed":
        figures = current.progress.manifest() if current.progress is not None else {}
        return {"progress": {**figures, "displayPercentage": "N/A"}}
    if outcome == "started" and current.progress is not None:
        return {"progress": _figures(0, "0 %", 0, size_bytes)}
    return {}


def _figures(percentage: int, text: str, downloaded: int, total: int) -> dict[str, Any]:
    return {"percentage": percentage, "displayPercentage": text, "downloadedBytes": downloaded, "totalBytes": total}
