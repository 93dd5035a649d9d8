"""Downloads over a line of 400 MB/s: one large file against curl, many files against `hf download`, an object of a
store against boto3's transfers; wall time, CPU and the most memory, all of them whole processes with their start.

The weights go to memory where there is room for them, so that no disk is measured. curl checks nothing, and
`hf download` only sizes; aimd has verified the SHA-256 of every byte.
"""

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bench.figures import Figure, Figures, at_least, no_more_than
from bench.meters import peak_resident_bytes
from bench.weights import FILE, FILE_BYTES, TREE, serving_weights, size_of

NAME = "downloads"
LINE = 400e6
LEAST_OF_PEER = at_least(0.9)
MOST_MEMORY = no_more_than(300)

_MEMORY = Path("/dev/shm")
_TRANSFER = """
import sys, boto3
endpoint, bucket, key, target = sys.argv[1:]
boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1").download_file(bucket, key, target)
"""


@dataclass(frozen=True, slots=True)
class Run:
    """One client's whole life: seconds on the wall and of CPU, and the most memory in MiB; for `size` bytes."""

    size: int
    wall: float
    cpu: float
    memory: float

    @property
    def rate(self) -> float:
        """MB per second."""
        return self.size / 1e6 / self.wall

    @property
    def cpu_per_gigabyte(self) -> float:
        return self.cpu / (self.size / 1e9)


def run(rounds: int = 2) -> Figures:
    """All clients in turn, `rounds` times; the fastest run of each counts."""
    runs: dict[str, list[Run]] = {}
    with serving_weights(LINE) as url:
        for _ in range(rounds):
            for name, (repository, command) in _clients(url).items():
                runs.setdefault(name, []).append(measured(command, environment(url), size_of(repository)))
    best = {name: min(tried, key=lambda run: run.wall) for name, tried in runs.items()}
    tasks = (
        ("file", f"a file of {FILE_BYTES / 1e9:.0f} GB", "curl"),
        ("tree", f"200 files of {size_of(TREE) / 1e9:.0f} GB in total", "hf download"),
        ("object", f"an object of {FILE_BYTES / 1e9:.0f} GB", "boto3"),
    )
    figures = [figure for task, title, peer in tasks for figure in _figures(task, title, peer, best)]
    most = max(run.memory for name, tried in runs.items() if name.startswith("aimd") for run in tried)
    memory = Figure(f"{NAME}/memory", "peak memory of aimd download", most, "MiB", limits=(MOST_MEMORY,))
    return Figures(NAME, (*figures, memory))


def _figures(task: str, title: str, peer: str, best: Mapping[str, Run]) -> list[Figure]:
    ours, theirs = best[f"aimd {task}"], best[peer]
    line = f"{title} over a line of {LINE / 1e6:.0f} MB/s"
    return [
        Figure(f"{NAME}/{task}", line, ours.rate, "MB/s", peer, theirs.rate, (LEAST_OF_PEER,)),
        Figure(
            f"{NAME}/{task}/cpu", f"{title}, CPU", ours.cpu_per_gigabyte, "s/GB", f"{peer}", theirs.cpu_per_gigabyte
        ),
    ]


def _clients(url: str) -> dict[str, tuple[str, Sequence[str]]]:
    """What each downloads, and its command; `{}` stands for the empty folder it fills."""
    aimd = [sys.executable, "-m", "aimd", "download"]
    hub = str(Path(sys.executable).with_name("hf"))
    bucket, _, prefix = FILE.partition("/")
    return {
        "aimd file": (FILE, [*aimd, f"hf://{FILE}", "{}"]),
        "curl": (FILE, ["curl", "-sSf", "-o", "{}/model", f"{url}/{FILE}/resolve/main/model.safetensors"]),
        "aimd tree": (TREE, [*aimd, f"hf://{TREE}", "{}"]),
        "hf download": (TREE, [hub, "download", TREE, "--local-dir", "{}"]),
        "aimd object": (FILE, [*aimd, f"s3://{FILE}", "{}"]),
        "boto3": (FILE, [sys.executable, "-c", _TRANSFER, url, bucket, f"{prefix}/model.safetensors", "{}/model"]),
    }


def environment(url: str) -> dict[str, str]:
    """This process' environment, and where the weights are."""
    keys = {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench", "AWS_ENDPOINT_URL": url}
    hub = {"HF_ENDPOINT": url, "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    return {**os.environ, **keys, **hub}


def measured(command: Sequence[str], variables: Mapping[str, str], size: int) -> Run:
    """One client's life in an empty folder, which `{}` stands for in its command.

    Raises RuntimeError when the client fails or leaves another number of bytes.
    """
    roomy = _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > 2 * size
    with tempfile.TemporaryDirectory(prefix="aimd-bench-", dir=_MEMORY if roomy else None) as folder:
        target = Path(folder) / "target"
        target.mkdir()
        words = [word.replace("{}", str(target)) for word in command]
        home = {"HF_HOME": f"{folder}/home"}
        began = time.perf_counter()
        process = subprocess.Popen(words, env={**variables, **home}, stdout=subprocess.DEVNULL)
        memory, status, usage = _watched(process.pid)
        wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        there = sum(path.stat().st_size for path in target.rglob("*") if path.is_file() and ".cache" not in path.parts)
        if process.returncode or there != size:
            raise RuntimeError(f"{words[0]} ended with {process.returncode} and {there} of {size} bytes")
    return Run(size, wall, usage.ru_utime + usage.ru_stime, memory / 2**20)


def _watched(process: int) -> tuple[int, int, resource.struct_rusage]:
    """The most bytes it has had resident, its status, what it used; `ru_maxrss` counts what its parent had, too."""
    peak = 0
    while True:
        ended, status, usage = os.wait4(process, os.WNOHANG)
        if ended:
            return peak, status, usage
        with suppress(OSError, RuntimeError):
            peak = max(peak, peak_resident_bytes(process))
        time.sleep(0.02)
