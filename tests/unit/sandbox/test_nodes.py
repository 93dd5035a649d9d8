"""Nodes with GPUs."""

from typing import Any

from aimd.runtime.kinds import NODE
from aimd.runtime.objects import Key, Kind, Manifest, labels_of
from aimd.sandbox.nodes import GPU_RESOURCE, register_nodes


class Server:
    """The two calls of a client that register nodes."""

    def __init__(self) -> None:
        self.nodes: dict[str, Manifest] = {}

    async def create(self, kind: Kind, manifest: Manifest, *, reason: str) -> None:
        assert (kind, reason) == (NODE, "sandbox")
        self.nodes[manifest["metadata"]["name"]] = {**manifest}

    async def patch(self, kind: Kind, key: Key, change: Manifest, **options: Any) -> None:
        assert (kind, options["subresource"]) == (NODE, "status")
        self.nodes[key.name] |= change


async def test_nodes_are_ready_and_have_gpus_in_rotation() -> None:
    server = Server()
    names = await register_nodes(server, 3, version="v1.34.4", kubelet_port=4711)  # type: ignore[arg-type]
    assert names == list(server.nodes) == ["gpu-1", "gpu-2", "gpu-3"]
    devices = [labels_of(node)[f"{GPU_RESOURCE}.device-id"] for node in server.nodes.values()]
    assert devices == ["74a1", "75a0", "74a1"]
    for node in server.nodes.values():
        status = node["status"]
        assert {item["type"]: item["status"] for item in status["conditions"]}["Ready"] == "True"
        assert status["allocatable"][GPU_RESOURCE] == "8"
        assert status["daemonEndpoints"]["kubeletEndpoint"]["Port"] == 4711
        assert status["nodeInfo"]["kubeletVersion"] == "v1.34.4"
