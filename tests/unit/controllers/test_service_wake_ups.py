"""Which change wakes which services, exactly. The cache is the real one, filled by hand."""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any, cast

import pytest

from aimd.api.service import ServiceOverrides
from aimd.controllers.pipeline import KindReconciler
from aimd.controllers.reader import Reader
from aimd.controllers.relation import informers_of
from aimd.controllers.service import INFORMERS, TIES, service_controller
from aimd.planning.kinds import (
    AIM_CLUSTER_MODEL,
    AIM_CLUSTER_RUNTIME_CONFIG,
    AIM_CLUSTER_SERVICE_TEMPLATE,
    AIM_MODEL,
    AIM_RUNTIME_CONFIG,
    AIM_SERVICE,
    AIM_SERVICE_TEMPLATE,
    AIM_TEMPLATE_CACHE,
    HTTP_ROUTE,
    INFERENCE_SERVICE,
    SCALED_OBJECT,
)
from aimd.planning.service.child_names import derived_template_name
from aimd.runtime.controller import Watch
from aimd.runtime.kinds import CONFIG_MAP, EVENT, HORIZONTAL_POD_AUTOSCALER, NODE, PERSISTENT_VOLUME_CLAIM, POD
from aimd.runtime.objects import Kind, Manifest
from aimd.runtime.store import Cache, Store

Update = tuple[Manifest | None, Manifest | None]

LONG = "a-service-whose-name-is-longer-than-a-label-may-be-" + 30 * "x"
WEIGHTS = {"modelId": "acme/tiny", "sourceUri": "hf://acme/tiny"}
ELSEWHERE = {"name": "AWS_ENDPOINT_URL", "value": "https://s3.example.com"}
DERIVED = derived_template_name("t", ServiceOverrides(metric="latency"))
BASE = "registry/base:1"

SERVICES: dict[str, dict[str, Any]] = {
    "ns/chooses": {"spec": {"model": {"name": "m"}}},
    "ns/chose": {
        "spec": {"model": {"name": "m"}},
        "status": {"resolvedModel": {"name": "m"}, "resolvedTemplate": {"name": "t"}},
    },
    "ns/names": {"spec": {"model": {"name": "m"}, "template": {"name": "t"}}},
    "ns/overrides": {
        "spec": {"model": {"name": "m"}, "template": {"name": "t"}, "overrides": {"metric": "latency"}},
        "status": {"resolvedModel": {"name": "m"}},
    },
    "ns/by-alias": {"spec": {"model": {"name": "m"}, "template": {"name": "short"}}},
    "ns/by-image": {"spec": {"model": {"image": "registry/aim:1"}, "runtimeConfigName": "team"}},
    "ns/custom": {"spec": {"model": {"custom": {"baseImage": BASE, "modelSources": [WEIGHTS]}}}},
    "ns/custom-elsewhere": {
        "spec": {"model": {"custom": {"baseImage": BASE, "modelSources": [{**WEIGHTS, "env": [ELSEWHERE]}]}}}
    },
    "ns/mismatch": {"spec": {"model": {"name": "mine"}, "template": {"name": "of-other"}}},
    "ns/bystander": {
        "spec": {"model": {"name": "x"}, "template": {"name": "x"}, "runtimeConfigName": "x"},
        "status": {"resolvedModel": {"name": "x"}, "resolvedTemplate": {"name": "x"}},
    },
    f"ns/{LONG}": {"spec": {"model": {"name": "y"}, "template": {"name": "y"}}},
    "else/names": {"spec": {"model": {"name": "m"}, "template": {"name": "t"}}},
}
MOUNTS_WEIGHTS = {"predictor": {"volumes": [{"name": "w", "persistentVolumeClaim": {"claimName": "weights"}}]}}
_OF_M = {"ns/chooses", "ns/chose", "ns/names", "ns/overrides", "ns/by-alias"}
_UNCONFIGURED = set(SERVICES) - {"ns/by-image", "ns/bystander"}


