"""Models that are created for an image or a description."""

from datetime import datetime
from typing import Any

import pytest

from aimd.api.model import AIMModel
from aimd.planning.service.plan import plan_service
from tests.unit.planning.service.makers import Maker
from tests.unit.planning.service.plans import reasons, rendered, root


def test_a_model_is_made_for_an_image_that_has_none(observed: Maker, service_manifest: Maker, now: datetime) -> None:
    """Prove SVC-MDL-4."""
    wanted = service_manifest(
        model={"image": "amdenterpriseai/aim-qwen-qwen3-32b:0.8.5"},
        runtimeConfigName="default",
        imagePullSecrets=[{"name": "regcred"}],
        serviceAccountName="puller",
        env=[{"name": "X", "value": "1"}],
    )
    plan = plan_service(observed(service=wanted), now)
    assert reasons(plan)["Model"] == "CreatingModel"
    assert root(plan, now) == "Pending"
    model = rendered(plan, "AIMModel")
    assert model["metadata"]["name"] == "aim-qwen-qwen3-32b-0-8-5-cdc1fb22"
    assert model["metadata"]["labels"]["aim.eai.amd.com/origin"] == "auto-generated"
    assert "ownerReferences" not in model["metadata"]
    assert model["spec"] == {
        "image": "amdenterpriseai/aim-qwen-qwen3-32b:0.8.5",
        "runtimeConfigName": "default",
        "imagePullSecrets": [{"name": "regcred"}],
        "serviceAccountName": "puller",
    }


@pytest.mark.parametrize(
    ("custom", "name"),
    [
        (
            {
                "baseImage": "amdenterpriseai/aim-base:0.9",
                "modelSources": [{"modelId": "Qwen/Qwen2-0.5B", "sourceUri": "hf://Qwen/Qwen2-0.5B"}],
            },
            "qwen-qwen2-0-5b-8cd3ca3d",
        ),
        (
            {
                "baseImage": "ghcr.io/silogen/aim-dummy:0.1.10",
                "modelSources": [
                    {
                        "modelId": "shared/s3-endpoint-model",
                        "sourceUri": "s3://test-bucket/model",
                        "env": [{"name": "AWS_ENDPOINT_URL", "value": "https://minio-a.example.com"}],
                    }
                ],
            },
            "shared-s3-endpoint-model-6b8c5ec3",
        ),
    ],
)
def test_a_model_described_in_place_is_made(
    observed: Maker, service_manifest: Maker, now: datetime, custom: Any, name: Any
) -> None:
    hardware = {"gpu": {"requests": 1, "model": "MI300X"}}
    env = [{"name": "X", "value": "1"}]
    wanted = service_manifest(model={"custom": {**custom, "hardware": hardware}}, env=env)
    model = rendered(plan_service(observed(service=wanted), now), "AIMModel")
    assert model["metadata"]["name"] == name
    assert model["metadata"]["labels"]["aim.eai.amd.com/custom-model"] == "true"
    assert model["spec"]["modelSources"] == custom["modelSources"]
    assert model["spec"]["custom"] == {"hardware": hardware}
    assert model["spec"]["env"] == env

    taken = AIMModel.model_validate({**model, "metadata": {**model["metadata"], "uid": "other"}})
    other = service_manifest(model={"custom": {**custom, "hardware": {"gpu": {"requests": 2, "model": "MI300X"}}}})
    second = rendered(plan_service(observed(service=other, models=[taken]), now), "AIMModel")
    assert second["metadata"]["name"] != name
    same = plan_service(observed(service=wanted, models=[taken]), now)
    assert [item for item in same.desired if item.kind.name == "AIMModel"] == []


def test_an_image_that_is_none_makes_no_model(observed: Maker, service_manifest: Maker, now: datetime) -> None:
    broken = plan_service(observed(service=service_manifest(model={"image": "registry/aim:"})), now)
    assert reasons(broken)["Model"] == "InvalidImageReference"
    assert root(broken, now) == "Failed"
