"""Memory of `aimd run` with the RBAC of the chart: 1,000 services with children, 10,000 foreign objects of each kind.

Foreign objects are Pods, Events, Jobs and PersistentVolumeClaims of others, which no controller schedules, runs or
binds. Each service has an InferenceService, a route and a pod, as KServe creates them. The floor is the same process in
the same cluster before any of these objects exist.
"""

import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import httpx

from aimd.api.crd import render
from aimd.api.kinds import RESOURCES
from aimd.planning.kinds import AIM_SERVICE, HTTP_ROUTE, INFERENCE_SERVICE
from aimd.runtime.client import Client, ClientOptions, connect
from aimd.runtime.kinds import EVENT, JOB, PERSISTENT_VOLUME_CLAIM, POD
from aimd.runtime.objects import Kind, Manifest, owner_reference
from aimd.sandbox.binaries import locate_binaries
from aimd.sandbox.chart import OperatorIdentity, install_operator_identity
from aimd.sandbox.control_plane import ControlPlane
from aimd.sandbox.crds import foreign_crds, install_crds
from aimd.sandbox.manifests import apply_manifests, read_manifests
from aimd.sandbox.processes import free_ports
from bench.cluster import cluster, create_all, create_namespace
from bench.figures import Figure, Figures, no_more_than
from bench.meters import cpu_seconds, peak_resident_bytes, resident_bytes
from bench.objects import pod as running_pod

NAME = "footprint"
MOST_MEBIBYTES = no_more_than(300)

