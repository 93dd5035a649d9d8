"""No field of an AIMService is without effect: each, when set, changes an object, the status or a condition.

`FIELDS` has a row for every leaf of the schema; a new field without a row fails. The worlds of its rows are `usual`
(model, template and cache Ready), `uncached` (no cache yet), `choice` (a template that is not optimized) and `bare`
(nothing).
"""

from datetime import datetime
from typing import Any

import pytest

from aimd.api.kinds import AIM_SERVICE_RESOURCE
from aimd.planning.service.plan import plan_service
from tests.unit.planning.field_effects import Row, assert_complete, assert_shows, variable_rows
from tests.unit.planning.service.makers import Maker

MODEL_SOURCE = {"modelId": "acme/tiny", "sourceUri": "hf://acme/tiny"}
CUSTOM = {"baseImage": "registry/base:1", "modelSources": [MODEL_SOURCE], "hardware": {"gpu": {"requests": 1}}}
GATEWAY = {"name": "public", "namespace": "gateways"}
ROUTING = {"enabled": True, "gatewayRef": GATEWAY}
QUERY = {"query": "vllm:num_requests_running"}
TARGET = {"type": "Value", "value": "1"}
NAMED = {"template": {"name": "qwen-latency"}}

CONTAINER = "InferenceService.spec.predictor.containers[]"
METRIC = "InferenceService.spec.predictor.autoScaling.metrics[]"
CACHE = "AIMTemplateCache"
MADE = "AIMModel"
DERIVED = "AIMServiceTemplate"
ROUTE = "HTTPRoute.spec"


def custom(**changes: Any) -> dict[str, Any]:
    return {"model": {"custom": {**CUSTOM, **changes}}}


def weights(**changes: Any) -> dict[str, Any]:
    return custom(modelSources=[{**MODEL_SOURCE, **changes}])


def hardware(side: str, **values: Any) -> dict[str, Any]:
    return custom(hardware={side: values})


def overridden(side: str, **values: Any) -> dict[str, Any]:
    return {**NAMED, "overrides": {"hardware": {side: values}}}


def scaled(target: dict[str, Any] = TARGET, type_: str = "PodMetric", **metric: Any) -> dict[str, Any]:
    pod_metric = {"metric": {**QUERY, **metric}, "target": target}
    return {"autoScaling": {"metrics": [{"type": type_, "podmetric": pod_metric}]}}


def routed(**changes: Any) -> dict[str, Any]:
    return {"routing": {**ROUTING, **changes}}


def through(**changes: Any) -> dict[str, Any]:
    return routed(gatewayRef={**GATEWAY, **changes})


