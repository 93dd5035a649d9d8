"""The table of relations: what a subject looks up also wakes it, and nothing else does.

The cache is the real one, filled by hand.
"""

from typing import Any, cast

import pytest

from aimd.controllers.all import build_reconcilers
from aimd.controllers.reader import Reader
from aimd.controllers.relation import AnyTie, Children, users_of
from aimd.controllers.relations import SERVICE_MODEL
from aimd.planning.artifact.download_job import check_size_name, claim_names, download_name
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
    HTTP_ROUTE,
    INFERENCE_SERVICE,
    SCALED_OBJECT,
)
from aimd.planning.service.child_names import (
    autoscaler_name,
    http_route_name,
    inference_service_name,
    predictor_name,
    profile_config_map_name,
)
from aimd.planning.settings import ControllerSettings
from aimd.planning.unreadable import Unreadable
from aimd.registry.client import RegistryClient
from aimd.runtime.client import Client
from aimd.runtime.kinds import (
    CONFIG_MAP,
    EVENT,
    HORIZONTAL_POD_AUTOSCALER,
    JOB,
    NODE,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    ROLE,
    ROLE_BINDING,
    SERVICE_ACCOUNT,
    STORAGE_CLASS,
)
from aimd.runtime.objects import Key, Kind, Manifest, key_of
from aimd.runtime.store import Cache, Store
from tests.guides import ADD_A_FIELD

WEIGHTS = [{"modelId": "acme/tiny", "sourceUri": "hf://acme/tiny"}]
GPU = {"gpu": {"requests": 1, "model": "MI300X"}}
ISVC = inference_service_name("names", "a")

_versions = iter(range(1, 1_000_000))


