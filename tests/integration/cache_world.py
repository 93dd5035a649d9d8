"""Caches, artifacts and claims under the real controllers, in a namespace of their own on the real API server."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest

from aimd.controllers.all import build_reconcilers
from aimd.planning.kinds import AIM_ARTIFACT, AIM_MODEL, AIM_SERVICE, AIM_SERVICE_TEMPLATE, AIM_TEMPLATE_CACHE
from aimd.planning.settings import ControllerSettings
from aimd.registry.client import connect_registries
from aimd.runtime.client import Client, ClientOptions, connect
from aimd.runtime.errors import NotFound
from aimd.runtime.kinds import NAMESPACE, PERSISTENT_VOLUME_CLAIM
from aimd.runtime.manager import Manager, ManagerOptions
from aimd.runtime.objects import Key, Kind, Manifest, key_of, metadata_of
from aimd.sandbox.control_plane import ControlPlane
from tests.integration.stand_ins import Kubelet, install_crds, make_namespace
from tests.waiting import wait_until

TEMPLATES = {"t-a": "a", "t-ab": "ab"}
KEPT = (AIM_TEMPLATE_CACHE, AIM_ARTIFACT, PERSISTENT_VOLUME_CLAIM)


@dataclass
class World:
    admin: Client
    plane: ControlPlane
    namespace: str
    kubelet: Kubelet
    _manager: Manager | None = None
    _running: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """The real controllers, all of them, for this namespace."""
        started = asyncio.Event()

        async def run() -> None:
            kubeconfig = self.plane.add_user("lifetimes", groups=["system:masters"])
            async with connect(ClientOptions(kubeconfig=kubeconfig)) as client, connect_registries() as registries:
                manager = self._manager = Manager(client, ManagerOptions(namespaces=(self.namespace,)))
                settings = ControllerSettings(downloader_image="aimd:test", retry_base_seconds=1)
                for reconciler in build_reconcilers(client, manager.cache, settings, registries):
                    manager.add(reconciler)
                started.set()
                await manager.run()

        self._running = asyncio.create_task(run())
        await started.wait()

    async def stop(self) -> None:
        assert self._manager is not None
        assert self._running is not None
        self._manager.stop()
        await self._running

    async def list(self, kind: Kind) -> Sequence[Manifest]:
        return await self.admin.list(kind, namespace=self.namespace)

    async def delete(self, kind: Kind, name: str) -> None:
        with suppress(NotFound):
            await self.admin.delete(kind, Key(self.namespace, name), reason="test")

    async def make(self, kind: Kind, name: str, spec: Manifest) -> None:
        metadata = {"name": name, "namespace": self.namespace}
        manifest = {"apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata, "spec": spec}
        await self.admin.apply(kind, manifest, field_manager="user", reason="test")

    async def make_template(self, name: str, sources: Sequence[str]) -> None:
        """A template of the model with weights at `hf://acme/<source>`."""
        wanted = [{"modelId": f"acme/{each}", "sourceUri": f"hf://acme/{each}", "size": "1Gi"} for each in sources]
        hardware = {"cpu": {"requests": "1"}}
        await self.make(AIM_SERVICE_TEMPLATE, name, {"modelName": "tiny", "hardware": hardware, "modelSources": wanted})

    async def make_service(self, name: str, template: str, mode: str, **fields: Any) -> None:
        spec = {"model": {"name": "tiny"}, "template": {"name": template}, "caching": {"mode": mode}, **fields}
        await self.make(AIM_SERVICE, name, spec)

    async def words(self, kind: Kind) -> dict[str, str]:
        return {key_of(item).name: str((item.get("status") or {}).get("status")) for item in await self.list(kind)}

    async def all_ready(self) -> bool:
        """Every service has a Ready cache."""
        services = await self.list(AIM_SERVICE)
        return all(conditions(item).get("CacheReady") == "True" for item in services)

    async def until(self, what: str, holds: Callable[[], Awaitable[object]], seconds: float = 60) -> None:
        try:
            await wait_until(what, holds, timeout=seconds, every=0.2)
        except pytest.fail.Exception as failed:
            left = {kind.name: await self.words(kind) for kind in (AIM_SERVICE, AIM_TEMPLATE_CACHE, AIM_ARTIFACT)}
            pytest.fail(f"{failed}\nthere are {json.dumps(left, indent=1)}")


def conditions(item: Manifest) -> dict[str, str]:
    return {each["type"]: each["status"] for each in (item.get("status") or {}).get("conditions") or ()}


@asynccontextmanager
async def cache_world(api_server: ControlPlane) -> AsyncIterator[World]:
    """A world with a model, its templates, a kubelet that downloads at once, and running controllers."""
    async with AsyncExitStack() as stack:
        admin = await stack.enter_async_context(connect(ClientOptions(kubeconfig=api_server.kubeconfig)))
        await install_crds(admin)
        namespace = f"lifetimes-{uuid4().hex[:8]}"
        await make_namespace(admin, namespace)
        kubelet = await stack.enter_async_context(Kubelet(admin, namespace).running())
        world = World(admin, api_server, namespace, kubelet)
        model = {"image": "aim:1", "discovery": {"extractMetadata": False, "createServiceTemplates": False}}
        await world.make(AIM_MODEL, "tiny", model)
        for name, sources in TEMPLATES.items():
            await world.make_template(name, sources)
        await world.start()
        yield world
        await world.stop()
        await admin.delete(NAMESPACE, Key("", namespace), reason="test")


async def names(world: World, kind: Kind) -> set[str]:
    return {key_of(item).name for item in await world.list(kind) if not metadata_of(item).get("deletionTimestamp")}
