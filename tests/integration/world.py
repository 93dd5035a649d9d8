"""What tests of controllers in this process share: a user's view of a namespace, and controllers beside it."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from aimd.runtime.client import Client, ClientOptions, connect
from aimd.runtime.controller import Reconciler
from aimd.runtime.errors import ApiError
from aimd.runtime.manager import Manager
from aimd.runtime.objects import Key, Kind, Manifest
from aimd.runtime.store import Cache
from aimd.sandbox.control_plane import ControlPlane
from tests.waiting import wait_until

T = TypeVar("T")


@dataclass
class World:
    """A namespace, seen by its user; the controllers run beside it as `operator`, whose writes the audit log tells."""

    client: Client
    namespace: str
    audit_log: Path
    operator: str

    def key(self, kind: Kind, name: str) -> Key:
        return Key(self.namespace if kind.namespaced else "", name)

    async def create(self, kind: Kind, name: str, status: Manifest | None = None, **fields: Any) -> None:
        metadata = {"name": name, **({"namespace": self.namespace} if kind.namespaced else {})}
        metadata |= fields.pop("metadata", {})
        manifest = {"apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata, **fields}
        await self.client.create(kind, manifest, reason="test")
        if status is not None:
            await self.report(kind, name, status)

    async def report(self, kind: Kind, name: str, status: Manifest) -> None:
        """Writes a status, as the controller of that kind would."""
        await self.client.patch(kind, self.key(kind, name), {"status": status}, reason="test", subresource="status")

    async def get(self, kind: Kind, name: str) -> Manifest:
        return await self.client.get(kind, self.key(kind, name))

    async def only(self, kind: Kind) -> Manifest:
        """The one object of a kind, beside a `default` one."""
        listed = await self.client.list(kind, namespace=self.namespace)
        found = [item for item in listed if item["metadata"]["name"] != "default"]
        assert len(found) == 1, [item["metadata"]["name"] for item in found]
        return found[0]

    async def until(
        self, look: Callable[[], Awaitable[T]], holds: Callable[[T], object] = bool, seconds: float = 30
    ) -> T:
        return await wait_until("what the test waits for", look, holds, seconds)

    def writes(self, *, everything: bool = False) -> list[tuple[str, str]]:
        """Verb and resource of the operator's writes: in this namespace without events, or everything it wrote."""
        events = [json.loads(line) for line in self.audit_log.read_text().splitlines()]
        written = [
            (event["verb"], event["objectRef"])
            for event in events
            if event["user"]["username"] == self.operator and event["verb"] not in ("get", "list", "watch")
        ]
        return [
            (verb, where["resource"])
            for verb, where in written
            if everything or (where.get("namespace") == self.namespace and where["resource"] != "events")
        ]


@asynccontextmanager
async def operating(
    api_server: ControlPlane, operator: str, build: Callable[[Client, Cache], Iterable[Reconciler]]
) -> AsyncIterator[Manager]:
    """A manager with the controllers that `build` makes, as a user of that name, while the block runs."""
    kubeconfig = api_server.add_user(operator, groups=["system:masters"])
    async with connect(ClientOptions(kubeconfig=kubeconfig)) as client:
        manager = Manager(client)
        for reconciler in build(client, manager.cache):
            manager.add(reconciler)
        running = asyncio.create_task(manager.run())
        try:
            yield manager
        finally:
            manager.stop()
            await running


async def served(client: Client, *kinds: Kind) -> None:
    """Returns once the API server serves the kinds whose definitions it has."""

    async def answers(kind: Kind) -> bool:
        try:
            await client.list(kind)
        except ApiError:
            return False
        return True

    for kind in kinds:
        await wait_until(f"{kind} is served", partial(answers, kind), timeout=20)
