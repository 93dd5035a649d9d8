"""What the tests on a bare API server play: the kubelet for pods of jobs, and the provisioner of volumes."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from aimd.api.crd import render
from aimd.api.kinds import RESOURCES
from aimd.runtime.client import Client
from aimd.runtime.errors import ApiError
from aimd.runtime.kinds import NAMESPACE, PERSISTENT_VOLUME, PERSISTENT_VOLUME_CLAIM, POD
from aimd.runtime.objects import Manifest, key_of, labels_of, metadata_of
from aimd.sandbox.crds import foreign_crds
from aimd.sandbox.manifests import apply_manifests

_AUTH = 20
FOREIGN = ("inferenceservices.serving.kserve.io", "httproutes.gateway.networking.k8s.io", "scaledobjects.keda.sh")


async def install_crds(admin: Client) -> None:
    """aimd's own CRDs and those of what it creates, without the controllers behind them."""
    await install_own_crds(admin)
    await apply_manifests(admin, foreign_crds(*FOREIGN))


async def install_own_crds(admin: Client) -> None:
    await apply_manifests(admin, map(render, RESOURCES))


async def make_namespace(admin: Client, name: str) -> None:
    await admin.create(NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}, reason="test")


@dataclass
class Kubelet:
    """Ends every pod of a job at once, well or (while `failing`) with this exit code; binds claims to new volumes.

    While `gated`, pods without HF_TOKEN are refused, as by a hub whose models take a token. `succeeded` lists the value
    of the label `label` of each pod that ended well.
    """

    admin: Client
    namespace: str
    label: str = "aim.eai.amd.com/cache.name"
    failing: int = 0
    gated: bool = False
    succeeded: list[str] = field(default_factory=list)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Kubelet"]:
        task = asyncio.create_task(self._run())
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            with suppress(ApiError):
                for claim in await self.admin.list(PERSISTENT_VOLUME_CLAIM, namespace=self.namespace):
                    if (claim.get("status") or {}).get("phase") == "Pending" and not claim["spec"].get("volumeName"):
                        await self._provide(claim)
                for pod in await self.admin.list(POD, namespace=self.namespace):
                    if pod["status"].get("phase") == "Pending" and not metadata_of(pod).get("deletionTimestamp"):
                        await self._end(pod)
            await asyncio.sleep(0.2)

    async def _provide(self, claim: Manifest) -> None:
        spec = {
            "accessModes": claim["spec"]["accessModes"],
            "capacity": claim["spec"]["resources"]["requests"],
            "claimRef": {
                "namespace": self.namespace,
                "name": claim["metadata"]["name"],
                "uid": claim["metadata"]["uid"],
            },
            "hostPath": {"path": "/nowhere"},
        }
        if "storageClassName" in claim["spec"]:
            spec["storageClassName"] = claim["spec"]["storageClassName"]
        volume = {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": f"volume-{claim['metadata']['uid']}"},
            "spec": spec,
        }
        with suppress(ApiError):
            await self.admin.create(PERSISTENT_VOLUME, volume, reason="test")

    async def _end(self, pod: Manifest) -> None:
        container = pod["spec"]["containers"][0]
        refused = self.gated and not any(item["name"] == "HF_TOKEN" for item in container.get("env") or ())
        code = _AUTH if refused else self.failing
        reason = "AuthError" if refused else "NetworkUnavailable"
        report = {"reason": reason if code else "Completed"}
        terminated = {"exitCode": code, "reason": "Error" if code else "Completed", "message": json.dumps(report)}
        status = {
            "name": container["name"],
            "image": container["image"],
            "imageID": "",
            "ready": False,
            "restartCount": 0,
            "state": {"terminated": terminated},
        }
        body = {"status": {"phase": "Failed" if code else "Succeeded", "containerStatuses": [status]}}
        await self.admin.patch(POD, key_of(pod), body, reason="test", subresource="status")
        if not code:
            self.succeeded.append(labels_of(pod).get(self.label, ""))
