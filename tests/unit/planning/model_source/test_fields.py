"""Every field of an AIMClusterModelSource has an effect.

`FIELDS` has a row for every leaf of the schema; a new field without a row fails.
"""

import pytest

from aimd.api.kinds import AIM_CLUSTER_MODEL_SOURCE_RESOURCE
from aimd.api.model_source import AIMClusterModelSource
from aimd.planning.model_source.filters import FilterInvalid, matching
from aimd.planning.model_source.plan import (
    FilterResult,
    ObservedSource,
    filters_of,
    interval_seconds,
    plan_model_source,
    result_of,
)
from aimd.planning.plan import Plan
from aimd.planning.runtime_config import ResolvedConfig
from tests.unit.planning.field_effects import NOW, Row, Spec, World, assert_complete, assert_effect

REGISTRIES = {
    "docker.io": {"acme/aim-a": ["1.0.0", "2.0.0"], "acme/aim-b": ["1.0.0"]},
    "ghcr.io": {"acme/aim-a": ["3.0.0"]},
}
IMAGE = "AIMClusterModel.spec.image"


def filtered(**changes: object) -> Spec:
    return {"filters": [{"image": "acme/aim-*", **changes}]}


FIELDS: dict[str, Row] = {
    "filters[].image": Row(filtered(), filtered(image="acme/aim-b"), IMAGE),
    "filters[].exclude[]": Row(filtered(), filtered(exclude=["acme/aim-b"]), IMAGE),
    "filters[].versions[]": Row(filtered(), filtered(versions=[">=2.0.0"]), IMAGE),
    "registry": Row({}, {"registry": "ghcr.io"}, IMAGE),
    "versions[]": Row({}, {"versions": [">=2.0.0"]}, IMAGE),
    "syncInterval": Row({}, {"syncInterval": "30m"}, "requeue"),
    "maxModels": Row({}, {"maxModels": 1}, "status.modelsLimitReached"),
    "imagePullSecrets[].name": Row(
        {}, {"imagePullSecrets": [{"name": "registry"}]}, "AIMClusterModel.spec.imagePullSecrets[].name"
    ),
}


def results_of(source: AIMClusterModelSource) -> tuple[FilterResult, ...]:
    """What the registries list for the filters of a source."""
    results: list[FilterResult] = []
    for wanted in filters_of(source):
        assert not isinstance(wanted, FilterInvalid), wanted.message
        listed = REGISTRIES[wanted.registry]
        results.append(result_of(wanted, matching(wanted, listed), (), sum(map(len, listed.values()))))
    return tuple(results)


def plan(spec: Spec) -> Plan:
    """Plan a source that lists its registries now."""
    source = AIMClusterModelSource.model_validate(
        {"metadata": {"name": "catalog", "uid": "su"}, "spec": {**filtered(), **spec}}
    )
    observed = ObservedSource(
        source, ResolvedConfig(), results_of(source), listed_at=NOW, again_after=interval_seconds(source)
    )
    return plan_model_source(observed, NOW)


WORLDS: dict[str, World] = {"usual": plan}


@pytest.mark.parametrize("path", FIELDS)
def test_a_field_shows_where_it_should(path: str) -> None:
    assert_effect(path, FIELDS[path], WORLDS)


def test_every_field_of_the_schema_has_a_row() -> None:
    assert_complete(AIM_CLUSTER_MODEL_SOURCE_RESOURCE, FIELDS, {})
