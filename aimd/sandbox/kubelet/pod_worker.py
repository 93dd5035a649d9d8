"""The life cycle of one pod: volumes, init containers, containers, deletion."""

# tests: tests/integration/test_standins.py

import shutil

import anyio
import structlog
from anyio.abc import TaskGroup

from aimd.runtime.client import Client
from aimd.runtime.errors import ApiError, Conflict, NotFound
from aimd.runtime.events import EventRecorder
from aimd.runtime.kinds import NODE, POD
from aimd.runtime.objects import Key, Manifest, key_of, metadata_of, uid_of
from aimd.runtime.status import StatusWriter
from aimd.runtime.store import Cache
from aimd.sandbox.kubelet.containers import Container, PodContext
from aimd.sandbox.kubelet.pod_volumes import PodVolumes, VolumeNotReady
from aimd.sandbox.kubelet.settings import KubeletSettings
from aimd.sandbox.kubelet.status import PodState, pod_status
from aimd.sandbox.status_conditions import timestamp

_MOUNT_RETRY = 0.2
_REPORT_RETRY = 1.0

_log = structlog.get_logger()


class PodWorker:
    """Runs one pod from its binding to a node until it is deleted from the API server."""

    def __init__(self, client: Client, cache: Cache, settings: KubeletSettings, events: EventRecorder, pod: Manifest):
        self.key, self.uid = key_of(pod), uid_of(pod)
        self._client = client
        self._cache = cache
        self._settings = settings
        self._events = events
        self._pod = pod
        self._status = StatusWriter(client, cache, "aimd-sandbox-kubelet")
        self._folder = settings.folder / self.uid
        self._address = settings.addresses.allocate()
        node = cache[NODE].get(Key("", pod["spec"].get("nodeName") or ""))
        self._started_at = timestamp()
        self._changed = anyio.Event()
        self._stopping = anyio.Event()
        self._grace = 0.0
        self._vanished = False
        self._tasks: TaskGroup | None = None
        self._volumes = PodVolumes(client, cache, pod, self._folder / "volumes", self._address)
        self._context = PodContext(
            pod, settings, self._address, self._folder, {}, node, self._volumes.read, self._report, self._record
        )
        spec = pod["spec"]
        self._init = tuple(Container(self._context, item, init=True) for item in spec.get("initContainers") or ())
        self._main = tuple(Container(self._context, item) for item in spec["containers"])

    async def run(self) -> None:
        """Run the pod until it is deleted; on cancellation, end its processes at once."""
        try:
            async with anyio.create_task_group() as tasks:
                self._tasks = tasks
                tasks.start_soon(self._keep_reporting)
                self._report()
                await self._live()
                await self._stopping.wait()
                self._tasks = None
                tasks.cancel_scope.cancel()
            if not self._vanished:
                await self._finish()
        finally:
            self._settings.addresses.release(self._address)
            shutil.rmtree(self._folder, ignore_errors=True)

    def delete(self, grace: float) -> None:
        """End the pod: SIGTERM to its containers, then SIGKILL after `grace` seconds."""
        if not self._stopping.is_set():
            self._grace = grace
            self._stopping.set()

    def vanish(self) -> None:
        """End everything at once, and report nothing: the pod has been deleted from the API server."""
        self._vanished = True
        self.delete(0)

    def container(self, name: str) -> Container | None:
        """Return a container or init container by name, None if there is none."""
        return next((item for item in (*self._init, *self._main) if item.status.name == name), None)

    async def _live(self) -> None:
        """Mount the volumes and run the containers until none runs any more."""
        await self._mount()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._stop_when_asked)
            tasks.start_soon(self._renew_tokens)
            await self._run_containers()
            tasks.cancel_scope.cancel()

    async def _mount(self) -> None:
        """Wait until all volumes are mounted, or the pod is deleted; an Event reports what is missing."""
        reported = ""
        while not self._stopping.is_set():
            try:
                self._context.volumes.update(await self._volumes.prepare())
                return
            except (VolumeNotReady, ApiError, OSError) as error:
                if str(error) != reported:
                    reported = str(error)
                    self._record("Warning", "FailedMount", f"MountVolume.SetUp failed: {reported}")
            with anyio.move_on_after(_MOUNT_RETRY):
                await self._stopping.wait()

    async def _renew_tokens(self) -> None:
        while True:
            await anyio.sleep(self._settings.token_period)
            try:
                await self._volumes.renew_tokens()
            except (VolumeNotReady, ApiError, OSError) as error:
                _log.warning("tokens not renewed", pod=str(self.key), error=str(error))

    async def _run_containers(self) -> None:
        for container in self._init:
            if self._stopping.is_set():
                return
            await container.run()
            if not container.status.succeeded:
                return
        if self._stopping.is_set():
            return
        async with anyio.create_task_group() as tasks:
            for container in self._main:
                tasks.start_soon(container.run)

    async def _stop_when_asked(self) -> None:
        await self._stopping.wait()
        async with anyio.create_task_group() as tasks:
            for container in (*self._init, *self._main):
                tasks.start_soon(container.stop, self._grace)

    async def _finish(self) -> None:
        """Write the last status, then delete the pod, which the API server waits for."""
        try:
            await self._write_status()
            reason = "pod ended"
            await self._client.delete(POD, self.key, reason=reason, uid=self.uid, grace_period_seconds=0)
        except (NotFound, Conflict):
            return
        except ApiError as error:
            # The next change of the pod finds no worker, and the kubelet deletes the pod then.
            _log.warning("pod not deleted", pod=str(self.key), error=str(error))

    # Reports

    def _report(self) -> None:
        self._changed.set()

    def _record(self, type_: str, reason: str, message: str) -> None:
        if self._tasks is not None:
            self._tasks.start_soon(self._record_now, type_, reason, message)

    async def _record_now(self, type_: str, reason: str, message: str) -> None:
        await self._events.record(POD, self._pod, type=type_, reason=reason, message=message)

    async def _keep_reporting(self) -> None:
        while True:
            await self._changed.wait()
            self._changed = anyio.Event()
            try:
                await self._write_status()
            except ApiError as error:
                _log.warning("pod status not written", pod=str(self.key), error=str(error))
                await anyio.sleep(_REPORT_RETRY)
                self._report()

    async def _write_status(self) -> None:
        pod = self._cache[POD].get(self.key)
        if pod is None or uid_of(pod) != self.uid:
            return
        init = tuple(container.status for container in self._init)
        main = tuple(container.status for container in self._main)
        state = PodState(init, main, self._address, self._started_at)
        await self._status.write(POD, pod, pod_status(pod, state, timestamp()), reason="pod status")


def deletion_grace(pod: Manifest) -> float | None:
    """Return the seconds that a deleted pod has to end, None if it is not being deleted."""
    metadata = metadata_of(pod)
    if not metadata.get("deletionTimestamp"):
        return None
    return float(metadata.get("deletionGracePeriodSeconds") or 0)
