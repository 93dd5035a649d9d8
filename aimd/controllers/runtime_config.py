"""Runtime configs: how other controllers read them, and the controllers of the two kinds themselves.

A config takes effect by being read; its own controllers only report what is wrong with it.
"""

from aimd.api.runtime_config import AnyRuntimeConfig
from aimd.controllers.pipeline import Definition
from aimd.controllers.reader import Reader
from aimd.planning.kinds import AIM_CLUSTER_RUNTIME_CONFIG, AIM_RUNTIME_CONFIG
from aimd.planning.needs import Reads
from aimd.planning.runtime_config import DEFAULT_NAME, ResolvedConfig, config_name, plan_runtime_config, resolve_config
from aimd.planning.unreadable import Unreadable
from aimd.runtime.informer import Informer
from aimd.runtime.objects import Key, Kind, Manifest

CONFIG_INFORMERS = (Informer(AIM_RUNTIME_CONFIG), Informer(AIM_CLUSTER_RUNTIME_CONFIG))


def observe_config(reader: Reader, name: str, namespace: str) -> ResolvedConfig:
    """Return the config in effect for an object that names `name`; `namespace` is empty for cluster-scoped objects."""
    name = config_name(name)
    namespaced = reader.get(AIM_RUNTIME_CONFIG, Key(namespace, name)) if namespace else None
    cluster = reader.get(AIM_CLUSTER_RUNTIME_CONFIG, Key("", name))
    governing = reader.get(AIM_CLUSTER_RUNTIME_CONFIG, Key("", DEFAULT_NAME)) if namespace else None
    broken = next((item for item in (namespaced, cluster, governing) if isinstance(item, Unreadable)), None)
    if broken is not None:
        return resolve_config(name, None, None, namespace=namespace, unreadable=broken)
    return resolve_config(name, namespaced, cluster, namespace=namespace, governing=governing)


def runtime_config_controllers() -> tuple[Definition[AnyRuntimeConfig, AnyRuntimeConfig], ...]:
    """Return the controllers of AIMRuntimeConfig and AIMClusterRuntimeConfig."""
    return (
        _controller("runtime-config", AIM_RUNTIME_CONFIG),
        _controller("cluster-runtime-config", AIM_CLUSTER_RUNTIME_CONFIG),
    )


def _controller(name: str, kind: Kind) -> Definition[AnyRuntimeConfig, AnyRuntimeConfig]:
    return Definition(
        name=name,
        kind=kind,
        observe=_observe,
        plan=lambda config, _now: plan_runtime_config(config),
        informers=(Informer(kind),),
        status_word=None,
    )


def _observe(config: AnyRuntimeConfig, _live: Manifest, _reader: Reader, _reads: Reads) -> AnyRuntimeConfig:
    return config
