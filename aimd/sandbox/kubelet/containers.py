"""The life cycle of one container: pull, start, probes, end, restart with back-off."""

# tests: tests/integration/test_standins.py

import os
import socket
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio

from aimd.runtime.errors import ApiError
from aimd.runtime.objects import Manifest, key_of
from aimd.sandbox.container_environment import GPUS, ROOT
from aimd.sandbox.kubelet.devices import gpus_of
from aimd.sandbox.kubelet.environment import ConfigurationError, Read, expand, resolve_environment
from aimd.sandbox.kubelet.execution import Execution, Simulation, StartError, local_process
from aimd.sandbox.kubelet.files import SERVICE_ACCOUNT, TEMPORARY, ContainerRoot
from aimd.sandbox.kubelet.probes import Probe, follow, parse_probe, run_once
from aimd.sandbox.kubelet.programs import ContainerCommand, Program
from aimd.sandbox.kubelet.settings import KubeletSettings
from aimd.sandbox.kubelet.status import (
    ContainerStatus,
    Running,
    Terminated,
    Waiting,
    restart_delay,
    will_restart,
)
from aimd.sandbox.status_conditions import timestamp

_INHERITED = ("PATH", "LANG", "LC_ALL", "TZ")
_STEADY_AFTER = 600.0
_MESSAGE_BYTES = 4096
_LOG_MESSAGE_BYTES = 2048
_LOG_MESSAGE_LINES = 80
_CONFIGURATION_RETRY = 1.0
_PULL_RETRY = 1.0
_DEFAULT_PORT = 8000


@dataclass(frozen=True)
class PodContext:
    """What the containers of a pod share; `volumes` is filled before the first one starts."""

    pod: Manifest
    settings: KubeletSettings
    address: str
    folder: Path
    volumes: dict[str, Path]
    node: Manifest | None
    read: Read
    changed: Callable[[], None]
    event: Callable[[str, str, str], None]
    """Records an Event about the pod: type, reason, message."""


@dataclass(frozen=True, slots=True)
class _Launch:
    """How to start a container: command line, environment and working directory of its program."""

    command: tuple[str, ...]
    environment: Mapping[str, str]
    folder: Path
    ports: Mapping[int, int]
    """The local port by port of the container."""


