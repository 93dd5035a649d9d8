"""The second stage of an artifact: the claim that its weights are downloaded to.

A claim that is too small is expanded to the size that the source really has, if its storage class allows that. If it
does not, the claim is reported as too small before a download that cannot fit is started.
"""

import json
from datetime import datetime

from aimd.api.artifact import ArtifactCondition
from aimd.api.reasons import Reason
from aimd.api.source_uri import SourceUri
from aimd.planning.artifact.download_job import JobContext, child_metadata
from aimd.planning.artifact.observed import (
    MAXIMUM_BYTES,
    JobRun,
    LiveClaim,
    given_size,
    headroom_percent,
    is_complete,
    source_of,
)
from aimd.planning.artifact.stages import POLL_SECONDS, Stage
from aimd.planning.component import DOWNSTREAM, Component
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
from aimd.planning.objects import (
    View,
    granted_storage,
    has_condition,
    is_being_deleted,
    newest_event,
    part,
    phase_of,
    requested_storage,
    spec_of,
    storage_class_of,
    text,
)
from aimd.planning.pod_failures import report_of
from aimd.planning.pods import is_ready_pod
from aimd.planning.quantities import bytes_or_zero, claim_size, display_size, parse_bytes
from aimd.planning.time import timestamp
from aimd.runtime.kinds import PERSISTENT_VOLUME_CLAIM
from aimd.runtime.objects import Category, Desired, Failure, Manifest, key_of, labels_of, uid_of

_CLAIM = ArtifactCondition.CACHE_PVC_READY
_REFUSALS = frozenset({"ProvisioningFailed", "FailedBinding"})
_PROVISIONING = _REFUSALS | {"ProvisioningSucceeded", "Provisioning", "ExternalProvisioning", "WaitForFirstConsumer"}
_RESIZE_FAILED = "VolumeResizeFailed"
_RESIZING = frozenset({_RESIZE_FAILED, "VolumeResizeSuccessful", "FileSystemResizeSuccessful"})


def plan_claim(context: JobContext, claim: LiveClaim | None, download: JobRun) -> Stage:
    """Return the health of the claim, and the claim to create when there is none (ART-CLM-5).

    A claim that is being deleted is waited for. `download` is the download Job, which may know a size that is larger
    than that of the context.
    """
    name = context.claim_name
    if claim is None:
        component = Component.missing(_CLAIM, f"Claim {name} is being created")
        return Stage((component,), (new_claim(context),), requeue_after=POLL_SECONDS)
    if is_being_deleted(claim.manifest):
        message = f"Claim {name} is being deleted and will be created again"
        waiting = Component.waiting(_CLAIM, Reason.PVC_TERMINATING, message, DOWNSTREAM)
        return Stage((waiting,), requeue_after=POLL_SECONDS)
    phase = phase_of(claim.manifest)
    if phase == "Lost":
        message = f"The volume of claim {name} is lost: delete the claim, and the weights are downloaded again"
        lost = Failure(Category.INFRASTRUCTURE, Reason.PVC_LOST, message)
        return Stage((Component.failed(_CLAIM, lost, DOWNSTREAM),))
    if phase != "Bound":
        return Stage((_pending(claim),), requeue_after=POLL_SECONDS, passed=True)
    bound = Stage((Component.ready(_CLAIM, Reason.READY, f"Claim {name} is bound", DOWNSTREAM),), passed=True)
    return bound if is_complete(context.artifact, claim.manifest) else _fitting(context, claim, download) or bound


def new_claim(context: JobContext) -> Desired:
    """Return the claim for weights of the context's size, headroom included (ART-CLM-1, ART-CLM-2)."""
    artifact, config = context.artifact, context.config
    storage_class = artifact.spec.storage_class_name or config.storage_class_name
    size = claim_size(context.size_bytes, headroom_percent(artifact, config))
    spec: Manifest = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": size}}}
    if storage_class:
        spec["storageClassName"] = storage_class
    return _render(_metadata(context), spec, "create")


def completed_claim(context: JobContext, claim: Manifest, download: JobRun, now: datetime) -> Desired:
    """Return the claim as it is, with the record that its download is complete (ART-DWN-1)."""
    report = report_of(next((pod for pod in download.pods if is_ready_pod(pod)), None))
    record: dict[str, object] = {"source": context.artifact.spec.source_uri, "bytes": context.size_bytes}
    record |= {"revision": report.revision} if report.revision else {}
    record |= {"files": report.files} if report.files is not None else {}
    record["time"] = timestamp(now)
    metadata, spec = _as_it_is(context, claim)
    written = json.dumps(record, separators=(",", ":"), sort_keys=True)
    return _render({**metadata, "annotations": {DOWNLOAD_COMPLETE_ANNOTATION: written}}, spec, "complete")


def requested_bytes(claim: View) -> int:
    """Return what the claim requests, in bytes; 0 if that cannot be read."""
    return bytes_or_zero(requested_storage(claim))


def granted_bytes(claim: View) -> int:
    """Return the capacity of the claim's volume, in bytes; 0 while it has none."""
    return bytes_or_zero(granted_storage(claim))


