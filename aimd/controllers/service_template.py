"""The controllers of AIMServiceTemplate and AIMClusterServiceTemplate."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, ClassVar

from aimd.api.core import ApiObject
from aimd.api.model import AIMClusterModel, AIMModel
from aimd.api.service_template import AIMClusterServiceTemplate, AIMServiceTemplate
from aimd.controllers.discovery import DISCOVERY_INFORMERS, DiscoveryRuns, discovery_watches
from aimd.controllers.lending import (
    BY_IMAGE,
    BY_USED_MODEL,
    borrowers,
    image_of,
    lending_changed,
    lent_secrets,
    used_models_of,
)
from aimd.controllers.pipeline import Clock, KindReconciler, utc_now
from aimd.controllers.predicates import gpu_labels_changed, intent_changed
from aimd.controllers.runtime_config import CONFIG_INFORMERS, config_of, config_watches, observe_config
from aimd.planning.gpus import GpuInventory, inventory_of
from aimd.planning.kinds import (
    AIM_CLUSTER_MODEL,
    AIM_CLUSTER_SERVICE_TEMPLATE,
    AIM_MODEL,
    AIM_SERVICE,
    AIM_SERVICE_TEMPLATE,
    AIM_TEMPLATE_CACHE,
)
from aimd.planning.plan import Plan
from aimd.planning.service_template.plan import Model, ObservedTemplate, plan_service_template
from aimd.runtime.client import Client
from aimd.runtime.controller import Watch
from aimd.runtime.handlers import Handler, for_object, for_owner
from aimd.runtime.informer import Informer
from aimd.runtime.kinds import NODE
from aimd.runtime.objects import Key, Kind, Manifest, Request, Result, key_of, labels_of
from aimd.runtime.store import Cache

BY_CONFIG = "service-template/runtime-config"
BY_MODEL = "service-template/model"
BY_GPU_NEED = "service-template/gpu"
_NEEDS_GPU = "gpu"


class _TemplateReconciler(KindReconciler[ApiObject, ObservedTemplate]):
    """What both scopes share."""

    models: ClassVar[tuple[Kind, ...]]

    def __init__(
        self,
        client: Client,
        cache: Cache,
        kind: Kind,
        model: type[ApiObject],
        runs: DiscoveryRuns,
        clock: Clock = utc_now,
    ) -> None:
        super().__init__(client, cache, kind, model, clock)
        self._runs = runs

    @property
    def informers(self) -> Sequence[Informer]:
        indexes = {BY_CONFIG: config_of, BY_MODEL: _model_of, BY_GPU_NEED: _gpu_need_of}
        models = (Informer(kind, indexes={BY_IMAGE: image_of}) for kind in self.models)
        services = Informer(AIM_SERVICE, indexes={BY_USED_MODEL: used_models_of})
        others = (Informer(AIM_TEMPLATE_CACHE), Informer(NODE, optional=True))
        return (
            Informer(self.kind, indexes=indexes),
            *models,
            services,
            *others,
            *DISCOVERY_INFORMERS,
            *CONFIG_INFORMERS,
        )

    @property
    def watches(self) -> Sequence[Watch]:
        return (
            Watch(self.kind, for_object, intent_changed),
            *(Watch(kind, _templates_of_model(self.kind)) for kind in self.models),
            Watch(AIM_SERVICE, self._templates_lent_to, lending_changed),
            Watch(NODE, _templates_with_gpu(self.kind), gpu_labels_changed),
            Watch(AIM_TEMPLATE_CACHE, for_owner(self.kind), intent_changed),
            *discovery_watches(self.kind, self._runs),
            *config_watches(self.kind, BY_CONFIG),
        )

    def plan(self, observed: ObservedTemplate, now: datetime) -> Plan:
        return plan_service_template(observed, now)

    async def reconcile(self, request: Request) -> Result:
        """A place for a discovery Job that was promised is taken by now, or free again."""
        try:
            return await super().reconcile(request)
        finally:
            self._runs.settle(self.kind, request.key)

    async def observe(self, obj: ApiObject) -> ObservedTemplate:
        """From the cache; live only what discovery pods printed, and why they don't start."""
        assert isinstance(obj, AIMServiceTemplate | AIMClusterServiceTemplate)
        namespace = obj.metadata.namespace
        model = self._model(namespace, obj.spec.model_name)
        observed = ObservedTemplate(
            template=obj,
            config=observe_config(self.cache, obj.spec.runtime_config_name, namespace),
            system_namespace=self._runs.system_namespace,
            model=model,
            lent=lent_secrets(self.cache, namespace, obj.spec.model_name, model.spec.image) if model else (),
            inventory=self._inventory(),
            cache=next(iter(self.cache[AIM_TEMPLATE_CACHE].by_index("owner", obj.metadata.uid)), None),
        )
        return replace(observed, run=await self._runs.observe(observed, self.clock()))

    def _templates_lent_to(self, service: Manifest, cache: Cache) -> Iterable[Key]:
        """The namespace's templates whose discovery may need the pull secrets of a service."""
        namespace = key_of(service).namespace
        models = {key.name for key in borrowers(service, cache, *self.models)} if self.kind.namespaced else ()
        found = (template for model in models for template in cache[self.kind].by_index(BY_MODEL, model))
        return (key for template in found if (key := key_of(template)).namespace == namespace)

    def _model(self, namespace: str, name: str) -> Model | None:
        """The model of the template's scope; for a namespaced template a cluster model will do as well (TPL-MDL-1)."""
        found = self.cache[AIM_MODEL].get(Key(namespace, name)) if namespace else None
        if found is not None:
            return self.cache.parse(AIMModel, found)
        found = self.cache[AIM_CLUSTER_MODEL].get(Key("", name))
        return self.cache.parse(AIMClusterModel, found) if found is not None else None

    def _inventory(self) -> GpuInventory | None:
        nodes = self.cache[NODE]
        if not (nodes.available and nodes.synced):
            return None
        return inventory_of(labels_of(node) for node in nodes.list())


