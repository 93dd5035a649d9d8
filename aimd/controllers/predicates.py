"""Which changes of an object are worth waking somebody for."""

from collections.abc import Mapping
from typing import Any

from aimd.planning.pods import has_issue
from aimd.runtime.objects import Manifest, labels_of, metadata_of

_INTENT = ("generation", "labels", "annotations", "finalizers", "deletionTimestamp", "ownerReferences")
_GPU_PREFIXES = ("amd.com/", "beta.amd.com/")


def intent_changed(before: Manifest | None, after: Manifest | None) -> bool:
    """Anything but the status, which the object's own controller writes."""
    return before is None or after is None or _intent(before) != _intent(after)


def artifact_intent_changed(before: Manifest | None, after: Manifest | None) -> bool:
    """Like `intent_changed`; of the status only that everything is downloaded, which its pod reports."""
    if before is None or after is None:
        return True
    return _intent(before) != _intent(after) or _downloaded(before) != _downloaded(after)


def artifact_state_changed(before: Manifest | None, after: Manifest | None) -> bool:
    """Anything but the progress that the pod reports every few seconds, save that it began (TC-STA-4)."""
    if before is None or after is None:
        return True
    return _intent(before) != _intent(after) or _settled_status(before) != _settled_status(after)


def pod_changed(before: Manifest | None, after: Manifest | None) -> bool:
    """Phase, trouble, container states: what the pod probe looks at."""
    return before is None or after is None or _pod_state(before) != _pod_state(after)


def gpu_labels_changed(before: Manifest | None, after: Manifest | None) -> bool:
    """Labels about GPUs, of a node; one without any may come and go."""
    return _gpu_labels(before or {}) != _gpu_labels(after or {})


def _intent(manifest: Manifest) -> tuple[Any, ...]:
    metadata = metadata_of(manifest)
    return tuple(metadata.get(name) for name in _INTENT)


def _status(manifest: Manifest) -> Mapping[str, Any]:
    status: Mapping[str, Any] = manifest.get("status") or {}
    return status


def _downloaded(artifact: Manifest) -> bool:
    return int((_status(artifact).get("progress") or {}).get("percentage") or 0) >= 100


def _settled_status(artifact: Manifest) -> dict[str, Any]:
    status = _status(artifact)
    settled = {name: value for name, value in status.items() if name not in ("progress", "download")}
    return {**settled, "isDownloading": "download" in status}


def _pod_state(pod: Manifest) -> tuple[Any, ...]:
    status = _status(pod)
    containers = [*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())]
    states = [
        (
            item.get("ready"),
            sorted(item.get("state") or {}),
            ((item.get("state") or {}).get("waiting") or {}).get("reason"),
        )
        for item in containers
    ]
    deleted = metadata_of(pod).get("deletionTimestamp")
    return status.get("phase"), has_issue(pod), states, deleted


def _gpu_labels(node: Manifest) -> dict[str, str]:
    return {key: value for key, value in labels_of(node).items() if key.startswith(_GPU_PREFIXES)}
