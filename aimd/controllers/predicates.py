"""Which changes of an object cause a reconcile of those that read it.

Each predicate compares what its readers use; a change of anything else causes no reconcile. They read raw objects,
since they run for every event of a watch.
"""

from collections.abc import Callable
from typing import Any

from aimd.planning.gpus import GPU_LABEL_PREFIXES
from aimd.planning.jobs import has_ended, job_phase
from aimd.planning.objects import (
    conditions_of,
    containers_of,
    is_being_deleted,
    mounted_claims,
    part,
    parts,
    phase_of,
    spec_of,
    status_of,
    text,
    whole_number,
)
from aimd.planning.pods import has_issue
from aimd.runtime.objects import Manifest, labels_of, metadata_of
from aimd.runtime.predicates import Predicate

_INTENT = ("generation", "labels", "annotations", "finalizers", "deletionTimestamp", "ownerReferences")


def _changed(facts: Callable[[Manifest], object]) -> Predicate:
    """Return the predicate for creation, deletion, and changes of these facts."""

    def predicate(before: Manifest | None, after: Manifest | None) -> bool:
        return before is None or after is None or facts(before) != facts(after)

    return predicate


def _intent(manifest: Manifest) -> tuple[Any, ...]:
    metadata = metadata_of(manifest)
    return tuple(metadata.get(name) for name in _INTENT)


def _artifact_intent(artifact: Manifest) -> tuple[Any, ...]:
    downloaded = whole_number(part(status_of(artifact), "progress"), "percentage") >= 100
    return (*_intent(artifact), downloaded)


def _artifact_state(artifact: Manifest) -> tuple[Any, ...]:
    status = status_of(artifact)
    lasting = {name: value for name, value in status.items() if name not in ("progress", "download")}
    return _intent(artifact), lasting, "download" in status


def _service_intent(service: Manifest) -> tuple[Any, ...]:
    status = status_of(service)
    return _intent(service), status.get("resolvedModel"), status.get("resolvedTemplate")


def _pod_state(pod: Manifest) -> tuple[Any, ...]:
    states = [
        (item.ready, item.running, item.ended is not None, item.waiting.reason if item.waiting is not None else None)
        for item in containers_of(pod)
    ]
    return phase_of(pod), has_issue(pod), states, metadata_of(pod).get("deletionTimestamp")


def _scale(autoscaler: Manifest) -> tuple[Any, ...]:
    spec, status = spec_of(autoscaler), status_of(autoscaler)
    conditions = [(condition.type, condition.status) for condition in conditions_of(autoscaler)]
    bounds = (spec.get("minReplicas"), spec.get("maxReplicas"))
    return (*bounds, status.get("currentReplicas"), status.get("desiredReplicas"), conditions)


def _readiness(manifest: Manifest) -> list[tuple[str, str]]:
    return [(item.status, item.message) for item in conditions_of(manifest) if item.type == "Ready"]


def _used_templates(service: Manifest) -> tuple[str, str]:
    resolved = part(status_of(service), "resolvedTemplate")
    return text(part(spec_of(service), "template"), "name"), text(resolved, "name")


intent_changed = _changed(_intent)
"""Anything but the status, which the object's own controller writes."""

artifact_intent_changed = _changed(_artifact_intent)
"""Like `intent_changed`; of the status only that everything is downloaded, which its pod reports."""

artifact_state_changed = _changed(_artifact_state)
"""Anything but the progress that the pod reports every few seconds, save that it began (TC-STA-4)."""

service_intent_changed = _changed(_service_intent)
"""Like `intent_changed`; of the status the references that path templates may name."""

pod_changed = _changed(_pod_state)
"""Phase, trouble and container states: what the pod probe looks at."""

job_changed = _changed(lambda job: (job_phase(job), metadata_of(job).get("ownerReferences")))
"""The phase of a Job, and who owns it."""

scale_changed = _changed(_scale)
"""Bounds, replicas and conditions of an autoscaler; not its metrics."""

readiness_changed = _changed(_readiness)
"""The condition Ready."""

expansion_changed = _changed(lambda storage_class: storage_class.get("allowVolumeExpansion"))
"""Whether volumes of a storage class can grow."""

used_templates_changed = _changed(_used_templates)
"""The templates that a service names or runs with."""


def gpu_labels_changed(before: Manifest | None, after: Manifest | None) -> bool:
    """Return whether labels about GPUs changed; a node without any may come and go."""
    return _gpu_labels(before or {}) != _gpu_labels(after or {})


def shared_pull_secrets_changed(before: Manifest | None, after: Manifest | None) -> bool:
    """Return whether a service has other pull secrets, or shares them with another model."""
    return _shared(before) != _shared(after)


def mounted_claims_changed(before: Manifest | None, after: Manifest | None) -> bool:
    """Return whether an InferenceService came, is going, or mounts other claims."""
    if before is None or after is None or is_being_deleted(after):
        return True
    return sorted(mounted_claims(before)) != sorted(mounted_claims(after))


def claim_going(before: Manifest | None, after: Manifest | None) -> bool:
    """Return whether a claim is gone or has begun to go."""
    if after is None:
        return True
    return is_being_deleted(after) and (before is None or not is_being_deleted(before))


def job_ended(before: Manifest | None, after: Manifest | None) -> bool:
    """Return whether a Job ended or was deleted."""
    if before is None:
        return False
    return after is None or (has_ended(after) and not has_ended(before))


def _gpu_labels(node: Manifest) -> dict[str, str]:
    return {key: value for key, value in labels_of(node).items() if key.startswith(GPU_LABEL_PREFIXES)}


def _shared(service: Manifest | None) -> tuple[Any, ...] | None:
    """Return the pull secrets of a service and whom it shares them with; None without any."""
    if service is None:
        return None
    secrets = [text(item, "name") for item in parts(spec_of(service), "imagePullSecrets")]
    models = spec_of(service).get("model"), text(part(status_of(service), "resolvedModel"), "name")
    return (secrets, *models) if secrets else None
