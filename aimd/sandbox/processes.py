"""Child processes that end with the sandbox that started them.

Each has a session of its own (Ctrl-C at the terminal reaches only the sandbox, which then ends them in order), a log
file, and is held by the keeper (aimd/sandbox/keeper.py), which ends it if the sandbox cannot. A process that exits
unexpectedly is an error of the whole sandbox, raised with the last lines of its log.
"""

# tests: tests/integration/test_sandbox_processes.py

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType

import anyio
from anyio.abc import Process, TaskGroup

from aimd.sandbox import keeper

_LOG_TAIL = 15
_POLL = 0.05
_ATTEMPTS = 5


class ProcessFailed(Exception):
    """A process exited, or did not become ready in time; the text ends with the last lines of its log."""

    def __init__(self, name: str, what: str, output: str) -> None:
        super().__init__(f"{name} {what}. End of its log:\n{output}" if output else f"{name} {what}.")
        self.name = name
        self.output = output


class Keeper:
    """A keeper process, and the pipe to it; as a context manager, it cleans up on exit and waits for that."""

    def __init__(self) -> None:
        reading, writing = os.pipe()
        self._pipe = os.fdopen(writing, "wb", buffering=0)
        self._process = subprocess.Popen(  # noqa: S603 (our own command)
            [sys.executable, "-I", "-S", keeper.__file__],
            stdin=reading,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
        )
        os.close(reading)
        self._groups: dict[int, None] = {}
        self._paths: list[str] = []

    def hold(self, group: int) -> None:
        """Kill this process group when the sandbox ends; its leader must have a session of its own."""
        self._groups[group] = None
        self._send(f"hold {group}")

    def release(self, group: int) -> None:
        """Release a process group that has ended, because its number may be used again."""
        self._groups.pop(group, None)
        self._send(f"release {group}")

    def remove(self, path: Path) -> None:
        """Remove this file or folder when the sandbox ends."""
        self._paths.append(str(path))
        self._send(f"remove {path}")

    @property
    def pid(self) -> int:
        """Return the process id of the keeper."""
        return self._process.pid

    def close(self) -> None:
        """Close the pipe, so that the keeper cleans up; do not wait for that."""
        self._pipe.close()

    def wait(self) -> None:
        """Wait until the keeper has cleaned up; if it was killed, clean up here."""
        if self._process.wait() != 0:
            keeper.clean_up(self._groups, self._paths)
            self._groups.clear()
            self._paths.clear()

    def __enter__(self) -> "Keeper":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        self.wait()

    def _send(self, line: str) -> None:
        with contextlib.suppress(BrokenPipeError):  # The keeper was killed; `wait` makes up for it.
            self._pipe.write(line.encode() + b"\n")


class Supervisor:
    """Starts processes and watches them; created by `supervise()`.

    `folder` is the sandbox's temporary folder, `logs` a folder inside it with one file per process.
    """

    def __init__(self, folder: Path, keeper: Keeper, tasks: TaskGroup) -> None:
        self.folder = folder
        self.logs = folder / "logs"
        self.logs.mkdir(exist_ok=True)
        self.keeper = keeper
        self._tasks = tasks
        self._processes: list[Process] = []

    async def start(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        environment: Mapping[str, str] | None = None,
        ready: Callable[[], Awaitable[bool]] | None = None,
        timeout: float = 60.0,
    ) -> None:
        """Start a process, and return once `ready()` is true; `timeout` is in seconds.

        `environment` is added to that of the sandbox. Raises ProcessFailed if the process exits or stays unready.
        """
        process = await self._spawn(name, command, environment)
        if ready is not None:
            try:
                await self._wait_until_ready(name, process, ready, timeout)
            except BaseException:
                await self._stop(process)
                raise
        self._processes.append(process)
        self._tasks.start_soon(self._watch, name, process)

    async def start_on_free_ports(  # noqa: PLR0913 (options are named)
        self,
        name: str,
        command: Callable[[Sequence[int]], Sequence[str | Path]],
        *,
        count: int = 1,
        environment: Mapping[str, str] | None = None,
        ready: Callable[[Sequence[int]], Awaitable[bool]],
        timeout: float = 60.0,
    ) -> Sequence[int]:
        """Start a process that listens on `count` ports, and return them.

        Another program can bind a free port before the process does. The process then exits, and is started again on
        other ports. Raises ProcessFailed.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            ports = free_ports(count)

            async def ready_on_ports(ports: Sequence[int] = ports) -> bool:
                return await ready(ports)

            try:
                await self.start(name, command(ports), environment=environment, ready=ready_on_ports, timeout=timeout)
            except ProcessFailed as failure:
                if attempt == _ATTEMPTS or "address already in use" not in failure.output:
                    raise
            else:
                return ports
        raise AssertionError("unreachable")

    async def _spawn(self, name: str, command: Sequence[str | Path], environment: Mapping[str, str] | None) -> Process:
        with self._log(name).open("ab") as log:
            process = await anyio.open_process(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **(environment or {})},
                cwd=self.folder,
                start_new_session=True,
            )
        self.keeper.hold(process.pid)
        return process

    async def _wait_until_ready(
        self, name: str, process: Process, ready: Callable[[], Awaitable[bool]], timeout: float
    ) -> None:
        with anyio.move_on_after(timeout):
            while process.returncode is None:
                if await ready():
                    return
                await anyio.sleep(_POLL)
        what = f"was not ready within {timeout:.0f} s" if process.returncode is None else _ending(process.returncode)
        raise ProcessFailed(name, what, self.tail(name))

    async def _watch(self, name: str, process: Process) -> None:
        code = await process.wait()
        raise ProcessFailed(name, _ending(code), self.tail(name))

    async def _stop(self, process: Process) -> None:
        with anyio.CancelScope(shield=True):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
            self.keeper.release(process.pid)

    def _log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def tail(self, name: str) -> str:
        """Return the last lines of a process's log."""
        with self._log(name).open(encoding="utf-8", errors="replace") as log:
            return "".join(deque(log, maxlen=_LOG_TAIL)).rstrip()

    async def reap(self) -> None:
        """Wait for the processes that the keeper has killed, so that none stays a zombie."""
        for process in self._processes:
            await process.wait()


@asynccontextmanager
async def supervise(prefix: str = "aimd-sandbox-") -> AsyncIterator[Supervisor]:
    """Yield a supervisor with a temporary folder; on exit, end all processes and remove the folder."""
    held = Keeper()
    try:
        folder = Path(tempfile.mkdtemp(prefix=prefix))
        held.remove(folder)
        async with _plain_errors(), anyio.create_task_group() as tasks:
            supervisor = Supervisor(folder, held, tasks)
            try:
                yield supervisor
            finally:
                tasks.cancel_scope.cancel()
                with anyio.CancelScope(shield=True):
                    held.close()
                    await anyio.to_thread.run_sync(held.wait)
                    await supervisor.reap()
    finally:
        held.close()
        held.wait()


@asynccontextmanager
async def _plain_errors() -> AsyncIterator[None]:
    """Raise a single failure as itself instead of as a group of one."""
    try:
        yield
    except BaseExceptionGroup as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
        if error is group:
            raise
        raise error from error.__cause__


def free_ports(count: int) -> Sequence[int]:
    """Return distinct TCP ports that are free at this moment."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _ending(code: int) -> str:
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"exited with status {code}"
