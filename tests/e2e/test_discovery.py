"""Discovery on the sandbox's kubelet: the operator dies at random moments, no Job is made twice, no result is lost."""

import asyncio
import random
from collections import Counter

import pytest

from aimd.planning.kinds import AIM_MODEL, AIM_SERVICE_TEMPLATE
from aimd.runtime.kinds import JOB
from aimd.runtime.objects import Manifest
from aimd.sandbox.aim_image.images import LABELLED
from tests.e2e.world import API_VERSION, World, status_word
from tests.waiting import wait_until

TEMPLATES = 12
DEATHS = 4
SEED = 7


def manifest(kind: str, namespace: str, name: str, spec: Manifest) -> Manifest:
    return {
        "apiVersion": API_VERSION,
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }


@pytest.mark.slow
async def test_an_operator_that_dies_starts_no_second_job_and_loses_no_result(world: World) -> None:
    moments = random.Random(SEED)
    off = {"extractMetadata": False, "createServiceTemplates": False}
    spec = {"image": LABELLED.reference, "discovery": off}
    await world.apply(manifest(AIM_MODEL.name, world.namespace, "m", spec))

    async def templates() -> list[Manifest]:
        return await world.client.list(AIM_SERVICE_TEMPLATE, namespace=world.namespace)

    made = 0
    for death in range(DEATHS):
        for _ in range(TEMPLATES // DEATHS):
            gpu = {"model": ("MI300X", "MI350X")[made % 2], "requests": 1}
            template = {"modelName": "m", "metric": "latency", "hardware": {"gpu": gpu}}
            await world.apply(manifest(AIM_SERVICE_TEMPLATE.name, world.namespace, f"t{made}", template))
            made += 1
        if death:  # Before the first, the operator has long been there; each other time it begins with a list.
            await wait_until("a job", lambda: world.client.list(JOB, namespace=world.namespace), bool)
        await asyncio.sleep(moments.uniform(0.0, 1.5))
        world.operator.kill()
        world.operator.start()

    ready = await wait_until(
        "all templates Ready",
        templates,
        lambda found: len(found) == TEMPLATES and all(status_word(item) == "Ready" for item in found),
    )
    for item in ready:
        assert [source["modelId"] for source in item["status"]["modelSources"]] == ["Qwen/Qwen2.5-0.5B-Instruct"]
        assert item["status"]["profile"]["metadata"]["gpu"] == item["spec"]["hardware"]["gpu"]["model"]
        assert not item["status"].get("discovery", {}).get("attempts")
    jobs = Counter(
        event["objectRef"]["name"]
        for event in world.writes()
        if event["objectRef"]["resource"] == "jobs"
        and event["objectRef"]["namespace"] == world.namespace
        and event["responseStatus"]["code"] == 201
    )
    assert len(jobs) == TEMPLATES
    assert set(jobs.values()) == {1}
    assert not world.operator.tracebacks
