"""Which keys of which controllers a change wakes: exactly those, no other. The cache is the real one, filled by hand.

One world for all rows: namespaces `a` and `b`, objects that name the config `team` and objects that name none, models
and templates of both scopes, services that have chosen and one that is choosing.
"""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, cast

import pytest

from aimd.api.kinds import RESOURCES
from aimd.controllers.all import build_reconcilers
from aimd.controllers.pipeline import KindReconciler
from aimd.planning.kinds import (
    AIM_ARTIFACT,
    AIM_CLUSTER_MODEL,
    AIM_CLUSTER_MODEL_SOURCE,
    AIM_CLUSTER_RUNTIME_CONFIG,
    AIM_CLUSTER_SERVICE_TEMPLATE,
    AIM_MODEL,
    AIM_RUNTIME_CONFIG,
    AIM_SERVICE,
    AIM_SERVICE_TEMPLATE,
    AIM_TEMPLATE_CACHE,
)
from aimd.planning.settings import ControllerSettings
from aimd.registry.client import RegistryClient
from aimd.runtime.client import Client
from aimd.runtime.controller import Controller
from aimd.runtime.kinds import NODE, SECRET
from aimd.runtime.metrics import ManagerMetrics
from aimd.runtime.objects import Key, Kind, Manifest
from aimd.runtime.store import Cache, Store
from aimd.runtime.workqueue import WorkQueue
from tests.guides import ADD_A_KIND

_versions = iter(range(1, 1_000_000))

GPU = {"gpu": {"requests": 1, "model": "MI300X"}}
CPU = {"cpu": {"requests": "4"}}
TEAM = {"runtimeConfigName": "team"}


