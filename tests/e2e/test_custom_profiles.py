"""Custom profiles, from the manifest to what the engine serves: the profile, its model's names, and the right weights.

The images are the sandbox's base images, whose runtime refuses what AMD's does.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from aimd.planning.environment import AIM_ID, AIM_PROFILE_ID
from aimd.planning.kinds import AIM_MODEL, AIM_SERVICE, AIM_SERVICE_TEMPLATE, INFERENCE_SERVICE
from aimd.runtime.kinds import CONFIG_MAP, DEPLOYMENT, JOB
from aimd.runtime.objects import Key, Kind, Manifest
from aimd.sandbox.aim_image.images import BASE, IMAGES, AimImage, image_of
from aimd.sandbox.hub import make_repository
from aimd.sandbox.model_server import fingerprint, require_model
from tests.e2e.world import World, condition, runtime_config, status_word
from tests.faults.s3 import object_store, s3_client
from tests.waiting import wait_until

PROFILE_MODEL = "meta-llama/Llama-3-8B"
FINE_TUNE = "my-org/llama-finetuned"
OTHER = "my-org/llama-other"
SIZE = 2**20
ENGINE_ARGS = {"dtype": "float16", "gpu-memory-utilization": 0.95}
PROFILED: Manifest = {
    "modelName": "llama",
    "aimId": PROFILE_MODEL,
    "modelId": PROFILE_MODEL,
    "metric": "latency",
    "precision": "fp16",
    "hardware": {"gpu": {"model": "mi300x", "requests": 1}},
    "customProfile": {"engineArgs": ENGINE_ARGS, "envVars": {"HIP_FORCE_DEV_KERNARG": "1"}},
}
NEWEST_BASE = image_of(max(image.generation for image in IMAGES if not image.aim_id), base=True)


def manifest(world: World, kind: Kind, name: str, spec: Manifest) -> Manifest:
    return kind.manifest({"name": name, "namespace": world.namespace}, spec=spec)


def model(world: World, image: AimImage = BASE, **spec: Any) -> Manifest:
    without_labels = {"image": image.reference, "discovery": {"extractMetadata": False}}
    return manifest(world, AIM_MODEL, "llama", {**without_labels, **spec})


def template(world: World, *sources: Manifest, **spec: Any) -> Manifest:
    given = {name: value for name, value in {**PROFILED, **spec}.items() if value is not None}
    return manifest(world, AIM_SERVICE_TEMPLATE, "tuned", {**given, "modelSources": list(sources)})


def service(world: World, **spec: Any) -> Manifest:
    return manifest(world, AIM_SERVICE, "chat", {"model": {"name": "llama"}, **spec})


def weights(model_id: str, uri: str = "") -> Manifest:
    return {"modelId": model_id, "sourceUri": uri or f"hf://{model_id}"}


def published(world: World, model_id: str) -> str:
    """Publish weights on the hub; return their fingerprint."""
    return fingerprint(require_model(make_repository(world.sandbox.hub_root, model_id, SIZE), model_id))


async def served(world: World) -> Manifest:
    """What the engine says of its model, through the route, once the service runs."""
    live = await world.wait_running()
    async with httpx.AsyncClient(base_url=world.sandbox.gateway_url, trust_env=False, timeout=30) as http:
        answer = (await http.get(f"{live['status']['routing']['path']}/v1/models")).raise_for_status().json()
    cards: list[Manifest] = answer["data"]
    return {**cards[0], "names": [card["id"] for card in cards]}


async def environment(world: World) -> dict[str, Any]:
    container = (await world.inference_service())["spec"]["predictor"]["containers"][0]
    return {variable["name"]: variable.get("value") for variable in container["env"]}


async def profile_text(world: World) -> str:
    selector = "aim.eai.amd.com/service.name=chat"
    (config_map,) = await world.client.list(CONFIG_MAP, namespace=world.namespace, label_selector=selector)
    (text,) = config_map["data"].values()
    return str(text)


async def test_a_fine_tune_is_served_under_the_model_of_its_profile(world: World) -> None:
    """Prove SVC-VOL-1: the weights' id differs from the profile's, and the GPU is spelled in lower case."""
    expected = published(world, FINE_TUNE)
    entry = {
        "name": "tuned",
        "aimId": PROFILE_MODEL,
        "modelId": PROFILE_MODEL,
        "hardware": PROFILED["hardware"],
        "profile": {"metric": "latency", "precision": "fp16"},
        "customProfile": PROFILED["customProfile"],
        "type": "preview",
    }
    await world.apply(
        model(world, NEWEST_BASE, modelSources=[weights(FINE_TUNE)], customTemplates=[entry]), service(world)
    )
    seen = await served(world)
    assert seen["names"] == [PROFILE_MODEL]
    assert seen["root"].endswith(f"/{PROFILE_MODEL}")
    assert seen["profile"].startswith(f"custom/{PROFILE_MODEL}/")
    assert seen["fingerprint"] == expected
    assert (
        await world.client.list(JOB, namespace=world.namespace, label_selector="app.kubernetes.io/name=aim-discovery")
        == []
    )


async def test_of_two_sources_the_one_with_the_id_of_the_profile_is_served(world: World) -> None:
    published(world, OTHER)
    expected = published(world, PROFILE_MODEL)
    tuned = template(world, weights(OTHER), weights(PROFILE_MODEL))
    await world.apply(model(world), tuned, service(world, template={"name": "tuned"}))
    seen = await served(world)
    assert (seen["names"], seen["fingerprint"]) == ([PROFILE_MODEL], expected)


async def test_two_sources_without_the_id_of_the_profile_are_refused_before_any_pod(world: World) -> None:
    tuned = template(world, weights(OTHER), weights(FINE_TUNE))
    await world.apply(model(world), tuned, service(world, template={"name": "tuned"}))
    live = await wait_until(
        "the template Failed",
        lambda: world.get(AIM_SERVICE_TEMPLATE, "tuned"),
        lambda live: status_word(live) in ("Failed", "Degraded"),
    )
    assert "modelSources" in condition(live, "Ready")["message"], condition(live, "Ready")
    assert await world.client.list(INFERENCE_SERVICE, namespace=world.namespace) == []
    assert await world.client.list(JOB, namespace=world.namespace) == []


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """An object store with weights below `s3://weights/tuned`: its URL, and their fingerprint."""
    folder = make_repository(tmp_path, FINE_TUNE, SIZE)
    with object_store() as port:
        url = f"http://127.0.0.1:{port}"
        store = s3_client(url)
        store.create_bucket(Bucket="weights")
        for file in folder.iterdir():
            store.put_object(Bucket="weights", Key=f"tuned/{file.name}", Body=file.read_bytes())
        yield url, fingerprint(require_model(folder, FINE_TUNE))


async def test_weights_of_an_object_store_are_served(world: World, bucket: tuple[str, str]) -> None:
    url, expected = bucket
    config = runtime_config(world.namespace, world.sandbox.hub_url)
    values = {"AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": "reader", "AWS_SECRET_ACCESS_KEY": "reader"}
    config["spec"]["env"] += [{"name": name, "value": value} for name, value in values.items()]
    tuned = template(world, weights(FINE_TUNE, "s3://weights/tuned"))
    await world.apply(config, model(world), tuned, service(world, template={"name": "tuned"}))
    seen = await served(world)
    assert (seen["names"], seen["fingerprint"]) == ([PROFILE_MODEL], expected)


async def test_an_edit_of_the_profile_rolls_the_pods_and_its_removal_takes_it_away(world: World) -> None:
    """Prove SVC-PRF-1 and SVC-PRF-2."""
    published(world, PROFILE_MODEL)
    tuned = template(world, weights(PROFILE_MODEL))
    await world.apply(model(world), tuned, service(world, template={"name": "tuned"}))
    assert (await served(world))["profile"].startswith("custom/")
    before, key = await deployment(world), Key(world.namespace, "tuned")

    edit = {"spec": {"customProfile": {"envVars": {"HIP_FORCE_DEV_KERNARG": "0"}}}}
    await world.client.patch(AIM_SERVICE_TEMPLATE, key, edit, reason="test")
    await wait_until("the file changed", lambda: profile_text(world), lambda text: "HIP_FORCE_DEV_KERNARG: '0'" in text)
    await wait_until("a rollout", lambda: deployment(world), lambda live: live["spec"] != before["spec"])
    assert (await served(world))["profile"].startswith("custom/")

    await world.client.patch(AIM_SERVICE_TEMPLATE, key, {"spec": {"customProfile": None}}, reason="test")
    await wait_until("no profile", lambda: environment(world), lambda env: AIM_PROFILE_ID not in env)
    assert AIM_ID in await environment(world), "an image of one model has its own, which has to be overridden"
    selector = "aim.eai.amd.com/service.name=chat"

    async def config_maps() -> int:
        return len(await world.client.list(CONFIG_MAP, namespace=world.namespace, label_selector=selector))

    await wait_until("no ConfigMap", config_maps, lambda count: count == 0)
    seen = await wait_until(
        "a general profile", lambda: served(world), lambda seen: seen["profile"].startswith("general")
    )
    assert seen["names"] == [PROFILE_MODEL]
    await wait_until("silence", lambda: writes_within(world, 3), lambda count: count == 0, timeout=30)


async def deployment(world: World) -> Manifest:
    (found,) = await world.client.list(DEPLOYMENT, namespace=world.namespace)
    return found


async def writes_within(world: World, seconds: float) -> int:
    before = len(world.writes())
    await anyio.sleep(seconds)
    return len(world.writes()) - before
