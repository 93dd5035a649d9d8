"""Random AIMServices that the schema accepts: nothing raises, each has a condition, nothing runs hot, nothing grows."""

import asyncio
import random
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from aimd.api import kinds
from aimd.api.crd import render
from aimd.planning.kinds import AIM_ARTIFACT, AIM_MODEL, AIM_SERVICE, AIM_SERVICE_TEMPLATE, AIM_TEMPLATE_CACHE
from aimd.runtime.errors import Invalid, NotFound
from aimd.runtime.objects import Key, Kind, Manifest, key_of
from aimd.sandbox.control_plane import ControlPlane
from tests.integration.test_soak import Soak, soaking
from tests.schema_values import value_of
from tests.waiting import wait_until

SEED = 11
MOST_RECONCILES = 40
"""Turns per service until it rests; a service with a model, a cache and an InferenceService takes about a dozen."""
WINDOW = 10
LOOK_AGAIN = 5.0
"""Seconds between two turns of a service at rest, at the least; one that waits for KEDA looks every 15 s."""


def spec_schema() -> dict[str, Any]:
    schema = render(kinds.AIM_SERVICE_RESOURCE)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    spec: dict[str, Any] = schema["properties"]["spec"]
    return spec


def random_service(dice: random.Random, namespace: str, name: str) -> Manifest:
    spec = value_of(spec_schema(), dice)
    way = dice.choice(("name", "image", "custom"))
    spec["model"] = {way: value_of(spec_schema()["properties"]["model"]["properties"][way], dice)}
    if way == "image":
        spec["model"]["image"] = dice.choice(("aim:1", "", ":::", "127.0.0.1:1/aim:2", "no/Such@Image"))
    if dice.random() < 0.5:  # random references seldom lead anywhere
        spec |= {"model": {"name": "tiny"}, "template": {"name": "tiny-cpu"}}
        spec.pop("runtimeConfigName", None)
    labels = {"team": "blue"} if dice.random() < 0.5 else {}
    return {
        "apiVersion": AIM_SERVICE.api_version,
        "kind": AIM_SERVICE.name,
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": spec,
    }


async def create(soak: Soak, dice: random.Random, count: int) -> int:
    """Creates so many services; gives how many more the API server refused."""
    refused = made = 0
    while made < count:
        try:
            manifest = random_service(dice, soak.namespace, f"random-{made}")
            await soak.admin.create(AIM_SERVICE, manifest, reason="test")
            made += 1
        except Invalid:
            refused += 1
    return refused


async def turns(soak: Soak) -> float:
    """Reconciles of services so far."""
    found = await soak.metric("controller_runtime_reconcile_total")
    return sum(value for labels, value in found.items() if "'service'" in labels)


async def without_a_condition(soak: Soak) -> list[str]:
    services = await soak.admin.list(AIM_SERVICE, namespace=soak.namespace)
    return [key_of(item).name for item in services if not (item.get("status") or {}).get("conditions")]


async def remove_all(soak: Soak) -> None:
    """The services, and what outlives them, each kind before what it would make again."""
    for kind in (AIM_SERVICE, AIM_MODEL, AIM_SERVICE_TEMPLATE, AIM_TEMPLATE_CACHE, AIM_ARTIFACT):
        await remove(soak, kind)


async def remove(soak: Soak, kind: Kind) -> None:
    """All objects of a kind but those that the test itself has made; returns when they are gone."""

    async def left() -> list[Key]:
        found = await soak.admin.list(kind, namespace=soak.namespace)
        return [key for item in found if (key := key_of(item)).name not in ("tiny", "tiny-cpu")]

    async def gone() -> bool:
        return not await left()

    for key in await left():
        with suppress(NotFound):
            await soak.admin.delete(kind, key, reason="test")
    await wait_until(f"no {kind.name} left", gone, timeout=600, every=1.0)


@pytest.mark.parametrize(
    ("count", "rounds"),
    [(20, 1), pytest.param(1000, 2, marks=[pytest.mark.slow, pytest.mark.timeout(3000)])],
)
async def test_whatever_the_schema_accepts(api_server: ControlPlane, tmp_path: Path, count: int, rounds: int) -> None:
    """Two rounds of a thousand, or one of twenty: as many services again must not need more memory."""
    memory: list[float] = []
    async with soaking(api_server, tmp_path) as soak:
        for number in range(rounds):
            before = await turns(soak) if number else 0.0
            refused = await create(soak, random.Random(SEED + number), count)

            async def judged() -> bool:
                return not await without_a_condition(soak)

            await wait_until("a condition for each", judged, timeout=60 + count / 2, every=1.0)
            await asyncio.sleep(10)
            reached = await turns(soak)
            await asyncio.sleep(WINDOW)
            late = await turns(soak) - reached
            memory.append(soak.memory())
            each = (await turns(soak) - before) / count
            print(f"\n{count} services, {refused} refused; {each:.1f} turns each, {late:.0f} in {WINDOW} s afterwards")
            assert each < MOST_RECONCILES
            assert late < count * WINDOW / LOOK_AGAIN, "nobody runs hot"
            if number + 1 < rounds:
                await remove_all(soak)
        log = soak.log.read_text()
        assert "Traceback" not in log
        assert '"exception"' not in log
        assert await soak.metric("controller_runtime_reconcile_panics_total") == {}
    print(f"MiB after each round: {[round(value) for value in memory]}")
    assert memory[-1] < memory[0] * 1.25 + 20
