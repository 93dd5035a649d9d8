"""What the service controller sees of a cache, and whom a change wakes. The cache is the real one, filled by hand."""

from collections.abc import Sequence
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from aimd.api.service import AIMService
from aimd.controllers.pipeline import KindReconciler
from aimd.controllers.reader import Reader
from aimd.controllers.relation import informers_of
from aimd.controllers.service import INFORMERS, TIES, observe_service, service_controller, service_status_word
from aimd.planning.component import State
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
)
from aimd.planning.needs import NO_READS
from aimd.planning.service.child_names import http_route_name, inference_service_name
from aimd.planning.service.observed import ObservedService
from aimd.planning.service.plan import plan_service
from aimd.runtime.controller import Watch
from aimd.runtime.difference import differences
from aimd.runtime.errors import Unavailable
from aimd.runtime.kinds import EVENT, HORIZONTAL_POD_AUTOSCALER, NODE, POD
from aimd.runtime.objects import Kind, Manifest
from aimd.runtime.store import Cache, Store

NOW = datetime(2026, 1, 1, tzinfo=UTC)
GPU_NODE = {"amd.com/gpu.device-id": "74a1"}
_versions = iter(range(1, 100_000))


@pytest.fixture
def cache() -> Cache:
    cache = Cache()
    for informer in informers_of(TIES, Reader(cache), INFORMERS):
        store = cache.add(Store(informer.kind, informer.indexes, informer.transform))
        store.synced = True
    return cache


