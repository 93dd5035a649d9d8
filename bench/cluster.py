"""A real control plane for benchmarks, and many objects in it."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import anyio
from anyio.from_thread import start_blocking_portal

from aimd.runtime.client import Client
from aimd.runtime.errors import AlreadyExists
from aimd.runtime.kinds import NAMESPACE
from aimd.runtime.objects import Kind, Manifest
from aimd.sandbox.control_plane import ControlPlane, control_plane

_AT_ONCE = 32


@contextmanager
def cluster() -> Iterator[ControlPlane]:
    """Run etcd, API server, controller manager and scheduler while the block runs."""
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(control_plane()) as running:
        yield running


async def create_all(client: Client, kind: Kind, manifests: Iterable[Manifest]) -> None:
    """Create the objects, many at the same time."""
    waiting = iter(manifests)

    async def work() -> None:
        for manifest in waiting:
            await client.create(kind, manifest, reason="bench")

    async with anyio.create_task_group() as tasks:
        for _ in range(_AT_ONCE):
            tasks.start_soon(work)


async def create_namespace(client: Client, name: str) -> None:
    """Create a namespace, unless it exists."""
    try:
        await client.create(
            NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}, reason="bench"
        )
    except AlreadyExists:
        return
