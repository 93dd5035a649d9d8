"""The kubelet's log endpoint."""

from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from aimd.runtime.objects import Key
from aimd.sandbox.kubelet.server import log_server
from aimd.sandbox.kubelet.status import ContainerState, ContainerStatus, Running, Terminated, Waiting

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
