"""A real Prometheus: Debian's package, pinned, unpacked into the user's cache and never installed."""

import hashlib
import json
import subprocess
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import anyio
import httpx

from aimd.sandbox.binaries import silent
from aimd.sandbox.go import BinariesUnavailable
from aimd.sandbox.processes import Keeper
from aimd.sandbox.user_cache import cache_folder, locked, publish
from tests.integration.operator_process import free_port

VERSION = "2.42.0+ds-5+deb12u1"
SHA256 = {"amd64": "81d59a24fce84f7fbe97a45a4f2914b6a5881b5cd1db2a6a0e129e515e1a5f55"}
PROGRAMS = ("prometheus", "promtool")


def locate_prometheus() -> Path:
    """Folder with `prometheus` and `promtool`; downloads the package the first time. Raises BinariesUnavailable."""
    folder = cache_folder() / f"prometheus-{VERSION}"
    if not all((folder / name).exists() for name in PROGRAMS):
        with locked(folder, silent), TemporaryDirectory(dir=folder) as unfinished:
            _unpack(Path(unfinished))
            for name in PROGRAMS:
                publish(Path(unfinished) / "usr" / "bin" / name, folder / name)
    return folder


def _unpack(folder: Path) -> None:
    _run(["apt-get", "download", f"prometheus={VERSION}"], folder)
    (package,) = folder.glob("*.deb")
    architecture = package.stem.rpartition("_")[2]
    if hashlib.sha256(package.read_bytes()).hexdigest() != SHA256.get(architecture):
        raise BinariesUnavailable(f"{package.name} is not the one that is pinned in {__name__}")
    _run(["dpkg-deb", "--extract", package.name, "."], folder)


def _run(command: Sequence[str], folder: Path) -> None:
    try:
        subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise BinariesUnavailable(f"{command[0]} is not here; these tests need Debian 12") from error
    except subprocess.CalledProcessError as error:
        raise BinariesUnavailable(f"{' '.join(command)} failed: {error.stderr.strip()}; try apt-get update") from error


@dataclass
class Prometheus:
    """A running server."""

    url: str

    async def get(self, path: str, **parameters: str) -> Any:
        """The data of an answer of its API; AssertionError with what is wrong."""
        async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
            answer = await http.get(f"{self.url}/api/v1/{path}", params=parameters)
        assert answer.is_success, answer.text
        return answer.json()["data"]

    async def query(self, expression: str) -> list[Any]:
        """The series an expression gives right now."""
        result = (await self.get("query", query=expression))["result"]
        return list(result)

    async def has_had(self, expression: str) -> bool:
        """Whether an expression gave anything at some second of the last five minutes."""
        now = time.time()
        window = {"start": str(now - 300), "end": str(now), "step": "1"}
        return bool((await self.get("query_range", query=expression, **window))["result"])


@asynccontextmanager
async def serving(folder: Path, target: str, job: str, rules: Mapping[str, Any]) -> AsyncIterator[Prometheus]:
    """Scrapes `target` each second as the chart's monitor does, and evaluates `rules` as often."""
    (folder / "rules.yml").write_text(json.dumps(rules))
    scrape = {"job_name": job, "honor_labels": True, "static_configs": [{"targets": [target]}]}
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(folder / "rules.yml")],
        "scrape_configs": [scrape],
    }
    (folder / "prometheus.yml").write_text(json.dumps(config))  # JSON is YAML.
    address = f"127.0.0.1:{free_port()}"
    command = [
        str(locate_prometheus() / "prometheus"),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={address}",
    ]
    log = folder / "prometheus.log"
    with Keeper() as keeper, log.open("wb") as output:
        process = await anyio.open_process(command, stdout=output, stderr=output, start_new_session=True)
        keeper.hold(process.pid)
        try:
            await _until_ready(f"http://{address}", log)
            yield Prometheus(f"http://{address}")
        finally:
            process.terminate()
            await process.wait()
            keeper.release(process.pid)


async def _until_ready(url: str, log: Path) -> None:
    async with httpx.AsyncClient(trust_env=False) as http:
        for _ in range(150):
            try:
                if (await http.get(f"{url}/-/ready")).is_success:
                    return
            except httpx.TransportError:
                pass
            await anyio.sleep(0.2)
    raise AssertionError(await anyio.Path(log).read_text())
