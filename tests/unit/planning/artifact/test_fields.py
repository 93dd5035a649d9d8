"""Every field of an AIMArtifact has an effect, unless it is documented to have none.

`FIELDS` has a row for every leaf of the schema; a new field without a row fails.
"""

from typing import Any

import pytest

from aimd.api.artifact import AIMArtifact
from aimd.api.kinds import AIM_ARTIFACT_RESOURCE
from aimd.planning.artifact.observed import LiveClaim, ObservedArtifact
from aimd.planning.artifact.plan import plan_artifact
from aimd.planning.plan import Plan
from aimd.planning.runtime_config import resolve_config
from aimd.planning.settings import ControllerSettings
from aimd.runtime.objects import Manifest
from tests.unit.planning.field_effects import (
    NOW,
    Ignored,
    Row,
    Spec,
    World,
    assert_complete,
    assert_effect,
    assert_no_effect,
    variable_rows,
)

CLAIM: Manifest = {
    "metadata": {"name": "weights-cache", "namespace": "ml-team", "uid": "cu"},
    "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "18Gi"}}},
    "status": {"phase": "Bound", "capacity": {"storage": "18Gi"}},
}
POD = "Job.spec.template.spec"
CONTAINER = f"{POD}.containers[]"

FIELDS: dict[str, Row] = {
    "sourceUri": Row({}, {"sourceUri": "hf://acme/other"}, f"{CONTAINER}.args[]", "claimed"),
    "size": Row({"size": "1Gi"}, {"size": "2Gi"}, "PersistentVolumeClaim.spec.resources.requests.storage", "new"),
    "storageClassName": Row({}, {"storageClassName": "fast"}, "PersistentVolumeClaim.spec.storageClassName", "new"),
    **variable_rows("env[]", f"{CONTAINER}.env[]", lambda env: {"env": env}, "claimed"),
    "modelDownloadImage": Row({}, {"modelDownloadImage": "registry/own:1"}, f"{CONTAINER}.image", "claimed"),
    "imagePullSecrets[].name": Row(
        {}, {"imagePullSecrets": [{"name": "registry"}]}, f"{POD}.imagePullSecrets[].name", "claimed"
    ),
    "runtimeConfigName": Row({}, {"runtimeConfigName": "missing"}, "conditions.RuntimeConfigReady.reason", "new"),
}
WITHOUT_EFFECT: dict[str, Ignored] = {
    "modelId": Ignored({}, {"modelId": "acme/other"}, "informational: the mount path follows from the template cache"),
}


def plan(spec: Spec, **observed: Any) -> Plan:
    artifact = AIMArtifact.model_validate(
        {
            "metadata": {"name": "weights", "namespace": "ml-team", "uid": "au"},
            "spec": {"sourceUri": "hf://acme/tiny", **spec},
        }
    )
    config = resolve_config(artifact.spec.runtime_config_name, None, None, namespace="ml-team")
    settings = ControllerSettings(downloader_image="aimd:test")
    return plan_artifact(ObservedArtifact(artifact, config, settings, **observed), NOW)


WORLDS: dict[str, World] = {
    "new": lambda spec: plan({"size": "16Gi", **spec}),
    "unsized": plan,
    "claimed": lambda spec: plan({"size": "16Gi", **spec}, claim=LiveClaim(CLAIM)),
}


@pytest.mark.parametrize("path", FIELDS)
def test_a_field_shows_where_it_should(path: str) -> None:
    assert_effect(path, FIELDS[path], WORLDS)


@pytest.mark.parametrize("path", WITHOUT_EFFECT)
def test_a_field_without_effect_changes_nothing(path: str) -> None:
    assert_no_effect(path, WITHOUT_EFFECT[path], WORLDS)


def test_every_field_of_the_schema_has_a_row() -> None:
    assert_complete(AIM_ARTIFACT_RESOURCE, FIELDS, WITHOUT_EFFECT)