def manifest(kind: Kind, name: str, namespace: str = "ns", **fields: Any) -> Manifest:
    metadata: dict[str, Any] = {"name": name, "uid": f"{kind.name}-{name}", "resourceVersion": "1", "generation": 1}
    metadata |= fields.pop("metadata", {})
    if kind.namespaced:
        metadata["namespace"] = namespace
    return {"apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata, **fields}


def owned(name: str) -> dict[str, Any]:
    owner = {"apiVersion": AIM_SERVICE.api_version, "kind": AIM_SERVICE.name, "name": name, "uid": f"AIMService-{name}"}
    return {"ownerReferences": [{**owner, "controller": True}]}


def made(after: Manifest) -> Update:
    return None, after


def gone(before: Manifest) -> Update:
    return before, None


def changed(before: Manifest, **fields: Any) -> Update:
    after = {**deepcopy(before), **fields}
    return before, {**after, "metadata": {**after["metadata"], "resourceVersion": "2"}}


def relabelled(before: Manifest, **labels: str) -> Update:
    return before, {**before, "metadata": {**before["metadata"], "labels": labels}}


@pytest.fixture
def cache() -> Cache:
    cache = Cache()
    for informer in informers_of(TIES, Reader(cache), INFORMERS):
        cache.add(Store(informer.kind, informer.indexes, informer.transform)).synced = True
    for key, fields in SERVICES.items():
        namespace, _, name = key.partition("/")
        cache[AIM_SERVICE].upsert(manifest(AIM_SERVICE, name, namespace, **fields))
    for present in (
        manifest(AIM_MODEL, "tiny", spec={"image": BASE, "modelSources": [WEIGHTS]}),
        manifest(AIM_CLUSTER_MODEL, "for-image", spec={"image": "registry/aim:1"}),
        manifest(AIM_SERVICE_TEMPLATE, "of-other", spec={"modelName": "other"}),
        manifest(INFERENCE_SERVICE, "chose-1", metadata=owned("chose"), spec=MOUNTS_WEIGHTS),
        manifest(INFERENCE_SERVICE, "long-1", metadata=owned(LONG)),
        manifest(INFERENCE_SERVICE, "foreign"),
    ):
        cache[present_kind(present)].upsert(present)
    return cache


def present_kind(present: Manifest) -> Kind:
    return next(source.kind for source in INFORMERS if source.kind.name == present["kind"])


def watches(cache: Cache) -> Sequence[Watch]:
    nobody = cast(Any, None)
    return KindReconciler(service_controller(), nobody, cache, nobody).watches


def woken(cache: Cache, update: Update) -> set[str]:
    before, after = update
    kind = (after or before or {})["kind"]
    concerned = [watch for watch in watches(cache) if watch.kind.name == kind and watch.predicate(before, after)]
    states = [state for state in update if state is not None]
    return {str(key) for watch in concerned for state in states for key in watch.handler(state, cache)}


def template(name: str = "t", model: str = "m", **fields: Any) -> Manifest:
    return manifest(AIM_SERVICE_TEMPLATE, name, spec={"modelName": model}, **fields)


def template_cache(**fields: Any) -> Manifest:
    return manifest(AIM_TEMPLATE_CACHE, "c", spec={"templateName": "t"}, **fields)


def predictor(inference_service: str, **status: Any) -> Manifest:
    labels = {"serving.kserve.io/inferenceservice": inference_service}
    return manifest(POD, "p", metadata={"labels": labels}, status=status)


def autoscaler(inference_service: str, **status: Any) -> Manifest:
    name = f"keda-hpa-{inference_service}-predictor"
    return manifest(HORIZONTAL_POD_AUTOSCALER, name, spec={"maxReplicas": 3}, status=status)


def scaled_object(inference_service: str, **status: Any) -> Manifest:
    owner = {"apiVersion": INFERENCE_SERVICE.api_version, "kind": INFERENCE_SERVICE.name, "name": inference_service}
    owners = {"ownerReferences": [{**owner, "uid": f"InferenceService-{inference_service}", "controller": True}]}
    return manifest(SCALED_OBJECT, f"{inference_service}-predictor", metadata=owners, status=status)


def about(inference_service: str) -> Manifest:
    involved = {"kind": "InferenceService", "namespace": "ns", "name": inference_service}
    return manifest(EVENT, "e", involvedObject=involved)


def node(**labels: str) -> Manifest:
    return manifest(NODE, "n", metadata={"labels": labels})


def claim(name: str) -> Manifest:
    return manifest(PERSISTENT_VOLUME_CLAIM, name)


SERVICE_X = manifest(AIM_SERVICE, "x", spec={"replicas": 1}, status={"status": "Running"})
ROUTE = manifest(HTTP_ROUTE, "r", metadata=owned("names"))
WAITING = {"conditions": [{"type": "ScalingActive", "status": "False"}]}
ACTIVE = {"conditions": [{"type": "ScalingActive", "status": "True"}]}
UNSCHEDULABLE = {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]}

