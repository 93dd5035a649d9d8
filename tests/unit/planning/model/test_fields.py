"""Every field of an AIMModel and an AIMClusterModel has an effect, unless it is documented to have none.

`FIELDS` has a row for every leaf of the schema; a new field without a row fails. Some fields show only on a service
that uses the model.
"""

from typing import Any

import pytest

from aimd.api.kinds import AIM_CLUSTER_MODEL_RESOURCE, AIM_MODEL_RESOURCE, ApiResource
from aimd.planning.model.observed import ObservedModel
from aimd.planning.model.plan import plan_model
from aimd.planning.plan import Plan
from aimd.planning.runtime_config import resolve_config
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

KINDS = {"AIMModel": AIM_MODEL_RESOURCE, "AIMClusterModel": AIM_CLUSTER_MODEL_RESOURCE}
SOURCE = {"modelId": "acme/base", "sourceUri": "hf://acme/base"}
DEPLOYMENT = {"gpuModel": "MI300X", "gpuCount": 1, "metric": "latency", "precision": "fp8", "profileId": "p1"}
CONTAINER = "InferenceService.spec.predictor.containers[]"
TEMPLATE = "<template>.spec"
"""A path in the templates that the model creates, which are of its own scope."""


def entry(**values: Any) -> Spec:
    return {"customTemplates": [{"name": "own", **values}]}


def described(**values: Any) -> Spec:
    return {"imageMetadata": {"model": {"canonicalName": "acme/tiny", **values}}}


def recommended(**values: Any) -> Spec:
    return described(recommendedDeployments=[{**DEPLOYMENT, **values}])


def labeled(**values: Any) -> Spec:
    return {"imageMetadata": {"oci": {"title": "Tiny", **values}}}


def resources(**values: Any) -> Spec:
    return {"resources": values}


FIELDS: dict[str, Row] = {
    "image": Row({}, {"image": "registry/aim:2"}, "needs.InspectImage.image"),
    **source_rows("modelSources[]", f"{TEMPLATE}.modelSources[]", lambda source: {"modelSources": [source]}),
    **hardware_rows(
        "custom.hardware", f"{TEMPLATE}.hardware", lambda hardware: {"custom": {"hardware": hardware}}, "custom"
    ),
    "custom.type": Row({}, {"custom": {"type": "preview"}}, f"{TEMPLATE}.type", "custom"),
    "customTemplates[].aimId": Row(entry(), entry(aimId="acme/tiny"), f"{TEMPLATE}.aimId"),
    "customTemplates[].modelId": Row(entry(), entry(modelId="acme/tiny"), f"{TEMPLATE}.modelId"),
    "customTemplates[].customProfile.engineArgs": Row(
        entry(customProfile={"engineArgs": {"seed": 1}}),
        entry(customProfile={"engineArgs": {"seed": 2}}),
        f"{TEMPLATE}.customProfile.engineArgs.seed",
    ),
    "customTemplates[].customProfile.envVars": Row(
        entry(customProfile={"envVars": {"X": "1"}}),
        entry(customProfile={"envVars": {"X": "2"}}),
        f"{TEMPLATE}.customProfile.envVars.X",
    ),
    "customTemplates[].name": Row(entry(), entry(name="other"), "<template>.metadata.name"),
    "customTemplates[].type": Row(entry(), entry(type="preview"), f"{TEMPLATE}.type"),
    **hardware_rows("customTemplates[].hardware", f"{TEMPLATE}.hardware", lambda hardware: entry(hardware=hardware)),
    **{
        f"customTemplates[].profile.{leaf}": Row(entry(), entry(profile={leaf: value}), f"{TEMPLATE}.{leaf}")
        for leaf, value in (("metric", "latency"), ("precision", "fp8"))
    },
    **variable_rows("customTemplates[].env[]", f"{TEMPLATE}.env[]", lambda env: entry(env=env)),
    **{
        f"imageMetadata.model.{leaf}": Row(
            described(), described(**{leaf.removesuffix("[]"): value}), f"status.imageMetadata.model.{leaf}"
        )
        for leaf, value in (
            ("canonicalName", "acme/other"),
            ("source", "https://example.com"),
            ("tags[]", ["text"]),
            ("versions[]", ["1.0"]),
            ("variants[]", ["chat"]),
            ("hfTokenRequired", True),
            ("title", "Tiny"),
            ("descriptionFull", "A tiny model."),
            ("releaseNotes", "First version."),
        )
    },
    **{
        f"imageMetadata.model.recommendedDeployments[].{leaf}": Row(recommended(), recommended(**{leaf: value}), shows)
        for leaf, value, shows in (
            ("gpuModel", "MI325X", f"{TEMPLATE}.hardware.gpu.model"),
            ("gpuCount", 2, f"{TEMPLATE}.hardware.gpu.requests"),
            ("precision", "fp16", f"{TEMPLATE}.precision"),
            ("metric", "throughput", f"{TEMPLATE}.metric"),
            ("profileId", "p2", f"{TEMPLATE}.profileId"),
            (
                "description",
                "For short answers.",
                "status.imageMetadata.model.recommendedDeployments[].description",
            ),
        )
    },
    **{
        f"imageMetadata.oci.{leaf}": Row(labeled(), labeled(**{leaf: "other"}), f"status.imageMetadata.oci.{leaf}")
        for leaf in (
            "title",
            "description",
            "licenses",
            "vendor",
            "authors",
            "source",
            "documentation",
            "created",
            "revision",
            "version",
        )
    },
    "imageMetadata.baseImageRef": Row(
        {"imageMetadata": {"baseImageRef": "aim-base:0.11"}},
        {"imageMetadata": {"baseImageRef": "aim-base:0.12"}},
        "status.imageMetadata.baseImageRef",
    ),
    "imageMetadata.originalLabels": Row(
        {"imageMetadata": {"originalLabels": {"a": "1"}}},
        {"imageMetadata": {"originalLabels": {"a": "2"}}},
        "status.imageMetadata.originalLabels.a",
    ),
    "discovery.extractMetadata": Row({}, {"discovery": {"extractMetadata": False}}, "needs.InspectImage"),
    "discovery.createServiceTemplates": Row(
        {}, {"discovery": {"createServiceTemplates": False}}, "<template>.metadata.name", "custom"
    ),
    "defaultServiceTemplate": Row(
        {}, {"defaultServiceTemplate": "second"}, "conditions.TemplateReady.reason", "ambiguous"
    ),
    **variable_rows("env[]", f"{TEMPLATE}.env[]", lambda env: {"env": env}, "custom"),
    "resources.limits": Row({}, resources(limits={"cpu": "8"}), f"{CONTAINER}.resources.limits.cpu", "served"),
    "resources.requests": Row({}, resources(requests={"cpu": "8"}), f"{CONTAINER}.resources.requests.cpu", "served"),
    "runtimeConfigName": Row({}, {"runtimeConfigName": "missing"}, "conditions.RuntimeConfigReady.reason"),
    "imagePullSecrets[].name": Row(
        {}, {"imagePullSecrets": [{"name": "registry"}]}, f"{TEMPLATE}.imagePullSecrets[].name", "custom"
    ),
    "serviceAccountName": Row({}, {"serviceAccountName": "runner"}, f"{TEMPLATE}.serviceAccountName", "custom"),
}
NOT_PASSED_ON = "accepted for compatibility: aimd does not pass claims on to pods"
WITHOUT_EFFECT: dict[str, Ignored] = {
    "resources.claims[].name": Ignored({}, resources(claims=[{"name": "gpu"}]), NOT_PASSED_ON),
    "resources.claims[].request": Ignored(
        resources(claims=[{"name": "gpu"}]), resources(claims=[{"name": "gpu", "request": "one"}]), NOT_PASSED_ON
    ),
}


