"""Measure a process: CPU seconds, resident memory and its peak, stalls of the event loop."""

import asyncio
import json
import os
import resource
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

_TICK = 0.001


@dataclass
class Cost:
    """The cost of a block in seconds: CPU of this process (user and system), and wall time."""

    cpu: float = 0.0
    wall: float = 0.0


@contextmanager
def metered() -> Iterator[Cost]:
    """Measure the block; the cost is set when it ends."""
    cost = Cost()
    cpu, wall = time.process_time(), time.perf_counter()
    yield cost
    cost.cpu, cost.wall = time.process_time() - cpu, time.perf_counter() - wall


def resident_bytes(process: int | str = "self") -> int:
    """Return the resident memory of a process."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def peak_resident_bytes(process: int | str = "self") -> int:
    """Return the peak of the resident memory since the start or `forget_peak`."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("this kernel does not report the peak of resident memory")


def cpu_seconds(process: int) -> float:
    """Return the CPU time, user and system, of another process."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def forget_peak() -> None:
    """Reset the peak."""
    Path("/proc/self/clear_refs").write_text("5")


@dataclass
class Stalls:
    """The longest time without an iteration of the event loop, in seconds.

    `cpu` counts the work of this process, `wall` also the time in which another process had the core.
    """

    cpu: float = 0.0
    wall: float = 0.0


@asynccontextmanager
async def stall_watch() -> AsyncIterator[Stalls]:
    """Watch the event loop while the block runs."""
    stalls = Stalls()
    watcher = asyncio.create_task(_watch(stalls))
    try:
        yield stalls
    finally:
        await asyncio.sleep(2 * _TICK)
        watcher.cancel()


async def _watch(stalls: Stalls) -> None:
    while True:
        cpu, wall = time.process_time(), time.perf_counter()
        await asyncio.sleep(_TICK)
        stalls.cpu = max(stalls.cpu, time.process_time() - cpu)
        stalls.wall = max(stalls.wall, time.perf_counter() - wall - _TICK)


@contextmanager
def kubeconfig(url: str) -> Iterator[Path]:
    """Write a kubeconfig for a server that requires no credentials."""
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "bench", "cluster": {"server": url}}],
        "users": [{"name": "bench", "user": {}}],
        "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": "bench"}}],
        "current-context": "bench",
    }
    with tempfile.TemporaryDirectory(prefix="aimd-bench-") as folder:
        path = Path(folder) / "kubeconfig"
        path.write_text(json.dumps(content))
        yield path
