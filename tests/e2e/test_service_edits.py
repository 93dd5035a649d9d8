"""Edits of a running service reach its InferenceService; what is taken out disappears."""

from typing import Any

from aimd.planning.kinds import AIM_SERVICE
from aimd.runtime.objects import Key, Manifest
from tests.e2e.world import World, model, service, template
from tests.waiting import wait_until

RESOURCES = {"limits": {"memory": "64Gi"}, "requests": {"cpu": "6"}}


def container(inference_service: Manifest) -> dict[str, Any]:
    found: dict[str, Any] = inference_service["spec"]["predictor"]["containers"][0]
    return found


def environment(inference_service: Manifest) -> dict[str, str]:
    return {item["name"]: item.get("value", "") for item in container(inference_service)["env"]}


async def test_replicas_environment_and_resources_reach_the_inference_service(world: World) -> None:
    await world.apply(
        model(world.namespace),
        template(world.namespace),
        service(world.namespace, env=[{"name": "KEEP", "value": "1"}, {"name": "DROP", "value": "1"}]),
    )
    await world.wait_running()
    before = await world.inference_service()
    assert environment(before) | {"KEEP": "1", "DROP": "1"} == environment(before)

    key = Key(world.namespace, "chat")
    change = {"spec": {"replicas": 2, "resources": RESOURCES, "env": [{"name": "KEEP", "value": "2"}]}}
    await world.client.patch(AIM_SERVICE, key, change, reason="test")
    after = await wait_until(
        "the edits on the InferenceService",
        world.inference_service,
        lambda seen: seen["spec"]["predictor"].get("minReplicas") == 2,
    )
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert after["spec"]["predictor"]["maxReplicas"] == 2
    assert environment(after)["KEEP"] == "2"
    assert "DROP" not in environment(after)
    assert container(after)["resources"]["requests"]["cpu"] == "6"
    assert container(after)["resources"]["limits"]["memory"] == "64Gi"
    assert container(after)["resources"]["limits"]["amd.com/gpu"] == "1"

    await world.client.patch(AIM_SERVICE, key, {"spec": {"env": None, "resources": None}}, reason="test")
    cleared = await wait_until(
        "the removals on the InferenceService", world.inference_service, lambda seen: "KEEP" not in environment(seen)
    )
    assert container(cleared)["resources"]["requests"]["cpu"] == "4"
    assert container(cleared)["resources"]["limits"]["memory"] == "48Gi"
    await wait_until("two replicas", world.service, lambda live: live["status"]["runtime"]["replicas"] == "2")
    await world.wait_running()
