"""AIMTemplateCache: all weights of a template in one namespace. The rules are in docs/rules/template-cache.md."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from aimd.api.artifact import AIMArtifact
from aimd.api.reasons import Reason
from aimd.api.service_template import AnyServiceTemplate
from aimd.api.shared import CacheMode, ModelSource
from aimd.api.template_cache import AIMTemplateCache, TemplateCacheCondition
from aimd.planning.component import DOWNSTREAM, READY, UPSTREAM, Component, State
from aimd.planning.environment import render_env
from aimd.planning.kinds import (
    AIM_ARTIFACT,
    AIM_CLUSTER_SERVICE_TEMPLATE,
    AIM_SERVICE_TEMPLATE,
    AIM_TEMPLATE_CACHE,
    owned_by,
)
from aimd.planning.labels import (
    HEADROOM_ANNOTATION,
    TEMPLATE_CACHE_NAME_LABEL,
    TEMPLATE_CREATED_LABEL,
    TEMPLATE_INDEX_LABEL,
    TEMPLATE_NAME_LABEL,
    TEMPLATE_SCOPE_LABEL,
    child_labels,
    name_label,
)
from aimd.planning.naming import name_part
from aimd.planning.needs import Lookup, Reads
from aimd.planning.objects import find_condition
from aimd.planning.plan import Plan
from aimd.planning.runtime_config import ResolvedConfig, config_component
from aimd.planning.template_cache.matching import ArtifactContext, Match, artifact_env, is_reconciled, match_sources
from aimd.planning.unreadable import Unreadable, unreadable_reference
from aimd.planning.weights import mount_point
from aimd.runtime.objects import Category, Deletion, Desired, Failure, Key, Manifest

CONTROLLER = "template-cache"
PROGRESS_SECONDS = 30.0
"""Interval at which the progress of downloads is copied; their pods report it far more often (TC-STA-4)."""


@dataclass(frozen=True, slots=True)
class ObservedTemplateCache:
    """A cache and everything its plan depends on.

    `artifacts` are those of the namespace that it lists or created, or that hold one of its sources; `contexts` go by
    name of artifact. `used_elsewhere` are names of artifacts that other caches use, `taken_names` are names for new
    artifacts that exist already, for whatever source.
    """

    cache: AIMTemplateCache
    config: ResolvedConfig
    template: AnyServiceTemplate | None = None
    artifacts: Sequence[AIMArtifact] = ()
    contexts: Mapping[str, ArtifactContext] = field(default_factory=dict)
    used_elsewhere: frozenset[str] = frozenset()
    taken_names: frozenset[str] = frozenset()
    unreadable_template: Unreadable | None = None


@dataclass(frozen=True, slots=True)
class Leftover:
    """The artifacts of a deleted cache, and which of them (or which URIs) other caches of the namespace use."""

    artifacts: Sequence[AIMArtifact] = ()
    used_names: frozenset[str] = field(default_factory=frozenset)
    used_uris: frozenset[str] = field(default_factory=frozenset)


def plan_template_cache(observed: ObservedTemplateCache, now: datetime) -> Plan:  # noqa: ARG001 (as all plans)
    """Return the decision about a cache; pure and total."""
    sources = sources_of(observed.cache, observed.template)
    matches = match_sources(observed.cache, sources, observed.artifacts, observed.config, observed.contexts)
    existing = {artifact.metadata.name for artifact in observed.artifacts} | observed.taken_names
    missing: dict[str, Match] = {}
    for match in matches:
        if match.artifact is None and match.name not in existing:
            missing.setdefault(match.name, match)
    return Plan(
        components=(
            config_component(observed.config),
            _template_component(observed.cache, observed.template, observed.unreadable_template),
            _artifacts_component(observed.template, observed.artifacts, matches),
        ),
        desired=tuple(_artifact(observed.cache, observed.config, match) for match in missing.values()),
        deletions=_superseded(observed.cache, observed.artifacts, observed.used_elsewhere, matches),
        status=_status(observed.config, observed.template, matches),
        requeue_after=PROGRESS_SECONDS if any(_is_coming(match.artifact) for match in matches) else None,
        needs=tuple(
            Lookup(AIM_ARTIFACT, Key(observed.cache.metadata.namespace, match.name))
            for match in matches
            if match.artifact is None
        ),
    )


def with_reads(observed: ObservedTemplateCache, reads: Reads) -> ObservedTemplateCache:
    """Return what was observed together with the artifacts that have the names of new ones."""
    taken = (
        name for need in reads.answers if isinstance(need, Lookup) and reads.found(need) and (name := need.key.name)
    )
    return replace(observed, taken_names=frozenset(taken))


def sources_of(cache: AIMTemplateCache, template: AnyServiceTemplate | None) -> tuple[ModelSource, ...]:
    """Return the sources of the weights: the cache's own list, else what the template's status says (TC-SRC-1)."""
    if cache.spec.model_sources:
        return cache.spec.model_sources
    return template.status.model_sources if template is not None else ()


def artifacts_to_delete(cache: AIMTemplateCache, leftover: Leftover) -> tuple[AIMArtifact, ...]:
    """Return the artifacts to delete with the cache: created by it, not Ready, and not used by another cache.

    Failed ones are always deleted (TC-DEL-1). Garbage collection deletes those that the cache owns.
    """
    label = name_label(cache.metadata.name)
    return tuple(
        artifact
        for artifact in leftover.artifacts
        if artifact.metadata.labels.get(TEMPLATE_CACHE_NAME_LABEL) == label
        and not is_ready(artifact)
        and (artifact.status.status == State.FAILED or not _is_wanted(artifact, leftover))
    )


def is_ready(artifact: AIMArtifact) -> bool:
    """Return whether the weights are there: such an artifact outlives its cache."""
    return artifact.status.status == State.READY


def artifact_deletions(cache: AIMTemplateCache, leftover: Leftover) -> tuple[Deletion, ...]:
    """Return the deletions of the artifacts that go with a cache."""
    return tuple(
        Deletion(
            AIM_ARTIFACT, Key(item.metadata.namespace, item.metadata.name), item.metadata.uid, "template-cache-deleted"
        )
        for item in artifacts_to_delete(cache, leftover)
    )


def _is_wanted(artifact: AIMArtifact, leftover: Leftover) -> bool:
    return artifact.metadata.name in leftover.used_names or artifact.spec.source_uri in leftover.used_uris


def _template_component(
    cache: AIMTemplateCache, template: AnyServiceTemplate | None, unreadable: Unreadable | None
) -> Component:
    """Return the health of the template: its own `Ready`, copied (TC-TPL-2)."""
    type_, spec = TemplateCacheCondition.SERVICE_TEMPLATE_READY, cache.spec
    if unreadable is not None:
        failure = unreadable_reference(unreadable, Reason.REFERENCE_NOT_FOUND)
        return Component.blocked(type_, failure)
    if template is None:
        places = {"Namespace": "in this namespace", "Cluster": "in the cluster"}
        where = places.get(spec.template_scope, "in this namespace or in the cluster")
        text = f"There is no template {spec.template_name} {where}: create it or correct templateName or templateScope"
        failure = Failure(Category.MISSING_UPSTREAM, Reason.REFERENCE_NOT_FOUND, text)
        return Component.blocked(type_, failure)
    own = find_condition(template.status.conditions, READY)
    word = template.status.status if "status" in template.status.model_fields_set else ""
    if own is None:
        state = State.of(word) if word else State.PENDING
        return Component(type_, state, Reason.RESOURCE_FOUND, f"The template is {word or 'new'}", UPSTREAM)
    if own.status == "True":
        return Component.ready(type_, own.reason, own.message, UPSTREAM)
    state = State.PROGRESSING if own.status == "Unknown" else State.of(word)
    # A template whose condition and status contradict each other is between two writes of its controller.
    state = State.PROGRESSING if state in (State.READY, State.RUNNING) else state
    return Component(type_, state, own.reason, own.message, UPSTREAM)


def _artifacts_component(
    template: AnyServiceTemplate | None, artifacts: Sequence[AIMArtifact], matches: Sequence[Match]
) -> Component:
    """Return the health of all artifacts together: that of the worst (TC-STA-1, TC-STA-2)."""
    type_, direction = TemplateCacheCondition.ARTIFACTS_READY, DOWNSTREAM
    if not matches:
        if template is not None and template.status.status == State.READY:
            return Component.ready(
                type_, Reason.NOTHING_TO_CACHE, "The template lists no weights to download", direction
            )
        text = "The template lists no weights yet"
        return Component.waiting(type_, Reason.NO_CACHES, text, direction)
    found = [match.artifact for match in matches if match.artifact is not None]
    missing = len(matches) - len(found)
    if missing:
        # One that was never reconciled is only new.
        reconciled = {artifact.metadata.name for artifact in artifacts if is_reconciled(artifact)}
        blocked = [match.name for match in matches if match.artifact is None and match.name in reconciled]
        waiting = f"; {', '.join(blocked)} exists and cannot be used yet" if blocked else ""
        text = f"{missing} of {len(matches)} artifacts are being created{waiting}"
        return Component.waiting(type_, Reason.CREATING_CACHES, text, direction)
    worst = min(found, key=lambda artifact: _state(artifact).rank)
    state = _state(worst)
    if state is State.READY:
        return Component.ready(type_, Reason.ALL_CACHES_READY, f"All {len(found)} artifacts are ready", direction)
    own = find_condition(worst.status.conditions, READY)
    done = sum(_state(artifact) is State.READY for artifact in found)
    text = f"{done} of {len(found)} artifacts are ready; {worst.metadata.name} is {state}{_detail(worst)}"
    reason = own.reason if own is not None and own.status != "True" else Reason.CACHES_NOT_READY
    return Component(type_, state, reason, text, direction)


def _state(artifact: AIMArtifact) -> State:
    """Return the artifact's state; without a claim nothing can be mounted, so it is not Ready (TC-STA-1)."""
    state = State.of(artifact.status.status)
    return State.PROGRESSING if state is State.READY and not artifact.status.persistent_volume_claim else state


