"""Load on a predictor makes its replicas rise to the maximum and fall again; the service's status follows.

The autoscaling controller is Kubernetes' own, and KServe makes the ScaledObject; KEDA is the sandbox's stand-in, which
reads `vllm:num_requests_running` from the pods.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import anyio
import httpx
import pytest

from aimd.planning.kinds import AIM_SERVICE, SCALED_OBJECT
from aimd.runtime.objects import Key, Manifest
from tests.e2e.world import REPOSITORY, World, condition, model, service, template
from tests.waiting import wait_until

CLIENTS = 6
SLOW = [{"name": "ECHO_TOKEN_SECONDS", "value": "0.5"}]


@pytest.mark.slow
async def test_replicas_follow_the_load_and_autoscaling_can_be_switched_off(world: World) -> None:
    scaled = service(world.namespace, minReplicas=1, maxReplicas=3, env=SLOW)
    await world.apply(model(world.namespace), template(world.namespace), scaled)
    calm = await world.wait_running()
    assert condition(calm, "HPAReady")["reason"] == "HPAOperational"
    await replicas(world, "1/1 (1-3)")
    async with load(f"{world.sandbox.gateway_url}{calm['status']['routing']['path']}"):
        risen = await replicas(world, "3/3 (1-3)")
        assert (risen["status"]["runtime"]["currentReplicas"], risen["status"]["runtime"]["desiredReplicas"]) == (3, 3)
    await replicas(world, "1/1 (1-3)")
    await world.wait_running()

    spec = {"minReplicas": None, "maxReplicas": None, "replicas": 2}
    await world.client.patch(AIM_SERVICE, Key(world.namespace, "chat"), {"spec": spec}, reason="test")
    fixed = await replicas(world, "2")
    assert not condition(fixed, "HPAReady")
    assert await world.client.list(SCALED_OBJECT, namespace=world.namespace) == []
    await world.wait_running()
    assert not world.operator.tracebacks


async def replicas(world: World, shown: str) -> Manifest:
    live: Manifest = await wait_until(
        shown, world.service, lambda live: live["status"]["runtime"]["replicas"] == shown, timeout=180
    )
    return live


@asynccontextmanager
async def load(url: str) -> AsyncIterator[None]:
    """Half a dozen clients that keep on asking for long streams."""
    body = {"model": REPOSITORY, "stream": True, "messages": [{"role": "user", "content": "word " * 60}]}

    async def ask(http: httpx.AsyncClient) -> None:
        while True:
            with suppress(httpx.HTTPError):
                async with http.stream("POST", f"{url}/v1/chat/completions", json=body) as answer:
                    async for _ in answer.aiter_bytes():
                        pass
            await anyio.sleep(0.2)

    async with httpx.AsyncClient(trust_env=False, timeout=60) as http, anyio.create_task_group() as clients:
        for _ in range(CLIENTS):
            clients.start_soon(ask, http)
        yield
        clients.cancel_scope.cancel()
