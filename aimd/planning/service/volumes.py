"""Volumes of the predictor: shared memory, profile, caches, and those that a running predictor keeps."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from aimd.api.service_template import AnyServiceTemplate
from aimd.api.template_cache import AIMTemplateCache, CachedArtifact
from aimd.planning.naming import name_part
from aimd.planning.objects import claim_of, mounted_claims, parts, predictor_container, predictor_of, text
from aimd.planning.service.observed import is_ready
from aimd.planning.service_template import profile_file as custom_profile
from aimd.planning.service_template.profile_file import source_of_profile
from aimd.planning.weights import mount_point
from aimd.runtime.objects import Manifest

SHARED_MEMORY = "dshm"
PROFILE_VOLUME = custom_profile.VOLUME
WEIGHTS_VOLUME = "profile-weights"
"""The volume of weights that a custom profile loads under the name of its own model."""


@dataclass(frozen=True, slots=True)
class Volumes:
    """Volumes of the pod and mounts of its container, in the order they are rendered."""

    volumes: tuple[Manifest, ...]
    mounts: tuple[Manifest, ...]

    def __add__(self, other: "Volumes") -> "Volumes":
        return Volumes(self.volumes + other.volumes, self.mounts + other.mounts)


NONE = Volumes((), ())


@dataclass(frozen=True, slots=True)
class LoadedWeights:
    """The weights that a container loads from the folder of `model_id`.

    `source_id` is the model id of their source, empty if it is not clear which source is meant.
    """

    model_id: str
    source_id: str

    @property
    def path(self) -> str:
        """Folder in which the container looks for them."""
        return mount_point(self.model_id, "")

    @property
    def is_renamed(self) -> bool:
        """Whether they have another id than the folder."""
        return self.model_id != self.source_id


def shared_memory() -> Volumes:
    """Return the memory-backed volume through which inference engines exchange tensors."""
    volume = {"name": SHARED_MEMORY, "emptyDir": {"medium": "Memory", "sizeLimit": "8Gi"}}
    return Volumes((volume,), ({"name": SHARED_MEMORY, "mountPath": "/dev/shm"},))  # noqa: S108 - inside the container


def cache_volumes(cache: AIMTemplateCache | None, weights: LoadedWeights | None = None) -> Volumes:
    """Return one volume per Ready artifact of the cache, sorted by artifact name (SVC-VOL-1).

    Weights that the container loads under another id than their own are mounted twice (SVC-VOL-4).
    """
    renamed = weights if weights is not None and weights.is_renamed else None
    mounts: dict[str, Manifest] = {}
    names: dict[str, str] = {}
    for key, artifact in _usable(cache):
        own, claim = name_part(artifact.name or key), artifact.persistent_volume_claim
        paths = [artifact.mount_point or mount_point(artifact.model, own)]
        name = _unused(own, names.values())
        if renamed is not None and artifact.model == renamed.source_id:
            name = WEIGHTS_VOLUME
            paths.append(renamed.path)
        names.setdefault(claim, name)
        for path in paths:
            mounts.setdefault(path, {"name": names[claim], "mountPath": path})
    volumes = ({"name": name, "persistentVolumeClaim": {"claimName": claim}} for claim, name in names.items())
    return Volumes(tuple(volumes), tuple(mounts.values()))


def holds_weights(cache: AIMTemplateCache | None, weights: LoadedWeights | None) -> bool:
    """Return whether a Ready cache has what the container loads; only a custom profile may ask for something else."""
    if cache is None or not is_ready(cache.status.status):
        return False
    if weights is None or not weights.is_renamed:
        return True
    return any(artifact.model == weights.source_id for _, artifact in _usable(cache))


def has_downloaded(cache: AIMTemplateCache | None, weights: LoadedWeights | None) -> bool:
    """Return whether a Ready cache has the very weights that the container loads, as far as it says what it has."""
    if not holds_weights(cache, weights):
        return False
    models = {artifact.model for _, artifact in _usable(cache)}
    return weights is None or bool(models & {"", weights.source_id})


def loaded_weights(template: AnyServiceTemplate, cache: AIMTemplateCache | None) -> LoadedWeights | None:
    """Return the weights that the container loads, None where only the image knows them (SVC-VOL-4).

    A custom profile loads the folder of its own model, whatever the weights are called. A discovered one loads that of
    its model, which a cache with sources of its own need not hold.
    """
    spec = template.spec
    given = cache.spec.model_sources if cache is not None else ()
    if spec.custom_profile is None:
        first = next((source.model_id for source in spec.model_sources or template.status.model_sources), "")
        is_cached = bool(spec.model_sources) or not given or first in {source.model_id for source in given}
        return LoadedWeights(first, first) if first and is_cached else None
    sources = given or spec.model_sources or template.status.model_sources
    source = source_of_profile(sources, spec.model_id)
    return LoadedWeights(spec.model_id, source.model_id if source is not None else "") if sources else None


def running_volumes(
    live: Mapping[str, Any],
    rendered: Volumes,
    fresh: Volumes,
    weights: LoadedWeights | None,
    lost: frozenset[str] = frozenset(),
) -> Volumes:
    """Return the volumes of an existing InferenceService; `fresh` are those of the Ready cache, or none.

    It keeps what it mounts (SVC-VOL-2). Claims in `lost`, and weights that the container loads and does not find, are
    replaced once the cache is Ready (SVC-VOL-3, SVC-VOL-4).
    """
    own = _named(fresh, WEIGHTS_VOLUME)
    if not fresh.mounts and weights is not None and weights.is_renamed:
        own = _mounted_weights(live, weights)
    placed = rendered + own
    placed = placed + preserved_volumes(live, placed, lost if fresh.mounts else frozenset())
    return _completed(placed, fresh) if lost or _lacks_weights(live, placed, weights) else placed


def with_access(volumes: Volumes, live: Mapping[str, Any] | None, *, read_only: bool | None) -> Volumes:
    """Return the volumes with all claims mounted read-only, or all writable (SVC-VOL-6).

    `read_only` is what service or config say. Where they do not, an InferenceService that mounts a claim writable keeps
    doing so, because another mount would restart its pods.
    """
    claims = {text(volume, "name") for volume in volumes.volumes if claim_of(volume)}
    kept_writable = live is not None and any(
        text(mount, "name") in _claim_volumes(live) and not mount.get("readOnly") for mount in _mounts(live).mounts
    )
    protected = read_only if read_only is not None else not kept_writable

    def mounted(mount: Manifest) -> Manifest:
        if text(mount, "name") not in claims:
            return mount
        plain = {key: value for key, value in mount.items() if key != "readOnly"}
        return {**plain, "readOnly": True} if protected else plain

    return Volumes(volumes.volumes, tuple(mounted(mount) for mount in volumes.mounts))


def _claim_volumes(live: Mapping[str, Any]) -> set[str]:
    return {text(volume, "name") for volume in parts(predictor_of(live), "volumes") if claim_of(volume)}


def waits_for_weights(live: Mapping[str, Any], weights: LoadedWeights | None) -> bool:
    """Return whether what the container would load is not mounted, so that new pods need the cache first (SVC-VOL-5).

    An InferenceService that mounts no claim never ran on cached weights, and need not wait for them.
    """
    kept = running_volumes(live, NONE, NONE, weights)
    return mounts_cache(live) and _lacks_weights(live, kept, weights)


def preserved_volumes(
    existing: Mapping[str, Any], rendered: Volumes, lost_claims: frozenset[str] = frozenset()
) -> Volumes:
    """Return what the existing InferenceService mounts beyond what is rendered, without `lost_claims` (SVC-VOL-2).

    What a custom profile needs is never preserved: its ConfigMap, and weights under its model's name.
    """
    predictor, container = predictor_of(existing), predictor_container(existing)
    if not container:
        return NONE
    gone = (lost_claims | {claim_of(volume) for volume in rendered.volumes}) - {""}
    dropped = {text(volume, "name") for volume in parts(predictor, "volumes") if claim_of(volume) in gone}
    taken = {volume["name"] for volume in rendered.volumes} | {PROFILE_VOLUME, WEIGHTS_VOLUME} | dropped
    paths = {mount["mountPath"] for mount in rendered.mounts}
    mounts = [dict(mount) for mount in parts(container, "volumeMounts") if text(mount, "name") not in taken]
    kept = [mount for mount in mounts if text(mount, "mountPath") not in paths]
    unused = {text(mount, "name") for mount in mounts} - {text(mount, "name") for mount in kept}
    volumes = [dict(volume) for volume in parts(predictor, "volumes") if text(volume, "name") not in taken | unused]
    return Volumes(tuple(volumes), tuple(kept))


def mounts_cache(inference_service: Mapping[str, Any] | None) -> bool:
    """Return whether an InferenceService has a claim mounted, that is, runs on cached weights."""
    return any(mounted_claims(inference_service))


def _unused(name: str, taken: Collection[str]) -> str:
    """Return the name of a volume, with a number if another one has it."""
    others = {SHARED_MEMORY, PROFILE_VOLUME, WEIGHTS_VOLUME, *taken}
    candidates = (name, *(f"{name[:60]}-{number}" for number in range(2, len(others) + 3)))
    return next(candidate for candidate in candidates if candidate not in others)


def _usable(cache: AIMTemplateCache | None) -> list[tuple[str, CachedArtifact]]:
    artifacts = sorted(cache.status.artifacts.items()) if cache is not None else []
    return [(key, item) for key, item in artifacts if is_ready(item.status) and item.persistent_volume_claim]


def _named(volumes: Volumes, name: str) -> Volumes:
    return Volumes(
        tuple(volume for volume in volumes.volumes if text(volume, "name") == name),
        tuple(mount for mount in volumes.mounts if text(mount, "name") == name),
    )


def _mounts(live: Mapping[str, Any]) -> Volumes:
    predictor, container = predictor_of(live), predictor_container(live)
    return Volumes(
        tuple(dict(volume) for volume in parts(predictor, "volumes")),
        tuple(dict(mount) for mount in parts(container, "volumeMounts")),
    )


def _mounted_weights(live: Mapping[str, Any], weights: LoadedWeights) -> Volumes:
    """Return the weights under the name that the container loads, if the InferenceService mounts them so."""
    found = _named(_mounts(live), WEIGHTS_VOLUME)
    return found if any(text(mount, "mountPath") == weights.path for mount in found.mounts) else NONE


def _lacks_weights(live: Mapping[str, Any], placed: Volumes, weights: LoadedWeights | None) -> bool:
    """Return whether the weights are not where the container looks, or were given up with a custom profile."""
    if weights is not None and weights.path not in {text(mount, "mountPath") for mount in placed.mounts}:
        return weights.is_renamed or mounts_cache(live)
    had, has = (_named(volumes, WEIGHTS_VOLUME).volumes for volumes in (_mounts(live), placed))
    return bool(had) and not has


def _completed(placed: Volumes, fresh: Volumes) -> Volumes:
    """Return the volumes with the cache's mounts where nothing is mounted; a claim never has two volumes."""
    names = {text(volume, "name") for volume in placed.volumes}
    by_claim = {claim_of(volume): text(volume, "name") for volume in placed.volumes if claim_of(volume)}
    paths = {text(mount, "mountPath") for mount in placed.mounts}
    claims = {volume["name"]: claim_of(volume) for volume in fresh.volumes}
    mounts = []
    for mount in fresh.mounts:
        name = by_claim.get(claims[mount["name"]], "")
        if mount["mountPath"] not in paths and (name or mount["name"] not in names):
            mounts.append({**mount, "name": name or mount["name"]})
    used = {mount["name"] for mount in mounts} - names
    volumes = [volume for volume in fresh.volumes if volume["name"] in used]
    return placed + Volumes(tuple(volumes), tuple(mounts))
