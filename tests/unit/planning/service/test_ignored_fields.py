"""Fields that are set and have no effect."""

from typing import Any

import pytest

from aimd.planning.service.ignored_fields import ignored_fields_condition
from tests.unit.planning.service.makers import Maker

NARROW = {"hardware": {"gpu": {"minVram": "100Gi"}, "cpu": {"requests": "4"}}}


@pytest.mark.parametrize(
    ("spec", "fields"),
    [
        ({"cacheModel": False}, ["spec.cacheModel"]),
        ({"resources": {"claims": [{"name": "gpu", "request": "one"}]}}, ["spec.resources.claims (gpu/one)"]),
        ({"replicas": 3, "minReplicas": 1}, ["spec.replicas 3"]),
        ({"overrides": NARROW}, ["spec.overrides.hardware.gpu.minVram", "spec.overrides.hardware.cpu"]),
    ],
)
def test_the_condition_names_what_has_no_effect(service: Maker, spec: dict[str, Any], fields: list[str]) -> None:
    """Prove SVC-STA-3."""
    condition = ignored_fields_condition(service(**spec).spec)
    assert condition is not None
    assert (condition.type, condition.status, condition.reason) == ("FieldsIgnored", "True", "FieldsWithoutEffect")
    notes = condition.message.split("; ")
    assert len([note for note in notes if "has no effect" in note]) == len(fields)
    assert all(field in condition.message for field in fields)


@pytest.mark.parametrize(
    "spec", [{}, {"replicas": 3}, {"minReplicas": 1}, {"overrides": NARROW, "template": {"name": "qwen-latency"}}]
)
def test_without_such_fields_there_is_no_condition(service: Maker, spec: dict[str, Any]) -> None:
    """Prove SVC-STA-3."""
    assert ignored_fields_condition(service(**spec).spec) is None
