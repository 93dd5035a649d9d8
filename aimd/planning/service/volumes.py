"""Volumes of the predictor: shared memory, profile, caches, and those that a running predictor keeps."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aimd.api.template_cache import AIMTemplateCache
from aimd.planning.naming import name_part
from aimd.planning.objects import claim_of, mounted_claims, parts, predictor_container, predictor_of, text
from aimd.planning.service.observed import is_ready
from aimd.planning.service_template import profile_file as custom_profile
from aimd.planning.weights import mount_point
from aimd.runtime.objects import Manifest

SHARED_MEMORY = "dshm"
PROFILE_VOLUME = custom_profile.VOLUME


@dataclass(frozen=True, slots=True)
class Volumes:
    """Volumes of the pod and mounts of its container, in the order they are rendered."""

    volumes: tuple[Manifest, ...]
    mounts: tuple[Manifest, ...]

    def __add__(self, other: "Volumes") -> "Volumes":
        return Volumes(self.volumes + other.volumes, self.mounts + other.mounts)


NONE = Volumes((), ())


def shared_memory() -> Volumes:
    """Return the memory-backed volume through which inference engines exchange tensors."""
    volume = {"name": SHARED_MEMORY, "emptyDir": {"medium": "Memory", "sizeLimit": "8Gi"}}
    return Volumes((volume,), ({"name": SHARED_MEMORY, "mountPath": "/dev/shm"},))  # noqa: S108 - inside the container


def cache_volumes(cache: AIMTemplateCache | None) -> Volumes:
    """Return one volume per Ready artifact of the cache, sorted by artifact name (SVC-VOL-1)."""
    artifacts = sorted(cache.status.artifacts.items()) if cache is not None else []
    usable = [(key, item) for key, item in artifacts if is_ready(item.status) and item.persistent_volume_claim]
    volumes: list[Manifest] = []
    mounts: list[Manifest] = []
    for key, artifact in usable:
        name = name_part(artifact.name or key)
        volumes.append({"name": name, "persistentVolumeClaim": {"claimName": artifact.persistent_volume_claim}})
        mounts.append({"name": name, "mountPath": artifact.mount_point or mount_point(artifact.model, name)})
    return Volumes(tuple(volumes), tuple(mounts))


def preserved_volumes(
    existing: Mapping[str, Any], rendered: Volumes, lost_claims: frozenset[str] = frozenset()
) -> Volumes:
    """Return what the existing InferenceService mounts beyond what is rendered, without `lost_claims` (SVC-VOL-2).

    A custom profile is never preserved: without one in the template, its ConfigMap is deleted.
    """
    predictor, container = predictor_of(existing), predictor_container(existing)
    if not container:
        return NONE
    lost = {text(volume, "name") for volume in parts(predictor, "volumes") if claim_of(volume) in lost_claims - {""}}
    taken = {volume["name"] for volume in rendered.volumes} | {PROFILE_VOLUME} | lost
    paths = {mount["mountPath"] for mount in rendered.mounts}
    volumes = [dict(volume) for volume in parts(predictor, "volumes") if text(volume, "name") not in taken]
    mounts = [
        dict(mount)
        for mount in parts(container, "volumeMounts")
        if text(mount, "name") not in taken and text(mount, "mountPath") not in paths
    ]
    return Volumes(tuple(volumes), tuple(mounts))


def replaced_volumes(existing: Mapping[str, Any], rendered: Volumes, fresh: Volumes, lost: frozenset[str]) -> Volumes:
    """Return `preserved_volumes`, with the cache's present claims where lost ones were mounted (SVC-VOL-3)."""
    kept = preserved_volumes(existing, rendered, lost)
    names, paths = {volume["name"] for volume in kept.volumes}, {mount["mountPath"] for mount in kept.mounts}
    mounts = [mount for mount in fresh.mounts if mount["mountPath"] not in paths and mount["name"] not in names]
    used = {mount["name"] for mount in mounts}
    volumes = [volume for volume in fresh.volumes if volume["name"] in used]
    return kept + Volumes(tuple(volumes), tuple(mounts))


def mounts_cache(inference_service: Mapping[str, Any] | None) -> bool:
    """Return whether an InferenceService has a claim mounted, that is, runs on cached weights."""
    return any(mounted_claims(inference_service))
