"""The CRDs as files, as documentation and as structural schemas."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from aimd.api.core import ApiObject
from aimd.api.crd import render, render_all, write_crds
from aimd.api.kinds import RESOURCES, ApiResource
from aimd.api.schema import ApiModel, Rule, Schema
from tests.guides import ADD_A_FIELD

CHECKED_IN = Path(__file__).parents[3] / "crds"


@pytest.fixture(params=RESOURCES, ids=lambda resource: resource.kind)
def resource(request: pytest.FixtureRequest) -> ApiResource:
    selected: ApiResource = request.param
    return selected


@cache
def rendered() -> dict[str, str]:
    return render_all()


def nodes(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    for keyword, suffix in (("items", "[]"), ("additionalProperties", "{}")):
        if keyword in schema:
            yield from nodes(schema[keyword], path + suffix)


def schema_of(resource: ApiResource) -> dict[str, Any]:
    schema: dict[str, Any] = render(resource)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


def test_checked_in_files_are_current() -> None:
    found = {path.name: path.read_text(encoding="utf-8") for path in CHECKED_IN.glob("*.yaml")}
    wanted = rendered()
    stale = {name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name)}
    assert stale == set(), f"run `make crds` and commit crds/; {ADD_A_FIELD}"


def test_write_crds_writes_what_render_all_returns(tmp_path: Path) -> None:
    written = write_crds(tmp_path / "new" / "folder")
    assert {path.name: path.read_text(encoding="utf-8") for path in written} == rendered()
    assert [yaml.safe_load(path.read_text(encoding="utf-8")) for path in written] == [
        render(resource) for resource in RESOURCES
    ]


def test_every_field_has_a_description(resource: ApiResource) -> None:
    for path, schema in nodes(schema_of(resource)):
        if path == ".metadata" or (path.endswith(("[]", "{}")) and "properties" not in schema):
            continue
        text = schema.get("description", "")
        assert text.endswith((".", ")")), f"{path}: describe it in a docstring below the field; {ADD_A_FIELD}"
        assert "\n " not in text, path
        assert "  " not in text, path


def test_every_rule_has_a_one_line_message(resource: ApiResource) -> None:
    for path, schema in nodes(schema_of(resource)):
        for rule in schema.get("x-kubernetes-validations", ()):
            assert rule["message"], f"{path}: users need a message that says what to write; {ADD_A_FIELD}"
            assert "\n" not in rule["message"], path


def test_defaults_are_valid_and_never_on_required_fields(resource: ApiResource) -> None:
    for path, schema in nodes(schema_of(resource)):
        for name, child in schema.get("properties", {}).items():
            if "default" in child:
                assert name not in schema.get("required", ()), f"{path}.{name}"
                assert child["default"] in child.get("enum", [child["default"]]), f"{path}.{name}"


def test_only_free_form_fields_keep_unknown_content(resource: ApiResource) -> None:
    kept = {
        path.removeprefix(".")
        for path, schema in nodes(schema_of(resource))
        if schema.get("x-kubernetes-preserve-unknown-fields")
    }
    profile = {"status.profile.engine_args", "status.profile.originalDiscoveryOutput"}
    allowed = {
        "AIMServiceTemplate": profile | {"spec.customProfile.engineArgs"},
        "AIMClusterServiceTemplate": profile | {"spec.customProfile.engineArgs"},
        "AIMModel": {"spec.customTemplates[].customProfile.engineArgs"},
        "AIMClusterModel": {"spec.customTemplates[].customProfile.engineArgs"},
    }
    assert kept == allowed.get(resource.kind, set()), f"give the fields a type, or allow them above; {ADD_A_FIELD}"


def test_outer_facts_win_and_rules_add_up() -> None:
    inner = Schema(minimum=1, enum=("a",), rules=(Rule("x", "1"),))
    outer = Schema(minimum=0, required=True, rules=(Rule("y", "2"),))
    assert outer.over(inner) == Schema(minimum=0, required=True, enum=("a",), rules=(Rule("y", "2"), Rule("x", "1")))


class Odd(ApiModel):
    """A structure with a type that the API does not use."""

    share: float = 0.0
    """A float."""


class OddObject(ApiObject):
    """A root object around it."""

    spec: Odd = Odd()
    """The structure."""


def test_a_type_without_an_openapi_counterpart_is_refused() -> None:
    with pytest.raises(TypeError, match="float"):
        render(ApiResource("example.com", "v1", "OddObject", "oddobjects", (), True, OddObject))