class Controllers:
    """All controllers' relations on one cache; nothing runs."""

    def __init__(self) -> None:
        self.cache = Cache()
        self.reader = Reader(self.cache)
        settings = ControllerSettings()
        reconcilers = build_reconcilers(cast(Client, None), self.cache, settings, cast(RegistryClient, None))
        for informer in (informer for reconciler in reconcilers for informer in reconciler.informers):
            if informer.kind not in self.cache:
                self.cache.add(Store(informer.kind, {})).synced = True
            for name, function in informer.indexes.items():
                self.cache[informer.kind].add_index(name, function)
        self.ties: list[AnyTie] = [tie for reconciler in reconcilers for tie in reconciler.definition.ties]

    def put(self, kind: Kind, where: str, owner: tuple[Kind, str] | None = None, **fields: Any) -> Manifest:
        """Add an object; `where` is `namespace/name`, or the name of a cluster-scoped one."""
        namespace, _, name = where.rpartition("/")
        metadata: Manifest = {"name": name, "uid": f"{kind.name} {where}", "resourceVersion": str(next(_versions))}
        metadata |= {"namespace": namespace} if namespace else {}
        metadata |= fields.pop("metadata", {})
        if owner is not None:
            uid = f"{owner[0].name} {namespace + '/' if owner[0].namespaced else ''}{owner[1]}"
            reference = {"apiVersion": owner[0].api_version, "kind": owner[0].name, "name": owner[1], "uid": uid}
            metadata["ownerReferences"] = [{**reference, "controller": True}]
        manifest = {"apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata, **fields}
        self.cache[kind].upsert(manifest)
        return manifest


def fill(world: Controllers) -> None:
    """Two namespaces and the cluster, with objects on both sides of every relation, and strangers beside them."""
    put = world.put
    for where in ("default", "team"):
        put(AIM_CLUSTER_RUNTIME_CONFIG, where)
    put(AIM_RUNTIME_CONFIG, "a/default")
    put(AIM_CLUSTER_MODEL, "m", spec={"image": "shared:1"})
    put(AIM_MODEL, "a/m", spec={"image": "own:1"})
    put(AIM_MODEL, "b/m", spec={"image": "own:1"})
    put(AIM_MODEL, "a/tiny", spec={"image": "base:1", "modelSources": WEIGHTS})
    put(AIM_CLUSTER_MODEL, "imported", (AIM_CLUSTER_MODEL_SOURCE, "hub"), spec={"image": "hub:1"})
    put(AIM_CLUSTER_MODEL_SOURCE, "hub", spec={"filters": []})
    sources = {"status": "Ready", "modelSources": WEIGHTS}
    put(AIM_SERVICE_TEMPLATE, "a/t", (AIM_MODEL, "m"), spec={"modelName": "m", "hardware": GPU}, status=sources)
    put(AIM_SERVICE_TEMPLATE, "b/t", spec={"modelName": "m"})
    put(AIM_SERVICE_TEMPLATE, "a/of-tiny", spec={"modelName": "tiny"})
    derived = {"aim.eai.amd.com/origin": "derived", "aim.eai.amd.com/service.name": "overrides"}
    put(AIM_SERVICE_TEMPLATE, "a/derived", metadata={"labels": derived}, spec={"modelName": "m"})
    put(
        AIM_CLUSTER_SERVICE_TEMPLATE,
        "t",
        (AIM_CLUSTER_MODEL, "m"),
        spec={"modelName": "m", "hardware": GPU},
        status=sources,
    )
    put(AIM_SERVICE, "a/names", spec={"model": {"name": "m"}, "template": {"name": "t"}})
    put(AIM_SERVICE, "a/chooses", spec={"model": {"name": "m"}, "imagePullSecrets": [{"name": "s"}]})
    put(AIM_SERVICE, "b/chooses", spec={"model": {"name": "m"}}, status={"resolvedTemplate": {"name": "t"}})
    put(AIM_SERVICE, "a/by-image", spec={"model": {"image": "own:1"}})
    put(AIM_SERVICE, "a/custom", spec={"model": {"custom": {"baseImage": "base:1", "modelSources": WEIGHTS}}})
    put(AIM_SERVICE, "a/overrides", spec={"model": {"name": "m"}}, status={"resolvedTemplate": {"name": "derived"}})
    for_service = {"labels": {"aim.eai.amd.com/service": "names"}}
    put(
        AIM_TEMPLATE_CACHE,
        "a/c",
        (AIM_SERVICE, "names"),
        metadata=for_service,
        spec={"templateName": "t", "templateScope": "Namespace"},
        status={"artifacts": {"w": {"name": "w", "uid": "u", "model": "acme/tiny"}}},
    )
    put(AIM_TEMPLATE_CACHE, "a/of-template", (AIM_SERVICE_TEMPLATE, "t"), spec={"templateName": "t"})
    put(AIM_TEMPLATE_CACHE, "a/of-cluster-template", (AIM_CLUSTER_SERVICE_TEMPLATE, "t"), spec={"templateName": "t"})
    put(AIM_TEMPLATE_CACHE, "b/c", spec={"templateName": "t", "templateScope": "Cluster"})
    of_cache = {"labels": {"aim.eai.amd.com/template-cache.name": "c"}}
    for where in ("a/w", "b/w"):
        put(AIM_ARTIFACT, where, metadata=of_cache, spec={"sourceUri": "hf://acme/tiny"})
    fill_children(world)


def fill_children(world: Controllers) -> None:
    put = world.put
    artifact = world.reader.get(AIM_ARTIFACT, Key("a", "w"))
    claim, job = claim_names(artifact)[-1], download_name(artifact)
    put(STORAGE_CLASS, "nfs", allowVolumeExpansion=True)
    put(PERSISTENT_VOLUME_CLAIM, f"a/{claim}", (AIM_ARTIFACT, "w"), spec={"storageClassName": "nfs"})
    for kind in (JOB, SERVICE_ACCOUNT, ROLE, ROLE_BINDING):
        put(kind, f"a/{job}", (AIM_ARTIFACT, "w"))
    put(POD, "a/download-pod", (JOB, job))
    size_check = check_size_name(artifact)
    put(JOB, f"a/{size_check}", (AIM_ARTIFACT, "w"))
    put(POD, "a/size-check-pod", (JOB, size_check))
    put(JOB, "a/discover", (AIM_SERVICE_TEMPLATE, "t"))
    put(POD, "a/discover-pod", (JOB, "discover"))
    cluster_job = put(JOB, "aim-system/discover", metadata={"ownerReferences": [of_cluster_template()]})
    put(POD, "aim-system/discover-pod", (JOB, key_of(cluster_job).name))
    volumes = [{"name": "w", "persistentVolumeClaim": {"claimName": claim}}]
    put(INFERENCE_SERVICE, f"a/{ISVC}", (AIM_SERVICE, "names"), spec={"predictor": {"volumes": volumes}})
    put(HTTP_ROUTE, f"a/{http_route_name('names', 'a')}", (AIM_SERVICE, "names"))
    rival = {"rules": [{"matches": [{"path": {"value": "/a/names"}}]}], "parentRefs": [{"name": "gateway"}]}
    put(HTTP_ROUTE, "b/rival", (AIM_SERVICE, "chooses"), spec=rival)
    put(CONFIG_MAP, f"a/{profile_config_map_name('names')}", (AIM_SERVICE, "names"))
    put(POD, "a/predictor", metadata={"labels": {"serving.kserve.io/inferenceservice": ISVC}})
    put(EVENT, "a/warning", involvedObject={"kind": "InferenceService", "namespace": "a", "name": ISVC})
    put(SCALED_OBJECT, f"a/{predictor_name(ISVC)}", (INFERENCE_SERVICE, ISVC))
    put(HORIZONTAL_POD_AUTOSCALER, f"a/{autoscaler_name(ISVC)}", (SCALED_OBJECT, predictor_name(ISVC)))
    put(NODE, "gpu", metadata={"labels": {"amd.com/gpu.device-id": "74a1"}})
    for kind in (INFERENCE_SERVICE, HTTP_ROUTE, CONFIG_MAP, PERSISTENT_VOLUME_CLAIM, JOB, POD, EVENT):
        put(kind, "a/stranger")


def of_cluster_template() -> Manifest:
    kind = AIM_CLUSTER_SERVICE_TEMPLATE
    reference = {"apiVersion": kind.api_version, "kind": kind.name, "name": "t", "uid": f"{kind.name} t"}
    return {**reference, "controller": True}


@pytest.fixture(scope="module")
def world() -> Controllers:
    world = Controllers()
    fill(world)
    return world


TIES = [tie.name for tie in Controllers().ties]


def test_names_are_unique() -> None:
    assert sorted(set(TIES)) == sorted(TIES), "indexes of one kind are shared by all controllers"


def looked_up(world: Controllers, tie: AnyTie) -> set[tuple[Key, Kind, Key]]:
    pairs = set()
    for manifest in world.cache[tie.subject].list():
        found = tie.find(world.reader, world.reader.read(tie.subject, manifest))
        for item in found.objects:
            key = key_of(item) if isinstance(item, dict) else Key(item.metadata.namespace, item.metadata.name)
            kinds = [
                kind for kind in tie.neighbors if kind.name == (item["kind"] if isinstance(item, dict) else item.kind)
            ]
            pairs.add((key_of(manifest), kinds[0], key))
    return pairs


def woken(world: Controllers, tie: AnyTie) -> set[tuple[Key, Kind, Key]]:
    existing = {key_of(subject) for subject in world.cache[tie.subject].list()}
    return {
        (subject, kind, key_of(manifest))
        for kind in tie.neighbors
        for manifest in world.cache[kind].list()
        for subject in tie.subjects(manifest, kind, world.cache)
        if subject in existing
    }


@pytest.mark.parametrize("name", TIES)
def test_what_is_looked_up_also_wakes_and_nothing_else_does(world: Controllers, name: str) -> None:
    tie = next(tie for tie in world.ties if tie.name == name)
    read = looked_up(world, tie)
    assert read != set(), f"add objects on both sides of this relation to `fill`; {ADD_A_FIELD}"
    if tie.lookup_only:
        return
    by_name = isinstance(tie, Children) and tie.names is not None
    # A child is looked up by its name and wakes by its owner: it may have a name that is no longer looked for.
    assert read <= woken(world, tie) if by_name else read == woken(world, tie)


def test_a_neighbor_that_does_not_parse_is_a_value_for_whoever_names_it() -> None:
    world = Controllers()
    broken = world.put(AIM_MODEL, "a/broken", spec={"image": {}})
    world.put(AIM_CLUSTER_MODEL, "fine", spec={"image": "i:1"})
    service = world.reader.read(AIM_SERVICE, world.put(AIM_SERVICE, "a/s", spec={"model": {"name": "broken"}}))
    found = SERVICE_MODEL.find(world.reader, service)
    assert found.objects == ()
    (problem,) = found.unreadable
    assert isinstance(problem, Unreadable)
    assert str(problem).startswith("AIMModel a/broken cannot be read: spec.image: ")
    assert list(SERVICE_MODEL.subjects(broken, AIM_MODEL, world.cache)) == [Key("a", "s")]
    assert users_of(SERVICE_MODEL, world.reader, AIM_MODEL, Key("a", "broken")).objects == (service,)
    assert users_of(SERVICE_MODEL, world.reader, AIM_MODEL, Key("a", "absent")).objects == ()


def test_a_subject_that_does_not_parse_stops_nobody_else() -> None:
    world = Controllers()
    model = world.put(AIM_MODEL, "a/m", spec={"image": "i:1"})
    world.put(AIM_SERVICE, "a/broken", spec={"model": "m"})
    world.put(AIM_SERVICE, "a/fine", spec={"model": {"name": "m"}})
    assert list(SERVICE_MODEL.subjects(model, AIM_MODEL, world.cache)) == [Key("a", "fine")]
