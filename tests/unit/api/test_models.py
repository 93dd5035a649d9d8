"""The models read whatever the API server can hand out, and give back what they read."""

from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings
from pydantic import ValidationError

from aimd.api.artifact import AIMArtifact
from aimd.api.core import EnvVar, ObjectMeta
from aimd.api.crd import render
from aimd.api.kinds import RESOURCES, ApiResource
from aimd.api.model import AIMModel
from aimd.api.service import AIMService, AIMServiceSpec, ModelReference
from aimd.api.service_template import AIMServiceTemplate
from aimd.api.shared import Metric, Scope

JSON = st.recursive(
    st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)
QUANTITIES = st.sampled_from(["1", "500m", "16Gi", "1.5", "0", "1e3", "12E"])
TIMES = st.sampled_from(["2026-01-02T03:04:05Z", "2026-01-02T03:04:05.678901234+02:00"])


def values(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """What the schema accepts. Patterns and lengths are left out: reading does not look at them."""
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        return JSON
    if schema.get("x-kubernetes-int-or-string"):
        return QUANTITIES
    if "enum" in schema:
        return st.sampled_from(schema["enum"]) | st.just("WordOfAnOlderSchema")
    match schema["type"]:
        case "string":
            return TIMES if schema.get("format") == "date-time" else st.text(max_size=5)
        case "integer":
            return st.integers(-5, 2**31 - 1)
        case "boolean":
            return st.booleans()
        case "array":
            return st.lists(values(schema["items"]), max_size=2)
    if "additionalProperties" in schema:
        return st.dictionaries(st.text(max_size=5), values(schema["additionalProperties"]), max_size=2)
    return structures(schema)


def structures(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    members = {name: values(child) for name, child in schema["properties"].items()}
    required = {name: member for name, member in members.items() if name in schema.get("required", ())}
    optional = {name: member for name, member in members.items() if name not in required}
    return st.fixed_dictionaries(required, optional=optional)


def objects(resource: ApiResource) -> st.SearchStrategy[Any]:
    """Objects of a kind, from the smallest to full ones."""
    root = render(resource)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    metadata = st.fixed_dictionaries(
        {"name": st.text(max_size=5)},
        optional={
            "namespace": st.text(max_size=5),
            "uid": st.uuids().map(str),
            "generation": st.integers(1, 9),
            "resourceVersion": st.integers(1, 99).map(str),
            "creationTimestamp": TIMES,
            "deletionTimestamp": TIMES,
            "labels": st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2),
            "finalizers": st.lists(st.text(max_size=3), max_size=2),
            "ownerReferences": st.just(
                [{"apiVersion": "v1", "kind": "A", "name": "a", "uid": "u", "controller": True}]
            ),
        },
    )
    header = {"apiVersion": st.just(resource.api_version), "kind": st.just(resource.kind), "metadata": metadata}
    return st.fixed_dictionaries(header, optional={part: values(root[part]) for part in ("spec", "status")})


by_kind = pytest.mark.parametrize("resource", RESOURCES, ids=lambda resource: resource.kind)


@by_kind
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_whatever_the_schema_accepts_parses_and_round_trips(resource: ApiResource, data: st.DataObject) -> None:
    manifest = data.draw(objects(resource))
    parsed = resource.model.model_validate(manifest)
    assert parsed.manifest() == manifest
    assert resource.model.model_validate(parsed.manifest()) == parsed


@by_kind
def test_an_empty_object_reads_as_defaults(resource: ApiResource) -> None:
    parsed: Any = resource.model.model_validate({})
    assert parsed.metadata == ObjectMeta()
    assert parsed.status.conditions == ()
    assert parsed.manifest() == {}
    assert resource.model.model_validate({"spec": None, "status": None, "metadata": None}) == parsed


@by_kind
def test_python_defaults_equal_schema_defaults(resource: ApiResource) -> None:
    """A missing parent reads like a present empty one that the API server filled."""
    root = render(resource)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    parsed: Any = resource.model.model_validate({})
    for part in ("spec", "status"):
        for name, schema in root[part]["properties"].items():
            if "default" in schema:
                fields = {
                    field.alias: attribute for attribute, field in type(getattr(parsed, part)).model_fields.items()
                }
                assert getattr(getattr(parsed, part), fields[name]) == schema["default"]


def test_unknown_fields_are_ignored_and_numbers_read_as_quantities() -> None:
    artifact = AIMArtifact.model_validate(
        {
            "metadata": {"name": "a", "managedFields": [{}], "selfLink": "x"},
            "spec": {"sourceUri": "hf://org/name", "size": 5, "fromTheFuture": {"a": 1}},
            "status": {"status": "Warm", "allocatedSize": 0},
        }
    )
    assert (artifact.spec.source_uri, artifact.spec.size) == ("hf://org/name", "5")
    assert (artifact.status.status, artifact.status.allocated_size) == ("Warm", "0")


def test_nulls_count_as_absent_except_inside_free_form_content() -> None:
    template = AIMServiceTemplate.model_validate(
        {
            "spec": {
                "modelName": None,
                "env": [{"name": "A", "value": None, "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}],
                "customProfile": {"engineArgs": {"a": None}},
            }
        }
    )
    assert template.spec.model_name == ""
    assert template.spec.env == (EnvVar(name="A", value_from={"secretKeyRef": {"name": "s", "key": "k"}}),)
    assert template.spec.custom_profile is not None
    assert template.spec.custom_profile.engine_args == {"a": None}


def test_absent_can_be_told_from_empty() -> None:
    absent = AIMService.model_validate({"spec": {"model": {"name": "m"}}})
    empty = AIMService.model_validate({"spec": {"model": {"name": "m"}, "routing": {"pathTemplate": ""}}})
    assert absent.spec.routing is None
    assert empty.spec.routing is not None
    assert empty.spec.routing.model_fields_set == {"path_template"}


def test_what_the_api_server_leaves_unset_is_seen_as_unset() -> None:
    service = AIMService.model_validate({"spec": {"model": {"name": "m"}, "storage": {}}})
    assert service.spec.storage is not None
    assert service.spec.storage.pvc_headroom_percent is None
    assert AIMArtifact().spec.model_download_image == ""
    model = AIMModel.model_validate({"spec": {"image": "i", "customTemplates": [{"name": "t"}]}})
    assert model.spec.custom_templates[0].type == ""


def test_models_can_be_built_by_attribute_and_dumped_as_manifest() -> None:
    spec = AIMServiceSpec(model=ModelReference(name="qwen"), env=(EnvVar(name="A", value="1"),), min_replicas=2)
    assert spec.manifest() == {
        "model": {"name": "qwen"},
        "env": [{"name": "A", "value": "1"}],
        "minReplicas": 2,
    }


def test_models_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        AIMService().spec.replicas = 2  # type: ignore[misc]  # what mypy refuses, pydantic must refuse, too


def test_words_compare_with_plain_text() -> None:
    template = AIMServiceTemplate.model_validate({"spec": {"metric": "latency"}})
    assert template.spec.metric == Metric.LATENCY
    assert f"{Scope.CLUSTER}" == "Cluster"


def test_snake_case_of_discovered_profiles() -> None:
    status = {"profile": {"engine_args": {"tp": 1}, "env_vars": {"A": "1"}, "metadata": {"gpuCount": 1}}}
    template = AIMServiceTemplate.model_validate({"status": status})
    assert template.status.profile is not None
    assert template.status.profile.engine_args == {"tp": 1}
    assert template.status.profile.env_vars == {"A": "1"}
    assert template.status.manifest() == status
