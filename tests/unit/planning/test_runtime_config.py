"""Resolution and merge of runtime configs."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimd.api.runtime_config import AIMClusterRuntimeConfig, AIMRuntimeConfig
from aimd.planning.component import Direction, State
from aimd.planning.runtime_config import (
    ResolvedConfig,
    config_component,
    plan_runtime_config,
    resolve_config,
    tolerated,
)
from aimd.runtime.objects import Category


def namespaced(**spec: Any) -> AIMRuntimeConfig:
    return AIMRuntimeConfig.model_validate(
        {"metadata": {"name": "default", "namespace": "ml-team", "uid": "n"}, "spec": spec}
    )


def cluster(**spec: Any) -> AIMClusterRuntimeConfig:
    return AIMClusterRuntimeConfig.model_validate({"metadata": {"name": "default", "uid": "c"}, "spec": spec})


def merged(lower: dict[str, Any], upper: dict[str, Any]) -> ResolvedConfig:
    return resolve_config("default", namespaced(**upper), cluster(**lower), namespace="ml-team")


def test_default_may_be_absent() -> None:
    """Prove CFG-FND-1."""
    for name in ("", "default"):
        config = resolve_config(name, None, None, namespace="ml-team")
        assert config.failure is None
        assert config_component(config).effective_reason == "DefaultConfigNotFound"


def test_a_named_config_must_exist() -> None:
    """Prove CFG-FND-1."""
    config = resolve_config("team", None, None, namespace="ml-team")
    assert config.failure is not None
    assert config.failure.category is Category.MISSING_UPSTREAM
    component = config_component(config)
    assert (component.effective_reason, component.blocks_apply) == ("ReferenceNotFound", True)
    assert "team" in component.effective_message
    assert config_component(config, missing_reason="ConfigNotFound").effective_reason == "ConfigNotFound"


def test_an_object_that_needs_its_config_no_more_keeps_going() -> None:
    """Prove CFG-FND-3."""
    component = tolerated(config_component(resolve_config("team", None, None, namespace="ml-team")))
    assert (component.effective_state, component.blocks_apply) == (State.READY, False)
    assert component.direction is Direction.UPSTREAM


@pytest.mark.parametrize(
    ("one", "other", "kind", "scope", "uid"),
    [
        (namespaced(), None, "aim.eai.amd.com/v1alpha1/AIMRuntimeConfig", "Namespace", "n"),
        (None, cluster(), "aim.eai.amd.com/v1alpha1/AIMClusterRuntimeConfig", "Cluster", "c"),
        (namespaced(), cluster(), "aim.eai.amd.com/v1alpha1/AIMRuntimeConfig", "Namespace", "n"),
    ],
)
def test_the_reference_names_the_stronger_object(one: Any, other: Any, kind: str, scope: str, uid: str) -> None:
    """Prove CFG-FND-4."""
    reference = resolve_config("", one, other, namespace="ml-team").reference
    assert reference is not None
    assert (reference["kind"], reference["scope"], reference["uid"], reference["name"]) == (kind, scope, uid, "default")
    assert reference.get("namespace") == ("ml-team" if scope == "Namespace" else None)


def test_what_is_set_in_the_namespace_wins_zero_or_not() -> None:
    """Prove CFG-MRG-1."""
    config = merged(
        {"routing": {"enabled": True, "pathTemplate": "/x"}, "storage": {"pvcHeadroomPercent": 25}},
        {"routing": {"enabled": False, "pathTemplate": ""}, "storage": {"pvcHeadroomPercent": 0}},
    )
    assert config.routing.enabled is False
    assert config.routing.path_template == ""
    assert config.headroom_percent == 0


def test_the_cluster_fills_what_the_namespace_leaves_out() -> None:
    """Prove CFG-MRG-1."""
    config = merged(
        {"storage": {"defaultStorageClassName": "nfs", "pvcHeadroomPercent": 25}, "routing": {"requestTimeout": "5m"}},
        {"storage": {"defaultStorageClassName": "fast"}, "routing": {"enabled": True}},
    )
    assert (config.storage_class_name, config.headroom_percent) == ("fast", 25)
    assert (config.routing.enabled, config.routing.request_timeout) == (True, "5m")


def test_headroom_is_ten_when_nobody_says_otherwise() -> None:
    assert resolve_config("", None, None).headroom_percent == 10
    assert merged({"storage": {"defaultStorageClassName": "nfs"}}, {}).headroom_percent == 10


@pytest.mark.parametrize(
    ("spec", "storage_class", "headroom"),
    [
        ({"defaultStorageClassName": "old"}, "old", 10),
        ({"pvcHeadroomPercent": 5}, "", 5),
        ({"defaultStorageClassName": "old", "pvcHeadroomPercent": 5}, "old", 5),
        ({"defaultStorageClassName": "old", "storage": {"defaultStorageClassName": "new"}}, "new", 10),
        ({"pvcHeadroomPercent": 5, "storage": {"pvcHeadroomPercent": 0}}, "", 0),
    ],
)
def test_deprecated_fields_move_unless_the_new_ones_are_set(
    spec: dict[str, Any], storage_class: str, headroom: int
) -> None:
    """Prove CFG-MRG-4."""
    config = resolve_config("", namespaced(**spec), None, namespace="ml-team")
    assert (config.storage_class_name, config.headroom_percent) == (storage_class, headroom)


def test_an_empty_deprecated_class_makes_no_storage() -> None:
    config = resolve_config("", namespaced(defaultStorageClassName=""), None, namespace="ml-team")
    assert config.spec.storage is None


def test_gateway_is_replaced_whole_annotations_merge_by_key() -> None:
    """Prove CFG-MRG-2."""
    config = merged(
        {"routing": {"gatewayRef": {"name": "a", "namespace": "infra"}, "annotations": {"x": "1", "y": "2"}}},
        {"routing": {"gatewayRef": {"name": "b"}, "annotations": {"y": "", "z": "3"}}},
    )
    assert config.routing.gateway_ref is not None
    assert (config.routing.gateway_ref.name, config.routing.gateway_ref.namespace) == ("b", "")
    assert config.routing.annotations == {"x": "1", "y": "", "z": "3"}


def test_env_merges_by_name_and_engine_arguments_deeply() -> None:
    """Prove CFG-MRG-2 and OBJ-ENV-1."""
    config = merged(
        {"env": [{"name": "A", "value": "1"}, {"name": "AIM_ENGINE_ARGS", "value": '{"x":{"a":1},"l":[1]}'}]},
        {"env": [{"name": "AIM_ENGINE_ARGS", "value": '{"x":{"b":2},"l":[2]}'}, {"name": "B", "value": "2"}]},
    )
    assert [variable.name for variable in config.spec.env] == ["A", "AIM_ENGINE_ARGS", "B"]
    assert config.spec.env[1].value == '{"l":[2],"x":{"a":1,"b":2}}'


def test_a_model_of_the_namespace_replaces_that_of_the_cluster() -> None:
    """Prove SVC-ENV-3: no image starts with both variables."""
    config = merged({"env": [{"name": "AIM_ID", "value": "a/b"}]}, {"env": [{"name": "AIM_MODEL_ID", "value": "c/d"}]})
    assert [(variable.name, variable.value) for variable in config.spec.env] == [("AIM_MODEL_ID", "c/d")]


@pytest.mark.parametrize(
    ("lower", "upper", "patterns"),
    [
        ({"enabled": True, "match": ["team-*"]}, {"enabled": False, "match": ["cost-*"]}, ("cost-*",)),
        ({"enabled": True, "match": ["team-*"]}, {"enabled": False}, ("team-*",)),
        ({"enabled": False, "match": ["team-*"]}, {"enabled": False}, ()),
        ({"enabled": False, "match": ["team-*"]}, {"enabled": True}, ("team-*",)),
    ],
)
def test_label_propagation(lower: dict[str, Any], upper: dict[str, Any], patterns: tuple[str, ...]) -> None:
    """Prove CFG-MRG-3."""
    assert merged({"labelPropagation": lower}, {"labelPropagation": upper}).label_patterns == patterns


def test_malformed_patterns_are_said() -> None:
    """Prove CFG-CHK-1."""
    plan = plan_runtime_config(namespaced(labelPropagation={"enabled": True, "match": ["team-[", "ok-*"]}))
    assert [component.effective_reason for component in plan.components] == ["MalformedPattern"]
    assert plan_runtime_config(cluster()).components == ()


@pytest.mark.parametrize(
    ("routing", "reason"),
    [
        ({"pathTemplate": "/{.metadata.name}/x", "requestTimeout": "2h30m"}, ""),
        ({"pathTemplate": "/{.metadata.labels['not there']}"}, ""),  # some service may have the label
        ({"pathTemplate": "/{.metadata.name"}, "PathTemplateInvalid"),
        ({"pathTemplate": "/{.spec.env[*].name}"}, "PathTemplateInvalid"),
        ({"requestTimeout": "3 minutes"}, "InvalidSpec"),
    ],
)
def test_routing_that_no_service_can_use_is_said(routing: dict[str, str], reason: str) -> None:
    """Prove CFG-CHK-1."""
    plan = plan_runtime_config(namespaced(routing=routing))
    assert [component.effective_reason for component in plan.components] == ([reason] if reason else [])
    assert plan.desired == ()


optional_texts = st.fixed_dictionaries({}, optional={"defaultStorageClassName": st.sampled_from(["", "a", "b"])})
environments = st.dictionaries(st.sampled_from("ABC"), st.text(max_size=3), max_size=3).map(
    lambda values: [{"name": name, "value": value} for name, value in values.items()]
)
specs = st.fixed_dictionaries(
    {},
    optional={
        "storage": optional_texts,
        "defaultStorageClassName": st.sampled_from(["", "old"]),
        "routing": st.fixed_dictionaries({}, optional={"enabled": st.booleans()}),
        "env": environments,
    },
)


@given(specs, specs)
def test_merging_is_total_and_with_itself_changes_nothing(lower: dict[str, Any], upper: dict[str, Any]) -> None:
    assert merged(lower, upper).failure is None
    once = merged(lower, {})
    twice = merged(lower, lower)
    assert (once.storage_class_name, once.routing.enabled) == (twice.storage_class_name, twice.routing.enabled)
    assert {v.name: v.value for v in once.spec.env} == {v.name: v.value for v in twice.spec.env}
