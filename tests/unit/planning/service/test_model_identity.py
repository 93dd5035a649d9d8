"""Which models serve the same, how custom models are named, and under which token they are found."""

from typing import Any

import pytest

from aimd.api.service import CustomModelReference
from aimd.planning.service.model_identity import CustomModelIdentity, ServedWeights, same_weights
from tests.unit.planning.service.makers import Maker

WEIGHTS = {"modelId": "a/b", "sourceUri": "hf://a/b"}
ELSEWHERE = {**WEIGHTS, "env": [{"name": "AWS_ENDPOINT_URL", "value": "https://minio.example.com"}]}
FROM_SECRET = {
    **WEIGHTS,
    "env": [{"name": "AWS_ENDPOINT_URL", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}],
}
ONE_GPU = {"gpu": {"requests": 1}}
TWO_GPUS = {"gpu": {"requests": 2}}


def reference(
    source: dict[str, Any] = WEIGHTS, hardware: dict[str, Any] = ONE_GPU, image: str = "base:1"
) -> CustomModelReference:
    return CustomModelReference.model_validate({"baseImage": image, "modelSources": [source], "hardware": hardware})


@pytest.mark.parametrize(
    ("other", "shared"),
    [
        (reference(), True),
        (reference(source=FROM_SECRET), True),
        (reference(source={**WEIGHTS, "env": [{"name": "HF_TOKEN", "value": "t"}]}), True),
        (reference(source=ELSEWHERE), False),
        (reference(source={**WEIGHTS, "modelId": "a/c"}), False),
        (reference(source={**WEIGHTS, "sourceUri": "hf://a/c"}), False),
        (reference(hardware=TWO_GPUS), False),
        (reference(image="base:2"), False),
    ],
)
def test_what_two_services_must_have_in_common_to_share_a_model(other: CustomModelReference, shared: bool) -> None:
    """Prove SVC-MDL-5."""
    assert (CustomModelIdentity.of(reference()) == CustomModelIdentity.of(other)) is shared


def test_an_existing_model_has_the_identity_of_the_service_it_was_made_for(model: Maker) -> None:
    """Prove SVC-MDL-5."""
    fields = {"image": "base:1", "modelSources": [WEIGHTS]}
    assert CustomModelIdentity.of_model(model(**fields, custom={"hardware": ONE_GPU})) == CustomModelIdentity.of(
        reference()
    )
    assert CustomModelIdentity.of_model(model(**fields)) is None
    assert CustomModelIdentity.of_model(model(**fields, custom={})) is None


@pytest.mark.parametrize("other", [reference(), reference(hardware=TWO_GPUS), reference(source=FROM_SECRET)])
def test_models_with_equal_weights_are_found_under_one_token(other: CustomModelReference, model: Maker) -> None:
    """A model with other hardware is found, too: its name may be the one that the service's own model would get."""
    token = CustomModelIdentity.of(reference()).weights.token
    assert CustomModelIdentity.of(other).weights.token == token
    assert ServedWeights.of_model(model(image="base:1", modelSources=[WEIGHTS])).token == token
    assert CustomModelIdentity.of(reference(source=ELSEWHERE)).weights.token != token


def test_twins_have_the_same_image_and_sources(model: Maker) -> None:
    """Prove SVC-TPL-5."""
    one = model("one", modelSources=[WEIGHTS])
    assert same_weights(one, model("two", modelSources=[FROM_SECRET], custom={"hardware": TWO_GPUS}))
    assert not same_weights(one, model("two", modelSources=[ELSEWHERE]))
    assert not same_weights(one, model("two", modelSources=[WEIGHTS], image="other:1"))


QWEN = {"modelId": "Qwen/Qwen2-0.5B", "sourceUri": "hf://Qwen/Qwen2-0.5B"}
SECRET_BUCKET = {**FROM_SECRET, "modelId": "shared/s3-endpoint-model", "sourceUri": "s3://test-bucket/model"}
BUCKET = {**SECRET_BUCKET, "env": [{"name": "AWS_ENDPOINT_URL", "value": "https://minio-a.example.com"}]}
MI300X = {"gpu": {"requests": 1, "model": "MI300X"}}
CPU = {"cpu": {"requests": "4"}}
PARTITION = {
    "gpu": {"requests": 2, "minVram": "100Gi", "resourceName": "amd.com/cpx"},
    "cpu": {"requests": "4", "limits": "8"},
}


@pytest.mark.parametrize(
    ("source", "hardware", "name", "name_with_hardware"),
    [
        (QWEN, MI300X, "qwen-qwen2-0-5b-05a0f75e", "qwen-qwen2-0-5b-054beb52"),
        (QWEN, PARTITION, "qwen-qwen2-0-5b-05a0f75e", "qwen-qwen2-0-5b-871d6c17"),
        (QWEN, CPU, "qwen-qwen2-0-5b-05a0f75e", "qwen-qwen2-0-5b-44915d06"),
        (BUCKET, MI300X, "shared-s3-endpoint-model-ffbe4601", "shared-s3-endpoint-model-a4c5b810"),
        (BUCKET, CPU, "shared-s3-endpoint-model-ffbe4601", "shared-s3-endpoint-model-ac2f50f8"),
        (SECRET_BUCKET, MI300X, "shared-s3-endpoint-model-aa38d175", "shared-s3-endpoint-model-16224b46"),
    ],
)
def test_names_never_change(
    source: dict[str, Any], hardware: dict[str, Any], name: str, name_with_hardware: str
) -> None:
    """Prove SVC-NAM-3. Another name would orphan the model that is there, and fetch its weights again."""
    identity = CustomModelIdentity.of(reference(source, hardware))
    assert (identity.name, identity.name_with_hardware) == (name, name_with_hardware)
