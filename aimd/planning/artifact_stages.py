"""The first two stages of an artifact: its size, and the claim it is downloaded to (spec/caching.md §8)."""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from aimd.planning.artifact_jobs import (
    POLL_SECONDS,
    Stage,
    delete_job,
    downstream,
    failing,
    given_up,
    missing_secrets,
    not_there,
    running_pods,
)
from aimd.planning.artifact_observed import (
    COMPLETE,
    ObservedArtifact,
    headroom_percent,
    newest_event,
    stated_size,
)
from aimd.planning.download_job import (
    CACHE_NAME,
    CACHE_TYPE,
    JobContext,
    check_size_job,
    child_metadata,
    claim_name,
    inputs_of,
)
from aimd.planning.health import Component, Direction, State, ready, timestamp
from aimd.planning.jobs import JobPhase, finished_at, time_to_live
from aimd.planning.labels import PREFIX, label_value, name_label
from aimd.planning.pod_failures import report_of
from aimd.planning.pods import is_ready_pod
from aimd.planning.quantities import claim_size
from aimd.runtime.kinds import PERSISTENT_VOLUME_CLAIM
from aimd.runtime.model import (
    Category,
    Desired,
    Failure,
    Manifest,
    key_of,
    labels_of,
    metadata_of,
)

SECRET_POLL_SECONDS = 60.0
_MAXIMUM_SIZE = 2**50
_PROVISIONING = frozenset({"ProvisioningFailed", "ProvisioningSucceeded", "Provisioning", "ExternalProvisioning"})


def settle_size(observed: ObservedArtifact, now: datetime) -> tuple[int, Stage]:
    """Size in bytes (0 while unknown) and what is to be done to find it out."""
    size = stated_size(observed.artifact)
    if size:
        return size, Stage(settled=True)
    run = observed.check_size
    if run.phase is JobPhase.COMPLETE:
        return _read_size(observed)
    if run.phase is JobPhase.FAILED and run.job is not None:
        return 0, _failed_check(observed, run.job, now)
    if run.phase is JobPhase.RUNNING:
        health = running_pods(run, observed, "CheckSizeRetrying")
        running = downstream("CheckSizeJob", State.PROGRESSING, "JobRunning", "The source is being asked for its size")
        return 0, Stage((health.component("CheckSizeJobPods"), running), requeue_after=POLL_SECONDS)
    if observed.missing_secrets:
        return 0, Stage((missing_secrets("CheckSizeJob", observed),), requeue_after=SECRET_POLL_SECONDS)
    component = not_there("CheckSizeJob", "The job that asks the source for its size is being made")
    desired = () if run.phase is JobPhase.ENDING else (check_size_job(observed.context()),)
    return 0, Stage((component,), desired, requeue_after=POLL_SECONDS)


def settle_claim(observed: ObservedArtifact, size_bytes: int) -> Stage:
    """Health of the claim; made when there is none. A claim being deleted counts as none, and is waited for."""
    claim = observed.claim
    if claim is None:
        desired = new_claim(observed, size_bytes)
        return Stage((not_there("CachePvc", "The claim is being made"),), (desired,), requeue_after=POLL_SECONDS)
    if metadata_of(claim).get("deletionTimestamp"):
        text = "The claim is being deleted; another one follows"
        waiting = downstream("CachePvc", State.PROGRESSING, "PvcTerminating", text)
        return Stage((waiting,), requeue_after=POLL_SECONDS)
    phase = (claim.get("status") or {}).get("phase")
    if phase == "Bound":
        return Stage((ready("CachePvc", "Ready", "The claim is bound", Direction.DOWNSTREAM),), settled=True)
    if phase == "Lost":
        text = f"The volume of claim {key_of(claim).name} is lost: delete the claim, and it is downloaded anew"
        return Stage((failing("CachePvc", Failure(Category.INFRASTRUCTURE, "PvcLost", text)),))
    return Stage((_pending_claim(observed, claim),), requeue_after=POLL_SECONDS, settled=True)


def new_claim(observed: ObservedArtifact, size_bytes: int) -> Desired:
    """The claim for the weights, headroom included (§8.2, §8.3)."""
    artifact = observed.artifact
    storage_class = artifact.spec.storage_class_name or observed.config.storage_class_name
    spec: Manifest = {
        "accessModes": ["ReadWriteMany"],
        "resources": {"requests": {"storage": claim_size(size_bytes, headroom_percent(observed))}},
    }
    if storage_class:
        spec["storageClassName"] = storage_class
    return _claim(observed.context(), _claim_metadata(observed), spec, "create")


