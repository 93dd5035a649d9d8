"""The controllers of AIMModel and AIMClusterModel."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import ClassVar

from aimd.api.core import ApiObject
from aimd.api.model import AIMClusterModel, AIMModel
from aimd.api.service_template import AIMClusterServiceTemplate, AIMServiceTemplate
from aimd.controllers.inspection import ImageInspections
from aimd.controllers.lending import (
    BY_IMAGE,
    BY_USED_MODEL,
    borrowers,
    image_of,
    lending_changed,
    lent_secrets,
    pull_secrets_of,
    used_models_of,
)
from aimd.controllers.pipeline import Clock, KindReconciler, utc_now
from aimd.controllers.predicates import intent_changed
from aimd.controllers.runtime_config import CONFIG_INFORMERS, config_of, config_watches, observe_config
from aimd.planning.kinds import (
    AIM_CLUSTER_MODEL,
    AIM_CLUSTER_SERVICE_TEMPLATE,
    AIM_MODEL,
    AIM_SERVICE,
    AIM_SERVICE_TEMPLATE,
)
from aimd.planning.model.observed import Inspection, Model, ObservedModel, Template, wants_inspection
from aimd.planning.model.plan import plan_model
from aimd.planning.model.templates import plan_templates, template_names
from aimd.planning.plan import Plan
from aimd.planning.runtime_config import ResolvedConfig
from aimd.runtime.client import Client
from aimd.runtime.controller import Watch
from aimd.runtime.difference import owned_fields
from aimd.runtime.handlers import for_object
from aimd.runtime.informer import Informer
from aimd.runtime.objects import Key, Kind, Manifest, Request, Result, key_of
from aimd.runtime.store import Cache

BY_CONFIG = "model/runtime-config"
BY_MODEL = "model/model"
BY_TEMPLATE = "model/used-template"


class _ModelReconciler(KindReconciler[ApiObject, ObservedModel]):
    """What both scopes share."""

    templates: ClassVar[Kind]

    def __init__(
        self,
        client: Client,
        cache: Cache,
        kind: Kind,
        model: type[ApiObject],
        inspections: ImageInspections,
        clock: Clock = utc_now,
    ) -> None:
        super().__init__(client, cache, kind, model, clock)
        self._inspections = inspections

    @property
    def informers(self) -> Sequence[Informer]:
        return (
            Informer(self.kind, indexes={BY_CONFIG: config_of, BY_IMAGE: image_of}),
            Informer(self.templates, indexes={BY_MODEL: _model_of}),
            Informer(AIM_SERVICE, indexes={BY_TEMPLATE: _templates_of_service, BY_USED_MODEL: used_models_of}),
            *CONFIG_INFORMERS,
        )

    @property
    def watches(self) -> Sequence[Watch]:
        return (
            Watch(self.kind, for_object, intent_changed),
            Watch(self.templates, _model_of_template),
            Watch(AIM_SERVICE, self._models_of_service, _templates_changed),
            Watch(AIM_SERVICE, self._models_lent_to, lending_changed),
            *config_watches(self.kind, BY_CONFIG),
        )

    def plan(self, observed: ObservedModel, now: datetime) -> Plan:
        return plan_model(observed, now)

    async def reconcile(self, request: Request) -> Result:
        """What the registry said about a model that is gone need not be remembered."""
        if self.cache[self.kind].get(request.key) is None:
            self._inspections.forget(request.key)
        return await super().reconcile(request)

    async def observe(self, obj: ApiObject) -> ObservedModel:
        """From the cache; live only what the registry says about an image that is not known yet."""
        assert isinstance(obj, AIMModel | AIMClusterModel)
        config = observe_config(self.cache, obj.spec.runtime_config_name, obj.metadata.namespace)
        observed = ObservedModel(
            model=obj,
            config=config,
            templates=[self._parse(template) for template in self._naming(obj)],
            inspection=await self._inspect(obj, config),
        )
        manifests = self._manifests(observed)
        observed = replace(
            observed,
            manifests=manifests,
            applied=frozenset(name for name, live in manifests.items() if owned_fields(live, self.field_manager)),
            used=frozenset(name for name in manifests if self._is_used(obj.metadata.namespace, name)),
        )
        if plan_templates(observed).deletions:
            # The cache may lag behind a service that has just been made: before templates go, the server is asked.
            services = await self.client.list(AIM_SERVICE, namespace=obj.metadata.namespace)
            used = {name for service in services for name in _templates_of_service(service)}
            observed = replace(observed, used=observed.used | used)
        return observed

    def _manifests(self, observed: ObservedModel) -> dict[str, Manifest]:
        store, metadata = self.cache[self.templates], observed.model.metadata
        wanted = (store.get(Key(metadata.namespace, name)) for name in template_names(observed))
        found = [*self._naming(observed.model), *store.by_index("owner", metadata.uid), *wanted]
        return {key_of(template).name: template for template in found if template is not None}

    async def _inspect(self, model: Model, config: ResolvedConfig) -> Inspection | None:
        if config.failure is not None or not wants_inspection(model, config):
            return None
        return await self._inspections.inspect(model, self._lent(model))

    def _lent(self, model: Model) -> tuple[str, ...]:
        """Pull secrets of the templates and services of a namespace's model, which the model itself need not name."""
        namespace = model.metadata.namespace
        if not namespace:
            return ()
        of_templates = (secret for template in self._naming(model) for secret in pull_secrets_of(template))
        of_services = lent_secrets(self.cache, namespace, model.metadata.name, model.spec.image)
        return tuple(sorted({*of_templates, *of_services}))

    def _naming(self, model: Model) -> list[Manifest]:
        """Templates of the model's scope that name it."""
        found = self.cache[self.templates].by_index(BY_MODEL, model.metadata.name)
        return [template for template in found if key_of(template).namespace == model.metadata.namespace]

    def _is_used(self, namespace: str, template: str) -> bool:
        users = self.cache[AIM_SERVICE].by_index(BY_TEMPLATE, template)
        return any(not namespace or key_of(user).namespace == namespace for user in users)

    def _models_of_service(self, service: Manifest, cache: Cache) -> Iterable[Key]:
        """The models whose templates the service uses, or used: an outdated one may go now."""
        namespace = key_of(service).namespace if self.kind.namespaced else ""
        for name in _templates_of_service(service):
            template = cache[self.templates].get(Key(namespace, name))
            if template is not None:
                yield from _model_of_template(template, cache)

    def _models_lent_to(self, service: Manifest, cache: Cache) -> Iterable[Key]:
        """The namespace's models that a service uses, and may lend its pull secrets to."""
        return borrowers(service, cache, self.kind) if self.kind.namespaced else ()

    def _parse(self, manifest: Manifest) -> Template:
        if self.templates.namespaced:
            return self.cache.parse(AIMServiceTemplate, manifest)
        return self.cache.parse(AIMClusterServiceTemplate, manifest)


