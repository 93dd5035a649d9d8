"""`aimd run` as a process that a test starts, looks at and ends."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx

from aimd.sandbox.chart import NAMESPACE


def free_port() -> int:
    """A port that nobody listens on right now."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def running(
    kubeconfig: Path, log: Path, *flags: str, **variables: str
) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """`aimd run` and the base URL of its probes; killed at the end if it is still there."""
    address = f"127.0.0.1:{free_port()}"
    command = [
        sys.executable,
        "-m",
        "aimd",
        "run",
        f"--kubeconfig={kubeconfig}",
        f"--health-probe-bind-address={address}",
    ]
    environment = os.environ | {"AIM_SYSTEM_NAMESPACE": NAMESPACE, "POD_NAME": "manager-0"} | variables
    with log.open("wb") as stderr, subprocess.Popen([*command, *flags], stderr=stderr, env=environment) as process:
        try:
            yield process, f"http://{address}"
        finally:
            process.kill()


async def ready(url: str) -> bool:
    try:
        async with httpx.AsyncClient(trust_env=False) as http:
            return (await http.get(f"{url}/readyz")).is_success
    except httpx.TransportError:
        return False


def lines_of(log: Path) -> list[dict[str, Any]]:
    """The log, line by line."""
    return [json.loads(line) for line in log.read_text().splitlines()]


async def eventually(check: Callable[[], Awaitable[bool]], log: Path, attempts: int = 300) -> None:
    """Asks five times a second; fails with the operator's log."""
    for _ in range(attempts):
        if await check():
            return
        await anyio.sleep(0.2)
    raise AssertionError(await anyio.Path(log).read_text())
