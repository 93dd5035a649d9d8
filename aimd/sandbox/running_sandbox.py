"""Which sandbox the user has running, for the commands that come after `aimd sandbox up`.

One sandbox per user. Its process holds a lock for as long as it lives, so a state file without a held lock is a
leftover, and a process id out of a file whose lock is held is nobody else's.
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
_PATIENCE = 60.0


class AlreadyRunning(Exception):
    """The user's sandbox is up already; the text is for them."""

    def __init__(self) -> None:
        super().__init__("A sandbox is already running: `aimd sandbox status` shows it, `aimd sandbox down` ends it.")


class SandboxState(BaseModel):
    """What other commands need to know of a running sandbox; fields as in aimd.sandbox.cluster.Sandbox.

    `operator_command` is the shell line that runs the operator in it, empty when the sandbox runs it itself.
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
    """Where the state is kept while a sandbox runs."""
    return cache_folder() / "run" / "sandbox.json"


@contextmanager
def claim() -> Iterator[None]:
    """Be the user's only sandbox while the context is open. Raises AlreadyRunning."""
    with _lock_file() as lock:
        if not _try_lock(lock):
            raise AlreadyRunning
        state_file().unlink(missing_ok=True)
        try:
            yield
        finally:
            state_file().unlink(missing_ok=True)


def write_state(state: SandboxState) -> None:
    """Make the state known; the caller has claimed the place."""
    temporary = state_file().with_suffix(".new")
    temporary.write_text(state.model_dump_json(indent=2), encoding="utf-8")
    temporary.rename(state_file())


def read_state() -> SandboxState | None:
    """The running sandbox, once it is up; None when there is none."""
    if not is_claimed():
        return None
    try:
        return SandboxState.model_validate_json(state_file().read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None


def is_claimed() -> bool:
    """Whether a sandbox runs, starts or stops."""
    if not state_file().parent.exists():
        return False
    with _lock_file() as lock:
        return not _try_lock(lock)


def stop(state: SandboxState) -> None:
    """End the sandbox and wait until nothing of it is left. Raises TimeoutError."""
    os.kill(state.pid, signal.SIGTERM)
    deadline = time.monotonic() + _PATIENCE
    while is_claimed() or state.folder.exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"The sandbox (process {state.pid}) does not end; its logs are in {state.logs}.")
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
