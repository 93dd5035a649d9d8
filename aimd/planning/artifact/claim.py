"""The second stage of an artifact: the claim its weights are downloaded to.

A claim that turns out too small grows where its class allows that, by the size the source really has; where it does
not, that is said before a download that cannot fit.
"""

import json
from datetime import datetime
from typing import Any

from aimd.api.artifact import ArtifactCondition
from aimd.api.reasons import Reason
from aimd.api.source_uri import SourceUri
from aimd.planning.artifact.download_job import child_metadata, claim_name
from aimd.planning.artifact.observed import MAXIMUM_BYTES, ObservedArtifact, headroom_percent, is_complete
from aimd.planning.artifact.stages import POLL_SECONDS, Stage
from aimd.planning.component import DOWNSTREAM, Component
from aimd.planning.jobs import JobPhase
from aimd.planning.labels import (
    ARTIFACT_LABEL,
    CACHE_TYPE_LABEL,
    DOWNLOAD_COMPLETE_ANNOTATION,
    SOURCE_MODEL_LABEL,
    TEMPLATE_CREATED_LABEL,
    is_own_key,
    label_value,
    name_label,
)
from aimd.planning.objects import newest_event
from aimd.planning.pod_failures import report_of
from aimd.planning.pods import is_ready_pod
from aimd.planning.quantities import InvalidQuantity, claim_size, display_size, parse_bytes
from aimd.planning.time import timestamp
from aimd.runtime.kinds import PERSISTENT_VOLUME_CLAIM
from aimd.runtime.objects import Category, Desired, Failure, Manifest, key_of, labels_of, metadata_of, uid_of

_CLAIM = ArtifactCondition.CACHE_PVC_READY
_REFUSALS = frozenset({"ProvisioningFailed", "FailedBinding"})
_PROVISIONING = _REFUSALS | {"ProvisioningSucceeded", "Provisioning", "ExternalProvisioning", "WaitForFirstConsumer"}
_RESIZING = frozenset({"VolumeResizeFailed", "VolumeResizeSuccessful", "FileSystemResizeSuccessful"})


def settle_claim(observed: ObservedArtifact, size_bytes: int) -> Stage:
    """Health of the claim; made when there is none (ART-CLM-5). A claim being deleted counts as none, and is waited
    for."""
    claim = observed.claim
    if claim is None:
        desired = new_claim(observed, size_bytes)
        return Stage((Component.missing(_CLAIM, "The claim is being made"),), (desired,), requeue_after=POLL_SECONDS)
    if metadata_of(claim).get("deletionTimestamp"):
        text = "The claim is being deleted; another one follows"
        waiting = Component.waiting(_CLAIM, Reason.PVC_TERMINATING, text, DOWNSTREAM)
        return Stage((waiting,), requeue_after=POLL_SECONDS)
    phase = (claim.get("status") or {}).get("phase")
    if phase == "Lost":
        text = f"The volume of claim {key_of(claim).name} is lost: delete the claim, and it is downloaded anew"
        return Stage((Component.failed(_CLAIM, Failure(Category.INFRASTRUCTURE, Reason.PVC_LOST, text), DOWNSTREAM),))
    if phase == "Bound":
        bound = Stage((Component.ready(_CLAIM, Reason.READY, "The claim is bound", DOWNSTREAM),), settled=True)
        return bound if is_complete(observed) else _fitting(observed, claim, size_bytes, bound)
    return Stage((_pending_claim(observed, claim),), requeue_after=POLL_SECONDS, settled=True)


def new_claim(observed: ObservedArtifact, size_bytes: int) -> Desired:
    """The claim for the weights, headroom included (ART-CLM-1, ART-CLM-2)."""
    artifact = observed.artifact
    storage_class = artifact.spec.storage_class_name or observed.config.storage_class_name
    spec: Manifest = {
        "accessModes": ["ReadWriteMany"],
        "resources": {"requests": {"storage": claim_size(size_bytes, headroom_percent(observed))}},
    }
    if storage_class:
        spec["storageClassName"] = storage_class
    return _claim(observed, _claim_metadata(observed), spec, "create")


