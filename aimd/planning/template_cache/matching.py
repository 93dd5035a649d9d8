"""Which artifact serves which source: names, identity, and the choice among candidates.

Two downloads are the same if source URI, image and environment are. A Ready artifact is reused whatever its credentials
and its engine's settings, which do not change what is fetched; one that is not Ready is reused only if its whole
environment is the same (TC-ART-1).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from aimd.api.artifact import AIMArtifact
from aimd.api.core import EnvVar
from aimd.api.shared import CacheMode, ModelSource
from aimd.api.template_cache import AIMTemplateCache
from aimd.planning.component import State
from aimd.planning.environment import (
    AWS_ACCESS_KEY_ID,
    AWS_SECRET_ACCESS_KEY,
    AWS_SESSION_TOKEN,
    HF_TOKEN,
    is_debug_switch,
    merge_env,
)
from aimd.planning.naming import derive_name
from aimd.planning.runtime_config import ResolvedConfig

_CREDENTIALS = frozenset(
    (HF_TOKEN, "HUGGING_FACE_HUB_TOKEN", AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN)
)
_PACE = frozenset(("PROGRESS_INTERVAL", "RETRY_TIMEOUT", "STALL_TIMEOUT"))
_OF_THE_ENGINE = ("AIM_", "VLLM_")
"""How variables begin that only predictors read, and the downloader to choose a protocol."""
_SOURCE_ORDER = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")
_KEY_ORDER = ("name", "key", "optional")


@dataclass(frozen=True, slots=True)
class ArtifactContext:
    """What else counts about an artifact: the config in force for it, and the storage class of its claim.

    `own_images` are the operator's download images.
    """

    config: ResolvedConfig = field(default_factory=ResolvedConfig)
    storage_class: str = ""
    own_images: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Match:
    """A source with its position in the list, the artifact that serves it (None: to be created), and its own name."""

    index: int
    source: ModelSource
    artifact: AIMArtifact | None
    name: str


def match_sources(
    cache: AIMTemplateCache,
    sources: Sequence[ModelSource],
    artifacts: Sequence[AIMArtifact],
    config: ResolvedConfig,
    contexts: Mapping[str, ArtifactContext],
) -> tuple[Match, ...]:
    """Return a match for each source, in order; `config` is the cache's, `contexts` go by name of artifact."""
    by_uri: dict[str, list[AIMArtifact]] = {}
    for artifact in artifacts:
        by_uri.setdefault(artifact.spec.source_uri, []).append(artifact)

    def best(source: ModelSource) -> AIMArtifact | None:
        return best_artifact(cache, source, by_uri.get(source.source_uri, ()), config, contexts)

    def name(source: ModelSource) -> str:
        others = {
            artifact.metadata.name: artifact.metadata.uid
            for artifact in by_uri.get(source.source_uri, ())
            if not _same_origin(cache, source, artifact, config, _context(contexts, artifact, config))
        }
        return _free_name(cache, source, others)

    return tuple(Match(index, source, best(source), name(source)) for index, source in enumerate(sources))


def artifact_env(cache: AIMTemplateCache, source: ModelSource) -> tuple[EnvVar, ...]:
    """Return the environment of a source's artifact: the cache's, overridden by the source's."""
    return merge_env(cache.spec.env, source.env)


def _free_name(cache: AIMTemplateCache, source: ModelSource, others: Mapping[str, str]) -> str:
    """Return a name that none of the artifacts in `others`, given by name and UID, has (TC-ART-9)."""
    name, taken = artifact_name(cache, source), list[str]()
    while name in others:
        taken.append(others[name])
        name = artifact_name(cache, source, taken)
    return name


def artifact_name(cache: AIMTemplateCache, source: ModelSource, instead_of: Sequence[str] = ()) -> str:
    """Return the name of the artifact that a cache creates for a source (TC-ART-6).

    `instead_of` are UIDs of artifacts that have the name and hold something else (TC-ART-9).
    """
    env = artifact_env(cache, source)
    encoded = [go_env(variable) for variable in env] or None
    inputs: list[object] = [source.source_uri, encoded, cache.spec.storage_class_name]
    if cache.spec.mode == CacheMode.DEDICATED:
        inputs += ["dedicated", cache.metadata.name]
    if cache.spec.download_image:
        inputs += ["image", cache.spec.download_image]
    inputs += instead_of
    return derive_name([source.source_uri.replace(".", "-")], inputs, hash_length=10)


def go_env(variable: EnvVar) -> dict[str, object]:
    """Return a variable in the field order of Go's encoder, without empty fields; names are hashed over it."""
    encoded: dict[str, object] = {"name": variable.name}
    if variable.value:
        encoded["value"] = variable.value
    if variable.value_from:
        encoded["valueFrom"] = _ordered(variable.value_from, _SOURCE_ORDER)
    return encoded


