"""Fields that are set and have no effect."""

from datetime import datetime
from typing import Any

import pytest

from aimd.planning.service.ignored_fields import ignored_fields_condition
from aimd.planning.service.plan import plan_service
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


def test_variables_that_the_profile_sets_are_named(
    observed: Maker, service_manifest: Maker, model: Maker, template: Maker, cache: Maker, now: datetime
) -> None:
    """Prove SVC-ENV-7 and SVC-STA-3."""
    env = [{"name": "NCCL_DEBUG", "value": "INFO"}, {"name": "SAME", "value": "1"}, {"name": "MINE", "value": "1"}]
    profile = {"envVars": {"NCCL_DEBUG": "WARN", "SAME": "1", "OTHER": "1"}}
    custom = template(
        aimId="a/b",
        modelId="a/b",
        metric="latency",
        precision="fp16",
        hardware={"gpu": {"model": "MI300X", "requests": 1}},
        customProfile=profile,
    )
    output = {"filename": "vllm-x.yaml", "profile": {"aim_id": "a/b"}}
    found = {"originalDiscoveryOutput": output, "env_vars": profile["envVars"], "metadata": {"metric": "latency"}}
    discovered = template(status_fields={"profile": found})
    named = template(status_fields={"profile": found}, profileId="vllm-x")

    def notes(chosen: Any, *more: dict[str, str]) -> list[str]:
        seen = observed(
            service=service_manifest(env=[*env, *more]), models=[model()], templates=[chosen], caches=[cache()]
        )
        return [item.message for item in plan_service(seen, now).extra_conditions]

    for chosen in (custom, discovered, named):
        (message,) = notes(chosen)
        assert message.startswith("spec.env NCCL_DEBUG has no effect: the profile that runs sets it")
        assert not notes(chosen, {"name": "AIM_PROFILE_ID", "value": "another"})
    assert not notes(discovered, {"name": "AIM_METRIC", "value": "throughput"})