def _fitting(context: JobContext, claim: LiveClaim, download: JobRun) -> Stage | None:
    """Return the stage of a bound claim that is too small for the weights, None when they fit (ART-CLM-3)."""
    granted, requested = granted_bytes(claim.manifest), requested_bytes(claim.manifest)
    needed = max(context.size_bytes, _reported_bytes(download))
    target = claim_size(needed, _headroom_of(context))
    if parse_bytes(target) > requested and claim.may_grow:
        metadata, spec = _as_it_is(context, claim.manifest)
        spec["resources"] = {**part(spec, "resources"), "requests": {"storage": target}}
        message = (
            f"Claim {key_of(claim.manifest).name} is being expanded to {target} for weights of {display_size(needed)}"
        )
        growing = Component.waiting(_CLAIM, Reason.PVC_EXPANDING, message, DOWNSTREAM)
        desired = (_render(metadata, spec, "expand"),)
        return Stage((growing,), desired, requeue_after=POLL_SECONDS, passed=download.has_begun)
    if granted and granted < requested and not has_condition(claim.manifest, "FileSystemResizePending"):
        # The file system alone grows once a pod mounts the claim, so that is not waited for.
        return Stage((_expanding(claim),), requeue_after=POLL_SECONDS, passed=download.has_begun)
    if 0 < granted < context.size_bytes and requested < context.size_bytes:
        too_small = _too_small(context, claim.manifest)
        return Stage((Component.failed(_CLAIM, too_small, DOWNSTREAM),), passed=download.has_begun)
    return None


def _expanding(claim: LiveClaim) -> Component:
    event = newest_event(claim.events, uid_of(claim.manifest), _RESIZING)
    message = f"Claim {key_of(claim.manifest).name} is being expanded"
    if event is not None and text(event, "reason") == _RESIZE_FAILED:
        message = (
            f"Claim {key_of(claim.manifest).name} cannot be expanded yet: {_RESIZE_FAILED}: {text(event, 'message')}"
        )
    return Component.waiting(_CLAIM, Reason.PVC_EXPANDING, message, DOWNSTREAM)


def _too_small(context: JobContext, claim: Manifest) -> Failure:
    storage_class, needed = storage_class_of(claim) or "of the claim", display_size(context.size_bytes)
    size = f", set spec.size to at least {needed}" if given_size(context.artifact) else ""
    message = (
        f"Claim {key_of(claim).name} is too small for {needed}, and storage class {storage_class} does not allow "
        f"expansion: set allowVolumeExpansion on the class{size}, or delete the claim to get a larger one"
    )
    return Failure(Category.RESOURCE_EXHAUSTION, Reason.CLAIM_TOO_SMALL, message)


def _reported_bytes(download: JobRun) -> int:
    """Return the size that a download found at its source when it ran out of space, 0 when it did not."""
    report = report_of(download.newest_pod)
    size = report.size_bytes
    return size if report.reason == Reason.STORAGE_FULL and size is not None and 0 < size <= MAXIMUM_BYTES else 0


def _headroom_of(context: JobContext) -> int:
    """Return the headroom that the claim was created with; another one now is no reason to change it (ART-CLM-4)."""
    stored = context.artifact.status.headroom_percent
    return headroom_percent(context.artifact, context.config) if stored is None else stored


def _pending(claim: LiveClaim) -> Component:
    """Return the component of a claim that waits for its volume, with what the provisioner says (ART-CLM-6)."""
    event = newest_event(claim.events, uid_of(claim.manifest), _PROVISIONING)
    if event is not None and text(event, "reason") in _REFUSALS:
        message = f"{text(event, 'reason')}: {text(event, 'message')}"
        refused = Failure(Category.INFRASTRUCTURE, Reason.PVC_PROVISIONING_FAILED, message)
        return Component.failed(_CLAIM, refused, DOWNSTREAM)
    storage_class = storage_class_of(claim.manifest)
    named = f"storage class {storage_class}" if storage_class else "the default storage class"
    message = f"Claim {key_of(claim.manifest).name} is waiting for a volume of {named}"
    return Component.waiting(_CLAIM, Reason.PVC_PENDING, message, DOWNSTREAM)


def _metadata(context: JobContext) -> Manifest:
    artifact, source = context.artifact, source_of(context.artifact)
    own = {ARTIFACT_LABEL: name_label(artifact.metadata.name)}
    model = label_value(source.location) if isinstance(source, SourceUri) else ""
    if model:
        own[SOURCE_MODEL_LABEL] = model
    if artifact.metadata.labels.get(TEMPLATE_CREATED_LABEL) == "true":
        own[CACHE_TYPE_LABEL] = "template-cache"
    return child_metadata(context, context.claim_name, own)


def _as_it_is(context: JobContext, claim: Manifest) -> tuple[Manifest, Manifest]:
    """Return metadata and spec of a live claim: immutable fields, and labels that others may select by (ART-CLM-6)."""
    metadata = _metadata(context)
    kept = {key: value for key, value in labels_of(claim).items() if key in metadata["labels"] or is_own_key(key)}
    live = spec_of(claim)
    spec = {key: live[key] for key in ("accessModes", "resources", "storageClassName") if key in live}
    return {**metadata, "labels": kept}, spec


def _render(metadata: Manifest, spec: Manifest, reason: str) -> Desired:
    return Desired(PERSISTENT_VOLUME_CLAIM, PERSISTENT_VOLUME_CLAIM.manifest(metadata, spec=spec), f"claim-{reason}")