class ModelReconciler(_ModelReconciler):
    """Reconciles AIMModels."""

    name = "model"
    templates = AIM_SERVICE_TEMPLATE

    def __init__(self, client: Client, cache: Cache, inspections: ImageInspections, clock: Clock = utc_now) -> None:
        super().__init__(client, cache, AIM_MODEL, AIMModel, inspections, clock)


class ClusterModelReconciler(_ModelReconciler):
    """Reconciles AIMClusterModels."""

    name = "cluster-model"
    templates = AIM_CLUSTER_SERVICE_TEMPLATE

    def __init__(self, client: Client, cache: Cache, inspections: ImageInspections, clock: Clock = utc_now) -> None:
        super().__init__(client, cache, AIM_CLUSTER_MODEL, AIMClusterModel, inspections, clock)


def _model_of(template: Manifest) -> Iterable[str]:
    return (str((template.get("spec") or {}).get("modelName") or ""),)


def _model_of_template(template: Manifest, cache: Cache) -> Iterable[Key]:
    namespace = key_of(template).namespace
    return (Key(namespace, name) for name in _model_of(template) if name)


def _templates_of_service(service: Manifest) -> Iterable[str]:
    named = ((service.get("spec") or {}).get("template") or {}).get("name")
    resolved = ((service.get("status") or {}).get("resolvedTemplate") or {}).get("name")
    return dict.fromkeys(str(name).strip() for name in (named, resolved) if name)


def _templates_changed(before: Manifest | None, after: Manifest | None) -> bool:
    if before is None or after is None:
        return True
    return list(_templates_of_service(before)) != list(_templates_of_service(after))
