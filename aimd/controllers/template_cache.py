"""The AIMTemplateCache controller."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from aimd.api.artifact import AIMArtifact
from aimd.api.service_template import AnyServiceTemplate
from aimd.api.template_cache import AIMTemplateCache
from aimd.controllers.pipeline import Definition
from aimd.controllers.reader import Found, Reader
from aimd.controllers.relation import users_of
from aimd.controllers.relations import (
    CACHE_ARTIFACTS,
    CACHE_CLUSTER_TEMPLATE,
    CACHE_MADE_ARTIFACT,
    CACHE_TEMPLATE,
    CACHE_TIES,
)
from aimd.controllers.runtime_config import CONFIG_INFORMERS, observe_config
from aimd.planning.kinds import AIM_ARTIFACT, AIM_CLUSTER_SERVICE_TEMPLATE, AIM_SERVICE_TEMPLATE, AIM_TEMPLATE_CACHE
from aimd.planning.labels import ARTIFACT_LABEL, ARTIFACTS_OF_CACHE_FINALIZER
from aimd.planning.needs import Reads
from aimd.planning.objects import storage_class_of
from aimd.planning.template_cache.matching import ArtifactContext
from aimd.planning.template_cache.plan import (
    Leftover,
    ObservedTemplateCache,
    artifact_deletions,
    plan_template_cache,
    sources_of,
    with_reads,
)
from aimd.planning.unreadable import hides
from aimd.runtime.informer import Informer
from aimd.runtime.kinds import PERSISTENT_VOLUME_CLAIM
from aimd.runtime.objects import Deletion, Key, Manifest

INFORMERS = (
    Informer(AIM_TEMPLATE_CACHE),
    Informer(AIM_ARTIFACT),
    Informer(AIM_SERVICE_TEMPLATE),
    Informer(AIM_CLUSTER_SERVICE_TEMPLATE),
    Informer(PERSISTENT_VOLUME_CLAIM, label_selector=ARTIFACT_LABEL),
    *CONFIG_INFORMERS,
)


def template_cache_controller() -> Definition[AIMTemplateCache, ObservedTemplateCache]:
    """Return the controller of AIMTemplateCache."""
    return Definition(
        name="template-cache",
        kind=AIM_TEMPLATE_CACHE,
        observe=_observe,
        plan=plan_template_cache,
        informers=INFORMERS,
        ties=CACHE_TIES,
        finalizer=ARTIFACTS_OF_CACHE_FINALIZER,
        on_deletion=_on_deletion,
    )


def _observe(cache: AIMTemplateCache, _live: Manifest, reader: Reader, reads: Reads) -> ObservedTemplateCache:
    observed = observe_template_cache(cache, reader)
    listed = {
        entry.name for other in _others(cache, reader, observed.artifacts) for entry in other.status.artifacts.values()
    }
    return with_reads(replace(observed, used_elsewhere=frozenset(listed)), reads)


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
        artifacts=found.objects,
        contexts={artifact.metadata.name: _context(artifact, reader) for artifact in found.objects},
    )


def _templates(cache: AIMTemplateCache, reader: Reader) -> Found[AnyServiceTemplate]:
    """Return the template by its scope; with scope Unknown the namespaced one first (TC-TPL-1)."""
    return CACHE_TEMPLATE.find(reader, cache) + CACHE_CLUSTER_TEMPLATE.find(reader, cache)


def _template(found: Found[AnyServiceTemplate]) -> AnyServiceTemplate | None:
    """Return the template, unless one that does not parse would be used before it."""
    return None if any(hides(item, found.objects) for item in found.unreadable) else found.first


def _context(artifact: AIMArtifact, reader: Reader) -> ArtifactContext:
    namespace = artifact.metadata.namespace
    claim = reader.cache[PERSISTENT_VOLUME_CLAIM].get(Key(namespace, artifact.status.persistent_volume_claim))
    config = observe_config(reader, artifact.spec.runtime_config_name, namespace)
    return ArtifactContext(config, storage_class_of(claim) if claim is not None else "")


def _others(cache: AIMTemplateCache, reader: Reader, artifacts: Iterable[AIMArtifact]) -> Sequence[AIMTemplateCache]:
    """Return the other caches, not being deleted, that use one of the artifacts or want its source (TC-STA-5)."""
    users: Found[AIMTemplateCache] = Found()
    for artifact in artifacts:
        for tie in CACHE_ARTIFACTS:
            users += users_of(tie, reader, AIM_ARTIFACT, Key(artifact.metadata.namespace, artifact.metadata.name))
    return tuple(
        user
        for user in users.objects
        if user.metadata.uid != cache.metadata.uid and not user.metadata.deletion_timestamp
    )


def _on_deletion(cache: AIMTemplateCache, reader: Reader) -> Sequence[Deletion]:
    """Return the artifacts to delete with a cache: those that never got Ready and that no other cache waits for."""
    artifacts = CACHE_MADE_ARTIFACT.find(reader, cache).objects
    others = _others(cache, reader, artifacts)
    alike = (other for other in others if other.spec.mode == cache.spec.mode)
    leftover = Leftover(
        artifacts=artifacts,
        used_names=frozenset(entry.name for other in others for entry in other.status.artifacts.values()),
        used_uris=frozenset(
            source.source_uri for other in alike for source in sources_of(other, _template(_templates(other, reader)))
        ),
    )
    return artifact_deletions(cache, leftover)
