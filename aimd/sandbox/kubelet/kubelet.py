"""Stand-in for kubelet, container runtime and device plugin of all nodes: pods as local processes.

It runs every pod that is bound to one of our nodes: containers of images in the table of programs as local processes,
all others as simulations that become ready, or succeed, after a moment. Real: volumes (folders), the environment with
all its references, the ServiceAccount token, arguments, logs, exit codes, termination messages, readiness, liveness and
startup probes by HTTP and TCP, restarts with back-off, graceful termination. Images of hosts below `.invalid` cannot be
pulled.

Left out: all isolation (no namespaces, cgroups, users or read-only mounts; paths are rewritten instead, see
aimd/sandbox/kubelet/files.py), resource limits and OOM kills, evictions, device files (a variable names the GPUs of a
container), the content of images except AIM images, lifecycle hooks, sidecars among the init containers, probes by
command or gRPC, exec, attach and port-forward, log timestamps, refreshed volumes except tokens, node leases and
heartbeats (their controllers are disabled). Pods get fictional addresses (aimd/sandbox/addresses.py); of the ports of
a container, the first is served.
"""

# tests: tests/integration/test_standins.py

import anyio
import structlog
from anyio.abc import TaskGroup, TaskStatus

from aimd.runtime.client import Client
from aimd.runtime.controller import Watch
from aimd.runtime.errors import NotFound
from aimd.runtime.events import EventRecorder
from aimd.runtime.handlers import for_object
from aimd.runtime.informer import Informer
from aimd.runtime.kinds import NODE, PERSISTENT_VOLUME, PERSISTENT_VOLUME_CLAIM, POD
from aimd.runtime.manager import Manager, ManagerOptions
from aimd.runtime.objects import Key, Manifest, Request, Result, uid_of
from aimd.runtime.store import Cache
from aimd.sandbox.kubelet.containers import Container
from aimd.sandbox.kubelet.pod_worker import PodWorker, deletion_grace
from aimd.sandbox.kubelet.server import log_server
from aimd.sandbox.kubelet.settings import KubeletSettings
from aimd.sandbox.local_server import serve_locally

_ENDED = ("Succeeded", "Failed")

_log = structlog.get_logger()


async def run_kubelet(
    client: Client, settings: KubeletSettings, *, task_status: TaskStatus[int] = anyio.TASK_STATUS_IGNORED
) -> None:
    """Run until cancelled; report the port of the HTTPS server once the caches are synced.

    On exit, all processes of pods end.
    """
    settings.folder.mkdir(parents=True, exist_ok=True)
    manager = Manager(client, ManagerOptions(metric_prefix="aimd_sandbox_kubelet"))
    async with anyio.create_task_group() as pods:
        kubelet = Kubelet(client, manager.cache, settings, pods)
        manager.add(kubelet)
        server = serve_locally(
            log_server(kubelet.container), port=settings.port, certificate=settings.certificate, key=settings.key
        )
        async with server as port, anyio.create_task_group() as tasks:
            await tasks.start(manager.run)
            task_status.started(port)


class Kubelet:
    """Runs a worker for each pod."""

    name = "kubelet"
    kind = POD
    workers = 8
    informers = (
        Informer(POD, field_selector="spec.nodeName!="),
        Informer(PERSISTENT_VOLUME_CLAIM),
        Informer(PERSISTENT_VOLUME),
        Informer(NODE),
    )
    watches = (Watch(POD, for_object),)

    def __init__(self, client: Client, cache: Cache, settings: KubeletSettings, pods: TaskGroup) -> None:
        self._client = client
        self._cache = cache
        self._settings = settings
        self._pods = pods
        self._events = EventRecorder(client, "kubelet")
        self._workers: dict[Key, PodWorker] = {}

    async def reconcile(self, request: Request) -> Result:
        """Start a worker for a new pod; stop the worker of a pod that is being deleted or does not exist."""
        pod = self._cache[POD].get(request.key)
        worker = self._workers.get(request.key)
        if worker is not None and (pod is None or uid_of(pod) != worker.uid):
            worker.vanish()
            worker = None
        if pod is None or not self._is_ours(pod):
            return Result()
        grace = deletion_grace(pod)
        if worker is not None:
            if grace is not None:
                worker.delete(grace)
        elif grace is not None:
            await self._confirm_deletion(pod, request.key, grace)
        elif (pod.get("status") or {}).get("phase") not in _ENDED:
            worker = self._workers[request.key] = PodWorker(
                self._client, self._cache, self._settings, self._events, pod
            )
            self._pods.start_soon(self._run, worker)
        return Result()

    def container(self, pod: Key, name: str) -> Container | None:
        """Return a container of a running pod, None if it is unknown."""
        worker = self._workers.get(pod)
        return worker.container(name) if worker else None

    async def _run(self, worker: PodWorker) -> None:
        """Run a worker; its failure must not end other pods."""
        try:
            await worker.run()
        except Exception:
            _log.exception("pod worker failed", pod=str(worker.key))
        finally:
            if self._workers.get(worker.key) is worker:
                del self._workers[worker.key]

    async def _confirm_deletion(self, pod: Manifest, key: Key, grace: float) -> None:
        """Delete a pod that is being deleted and has no worker."""
        if grace > 0:
            try:
                await self._client.delete(POD, key, reason="pod ended", uid=uid_of(pod), grace_period_seconds=0)
            except NotFound:
                return

    def _is_ours(self, pod: Manifest) -> bool:
        return not self._settings.nodes or pod["spec"].get("nodeName") in self._settings.nodes
