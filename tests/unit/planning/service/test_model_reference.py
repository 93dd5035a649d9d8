"""Which model a service serves."""

from datetime import datetime

import pytest

from aimd.api.model import AIMModel
from aimd.planning.component import may_apply
from aimd.planning.service.plan import plan_service
from tests.unit.planning.service.makers import Maker
from tests.unit.planning.service.plans import component, reasons, root, summary


def test_nothing_exists_but_a_named_model_is_missed(observed: Maker, now: datetime) -> None:
    """Prove SVC-MDL-2 and SVC-ORD-1."""
    plan = plan_service(observed(), now)
    assert reasons(plan)["Model"] == "ModelNotFound"
    assert "AIMModel ml-team/qwen" in component(plan, "Model").effective_message
    assert "AIMClusterModel qwen" in component(plan, "Model").effective_message
    assert not may_apply(plan.components)
    assert root(plan, now) == "Failed"
    conditions = {item.type: item for item in summary(plan, now).conditions}
    assert (conditions["ConfigValid"].status, conditions["ConfigValid"].reason) == ("False", "ReferenceNotFound")


def test_a_made_model_that_was_given_another_image_is_not_turned_back(
    observed: Maker, service_manifest: Maker, now: datetime
) -> None:
    """Prove SVC-MDL-4."""
    image = "amdenterpriseai/aim-qwen-qwen3-32b:0.8.5"
    metadata = {"name": "aim-qwen-qwen3-32b-0-8-5-cdc1fb22", "namespace": "ml-team"}
    edited = AIMModel.model_validate({"metadata": metadata, "spec": {"image": "other:1"}})
    plan = plan_service(observed(service=service_manifest(model={"image": image}), models=[edited]), now)
    assert reasons(plan)["Model"] == "ModelNameTaken"
    assert root(plan, now) == "Failed"


def test_image_with_several_models_is_decided(
    observed: Maker, service_manifest: Maker, model: Maker, template: Maker, now: datetime
) -> None:
    """Prove SVC-MDL-3."""
    models = [model("b"), model("a"), model("c", namespace=""), model("never", status="Pending")]
    manifest = service_manifest(model={"image": "registry/aim:1"})
    plan = plan_service(observed(service=manifest, models=models), now)
    assert plan.status["resolvedModel"]["name"] == "a"


def test_a_custom_model_matches_by_sources_and_hardware(
    observed: Maker, service_manifest: Maker, model: Maker, now: datetime
) -> None:
    """Prove SVC-MDL-5."""
    source = {"modelId": "a/b", "sourceUri": "hf://a/b"}
    custom = {"baseImage": "base:1", "modelSources": [source], "hardware": {"gpu": {"requests": 1}}}
    manifest = service_manifest(model={"custom": custom})
    same = {"image": "base:1", "modelSources": [source]}
    fits = model("fits", **same, custom={"hardware": {"gpu": {"requests": 1}}})
    larger = model("a-larger", **same, custom={"hardware": {"gpu": {"requests": 2}}})
    elsewhere = {**source, "env": [{"name": "AWS_ENDPOINT_URL", "value": "https://x"}]}
    other = model("a-other", image="base:1", modelSources=[elsewhere], custom={"hardware": {"gpu": {"requests": 1}}})
    plan = plan_service(observed(service=manifest, models=[larger, other, fits]), now)
    assert plan.status["resolvedModel"]["name"] == "fits"
    without = plan_service(observed(service=manifest, models=[larger, other]), now)
    assert "resolvedModel" not in without.status
    message = "No model with base image base:1 and the sources and hardware of the service exists"
    assert component(without, "Model").message.startswith(message), "one with other hardware does exist"


def test_the_remembered_model_stays_while_ready(
    observed: Maker, service_manifest: Maker, model: Maker, now: datetime
) -> None:
    """Prove SVC-MDL-1."""
    stored = {"resolvedModel": {"name": "qwen", "scope": "Cluster"}}
    fields = {"service": service_manifest(status=stored)}
    plan = plan_service(observed(models=[model(), model(namespace="")], **fields), now)
    assert plan.status["resolvedModel"]["scope"] == "Cluster"
    plan = plan_service(observed(models=[model(), model(namespace="", status="Failed")], **fields), now)
    assert plan.status["resolvedModel"]["scope"] == "Namespace"


@pytest.mark.parametrize(
    ("status", "state"), [("Progressing", "Pending"), ("Pending", "Pending"), ("Failed", "Failed")]
)
def test_models_that_are_not_ready(
    observed: Maker, model: Maker, template: Maker, now: datetime, status: str, state: str
) -> None:
    plan = plan_service(observed(models=[model(status=status)], templates=[template()]), now)
    assert reasons(plan)["Model"] == "ModelNotReady"
    assert root(plan, now) == state
