"""The controllers of AIMModel and AIMClusterModel (spec/models-and-templates.md §3)."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import ClassVar

from aimd.api.core import ApiObject
from aimd.api.model import AIMClusterModel, AIMModel
from aimd.api.service_template import AIMClusterServiceTemplate, AIMServiceTemplate
from aimd.controllers.changes import intent_changed
from aimd.controllers.pipeline import Clock, KindReconciler, utc_now
from aimd.controllers.runtime_config import CONFIG_SOURCES, config_of, config_watches, observe_config
from aimd.planning.kinds import CLUSTER_MODEL, CLUSTER_SERVICE_TEMPLATE, MODEL, SERVICE_TEMPLATE
from aimd.planning.model import ObservedModel, Template, plan_model
from aimd.planning.plan import Plan
from aimd.runtime.client import Client
from aimd.runtime.controller import Source, Watch, itself
from aimd.runtime.model import Key, Kind, Manifest, key_of
from aimd.runtime.store import Cache

BY_CONFIG = "model/runtime-config"
BY_MODEL = "model/model"


class _ModelReconciler(KindReconciler[ApiObject, ObservedModel]):
    """What both scopes share."""

    templates: ClassVar[Kind]

    @property
    def sources(self) -> Sequence[Source]:
        return (
            Source(self.kind, indexes={BY_CONFIG: config_of}),
            Source(self.templates, indexes={BY_MODEL: _model_of}),
            *CONFIG_SOURCES,
        )

    @property
    def watches(self) -> Sequence[Watch]:
        return (
            Watch(self.kind, itself, intent_changed),
            Watch(self.templates, _model_of_template),
            *config_watches(self.kind, BY_CONFIG),
        )

    def plan(self, observed: ObservedModel, now: datetime) -> Plan:
        return plan_model(observed, now)

    async def observe(self, obj: ApiObject) -> ObservedModel:
        """All from the cache."""
        assert isinstance(obj, AIMModel | AIMClusterModel)
        namespace = obj.metadata.namespace
        found = self.cache[self.templates].by_index(BY_MODEL, obj.metadata.name)
        own = [template for template in found if key_of(template).namespace == namespace]
        return ObservedModel(
            model=obj,
            config=observe_config(self.cache, obj.spec.runtime_config_name, namespace),
            templates=[self._parse(template) for template in own],
        )

    def _parse(self, manifest: Manifest) -> Template:
        if self.templates.namespaced:
            return self.cache.parse(AIMServiceTemplate, manifest)
        return self.cache.parse(AIMClusterServiceTemplate, manifest)


class ModelReconciler(_ModelReconciler):
    """Reconciles AIMModels."""

    name = "model"
    templates = SERVICE_TEMPLATE

    def __init__(self, client: Client, cache: Cache, clock: Clock = utc_now) -> None:
        super().__init__(client, cache, MODEL, AIMModel, clock)


class ClusterModelReconciler(_ModelReconciler):
    """Reconciles AIMClusterModels."""

    name = "cluster-model"
    templates = CLUSTER_SERVICE_TEMPLATE

    def __init__(self, client: Client, cache: Cache, clock: Clock = utc_now) -> None:
        super().__init__(client, cache, CLUSTER_MODEL, AIMClusterModel, clock)


def _model_of(template: Manifest) -> Iterable[str]:
    return (str((template.get("spec") or {}).get("modelName") or ""),)


def _model_of_template(template: Manifest, cache: Cache) -> Iterable[Key]:
    namespace = key_of(template).namespace
    return (Key(namespace, name) for name in _model_of(template) if name)
