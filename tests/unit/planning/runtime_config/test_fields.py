"""Every field of an AIMRuntimeConfig and an AIMClusterRuntimeConfig has an effect on objects that use the config.

`FIELDS` has a row for every leaf of the schema; a new field without a row fails.
"""

from typing import Any

import pytest

from aimd.api.artifact import AIMArtifact
from aimd.api.kinds import AIM_CLUSTER_RUNTIME_CONFIG_RESOURCE, AIM_RUNTIME_CONFIG_RESOURCE, ApiResource
from aimd.api.runtime_config import AIMClusterRuntimeConfig, AIMRuntimeConfig
from aimd.planning.artifact.observed import ObservedArtifact
from aimd.planning.artifact.plan import plan_artifact
from aimd.planning.model.observed import ObservedModel
from aimd.planning.model.plan import plan_model
from aimd.planning.plan import Plan
from aimd.planning.runtime_config import ResolvedConfig, resolve_config
from aimd.planning.settings import ControllerSettings
from tests.unit.planning import serving
from tests.unit.planning.field_effects import (
    NOW,
    Row,
    Spec,
    World,
    assert_complete,
    assert_effect,
    variable_rows,
)

KINDS = {
    "AIMRuntimeConfig": AIM_RUNTIME_CONFIG_RESOURCE,
    "AIMClusterRuntimeConfig": AIM_CLUSTER_RUNTIME_CONFIG_RESOURCE,
}
GATEWAY = {"name": "public", "namespace": "gateways"}
ROUTE = "HTTPRoute.spec"
CLASS = "PersistentVolumeClaim.spec.storageClassName"
CLAIMED = "PersistentVolumeClaim.spec.resources.requests.storage"


def routed(**changes: Any) -> Spec:
    return {"routing": {"enabled": True, "gatewayRef": GATEWAY, **changes}}


def through(**changes: Any) -> Spec:
    return routed(gatewayRef={**GATEWAY, **changes})


def propagating(**changes: Any) -> Spec:
    return {"labelPropagation": {"enabled": True, "match": ["team"], **changes}}


FIELDS: dict[str, Row] = {
    "storage.defaultStorageClassName": Row({}, {"storage": {"defaultStorageClassName": "fast"}}, CLASS, "artifact"),
    "storage.pvcHeadroomPercent": Row({}, {"storage": {"pvcHeadroomPercent": 50}}, CLAIMED, "artifact"),
    "storage.readOnly": Row(
        {}, {"storage": {"readOnly": False}}, "InferenceService.spec.predictor.containers[].volumeMounts[]"
    ),
    "routing.enabled": Row(routed(), routed(enabled=False), "HTTPRoute.metadata.name"),
    "routing.pathTemplate": Row(routed(), routed(pathTemplate="/x"), f"{ROUTE}.rules[].matches[].path.value"),
    "routing.requestTimeout": Row(routed(), routed(requestTimeout="30s"), f"{ROUTE}.rules[].timeouts.request"),
    "routing.annotations": Row(routed(), routed(annotations={"a": "b"}), "HTTPRoute.metadata.annotations.a"),
    **{
        f"routing.gatewayRef.{leaf}": Row(routed(), through(**{leaf: value}), f"{ROUTE}.parentRefs[].{leaf}")
        for leaf, value in (
            ("group", "other.io"),
            ("kind", "Other"),
            ("name", "private"),
            ("namespace", "elsewhere"),
            ("sectionName", "https"),
            ("port", 8443),
        )
    },
    **variable_rows("env[]", "InferenceService.spec.predictor.containers[].env[]", lambda env: {"env": env}),
    "labelPropagation.enabled": Row(propagating(), propagating(enabled=False), "InferenceService.metadata.labels.team"),
    "labelPropagation.match[]": Row(
        propagating(), propagating(match=["other"]), "InferenceService.metadata.labels.team"
    ),
    "model.autoDiscovery": Row({}, {"model": {"autoDiscovery": False}}, "needs.InspectImage", "model"),
    "defaultStorageClassName": Row({}, {"defaultStorageClassName": "fast"}, CLASS, "artifact"),
    "pvcHeadroomPercent": Row({}, {"pvcHeadroomPercent": 50}, CLAIMED, "artifact"),
}

