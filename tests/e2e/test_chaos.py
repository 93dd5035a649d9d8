"""The real controllers behind a proxy that spoils every second request: the end is that of an undisturbed run."""

import asyncio
import json
import os
import random
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from aimd.planning.durations import parse_duration
from aimd.planning.kinds import AIM_SERVICE, AIM_TEMPLATE_CACHE, HTTP_ROUTE, INFERENCE_SERVICE
from aimd.runtime.client import Client
from aimd.runtime.errors import NotFound
from aimd.runtime.kinds import NAMESPACE
from aimd.runtime.objects import Key
from aimd.sandbox.cluster import Sandbox
from aimd.sandbox.manifests import apply_manifests
from tests.e2e.namespaced import NamespacedOperator
from tests.e2e.world import model, namespace_manifest, runtime_config, service, template
from tests.end_state import end_state
from tests.faults.proxy import Fault, names

SECONDS = float(parse_duration(os.environ.get("AIMD_SOAK_DURATION", "5m")))
SERVICES = 4


async def edit(client: Client, namespace: str, dice: random.Random) -> None:
    """One thing a user does; `dice` that were seeded alike do the same in two namespaces."""
    name, choice, number = f"chat-{dice.randrange(SERVICES)}", dice.random(), dice.randrange(10**6)
    key = Key(namespace, name)
    with suppress(NotFound):
        if choice < 0.1:
            await client.delete(AIM_SERVICE, key, reason="test")
        elif choice < 0.2:
            kind = HTTP_ROUTE if number % 2 else INFERENCE_SERVICE
            selector = f"aim.eai.amd.com/service.name={name}"
            for child in await client.list(kind, namespace=namespace, label_selector=selector):
                await client.delete(kind, Key(namespace, child["metadata"]["name"]), reason="test")
        elif choice < 0.25:
            for cache in await client.list(AIM_TEMPLATE_CACHE, namespace=namespace):
                await client.delete(AIM_TEMPLATE_CACHE, Key(namespace, cache["metadata"]["name"]), reason="test")
        else:
            # Not the environment: a cache keeps that of whoever was first, which depends on who was quicker.
            replicas, routing = 1 + number % 2, {"enabled": number % 5 > 0}
            await apply_manifests(client, [service(namespace, name, replicas=replicas, routing=routing)])


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.timeout(SECONDS + 600)
async def test_with_every_fault_at_once_it_ends_like_an_undisturbed_run(
    sandbox: Sandbox, client: Client, tmp_path: Path
) -> None:
    disturbed = NamespacedOperator(sandbox, "chaos-disturbed", tmp_path)
    calm = NamespacedOperator(sandbox, "chaos-calm", tmp_path)
    both = [disturbed.namespace, calm.namespace]
    for namespace in both:
        await apply_manifests(client, [namespace_manifest(namespace), runtime_config(namespace, sandbox.hub_url)])
        await apply_manifests(client, [model(namespace), template(namespace)])
    async with disturbed.operating(), calm.operating():
        disturbed.proxy.rate = 0.1
        dice = {namespace: random.Random(11) for namespace in both}
        edits, deadline = 0, time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            for namespace in both:
                await edit(client, namespace, dice[namespace])
            edits += 1
            await asyncio.sleep(1.0)
        for namespace in both:
            await apply_manifests(client, [service(namespace, f"chat-{index}") for index in range(SERVICES)])
        disturbed.proxy.rate = 0.0
        await same_end(client, disturbed.namespace, calm.namespace)
    print(f"\n{edits} edits in {SECONDS:.0f} s; injected: {names(disturbed.proxy.injected)}")
    assert {fault for fault, _ in disturbed.proxy.injected} == set(Fault), "every class must have struck"
    for operator in (disturbed, calm):
        text = operator.log.read_text()
        assert "reconcile raised" not in text, [line for line in text.splitlines() if "reconcile raised" in line][:3]
        await client.delete(NAMESPACE, Key("", operator.namespace), reason="test")


async def same_end(client: Client, disturbed: str, calm: str, seconds: float = 240.0) -> None:
    """Returns once all services run and both namespaces look alike for a while; fails with the differences."""
    deadline, alike = time.monotonic() + seconds, 0
    states: list[dict[str, Any]] = []
    while time.monotonic() < deadline:
        states = [await end_state(client, namespace) for namespace in (disturbed, calm)]
        running = all('"Running"' in text for state in states for text in state.get("AIMService", ("",)))
        alike = alike + 1 if running and states[0] == states[1] else 0
        if alike == 5:
            return
        await asyncio.sleep(1.0)
    found, expected = states
    differing = [kind for kind in expected | found if expected.get(kind) != found.get(kind)]
    pytest.fail(json.dumps({kind: [expected.get(kind), found.get(kind)] for kind in differing}, indent=1))
