"""One start of one container: a local process, or a simulation of one."""

import contextlib
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

import anyio
from anyio.abc import Process

TERMINATED = 128 + signal.SIGTERM


class StartError(Exception):
    """The process could not be started; the message says why."""


class ProcessKeeper(Protocol):
    """Kills process groups when the sandbox ends (aimd/sandbox/processes.py)."""

    def hold(self, group: int) -> None:
        """Kill this process group when the sandbox ends."""

    def release(self, group: int) -> None:
        """Release a process group that has ended."""


class Execution(Protocol):
    """A started container."""

    async def wait(self) -> int:
        """Wait for the end; return the exit code, 128 + n after signal n."""

    async def stop(self, grace: float) -> None:
        """End it: SIGTERM, then SIGKILL after `grace` seconds; do not wait for the end."""


class LocalProcess:
    """A process in a session of its own, so that all its children end with it."""

    def __init__(self, process: Process) -> None:
        self._process = process

    async def wait(self) -> int:
        """Wait for the end of the process; return the exit code, 128 + n after signal n."""
        code = await self._process.wait()
        return 128 - code if code < 0 else code

    async def stop(self, grace: float) -> None:
        """End the process and its children: SIGTERM, then SIGKILL after `grace` seconds."""
        if grace > 0:
            self._signal(signal.SIGTERM)
            with anyio.move_on_after(grace):
                await self._process.wait()
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)


class Simulation:
    """A simulation of an unknown image: succeeds after `seconds`, or runs until it is stopped if that is None."""

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        self._stopped = anyio.Event()

    async def wait(self) -> int:
        """Wait for the end; return 0, or 143 if it was stopped."""
        with anyio.move_on_after(float("inf") if self._seconds is None else self._seconds):
            await self._stopped.wait()
            return TERMINATED
        return 0

    async def stop(self, grace: float) -> None:  # noqa: ARG002 (a simulation ends at once)
        """End the simulation."""
        self._stopped.set()


@asynccontextmanager
async def local_process(
    command: Sequence[str], environment: Mapping[str, str], folder: Path, log: Path, keeper: ProcessKeeper | None
) -> AsyncIterator[LocalProcess]:
    """Start a process in `folder` with exactly this environment; on exit, end it and its children.

    Both output streams are written to `log`. Raises StartError.
    """
    try:
        process = await _spawn(command, environment, folder, log)
    except OSError as error:
        raise StartError(f"failed to start {command[0] if command else 'nothing'}: {error.strerror}") from error
    if keeper:
        keeper.hold(process.pid)
    local = LocalProcess(process)
    try:
        yield local
    finally:
        with anyio.CancelScope(shield=True):
            await local.stop(0)
            await process.wait()
        if keeper:
            keeper.release(process.pid)


async def _spawn(command: Sequence[str], environment: Mapping[str, str], folder: Path, log: Path) -> Process:
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        return await anyio.open_process(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment,
            cwd=folder,
            start_new_session=True,
        )
    finally:
        os.close(output)
