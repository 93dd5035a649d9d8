"""A catalog of many models of few images: each blob is requested once, ever, and a restart requests none."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from anyio.from_thread import start_blocking_portal

from aimd.planning.kinds import AIM_MODEL, AIM_SERVICE, AIM_SERVICE_TEMPLATE
from aimd.runtime.client import ClientOptions, connect
from aimd.runtime.errors import ApiError
from aimd.runtime.kinds import NAMESPACE, NODE
from aimd.runtime.objects import Key
from aimd.sandbox.binaries import locate_binaries
from aimd.sandbox.image_registry import push_image, start_registry
from aimd.sandbox.processes import supervise
from tests.aim_images import GENERAL, ProfileFile
from tests.integration.counting_proxy import counting_proxy
from tests.integration.stand_ins import install_own_crds
from tests.integration.test_image_profiles import ProfileWorld, aim_image, word
from tests.integration.world import served

MODELS_OF_AN_IMAGE = 5
MOST_IMAGES = 40
MEBIBYTES_OF_A_MODEL = 2
"""Far more than what a model and its templates take in the caches of the operator."""
DOZENS = pytest.param(MOST_IMAGES, marks=[pytest.mark.slow, pytest.mark.timeout(600)])


def files(number: int) -> dict[str, str]:
    """The profiles of an image, and those of its base, which all images share."""
    aim_id = f"acme/model-{number}"
    metrics = ("latency", "throughput")
    own = [ProfileFile(aim_id, aim_id, model, metric=metric) for model in ("MI300X", "MI325X") for metric in metrics]
    return {profile.path: profile.text("0.9") for profile in (*own, *GENERAL)}


@pytest.fixture(scope="module")
def registry() -> Iterator[str]:
    binary = locate_binaries(("registry",)).path("registry")

    async def fill(port: int) -> None:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            for number in range(MOST_IMAGES):
                await push_image(client, f"acme/aim-{number}", "1", aim_image(files(number), f"acme/model-{number}"))

    with start_blocking_portal() as portal, ExitStack() as stack:
        supervisor = stack.enter_context(portal.wrap_async_context_manager(supervise("aimd-catalog-registry-")))
        port = portal.call(lambda: start_registry(supervisor, binary))
        portal.call(fill, port)
        yield f"127.0.0.1:{port}"


@pytest.fixture
async def world(api_server: Any, registry: str) -> AsyncIterator[ProfileWorld]:
    async with connect(ClientOptions(kubeconfig=api_server.kubeconfig)) as admin, counting_proxy(registry) as proxy:
        await install_own_crds(admin)
        await served(admin, AIM_SERVICE, AIM_MODEL, AIM_SERVICE_TEMPLATE)
        namespace = f"catalog-{uuid4().hex[:8]}"
        await admin.create(NAMESPACE, _named("Namespace", namespace), reason="test")
        with suppress(ApiError):
            node = {**_named("Node", "gpu-node"), "spec": {}}
            node["metadata"]["labels"] = {"amd.com/gpu.device-id": "74a1"}
            await admin.create(NODE, node, reason="test")
        world = ProfileWorld(admin, namespace, api_server.audit_log, "catalog-test", api_server, proxy)
        await world.start()
        try:
            yield world
        finally:
            await world.stop()
            await admin.delete(NAMESPACE, Key("", namespace), reason="test")


@pytest.mark.parametrize("images", [4, DOZENS])
async def test_a_catalog_of_many_models_of_few_images(world: ProfileWorld, images: int) -> None:
    """Prove REG-PRF-6 and TPL-IMG-3 at scale."""
    models = images * MODELS_OF_AN_IMAGE
    before = resident_mebibytes()
    for number in range(models):
        image = f"{world.proxy.address}/acme/aim-{number % images}:1"
        await world.create(AIM_MODEL, f"model-{number}", spec={"image": image})
    await until_settled(world, 4 * models)
    assert await world.is_idle(), "every profile was read from the registry"
    requested = Counter(world.proxy.requested)
    assert {path: count for path, count in requested.items() if count > 1} == {}
    # The manifest, the configuration and the own profiles of each image, and the base's profiles once for all of them.
    assert len(requested) == 3 * images + 1
    assert resident_mebibytes() - before < MEBIBYTES_OF_A_MODEL * models + 50

    await world.stop()
    world.proxy.requested.clear()
    await world.start()
    for number in range(models):
        await world.client.patch(
            AIM_MODEL, world.key(AIM_MODEL, f"model-{number}"), {"spec": {"env": []}}, reason="test"
        )
    await asyncio.sleep(5)
    await until_settled(world, 4 * models)
    assert world.proxy.requested == []


async def until_settled(world: ProfileWorld, templates: int) -> None:
    """Returns once there are so many templates, each with its profile."""

    async def words() -> Counter[str]:
        found = await world.client.list(AIM_SERVICE_TEMPLATE, namespace=world.namespace)
        return Counter(word(item) for item in found)

    expected = Counter({"Ready": templates // 2, "NotAvailable": templates // 2})
    await world.until(words, lambda found: found == expected, seconds=400)


def resident_mebibytes() -> int:
    """The memory of this process, in which the operator runs."""
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) // 1024


def _named(kind: str, name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}}
