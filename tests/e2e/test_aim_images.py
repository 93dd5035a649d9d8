"""Services on images of every generation run what their status shows: this profile, and these weights."""

from typing import Any

import httpx
import pytest

from aimd.planning.kinds import AIM_MODEL, AIM_SERVICE, AIM_SERVICE_TEMPLATE
from aimd.runtime.objects import Manifest
from aimd.sandbox.aim_image.images import BASE, IMAGES, LABELLED, MODEL, UNLABELLED, AimImage
from aimd.sandbox.model_server import fingerprint
from tests.e2e.world import API_VERSION, REPOSITORY, World, condition
from tests.waiting import wait_until

AIMS = [item for item in IMAGES if item.aim_id]


def service(world: World, name: str, spec: dict[str, Any]) -> Manifest:
    metadata = {"name": name, "namespace": world.namespace}
    return {"apiVersion": API_VERSION, "kind": AIM_SERVICE.name, "metadata": metadata, "spec": spec}


async def models(world: World, live: Manifest) -> list[dict[str, Any]]:
    """What the engine says of itself, through the route; KServe may still be moving the route to it."""
    path = live["status"]["routing"]["path"]

    async def answer() -> list[dict[str, Any]]:
        async with httpx.AsyncClient(base_url=world.sandbox.gateway_url, trust_env=False, timeout=30) as http:
            response = await http.get(f"{path}/v1/models")
        found: list[dict[str, Any]] = response.json()["data"] if response.status_code == 200 else []
        return found

    found: list[dict[str, Any]] = await wait_until(f"the models of {path}", answer, bool)
    return found


def weights(world: World, repository: str) -> str:
    """The fingerprint of a repository of the hub."""
    return fingerprint([world.sandbox.hub_root / repository / "model.safetensors"])


async def test_images_of_all_generations_by_image_alone(world: World) -> None:
    names = {item.reference: f"gen-{item.generation}" for item in AIMS}
    await world.apply(*(service(world, name, {"model": {"image": image}}) for image, name in names.items()))
    for item in AIMS:
        live = await world.wait_running(names[item.reference])
        template = await world.get(AIM_SERVICE_TEMPLATE, live["status"]["resolvedTemplate"]["name"])
        (card,) = await models(world, live)
        assert card["id"] == MODEL
        assert card["profile"] == template["spec"]["profileId"] or not template["spec"].get("profileId")
        assert card["profile"] == expected_profile(item)
        assert card["root"].endswith(f"/{MODEL}")
        assert card["fingerprint"] == weights(world, MODEL)


def expected_profile(item: AimImage) -> str:
    """The best of each image: the newest GPU of the sandbox, except where its profile is only a preview."""
    gpu = "mi300x" if item is LABELLED else "mi350x"
    return f"vllm-{gpu}-fp16-tp1-latency"


async def test_a_profile_for_other_weights_than_those_of_its_aim(world: World) -> None:
    """An unoptimized FP8 profile, whose weights are a repository of their own."""
    spec = {"model": {"image": UNLABELLED.reference}, "template": {"allowUnoptimized": True}}
    await world.apply(service(world, "fp8", spec | {"overrides": {"metric": "throughput", "precision": "fp8"}}))
    live = await world.wait_running("fp8")
    cards = await models(world, live)
    assert [card["id"] for card in cards] == [f"{MODEL}-FP8", MODEL]
    assert {card["fingerprint"] for card in cards} == {weights(world, f"{MODEL}-FP8")}
    assert {card["profile"] for card in cards} == {"vllm-mi350x-fp8-tp1-throughput"}


@pytest.mark.parametrize("image", [LABELLED, UNLABELLED], ids=["model-0-9", "model-0-12"])
async def test_a_template_that_no_profile_fits_shows_why(world: World, image: AimImage) -> None:
    """The template asks the image for a choice, by a Job, and the image answers with an empty list."""
    off = {"extractMetadata": False, "createServiceTemplates": False}
    model = {
        "apiVersion": API_VERSION,
        "kind": AIM_MODEL.name,
        "metadata": {"name": "m", "namespace": world.namespace},
        "spec": {"image": image.reference, "discovery": off},
    }
    template = {
        "apiVersion": API_VERSION,
        "kind": AIM_SERVICE_TEMPLATE.name,
        "metadata": {"name": "eight", "namespace": world.namespace},
        "spec": {"modelName": "m", "metric": "latency", "hardware": {"gpu": {"model": "MI350X", "requests": 8}}},
    }
    await world.apply(model, template)
    reason = f"No compatible profile found for AIM {MODEL}. Profile breakdown:"
    live = await wait_until(
        "the words of the image",
        lambda: world.get(AIM_SERVICE_TEMPLATE, "eight"),
        lambda item: reason in condition(item, "Discovered").get("message", ""),
    )
    assert condition(live, "Discovered")["status"] == "False"


@pytest.mark.parametrize("image", [BASE, LABELLED, UNLABELLED], ids=["base", "model-0-9", "model-0-12"])
async def test_weights_of_ones_own(world: World, image: AimImage) -> None:
    custom = {
        "baseImage": image.reference,
        "modelSources": [{"modelId": REPOSITORY, "sourceUri": f"hf://{REPOSITORY}"}],
        "hardware": {"gpu": {"model": "MI300X", "requests": 1}},
    }
    spec = {"model": {"custom": custom}, "template": {"allowUnoptimized": True}}
    await world.apply(service(world, "own", spec))
    (card,) = await models(world, await world.wait_running("own"))
    assert card["id"] == REPOSITORY
    assert card["profile"] == "general/vllm-mi300x-fp16-tp1-latency"
    assert card["fingerprint"] == weights(world, REPOSITORY)


@pytest.mark.parametrize("image", [BASE, LABELLED, UNLABELLED], ids=["base", "model-0-9", "model-0-12"])
async def test_a_custom_profile_for_weights_of_ones_own(world: World, image: AimImage) -> None:
    """The profile is for a model of another name than the weights, which stand where the profile looks for them."""
    template = {
        "name": "mine",
        "aimId": "made/up",
        "modelId": "made/up-weights",
        "hardware": {"gpu": {"model": "MI300X", "requests": 1}},
        "profile": {"metric": "latency", "precision": "fp16"},
        "customProfile": {"engineArgs": {"dtype": "float16"}, "envVars": {"HIP_FORCE_DEV_KERNARG": "1"}},
    }
    model = {
        "apiVersion": API_VERSION,
        "kind": AIM_MODEL.name,
        "metadata": {"name": "finetuned", "namespace": world.namespace},
        "spec": {
            "image": image.reference,
            "modelSources": [{"modelId": REPOSITORY, "sourceUri": f"hf://{REPOSITORY}", "size": "4Mi"}],
            "customTemplates": [template],
        },
    }
    await world.apply(model, service(world, "custom", {"model": {"name": "finetuned"}}))
    cards = await models(world, await world.wait_running("custom"))
    assert [card["id"] for card in cards] == ["made/up-weights", "made/up"]
    assert {card["root"] for card in cards} == {cards[0]["root"]}
    assert cards[0]["root"].endswith("/made/up-weights")
    assert cards[0]["profile"].startswith("custom/made/up/")
    assert cards[0]["fingerprint"] == weights(world, REPOSITORY)
