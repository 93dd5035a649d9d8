"""The user's running sandbox, for the commands that follow `aimd sandbox up`.

There is one sandbox per user. Its process holds a lock while it runs, so a state file whose lock is free is out of
date, and the process id in a state file whose lock is held is that of the sandbox.
"""

import fcntl
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from pydantic import BaseModel, ConfigDict

from aimd.sandbox.user_cache import cache_folder

_POLL = 0.05
_TIMEOUT = 60.0


class AlreadyRunning(Exception):
    """A sandbox of the user is already running; the text is a sentence for the user."""

    def __init__(self) -> None:
        super().__init__(
            "A sandbox is already running; to show it, run `aimd sandbox status`, and to stop it, `aimd sandbox down`."
        )


class SandboxState(BaseModel):
    """What other commands need to know about a running sandbox; fields are as in aimd.sandbox.cluster.Sandbox.

    `operator_command` is the shell command that runs the operator, empty if the sandbox runs it.
    """

    model_config = ConfigDict(frozen=True)

    pid: int
    version: str
    folder: Path
    logs: Path
    kubeconfig: Path
    operator_command: str
    gateway_url: str
    hub_url: str
    hub_root: Path
    audit_log: Path
    nodes: int


def state_file() -> Path:
    """Return the file that holds the state while a sandbox runs."""
    return cache_folder() / "run" / "sandbox.json"


@contextmanager
def claim() -> Iterator[None]:
    """Hold the lock of the user's only sandbox while the context is open. Raises AlreadyRunning."""
    with _lock_file() as lock:
        if not _try_lock(lock):
            raise AlreadyRunning
        state_file().unlink(missing_ok=True)
        try:
            yield
        finally:
            state_file().unlink(missing_ok=True)


def write_state(state: SandboxState) -> None:
    """Write the state; the caller holds the lock."""
    temporary = state_file().with_suffix(".new")
    temporary.write_text(state.model_dump_json(indent=2), encoding="utf-8")
    temporary.rename(state_file())


def read_state() -> SandboxState | None:
    """Return the state of the running sandbox, None if there is none or it is not ready yet."""
    if not is_claimed():
        return None
    try:
        return SandboxState.model_validate_json(state_file().read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None


def is_claimed() -> bool:
    """Return whether a sandbox is running, starting or stopping."""
    if not state_file().parent.exists():
        return False
    with _lock_file() as lock:
        return not _try_lock(lock)


def stop(state: SandboxState) -> None:
    """Stop the sandbox, and wait until its processes and files are gone. Raises TimeoutError."""
    os.kill(state.pid, signal.SIGTERM)
    deadline = time.monotonic() + _TIMEOUT
    while is_claimed() or state.folder.exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"The sandbox (process {state.pid}) does not stop; see its logs in {state.logs}.")
        time.sleep(_POLL)


def _lock_file() -> IO[str]:
    state_file().parent.mkdir(parents=True, exist_ok=True)
    return state_file().with_suffix(".lock").open("w", encoding="ascii")


def _try_lock(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