class Container:
    """One container of a pod; `status` is always current, and every change of it is reported to the pod."""

    def __init__(self, context: PodContext, spec: Manifest, *, init: bool = False) -> None:
        self.spec = spec
        self.status = ContainerStatus(spec["name"], spec.get("image") or "", Waiting("ContainerCreating"))
        self._context = context
        self._init = init
        policy = context.pod["spec"].get("restartPolicy") or "Always"
        self._policy = "OnFailure" if init and policy == "Always" else policy
        self._folder = context.folder / str(spec["name"])
        self._root = ContainerRoot(self._folder / "root", spec)
        self._program = next((item for item in context.settings.programs if item.fits(spec)), None)
        self._execution: Execution | None = None
        self._stopping = anyio.Event()

    async def run(self) -> None:
        """Run the container until it is not restarted any more; on cancellation, end its processes."""
        if not await self._pull():
            return
        failures = 0
        while not self._stopping.is_set():
            began = time.monotonic()
            await self._start()
            ended = self.status.state
            if self._stopping.is_set() or not isinstance(ended, Terminated) or not will_restart(self._policy, ended):
                return
            failures = 1 if time.monotonic() - began > _STEADY_AFTER else failures + 1
            await self._back_off(ended, failures)

    async def stop(self, grace: float) -> None:
        """End the container, and do not restart it: SIGTERM, then SIGKILL after `grace` seconds."""
        self._stopping.set()
        if self._execution is not None:
            name = self.status.name
            self._context.event("Normal", "Killing", f"Stopping container {name}")
            await self._execution.stop(grace)

    def log_file(self, *, previous: bool = False) -> Path | None:
        """Return the file with the output of the current or the previous start, None without one."""
        number = self.status.restarts - (1 if previous else 0)
        path = self._log_path(number)
        return path if number >= 0 and path.exists() else None

    # Before a start

    async def _pull(self) -> bool:
        """Pull the image; return False if the pod has ended. It fails only for hosts below `.invalid`."""
        image, attempt = self.status.image, 0
        self._context.event("Normal", "Pulling", f'Pulling image "{image}"')
        while host := _unreachable_host(image):
            problem = f'failed to pull image "{image}": dial tcp: lookup {host}: no such host'
            self._context.event("Warning", "Failed", f"Failed to pull image: {problem}")
            self._set(state=Waiting("ErrImagePull", problem))
            attempt += 1
            if not await self._pause(_PULL_RETRY):
                return False
            self._set(state=Waiting("ImagePullBackOff", f'Back-off pulling image "{image}": ErrImagePull: {problem}'))
            if not await self._pause(restart_delay(attempt + 1) * self._context.settings.back_off_scale):
                return False
        await self._pause(self._pull_seconds_left())
        self._context.event("Normal", "Pulled", f'Successfully pulled image "{image}"')
        return not self._stopping.is_set()

    def _pull_seconds_left(self) -> float:
        """Return the time until the node has the image; the first container that needs it starts the pull."""
        settings, image = self._context.settings, self.status.image
        seconds = next((value for pattern, value in settings.pull_seconds.items() if fnmatchcase(image, pattern)), 0.0)
        if not seconds:
            return 0.0
        node, now = str(self._context.pod["spec"].get("nodeName")), time.monotonic()
        return max(settings.pulls.setdefault((node, image), now) + seconds - now, 0.0)

    async def _prepare(self, program: Program) -> _Launch | None:
        """Wait until everything exists that the container refers to; return None if the pod has ended."""
        while not self._stopping.is_set():
            try:
                return await self._launch(program)
            except (ConfigurationError, ApiError, OSError) as error:
                self._set(state=Waiting("CreateContainerConfigError", str(error)))
            await self._pause(_CONFIGURATION_RETRY)
        return None

    async def _launch(self, program: Program) -> _Launch:
        context, spec = self._context, self.spec
        try:
            self._root.prepare(context.volumes, program.content.files)
        except KeyError as error:
            raise ConfigurationError(f"volume {error} does not exist") from error
        declared = await resolve_environment(context.pod, spec, context.read, context.address)
        root = self._root
        command = tuple(root.translate_argument(expand(word, declared)) for word in spec.get("command") or ())
        arguments = tuple(root.translate_argument(expand(word, declared)) for word in spec.get("args") or ())
        numbers = _ports(spec)
        ports = dict(zip(numbers, _free_ports(len(numbers)), strict=True))
        own = {**program.content.environment, **declared}
        environment = self._defaults() | {name: root.translate(value) for name, value in own.items()}
        words = program.command_line(ContainerCommand(command, arguments, ports))
        folder = root.on_disk(spec.get("workingDir") or "/")
        folder.mkdir(parents=True, exist_ok=True)
        return _Launch(tuple(words), environment, folder, ports)

    def _defaults(self) -> dict[str, str]:
        """Return the variables that a process gets besides those of its container; of the host's, only a few."""
        settings, root = self._context.settings, self._root
        server = urlsplit(settings.api_server)
        variables = {name: os.environ[name] for name in _INHERITED if name in os.environ} | {
            "HOME": str(root.folder),
            "TMPDIR": str(root.on_disk(TEMPORARY)),
            "HOSTNAME": key_of(self._context.pod).name,
            "PYTHONUNBUFFERED": "1",
            "KUBERNETES_SERVICE_HOST": server.hostname or "127.0.0.1",
            "KUBERNETES_SERVICE_PORT": str(server.port or 443),
            ROOT: str(root.folder),
            GPUS: ",".join(gpus_of(self.spec, self._context.node)),
            "AIMD_TERMINATION_LOG": str(root.on_disk(root.termination_log)),
            # Without a mounted token, the folder is empty and never that of the host.
            "AIMD_SERVICE_ACCOUNT_DIR": str(root.on_disk(SERVICE_ACCOUNT)),
        }
        return {**variables, **settings.environment}

    # A start and its end

    async def _start(self) -> None:
        """Start the container, and wait until it has ended or could not be started."""
        started_at = timestamp()
        restarts = self.status.restarts + (1 if self.status.last else 0)
        try:
            async with self._executed(self._log_path(restarts)) as execution:
                if execution is None:
                    return
                self._execution = execution
                self._set(
                    state=Running(started_at),
                    started=self._probe("startupProbe") is None,
                    restarts=restarts,
                    container_id=f"process://{uuid.uuid4().hex}",
                )
                self._context.event("Normal", "Started", f"Started container {self.status.name}")
                if self._stopping.is_set():
                    await execution.stop(0)
                code = await self._probed(execution)
        except StartError as error:
            ended = Terminated(128, "StartError", str(error), started_at, timestamp())
        else:
            reason = "Completed" if code == 0 else "Error"
            ended = Terminated(code, reason, self._message(code), started_at, timestamp())
        finally:
            self._execution = None
        self._set(state=ended, restarts=restarts, ready=self._init and ended.exit_code == 0, started=False)

    @asynccontextmanager
    async def _executed(self, log: Path) -> AsyncIterator[Execution | None]:
        """Yield the started program, or a simulation of an unknown one; None if the pod has ended."""
        settings, program = self._context.settings, self._program
        if program is None:
            ends = self._init or self._policy != "Always"
            yield Simulation(settings.simulated_job_seconds if ends else None)
            return
        launch = await self._prepare(program)
        if launch is None:
            yield None
            return
        addresses, address = settings.addresses, self._context.address
        async with local_process(launch.command, launch.environment, launch.folder, log, settings.keeper) as process:
            for port, local in launch.ports.items():
                addresses.publish(address, port, local)
            try:
                yield process
            finally:
                for port in launch.ports:
                    addresses.withdraw(address, port)

    async def _probed(self, execution: Execution) -> int:
        """Run the probes while the container runs; return its exit code."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._watch_health, execution)
            code = await execution.wait()
            tasks.cancel_scope.cancel()
        return code

    async def _watch_health(self, execution: Execution) -> None:
        if self._program is None:
            await anyio.sleep(self._context.settings.simulated_ready_after)
            self._set(ready=not self._init, started=True)
            return
        started = anyio.Event()
        if self.status.started:
            started.set()
        async with anyio.create_task_group() as tasks:
            if (startup := self._probe("startupProbe")) is not None:
                tasks.start_soon(self._follow, startup, partial(self._startup_changed, execution, started))
            await started.wait()
            self._set(started=True)
            tasks.cancel_scope.cancel()
        async with anyio.create_task_group() as tasks:
            if (liveness := self._probe("livenessProbe")) is not None:
                tasks.start_soon(self._follow, liveness, partial(self._liveness_changed, execution))
            if (readiness := self._probe("readinessProbe")) is not None:
                tasks.start_soon(self._follow, readiness, self._readiness_changed)
            else:
                self._set(ready=not self._init)

    def _probe(self, name: str) -> Probe | None:
        return None if self._program is None else parse_probe(self.spec, name)

    async def _follow(self, probe: Probe, report: Callable[[str], Awaitable[None]]) -> None:
        addresses, address = self._context.settings.addresses, self._context.address

        async def run() -> str:
            return await run_once(probe, addresses.resolve(address, probe.port))

        await follow(probe, run, report)

    async def _readiness_changed(self, problem: str) -> None:
        if problem:
            self._context.event("Warning", "Unhealthy", f"Readiness probe failed: {problem}")
        self._set(ready=not problem)

    async def _liveness_changed(self, execution: Execution, problem: str) -> None:
        if problem:
            self._context.event("Warning", "Unhealthy", f"Liveness probe failed: {problem}")
            await execution.stop(self._grace())

    async def _startup_changed(self, execution: Execution, started: anyio.Event, problem: str) -> None:
        if problem:
            self._context.event("Warning", "Unhealthy", f"Startup probe failed: {problem}")
            await execution.stop(self._grace())
        else:
            started.set()

    async def _back_off(self, last: Terminated, failures: int) -> None:
        delay = restart_delay(failures) * self._context.settings.back_off_scale
        text = f"back-off {delay:.0f}s restarting failed container={self.status.name}"
        self._set(state=Waiting("CrashLoopBackOff", text), last=last)
        if delay:
            self._context.event("Warning", "BackOff", f"Back-off restarting failed container {self.status.name}")
            await self._pause(delay)

    # Helpers

    def _message(self, code: int) -> str:
        """Return the termination message: the termination log, or, if the policy says so, the end of the output."""
        if self._program is None:
            return ""
        message = _tail(self._root.on_disk(self._root.termination_log), _MESSAGE_BYTES)
        if message or code == 0 or self.spec.get("terminationMessagePolicy") != "FallbackToLogsOnError":
            return message
        lines = _tail(self._log_path(self.status.restarts), _LOG_MESSAGE_BYTES).splitlines(keepends=True)
        return "".join(lines[-_LOG_MESSAGE_LINES:])

    def _grace(self) -> float:
        return float(self._context.pod["spec"].get("terminationGracePeriodSeconds") or 30)

    def _log_path(self, number: int) -> Path:
        return self._folder / f"{number}.log"

    async def _pause(self, seconds: float) -> bool:
        """Wait; return False as soon as the pod ends."""
        with anyio.move_on_after(seconds):
            await self._stopping.wait()
        return not self._stopping.is_set()

    def _set(self, **changes: Any) -> None:
        changed = replace(self.status, **changes)
        if changed != self.status:
            self.status = changed
            self._context.changed()


def _tail(path: Path, size: int) -> str:
    """Return the last bytes of a file as text, empty if it does not exist."""
    try:
        with path.open("rb") as file:
            file.seek(max(path.stat().st_size - size, 0))
            return file.read(size).decode(errors="replace")
    except OSError:
        return ""


def _ports(container: Manifest) -> list[int]:
    """Return the declared ports, each once; the default port if none is declared."""
    numbers = [int(item["containerPort"]) for item in container.get("ports") or ()]
    return list(dict.fromkeys(numbers)) or [_DEFAULT_PORT]


def _free_ports(count: int) -> list[int]:
    """Return distinct loopback ports that are free at this moment."""
    with ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


def _unreachable_host(image: str) -> str:
    """Return the registry of the image if it cannot exist (RFC 2606), else an empty text."""
    host = image.split("/")[0].split(":")[0]
    return host if "/" in image and host.endswith(".invalid") else ""