FIELDS: dict[str, Row] = {
    "model.name": Row({}, {"model": {"name": "other"}}, "conditions.ModelReady.reason"),
    "model.image": Row(
        {"model": {"image": "registry/aim:1"}}, {"model": {"image": "registry/aim:2"}}, f"{MADE}.spec.image", "bare"
    ),
    "model.custom.baseImage": Row(custom(), custom(baseImage="registry/base:2"), f"{MADE}.spec.image", "bare"),
    "model.custom.modelSources[].modelId": Row(
        weights(), weights(modelId="acme/other"), f"{MADE}.spec.modelSources[].modelId", "bare"
    ),
    "model.custom.modelSources[].sourceUri": Row(
        weights(), weights(sourceUri="hf://acme/other"), f"{MADE}.spec.modelSources[].sourceUri", "bare"
    ),
    "model.custom.modelSources[].size": Row(
        weights(), weights(size="16Gi"), f"{MADE}.spec.modelSources[].size", "bare"
    ),
    "model.custom.modelSources[].precision": Row(
        weights(), weights(precision="fp8"), f"{MADE}.spec.modelSources[].precision", "bare"
    ),
    **variable_rows(
        "model.custom.modelSources[].env[]",
        f"{MADE}.spec.modelSources[].env[]",
        lambda env: weights(env=env),
        "bare",
    ),
    **{
        f"model.custom.hardware.{side}.{leaf}": Row(
            hardware(side, **{**base, leaf: before}),
            hardware(side, **{**base, leaf: after}),
            f"{MADE}.spec.custom.hardware.{side}.{leaf}",
            "bare",
        )
        for side, base, leaf, before, after in (
            ("gpu", {"requests": 1}, "requests", 1, 2),
            ("gpu", {"requests": 1}, "model", "MI300X", "MI325X"),
            ("gpu", {"requests": 1}, "minVram", "64Gi", "128Gi"),
            ("gpu", {"requests": 1}, "resourceName", "amd.com/gpu", "amd.com/cpx"),
            ("cpu", {"requests": "1"}, "requests", "1", "2"),
            ("cpu", {"requests": "1"}, "limits", "1", "2"),
        )
    },
    "template.name": Row({}, {"template": {"name": "missing"}}, "conditions.TemplateReady.reason"),
    "template.allowUnoptimized": Row(
        {}, {"template": {"allowUnoptimized": True}}, "conditions.TemplateReady.reason", "choice"
    ),
    "caching.mode": Row({}, {"caching": {"mode": "Dedicated"}}, f"{CACHE}.spec.mode"),
    "cacheModel": Row({}, {"cacheModel": False}, "conditions.FieldsIgnored.message"),
    "replicas": Row({}, {"replicas": 2}, "InferenceService.spec.predictor.minReplicas"),
    "minReplicas": Row({"maxReplicas": 5}, {"minReplicas": 2, "maxReplicas": 5}, "status.runtime.minReplicas"),
    "maxReplicas": Row({"minReplicas": 1}, {"minReplicas": 1, "maxReplicas": 5}, "status.runtime.maxReplicas"),
    "autoScaling.metrics[].type": Row({}, scaled(), f"{METRIC}.type"),
    "autoScaling.metrics[].podmetric.metric.backend": Row({}, scaled(), f"{METRIC}.podmetric.metric.backend"),
    "autoScaling.metrics[].podmetric.metric.serverAddress": Row(
        scaled(), scaled(serverAddress="scaler:4317"), f"{METRIC}.podmetric.metric.serverAddress"
    ),
    "autoScaling.metrics[].podmetric.metric.metricNames[]": Row(
        scaled(), scaled(metricNames=["a"]), f"{METRIC}.podmetric.metric.metricNames[]"
    ),
    "autoScaling.metrics[].podmetric.metric.query": Row(
        scaled(), scaled(query="other"), f"{METRIC}.podmetric.metric.query"
    ),
    "autoScaling.metrics[].podmetric.metric.operationOverTime": Row(
        scaled(), scaled(operationOverTime="max"), f"{METRIC}.podmetric.metric.operationOverTime"
    ),
    "autoScaling.metrics[].podmetric.target.type": Row(
        scaled(), scaled({"type": "AverageValue", "averageValue": "1"}), f"{METRIC}.podmetric.target.type"
    ),
    "autoScaling.metrics[].podmetric.target.value": Row(
        scaled(), scaled({**TARGET, "value": "2"}), f"{METRIC}.podmetric.target.value"
    ),
    "autoScaling.metrics[].podmetric.target.averageValue": Row(
        scaled({"type": "AverageValue", "averageValue": "1"}),
        scaled({"type": "AverageValue", "averageValue": "2"}),
        f"{METRIC}.podmetric.target.averageValue",
    ),
    "autoScaling.metrics[].podmetric.target.averageUtilization": Row(
        scaled(), scaled({"type": "Utilization", "averageUtilization": 50}), "conditions.HPAReady.message"
    ),
    "runtimeConfigName": Row({}, {"runtimeConfigName": "missing"}, "conditions.RuntimeConfigReady.reason"),
    **variable_rows("env[]", f"{CONTAINER}.env[]", lambda env: {"env": env}),
    "resources.limits": Row({}, {"resources": {"limits": {"cpu": "8"}}}, f"{CONTAINER}.resources.limits.cpu"),
    "resources.requests": Row({}, {"resources": {"requests": {"cpu": "8"}}}, f"{CONTAINER}.resources.requests.cpu"),
    "resources.claims[].name": Row(
        {}, {"resources": {"claims": [{"name": "gpu"}]}}, "conditions.FieldsIgnored.message"
    ),
    "resources.claims[].request": Row(
        {}, {"resources": {"claims": [{"name": "gpu", "request": "one"}]}}, "conditions.FieldsIgnored.message"
    ),
    "overrides.metric": Row(NAMED, {**NAMED, "overrides": {"metric": "throughput"}}, f"{DERIVED}.spec.metric"),
    "overrides.precision": Row(NAMED, {**NAMED, "overrides": {"precision": "fp8"}}, f"{DERIVED}.spec.precision"),
    **{
        f"overrides.hardware.{side}.{leaf}": Row(
            before, overridden(side, **values), f"{DERIVED}.spec.hardware.{side}.{leaf}"
        )
        for side, leaf, before, values in (
            ("gpu", "requests", NAMED, {"requests": 2}),
            ("gpu", "model", NAMED, {"model": "MI325X"}),
            ("gpu", "minVram", NAMED, {"minVram": "64Gi"}),
            ("gpu", "resourceName", NAMED, {"resourceName": "amd.com/cpx"}),
            ("cpu", "requests", NAMED, {"requests": "2"}),
            ("cpu", "limits", overridden("cpu", requests="1"), {"requests": "1", "limits": "2"}),
        )
    },
    "routing.enabled": Row(routed(enabled=False), routed(), f"{ROUTE}.parentRefs[].name"),
    "routing.pathTemplate": Row(
        routed(), routed(pathTemplate="/{.metadata.name}"), f"{ROUTE}.rules[].matches[].path.value"
    ),
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
    "storage.defaultStorageClassName": Row(
        {}, {"storage": {"defaultStorageClassName": "fast"}}, f"{CACHE}.spec.storageClassName", "uncached"
    ),
    "storage.readOnly": Row(
        {}, {"storage": {"readOnly": False}}, "InferenceService.spec.predictor.containers[].volumeMounts[]"
    ),
    "storage.pvcHeadroomPercent": Row(
        {}, {"storage": {"pvcHeadroomPercent": 25}}, f"{CACHE}.metadata.annotations.", "uncached"
    ),
    "imagePullSecrets[].name": Row(
        {}, {"imagePullSecrets": [{"name": "registry"}]}, "InferenceService.spec.predictor.imagePullSecrets[].name"
    ),
    "serviceAccountName": Row(
        {}, {"serviceAccountName": "runner"}, "InferenceService.spec.predictor.serviceAccountName"
    ),
}


