"""Labels of an image's configuration. tests/faults has whole inspections."""

from typing import Any

import pytest

from aimd.registry.access import repository_target
from aimd.registry.failures import Problem, RegistryError
from aimd.registry.images import labels_of

TARGET = repository_target("r.io", "o/x", "1")


@pytest.mark.parametrize(
    ("config", "labels"),
    [
        ({"config": {"Labels": {"a": "b"}}}, {"a": "b"}),
        ({"config": {"Labels": None}}, {}),
        ({"config": {}}, {}),
        ({"config": []}, {}),
        ({}, {}),
    ],
)
def test_labels(config: dict[str, Any], labels: dict[str, str]) -> None:
    assert labels_of(config, TARGET) == labels


@pytest.mark.parametrize("labels", [[], "a", {"a": 1}, {"a": None}])
def test_labels_that_are_not_texts(labels: object) -> None:
    with pytest.raises(RegistryError, match=r"r\.io/o/x:1 has labels that are not strings") as raised:
        labels_of({"config": {"Labels": labels}}, TARGET)
    assert raised.value.failure.problem is Problem.CONTENT