def completed_claim(observed: ObservedArtifact, claim: Manifest, size_bytes: int, now: datetime) -> Desired:
    """The claim as it is, with the note that its download is complete (ART-DWN-1)."""
    pod = next((pod for pod in observed.download.pods if is_ready_pod(pod)), None)
    report = report_of(pod)
    record: dict[str, object] = {"source": observed.artifact.spec.source_uri, "bytes": size_bytes}
    record |= {"revision": report.revision} if report.revision else {}
    record |= {"files": report.files} if report.files is not None else {}
    record["time"] = timestamp(now)
    text = json.dumps(record, separators=(",", ":"), sort_keys=True)
    metadata, spec = _as_it_is(observed, claim)
    return _claim(observed, {**metadata, "annotations": {DOWNLOAD_COMPLETE_ANNOTATION: text}}, spec, "complete")


def requested_bytes(claim: Manifest) -> int:
    """What the claim asks for, in bytes; 0 if that cannot be read."""
    requests = ((claim.get("spec") or {}).get("resources") or {}).get("requests") or {}
    return bytes_of(requests.get("storage"))


def granted_bytes(claim: Manifest) -> int:
    """What the claim has been given, in bytes; 0 while nothing says so."""
    return bytes_of(((claim.get("status") or {}).get("capacity") or {}).get("storage"))


def _fitting(observed: ObservedArtifact, claim: Manifest, size_bytes: int, bound: Stage) -> Stage:
    """The stage of a bound claim that is still to be filled (ART-CLM-3)."""
    granted = granted_bytes(claim)
    requested = requested_bytes(claim)
    needed = max(size_bytes, _reported_bytes(observed))
    target = claim_size(needed, _headroom_of(observed))
    may_grow = observed.storage_class is not None and observed.storage_class.get("allowVolumeExpansion") is True
    if parse_bytes(target) > requested and may_grow:
        metadata, spec = _as_it_is(observed, claim)
        spec["resources"] = {**spec.get("resources", {}), "requests": {"storage": target}}
        text = f"The claim grows to {target} for {display_size(needed)}"
        growing = Component.waiting(_CLAIM, Reason.PVC_EXPANDING, text, DOWNSTREAM)
        desired = (_claim(observed, metadata, spec, "expand"),)
        return Stage((growing,), desired, requeue_after=POLL_SECONDS, settled=_has_begun(observed))
    if granted and granted < requested and not _needs_a_pod(claim):
        return _expanding(observed, claim)
    if 0 < granted < size_bytes and requested < size_bytes:
        return Stage(
            (Component.failed(_CLAIM, _too_small(observed, claim, size_bytes), DOWNSTREAM),),
            settled=_has_begun(observed),
        )
    return bound


def _expanding(observed: ObservedArtifact, claim: Manifest) -> Stage:
    event = newest_event(observed.events, uid_of(claim), _RESIZING)
    text = "The claim is being expanded"
    if event is not None and event.get("reason") == "VolumeResizeFailed":
        text = f"The claim cannot be expanded yet: VolumeResizeFailed: {event.get('message') or ''}"
    waiting = Component.waiting(_CLAIM, Reason.PVC_EXPANDING, text, DOWNSTREAM)
    return Stage((waiting,), requeue_after=POLL_SECONDS, settled=_has_begun(observed))


def _too_small(observed: ObservedArtifact, claim: Manifest, needed: int) -> Failure:
    name, storage_class = key_of(claim).name, (claim.get("spec") or {}).get("storageClassName") or "of the claim"
    size = "" if observed.artifact.spec.size in ("", "0") else f", set spec.size to {display_size(needed)} at least"
    text = (
        f"Claim {name} is too small for {display_size(needed)}, and storage class {storage_class} does not allow "
        f"expansion: set allowVolumeExpansion on the class{size}, or delete the claim, and a larger one is made"
    )
    return Failure(Category.RESOURCE_EXHAUSTION, Reason.CLAIM_TOO_SMALL, text)