def completed_claim(observed: ObservedArtifact, claim: Manifest, size_bytes: int, now: datetime) -> Desired:
    """The claim as it is, with the note that its download is complete (C-3).

    Everything else is carried over from the live object: what may not change, and labels that others may select by.
    """
    pod = next((pod for pod in observed.download.pods if is_ready_pod(pod)), None)
    report = report_of(pod) if pod is not None else {}
    record: dict[str, object] = {"source": observed.artifact.spec.source_uri, "bytes": size_bytes}
    record |= {key: report[key] for key in ("revision", "files") if key in report}
    record["time"] = timestamp(now)
    metadata = _claim_metadata(observed)
    kept = {k: v for k, v in labels_of(claim).items() if k in metadata["labels"] or k.startswith(PREFIX)}
    text = json.dumps(record, separators=(",", ":"), sort_keys=True)
    metadata = {**metadata, "labels": kept, "annotations": {COMPLETE: text}}
    live = claim.get("spec") or {}
    spec = {key: live[key] for key in ("accessModes", "resources", "storageClassName") if key in live}
    return _claim(observed.context(), metadata, spec, "complete")


def _read_size(observed: ObservedArtifact) -> tuple[int, Stage]:
    run, pod = observed.check_size, observed.check_size.newest_pod
    size = _size_in(report_of(pod)) if pod is not None else None
    line = ""
    if size is None and pod is not None:
        line = (observed.logs.get(key_of(pod).name, "").strip().splitlines() or [""])[-1]
        size = _size_in(_json_object(line))
    if size is not None:
        return size, Stage(settled=True)
    if line:
        text = f"The size check did not end with a size: {line[:200]}"
        failure = Failure(Category.UNKNOWN, "InvalidSizeOutput", text)
        return 0, Stage((failing("CheckSizeOutput", failure, State.FAILED),))
    text = "The size that was found cannot be read; trying again"
    unavailable = downstream("CheckSizeOutput", State.PROGRESSING, "SizeUnavailable", text)
    deletions = (delete_job(run.job, "size-unavailable"),) if pod is None and run.job is not None else ()
    return 0, Stage((unavailable,), deletions=deletions, requeue_after=POLL_SECONDS)


def _failed_check(observed: ObservedArtifact, job: Manifest, now: datetime) -> Stage:
    wait = min(observed.settings.retry_base_seconds, time_to_live(job) or observed.settings.retry_base_seconds)
    due = (finished_at(job) or now) + timedelta(seconds=wait)
    changed = inputs_of(job) != inputs_of(check_size_job(observed.context()).manifest)
    components = given_up("CheckSizeJob", observed.check_size, observed, f"Next attempt at {timestamp(due)}")
    if changed or now >= due:
        return Stage(components, deletions=(delete_job(job, "retry"),), requeue_after=POLL_SECONDS)
    return Stage(components, requeue_after=(due - now).total_seconds())


def _size_in(report: Mapping[str, Any]) -> int | None:
    size = report.get("sizeBytes")
    valid = isinstance(size, int) and not isinstance(size, bool) and 0 < size <= _MAXIMUM_SIZE
    return size if valid else None


def _json_object(line: str) -> Mapping[str, Any]:
    try:
        value = json.loads(line)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _pending_claim(observed: ObservedArtifact, claim: Manifest) -> Component:
    event = newest_event(observed.events, claim, _PROVISIONING)
    if event is not None and event.get("reason") == "ProvisioningFailed":
        failure = Failure(Category.INFRASTRUCTURE, "PvcProvisioningFailed", str(event.get("message") or ""))
        return failing("CachePvc", failure)
    storage_class = (claim.get("spec") or {}).get("storageClassName")
    text = (
        f"The claim waits for a volume of {f'storage class {storage_class}' if storage_class else 'the default class'}"
    )
    return downstream("CachePvc", State.PROGRESSING, "PvcPending", text)


def _claim_metadata(observed: ObservedArtifact) -> Manifest:
    artifact = observed.artifact
    own = {CACHE_NAME: name_label(artifact.metadata.name)}
    source = label_value(artifact.spec.source_uri.partition("://")[2])
    if source:
        own[PREFIX + "source-model"] = source
    if artifact.metadata.labels.get("template-created") == "true":
        own[CACHE_TYPE] = "template-cache"
    return child_metadata(observed.context(), claim_name(artifact), own)


def _claim(context: JobContext, metadata: Manifest, spec: Manifest, reason: str) -> Desired:
    kind = PERSISTENT_VOLUME_CLAIM
    manifest = {"apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata, "spec": spec}
    return Desired(kind, manifest, f"claim-{reason}")