class ServiceTemplateReconciler(_TemplateReconciler):
    """Reconciles AIMServiceTemplates."""

    name = "service-template"
    models = (AIM_MODEL, AIM_CLUSTER_MODEL)

    def __init__(self, client: Client, cache: Cache, runs: DiscoveryRuns, clock: Clock = utc_now) -> None:
        super().__init__(client, cache, AIM_SERVICE_TEMPLATE, AIMServiceTemplate, runs, clock)


class ClusterServiceTemplateReconciler(_TemplateReconciler):
    """Reconciles AIMClusterServiceTemplates."""

    name = "cluster-service-template"
    models = (AIM_CLUSTER_MODEL,)

    def __init__(self, client: Client, cache: Cache, runs: DiscoveryRuns, clock: Clock = utc_now) -> None:
        super().__init__(client, cache, AIM_CLUSTER_SERVICE_TEMPLATE, AIMClusterServiceTemplate, runs, clock)


def _model_of(template: Manifest) -> Iterable[str]:
    return (str((template.get("spec") or {}).get("modelName") or ""),)


def _gpu_need_of(template: Manifest) -> Iterable[str]:
    places: tuple[dict[str, Any], ...] = (
        (template.get("spec") or {}).get("hardware") or {},
        (template.get("status") or {}).get("resolvedHardware") or {},
    )
    return (_NEEDS_GPU,) if any(place.get("gpu") for place in places) else ()


def _templates_of_model(kind: Kind) -> Handler:
    def templates(manifest: Manifest, cache: Cache) -> Iterable[Key]:
        model = key_of(manifest)
        found = (key_of(template) for template in cache[kind].by_index(BY_MODEL, model.name))
        return (key for key in found if model.namespace in ("", key.namespace))

    return templates


def _templates_with_gpu(kind: Kind) -> Handler:
    def templates(manifest: Manifest, cache: Cache) -> Iterable[Key]:
        return (key_of(template) for template in cache[kind].by_index(BY_GPU_NEED, _NEEDS_GPU))

    return templates
