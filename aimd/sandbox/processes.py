"""Child processes that live exactly as long as the sandbox that started them.

Each gets a session of its own (a Ctrl-C at the terminal reaches the sandbox, which then ends them in order), a log
file, and an entry with the keeper (aimd/sandbox/keeper.py), which ends it if the sandbox cannot. A process that dies
although nobody asked it to is an error of the whole sandbox, raised with the last lines of its log.
"""

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
    """A process ended by itself, or did not become ready in time; the text ends with the tail of its log."""

    def __init__(self, name: str, what: str, output: str) -> None:
        super().__init__(f"{name} {what}. Its last words:\n{output}" if output else f"{name} {what}.")
        self.name = name
        self.output = output


class Keeper:
    """The near end of a keeper process; usable as a context manager, whose exit clears up and waits for it."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", keeper.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
        )
        self._groups: dict[int, None] = {}
        self._paths: list[str] = []

    def hold(self, group: int) -> None:
        """End this process group with the sandbox; its leader must have been started in a session of its own."""
        self._groups[group] = None
        self._tell(f"hold {group}")

    def release(self, group: int) -> None:
        """Forget a process group: it has ended, and its number may be given to a stranger."""
        self._groups.pop(group, None)
        self._tell(f"release {group}")

    def remove(self, path: Path) -> None:
        """Remove this file or folder with the sandbox."""
        self._paths.append(str(path))
        self._tell(f"remove {path}")

    @property
    def pid(self) -> int:
        """Process id of the keeper."""
        return self._process.pid

    def close(self) -> None:
        """Let go of the pipe: the keeper starts to clear up. Does not wait."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()

    def wait(self) -> None:
        """Wait until everything is gone. If somebody killed the keeper, do its work here."""
        if self._process.wait() != 0:
            keeper.clear_up(self._groups, self._paths)
            self._groups.clear()
            self._paths.clear()

    def __enter__(self) -> "Keeper":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        self.wait()

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # somebody killed the keeper; `wait` makes up for it
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()


class Supervisor:
    """Starts processes and watches over them; made by `supervise()`.

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
        """Start a process and return once `ready()` is true; `timeout` is in seconds.

        `environment` is added to the sandbox's own. Raises ProcessFailed when the process ends or stays unready.
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

    async def start_on_free_ports(
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

        A free port can be taken by somebody else before the process binds it; it then dies, and is started again on
        others.
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
        """The last lines of a process's log."""
        with self._log(name).open(encoding="utf-8", errors="replace") as log:
            return "".join(deque(log, maxlen=_LOG_TAIL)).rstrip()

    async def reap(self) -> None:
        """Wait for processes the keeper has killed, so that none stays a zombie."""
        for process in self._processes:
            await process.wait()


@asynccontextmanager
async def supervise(prefix: str = "aimd-sandbox-") -> AsyncIterator[Supervisor]:
    """A supervisor with a temporary folder; on exit every process is gone and so is the folder."""
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
    """One failure is raised as itself, not as a group of one."""
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
    """Distinct TCP ports that nobody listens on at this moment."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _ending(code: int) -> str:
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"exited with status {code}"
