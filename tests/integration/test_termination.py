"""SIGTERM while a hundred turns are under way: they end, the process ends well, the next one leaves the same world."""

import asyncio
import re
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from aimd.planning.kinds import AIM_SERVICE
from aimd.runtime.client import Client, ClientOptions, connect
from aimd.runtime.kinds import NAMESPACE
from aimd.runtime.objects import Key
from aimd.sandbox.control_plane import ControlPlane
from aimd.sandbox.manifests import apply_manifests
from tests.end_state import end_state
from tests.faults.proxy import Cut, FaultProxy, Seen
from tests.integration.operator_process import lines_of, running
from tests.integration.stand_ins import Kubelet, install_crds, make_namespace
from tests.integration.test_soak import manifests, service
from tests.waiting import wait_until

SERVICES = 100
WORKERS = (f"--max-concurrent-reconciles=service={SERVICES}",)
GRACE = 25.0
"""Default of --graceful-shutdown-timeout, in seconds."""
_CHILD = re.compile(r"/namespaces/[^/]+/(?!events)[^/?]+")


class Brake:
    """Lets writes through until `open_for` of them were made, then holds the rest until `release`."""

    def __init__(self, open_for: int) -> None:
        self.left = open_for
        self.held = 0
        self._released = asyncio.Event()

    async def gate(self, seen: Seen) -> Cut:
        if seen.method != "GET" and _CHILD.search(seen.path) and not self._released.is_set():
            self.left -= 1
            if self.left < 0:
                self.held += 1
                await self._released.wait()
        return Cut.NOT

    def release(self) -> None:
        self._released.set()


@pytest.fixture
async def admin(api_server: ControlPlane) -> AsyncIterator[Client]:
    async with connect(ClientOptions(kubeconfig=api_server.kubeconfig)) as client:
        yield client


@asynccontextmanager
async def namespace_of_services(admin: Client) -> AsyncIterator[str]:
    name = f"term-{uuid4().hex[:8]}"
    await make_namespace(admin, name)
    services = [service(name, index) for index in range(SERVICES)]
    for each in services:
        del each["spec"]["env"]  # The shared cache would have that of the service that came first.
    await apply_manifests(admin, [*manifests(name), *services])
    async with Kubelet(admin, name).running():
        yield name
    await admin.delete(NAMESPACE, Key("", name), reason="test")


async def seen_services(admin: Client, namespace: str) -> int:
    """How many services have a status that speaks of their spec."""
    found = await admin.list(AIM_SERVICE, namespace=namespace)
    return sum(
        1 for item in found if (item.get("status") or {}).get("observedGeneration") == item["metadata"]["generation"]
    )


async def settled(admin: Client, namespace: str) -> dict[str, Any]:
    """The state of the namespace once it has not changed for three seconds."""
    state: dict[str, Any] = {}
    since = time.monotonic()
    deadline = since + 120
    while time.monotonic() - since < 3 or not state:
        assert time.monotonic() < deadline
        latest = await end_state(admin, namespace)
        if latest != state:
            state, since = latest, time.monotonic()
        await asyncio.sleep(0.5)
    return state


@pytest.mark.slow
@pytest.mark.parametrize("open_for", [50, 250])
async def test_a_hundred_turns_end_and_the_next_start_finishes_what_was_left(
    admin: Client, api_server: ControlPlane, tmp_path: Path, open_for: int
) -> None:
    await install_crds(admin)
    brake = Brake(open_for)
    proxy = FaultProxy(api_server.url, api_server.authority_file, gate=brake.gate)
    first, second = tmp_path / "first.log", tmp_path / "second.log"
    async with namespace_of_services(admin) as interrupted, proxy.serving():
        slowed = proxy.kubeconfig(api_server.kubeconfig, tmp_path / "kubeconfig")
        with running(slowed, first, *WORKERS, f"--watch-namespaces={interrupted}") as (process, _):

            async def braked() -> bool:
                return brake.held >= 20

            await wait_until("turns are held in the middle", braked)
            await asyncio.sleep(1)
            process.send_signal(signal.SIGTERM)
            started = time.monotonic()
            await asyncio.sleep(0.5)
            assert process.poll() is None, "turns under way are waited for"
            brake.release()
            assert await asyncio.to_thread(process.wait, GRACE) == 0
            took = time.monotonic() - started
        told = {line["msg"]: line for line in lines_of(first)}
        done = await seen_services(admin, interrupted)
        under_way = told["stopping"]["under_way"]
        print(f"\nSIGTERM with {under_way} turns under way: {took:.1f} s; {done} services were seen")
        assert under_way >= SERVICES * 0.8
        assert [line for line in lines_of(first) if line["level"] == "error"] == []
        assert "stopped" in told
        async with namespace_of_services(admin) as undisturbed:
            flags = (*WORKERS, f"--watch-namespaces={interrupted},{undisturbed}")
            with running(api_server.kubeconfig, second, *flags) as (process, _):
                for namespace in (interrupted, undisturbed):

                    async def all_seen(namespace: str = namespace) -> bool:
                        return await seen_services(admin, namespace) == SERVICES

                    await wait_until("every service is seen", all_seen)
                states = [await settled(admin, namespace) for namespace in (interrupted, undisturbed)]
                process.send_signal(signal.SIGTERM)
                assert await asyncio.to_thread(process.wait, GRACE) == 0
        assert states[0] == states[1]
        assert len(states[0]["InferenceService"]) == SERVICES
        assert [line for line in lines_of(second) if line["level"] == "error"] == []