_EXAMPLES = Path(__file__).parents[1] / "examples" / "quickstart"
_FOREIGN, _OURS = "somebody-else", "ml-team"
_NEEDED = ("inferenceservices.serving.kserve.io", "httproutes.gateway.networking.k8s.io")
_CALM_SECONDS, _CALM_SHARE, _PATIENCE = 3.0, 0.05, 300.0
_MIB = 2**20


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident bytes of the operator when it is idle, and at the peak."""

    resident: int
    peak: int


def run(services: int = 1000, foreign: int = 10_000) -> Figures:
    """Measure the operator in the empty cluster, then with all objects."""
    with cluster() as plane:
        empty, full = anyio.run(_measure, plane, services, foreign)
    title = f"resident memory of aimd run, {services:,} services, {foreign:,} foreign objects of 4 kinds"
    return Figures(
        NAME,
        (
            Figure(
                NAME,
                title,
                full.resident / _MIB,
                "MiB",
                "empty cluster",
                empty.resident / _MIB,
                (MOST_MEBIBYTES,),
            ),
            Figure(
                f"{NAME}/peak",
                f"{title}, peak",
                full.peak / _MIB,
                "MiB",
                "empty cluster",
                empty.peak / _MIB,
                (MOST_MEBIBYTES,),
            ),
        ),
    )


async def _measure(plane: ControlPlane, services: int, foreign: int) -> tuple[Memory, Memory]:
    options = ClientOptions(kubeconfig=plane.kubeconfig, max_concurrent_requests=64)
    async with connect(options) as client, plane.http() as http:
        identity = await _prepare(client, http, plane)
        async with _operator(identity, plane.logs / "empty.log") as pid:
            empty = await _at_rest(pid)
        for kind, make in _FOREIGN_KINDS.items():
            await create_all(client, kind, (make(number) for number in range(foreign)))
        await _create_services(client, services)
        async with _operator(identity, plane.logs / "full.log") as pid:
            await _all_reported(client)
            full = await _at_rest(pid)
    return empty, full


async def _prepare(client: Client, http: httpx.AsyncClient, plane: ControlPlane) -> OperatorIdentity:
    await install_crds(client, http, [*foreign_crds(*_NEEDED), *map(render, RESOURCES)])
    await create_namespace(client, _FOREIGN)
    examples = [item for item in read_manifests(_EXAMPLES) if item["kind"] != "AIMService"]
    await apply_manifests(client, sorted(examples, key=lambda item: item["kind"] != "Namespace"))
    return await install_operator_identity(client, locate_binaries(["helm"]).path("helm"), plane)


@asynccontextmanager
async def _operator(identity: OperatorIdentity, log: Path) -> AsyncIterator[int]:
    """Run `aimd run` while the block runs, once its caches are synced; yield its pid."""
    address = f"127.0.0.1:{free_ports(1)[0]}"
    command = [sys.executable, "-m", "aimd", "run", *identity.arguments, f"--health-probe-bind-address={address}"]
    with (
        log.open("wb") as output,
        subprocess.Popen(command, stderr=output, env={**os.environ, **identity.environment}) as process,
    ):
        try:
            async with httpx.AsyncClient(trust_env=False) as http:
                with anyio.fail_after(_PATIENCE):
                    while not await _is_ready(http, f"http://{address}/readyz"):
                        assert process.poll() is None, log.read_text()[-2000:]
                        await anyio.sleep(0.2)
            yield process.pid
            process.terminate()  # The next one gets the lease at once.
            await anyio.to_thread.run_sync(process.wait)
        finally:
            process.kill()


async def _is_ready(http: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await http.get(url)).is_success
    except httpx.TransportError:
        return False


async def _at_rest(pid: int) -> Memory:
    """Return the memory once the process has used little CPU for a while. Raises TimeoutError."""
    with anyio.fail_after(_PATIENCE):
        while True:
            before = cpu_seconds(pid)
            await anyio.sleep(_CALM_SECONDS)
            if cpu_seconds(pid) - before < _CALM_SECONDS * _CALM_SHARE:
                return Memory(resident_bytes(pid), peak_resident_bytes(pid))


async def _all_reported(client: Client) -> None:
    """Wait until every service has a status. Raises TimeoutError."""
    with anyio.fail_after(_PATIENCE):
        while not all(item.get("status") for item in await client.list(AIM_SERVICE)):  # noqa: ASYNC110 - only asking tells
            await anyio.sleep(1)


async def _create_services(client: Client, count: int) -> None:
    """Create the services, and the objects that KServe and a gateway would create for each."""
    example = next(item for item in read_manifests(_EXAMPLES) if item["kind"] == "AIMService")
    names = [f"chat-{number:04d}" for number in range(count)]
    await create_all(client, AIM_SERVICE, ({**example, "metadata": _metadata(name)} for name in names))
    owners = {item["metadata"]["name"]: item for item in await client.list(AIM_SERVICE, namespace=_OURS)}
    for kind, make in _CHILD_KINDS.items():
        await create_all(client, kind, (make(name, owners[name]) for name in names))


def _metadata(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "namespace": _OURS, **more}


def _child(kind: Kind, name: str, owner: Manifest, spec: dict[str, Any], labels: dict[str, str]) -> Manifest:
    metadata = _metadata(f"{name}-predictor", labels=labels, ownerReferences=[owner_reference(AIM_SERVICE, owner)])
    return {"apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata, "spec": spec}


def _inference_service(name: str, owner: Manifest) -> Manifest:
    container = {"name": "kserve-container", "image": "registry.example.com/aim/qwen-qwen3-32b:0.8.4"}
    predictor = {"minReplicas": 1, "maxReplicas": 1, "containers": [container]}
    return _child(INFERENCE_SERVICE, name, owner, {"predictor": predictor}, {})


def _route(name: str, owner: Manifest) -> Manifest:
    backend = {"name": f"{name}-predictor", "port": 80}
    rule = {
        "matches": [{"path": {"type": "PathPrefix", "value": f"/{_OURS}/{name}"}}],
        "backendRefs": [backend],
    }
    parents = [{"name": "inference-gateway", "namespace": "gateways"}]
    return _child(HTTP_ROUTE, name, owner, {"parentRefs": parents, "rules": [rule]}, {})


def _predictor_pod(name: str, owner: Manifest) -> Manifest:
    labels = {"serving.kserve.io/inferenceservice": f"{name}-predictor"}
    return _child(POD, name, owner, _pod_spec(), labels)


def _pod_spec() -> dict[str, Any]:
    """Return the spec of a pod of realistic size that no scheduler and no node handles."""
    container = dict(running_pod(0)["spec"]["containers"][0])
    mounts = [mount for mount in container["volumeMounts"] if mount["name"] == "dshm"]
    volumes = [{"name": "dshm", "emptyDir": {"medium": "Memory", "sizeLimit": "8Gi"}}]
    return {
        "schedulerName": "nobody",
        "containers": [{**container, "volumeMounts": mounts}],
        "volumes": volumes,
        "automountServiceAccountToken": False,
    }


def _foreign(kind: Kind, name: str, number: int, **fields: Any) -> Manifest:
    metadata = {"name": f"{name}-{number:05d}", "namespace": _FOREIGN, "labels": {"app": f"app-{number % 100:02d}"}}
    return {"apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata, **fields}


def _foreign_pod(number: int) -> Manifest:
    return _foreign(POD, "worker", number, spec=_pod_spec())


def _foreign_event(number: int) -> Manifest:
    return _foreign(
        EVENT,
        "worker.17a5c3f0b1d2",
        number,
        involvedObject={"kind": "Pod", "namespace": _FOREIGN, "name": f"worker-{number:05d}", "apiVersion": "v1"},
        reason="BackOff",
        message="Back-off restarting failed container worker in pod; the last attempt ended with exit code 1",
        type="Warning",
        count=7,
        firstTimestamp="2026-01-01T10:00:00Z",
        lastTimestamp="2026-01-01T10:30:00Z",
        source={"component": "kubelet", "host": f"node-{number % 100:03d}"},
    )


def _foreign_job(number: int) -> Manifest:
    """Return a Job whose manager does not exist, so that the job controller creates no pods."""
    template = {"spec": {**_pod_spec(), "restartPolicy": "Never"}}
    return _foreign(JOB, "training", number, spec={"managedBy": "bench.example.com/nobody", "template": template})


def _foreign_claim(number: int) -> Manifest:
    """Return a claim for a named volume that does not exist, so that none is provisioned."""
    spec = {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "",
        "volumeName": f"volume-{number:05d}",
        "resources": {"requests": {"storage": "100Gi"}},
    }
    return _foreign(PERSISTENT_VOLUME_CLAIM, "data", number, spec=spec)


_FOREIGN_KINDS = {
    POD: _foreign_pod,
    EVENT: _foreign_event,
    JOB: _foreign_job,
    PERSISTENT_VOLUME_CLAIM: _foreign_claim,
}
_CHILD_KINDS = {INFERENCE_SERVICE: _inference_service, HTTP_ROUTE: _route, POD: _predictor_pod}