def best_artifact(
    cache: AIMTemplateCache,
    source: ModelSource,
    artifacts: Sequence[AIMArtifact],
    config: ResolvedConfig,
    contexts: Mapping[str, ArtifactContext],
) -> AIMArtifact | None:
    """Return the usable artifact with the best status; among equals the oldest, then the first by name (TC-ART-4)."""
    usable = [
        artifact
        for artifact in artifacts
        if is_usable(cache, source, artifact, config, _context(contexts, artifact, config))
    ]
    return min(usable, key=_preference, default=None)


def is_usable(
    cache: AIMTemplateCache,
    source: ModelSource,
    artifact: AIMArtifact,
    config: ResolvedConfig,
    contexts: ArtifactContext,
) -> bool:
    """Return whether an artifact may serve a source of this cache."""
    spec = artifact.spec
    if spec.source_uri != source.source_uri or artifact.metadata.deletion_timestamp or not is_reconciled(artifact):
        return False
    if not _is_in_reach(cache, artifact) or not _class_fits(cache, artifact, contexts):
        return False
    if _is_kept(cache, artifact):
        return True
    if not _same_origin(cache, source, artifact, config, contexts):
        return False
    return artifact.status.status == State.READY or _same_environment(cache, source, artifact, config, contexts)


def is_reconciled(artifact: AIMArtifact) -> bool:
    """Return whether a controller has reconciled the artifact: only then does its status mean anything."""
    return "status" in artifact.status.model_fields_set


def _is_in_reach(cache: AIMTemplateCache, artifact: AIMArtifact) -> bool:
    """Return whether the cache may use it: shared ones use those without owner, dedicated their own (TC-ART-2)."""
    owners = artifact.metadata.owner_references
    if cache.spec.mode == CacheMode.DEDICATED:
        return any(owner.uid == cache.metadata.uid for owner in owners)
    return not owners


def _class_fits(cache: AIMTemplateCache, artifact: AIMArtifact, contexts: ArtifactContext) -> bool:
    """Return whether the storage class that the claim has, or would get, is the cache's (TC-ART-1)."""
    named = contexts.storage_class or artifact.spec.storage_class_name or contexts.config.storage_class_name
    return cache.spec.storage_class_name in ("", named)


def _is_kept(cache: AIMTemplateCache, artifact: AIMArtifact) -> bool:
    """Return whether the artifact is a Ready match of before, which stays one (TC-ART-3)."""
    listed = any(entry.uid == artifact.metadata.uid for entry in cache.status.artifacts.values())
    return listed and artifact.status.status == State.READY


def _same_origin(
    cache: AIMTemplateCache,
    source: ModelSource,
    artifact: AIMArtifact,
    config: ResolvedConfig,
    contexts: ArtifactContext,
) -> bool:
    """Return whether a download for the artifact can only have fetched what one for the cache would (TC-ART-9)."""
    image = artifact.spec.model_download_image
    if image != cache.spec.download_image and not {image, cache.spec.download_image} <= contexts.own_images | {""}:
        return False
    ours, theirs = _environments(cache, source, artifact, config, contexts)
    return all(ours.get(name) == theirs.get(name) for name in ours | theirs if not _is_neutral(name))


def _same_environment(
    cache: AIMTemplateCache,
    source: ModelSource,
    artifact: AIMArtifact,
    config: ResolvedConfig,
    contexts: ArtifactContext,
) -> bool:
    """Return whether the whole environments match (TC-ART-1)."""
    ours, theirs = _environments(cache, source, artifact, config, contexts)
    return ours == theirs


def _environments(
    cache: AIMTemplateCache,
    source: ModelSource,
    artifact: AIMArtifact,
    config: ResolvedConfig,
    contexts: ArtifactContext,
) -> tuple[dict[str, object], dict[str, object]]:
    """Return the environments of the downloads for the cache and for the artifact, by name of the variable."""
    ours = _by_name(config.spec.env, artifact_env(cache, source))
    return ours, _by_name(contexts.config.spec.env, artifact.spec.env)


def _by_name(*layers: Iterable[EnvVar]) -> dict[str, object]:
    return {variable.name: go_env(variable) for variable in merge_env(*layers)}


def _is_neutral(name: str) -> bool:
    """Return whether a variable cannot change what is fetched.

    All others count, also unknown ones: endpoints and proxies in every spelling, certificates, settings of Python.
    """
    if is_debug_switch(name):
        return False
    return name in _CREDENTIALS or name in _PACE or name.startswith(_OF_THE_ENGINE)


def _context(contexts: Mapping[str, ArtifactContext], artifact: AIMArtifact, config: ResolvedConfig) -> ArtifactContext:
    return contexts.get(artifact.metadata.name) or ArtifactContext(config)


def _preference(artifact: AIMArtifact) -> tuple[int, str, str]:
    metadata = artifact.metadata
    return -State.of(artifact.status.status).rank, metadata.creation_timestamp, metadata.name


def _ordered(value: Mapping[str, object], order: Sequence[str]) -> dict[str, object]:
    """Return known keys first, in Go's order; two levels deep, as sources of variables are."""
    names = [name for name in order if name in value] + sorted(name for name in value if name not in order)
    return {
        name: _ordered(inner, _KEY_ORDER) if isinstance(inner := value[name], Mapping) else inner
        for name in names
        if value[name] not in (None, "")
    }
