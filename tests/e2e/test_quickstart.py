"""A service comes up, answers, survives its operator, and is left alone once settled."""

import asyncio
import time
from collections import Counter
from typing import Any

from aimd.planning.kinds import ARTIFACT, HTTP_ROUTE, INFERENCE_SERVICE, TEMPLATE_CACHE
from aimd.runtime.kinds import DEPLOYMENT, JOB, PERSISTENT_VOLUME_CLAIM
from tests.e2e.world import World, condition, model, service, status_word, template, wait_until

SETTLED_SECONDS = 60
CHILDREN = (TEMPLATE_CACHE, ARTIFACT, PERSISTENT_VOLUME_CLAIM, JOB, INFERENCE_SERVICE, DEPLOYMENT, HTTP_ROUTE)


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