def _is_coming(artifact: AIMArtifact | None) -> bool:
    """Return whether its progress has to be polled, because changes of it wake no controller (TC-STA-4)."""
    return artifact is not None and _state(artifact) is State.PROGRESSING


def _detail(artifact: AIMArtifact) -> str:
    """Return what is wrong with an artifact, or how far its download is."""
    if _is_coming(artifact) and artifact.status.progress is not None:
        doing = artifact.status.download.message if artifact.status.download is not None else ""
        return f", {artifact.status.progress.percentage or 0} %" + (f" ({doing})" if doing else "")
    if _state(artifact) not in (State.FAILED, State.DEGRADED, State.NOT_AVAILABLE):
        return ""
    own = find_condition(artifact.status.conditions, READY)
    return f": {own.message}" if own is not None and own.message else ""


def _superseded(
    cache: AIMTemplateCache, artifacts: Sequence[AIMArtifact], used_elsewhere: frozenset[str], matches: Sequence[Match]
) -> tuple[Deletion, ...]:
    """Return the deletions of failed artifacts of this cache that another one replaces (TC-ART-7)."""
    replaced = {match.source.source_uri for match in matches if match.artifact is not None}
    used = {match.artifact.metadata.name for match in matches if match.artifact is not None} | used_elsewhere
    return tuple(
        Deletion(
            AIM_ARTIFACT, Key(artifact.metadata.namespace, artifact.metadata.name), artifact.metadata.uid, "superseded"
        )
        for artifact in replaceable(cache, artifacts)
        if artifact.spec.source_uri in replaced and artifact.metadata.name not in used
    )


