"""A controller whose every connection goes wrong: in the end it has done what an undisturbed one would have done."""

import os
import random
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import anyio
import pytest

from aimd.planning.durations import parse_duration
from aimd.runtime.client import Client, ClientOptions, connect
from aimd.runtime.errors import NotFound
from aimd.runtime.kinds import CONFIG_MAP, NAMESPACE, SECRET
from aimd.runtime.manager import Manager, ManagerOptions
from aimd.runtime.objects import Key, key_of, labels_of
from aimd.sandbox.control_plane import ControlPlane
from tests.faults.proxy import Fault, FaultProxy, Seen, names
from tests.integration.copier import Copier, secret
from tests.oracle import cache_equals_cluster

LONG = float(parse_duration(os.environ.get("AIMD_SOAK_DURATION", "5m")))
PARENTS = 12


async def edit(client: Client, namespace: str, dice: random.Random) -> None:
    """One thing a user does."""
    name = f"parent-{dice.randrange(PARENTS)}"
    key = Key(namespace, name)
    with suppress(NotFound):
        if dice.random() < 0.15:
            await client.delete(SECRET, key, reason="test")
            return
        if dice.random() < 0.15:
            await client.delete(CONFIG_MAP, Key(namespace, f"{name}-1"), reason="test")
            return
        body = secret(namespace, name, str(dice.randrange(10**6)))
        await client.apply(SECRET, body, field_manager="user", reason="test")


async def expected(client: Client, namespace: str) -> dict[str, str]:
    """What the ConfigMaps must be, from the Secrets alone: what an undisturbed run ends with."""
    secrets = await client.list(SECRET, namespace=namespace)
    return {f"{key_of(item).name}-{number}": labels_of(item).get("value", "") for item in secrets for number in (1, 2)}


async def copies(client: Client, namespace: str) -> dict[str, str]:
    found = await client.list(CONFIG_MAP, namespace=namespace)
    return {key_of(item).name: item["data"]["value"] for item in found if "value" in (item.get("data") or {})}


@pytest.mark.timeout(LONG + 240)
@pytest.mark.parametrize(
    ("seconds", "seed"), [(30.0, 1), pytest.param(LONG, 2, marks=[pytest.mark.slow, pytest.mark.soak])]
)
async def test_every_fault_at_once(api_server: ControlPlane, tmp_path: Path, seconds: float, seed: int) -> None:
    namespace, dice = f"chaos-{uuid4().hex[:8]}", random.Random(seed)
    proxy = FaultProxy(api_server.url, api_server.authority_file, seed=seed, stall_seconds=2.5)
    async with connect(ClientOptions(kubeconfig=api_server.kubeconfig)) as admin, proxy.serving():
        metadata = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
        await admin.create(NAMESPACE, metadata, reason="test")
        disturbed = ClientOptions(
            kubeconfig=proxy.kubeconfig(api_server.kubeconfig, tmp_path / "kubeconfig"), request_timeout=2.0
        )
        async with connect(disturbed) as client:
            manager = Manager(client, ManagerOptions(namespaces=(namespace,)))
            manager.add(Copier(manager, "-1", "-2"))
            async with anyio.create_task_group() as tasks:
                await tasks.start(manager.run)
                proxy.rate = 0.1
                edits = 0
                with anyio.move_on_after(seconds):
                    while True:
                        await edit(admin, namespace, dice)
                        edits += 1
                        await anyio.sleep(0.05)
                proxy.rate = 0.0
                await settle(admin, namespace)
                await cache_equals_cluster(manager, admin, namespace)
                tasks.cancel_scope.cancel()
    print(f"\n{edits} edits in {seconds:.0f} s; injected: {names(proxy.injected)}")
    assert {fault for fault, _ in proxy.injected} == set(Fault), "every class must have struck"


async def settle(client: Client, namespace: str) -> None:
    """Waits for what an undisturbed run ends with; garbage collection takes its time."""
    wanted: dict[str, str] = {}
    found: dict[str, str] = {}
    with anyio.move_on_after(90):
        while True:
            wanted, found = await expected(client, namespace), await copies(client, namespace)
            if wanted == found:
                return
            await anyio.sleep(0.5)
    raise AssertionError({name: (wanted.get(name), found.get(name)) for name in wanted | found})


async def test_a_forbidden_answer_of_the_proxy_is_not_taken_for_a_fault(
    api_server: ControlPlane, tmp_path: Path
) -> None:
    """Without faults the proxy is transparent, errors included."""
    proxy = FaultProxy(api_server.url, api_server.authority_file, applies=lambda seen: isinstance(seen, Seen))
    async with proxy.serving():
        options = ClientOptions(kubeconfig=proxy.kubeconfig(api_server.kubeconfig, tmp_path / "kubeconfig"))
        async with connect(options) as client:
            with pytest.raises(NotFound):
                await client.get(CONFIG_MAP, Key("default", "missing"))
            assert await client.list(NAMESPACE)
    assert proxy.injected == []
