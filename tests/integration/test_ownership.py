"""Objects of others under names that aimd derives: none is touched, the user is told, and it heals when they go."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from aimd.planning.kinds import AIM_MODEL, AIM_SERVICE, AIM_TEMPLATE_CACHE, HTTP_ROUTE, INFERENCE_SERVICE
from aimd.planning.service.child_names import http_route_name, inference_service_name, shared_cache_name
from aimd.runtime.objects import Kind, Manifest, key_of
from aimd.sandbox.control_plane import ControlPlane
from tests.integration.service_world import (
    ServiceWorld,
    condition,
    fill_cache,
    gateway,
    provide,
    serve,
    service_world,
)

NAMED = {"model": {"name": "tiny"}, "template": {"name": "tiny-latency"}}
ROUTE = {"rules": [{"matches": [{"path": {"type": "PathPrefix", "value": "/theirs"}}]}]}
PREDICTOR = {"predictor": {"containers": [{"name": "kserve-container", "image": "theirs:1"}]}}
SETTLE_SECONDS = 3.0


@pytest.fixture
async def world(api_server: ControlPlane) -> AsyncIterator[ServiceWorld]:
    async with service_world(api_server) as running, gateway(running):
        await provide(running)
        yield running


async def versions(world: ServiceWorld, *kinds: Kind) -> dict[str, tuple[str, str]]:
    """UID and version of all objects of these kinds."""
    return {
        f"{kind.name} {key_of(item).name}": (item["metadata"]["uid"], item["metadata"]["resourceVersion"])
        for kind in kinds
        for item in await world.client.list(kind, namespace=world.namespace)
    }


async def until_reason(world: ServiceWorld, type_: str, reason: str, name: str = "chat") -> Manifest:
    def holds(live: Manifest) -> bool:
        return condition(live, type_).get("reason") == reason

    return await world.until(lambda: world.service(name), holds, 40)


@pytest.mark.parametrize("other", ["a.b", "a-b"])
async def test_an_inference_service_of_another_service_is_not_taken(world: ServiceWorld, other: str) -> None:
    """Prove OBJ-OWN-1: what is controlled by another service stays as it is, and nothing is written at rest."""
    name = inference_service_name("chat", world.namespace)
    await world.create(AIM_SERVICE, other, spec={"model": {"name": "unknown"}})
    owner = await world.service(other)
    reference = {"apiVersion": "aim.eai.amd.com/v1alpha1", "kind": "AIMService", "name": other, "controller": True}
    owned = {"ownerReferences": [{**reference, "uid": owner["metadata"]["uid"]}]}
    labels = {"aim.eai.amd.com/service.name": "chat", "app.kubernetes.io/managed-by": "aim-engine"}
    await world.create(INFERENCE_SERVICE, name, metadata={**owned, "labels": labels}, spec=PREDICTOR)
    await world.create(AIM_SERVICE, "chat", spec=NAMED)
    await fill_cache(world)
    failed = await until_reason(world, "InferenceServiceReady", "NameTaken")
    assert f"belongs to AIMService {other}" in condition(failed, "InferenceServiceReady")["message"]
    before = await versions(world, INFERENCE_SERVICE, AIM_SERVICE, HTTP_ROUTE)
    await asyncio.sleep(SETTLE_SECONDS)
    assert await versions(world, INFERENCE_SERVICE, AIM_SERVICE, HTTP_ROUTE) == before
    assert (await world.get(INFERENCE_SERVICE, name))["spec"] == PREDICTOR

    await world.client.delete(INFERENCE_SERVICE, world.key(INFERENCE_SERVICE, name), reason="test")
    await serve(world)
    await world.until_word("Running")


async def test_nothing_foreign_is_touched_under_any_name(world: ServiceWorld) -> None:
    """Prove OBJ-OWN-1 and OBJ-OWN-2: objects that nobody controls, under every name that a service derives."""
    namespace = world.namespace
    cache = shared_cache_name("tiny-latency", namespace)
    await world.create(HTTP_ROUTE, http_route_name("chat", namespace), spec=ROUTE)
    await world.create(INFERENCE_SERVICE, inference_service_name("chat", namespace), spec=PREDICTOR)
    await world.create(AIM_TEMPLATE_CACHE, cache, spec={"templateName": "another", "templateScope": "Namespace"})
    kinds = (HTTP_ROUTE, INFERENCE_SERVICE, AIM_TEMPLATE_CACHE, AIM_MODEL)
    before = await versions(world, *kinds)
    await world.create(AIM_SERVICE, "chat", spec=NAMED)
    failed = await until_reason(world, "HTTPRouteReady", "NameTaken")
    assert "was not created for this one" in condition(failed, "HTTPRouteReady")["message"]
    await until_reason(world, "AIMTemplateCacheReady", "NameTaken")
    await asyncio.sleep(SETTLE_SECONDS)
    assert await versions(world, *kinds) == before

    await world.client.delete(AIM_SERVICE, world.key(AIM_SERVICE, "chat"), reason="test")
    await asyncio.sleep(SETTLE_SECONDS)
    assert await versions(world, *kinds) == before


async def test_two_services_that_differ_in_a_replaced_character_have_children_of_their_own(world: ServiceWorld) -> None:
    """Prove SVC-NAM-2: both come to rest, and nothing is written then."""
    for name in ("a-b", "a.b"):
        await world.create(AIM_SERVICE, name, spec=NAMED)
    await fill_cache(world)

    async def owners() -> set[str]:
        return {
            item["metadata"]["ownerReferences"][0]["name"]
            for kind in (INFERENCE_SERVICE, HTTP_ROUTE)
            for item in await world.client.list(kind, namespace=world.namespace)
        }

    kinds = (INFERENCE_SERVICE, HTTP_ROUTE)
    await world.until(owners, lambda found: found == {"a-b", "a.b"})
    await world.until(lambda: versions(world, *kinds), lambda found: len(found) == 4)
    await asyncio.sleep(SETTLE_SECONDS)
    before = await versions(world, *kinds, AIM_SERVICE)
    await asyncio.sleep(SETTLE_SECONDS)
    assert await versions(world, *kinds, AIM_SERVICE) == before
    assert await owners() == {"a-b", "a.b"}
