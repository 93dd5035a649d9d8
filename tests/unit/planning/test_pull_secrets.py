"""Who gets which pull secret, in which order."""

from aimd.api.core import LocalObjectReference
from aimd.api.service import AIMService
from aimd.planning.pull_secrets import (
    discovery_pull_secrets,
    names_of,
    predictor_pull_secrets,
    shared_pull_secrets,
    used_images,
    used_models,
)


def references(*names: str) -> tuple[LocalObjectReference, ...]:
    return tuple(LocalObjectReference(name=name) for name in names)


def service(status: dict[str, object] | None = None, **spec: object) -> AIMService:
    return AIMService.model_validate(
        {"metadata": {"name": "s", "namespace": "team"}, "spec": spec, "status": status or {}}
    )


def test_empty_names_are_left_out() -> None:
    assert names_of(references("a", "", "b")) == ("a", "b")


def test_each_pod_gets_the_secrets_of_all_in_order_and_once() -> None:
    assert predictor_pull_secrets(references("s", "x"), references("t", "x"), ["m", "", "s"]) == ("s", "x", "t", "m")
    assert discovery_pull_secrets(references("m", "x"), references("t", "x"), ["s", "m"]) == ("m", "x", "t", "s")


def test_users_of_a_model_share_their_secrets_sorted() -> None:
    """Prove MDL-INS-5."""
    services = [service(imagePullSecrets=[{"name": "z"}]), service(imagePullSecrets=[{"name": "a"}, {"name": "z"}])]
    assert shared_pull_secrets(services, [references("t")]) == ("a", "t", "z")


def test_models_and_images_of_a_service() -> None:
    assert used_models(service({"resolvedModel": {"name": "r"}}, model={"name": " m "})) == ("m", "r")
    assert used_models(service(model={"image": "i:1"})) == ()
    assert used_images(service(model={"image": " i:1 "})) == ("i:1",)
    custom = {"baseImage": "b:1", "modelSources": [{"modelId": "a/b", "sourceUri": "hf://a/b"}]}
    assert used_images(service(model={"custom": custom})) == ("b:1",)
