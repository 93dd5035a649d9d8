"""aimd takes over what the Go operator left behind, and changes none of it but containers that need more to start.

The objects of one namespace, as that operator left them with six running services, are replayed with their statuses and
managed fields on a control plane of its own; names of what belongs to an artifact hash UIDs that the replay cannot
keep, so those objects are found by their owner.
"""

import asyncio
import json
import re
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from aimd.api.crd import render
from aimd.api.kinds import RESOURCES
from aimd.controllers.all import build_reconcilers
from aimd.planning.kinds import AIM_SERVICE, INFERENCE_SERVICE
from aimd.planning.settings import ControllerSettings
from aimd.registry.client import connect_registries
from aimd.runtime.client import Client, ClientOptions, connect
from aimd.runtime.errors import Conflict
from aimd.runtime.kinds import NAMESPACE, NODE, PERSISTENT_VOLUME_CLAIM, POD
from aimd.runtime.manager import Manager
from aimd.runtime.objects import Kind, Manifest, key_of
from aimd.sandbox.control_plane import ControlPlane, control_plane
from aimd.sandbox.crds import foreign_crds, install_crds
from aimd.sandbox.manifests import kind_of

RECORDED = Path(__file__).parents[1] / "data" / "takeover" / "reference-objects.json"
FOREIGN = ("inferenceservices.serving.kserve.io", "httproutes.gateway.networking.k8s.io")
OWN_WEIGHTS = ("dedicated-a04542d9", "elastic-a04542d9", "shared-a04542d9")
FOR_OWN_WEIGHTS = {
    "AIM_ACCELERATOR_COUNT": "1",
    "AIM_ACCELERATOR_MODEL": "MI300X",
    "AIM_ALLOW_GENERAL_PROFILE_FALLBACK": "true",
    "AIM_GPU_COUNT": "1",
    "AIM_GPU_MODEL": "MI300X",
    "AIM_ID": "",
}
FROM_THE_SERVER = ("uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "ownerReferences")


@dataclass
class Replay:
    """The recorded objects on a server, under new UIDs."""

    client: Client
    uids: dict[str, str] = field(default_factory=dict)
    kinds: set[Kind] = field(default_factory=set)

    async def run(self, items: list[Manifest]) -> None:
        """Creates all, then gives them what refers to UIDs that came later."""
        for item in items:
            await self._create(self._mapped(item))
        await asyncio.sleep(1)
        for item in items:
            await self._complete(self._mapped(item))

    async def _create(self, item: Manifest) -> None:
        kind = kind_of(item)
        self.kinds.add(kind)
        metadata = {name: value for name, value in item["metadata"].items() if name not in FROM_THE_SERVER}
        spec = {name: value for name, value in item.items() if name not in ("metadata", "status")}
        if kind == PERSISTENT_VOLUME_CLAIM:
            await self._volume(item)
            metadata["annotations"] = {}  # Else the real controller takes the claim for bound, and its volume for lost.
        live = await self.client.create(kind, {**spec, "metadata": metadata}, reason="replay")
        self.uids[item["metadata"]["uid"]] = live["metadata"]["uid"]

    async def _complete(self, item: Manifest) -> None:
        """What names UIDs, status, managed fields; claims are bound meanwhile, so perhaps not at the first attempt."""
        kind, key = kind_of(item), key_of(item)
        if item.get("status"):
            # What was ready was so after its volume was made; both are made now.
            now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            status = json.loads(re.sub(r"2026-11-\d\dT[\d:]+Z", now, json.dumps(item["status"])))
            body = {"status": status}
            await self.client.patch(kind, key, body, reason="replay", subresource="status", field_manager="aim-engine")
        entries = [entry for entry in item["metadata"].get("managedFields", ()) if not entry.get("subresource")]
        recorded = {"managedFields": entries, "ownerReferences": item["metadata"].get("ownerReferences", [])}
        for _ in range(10):
            live = await self.client.get(kind, key)
            with suppress(Conflict):
                await self.client.replace(kind, {**live, "metadata": {**live["metadata"], **recorded}}, reason="replay")
                return

    async def _volume(self, claim: Manifest) -> None:
        spec = {
            "accessModes": claim["spec"]["accessModes"],
            "capacity": claim["spec"]["resources"]["requests"],
            "storageClassName": claim["spec"]["storageClassName"],
            "claimRef": {"namespace": "ml-team", "name": claim["metadata"]["name"]},
            "hostPath": {"path": "/nowhere"},
        }
        volume = {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": claim["spec"]["volumeName"]},
            "spec": spec,
        }
        await self.client.create(kind_of(volume), volume, reason="replay")

    def _mapped(self, item: Manifest) -> Manifest:
        text = json.dumps(item)
        for old, new in self.uids.items():
            text = text.replace(old, new)
        mapped: Manifest = json.loads(text)
        return mapped

    async def identities(self) -> dict[str, tuple[str, int]]:
        """UID and generation of every object of the recorded kinds, by kind and name."""
        return {
            f"{kind} {key_of(item).name}": (item["metadata"]["uid"], item["metadata"].get("generation", 0))
            for kind in self.kinds
            for item in await self.client.list(kind, namespace="ml-team")
        }


def gpu_node(name: str) -> Manifest:
    labels = {
        "amd.com/gpu.device-id": "74a1",
        "amd.com/gpu.product-name": "AMD_Instinct_MI300X",
        "amd.com/gpu.vram": "192G",
    }
    metadata = {"name": name, "labels": labels}
    return {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": {"unschedulable": True}}


async def install(admin: Client, plane: ControlPlane) -> None:
    """CRDs, the namespace and a node with the GPUs."""
    async with plane.http() as http:
        await install_crds(admin, http, [*map(render, RESOURCES), *foreign_crds(*FOREIGN)])
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ml-team"}}
    await admin.create(NAMESPACE, namespace, reason="replay")
    await admin.create(NODE, gpu_node("gpu"), reason="replay")
    storage = {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "nfs"}}
    await admin.create(kind_of(storage), {**storage, "provisioner": "example.com/nfs"}, reason="replay")


async def run_predictor(admin: Client, name: str) -> None:
    """A pod of the InferenceService that runs and is ready."""
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"{name}-predictor",
            "namespace": "ml-team",
            "labels": {"serving.kserve.io/inferenceservice": name},
        },
        "spec": {"nodeName": "gpu", "containers": [{"name": "kserve-container", "image": "x"}]},
    }
    live = await admin.create(POD, pod, reason="replay")
    container = {"name": "kserve-container", "ready": True, "restartCount": 0, "image": "x", "imageID": "x"}
    status = {
        "phase": "Running",
        "conditions": [{"type": "Ready", "status": "True"}],
        "containerStatuses": [{**container, "state": {"running": {}}}],
    }
    await admin.patch(POD, key_of(live), {"status": status}, reason="replay", subresource="status")


