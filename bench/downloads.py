"""Downloads over a line of 400 MB/s: wall time, CPU and peak memory of whole processes, including their start.

One large file is compared with curl, many files with `hf download`, and an object of a store with boto3's transfers.
The weights are written to memory if there is room, so that the disk is not measured. curl checks nothing, and
`hf download` only sizes; aimd verifies the SHA-256 of every byte.
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
    """A whole run of one client for `size` bytes: seconds of wall time and CPU, and peak memory in MiB."""

    size: int
    wall: float
    cpu: float
    memory: float

    @property
    def rate(self) -> float:
        """Return MB per second."""
        return self.size / 1e6 / self.wall

    @property
    def cpu_per_gigabyte(self) -> float:
        """Return seconds of CPU per GB."""
        return self.cpu / (self.size / 1e9)


def run(rounds: int = 2) -> Figures:
    """Run all clients alternately, `rounds` times; the fastest run of each counts."""
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
    """Return what each client downloads, and its command; `{}` stands for the empty target folder."""
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
    """Return the environment of this process, and where the weights are."""
    keys = {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench", "AWS_ENDPOINT_URL": url}
    hub = {"HF_ENDPOINT": url, "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    return {**os.environ, **keys, **hub}


def measured(command: Sequence[str], variables: Mapping[str, str], size: int) -> Run:
    """Run one client with an empty target folder, for which `{}` stands in its command.

    Raises RuntimeError if the client fails or downloads another number of bytes.
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
    """Return peak resident bytes, exit status and resource usage; `ru_maxrss` would include the parent process."""
    peak = 0
    while True:
        ended, status, usage = os.wait4(process, os.WNOHANG)
        if ended:
            return peak, status, usage
        with suppress(OSError, RuntimeError):
            peak = max(peak, peak_resident_bytes(process))
        time.sleep(0.02)