def put(cache: Cache, kind: Kind, name: str, namespace: str = "ns", **fields: Any) -> Manifest:
    metadata = {"name": name, "uid": f"{kind.name}-{name}", "resourceVersion": str(next(_versions)), "generation": 1}
    metadata |= fields.pop("metadata", {})
    if kind.namespaced:
        metadata["namespace"] = namespace
    manifest = {"apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata, **fields}
    cache[kind].upsert(manifest)
    return manifest


def watches(cache: Cache) -> Sequence[Watch]:
    nobody = cast(Any, None)
    return KindReconciler(service_controller(), nobody, cache, nobody).watches


def woken(cache: Cache, kind: Kind, manifest: Manifest) -> set[str]:
    return {str(key) for watch in watches(cache) if watch.kind == kind for key in watch.handler(manifest, cache)}


def owned(name: str) -> dict[str, Any]:
    owner = {"apiVersion": AIM_SERVICE.api_version, "kind": "AIMService", "name": name, "uid": f"AIMService-{name}"}
    return {"ownerReferences": [{**owner, "controller": True}]}


@pytest.fixture
def services(cache: Cache) -> Cache:
    put(cache, AIM_SERVICE, "by-name", spec={"model": {"name": "m"}})
    put(cache, AIM_SERVICE, "by-image", spec={"model": {"image": "i:1"}, "runtimeConfigName": "team"})
    put(cache, AIM_SERVICE, "by-template", spec={"model": {"name": "other"}, "template": {"name": "t"}})
    put(
        cache,
        AIM_SERVICE,
        "resolved",
        spec={"model": {"name": "other"}},
        status={"resolvedTemplate": {"name": "t"}, "resolvedModel": {"name": "m"}},
    )
    put(cache, AIM_SERVICE, "by-name", "elsewhere", spec={"model": {"name": "m"}})
    return cache


def test_a_model_wakes_by_name_and_image_within_its_scope(services: Cache) -> None:
    model = put(services, AIM_MODEL, "m", spec={"image": "i:1"})
    assert woken(services, AIM_MODEL, model) == {"ns/by-name", "ns/by-image", "ns/resolved"}
    cluster = put(services, AIM_CLUSTER_MODEL, "m", spec={"image": "x"})
    assert woken(services, AIM_CLUSTER_MODEL, cluster) == {"ns/by-name", "ns/resolved", "elsewhere/by-name"}


def test_a_template_wakes_those_that_name_use_or_may_choose_it(services: Cache) -> None:
    put(services, AIM_MODEL, "m", spec={"image": "i:1"})
    template = put(services, AIM_SERVICE_TEMPLATE, "t", spec={"modelName": "m"})
    assert woken(services, AIM_SERVICE_TEMPLATE, template) == {
        "ns/by-name",
        "ns/by-image",
        "ns/by-template",
        "ns/resolved",
    }
    cluster = put(services, AIM_CLUSTER_SERVICE_TEMPLATE, "t", spec={"modelName": "unknown"})
    assert woken(services, AIM_CLUSTER_SERVICE_TEMPLATE, cluster) == {"ns/by-template", "ns/resolved"}


def test_a_runtime_config_wakes_by_effective_name(services: Cache) -> None:
    team = put(services, AIM_RUNTIME_CONFIG, "team")
    assert woken(services, AIM_RUNTIME_CONFIG, team) == {"ns/by-image"}
    default = put(services, AIM_CLUSTER_RUNTIME_CONFIG, "default")
    # What it allows of routes also holds for the service that names another (SVC-RTE-11).
    assert woken(services, AIM_CLUSTER_RUNTIME_CONFIG, default) == {
        "ns/by-image",
        "ns/by-name",
        "ns/by-template",
        "ns/resolved",
        "elsewhere/by-name",
    }


def test_children_wake_their_service(services: Cache) -> None:
    cache = services
    inference_service = put(cache, INFERENCE_SERVICE, "isvc", metadata=owned("by-name"))
    assert woken(cache, INFERENCE_SERVICE, inference_service) == {"ns/by-name"}
    route = put(cache, HTTP_ROUTE, "route", metadata=owned("by-name"))
    assert woken(cache, HTTP_ROUTE, route) == {"ns/by-name"}
    pod = put(cache, POD, "p", metadata={"labels": {"serving.kserve.io/inferenceservice": "isvc"}})
    assert woken(cache, POD, pod) == {"ns/by-name"}
    about = {"kind": "InferenceService", "namespace": "ns", "name": "isvc", "uid": "u"}
    assert woken(cache, EVENT, put(cache, EVENT, "e", involvedObject=about)) == {"ns/by-name"}
    labels = {"aim.eai.amd.com/service.name": "by-name"}
    autoscaler = put(cache, HORIZONTAL_POD_AUTOSCALER, "keda-hpa-isvc-predictor", metadata={"labels": labels})
    assert woken(cache, HORIZONTAL_POD_AUTOSCALER, autoscaler) == {"ns/by-name"}
    shared = put(cache, AIM_TEMPLATE_CACHE, "c", spec={"templateName": "t"})
    assert woken(cache, AIM_TEMPLATE_CACHE, shared) == {"ns/by-template", "ns/resolved"}
    dedicated = put(cache, AIM_TEMPLATE_CACHE, "d", spec={"templateName": "x"}, metadata=owned("by-name"))
    assert woken(cache, AIM_TEMPLATE_CACHE, dedicated) == {"ns/by-name"}


def test_nodes_wake_services_that_are_still_choosing(services: Cache) -> None:
    node = put(services, NODE, "n", metadata={"labels": GPU_NODE})
    assert woken(services, NODE, node) == {"ns/by-name", "ns/by-image", "elsewhere/by-name"}
    changed = next(watch.predicate for watch in watches(Cache()) if watch.kind == NODE)
    assert not changed(node, {**node, "status": {"x": 1}})
    assert changed(node, {**node, "metadata": {**node["metadata"], "labels": {}}})


def test_our_own_status_writes_wake_nobody(services: Cache) -> None:
    """Prove SVC-ORD-5."""
    changed = next(watch.predicate for watch in watches(Cache()) if watch.kind == AIM_SERVICE)
    live = put(services, AIM_SERVICE, "x", spec={})
    assert not changed(live, {**live, "status": {"conditions": [{"type": "Ready"}]}})
    assert changed(live, {**live, "status": {"resolvedModel": {"name": "m"}}})
    assert changed(live, {**live, "metadata": {**live["metadata"], "labels": {"team": "x"}}})


@pytest.mark.parametrize("broken", [{}, {"spec": None}, {"spec": {"model": None, "template": 3}}, {"status": []}])
def test_no_manifest_upsets_an_index_or_a_mapping(cache: Cache, broken: dict[str, Any]) -> None:
    for source in INFORMERS:
        manifest = put(cache, source.kind, "odd", **broken)
        woken(cache, source.kind, manifest)


def observe(cache: Cache, manifest: Manifest) -> ObservedService:
    return observe_service(cache.parse(AIMService, manifest), manifest, Reader(cache), NO_READS)


def test_a_service_is_observed_with_everything_its_plan_needs(cache: Cache) -> None:
    put(cache, AIM_MODEL, "m", spec={"image": "i:1"}, status={"status": "Ready"})
    put(cache, AIM_CLUSTER_MODEL, "m", spec={"image": "i:1"})
    put(cache, AIM_SERVICE_TEMPLATE, "t", spec={"modelName": "m"}, status={"status": "Ready"})
    put(cache, AIM_CLUSTER_SERVICE_TEMPLATE, "t2", spec={"modelName": "m"}, status={"status": "Pending"})
    put(cache, AIM_SERVICE_TEMPLATE, "t", "elsewhere", spec={"modelName": "m"}, status={"status": "Ready"})
    put(cache, AIM_TEMPLATE_CACHE, "c", spec={"templateName": "t"})
    put(cache, AIM_TEMPLATE_CACHE, "c", "elsewhere", spec={"templateName": "t"})
    put(cache, AIM_RUNTIME_CONFIG, "default", spec={"env": [{"name": "A", "value": "1"}]})
    put(cache, NODE, "n", metadata={"labels": GPU_NODE})
    manifest = put(cache, AIM_SERVICE, "svc", spec={"model": {"name": "m"}})
    seen = observe(cache, manifest)
    assert {(item.metadata.namespace, item.metadata.name) for item in seen.models} == {("ns", "m"), ("", "m")}
    assert [item.metadata.name for item in seen.templates] == ["t", "t2"]
    assert [(item.metadata.namespace, item.metadata.name) for item in seen.caches] == [("ns", "c")]
    assert seen.config.spec.env[0].name == "A"
    assert seen.gpu_models == frozenset({"MI300X"})
    assert seen.inference_service is None
    plan = plan_service(seen, NOW)
    assert [desired.key for desired in plan.desired][-1].name.startswith("svc-")
    inference_service = put(cache, INFERENCE_SERVICE, plan.desired[-1].key.name, metadata=owned("svc"))
    labels = {"serving.kserve.io/inferenceservice": plan.desired[-1].key.name}
    put(cache, POD, "p", metadata={"labels": labels})
    seen = observe(cache, manifest)
    assert seen.inference_service == inference_service
    assert [pod["metadata"]["name"] for pod in seen.pods] == ["p"]


def test_kinds_that_are_missing_or_not_listed_yet(cache: Cache) -> None:
    """Prove SVC-ORD-4."""
    manifest = put(cache, AIM_SERVICE, "svc", spec={"model": {"name": "m"}})
    cache[INFERENCE_SERVICE].available = False
    cache[NODE].synced = False
    seen = observe(cache, manifest)
    assert seen.absent_kinds == {"InferenceService"}
    assert seen.gpu_models is None
    cache[HTTP_ROUTE].synced = False
    with pytest.raises(Unavailable):
        observe(cache, manifest)


def test_an_owned_object_under_its_former_name_is_kept(cache: Cache) -> None:
    """Prove SVC-NAM-2."""
    long = "qwen-qwen3-32b-instruct-production-canary-blue"
    manifest = put(cache, AIM_SERVICE, long, "ml-team", spec={"model": {"name": "m"}})
    former = "qwen-qwen3-32b-instruct-production-c-a04542d9"
    put(cache, INFERENCE_SERVICE, former, "ml-team", metadata=owned("somebody-else"))
    assert (observe(cache, manifest)).inference_service is None
    ours = put(cache, INFERENCE_SERVICE, former, "ml-team", metadata=owned(long))
    assert (observe(cache, manifest)).inference_service == ours


def test_an_object_of_somebody_else_under_the_derived_name_is_none(cache: Cache) -> None:
    """Prove OBJ-OWN-1: nothing is concluded from it, and nothing is done with it."""
    manifest = put(cache, AIM_SERVICE, "svc", spec={"model": {"name": "m"}})
    namespace = manifest["metadata"].get("namespace", "")
    for kind, name in ((INFERENCE_SERVICE, inference_service_name), (HTTP_ROUTE, http_route_name)):
        put(cache, kind, name("svc", namespace), namespace, metadata=owned("somebody-else"))
    seen = observe(cache, manifest)
    assert (seen.inference_service, seen.http_route) == (None, None)
    labels = {"aim.eai.amd.com/service.name": "svc", "app.kubernetes.io/managed-by": "aim-engine"}
    for kind, name in ((INFERENCE_SERVICE, inference_service_name), (HTTP_ROUTE, http_route_name)):
        put(cache, kind, name("svc", namespace), namespace, metadata={"labels": labels, "ownerReferences": []})
    seen = observe(cache, manifest)
    assert seen.inference_service is not None
    assert seen.http_route is not None


def owned_tree(value: Any) -> dict[str, Any]:
    """The ownership of an apply where every list is taken as a whole, as in KServe's schema."""
    return {f"f:{name}": owned_tree(item) for name, item in value.items()} if isinstance(value, dict) else {}


def test_what_kserve_fills_in_is_no_difference(cache: Cache) -> None:
    put(cache, AIM_MODEL, "m", spec={"image": "i:1"}, status={"status": "Ready"})
    put(cache, AIM_SERVICE_TEMPLATE, "t", spec={"modelName": "m"}, status={"status": "Ready"})
    manifest = put(cache, AIM_SERVICE, "svc", spec={"model": {"name": "m"}, "resources": {"requests": {"cpu": "0.5"}}})
    desired = plan_service(observe(cache, manifest), NOW).desired[-1]
    live = deepcopy(desired.manifest)
    live["metadata"]["annotations"]["serving.kserve.io/deploymentMode"] = "Standard"
    container = live["spec"]["predictor"]["containers"][0]
    container["resources"] = {
        "requests": {"cpu": "500m", "memory": "2Gi"},
        "limits": {"cpu": "1", "memory": "2Gi"},
    }
    owned = owned_tree({"metadata": {k: desired.manifest["metadata"][k] for k in ("labels", "annotations")}})
    owned["f:metadata"]["f:ownerReferences"] = {}
    owned["f:spec"] = owned_tree(desired.manifest["spec"])
    assert differences(desired.manifest, live, owned, desired.filled) == []
    container["image"] = "somebody/else:1"
    assert [found.path for found in differences(desired.manifest, live, owned, desired.filled)] == [
        "spec.predictor.containers"
    ]


def test_the_words_of_a_service() -> None:
    """Prove SVC-STA-1."""
    words = {service_status_word(state) for state in State}
    assert words <= {"Pending", "Starting", "Running", "Degraded", "Failed"}