async def run_operator(kubeconfig: Path, seconds: float) -> None:
    async with connect(ClientOptions(kubeconfig=kubeconfig)) as client, connect_registries() as registries:
        manager = Manager(client)
        for reconciler in build_reconcilers(client, manager.cache, ControllerSettings(), registries):
            manager.add(reconciler)
        running = asyncio.create_task(manager.run())
        await asyncio.sleep(seconds)
        manager.stop()
        await running


def additions(before: Manifest, after: Manifest) -> dict[str, str]:
    """Return the variables that a container has gained; it has nothing else that it did not have."""
    (old,), (new,) = (item["spec"]["predictor"]["containers"] for item in (before, after))
    assert {**old, "env": []} == {**new, "env": []}
    assert all(variable in new["env"] for variable in old["env"])
    return {item["name"]: item.get("value", "") for item in new["env"] if item not in old["env"]}


async def test_nothing_that_runs_is_touched_but_own_weights() -> None:
    """Prove SVC-ENV-3 and SVC-ENV-5: predictors of weights of one's own get variables, all others stay as they are."""
    async with control_plane() as plane, connect(ClientOptions(kubeconfig=plane.kubeconfig)) as admin:
        await install(admin, plane)
        replay = Replay(admin)
        items = json.loads(RECORDED.read_text())["items"]
        recorded = {key_of(item).name: item for item in items if item["kind"] == INFERENCE_SERVICE.name}
        await replay.run(items)
        for item in await admin.list(INFERENCE_SERVICE, namespace="ml-team"):
            await run_predictor(admin, key_of(item).name)
        before = await replay.identities()
        await run_operator(plane.add_user("aimd", groups=["system:masters"]), 15)
        after = await replay.identities()
        services = {key_of(item).name: item["status"] for item in await admin.list(AIM_SERVICE, namespace="ml-team")}
        rendered = {key_of(item).name: item for item in await admin.list(INFERENCE_SERVICE, namespace="ml-team")}
    assert {name: uid for name, (uid, _) in before.items()} == {name: uid for name, (uid, _) in after.items()}
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {f"InferenceService {name}" for name in OWN_WEIGHTS}
    for name in OWN_WEIGHTS:
        assert additions(recorded[name], rendered[name]) == FOR_OWN_WEIGHTS
    del services["elastic"]  # The real autoscaler finds no Deployment, and says so.
    assert {name: status["status"] for name, status in services.items()} == dict.fromkeys(services, "Running")
