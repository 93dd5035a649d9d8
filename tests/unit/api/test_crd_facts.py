"""The rendered CRDs against the published API, path by path (tests/data/crd_facts.json).

Everything must be equal. What may differ is listed below and checked to be exactly that: three defaults that hid
"unset" are gone, source URIs have a stricter pattern, and fields, enum values and rules are added. A new field that the
published API doesn't have gets a row in `ADDED`.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aimd.api.crd import render
from aimd.api.kinds import RESOURCES, ApiResource
from aimd.api.source_uri import SOURCE_URI_PATTERN
from tests.guides import ADD_A_FIELD, ADD_A_KIND

DATA = json.loads((Path(__file__).parents[2] / "data" / "crd_facts.json").read_text(encoding="utf-8"))

HEADROOM_DEFAULT = {("spec.storage.pvcHeadroomPercent", "default")}
TEMPLATE_TYPE_DEFAULT = {("spec.customTemplates[].type", "default")}
DROPPED: dict[str, set[tuple[str, str]]] = {
    "AIMArtifact": {("spec.modelDownloadImage", "default")},
    "AIMService": HEADROOM_DEFAULT,
    "AIMRuntimeConfig": HEADROOM_DEFAULT,
    "AIMClusterRuntimeConfig": HEADROOM_DEFAULT,
    "AIMModel": TEMPLATE_TYPE_DEFAULT,
    "AIMClusterModel": TEMPLATE_TYPE_DEFAULT,
}


STRING = {"type": "string"}
OBJECT = {"type": "object"}
LIST = {"type": "array"}
ANYTHING = {"x-kubernetes-preserve-unknown-fields": True}


def profile_fields(parent: str) -> dict[str, dict[str, Any]]:
    return {
        f"{parent}.aimId": STRING,
        f"{parent}.modelId": STRING,
        f"{parent}.customProfile": OBJECT,
        f"{parent}.customProfile.engineArgs": ANYTHING,
        f"{parent}.customProfile.envVars": OBJECT,
        f"{parent}.customProfile.envVars{{}}": STRING,
    }


def weights(*parents: str) -> dict[str, dict[str, Any]]:
    values = ["bf16", "fp16", "fp32", "fp4", "fp8", "int4", "int8"]
    return {f"{parent}.modelSources[].precision": {**STRING, "enum": values} for parent in parents}


PUBLISHED_SOURCE_URI = r"^(hf|s3)://[^ \t\r\n]+$"
"""Accepts URIs that no downloader can work with, such as `s3:///x` and `hf://a/b/c`; the rendered pattern does not."""
INSPECTED: dict[str, dict[str, Any]] = {
    "status.inspectedImage": STRING,
    "status.imageProfiles": OBJECT,
    "status.imageProfiles.source": {**STRING, "enum": ["Labels", "None", "Registry"]},
    "status.imageProfiles.digest": STRING,
    "status.imageProfiles.message": STRING,
    "status.imageProfiles.profiles": LIST,
    "status.imageProfiles.profiles[]": OBJECT,
    **{
        f"status.imageProfiles.profiles[].{name}": STRING
        for name in ("profileId", "gpuModel", "cpuModel", "metric", "precision", "type", "engine")
    },
    **{
        f"status.imageProfiles.profiles[].{name}": {"type": "integer", "format": "int32"}
        for name in ("gpuCount", "cpuCount")
    },
}
VERSION = {"status.version": STRING}
ABOUT_MODEL = {**VERSION, "spec.imageMetadata.baseImageRef": STRING, "status.imageMetadata.baseImageRef": STRING}
IDENTITY = {**VERSION, "status.profile.metadata.aimId": STRING, "status.profile.metadata.modelId": STRING}
READ_ONLY: dict[str, dict[str, Any]] = {"spec.storage.readOnly": {"type": "boolean"}}
ADDED: dict[str, dict[str, dict[str, Any]]] = {
    "AIMTemplateCache": weights("spec"),
    "AIMService": {
        **weights("spec.model.custom"),
        **READ_ONLY,
        "status.templateCandidates": LIST,
        "status.templateCandidates[]": OBJECT,
        "status.templateCandidates[].name": STRING,
        "status.templateCandidates[].scope": STRING,
        "status.templateCandidates[].verdict": STRING,
    },
    "AIMModel": {**INSPECTED, **ABOUT_MODEL, **weights("spec"), **profile_fields("spec.customTemplates[]")},
    "AIMClusterModel": {**INSPECTED, **ABOUT_MODEL, **weights("spec"), **profile_fields("spec.customTemplates[]")},
    "AIMServiceTemplate": {**profile_fields("spec"), **IDENTITY, **weights("spec", "status")},
    "AIMRuntimeConfig": READ_ONLY,
    "AIMClusterRuntimeConfig": {
        **READ_ONLY,
        "spec.routing.requiredPathPrefix": {**STRING, "maxLength": 1024},
        "spec.routing.allowedGateways": {**LIST, "maxItems": 64},
        "spec.routing.allowedGateways[]": OBJECT,
        "spec.routing.allowedGateways[].namespace": {**STRING, "minLength": 1, "maxLength": 63},
        "spec.routing.allowedGateways[].name": {**STRING, "minLength": 1, "maxLength": 253},
        "spec.routing.allowedAnnotationPrefixes": {**LIST, "maxItems": 64},
        "spec.routing.allowedAnnotationPrefixes[]": STRING,
    },
    "AIMClusterServiceTemplate": {**profile_fields("spec"), **IDENTITY, **weights("spec", "status")},
}
"""Fields that the published API doesn't have, and the facts of their schemas but for CEL rules."""
ADDED_VALUES = {
    frozenset({"auto", "fp4", "fp8", "fp16", "fp32", "bf16", "int4", "int8"}): "fp64",
    frozenset({"optimized", "preview", "unoptimized"}): "general",
}
"""Values that an enum of the published API gained."""
TEMPLATE_PROFILE_RULE = (
    "!has(self.customProfile) || (has(self.aimId) && has(self.modelId) && has(self.hardware)"
    " && has(self.metric) && has(self.precision))"
)
MODEL_PROFILE_RULE = (
    "!has(self.customProfile) || (has(self.aimId) && has(self.modelId) && has(self.hardware)"
    " && has(self.profile) && has(self.profile.metric) && has(self.profile.precision))"
)
ADDED_RULES: dict[str, set[tuple[str, str]]] = {
    "AIMModel": {("spec.customTemplates[]", MODEL_PROFILE_RULE)},
    "AIMClusterModel": {("spec.customTemplates[]", MODEL_PROFILE_RULE)},
    "AIMServiceTemplate": {("spec", TEMPLATE_PROFILE_RULE)},
    "AIMClusterServiceTemplate": {("spec", TEMPLATE_PROFILE_RULE)},
}