def replaceable(cache: AIMTemplateCache, artifacts: Iterable[AIMArtifact]) -> Iterator[AIMArtifact]:
    """Yield the failed artifacts that a cache made; another one may replace them (TC-ART-7)."""
    label = name_label(cache.metadata.name)
    for artifact in artifacts:
        labels = artifact.metadata.labels
        made = labels.get(TEMPLATE_CACHE_NAME_LABEL) == label and labels.get(TEMPLATE_CREATED_LABEL) == "true"
        if made and artifact.status.status == State.FAILED:
            yield artifact


def _artifact(cache: AIMTemplateCache, config: ResolvedConfig, match: Match) -> Desired:
    """Return a new artifact; an existing one is never written again, not even its labels (TC-ART-5)."""
    source = match.source
    own = {
        TEMPLATE_CREATED_LABEL: "true",
        TEMPLATE_NAME_LABEL: name_label(cache.spec.template_name),
        TEMPLATE_SCOPE_LABEL: cache.spec.template_scope,
        TEMPLATE_INDEX_LABEL: str(match.index),
        TEMPLATE_CACHE_NAME_LABEL: name_label(cache.metadata.name),
    }
    metadata: Manifest = {
        "name": match.name,
        "namespace": cache.metadata.namespace,
        "labels": child_labels(CONTROLLER, cache.metadata.labels, cache.metadata.name, own, config.label_patterns),
    }
    if cache.spec.mode == CacheMode.DEDICATED:
        key = Key(cache.metadata.namespace, cache.metadata.name)
        metadata["ownerReferences"] = owned_by(AIM_TEMPLATE_CACHE, key, cache.metadata.uid)
    if headroom := cache.metadata.annotations.get(HEADROOM_ANNOTATION):
        metadata["annotations"] = {HEADROOM_ANNOTATION: headroom}
    manifest = AIM_ARTIFACT.manifest(metadata, spec=_artifact_spec(cache, source))
    shared = cache.spec.mode != CacheMode.DEDICATED
    return Desired(AIM_ARTIFACT, manifest, "artifact", shared=shared, once=True)


