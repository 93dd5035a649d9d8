"""A service comes up, answers, survives its operator, and is left alone once settled."""

import asyncio
import re
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from aimd.planning.kinds import AIM_ARTIFACT, AIM_SERVICE, AIM_TEMPLATE_CACHE, HTTP_ROUTE, INFERENCE_SERVICE
from aimd.runtime.kinds import DEPLOYMENT, JOB, PERSISTENT_VOLUME_CLAIM
from aimd.runtime.objects import Manifest
from aimd.sandbox.hub import hub_app, make_repository
from aimd.sandbox.local_server import serve_locally
from tests.e2e.world import (
    REPOSITORY,
    World,
    condition,
    model,
    runtime_config,
    service,
    status_word,
    template,
)
from tests.waiting import wait_until

SETTLED_SECONDS = 60
CHILDREN = (AIM_TEMPLATE_CACHE, AIM_ARTIFACT, PERSISTENT_VOLUME_CLAIM, JOB, INFERENCE_SERVICE, DEPLOYMENT, HTTP_ROUTE)


def tally(writes: list[dict[str, Any]]) -> dict[str, int]:
    """How often what was written how."""
    references = ((event["verb"], event["objectRef"]) for event in writes)
    named = (
        f"{verb} {reference['resource']}{'/' + reference['subresource'] if 'subresource' in reference else ''}"
        for verb, reference in references
    )
    return dict(Counter(named).most_common())


async def children(world: World) -> dict[str, list[str]]:
    return {
        kind.name: [item["metadata"]["name"] for item in await world.client.list(kind, namespace=world.namespace)]
        for kind in CHILDREN
    }


async def test_from_apply_to_an_answer_and_then_silence(world: World) -> None:
    """Apply → Running → chat through the route; then 60 s without a single write."""
    writes_before = len(world.writes())
    started = time.monotonic()
    await world.apply(model(world.namespace), template(world.namespace), service(world.namespace))
    live = await world.wait_running()
    seconds = time.monotonic() - started
    writes = world.writes()[writes_before:]
    print(f"\napply to Running: {seconds:.1f} s, {len(writes)} API writes by the operator: {tally(writes)}")

    status = live["status"]
    assert status["observedGeneration"] == live["metadata"]["generation"]
    assert status["routing"]["path"] == f"/{world.namespace}/chat"
    assert status["resolvedModel"]["name"] == "tiny"
    assert status["resolvedModel"]["kind"] == "aim.eai.amd.com/v1alpha1/AIMModel"
    assert status["resolvedTemplate"] | {"uid": ""} == {
        "name": "tiny-latency",
        "namespace": world.namespace,
        "scope": "Namespace",
        "kind": "aim.eai.amd.com/v1alpha1/AIMServiceTemplate",
        "uid": "",
    }
    assert status["resolvedRuntimeConfig"]["name"] == "default"
    for type_, reason in {
        "ModelReady": "ModelResolved",
        "TemplateReady": "Resolved",
        "RuntimeConfigReady": "RuntimeConfigResolved",
        "CacheReady": "CacheReady",
        "InferenceServiceReady": "RuntimeReady",
        "InferenceServicePodsReady": "PodsReady",
        "HTTPRouteReady": "HTTPRouteAccepted",
        "Ready": "AllComponentsReady",
    }.items():
        assert condition(live, type_).get("reason") == reason, type_
        assert condition(live, type_)["status"] == "True"
    assert "ping" in await world.chat(status["routing"]["path"], "ping")

    await asyncio.sleep(5)
    settled = len(world.writes())
    await asyncio.sleep(SETTLED_SECONDS)
    late = world.writes()[settled:]
    assert not late, tally(late)


@pytest.mark.slow
async def test_progress_only_grows_from_the_artifact_to_the_service(world: World, tmp_path: Path) -> None:
    """A download of a minute: what each of the three tells never goes back, and ends below or at 100."""
    make_repository(tmp_path, REPOSITORY, 12 * 2**20)
    told: dict[str, list[int]] = {kind.name: [] for kind in (AIM_ARTIFACT, AIM_TEMPLATE_CACHE, AIM_SERVICE)}

    async def note_and_look() -> Manifest:
        for kind in (AIM_ARTIFACT, AIM_TEMPLATE_CACHE, AIM_SERVICE):
            for item in await world.client.list(kind, namespace=world.namespace):
                told[kind.name] += percentages(item)
        return await world.service()

    async with serve_locally(hub_app(tmp_path, rate_limit_bytes_per_second=12 * 2**20 // 60)) as port:
        await world.apply(runtime_config(world.namespace, f"http://127.0.0.1:{port}"))
        await world.apply(model(world.namespace), template(world.namespace), service(world.namespace))
        await wait_until("Running", note_and_look, lambda live: status_word(live) == "Running")
    print(f"\n{ {kind: list(dict.fromkeys(numbers)) for kind, numbers in told.items()} }")
    for kind, numbers in told.items():
        assert len(set(numbers)) > 2, kind
        assert numbers == sorted(numbers), kind
        assert numbers[-1] <= 100, kind


def percentages(item: Manifest) -> list[int]:
    """What an object's status says of a download: the figure, or what its conditions quote of one."""
    status = item.get("status") or {}
    if "progress" in status:
        return [int(status["progress"]["percentage"])]
    texts = (each["message"] for each in status.get("conditions") or () if each["type"] != "Ready")
    return [int(number) for text in texts for number in re.findall(r"(\d+) %", text)]


async def test_killed_three_times_on_the_way_it_ends_the_same(world: World) -> None:
    """SIGKILL between the steps leaves no duplicate and no gap."""
    await world.apply(model(world.namespace), template(world.namespace), service(world.namespace))

    async def cut_when(what: str, kind_seen: str) -> None:
        await wait_until(what, lambda: children(world), lambda seen: seen[kind_seen])
        world.operator.kill()
        await asyncio.sleep(0.5)
        world.operator.start()

    await cut_when("an artifact", "AIMArtifact")
    await cut_when("a claim", "PersistentVolumeClaim")
    await cut_when("an InferenceService", "InferenceService")
    live = await world.wait_running()
    assert status_word(live) == "Running"
    found = await children(world)
    assert {kind: len(names) for kind, names in found.items() if kind != "Job"} == {
        "AIMTemplateCache": 1,
        "AIMArtifact": 1,
        "PersistentVolumeClaim": 1,
        "InferenceService": 1,
        "Deployment": 1,
        "HTTPRoute": 1,
    }
    assert len([name for name in found["Job"] if "-download-" in name]) == 1
    assert "again" in await world.chat(live["status"]["routing"]["path"], "again")