STRUCTURE = ("properties", "items", "additionalProperties", "required", "description", "anyOf")
RULES = "x-kubernetes-validations"


def expected_fields(kind: str) -> dict[str, dict[str, Any]]:
    """The published fields with references to core types written out."""
    assert kind in DATA["crds"], f"the published API has no {kind}; {ADD_A_KIND}"

    def expand(prefix: str, fields: dict[str, dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
        for path, facts in fields.items():
            full = ".".join(part for part in (prefix, path) if part)
            inner = dict(expand(full, DATA["refs"][facts["ref"]])) if "ref" in facts else {}
            own = {key: value for key, value in facts.items() if key != "ref"}
            yield full, inner.pop(full, {}) | own
            yield from inner.items()

    return dict(expand("", DATA["crds"][kind]["fields"]))


def rendered_fields(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """The same form, from a rendered schema."""
    for name, child in sorted(schema.get("properties", {}).items()):
        full = f"{path}.{name}" if path else name
        yield full, facts_of(child, required=name in schema.get("required", ()))
        yield from rendered_fields(child, full)
    for keyword, suffix in (("items", "[]"), ("additionalProperties", "{}")):
        if keyword in schema:
            yield path + suffix, facts_of(schema[keyword], required=False)
            yield from rendered_fields(schema[keyword], path + suffix)


def facts_of(schema: dict[str, Any], *, required: bool) -> dict[str, Any]:
    facts = {key: value for key, value in schema.items() if key not in STRUCTURE}
    if "anyOf" in schema:
        assert schema["anyOf"] == [{"type": "integer"}, {"type": "string"}]
        facts["type"] = "quantity"
    return facts | {"required": True} if required else facts


def rules(facts: dict[str, Any]) -> set[str]:
    return {rule["rule"] for rule in facts.get(RULES, ())}


def schema_of(resource: ApiResource) -> dict[str, Any]:
    (version,) = render(resource)["spec"]["versions"]
    schema: dict[str, Any] = version["schema"]["openAPIV3Schema"]
    return schema


def comparable(facts: dict[str, Any]) -> dict[str, Any]:
    """Facts but for the CEL rules; the order of an enum says nothing."""
    return {key: sorted(value) if key == "enum" else value for key, value in facts.items() if key != RULES}


def without_added_bounds(path: str, facts: dict[str, Any], published: dict[str, Any]) -> dict[str, Any]:
    """Facts but for the bounds that a spec gained: everything that a user fills has one (OBJ-BND-2)."""
    added = {"maxLength", "maxItems", "maxProperties"} - set(published) if path.startswith("spec") else set()
    return {key: value for key, value in facts.items() if key not in added}


@pytest.fixture(params=RESOURCES, ids=lambda resource: resource.kind)
def resource(request: pytest.FixtureRequest) -> ApiResource:
    selected: ApiResource = request.param
    return selected


def test_same_kinds() -> None:
    assert {resource.kind for resource in RESOURCES} == set(DATA["crds"])


def test_names_columns_and_subresources(resource: ApiResource) -> None:
    expected = DATA["crds"][resource.kind]
    spec = render(resource)["spec"]
    (version,) = spec["versions"]
    assert render(resource)["metadata"]["name"] == f"{expected['plural']}.{expected['group']}"
    assert spec["group"] == expected["group"]
    assert spec["scope"] == expected["scope"]
    assert spec["names"] == {"kind": resource.kind} | {
        key: expected[key] for key in ("listKind", "plural", "singular", "shortNames", "categories")
    }
    assert (version["name"], version["served"], version["storage"]) == (expected["version"], True, True)
    assert list(version["subresources"]) == expected["subresources"]
    columns = [
        [column["name"], column["type"], column["jsonPath"], column.get("priority", 0)]
        for column in version.get("additionalPrinterColumns", ())
    ]
    wanted = [*expected["printerColumns"]]
    if resource.kind in ("AIMModel", "AIMClusterModel"):
        wanted.insert(3, ["Version", "string", ".status.version", 0])
    assert columns == wanted


def test_nothing_is_required_at_the_root(resource: ApiResource) -> None:
    schema = schema_of(resource)
    assert "required" not in schema
    assert set(schema["properties"]) == {"apiVersion", "kind", "metadata", "spec", "status"}
    assert schema["properties"]["metadata"] == {"type": "object"}


def test_no_path_is_missing_and_no_other_was_added(resource: ApiResource) -> None:
    expected = expected_fields(resource.kind)
    rendered = {path for path, _ in rendered_fields(schema_of(resource)) if path.startswith(("spec", "status"))}
    added = set(ADDED.get(resource.kind, ()))
    assert rendered - set(expected) - added == set(), f"add these fields to ADDED above; {ADD_A_FIELD}"
    assert added - rendered == set(), "remove these fields from ADDED above: the schema doesn't have them"
    assert added & set(expected) == set(), "remove these fields from ADDED above: the published API has them"
    assert set(expected) - rendered == set(), "the published API has these fields: clients rely on them"


def test_facts_of_every_path(resource: ApiResource) -> None:
    rendered = dict(rendered_fields(schema_of(resource)))
    dropped = DROPPED.get(resource.kind, set())
    for path, facts in expected_fields(resource.kind).items():
        wanted = {key: value for key, value in facts.items() if (path, key) not in dropped}
        if path.endswith("sourceUri") and facts.get("pattern") == PUBLISHED_SOURCE_URI:
            wanted["pattern"] = SOURCE_URI_PATTERN
        if (values := frozenset(facts.get("enum", ()))) in ADDED_VALUES:
            wanted["enum"] = [*values, ADDED_VALUES[values]]
        assert comparable(without_added_bounds(path, rendered[path], wanted)) == comparable(wanted), path
    for path, keyword in dropped:
        assert keyword in expected_fields(resource.kind)[path], f"{path} needs no exception"
        assert keyword not in rendered[path]


def test_rules_of_every_path(resource: ApiResource) -> None:
    rendered = dict(rendered_fields(schema_of(resource)))
    added = ADDED_RULES.get(resource.kind, set())
    for path, facts in expected_fields(resource.kind).items():
        assert rules(rendered[path]) == rules(facts) | {rule for where, rule in added if where == path}, (
            f"{path}: add a new rule to ADDED_RULES above; {ADD_A_FIELD}"
        )
        messages = {rule["rule"]: rule["message"] for rule in rendered[path].get(RULES, ())}
        for rule in facts.get(RULES, ()):
            assert rule.get("message", messages[rule["rule"]]) == messages[rule["rule"]], path


def test_every_text_list_and_map_of_a_spec_is_bounded(resource: ApiResource) -> None:
    """Prove OBJ-BND-2."""
    for path, facts in rendered_fields(schema_of(resource)):
        if not path.startswith("spec") or "enum" in facts or "format" in facts:
            continue
        if facts.get("type") in ("string", "quantity"):
            assert "maxLength" in facts, path
        if facts.get("type") == "array":
            assert "maxItems" in facts, path
    maps = [schema for _, schema in maps_of(schema_of(resource)["properties"]["spec"])]
    assert all("maxProperties" in schema for schema in maps)


def maps_of(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    inner = [*schema.get("properties", {}).items()]
    inner += [(keyword, schema[keyword]) for keyword in ("items", "additionalProperties") if keyword in schema]
    if "additionalProperties" in schema:
        yield "", schema
    for _, child in inner:
        yield from maps_of(child)


def test_added_fields(resource: ApiResource) -> None:
    rendered = dict(rendered_fields(schema_of(resource)))
    added_rules = ADDED_RULES.get(resource.kind, set())
    for path, facts in ADDED.get(resource.kind, {}).items():
        assert "required" not in rendered[path], f"{path}: objects that exist lack an added field"
        found = without_added_bounds(path, rendered[path], facts)
        assert comparable(found) == comparable(facts), f"{path}: write its facts in ADDED; {ADD_A_FIELD}"
        assert rules(rendered[path]) == {rule for where, rule in added_rules if where == path}, (
            f"{path}: add its rules to ADDED_RULES; {ADD_A_FIELD}"
        )