def thing(kind: Kind, where: str, /, labels: Mapping[str, str] | None = None, **fields: Any) -> tuple[Kind, Manifest]:
    """An object; `where` is `namespace/name`, or the name of a cluster-scoped one."""
    namespace, _, name = where.rpartition("/")
    metadata = {"name": name, "namespace": namespace, "uid": f"{kind.name}/{where}", "generation": 1}
    metadata["labels"] = dict(labels or {})
    return kind, {"apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata, **fields}


def template(kind: Kind, where: str, model: str, **spec: Any) -> tuple[Kind, Manifest]:
    return thing(kind, where, spec={"modelName": model, **spec})


WORLD: tuple[tuple[Kind, Manifest], ...] = (
    thing(AIM_RUNTIME_CONFIG, "a/team", spec={"env": []}),
    thing(AIM_CLUSTER_RUNTIME_CONFIG, "team", spec={}),
    thing(AIM_CLUSTER_RUNTIME_CONFIG, "default", spec={}),
    thing(AIM_MODEL, "a/plain", spec={"image": "plain:1"}),
    thing(AIM_MODEL, "a/teamed", spec={"image": "teamed:1", **TEAM}),
    thing(AIM_MODEL, "b/teamed", spec={"image": "teamed:1", **TEAM}),
    thing(AIM_CLUSTER_MODEL, "shared", spec={"image": "shared:1"}),
    thing(AIM_CLUSTER_MODEL, "teamed-shared", spec={"image": "teamed-shared:1", **TEAM}),
    thing(AIM_CLUSTER_MODEL_SOURCE, "hub", spec={"filters": [{"image": "org/*"}]}),
    template(AIM_SERVICE_TEMPLATE, "a/gpu", "plain", hardware=GPU),
    template(AIM_SERVICE_TEMPLATE, "a/cpu", "teamed", hardware=CPU, **TEAM),
    (
        AIM_SERVICE_TEMPLATE,
        template(AIM_SERVICE_TEMPLATE, "b/found", "shared")[1] | {"status": {"resolvedHardware": GPU}},
    ),
    template(AIM_CLUSTER_SERVICE_TEMPLATE, "gpu-shared", "shared", hardware=GPU),
    template(AIM_CLUSTER_SERVICE_TEMPLATE, "cpu-shared", "teamed-shared", hardware=CPU, **TEAM),
    thing(AIM_SERVICE, "a/fixed", spec={"model": {"name": "plain"}, "template": {"name": "gpu"}, **TEAM}),
    thing(AIM_SERVICE, "a/choosing", spec={"model": {"image": "teamed:1"}}),
    thing(
        AIM_SERVICE,
        "b/chosen",
        spec={"model": {"name": "shared"}},
        status={"resolvedModel": {"name": "shared"}, "resolvedTemplate": {"name": "gpu-shared"}},
    ),
    thing(AIM_TEMPLATE_CACHE, "a/cache", spec={"templateName": "gpu", "templateScope": "Namespace", **TEAM}),
    thing(AIM_TEMPLATE_CACHE, "b/cache", spec={"templateName": "gpu-shared", "templateScope": "Cluster"}),
    thing(AIM_ARTIFACT, "a/weights", spec={"sourceUri": "hf://o/w", **TEAM}),
    thing(AIM_ARTIFACT, "b/weights", spec={"sourceUri": "hf://o/w"}),
    thing(NODE, "gpu-node", labels={"amd.com/gpu.device-id": "74a1", "zone": "x"}),
    thing(NODE, "cpu-node", labels={"zone": "x"}),
)


class Queue:
    """Instead of a controller's queue: remembers who was woken."""

    def __init__(self) -> None:
        self.keys: set[str] = set()

    def add(self, key: Key, **_: Any) -> None:
        self.keys.add(str(key))


class Controllers:
    """All controllers on one cache; nothing runs."""

    def __init__(self) -> None:
        self.cache = Cache()
        nowhere = cast(Client, None)
        settings = ControllerSettings(system_namespace="aim-system")
        self.reconcilers: list[KindReconciler[Any, Any]] = build_reconcilers(
            nowhere, self.cache, settings, cast(RegistryClient, None)
        )
        for source in (source for reconciler in self.reconcilers for source in reconciler.informers):
            if source.kind not in self.cache:
                self.cache.add(Store(source.kind, {})).synced = True
            for name, function in source.indexes.items():
                self.cache[source.kind].add_index(name, function)
        metrics = ManagerMetrics("wakes")
        self.queues: dict[str, Queue] = {}
        for reconciler in self.reconcilers:
            controller = Controller(reconciler, self.cache, metrics)
            queue = self.queues[reconciler.name] = Queue()
            controller.queue = cast(WorkQueue[Key], queue)
            controller.subscribe()
        for kind, manifest in WORLD:
            self.put(kind, manifest)
        self.woken()

    def put(self, kind: Kind, manifest: Manifest) -> None:
        metadata = {**manifest["metadata"], "resourceVersion": str(next(_versions))}
        self.cache[kind].upsert({**manifest, "metadata": metadata})

    def change(self, kind: Kind, where: str, change: Mapping[str, Any]) -> None:
        """Replaces parts of an object; a new spec is a new generation, as on the server."""
        namespace, _, name = where.rpartition("/")
        live = self.cache[kind].get(Key(namespace, name))
        assert live is not None
        changed = deepcopy(dict(live))
        for part, value in change.items():
            if part in ("labels", "annotations"):
                changed["metadata"][part] = value
            else:
                changed[part] = value
                changed["metadata"]["generation"] += part == "spec"
        self.put(kind, changed)

    def remove(self, kind: Kind, where: str) -> None:
        namespace, _, name = where.rpartition("/")
        live = self.cache[kind].get(Key(namespace, name))
        assert live is not None
        metadata = {**live["metadata"], "resourceVersion": str(next(_versions))}
        self.cache[kind].remove({**live, "metadata": metadata})

    def woken(self) -> dict[str, set[str]]:
        """Who was woken since the last time, by controller."""
        found = {name: queue.keys for name, queue in self.queues.items() if queue.keys}
        for queue in self.queues.values():
            queue.keys = set()
        return found


TEAM_OF_A = {
    "model": {"a/teamed"},
    "service-template": {"a/cpu"},
    "service": {"a/fixed"},
    "template-cache": {"a/cache"},
    "artifact": {"a/weights"},
}
TEAM_OF_ALL = TEAM_OF_A | {
    "model": {"a/teamed", "b/teamed"},
    "cluster-model": {"teamed-shared"},
    "cluster-service-template": {"cpu-shared"},
}
NAMELESS_OF_B = {
    "service-template": {"b/found"},
    "service": {"b/chosen"},
    "template-cache": {"b/cache"},
    "artifact": {"b/weights"},
}
# A source reads the default config when it imports; models that are there already stay as they are (append-only).
NAMELESS = {
    "model": {"a/plain"},
    "cluster-model": {"shared"},
    "service-template": {"a/gpu", "b/found"},
    "cluster-service-template": {"gpu-shared"},
    "service": {"a/choosing", "b/chosen"},
    "template-cache": {"b/cache"},
    "artifact": {"b/weights"},
}
GPU_USERS = {
    "service-template": {"a/gpu", "b/found"},
    "cluster-service-template": {"gpu-shared"},
    "service": {"a/choosing"},
}
ROUTED = {"spec": {"routing": {"enabled": True}}}
WRITTEN = {"status": {"observedGeneration": 1}}
READY = {"status": {"status": "Ready"}}

CHANGES = [
    pytest.param(AIM_RUNTIME_CONFIG, "a/team", ROUTED, {"runtime-config": {"a/team"}, **TEAM_OF_A}, id="config"),
    pytest.param(AIM_RUNTIME_CONFIG, "a/team", WRITTEN, {}, id="config: status"),
    pytest.param(
        AIM_RUNTIME_CONFIG, "a/team", {"labels": {"x": "y"}}, {"runtime-config": {"a/team"}}, id="config: labels"
    ),
    pytest.param(
        AIM_CLUSTER_RUNTIME_CONFIG,
        "team",
        ROUTED,
        {"cluster-runtime-config": {"team"}, **TEAM_OF_ALL},
        id="cluster config",
    ),
    pytest.param(AIM_CLUSTER_RUNTIME_CONFIG, "team", WRITTEN, {}, id="cluster config: status"),
    pytest.param(
        AIM_CLUSTER_RUNTIME_CONFIG,
        "default",
        ROUTED,
        {"cluster-runtime-config": {"default"}, **NAMELESS, "service": {"a/choosing", "a/fixed", "b/chosen"}},
        id="default config",
    ),
    pytest.param(
        NODE, "gpu-node", {"labels": {"amd.com/gpu.device-id": "75a3", "zone": "x"}}, GPU_USERS, id="GPU label"
    ),
    pytest.param(NODE, "cpu-node", {"labels": {"amd.com/gpu.device-id": "75a3"}}, GPU_USERS, id="a first GPU label"),
    pytest.param(NODE, "gpu-node", {"labels": {"amd.com/gpu.device-id": "74a1", "zone": "y"}}, {}, id="another label"),
    pytest.param(NODE, "gpu-node", {"status": {"conditions": [{"type": "Ready"}]}}, {}, id="a node's heartbeat"),
    pytest.param(
        AIM_MODEL,
        "a/teamed",
        {"spec": {"image": "teamed:1", "env": [], **TEAM}},
        {"model": {"a/teamed"}, "service-template": {"a/cpu"}, "service": {"a/choosing"}},
        id="model",
    ),
    pytest.param(
        AIM_MODEL, "a/plain", READY, {"service-template": {"a/gpu"}, "service": {"a/fixed"}}, id="model: status"
    ),
    pytest.param(
        AIM_MODEL,
        "b/teamed",
        {"labels": {"x": "y"}},
        {"model": {"b/teamed"}},
        id="model: labels",
    ),
    pytest.param(
        AIM_CLUSTER_MODEL,
        "shared",
        READY,
        {"service-template": {"b/found"}, "cluster-service-template": {"gpu-shared"}, "service": {"b/chosen"}},
        id="cluster model: status",
    ),
    pytest.param(
        AIM_CLUSTER_MODEL,
        "shared",
        {"spec": {"image": "teamed:1"}},
        {
            "cluster-model": {"shared"},
            "service-template": {"b/found"},
            "cluster-service-template": {"gpu-shared"},
            "service": {"a/choosing", "b/chosen"},
        },
        id="cluster model: another image",
    ),
    pytest.param(
        AIM_SERVICE_TEMPLATE,
        "a/gpu",
        READY,
        {"model": {"a/plain"}, "service": {"a/fixed"}, "template-cache": {"a/cache"}},
        id="template: status",
    ),
    pytest.param(
        AIM_SERVICE_TEMPLATE,
        "a/cpu",
        READY,
        {"model": {"a/teamed"}, "service": {"a/choosing"}},
        id="template that a service may choose: status",
    ),
    pytest.param(
        AIM_CLUSTER_SERVICE_TEMPLATE,
        "gpu-shared",
        {"spec": {"modelName": "shared", "hardware": GPU, "env": []}},
        {
            "cluster-service-template": {"gpu-shared"},
            "cluster-model": {"shared"},
            "service": {"b/chosen"},
            "template-cache": {"b/cache"},
        },
        id="cluster template",
    ),
    pytest.param(
        AIM_SERVICE,
        "a/fixed",
        {
            "spec": {
                "model": {"name": "plain"},
                "template": {"name": "gpu"},
                "imagePullSecrets": [{"name": "s"}],
                **TEAM,
            }
        },
        {"service": {"a/fixed"}, "model": {"a/plain"}, "service-template": {"a/gpu"}},
        id="service: pull secrets for its model and its templates",
    ),
    pytest.param(
        AIM_SERVICE,
        "a/choosing",
        {"spec": {"model": {"image": "teamed:1"}, "imagePullSecrets": [{"name": "s"}]}},
        {"service": {"a/choosing"}, "model": {"a/teamed"}, "service-template": {"a/cpu"}},
        id="service: pull secrets for the models of its image",
    ),
    pytest.param(
        AIM_SERVICE,
        "b/chosen",
        {"spec": {"model": {"name": "shared"}, "replicas": 3}},
        {"service": {"b/chosen"}},
        id="service: nothing to lend",
    ),
    pytest.param(AIM_CLUSTER_MODEL_SOURCE, "hub", WRITTEN, {}, id="source: status"),
    pytest.param(AIM_SERVICE, "a/fixed", WRITTEN, {}, id="service: status"),
]


@pytest.fixture
def controllers() -> Controllers:
    return Controllers()


def test_every_kind_has_a_controller(controllers: Controllers) -> None:
    kinds = {resource.kind for resource in RESOURCES}
    reconciled = {reconciler.kind.name for reconciler in controllers.reconcilers}
    assert kinds - reconciled == set(), f"add the controllers of these kinds to build_reconcilers; {ADD_A_KIND}"
    present = {kind.name for kind, _ in WORLD}
    assert kinds - present == set(), f"add objects of these kinds to WORLD, and rows to CHANGES; {ADD_A_KIND}"


@pytest.mark.parametrize(("kind", "where", "change", "expected"), CHANGES)
def test_a_change_wakes_whom_it_concerns(
    controllers: Controllers, kind: Kind, where: str, change: Manifest, expected: dict[str, set[str]]
) -> None:
    controllers.change(kind, where, change)
    assert controllers.woken() == expected


APPEARANCES = [
    pytest.param(
        thing(AIM_RUNTIME_CONFIG, "b/default", spec={}),
        {"runtime-config": {"b/default"}, **NAMELESS_OF_B},
        id="default config",
    ),
    pytest.param(
        thing(AIM_RUNTIME_CONFIG, "b/team", spec={}), {"runtime-config": {"b/team"}, "model": {"b/teamed"}}, id="config"
    ),
    pytest.param(thing(AIM_RUNTIME_CONFIG, "c/team", spec={}), {"runtime-config": {"c/team"}}, id="config for nobody"),
    pytest.param(thing(NODE, "new", labels={"beta.amd.com/gpu.device-id": "75a3"}), GPU_USERS, id="node with GPUs"),
    pytest.param(
        thing(NODE, "new", labels={"feature.node.kubernetes.io/aim-accelerator.MI300X": "8"}),
        GPU_USERS,
        id="node with detected GPUs",
    ),
    pytest.param(thing(NODE, "new", labels={"zone": "x"}), {}, id="node without GPUs"),
    pytest.param(
        thing(AIM_MODEL, "b/shared", spec={"image": "shared:2"}),
        {"model": {"b/shared"}, "service-template": {"b/found"}, "service": {"b/chosen"}},
        id="a model that hides the cluster's",
    ),
    pytest.param(
        template(AIM_SERVICE_TEMPLATE, "a/new", "teamed"),
        {"service-template": {"a/new"}, "model": {"a/teamed"}, "service": {"a/choosing"}},
        id="a template to choose",
    ),
]


@pytest.mark.parametrize(("appearing", "expected"), APPEARANCES)
def test_what_appears_and_goes_wakes_whom_it_concerns(
    controllers: Controllers, appearing: tuple[Kind, Manifest], expected: dict[str, set[str]]
) -> None:
    kind, manifest = appearing
    controllers.put(kind, manifest)
    assert controllers.woken() == expected
    metadata = manifest["metadata"]
    controllers.remove(
        kind, f"{metadata['namespace']}/{metadata['name']}" if metadata["namespace"] else metadata["name"]
    )
    assert controllers.woken() == expected


def test_nobody_watches_secrets(controllers: Controllers) -> None:
    """Prove OBJ-APL-8."""
    for reconciler in controllers.reconcilers:
        assert SECRET not in {source.kind for source in reconciler.informers}
        assert SECRET not in {watch.kind for watch in reconciler.watches}
