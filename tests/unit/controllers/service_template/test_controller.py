"""What the controllers of templates observe. The cache is the real one, filled by hand."""

from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest

from aimd.api.service_template import AIMServiceTemplate
from aimd.controllers.image_inspections import ImageInspections
from aimd.controllers.pipeline import KindReconciler
from aimd.controllers.reader import Reader
from aimd.controllers.service_template.controller import TEMPLATE_TIES, observe_template, service_template_controllers
from aimd.controllers.service_template.discovery_slots import DiscoverySlots
from aimd.planning.kinds import AIM_CLUSTER_MODEL, AIM_MODEL, AIM_SERVICE_TEMPLATE, AIM_TEMPLATE_CACHE
from aimd.planning.needs import NO_READS
from aimd.planning.pod_rights import PodRights
from aimd.planning.service_template.discovery import DiscoveryRun
from aimd.planning.service_template.discovery_job import job_key
from aimd.planning.service_template.observed import ObservedTemplate, discovery_context
from aimd.planning.service_template.plan import plan_service_template
from aimd.runtime.kinds import JOB, NODE, POD
from aimd.runtime.objects import Kind, Manifest
from aimd.runtime.store import Cache

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NO_INSPECTIONS = cast(ImageInspections, SimpleNamespace(forgetting=lambda kind: None))
RIGHTS = PodRights("aim-system", "aim-system")
Build = Callable[..., KindReconciler[Any, Any]]
TEMPLATE = AIMServiceTemplate.model_validate(
    {"metadata": {"name": "t", "namespace": "a", "uid": "own"}, "spec": {"modelName": "m"}}
)


@pytest.fixture
def cache(build: Build) -> Cache:
    cache = Cache()
    for definition in service_template_controllers(DiscoverySlots(cache, 1), NO_INSPECTIONS, RIGHTS):
        build(definition, cache)
    return cache


def put(cache: Cache, kind: Kind, name: str, namespace: str = "", owner: str = "", **fields: Any) -> Manifest:
    metadata: Manifest = {"name": name, "namespace": namespace, "uid": f"{kind.name}/{name}", "resourceVersion": "1"}
    if owner:
        reference = {"apiVersion": AIM_SERVICE_TEMPLATE.api_version, "kind": AIM_SERVICE_TEMPLATE.name, "name": "t"}
        metadata["ownerReferences"] = [{**reference, "uid": owner, "controller": True}]
    live = {"metadata": metadata, **fields}
    cache[kind].upsert(live)
    return live


def observe(cache: Cache) -> ObservedTemplate:
    return observe_template(TEMPLATE, Reader(cache), NO_READS, TEMPLATE_TIES, RIGHTS)


def test_the_model_of_its_own_scope_comes_first(cache: Cache) -> None:
    """Prove TPL-MDL-1."""
    put(cache, AIM_CLUSTER_MODEL, "m", spec={"image": "of-cluster:1"})
    first = observe(cache).model
    put(cache, AIM_MODEL, "m", "a", spec={"image": "of-namespace:1"})
    second = observe(cache).model
    assert [item.spec.image if item is not None else None for item in (first, second)] == [
        "of-cluster:1",
        "of-namespace:1",
    ]


def test_a_model_that_does_not_parse_hides_the_one_of_the_cluster(cache: Cache) -> None:
    put(cache, AIM_CLUSTER_MODEL, "m", spec={"image": "of-cluster:1"})
    put(cache, AIM_MODEL, "m", "a", spec={"image": {}})
    found = observe(cache)
    assert found.model is None
    assert "spec.image" in str(found.unreadable_model)


def test_the_job_for_the_present_inputs_is_told_from_former_ones(cache: Cache) -> None:
    put(cache, AIM_MODEL, "m", "a", spec={"image": "registry/aim:1"})
    context = discovery_context(observe(cache))
    assert context is not None
    current = put(cache, JOB, job_key(context).name, job_key(context).namespace, "own")
    former = put(cache, JOB, "former", job_key(context).namespace, "own")
    pod = put(cache, POD, "pod", job_key(context).namespace, current["metadata"]["uid"])
    run = observe(cache).run
    assert (run.job, tuple(run.others), tuple(run.pods)) == (current, (former,), (pod,))


def test_what_says_in_another_namespace_that_it_belongs_to_the_template_does_not(cache: Cache) -> None:
    """Prove OBJ-OWN-1: an owner reference can be forged."""
    put(cache, AIM_MODEL, "m", "a", spec={"image": "registry/aim:1"})
    context = discovery_context(observe(cache))
    assert context is not None
    put(cache, JOB, job_key(context).name, "b", "own")
    put(cache, JOB, "former", "b", "own")
    put(cache, AIM_TEMPLATE_CACHE, "t", "b", "own")
    assert (observe(cache).run, observe(cache).cache) == (DiscoveryRun(), None)
    current = put(cache, JOB, job_key(context).name, job_key(context).namespace, "own")
    put(cache, POD, "pod", "b", current["metadata"]["uid"])
    assert observe(cache).run == DiscoveryRun(job=current)


def test_the_inventory_is_unknown_until_nodes_are_listed(cache: Cache) -> None:
    put(cache, NODE, "n")
    assert observe(cache).inventory is not None
    cache[NODE].synced = False
    assert observe(cache).inventory is None


@pytest.mark.parametrize(
    "spec", [{"templateName": "t", "templateScope": "Namespace"}, {"templateName": ["does not parse"]}]
)
def test_the_cache_of_a_template_is_in_its_status(build: Build, spec: Manifest) -> None:
    """Prove TPL-CCH-1."""
    cache = Cache()
    for definition in service_template_controllers(DiscoverySlots(cache, 1), NO_INSPECTIONS, RIGHTS):
        build(definition, cache)
    owner = {"apiVersion": "aim.eai.amd.com/v1alpha1", "kind": "AIMServiceTemplate", "name": "t", "uid": "tu"}
    metadata = {
        "name": "t",
        "namespace": "ns",
        "uid": "cu",
        "resourceVersion": "1",
        "ownerReferences": [{**owner, "controller": True}],
    }
    kind = {"apiVersion": AIM_TEMPLATE_CACHE.api_version, "kind": AIM_TEMPLATE_CACHE.name}
    cache[AIM_TEMPLATE_CACHE].upsert({**kind, "metadata": metadata, "spec": spec})
    template = AIMServiceTemplate.model_validate(
        {"metadata": {"name": "t", "namespace": "ns", "uid": "tu"}, "spec": {"modelName": "m"}}
    )
    observed = observe_template(template, Reader(cache), NO_READS, TEMPLATE_TIES, RIGHTS)
    assert plan_service_template(observed, NOW).status["resolvedCache"] == {
        "kind": "aim.eai.amd.com/v1alpha1/AIMTemplateCache",
        "name": "t",
        "namespace": "ns",
        "scope": "Namespace",
        "uid": "cu",
    }