TABLE: dict[str, tuple[Update, set[str]]] = {
    "a service made": (made(SERVICE_X), {"ns/x"}),
    "a service edited": (
        changed(SERVICE_X, metadata={**SERVICE_X["metadata"], "generation": 2}, spec={"replicas": 2}),
        {"ns/x"},
    ),
    "a service relabelled": (relabelled(SERVICE_X, team="blue"), {"ns/x"}),
    "a service's status, written by us": (changed(SERVICE_X, status={"status": "Degraded"}), set()),
    "a model made": (made(manifest(AIM_MODEL, "m", spec={"image": "i"})), _OF_M),
    "a model's status": (changed(manifest(AIM_MODEL, "m", spec={"image": "i"}), status={"status": "Ready"}), _OF_M),
    "a model gone": (gone(manifest(AIM_MODEL, "m", spec={"image": "i"})), _OF_M),
    "a cluster model": (made(manifest(AIM_CLUSTER_MODEL, "m", spec={"image": "i"})), _OF_M | {"else/names"}),
    "a model of an image": (made(manifest(AIM_MODEL, "new", spec={"image": "registry/aim:1"})), {"ns/by-image"}),
    "a model that gives an image up": (
        changed(manifest(AIM_MODEL, "new", spec={"image": "registry/aim:1"}), spec={"image": "registry/aim:2"}),
        {"ns/by-image"},
    ),
    "a custom model": (
        made(manifest(AIM_MODEL, "new", spec={"image": BASE, "modelSources": [WEIGHTS]})),
        {"ns/custom"},
    ),
    "a custom model with weights from elsewhere": (
        made(manifest(AIM_MODEL, "new", spec={"image": BASE, "modelSources": [{**WEIGHTS, "env": [ELSEWHERE]}]})),
        {"ns/custom-elsewhere"},
    ),
    "a model of the base image alone": (made(manifest(AIM_MODEL, "new", spec={"image": BASE})), set()),
    "the model of a template that another's service names": (
        made(manifest(AIM_MODEL, "other", spec={"image": "i"})),
        {"ns/mismatch"},
    ),
    "a model in another namespace": (made(manifest(AIM_MODEL, "m", "third", spec={"image": "registry/aim:1"})), set()),
    "a template that services name, use or may choose": (
        made(template()),
        {"ns/chooses", "ns/chose", "ns/names", "ns/overrides"},
    ),
    "another template of the model": (made(template("t2")), {"ns/chooses", "ns/chose"}),
    "a derived template": (made(template(DERIVED)), {"ns/chooses", "ns/chose", "ns/overrides"}),
    "a template with an alias": (
        made(template("m-short-1", metadata={"labels": {"aim.eai.amd.com/template.alias": "short"}})),
        {"ns/chooses", "ns/chose", "ns/by-alias"},
    ),
    "a template of an image's model": (made(template("t3", "for-image")), {"ns/by-image"}),
    "a template of a custom model": (made(template("t3", "tiny")), {"ns/custom"}),
    "a cluster template": (
        made(manifest(AIM_CLUSTER_SERVICE_TEMPLATE, "t", spec={"modelName": "unknown"})),
        {"ns/chose", "ns/names", "ns/overrides", "else/names"},
    ),
    "a template moved to another model": (
        changed(template("t2", "y"), spec={"modelName": "m"}),
        {"ns/chooses", "ns/chose"},
    ),
    "the default config": (made(manifest(AIM_RUNTIME_CONFIG, "default")), _UNCONFIGURED - {"else/names"}),
    "the default config of the cluster": (
        made(manifest(AIM_CLUSTER_RUNTIME_CONFIG, "default")),
        _UNCONFIGURED | {"ns/by-image", "ns/bystander"},
    ),
    "a named config": (made(manifest(AIM_RUNTIME_CONFIG, "team")), {"ns/by-image"}),
    "a config's status": (changed(manifest(AIM_RUNTIME_CONFIG, "team"), status={"x": 1}), set()),
    "a shared cache of a template": (made(template_cache()), {"ns/chose", "ns/names", "ns/overrides"}),
    "a dedicated cache": (
        made(manifest(AIM_TEMPLATE_CACHE, "d", spec={"templateName": "z"}, metadata=owned("bystander"))),
        {"ns/bystander"},
    ),
    "an InferenceService": (changed(manifest(INFERENCE_SERVICE, "i", metadata=owned("names"))), {"ns/names"}),
    "an InferenceService of somebody else": (gone(manifest(INFERENCE_SERVICE, "foreign")), set()),
    "an HTTPRoute": (gone(ROUTE), {"ns/names"}),
    "a profile's ConfigMap": (made(manifest(CONFIG_MAP, "profile", metadata=owned("names"))), {"ns/names"}),
    "a pod starting": (changed(predictor("chose-1", phase="Pending"), status={"phase": "Running"}), {"ns/chose"}),
    "a pod that finds no node": (
        changed(predictor("chose-1", phase="Pending"), status={"phase": "Pending", **UNSCHEDULABLE}),
        {"ns/chose"},
    ),
    "a pod's heartbeat": (changed(predictor("chose-1", phase="Running"), status={"phase": "Running"}), set()),
    "a pod of somebody else": (made(predictor("foreign")), set()),
    "a warning about an InferenceService": (made(about("chose-1")), {"ns/chose"}),
    "a warning about somebody else's": (made(about("foreign")), set()),
    "an autoscaler made": (made(autoscaler("chose-1")), {"ns/chose"}),
    "an autoscaler of a service with a long name": (made(autoscaler("long-1")), {f"ns/{LONG}"}),
    "replicas": (
        changed(autoscaler("chose-1", currentReplicas=1), status={"currentReplicas": 2}),
        {"ns/chose"},
    ),
    "an autoscaler's condition": (changed(autoscaler("chose-1", **WAITING), status=ACTIVE), {"ns/chose"}),
    "an autoscaler's metrics": (
        changed(autoscaler("chose-1", **ACTIVE), status={**ACTIVE, "currentMetrics": [1]}),
        set(),
    ),
    "an autoscaler of somebody else": (made(manifest(HORIZONTAL_POD_AUTOSCALER, "web")), set()),
    "a ScaledObject made": (made(scaled_object("chose-1")), {"ns/chose"}),
    "a ScaledObject that KEDA refuses": (
        changed(scaled_object("chose-1"), status={"conditions": [{"type": "Ready", "status": "False"}]}),
        {"ns/chose"},
    ),
    "a ScaledObject's other conditions": (
        changed(scaled_object("chose-1"), status={"conditions": [{"type": "Active", "status": "True"}]}),
        set(),
    ),
    "a ScaledObject of somebody else": (made(scaled_object("foreign")), set()),
    "a mounted claim gone": (gone(claim("weights")), {"ns/chose"}),
    "a mounted claim that begins to go": (
        changed(claim("weights"), metadata={**claim("weights")["metadata"], "deletionTimestamp": "now"}),
        {"ns/chose"},
    ),
    "a mounted claim bound": (changed(claim("weights"), status={"phase": "Bound"}), set()),
    "another claim gone": (gone(claim("other")), set()),
    "a GPU": (
        relabelled(node(), **{"amd.com/gpu.device-id": "74a1"}),
        {"ns/chooses", "ns/by-image", "ns/custom", "ns/custom-elsewhere"},
    ),
    "a node's heartbeat": (changed(node(), status={"x": 1}), set()),
    "another label of a node": (relabelled(node(), zone="a"), set()),
}


@pytest.mark.parametrize("change", TABLE)
def test_a_change_wakes_exactly(cache: Cache, change: str) -> None:
    """Prove SVC-ORD-5."""
    update, services = TABLE[change]
    assert woken(cache, update) == services


def test_every_watched_kind_has_a_row() -> None:
    told = {(after or before or {})["kind"] for (before, after), _ in TABLE.values()}
    assert {watch.kind.name for watch in watches(Cache())} == told