def _artifact_spec(cache: AIMTemplateCache, source: ModelSource) -> Manifest:
    """Return the spec of an artifact that the cache creates (TC-ART-8)."""
    optional: Manifest = {
        "modelId": source.model_id,
        "storageClassName": cache.spec.storage_class_name,
        "runtimeConfigName": cache.spec.runtime_config_name,
        "env": render_env(artifact_env(cache, source)),
        "modelDownloadImage": cache.spec.download_image,
        "imagePullSecrets": [{"name": reference.name} for reference in cache.spec.image_pull_secrets],
    }
    given = {name: value for name, value in optional.items() if value}
    return {"sourceUri": source.source_uri, "size": source.size or "0", **given}


def _status(config: ResolvedConfig, template: AnyServiceTemplate | None, matches: Sequence[Match]) -> dict[str, Any]:
    status: dict[str, Any] = {"resolvedRuntimeConfig": config.reference}
    if template is not None:
        kind = AIM_SERVICE_TEMPLATE if template.metadata.namespace else AIM_CLUSTER_SERVICE_TEMPLATE
        status["resolvedTemplateKind"] = kind.name
    else:
        status["resolvedTemplateKind"] = None
    if any(match.artifact is None for match in matches):
        return status
    return {**status, "artifacts": _entries(matches) or None}


def _entries(matches: Sequence[Match]) -> dict[str, Any]:
    """Return the entries by name of artifact; further model ids of one have entries `<name>#<n>` (TC-STA-3)."""
    entries: dict[str, Any] = {}
    known: dict[str, set[str]] = {}
    for match in matches:
        if match.artifact is None:
            continue
        metadata, status = match.artifact.metadata, match.artifact.status
        models = known.setdefault(metadata.name, set())
        if match.source.model_id in models:
            continue
        model = match.source.model_id
        entry = {
            "name": metadata.name,
            "uid": metadata.uid,
            "model": model,
            "status": status.status,
            "mountPoint": mount_point(model, name_part(metadata.name)),
        }
        if status.persistent_volume_claim:
            entry["persistentVolumeClaim"] = status.persistent_volume_claim
        entries[f"{metadata.name}#{len(models) + 1}" if models else metadata.name] = entry
        models.add(model)
    return entries