@pytest.mark.parametrize("path", FIELDS)
def test_a_field_shows_where_it_should(
    observed: Maker, service_manifest: Maker, model: Maker, template: Maker, cache: Maker, now: datetime, path: str
) -> None:
    row = FIELDS[path]
    latency = {"metadata": {"metric": "latency", "type": "unoptimized"}}
    worlds: dict[str, dict[str, Any]] = {
        "usual": {"models": [model()], "templates": [template()], "caches": [cache()]},
        "uncached": {"models": [model()], "templates": [template()]},
        "choice": {
            "models": [model()],
            "templates": [
                template(labels={"aim.eai.amd.com/origin": "auto-generated"}, status_fields={"profile": latency})
            ],
        },
        "bare": {},
    }
    before, after = (
        plan_service(observed(service=service_manifest(**spec), **worlds[row.world]), now)
        for spec in (row.before, row.after)
    )
    assert_shows(path, row, before, after)


def test_every_field_of_the_schema_has_a_row() -> None:
    assert_complete(AIM_SERVICE_RESOURCE, FIELDS, {})


@pytest.mark.parametrize(
    ("spec", "named"),
    [
        ({"cacheModel": True}, "spec.cacheModel"),
        ({"resources": {"claims": [{"name": "a"}, {"name": "b", "request": "one"}]}}, "claims (a, b/one)"),
        ({"replicas": 3, "minReplicas": 1}, "spec.replicas 3"),
        ({"overrides": {"hardware": {"gpu": {"minVram": "64Gi"}}}}, "hardware.gpu.minVram"),
        ({"overrides": {"hardware": {"cpu": {"requests": "1"}}}}, "hardware.cpu"),
    ],
)
def test_a_field_that_changes_nothing_is_said(
    observed: Maker, service_manifest: Maker, now: datetime, spec: dict[str, Any], named: str
) -> None:
    """Prove SVC-STA-3."""
    (condition,) = plan_service(observed(service=service_manifest(**spec)), now).extra_conditions
    assert (condition.type, condition.reason) == ("FieldsIgnored", "FieldsWithoutEffect")
    assert named in condition.message


@pytest.mark.parametrize("spec", [{}, {"replicas": 3}, {"replicas": 1, "minReplicas": 1}, {**NAMED, "overrides": {}}])
def test_nothing_is_said_of_fields_that_count(
    observed: Maker, service_manifest: Maker, now: datetime, spec: dict[str, Any]
) -> None:
    assert plan_service(observed(service=service_manifest(**spec)), now).extra_conditions == ()
