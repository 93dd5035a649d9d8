"""The AIMTemplateCache controller."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from aimd.api.artifact import AIMArtifact
from aimd.api.service_template import AnyServiceTemplate
from aimd.api.template_cache import AIMTemplateCache
from aimd.controllers.pipeline import Definition
from aimd.controllers.reader import Found, Reader
from aimd.controllers.relation import each_user
from aimd.controllers.relations import (
    CACHE_ARTIFACTS,
    CACHE_CLUSTER_TEMPLATE,
    CACHE_MADE_ARTIFACT,
    CACHE_TEMPLATE,
    CACHE_TIES,
)
from aimd.controllers.runtime_config import CONFIG_INFORMERS, observe_config
from aimd.planning.artifact.download_job import claim_names
from aimd.planning.kinds import AIM_ARTIFACT, AIM_CLUSTER_SERVICE_TEMPLATE, AIM_SERVICE_TEMPLATE, AIM_TEMPLATE_CACHE
from aimd.planning.labels import ARTIFACT_LABEL, ARTIFACTS_OF_CACHE_FINALIZER
from aimd.planning.needs import Reads
from aimd.planning.objects import is_being_deleted, is_controlled_by, storage_class_of
from aimd.planning.template_cache.matching import ArtifactContext
from aimd.planning.template_cache.plan import (
    Leftover,
    ObservedTemplateCache,
    artifact_deletions,
    is_ready,
    plan_template_cache,
    replaceable,
    sources_of,
    with_reads,
)
from aimd.planning.unreadable import Unreadable, hides
from aimd.runtime.informer import Informer
from aimd.runtime.kinds import PERSISTENT_VOLUME_CLAIM
from aimd.runtime.objects import Deletion, Key, Manifest, uid_of

BATCH = 16
"""Artifacts that are looked at in one go when a cache is deleted, and that a reconcile replaces at most."""

INFORMERS = (
    Informer(AIM_TEMPLATE_CACHE),
    Informer(AIM_ARTIFACT),
    Informer(AIM_SERVICE_TEMPLATE),
    Informer(AIM_CLUSTER_SERVICE_TEMPLATE),
    Informer(PERSISTENT_VOLUME_CLAIM, label_selector=ARTIFACT_LABEL),
    *CONFIG_INFORMERS,
)


def template_cache_controller(
    own_images: frozenset[str] = frozenset(),
) -> Definition[AIMTemplateCache, ObservedTemplateCache]:
    """Return the controller of AIMTemplateCache; `own_images` are the operator's download images."""

    def observe(cache: AIMTemplateCache, live: Manifest, reader: Reader, reads: Reads) -> ObservedTemplateCache:
        observed = _observe(cache, live, reader, reads)
        known = {name: replace(context, own_images=own_images) for name, context in observed.contexts.items()}
        return replace(observed, contexts=known)

    return Definition(
        name="template-cache",
        kind=AIM_TEMPLATE_CACHE,
        observe=observe,
        plan=plan_template_cache,
        informers=INFORMERS,
        ties=CACHE_TIES,
        finalizer=ARTIFACTS_OF_CACHE_FINALIZER,
        on_deletion=_on_deletion,
    )


def _observe(cache: AIMTemplateCache, _live: Manifest, reader: Reader, reads: Reads) -> ObservedTemplateCache:
    observed = observe_template_cache(cache, reader)
    failed = tuple(islice(replaceable(cache, observed.artifacts), BATCH))
    used = _used_by_others(cache, failed, reader).names
    rest = {artifact.metadata.name for artifact in replaceable(cache, observed.artifacts)}
    rest -= {artifact.metadata.name for artifact in failed}
    return with_reads(replace(observed, used_elsewhere=used | rest), reads)


def observe_template_cache(cache: AIMTemplateCache, reader: Reader) -> ObservedTemplateCache:
    """Return a cache and what its plan depends on."""
    templates = _templates(cache, reader)
    found: Found[AIMArtifact] = CACHE_MADE_ARTIFACT.find(reader, cache)
    for tie in CACHE_ARTIFACTS:
        found += tie.find(reader, cache)
    return ObservedTemplateCache(
        cache=cache,
        config=observe_config(reader, cache.spec.runtime_config_name, cache.metadata.namespace),
        template=_template(templates),
        unreadable_template=next((item for item in templates.unreadable if hides(item, templates.objects)), None),
        artifacts=tuple(_with_own_claim(artifact, reader) for artifact in found.objects),
        contexts={artifact.metadata.name: _context(artifact, reader) for artifact in found.objects},
    )


