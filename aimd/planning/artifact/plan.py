"""AIMArtifact: one set of weights on one volume. The rules are in docs/rules/artifact.md.

There are three stages, and each begins when the one before has passed: size, claim, download.
"""

from datetime import datetime
from typing import Any

from aimd.api.artifact import AIMArtifact, ArtifactCondition
from aimd.api.reasons import Reason
from aimd.api.source_uri import SourceUri
from aimd.planning.artifact.claim import plan_claim, requested_bytes
from aimd.planning.artifact.download import DownloadStage, Outcome, keep_download, plan_download
from aimd.planning.artifact.needs import artifact_needs, explained_after
from aimd.planning.artifact.observed import ObservedArtifact, given_size, headroom_percent, source_of
from aimd.planning.artifact.size import plan_size
from aimd.planning.artifact.stages import Stage
from aimd.planning.artifact.usage import usage
from aimd.planning.component import Component
from aimd.planning.jobs import JobPhase
from aimd.planning.objects import requested_storage
from aimd.planning.plan import Plan
from aimd.planning.quantities import bytes_or_zero, display_size
from aimd.planning.runtime_config import config_component, tolerated
from aimd.runtime.objects import Category, Failure, key_of


def plan_artifact(observed: ObservedArtifact, now: datetime) -> Plan:
    """Return the decision about an artifact; pure and total."""
    config = config_component(observed.config)
    if observed.is_complete:
        config = tolerated(config)
    refusal = _refusal(observed)
    if refusal is None:
        size_bytes, size = plan_size(observed.context(), observed.check_size, observed.references, now)
    else:
        size_bytes, size = 0, Stage((refusal,))
    claim, download = _claim_and_download(observed, size_bytes, now)
    stages = (size, claim, download.stage)
    used, last_used = usage(observed.artifact, observed.users, now)
    waits = (explained_after(observed, now), *(stage.requeue_after for stage in stages))
    delays = [seconds for seconds in waits if seconds is not None]
    progress = _progress(observed.artifact, size_bytes, download.outcome)
    return Plan(
        components=(config, *(component for stage in stages for component in stage.components)),
        desired=tuple(desired for stage in stages for desired in stage.desired),
        deletions=tuple(deletion for stage in stages for deletion in stage.deletions),
        status={**_status(observed, size_bytes), **progress, **last_used},
        extra_conditions=tuple(item for item in (download.condition, used) if item is not None),
        requeue_after=min(delays) if delays else None,
        needs=artifact_needs(observed, now),
    )


def _claim_and_download(observed: ObservedArtifact, size_bytes: int, now: datetime) -> tuple[Stage, DownloadStage]:
    if not size_bytes:
        return Stage(), DownloadStage(Stage())
    context, run = observed.context(size_bytes), observed.download
    claim = plan_claim(context, observed.claim, run)
    live = observed.claim.manifest if observed.claim is not None else None
    if live is not None and observed.is_complete:
        return claim, keep_download(context, live, run, now)
    return claim, plan_download(context, run, live if claim.passed else None, observed.references, now)


def _refusal(observed: ObservedArtifact) -> Component | None:
    """Refuse a malformed source URI or a forbidden image before anything is created for it (ART-SRC-1, ART-JOB-9).

    Weights that are complete stay usable, and a download that has started may end: an image other than aimd's may
    support more forms.
    """
    source = source_of(observed.artifact)
    started = observed.claim is not None and observed.download.phase in (JobPhase.RUNNING, JobPhase.COMPLETE)
    if started or observed.is_complete:
        return None
    if not observed.settings.may_download(image := observed.context().image):
        message = (
            f"spec.modelDownloadImage {image} is not allowed: remove it, or have an administrator list it in "
            "--download-images"
        )
        failure = Failure(Category.INVALID_SPEC, Reason.REFERENCE_NOT_ALLOWED, message)
        return Component.blocked(ArtifactCondition.DOWNLOAD_JOB_READY, failure)
    if isinstance(source, SourceUri):
        return None
    message = f"spec.sourceUri {source}. It cannot be changed: create the artifact again, or correct its template"
    return Component.blocked(
        ArtifactCondition.SOURCE_READY, Failure(Category.INVALID_SPEC, Reason.INVALID_SOURCE, message)
    )


def _status(observed: ObservedArtifact, size_bytes: int) -> dict[str, Any]:
    artifact = observed.artifact
    status: dict[str, Any] = {"mode": "Dedicated" if artifact.metadata.owner_references else "Shared"}
    if size_bytes:
        status["displaySize"] = display_size(size_bytes)
    if size_bytes and not given_size(artifact) and not artifact.status.discovered_size_bytes:
        status["discoveredSizeBytes"] = size_bytes
    if observed.claim is None:
        return status
    name = key_of(observed.claim.manifest).name
    if artifact.status.persistent_volume_claim != name:
        status["persistentVolumeClaim"] = name
    requested = requested_storage(observed.claim.manifest)
    if artifact.status.allocated_size in ("", "0"):
        # Written when the claim is first seen, so that later changes of the config do not show as its headroom.
        if requested:
            status |= {
                "allocatedSize": requested,
                "headroomPercent": headroom_percent(artifact, observed.config),
            }
    elif requested_bytes(observed.claim.manifest) > bytes_or_zero(artifact.status.allocated_size):
        status["allocatedSize"] = requested
    return status


def _progress(artifact: AIMArtifact, size_bytes: int, outcome: Outcome) -> dict[str, Any]:
    """Return `progress` and `download` where the stage has the last word; the pod writes them otherwise."""
    current = artifact.status
    if outcome is Outcome.COMPLETE:
        status: dict[str, Any] = {"progress": _figures(100, size_bytes, size_bytes)}
        if current.download is not None and current.download.message != "Complete":
            status["download"] = {**current.download.manifest(), "message": "Complete"}
        return status
    if outcome is Outcome.FAILED:
        figures = current.progress.manifest() if current.progress is not None else {}
        return {"progress": {**figures, "displayPercentage": "N/A"}}
    if outcome is Outcome.STARTED and current.progress is not None:
        return {"progress": _figures(0, 0, size_bytes)}
    return {}


def _figures(percentage: int, downloaded: int, total: int) -> dict[str, Any]:
    return {
        "percentage": percentage,
        "displayPercentage": f"{percentage} %",
        "downloadedBytes": downloaded,
        "totalBytes": total,
    }