POLICIES: dict[str, Row] = {
    "routing.requiredPathPrefix": Row(
        routed(), routed(requiredPathPrefix="/x"), "HTTPRoute.metadata.name", "annotated"
    ),
    "routing.allowedGateways[].namespace": Row(
        routed(allowedGateways=[GATEWAY]),
        routed(allowedGateways=[{**GATEWAY, "namespace": "x"}]),
        "HTTPRoute.metadata.name",
    ),
    "routing.allowedGateways[].name": Row(
        routed(allowedGateways=[GATEWAY]), routed(allowedGateways=[{**GATEWAY, "name": "x"}]), "HTTPRoute.metadata.name"
    ),
    "routing.allowedAnnotationPrefixes[]": Row(
        routed(), routed(allowedAnnotationPrefixes=["x/"]), "HTTPRoute.metadata.name", "annotated"
    ),
}
"""Fields of an AIMClusterRuntimeConfig alone: what services may set themselves."""

DOWNLOADS = variable_rows("env[]", "Job.spec.template.spec.containers[].env[]", lambda env: {"env": env}, "unsized")
"""Variables of a config also apply to the jobs of artifacts."""


def resolved(kind: str, spec: Spec) -> ResolvedConfig:
    """The settings in force for an object if a config of this kind is the only one."""
    if kind == "AIMRuntimeConfig":
        config = AIMRuntimeConfig.model_validate({"metadata": serving.metadata("default"), "spec": spec})
        return resolve_config("", config, None, namespace=serving.NAMESPACE)
    shared = AIMClusterRuntimeConfig.model_validate(
        {"metadata": serving.metadata("default", cluster=True), "spec": spec}
    )
    return resolve_config("", None, shared, namespace=serving.NAMESPACE)


def plan_of_service(config: ResolvedConfig) -> Plan:
    """Plan a service whose weights are cached."""
    return serving.plan_serving(
        model=serving.model({}), templates=[serving.template({})], caches=[serving.cache()], config=config
    )


def plan_of_annotated(config: ResolvedConfig) -> Plan:
    """Plan a service that has an annotation for its route."""
    spec = {"routing": {"annotations": {"a.example/b": "c"}}}
    return serving.plan_serving(model=serving.model({}), templates=[serving.template({})], config=config, spec=spec)


def plan_of_artifact(config: ResolvedConfig, size: str) -> Plan:
    """Plan an artifact that has no claim yet; without a size, a Job determines it."""
    artifact = AIMArtifact.model_validate(
        {"metadata": serving.metadata("weights"), "spec": {"sourceUri": "hf://acme/tiny", "size": size}}
    )
    return plan_artifact(ObservedArtifact(artifact, config, ControllerSettings()), NOW)


def plan_of_model(config: ResolvedConfig) -> Plan:
    """Plan a model whose image was not inspected yet."""
    return plan_model(ObservedModel(serving.model({}), config), NOW)


def worlds(kind: str) -> dict[str, World]:
    return {
        "usual": lambda spec: plan_of_service(resolved(kind, spec)),
        "annotated": lambda spec: plan_of_annotated(resolved(kind, spec)),
        "artifact": lambda spec: plan_of_artifact(resolved(kind, spec), "16Gi"),
        "unsized": lambda spec: plan_of_artifact(resolved(kind, spec), ""),
        "model": lambda spec: plan_of_model(resolved(kind, spec)),
    }


@pytest.mark.parametrize("path", FIELDS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_field_shows_where_it_should(kind: str, path: str) -> None:
    assert_effect(path, FIELDS[path], worlds(kind))


@pytest.mark.parametrize("path", POLICIES)
def test_a_policy_of_the_cluster_shows_in_routes(path: str) -> None:
    """Prove SVC-RTE-11."""
    assert_effect(path, POLICIES[path], worlds("AIMClusterRuntimeConfig"))


@pytest.mark.parametrize("path", DOWNLOADS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_variable_shows_in_downloads(kind: str, path: str) -> None:
    assert_effect(path, DOWNLOADS[path], worlds(kind))


@pytest.mark.parametrize(("kind", "resource"), KINDS.items(), ids=KINDS)
def test_every_field_of_the_schema_has_a_row(kind: str, resource: ApiResource) -> None:
    assert_complete(resource, FIELDS | (POLICIES if kind == "AIMClusterRuntimeConfig" else {}), {})
