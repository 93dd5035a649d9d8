"""Two namespaces on one gateway: nobody gets at the requests of the other, and who has to wait is told."""

from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from uuid import uuid4

import pytest

from aimd.planning.kinds import AIM_SERVICE, HTTP_ROUTE
from aimd.runtime.errors import NotFound
from aimd.runtime.objects import Key, Manifest
from aimd.sandbox.control_plane import ControlPlane
from tests.integration.service_world import ServiceWorld, condition, gateway, provide, service_world
from tests.integration.stand_ins import make_namespace

MODEL = {"model": {"name": "tiny"}, "template": {"name": "tiny-latency"}}


@pytest.fixture
async def victim(api_server: ControlPlane) -> AsyncIterator[ServiceWorld]:
    async with service_world(api_server) as running, gateway(running):
        await provide(running)
        yield running


async def routes(world: ServiceWorld) -> list[str]:
    found = await world.client.list(HTTP_ROUTE, namespace=world.namespace)
    return [item["spec"]["rules"][0]["matches"][0]["path"]["value"] for item in found]


async def until_route(world: ServiceWorld, reason: str, name: str = "chat") -> Manifest:
    def holds(live: Manifest) -> bool:
        return condition(live, "HTTPRouteReady").get("reason") == reason

    return await world.until(lambda: world.service(name), holds)


async def test_a_path_of_another_namespace_is_not_taken(victim: ServiceWorld) -> None:
    """Prove SVC-RTE-10: neither by a longer path, nor by another spelling, nor by an edit of an older service."""
    evil = replace(victim, namespace=f"evil-{uuid4().hex[:8]}")
    await make_namespace(evil.client, evil.namespace)
    await provide(evil)
    await evil.create(AIM_SERVICE, "old", spec=MODEL)
    await evil.until(lambda: routes(evil))
    await victim.create(AIM_SERVICE, "chat", spec=MODEL)
    path = f"/{victim.namespace}/chat"
    await victim.until(lambda: routes(victim), lambda found: found == [path])

    await evil.create(AIM_SERVICE, "chat", spec={**MODEL, "routing": {"pathTemplate": f"/{path.upper()}//v1/"}})
    refused = await until_route(evil, "PathConflict")
    assert f"AIMService {victim.namespace}/chat" in condition(refused, "HTTPRouteReady")["message"]
    assert condition(refused, "HTTPRouteReady")["status"] == "False"
    assert "path" not in (refused["status"].get("routing") or {})
    await evil.edit("old", routing={"pathTemplate": "/"})
    await until_route(evil, "PathConflict", "old")
    assert await evil.until(lambda: routes(evil), lambda found: not found) == []
    assert await routes(victim) == [path]

    await victim.client.delete(AIM_SERVICE, Key(victim.namespace, "chat"), reason="test")
    for route in await victim.client.list(HTTP_ROUTE, namespace=victim.namespace):
        # Garbage collection may have been faster.
        with suppress(NotFound):
            await victim.client.delete(HTTP_ROUTE, Key(victim.namespace, route["metadata"]["name"]), reason="test")
    assert await evil.until(lambda: routes(evil), bool, 40)
