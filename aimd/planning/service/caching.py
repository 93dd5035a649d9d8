"""The template cache of a service: which one it uses, what a new one looks like, and its health."""

from collections.abc import Sequence
from dataclasses import replace

from aimd.api.core import EnvVar
from aimd.api.reasons import Reason
from aimd.api.service import AIMService, ServiceCacheMode, ServiceCondition
from aimd.api.service_template import AIMServiceTemplate, AnyServiceTemplate
from aimd.api.shared import CacheMode, Scope, Storage
from aimd.api.template_cache import AIMTemplateCache
from aimd.planning.component import Component, Direction, State
from aimd.planning.environment import merge_env, render_env
from aimd.planning.kinds import AIM_TEMPLATE_CACHE
from aimd.planning.labels import HEADROOM_ANNOTATION, SERVICE_LABEL, label_value, made_by
from aimd.planning.runtime_config import ResolvedConfig
from aimd.planning.service.child_names import dedicated_cache_name, shared_cache_name
from aimd.planning.service.observed import (
    CONTROLLER,
    ObservedService,
    is_ready,
    labels,
    owner_references,
    state_message,
)
from aimd.planning.service.template_reference import TemplateChoice
from aimd.planning.service.volumes import LoadedWeights, holds_weights
from aimd.runtime.objects import Desired, Key, Manifest
from aimd.runtime.ownership import belongs_to

_CACHE, _MADE = ServiceCondition.CACHE_READY, Direction.DOWNSTREAM


def effective_mode(service: AIMService) -> CacheMode:
    """Return Shared or Dedicated; the older spellings mean one of them (SVC-CCH-1)."""
    mode = service.spec.caching.mode if service.spec.caching is not None else ""
    dedicated = mode in (ServiceCacheMode.DEDICATED, ServiceCacheMode.NEVER)
    return CacheMode.DEDICATED if dedicated else CacheMode.SHARED


def find_cache(
    service: AIMService, template: AnyServiceTemplate | None, caches: Sequence[AIMTemplateCache]
) -> AIMTemplateCache | None:
    """Return the cache in use, whatever its state: the remembered one while Ready, else the best (SVC-CCH-2).

    Caches that are being deleted do not count.
    """
    usable = [cache for cache in caches if not cache.metadata.deletion_timestamp and _is_usable(service, cache)]
    remembered = service.status.cache.template_cache_ref if service.status.cache is not None else None
    if remembered is not None:
        for cache in usable:
            if cache.metadata.name == remembered.name and is_ready(cache.status.status):
                return cache
    name, scope = _template_identity(service, template)
    matching = [cache for cache in usable if cache.spec.template_name == name and cache.spec.template_scope == scope]
    if effective_mode(service) is CacheMode.DEDICATED and name:
        # Another operator may have named it by another hash; a cache that the service owns is kept (SVC-NAM-2).
        own = dedicated_cache_name(name, service)
        matching = [cache for cache in matching if cache.metadata.name == own] or matching
    return max(matching, key=lambda cache: _rank(cache.status.status), default=None)


def needs_cache(template: TemplateChoice) -> bool:
    """Return whether weights must be downloaded; False for a Ready template with weights in its image (SVC-CCH-8)."""
    return not (template.ready and template.template is not None and not template.template.status.model_sources)


def render_cache(observed: ObservedService, template: AnyServiceTemplate) -> Desired:
    """Render a new cache, in the service's mode, for its template (SVC-CCH-4)."""
    service = observed.service
    mode = effective_mode(service)
    dedicated = mode is CacheMode.DEDICATED
    name = template.metadata.name
    metadata: Manifest = {
        "name": dedicated_cache_name(name, service) if dedicated else shared_cache_name(name, observed.key.namespace),
        "namespace": observed.key.namespace,
        "labels": labels(observed.service, observed.config, {SERVICE_LABEL: label_value(service.metadata.name)}),
    }
    if dedicated:
        metadata["ownerReferences"] = owner_references(service)
    headroom = service.spec.storage.pvc_headroom_percent if service.spec.storage is not None else None
    if headroom is not None:
        metadata["annotations"] = {HEADROOM_ANNOTATION: str(headroom)}
    spec: Manifest = {"templateName": name, "templateScope": str(_scope_of(template)), "mode": str(mode)}
    storage_class = _storage_class(service.spec.storage, observed.config)
    if storage_class:
        spec["storageClassName"] = storage_class
    if service.spec.runtime_config_name:
        spec["runtimeConfigName"] = service.spec.runtime_config_name
    if service.spec.image_pull_secrets:
        spec["imagePullSecrets"] = [{"name": secret.name} for secret in service.spec.image_pull_secrets]
    env = cache_env(service, template)
    if env:
        spec["env"] = render_env(env)
    manifest = AIM_TEMPLATE_CACHE.manifest(metadata, spec=spec)
    return Desired(AIM_TEMPLATE_CACHE, manifest, reason="create-cache", shared=not dedicated, once=True)


def cache_env(service: AIMService, template: AnyServiceTemplate) -> tuple[EnvVar, ...]:
    """Return the environment of downloads for a service (SVC-CCH-6)."""
    caching = template.spec.caching if isinstance(template, AIMServiceTemplate) else None
    return merge_env(template.spec.env, caching.env if caching is not None else (), service.spec.env)


