"""Whose weights a shared cache takes, on the real API server (TC-ART-9, ART-JOB-8)."""

from typing import Any

import pytest

from aimd.planning.kinds import AIM_ARTIFACT, AIM_TEMPLATE_CACHE
from aimd.runtime.kinds import JOB
from aimd.runtime.objects import key_of
from aimd.sandbox.control_plane import ControlPlane
from tests.integration.cache_world import cache_world

OTHERS: dict[str, dict[str, Any]] = {
    "endpoint": {"env": [{"name": "AWS_ENDPOINT_URL_S3", "value": "https://evil.example"}]},
    "proxy": {"env": [{"name": "https_proxy", "value": "http://evil.example"}]},
    "image": {"modelDownloadImage": "evil.example/downloader:1"},
    "simulated": {"env": [{"name": "AIM_DEBUG_SIMULATE_DOWNLOAD", "value": "1"}]},
}


@pytest.mark.timeout(180)
async def test_a_shared_cache_takes_no_artifact_of_another_origin(api_server: ControlPlane) -> None:
    async with cache_world(api_server) as world:
        for name, spec in OTHERS.items():
            await world.make(AIM_ARTIFACT, name, {"sourceUri": "hf://acme/a", "size": "1Gi", **spec})

        async def others_ready() -> bool:
            words = await world.words(AIM_ARTIFACT)
            return all(words.get(name) == "Ready" for name in OTHERS)

        await world.until("artifacts of others are Ready", others_ready)
        await world.make(AIM_TEMPLATE_CACHE, "mine", {"templateName": "t-a", "templateScope": "Namespace"})

        async def cached() -> bool:
            return (await world.words(AIM_TEMPLATE_CACHE)).get("mine") == "Ready"

        await world.until("the cache is Ready", cached)
        (cache,) = await world.list(AIM_TEMPLATE_CACHE)
        assert set(cache["status"]["artifacts"]).isdisjoint(OTHERS)
        for job in await world.list(JOB):
            (container,) = job["spec"]["template"]["spec"]["containers"]
            names = {item["name"] for item in container["env"]}
            assert "AIM_DEBUG_SIMULATE_DOWNLOAD" not in names, key_of(job)