def plan(spec: Spec, *, cluster: bool) -> Plan:
    """Plan the model itself."""
    model = serving.model(spec, cluster=cluster)
    config = resolve_config(model.spec.runtime_config_name, None, None, namespace=model.metadata.namespace)
    return plan_model(ObservedModel(model, config), NOW)


def served(spec: Spec, templates: tuple[str, ...], *, cluster: bool) -> Plan:
    """Plan a service that uses the model with these templates."""
    return serving.plan_serving(
        model=serving.model(spec, cluster=cluster),
        templates=[serving.template({}, name, cluster=cluster) for name in templates],
        caches=[serving.cache(cluster=cluster)],
    )


def worlds(kind: str) -> dict[str, World]:
    cluster = kind == "AIMClusterModel"
    return {
        "usual": lambda spec: plan(spec, cluster=cluster),
        "custom": lambda spec: plan({"modelSources": [SOURCE], **spec}, cluster=cluster),
        "served": lambda spec: served(spec, ("latency",), cluster=cluster),
        "ambiguous": lambda spec: served(spec, ("latency", "second"), cluster=cluster),
    }


def placed(row: Row, kind: str) -> Row:
    """The row with the kind of templates that this kind of model creates."""
    template = "AIMServiceTemplate" if kind == "AIMModel" else "AIMClusterServiceTemplate"
    return Row(row.before, row.after, row.shows.replace("<template>", template), row.world)


@pytest.mark.parametrize("path", FIELDS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_field_shows_where_it_should(kind: str, path: str) -> None:
    assert_effect(path, placed(FIELDS[path], kind), worlds(kind))


@pytest.mark.parametrize("path", WITHOUT_EFFECT)
@pytest.mark.parametrize("kind", KINDS)
def test_a_field_without_effect_changes_nothing(kind: str, path: str) -> None:
    assert_no_effect(path, WITHOUT_EFFECT[path], worlds(kind))


@pytest.mark.parametrize("resource", KINDS.values(), ids=KINDS)
def test_every_field_of_the_schema_has_a_row(resource: ApiResource) -> None:
    assert_complete(resource, FIELDS, WITHOUT_EFFECT)
