"""The kubelet's log endpoint."""

from dataclasses import dataclass
from pathlib import Path

import anyio
import httpx
import pytest

from aimd.runtime.objects import Key
from aimd.sandbox.kubelet.server import log_server
from aimd.sandbox.kubelet.status import ContainerState, ContainerStatus, Running, Terminated, Waiting
from aimd.sandbox.local_server import serve_locally

POD = Key("team", "pod")


@dataclass
class Logging:
    """A container with a log file."""

    status: ContainerStatus
    path: Path | None

    def log_file(self, *, previous: bool = False) -> Path | None:
        return None if previous else self.path


def container(path: Path | None, state: ContainerState) -> Logging:
    return Logging(ContainerStatus("main", "image", state), path)


async def answer(logging: Logging | None, **parameters: str) -> httpx.Response:
    transport = httpx.ASGITransport(app=log_server(lambda pod, name: logging if pod == POD else None))
    async with httpx.AsyncClient(transport=transport, base_url="http://kubelet") as client:
        return await client.get("/containerLogs/team/pod/main", params=parameters)


@pytest.mark.parametrize("content", ["a\nb\nc\n", "a\nb\nc", "", "\n\n", "one", "\nx\n", "long\n" * 40_000])
@pytest.mark.parametrize("lines", [0, 1, 2, 3, 100])
async def test_tail(tmp_path: Path, content: str, lines: int) -> None:
    path = tmp_path / "0.log"
    path.write_text(content)
    ended = container(path, Terminated(0, "Completed"))
    expected = "".join(content.splitlines(keepends=True)[-lines:] if lines else [])
    assert (await answer(ended, tailLines=str(lines))).text == expected
    assert (await answer(ended)).text == content


async def test_without_a_log(tmp_path: Path) -> None:
    waiting = await answer(container(None, Waiting("ImagePullBackOff")))
    assert (waiting.status_code, waiting.text) == (
        400,
        'container "main" in pod "pod" is waiting to start: ImagePullBackOff',
    )
    assert (await answer(container(None, Running("")))).text == ""
    assert (await answer(container(tmp_path, Running("")), previous="true")).status_code == 400
    assert (await answer(None)).status_code == 404


async def test_follows_until_the_container_ends(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    path.write_text("first\n")
    logging = container(path, Running(""))
    seen = []
    async with (
        serve_locally(log_server(lambda *_: logging)) as port,
        httpx.AsyncClient(trust_env=False) as client,
        client.stream("GET", f"http://127.0.0.1:{port}/containerLogs/team/pod/main?follow=true") as response,
    ):
        with anyio.fail_after(10):
            async for line in response.aiter_lines():
                seen.append(line)
                if line == "first":
                    path.write_text("first\nlast\n")
                    logging.status = ContainerStatus("main", "image", Terminated(0, "Completed"))
    assert seen == ["first", "last"]
