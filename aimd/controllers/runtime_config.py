"""Runtime configs: how consumers read and watch them, and the controllers of the two kinds themselves.

A config takes effect by being read; its own controllers only tell what is wrong with it.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TypeAlias

from aimd.api.core import ApiObject
from aimd.api.runtime_config import AIMClusterRuntimeConfig, AIMRuntimeConfig
from aimd.controllers.pipeline import Clock, KindReconciler, utc_now
from aimd.controllers.predicates import intent_changed
from aimd.planning.kinds import AIM_CLUSTER_RUNTIME_CONFIG, AIM_RUNTIME_CONFIG
from aimd.planning.plan import Plan
from aimd.planning.runtime_config import ResolvedConfig, config_name, plan_runtime_config, resolve_config
from aimd.runtime.client import Client
from aimd.runtime.controller import Watch
from aimd.runtime.handlers import Handler, for_object
from aimd.runtime.informer import Informer
from aimd.runtime.objects import Key, Kind, Manifest, key_of
from aimd.runtime.predicates import generation_changed
from aimd.runtime.store import Cache

CONFIG_INFORMERS = (Informer(AIM_RUNTIME_CONFIG), Informer(AIM_CLUSTER_RUNTIME_CONFIG))
RuntimeConfig: TypeAlias = AIMRuntimeConfig | AIMClusterRuntimeConfig


def observe_config(cache: Cache, name: str, namespace: str) -> ResolvedConfig:
    """The config in force for an object that names `name`; `namespace` is empty for cluster-scoped objects."""
    name = config_name(name)
    namespaced = cache[AIM_RUNTIME_CONFIG].get(Key(namespace, name)) if namespace else None
    cluster = cache[AIM_CLUSTER_RUNTIME_CONFIG].get(Key("", name))
    return resolve_config(
        name,
        cache.parse(AIMRuntimeConfig, namespaced) if namespaced is not None else None,
        cache.parse(AIMClusterRuntimeConfig, cluster) if cluster is not None else None,
        namespace=namespace,
    )


def config_of(manifest: Manifest) -> Iterable[str]:
    """Index function: the config an object means."""
    return (config_name(str((manifest.get("spec") or {}).get("runtimeConfigName") or "")),)


def config_watches(kind: Kind, index: str) -> tuple[Watch, ...]:
    """Wakes objects of `kind`, indexed by `config_of` under `index`, when their config changes or appears."""

    def users(manifest: Manifest, cache: Cache) -> Iterable[Key]:
        config = key_of(manifest)
        found = (key_of(user) for user in cache[kind].by_index(index, config.name))
        return (key for key in found if not config.namespace or key.namespace == config.namespace)

    mapper: Handler = users
    return tuple(Watch(source.kind, mapper, generation_changed) for source in CONFIG_INFORMERS)


class _ConfigReconciler(KindReconciler[ApiObject, RuntimeConfig]):
    has_status_word = False

    @property
    def informers(self) -> Sequence[Informer]:
        return (Informer(self.kind),)

    @property
    def watches(self) -> Sequence[Watch]:
        return (Watch(self.kind, for_object, intent_changed),)

    async def observe(self, obj: ApiObject) -> RuntimeConfig:
        assert isinstance(obj, AIMRuntimeConfig | AIMClusterRuntimeConfig)
        return obj

    def plan(self, observed: RuntimeConfig, now: datetime) -> Plan:
        return plan_runtime_config(observed)


class RuntimeConfigReconciler(_ConfigReconciler):
    """Reconciles AIMRuntimeConfigs."""

    name = "runtime-config"

    def __init__(self, client: Client, cache: Cache, clock: Clock = utc_now) -> None:
        super().__init__(client, cache, AIM_RUNTIME_CONFIG, AIMRuntimeConfig, clock)


class ClusterRuntimeConfigReconciler(_ConfigReconciler):
    """Reconciles AIMClusterRuntimeConfigs."""

    name = "cluster-runtime-config"

    def __init__(self, client: Client, cache: Cache, clock: Clock = utc_now) -> None:
        super().__init__(client, cache, AIM_CLUSTER_RUNTIME_CONFIG, AIMClusterRuntimeConfig, clock)
