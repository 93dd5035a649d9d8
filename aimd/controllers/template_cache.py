"""The AIMTemplateCache controller."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from aimd.api.artifact import AIMArtifact
from aimd.api.service_template import AIMClusterServiceTemplate, AIMServiceTemplate
from aimd.api.template_cache import AIMTemplateCache
from aimd.controllers.pipeline import Clock, KindReconciler, utc_now
from aimd.controllers.predicates import artifact_state_changed, intent_changed
from aimd.controllers.runtime_config import CONFIG_INFORMERS, config_of, config_watches, observe_config
from aimd.planning.artifact.download_job import CACHE_NAME
from aimd.planning.kinds import AIM_ARTIFACT, AIM_CLUSTER_SERVICE_TEMPLATE, AIM_SERVICE_TEMPLATE, AIM_TEMPLATE_CACHE
from aimd.planning.plan import Plan
from aimd.planning.runtime_config import ResolvedConfig
from aimd.planning.template_cache.matching import ArtifactContext
from aimd.planning.template_cache.plan import (
    Leftover,
    ObservedTemplateCache,
    Template,
    artifacts_to_delete,
    plan_template_cache,
    sources_of,
    uses_artifact,
)
from aimd.runtime.client import Client
from aimd.runtime.controller import Watch
from aimd.runtime.errors import Forbidden, NotFound
from aimd.runtime.handlers import for_object
from aimd.runtime.informer import Informer
from aimd.runtime.kinds import NAMESPACE, PERSISTENT_VOLUME_CLAIM
from aimd.runtime.objects import Category, Deletion, Key, Manifest, key_of, metadata_of
from aimd.runtime.store import Cache

FINALIZER = "aim.eai.amd.com/artifactcleanup"
BY_CONFIG = "template-cache/runtime-config"
BY_TEMPLATE = "template-cache/template"
BY_NAMESPACE = "template-cache/namespace"


class TemplateCacheReconciler(KindReconciler[AIMTemplateCache, ObservedTemplateCache]):
    """Reconciles AIMTemplateCaches."""

    name = "template-cache"
    finalizer = FINALIZER

    def __init__(self, client: Client, cache: Cache, clock: Clock = utc_now) -> None:
        super().__init__(client, cache, AIM_TEMPLATE_CACHE, AIMTemplateCache, clock)

    @property
    def informers(self) -> Sequence[Informer]:
        indexes = {BY_CONFIG: config_of, BY_TEMPLATE: _template_of, BY_NAMESPACE: _namespace_of}
        return (
            Informer(AIM_TEMPLATE_CACHE, indexes=indexes),
            Informer(AIM_ARTIFACT, indexes={BY_NAMESPACE: _namespace_of}),
            Informer(AIM_SERVICE_TEMPLATE),
            Informer(AIM_CLUSTER_SERVICE_TEMPLATE),
            Informer(PERSISTENT_VOLUME_CLAIM, label_selector=CACHE_NAME),
            *CONFIG_INFORMERS,
        )

    @property
    def watches(self) -> Sequence[Watch]:
        return (
            Watch(AIM_TEMPLATE_CACHE, for_object, intent_changed),
            Watch(AIM_ARTIFACT, _users_of_artifact, artifact_state_changed),
            Watch(AIM_SERVICE_TEMPLATE, _users_of_template),
            Watch(AIM_CLUSTER_SERVICE_TEMPLATE, _users_of_template),
            *config_watches(AIM_TEMPLATE_CACHE, BY_CONFIG),
        )

    def plan(self, observed: ObservedTemplateCache, now: datetime) -> Plan:
        return plan_template_cache(observed, now)

    async def observe(self, obj: AIMTemplateCache) -> ObservedTemplateCache:
        """All from the cache."""
        observed = observe_template_cache(self.cache, obj)
        others = (
            other
            for other in self._parsed(obj.metadata.namespace)
            if other.metadata.uid != obj.metadata.uid and not other.metadata.deletion_timestamp
        )
        used = frozenset(entry.name for other in others for entry in other.status.artifacts.values())
        return replace(observed, used_elsewhere=used)

    async def finalize(self, obj: AIMTemplateCache) -> bool:
        """Deletes artifacts that never got Ready, unless the namespace is ending or other caches wait for them."""
        if await self._is_ending(obj.metadata.namespace):
            return True
        deletions = [
            Deletion(
                AIM_ARTIFACT,
                Key(item.metadata.namespace, item.metadata.name),
                item.metadata.uid,
                "template-cache-deleted",
            )
            for item in artifacts_to_delete(obj, self._leftover(obj))
        ]
        applied = await self._applier.apply((), deletions)
        return all(failure.category is Category.AUTH for _, _, failure in applied.failures)

    async def _is_ending(self, namespace: str) -> bool:
        """Whether the namespace is going, gone, or may not be looked at (TC-DEL-2)."""
        try:
            live = await self.client.get(NAMESPACE, Key("", namespace))
        except (NotFound, Forbidden):
            return True
        return bool(metadata_of(live).get("deletionTimestamp"))

    def _leftover(self, obj: AIMTemplateCache) -> Leftover:
        others = [
            observe_template_cache(self.cache, other)
            for other in self._parsed(obj.metadata.namespace)
            if other.metadata.uid != obj.metadata.uid and not other.metadata.deletion_timestamp
        ]
        alike = [other for other in others if other.cache.spec.mode == obj.spec.mode]
        return Leftover(
            artifacts=_artifacts(self.cache, obj.metadata.namespace),
            used_names=frozenset(entry.name for other in others for entry in other.cache.status.artifacts.values()),
            used_uris=frozenset(source.source_uri for other in alike for source in sources_of(other)),
        )

    def _parsed(self, namespace: str) -> Iterable[AIMTemplateCache]:
        found = self.cache[AIM_TEMPLATE_CACHE].by_index(BY_NAMESPACE, namespace)
        return (self.cache.parse(AIMTemplateCache, manifest) for manifest in found)


def observe_template_cache(cache: Cache, obj: AIMTemplateCache) -> ObservedTemplateCache:
    """A cache and what its plan depends on."""
    namespace = obj.metadata.namespace
    artifacts = _artifacts(cache, namespace)
    return ObservedTemplateCache(
        cache=obj,
        config=observe_config(cache, obj.spec.runtime_config_name, namespace),
        template=_template(cache, obj),
        artifacts=artifacts,
        contexts={artifact.metadata.name: _circumstances(cache, artifact) for artifact in artifacts},
    )


def _circumstances(cache: Cache, artifact: AIMArtifact) -> ArtifactContext:
    namespace = artifact.metadata.namespace
    claim = cache[PERSISTENT_VOLUME_CLAIM].get(Key(namespace, artifact.status.persistent_volume_claim))
    storage_class = str(_spec(claim).get("storageClassName") or "") if claim is not None else ""
    return ArtifactContext(observe_config(cache, artifact.spec.runtime_config_name, namespace), storage_class)


def _template(cache: Cache, obj: AIMTemplateCache) -> Template | None:
    """By scope; with scope Unknown the namespace first (TC-TPL-1)."""
    name, scope = obj.spec.template_name, obj.spec.template_scope
    if scope != "Cluster":
        found = cache[AIM_SERVICE_TEMPLATE].get(Key(obj.metadata.namespace, name))
        if found is not None:
            return cache.parse(AIMServiceTemplate, found)
    if scope != "Namespace":
        found = cache[AIM_CLUSTER_SERVICE_TEMPLATE].get(Key("", name))
        if found is not None:
            return cache.parse(AIMClusterServiceTemplate, found)
    return None


def _artifacts(cache: Cache, namespace: str) -> tuple[AIMArtifact, ...]:
    found = cache[AIM_ARTIFACT].by_index(BY_NAMESPACE, namespace)
    return tuple(cache.parse(AIMArtifact, manifest) for manifest in found)


def _spec(manifest: Manifest) -> dict[str, Any]:
    spec: dict[str, Any] = manifest.get("spec") or {}
    return spec


def _template_of(manifest: Manifest) -> Iterable[str]:
    return (str(_spec(manifest).get("templateName") or ""),)


def _namespace_of(manifest: Manifest) -> Iterable[str]:
    return (key_of(manifest).namespace,)


def _users_of_template(manifest: Manifest, cache: Cache) -> Iterable[Key]:
    """Caches that name the template in its scope; scope Unknown means both (TC-TPL-1)."""
    template = key_of(manifest)
    scopes = ("Namespace", "Unknown") if template.namespace else ("Cluster", "Unknown")
    for user in cache[AIM_TEMPLATE_CACHE].by_index(BY_TEMPLATE, template.name):
        key = key_of(user)
        if _spec(user).get("templateScope") in scopes and template.namespace in ("", key.namespace):
            yield key


def _users_of_artifact(manifest: Manifest, cache: Cache) -> Iterable[Key]:
    """Every cache that uses the artifact or wants its URI, not only the one that made it (TC-STA-5)."""
    artifact = cache.parse(AIMArtifact, manifest)
    for user in cache[AIM_TEMPLATE_CACHE].by_index(BY_NAMESPACE, artifact.metadata.namespace):
        obj = cache.parse(AIMTemplateCache, user)
        if uses_artifact(ObservedTemplateCache(obj, ResolvedConfig(), _template(cache, obj)), artifact):
            yield key_of(user)