def amended_cache(service: AIMService, template: AnyServiceTemplate, cache: AIMTemplateCache) -> Desired | None:
    """Return a failed cache with what the service can add to its environment, such as a token; else None (SVC-CCH-7).

    Only caches created for services are amended. Any service may add a variable; only the service that a cache was
    created for may change one, so that two services never overwrite each other in turn.
    """
    maker, live = cache.metadata.labels.get(SERVICE_LABEL), cache.manifest()
    if not maker or cache.status.status != State.FAILED:
        return None
    if not belongs_to(live, service.metadata.uid, made_by(CONTROLLER)):
        return None
    present = {variable.name for variable in cache.spec.env}
    is_ours = maker == label_value(service.metadata.name)
    offered = [item for item in cache_env(service, template) if is_ours or item.name not in present]
    env = merge_env(cache.spec.env, offered)
    if env == tuple(cache.spec.env):
        return None
    names = ("name", "namespace", "labels", "annotations", "ownerReferences")
    metadata = {name: live["metadata"][name] for name in names if live["metadata"].get(name)}
    manifest = AIM_TEMPLATE_CACHE.manifest(metadata, spec={**live["spec"], "env": render_env(env)})
    return Desired(AIM_TEMPLATE_CACHE, manifest, reason="amend-cache", shared=True)


def is_name_taken(wanted: Key, caches: Sequence[AIMTemplateCache]) -> bool:
    """Return whether the name of a cache is still taken by one that is being deleted."""
    return any(
        Key(cache.metadata.namespace, cache.metadata.name) == wanted and bool(cache.metadata.deletion_timestamp)
        for cache in caches
    )


def cache_component(
    mode: CacheMode, template: TemplateChoice, cache: AIMTemplateCache | None, *, serving: bool, has_volumes: bool
) -> Component:
    """Return the health of the cache, always reported.

    A service that serves, or whose InferenceService has the weights mounted (`has_volumes`), loses nothing by a cache
    that is not Ready: it is Degraded, no worse (SVC-CCH-9).
    """
    if cache is None and not needs_cache(template):
        return Component.ready(_CACHE, Reason.CACHE_NOT_REQUIRED, "The template has no model sources to cache", _MADE)
    if cache is None:
        return _missing(mode, template, has_volumes=has_volumes)
    if is_ready(cache.status.status):
        return Component.ready(_CACHE, Reason.CACHE_READY, "Template cache is ready", _MADE)
    state, reason = {
        State.PROGRESSING: (State.PROGRESSING, Reason.CACHE_NOT_READY),
        State.FAILED: (State.FAILED, Reason.CACHE_FAILED),
    }.get(
        State.of(cache.status.status) if cache.status.status else State.PENDING,
        (State.PROGRESSING, Reason.CACHE_CREATING),
    )
    message = state_message(f"Template cache {cache.metadata.name}", cache.status)
    return Component(_CACHE, State.DEGRADED if has_volumes or serving else state, reason, message, _MADE)


def weights_component(
    component: Component, cache: AIMTemplateCache, weights: LoadedWeights | None, *, is_running: bool
) -> Component:
    """Return the health of a cache, which is of no use without what a custom profile runs (SVC-VOL-4)."""
    if weights is None or component.state is not State.READY or holds_weights(cache, weights):
        return component
    name = cache.metadata.name
    message = f"Template cache {name} does not hold model {weights.source_id}, which customProfile runs, yet"
    if not weights.source_id:
        message = (
            f"It is not clear which of the modelSources of template cache {name} customProfile runs: set modelId of "
            "the template to one of their modelId"
        )
    state = State.DEGRADED if is_running else State.PROGRESSING
    return replace(component, state=state, reason=Reason.CACHE_NOT_READY, message=message)


def _missing(mode: CacheMode, template: TemplateChoice, *, has_volumes: bool) -> Component:
    if not has_volumes:
        when = "is being created" if template.ready else "will be created once the template is ready"
        return Component.waiting(_CACHE, Reason.CACHE_CREATING, f"The template cache {when}", _MADE)
    if mode is CacheMode.SHARED:
        message = "The shared template cache was deleted; running pods keep their volumes while it is created again"
        return Component(_CACHE, State.DEGRADED, Reason.CACHE_LOST, message, _MADE)
    message = "The template cache was deleted; running pods keep their volumes while it is created again"
    return Component(_CACHE, State.DEGRADED, Reason.CACHE_CREATING, message, _MADE)


def _is_usable(service: AIMService, cache: AIMTemplateCache) -> bool:
    """Return whether the service may use the cache: it has the mode, and is owned if dedicated (SVC-CCH-3)."""
    mode = effective_mode(service)
    if cache.spec.mode != mode:
        return False
    uid = service.metadata.uid
    return mode is CacheMode.SHARED or any(owner.uid == uid for owner in cache.metadata.owner_references)


def _template_identity(service: AIMService, template: AnyServiceTemplate | None) -> tuple[str, str]:
    if template is not None:
        return template.metadata.name, _scope_of(template)
    stored = service.status.resolved_template
    return (stored.name, stored.scope) if stored is not None else ("", "")


def _scope_of(template: AnyServiceTemplate) -> Scope:
    return Scope.NAMESPACE if template.metadata.namespace else Scope.CLUSTER


def _storage_class(own: Storage | None, config: ResolvedConfig) -> str:
    """Return the storage class of a new cache, empty for the cluster's default (SVC-CCH-10)."""
    return (own.default_storage_class_name if own is not None else "") or config.storage_class_name


def _rank(status: str) -> int:
    return State.of(status).rank if status else -1
