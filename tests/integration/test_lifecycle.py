"""What the runtime promises over its life: a manager that stopped leaves nothing, a watch that lags does no harm."""

import asyncio
import gc
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import anyio
import pytest

from aimd.runtime.client import Client, ClientOptions, connect
from aimd.runtime.kinds import CONFIG_MAP, NAMESPACE, SECRET
from aimd.runtime.manager import Manager, ManagerOptions
from aimd.runtime.objects import Key, Manifest
from aimd.sandbox.control_plane import ControlPlane
from tests.faults.proxy import FaultProxy
from tests.integration.copier import Copier, secret


@pytest.fixture
async def admin(api_server: ControlPlane) -> AsyncIterator[Client]:
    async with connect(ClientOptions(kubeconfig=api_server.kubeconfig)) as client:
        yield client


@pytest.fixture
async def namespace(admin: Client) -> str:
    name = f"life-{uuid4().hex[:8]}"
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    await admin.create(NAMESPACE, body, reason="test")
    return name


async def put(admin: Client, namespace: str, name: str, value: str) -> Manifest:
    return await admin.apply(SECRET, secret(namespace, name, value), field_manager="user", reason="test")


@asynccontextmanager
async def managing(client: Client, namespace: str) -> AsyncIterator[Copier]:
    manager = Manager(client, ManagerOptions(namespaces=(namespace,)))
    reconciler = Copier(manager, "-copy")
    manager.add(reconciler)
    async with anyio.create_task_group() as tasks:
        await tasks.start(manager.run)
        yield reconciler
        manager.stop()


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("cycles", [25, pytest.param(1000, marks=[pytest.mark.slow, pytest.mark.timeout(900)])])
async def test_starting_and_stopping_leaves_nothing(
    api_server: ControlPlane, admin: Client, namespace: str, cycles: int
) -> None:
    await put(admin, namespace, "a", "1")
    before: tuple[int, int] = (0, 0)
    for cycle in range(cycles + 3):
        if cycle == 3:  # What is made once, such as resolvers and imports, is there by now.
            gc.collect()
            before = (len(asyncio.all_tasks()), descriptors())
        async with (
            connect(ClientOptions(kubeconfig=api_server.kubeconfig)) as client,
            managing(client, namespace) as reconciler,
        ):
            while not reconciler.reconciles:  # noqa: ASYNC110
                await anyio.sleep(0.001)
    for _ in range(50):
        gc.collect()
        after = (len(asyncio.all_tasks()), descriptors())
        if after <= before:
            break
        await anyio.sleep(0.1)
    print(f"\n{cycles} cycles; tasks and descriptors {before} → {after}")
    assert after[0] <= before[0]
    assert after[1] <= before[1]


async def test_a_client_that_is_closed_has_closed_its_connections(
    api_server: ControlPlane, admin: Client, namespace: str
) -> None:
    """Also those of watches that were left: their loop may end at once."""
    open_at_the_end = []
    for _ in range(20):
        async with (
            connect(ClientOptions(kubeconfig=api_server.kubeconfig)) as client,
            managing(client, namespace) as reconciler,
        ):
            await put(admin, namespace, f"a-{uuid4().hex[:8]}", "1")
            while not reconciler.reconciles:  # noqa: ASYNC110
                await anyio.sleep(0.001)
        open_at_the_end.append(descriptors())
    assert len(set(open_at_the_end[1:])) == 1, open_at_the_end


async def test_a_watch_that_lags_makes_no_duplicate_and_no_second_write(
    api_server: ControlPlane, admin: Client, namespace: str, tmp_path: Path
) -> None:
    """Reading one's own writes: the answers to them are known although the watch will tell of them only 5 s later."""
    proxy = FaultProxy(api_server.url, api_server.authority_file)
    async with proxy.serving():
        kubeconfig = proxy.kubeconfig(api_server.kubeconfig, tmp_path / "kubeconfig")
        async with (
            connect(ClientOptions(kubeconfig=kubeconfig, user_agent=f"lagging-{namespace}")) as client,
            managing(client, namespace) as reconciler,
        ):
            proxy.watch_lag = 5.0
            await put(admin, namespace, "a", "1")
            await put(admin, namespace, "b", "1")
            for _ in range(8):
                await anyio.sleep(2)
                if reconciler.written == 2:
                    break
            await anyio.sleep(6)
            writes = writes_of(api_server.audit_log, namespace, f"lagging-{namespace}")
            assert sorted(writes) == ["patch a-copy 201", "patch b-copy 201"]
            # Deleted and made anew by somebody else: another object, which is written once again.
            await admin.delete(CONFIG_MAP, Key(namespace, "a-copy"), reason="test")
            await anyio.sleep(12)
            writes = writes_of(api_server.audit_log, namespace, f"lagging-{namespace}")
            assert sorted(writes) == ["patch a-copy 201", "patch a-copy 201", "patch b-copy 201"]


def writes_of(audit_log: Path, namespace: str, agent: str) -> list[str]:
    """Verb, name and answer of every write of a user agent to ConfigMaps of a namespace."""
    events = [json.loads(line) for line in audit_log.read_text().splitlines()]
    return [
        f"{event['verb']} {event['objectRef']['name']} {event['responseStatus']['code']}"
        for event in events
        if event.get("userAgent", "").startswith(agent)
        and event["verb"] not in ("get", "list", "watch")
        and (event["objectRef"].get("namespace"), event["objectRef"]["resource"]) == (namespace, "configmaps")
    ]