def _reported_bytes(observed: ObservedArtifact) -> int:
    """The size that a download found at its source when it ran out of space; 0 while nothing says so."""
    pod = observed.download.newest_pod
    report = report_of(pod)
    size = report.size_bytes
    return size if report.reason == Reason.STORAGE_FULL and size is not None and 0 < size <= MAXIMUM_BYTES else 0


def _headroom_of(observed: ObservedArtifact) -> int:
    """The headroom that the claim was made with: another one in force by now is no reason to touch it (ART-CLM-4)."""
    stored = observed.artifact.status.headroom_percent
    return headroom_percent(observed) if stored is None else stored


def _has_begun(observed: ObservedArtifact) -> bool:
    """Whether there is a Job: it goes on, or remembers its failure, whatever becomes of the claim's size."""
    return observed.download.phase in (JobPhase.RUNNING, JobPhase.FAILED)


def _needs_a_pod(claim: Manifest) -> bool:
    """Whether only the file system is left to grow, which happens where the claim is mounted."""
    conditions = (claim.get("status") or {}).get("conditions") or ()
    return any(item.get("type") == "FileSystemResizePending" and item.get("status") == "True" for item in conditions)


def _pending_claim(observed: ObservedArtifact, claim: Manifest) -> Component:
    """A claim that waits for its volume, with what the provisioner says (ART-CLM-6)."""
    event = newest_event(observed.events, uid_of(claim), _PROVISIONING)
    if event is not None and event.get("reason") in _REFUSALS:
        text = f"{event['reason']}: {event.get('message') or ''}"
        return Component.failed(
            _CLAIM, Failure(Category.INFRASTRUCTURE, Reason.PVC_PROVISIONING_FAILED, text), DOWNSTREAM
        )
    storage_class = (claim.get("spec") or {}).get("storageClassName")
    text = (
        f"The claim waits for a volume of {f'storage class {storage_class}' if storage_class else 'the default class'}"
    )
    return Component.waiting(_CLAIM, Reason.PVC_PENDING, text, DOWNSTREAM)


def _claim_metadata(observed: ObservedArtifact) -> Manifest:
    artifact = observed.artifact
    own = {ARTIFACT_LABEL: name_label(artifact.metadata.name)}
    source = label_value(observed.source.location) if isinstance(observed.source, SourceUri) else ""
    if source:
        own[SOURCE_MODEL_LABEL] = source
    if artifact.metadata.labels.get(TEMPLATE_CREATED_LABEL) == "true":
        own[CACHE_TYPE_LABEL] = "template-cache"
    return child_metadata(observed.context(), claim_name(artifact), own)


def _as_it_is(observed: ObservedArtifact, claim: Manifest) -> tuple[Manifest, Manifest]:
    """Metadata and spec of a live claim: what may not change, and labels that others may select by (ART-CLM-6)."""
    metadata = _claim_metadata(observed)
    kept = {k: v for k, v in labels_of(claim).items() if k in metadata["labels"] or is_own_key(k)}
    live = claim.get("spec") or {}
    spec = {key: live[key] for key in ("accessModes", "resources", "storageClassName") if key in live}
    return {**metadata, "labels": kept}, spec


def _claim(observed: ObservedArtifact, metadata: Manifest, spec: Manifest, reason: str) -> Desired:
    manifest = PERSISTENT_VOLUME_CLAIM.manifest(metadata, spec=spec)
    return Desired(PERSISTENT_VOLUME_CLAIM, manifest, f"claim-{reason}")


def bytes_of(quantity: Any) -> int:
    """A quantity in bytes; 0 for what is none."""
    try:
        return parse_bytes(str(quantity)) if quantity else 0
    except (InvalidQuantity, ArithmeticError):
        return 0
