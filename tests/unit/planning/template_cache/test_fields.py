"""Every field of an AIMTemplateCache has an effect.

`FIELDS` has a row for every leaf of the schema; a new field without a row fails.
"""

import pytest

from aimd.api.kinds import AIM_TEMPLATE_CACHE_RESOURCE
from aimd.api.service_template import AIMServiceTemplate
from aimd.api.template_cache import AIMTemplateCache
from aimd.planning.plan import Plan
from aimd.planning.runtime_config import resolve_config
from aimd.planning.template_cache.plan import ObservedTemplateCache, plan_template_cache
from tests.unit.planning.field_effects import (
    NOW,
    Ignored,
    Row,
    Spec,
    World,
    assert_complete,
    assert_effect,
    assert_no_effect,
    source_rows,
    variable_rows,
)

ARTIFACT = "AIMArtifact.spec"
LABELS = "AIMArtifact.metadata.labels.aim.eai.amd.com"
WEIGHTS = {"modelId": "acme/base", "sourceUri": "hf://acme/base"}

FIELDS: dict[str, Row] = {
    "templateName": Row({}, {"templateName": "other"}, "conditions.ServiceTemplateReady.reason"),
    "templateScope": Row({}, {"templateScope": "Unknown"}, f"{LABELS}/template.scope"),
    "mode": Row({}, {"mode": "Dedicated"}, "AIMArtifact.metadata.ownerReferences"),
    **source_rows("modelSources[]", ARTIFACT, lambda source: {"modelSources": [source]}, described=False),
    **variable_rows("env[]", f"{ARTIFACT}.env[]", lambda env: {"env": env}),
    "storageClassName": Row({}, {"storageClassName": "fast"}, f"{ARTIFACT}.storageClassName"),
    "downloadImage": Row({}, {"downloadImage": "registry/own:1"}, f"{ARTIFACT}.modelDownloadImage"),
    "imagePullSecrets[].name": Row(
        {}, {"imagePullSecrets": [{"name": "registry"}]}, f"{ARTIFACT}.imagePullSecrets[].name"
    ),
    "runtimeConfigName": Row({}, {"runtimeConfigName": "missing"}, "conditions.RuntimeConfigReady.reason"),
}

WITHOUT_EFFECT: dict[str, Ignored] = {
    "modelSources[].precision": Ignored(
        {"modelSources": [WEIGHTS]},
        {"modelSources": [{**WEIGHTS, "precision": "fp8"}]},
        "describes the weights to users of a template: a cache downloads them as they are",
    )
}


def plan(spec: Spec) -> Plan:
    """Plan a cache whose template lists weights that no artifact holds yet."""
    cache = AIMTemplateCache.model_validate(
        {
            "metadata": {"name": "weights", "namespace": "ml-team", "uid": "cu"},
            "spec": {"templateName": "latency", "templateScope": "Namespace", **spec},
        }
    )
    template = AIMServiceTemplate.model_validate(
        {
            "metadata": {"name": "latency", "namespace": "ml-team", "uid": "tu"},
            "status": {"status": "Ready", "modelSources": [WEIGHTS]},
        }
    )
    found = template if cache.spec.template_name == template.metadata.name else None
    config = resolve_config(cache.spec.runtime_config_name, None, None, namespace="ml-team")
    return plan_template_cache(ObservedTemplateCache(cache, config, found), NOW)


WORLDS: dict[str, World] = {"usual": plan}


@pytest.mark.parametrize("path", FIELDS)
def test_a_field_shows_where_it_should(path: str) -> None:
    assert_effect(path, FIELDS[path], WORLDS)


@pytest.mark.parametrize("path", WITHOUT_EFFECT)
def test_a_field_without_effect_changes_nothing(path: str) -> None:
    assert_no_effect(path, WITHOUT_EFFECT[path], WORLDS)


def test_every_field_of_the_schema_has_a_row() -> None:
    assert_complete(AIM_TEMPLATE_CACHE_RESOURCE, FIELDS, WITHOUT_EFFECT)
