"""Every field of an AIMServiceTemplate and an AIMClusterServiceTemplate has an effect, unless documented to have none.

`FIELDS` has a row for every leaf of the schema that both kinds have, `CACHING` for those of AIMServiceTemplate alone; a
new field without a row fails. Some fields show only on a service that uses the template.
"""

from typing import Any

import pytest

from aimd.api.kinds import AIM_CLUSTER_SERVICE_TEMPLATE_RESOURCE, AIM_SERVICE_TEMPLATE_RESOURCE, ApiResource
from aimd.planning.gpus import inventory_of
from aimd.planning.plan import Plan
from aimd.planning.pod_rights import PodRights
from aimd.planning.runtime_config import resolve_config
from aimd.planning.service_template.discovery import DiscoveryRun
from aimd.planning.service_template.observed import ObservedTemplate
from aimd.planning.service_template.plan import plan_service_template
from tests.unit.planning import serving
from tests.unit.planning.field_effects import (
    NOW,
    Ignored,
    Row,
    Spec,
    World,
    assert_complete,
    assert_effect,
    assert_no_effect,
    hardware_rows,
    source_rows,
    variable_rows,
)

NODES = inventory_of([{"amd.com/gpu.device-id": "74a1"}])
PROFILE = {
    "aimId": "acme/tiny",
    "modelId": "acme/tiny",
    "customProfile": {"engineArgs": {"seed": 1}, "envVars": {"X": "1"}},
    "hardware": {"gpu": {"model": "MI300X", "requests": 1}},
    "metric": "latency",
    "precision": "fp8",
}
POD = "Job.spec.template.spec"
VARIABLE = f"{POD}.containers[].env[]"
PROFILE_FILE = "ConfigMap.data."
CONTAINER = "InferenceService.spec.predictor.containers[]"


def profiled(**changes: Any) -> Spec:
    return {**PROFILE, **changes}


def demanding(memory: str) -> Spec:
    return {"hardware": {"gpu": {"requests": 1, "minVram": memory}}}


def resources(**values: Any) -> Spec:
    return {"resources": values}


FIELDS: dict[str, Row] = {
    "aimId": Row(profiled(), profiled(aimId="acme/other"), f"{VARIABLE}.value", "discovering"),
    "modelId": Row(profiled(), profiled(modelId="acme/other"), PROFILE_FILE, "discovering"),
    "customProfile.engineArgs": Row(
        profiled(customProfile={"engineArgs": {"seed": 1}}),
        profiled(customProfile={"engineArgs": {"seed": 2}}),
        PROFILE_FILE,
        "discovering",
    ),
    "customProfile.envVars": Row(
        profiled(customProfile={"envVars": {"X": "1"}}),
        profiled(customProfile={"envVars": {"X": "2"}}),
        PROFILE_FILE,
        "discovering",
    ),
    "modelName": Row({}, {"modelName": "missing"}, "status.resolvedModel"),
    "metric": Row({}, {"metric": "latency"}, f"{VARIABLE}.value", "discovering"),
    "precision": Row({}, {"precision": "fp8"}, f"{VARIABLE}.value", "discovering"),
    **hardware_rows("hardware", "status.resolvedHardware", lambda hardware: {"hardware": hardware}),
    "hardware.gpu.minVram": Row(demanding("64Gi"), demanding("1Ti"), "conditions.GPUReady.reason"),
    "type": Row({}, {"type": "preview"}, "status.profile.metadata.type"),
    "profileId": Row({}, {"profileId": "p1"}, f"{VARIABLE}.value", "discovering"),
    **source_rows("modelSources[]", "status.modelSources[]", lambda source: {"modelSources": [source]}),
    **variable_rows("env[]", VARIABLE, lambda env: {"env": env}, "discovering"),
    "resources.limits": Row({}, resources(limits={"cpu": "8"}), f"{CONTAINER}.resources.limits.cpu", "served"),
    "resources.requests": Row({}, resources(requests={"cpu": "8"}), f"{CONTAINER}.resources.requests.cpu", "served"),
    "runtimeConfigName": Row({}, {"runtimeConfigName": "missing"}, "conditions.RuntimeConfigReady.reason"),
    "imagePullSecrets[].name": Row(
        {}, {"imagePullSecrets": [{"name": "registry"}]}, f"{POD}.imagePullSecrets[].name", "discovering"
    ),
    "serviceAccountName": Row({}, {"serviceAccountName": "runner"}, f"{POD}.serviceAccountName", "discovering"),
}
CACHING: dict[str, Row] = {
    "caching.enabled": Row({}, {"caching": {"enabled": True}}, "AIMTemplateCache.metadata.name"),
    **variable_rows(
        "caching.env[]", "AIMTemplateCache.spec.env[]", lambda env: {"caching": {"enabled": True, "env": env}}
    ),
}
NOT_PASSED_ON = "accepted for compatibility: aimd does not pass claims on to pods"
WITHOUT_EFFECT: dict[str, Ignored] = {
    "resources.claims[].name": Ignored({}, resources(claims=[{"name": "gpu"}]), NOT_PASSED_ON),
    "resources.claims[].request": Ignored(
        resources(claims=[{"name": "gpu"}]), resources(claims=[{"name": "gpu", "request": "one"}]), NOT_PASSED_ON
    ),
}
KINDS = {
    "AIMServiceTemplate": (AIM_SERVICE_TEMPLATE_RESOURCE, FIELDS | CACHING),
    "AIMClusterServiceTemplate": (AIM_CLUSTER_SERVICE_TEMPLATE_RESOURCE, FIELDS),
}