def _templates(cache: AIMTemplateCache, reader: Reader) -> Found[AnyServiceTemplate]:
    """Return the template by its scope; with scope Unknown the namespaced one first (TC-TPL-1)."""
    return CACHE_TEMPLATE.find(reader, cache) + CACHE_CLUSTER_TEMPLATE.find(reader, cache)


def _template(found: Found[AnyServiceTemplate]) -> AnyServiceTemplate | None:
    """Return the template, unless one that does not parse would be used before it."""
    return None if any(hides(item, found.objects) for item in found.unreadable) else found.first


def _with_own_claim(artifact: AIMArtifact, reader: Reader) -> AIMArtifact:
    """Return the artifact without the claim in its status if that is not its own (ART-CLM-7).

    Otherwise, users who may write the status of an artifact could mount any claim of the namespace into predictors.
    """
    named, derived = claim_names(artifact)
    claim = reader.cache[PERSISTENT_VOLUME_CLAIM].get(Key(artifact.metadata.namespace, named))
    if named in ("", derived) or is_controlled_by(claim, artifact.metadata.uid):
        return artifact
    return artifact.model_copy(update={"status": artifact.status.model_copy(update={"persistent_volume_claim": ""})})


def _context(artifact: AIMArtifact, reader: Reader) -> ArtifactContext:
    namespace = artifact.metadata.namespace
    claim = reader.cache[PERSISTENT_VOLUME_CLAIM].get(Key(namespace, artifact.status.persistent_volume_claim))
    config = observe_config(reader, artifact.spec.runtime_config_name, namespace)
    return ArtifactContext(config, storage_class_of(claim) if claim is not None else "")


def _on_deletion(cache: AIMTemplateCache, reader: Reader) -> Iterator[Sequence[Deletion]]:
    """Yield the artifacts to delete with a cache: those that never got Ready and that no other cache waits for."""
    made = CACHE_MADE_ARTIFACT.all_of(reader, AIM_ARTIFACT, cache)
    while batch := tuple(islice(made, BATCH)):
        artifacts: tuple[AIMArtifact, ...] = reader.collect(AIM_ARTIFACT, batch).objects
        unready = tuple(artifact for artifact in artifacts if not is_ready(artifact))
        used = _used_by_others(cache, unready, reader)
        yield artifact_deletions(cache, Leftover(unready, used.names, used.uris))


@dataclass(frozen=True, slots=True)
class _Used:
    """Artifacts that other caches list, by name, and sources that other caches of the same mode want."""

    names: frozenset[str]
    uris: frozenset[str]


def _used_by_others(cache: AIMTemplateCache, artifacts: Sequence[AIMArtifact], reader: Reader) -> _Used:
    """Return which of the artifacts other caches use; for each, the first user decides."""
    names: set[str] = set()
    uris: set[str] = set()
    for artifact in artifacts:
        name, uri = artifact.metadata.name, artifact.spec.source_uri
        for other in _others(cache, artifact, reader):
            if isinstance(other, Unreadable) or any(entry.name == name for entry in other.status.artifacts.values()):
                names.add(name)  # A cache that cannot be read may use it.
                break
            wanted = sources_of(other, _template(_templates(other, reader)))
            if other.spec.mode == cache.spec.mode and any(source.source_uri == uri for source in wanted):
                uris.add(uri)
                break
    return _Used(frozenset(names), frozenset(uris))


def _others(cache: AIMTemplateCache, artifact: AIMArtifact, reader: Reader) -> Iterator[AIMTemplateCache | Unreadable]:
    """Yield the other caches, not being deleted, that use an artifact or want its source (TC-STA-5)."""
    key = Key(artifact.metadata.namespace, artifact.metadata.name)
    for tie in CACHE_ARTIFACTS:
        for manifest in each_user(tie, reader, AIM_ARTIFACT, key):
            if uid_of(manifest) != cache.metadata.uid and not is_being_deleted(manifest):
                yield reader.read(AIM_TEMPLATE_CACHE, manifest)