def plan(spec: Spec, *, cluster: bool) -> Plan:
    """Plan the template itself; a discovery Job may start."""
    template = serving.template(spec, cluster=cluster, new=True)
    model = serving.model({}, cluster=cluster)
    observed = ObservedTemplate(
        template,
        resolve_config(template.spec.runtime_config_name, None, None, namespace=template.metadata.namespace),
        model if template.spec.model_name == model.metadata.name else None,
        inventory=NODES,
        run=DiscoveryRun(may_start=True),
        rights=PodRights("aim-system", "aim-system", frozenset({"runner"}), frozenset({"s", "c"})),
    )
    return plan_service_template(observed, NOW)


def served(spec: Spec, *, cluster: bool) -> Plan:
    """Plan a service that uses the template."""
    return serving.plan_serving(
        model=serving.model({}, cluster=cluster),
        templates=[serving.template(spec, cluster=cluster)],
        caches=[serving.cache(cluster=cluster)],
    )


def worlds(kind: str) -> dict[str, World]:
    cluster = kind == "AIMClusterServiceTemplate"
    return {
        "usual": lambda spec: plan({"modelSources": [serving.WEIGHTS], **spec}, cluster=cluster),
        "discovering": lambda spec: plan(spec, cluster=cluster),
        "served": lambda spec: served(spec, cluster=cluster),
        "cpu": lambda spec: served({"hardware": {"cpu": {"requests": "2"}}, **spec}, cluster=cluster),
    }


@pytest.mark.parametrize(("kind", "path"), [(kind, path) for kind, (_, fields) in KINDS.items() for path in fields])
def test_a_field_shows_where_it_should(kind: str, path: str) -> None:
    assert_effect(path, KINDS[kind][1][path], worlds(kind))


@pytest.mark.parametrize("path", WITHOUT_EFFECT)
@pytest.mark.parametrize("kind", KINDS)
def test_a_field_without_effect_changes_nothing(kind: str, path: str) -> None:
    assert_no_effect(path, WITHOUT_EFFECT[path], worlds(kind))


@pytest.mark.parametrize(("resource", "fields"), KINDS.values(), ids=KINDS)
def test_every_field_of_the_schema_has_a_row(resource: ApiResource, fields: dict[str, Row]) -> None:
    assert_complete(resource, fields, WITHOUT_EFFECT)
