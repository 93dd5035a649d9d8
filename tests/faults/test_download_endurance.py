"""Downloads over long trouble: hundreds of cuts, many kills, minutes without an endpoint, a branch that moves."""

import asyncio
import os
import random
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from starlette.types import Receive, Scope, Send

from aimd.downloads import wire
from aimd.downloads.failures import Reason
from aimd.downloads.run import download
from aimd.sandbox.hub import hub_app, make_repository
from aimd.sandbox.local_server import serve_locally
from bench.downloads import environment, measured
from bench.weights import FILE, FILE_BYTES, serving_weights
from tests.faults.test_download_faults import (
    REPOSITORY,
    WEIGHTS,
    Faults,
    Hub,
    running_hub,
    same_tree,
    settings,
    termination,
)
from tests.faults.test_download_wire import BODY, ScriptedHub, run, whole

MIB = 2**20
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


@dataclass
class Line:
    """A line to a server of this machine; the next `cuts` connections break after some random bytes of answers."""

    port: int
    dice: random.Random
    cuts: int = 0
    most: int = 0
    passed: int = 0
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        with suppress(ConnectionError, asyncio.CancelledError):
            await self._carry(reader, writer)
        writer.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        allowed = self.dice.randrange(self.most) if self.cuts > 0 else -1
        self.cuts -= 1
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.port)
        asking = asyncio.create_task(_copy(reader, up_writer))
        try:
            while data := await up_reader.read(64 * 1024 if allowed < 0 else min(64 * 1024, max(1, allowed))):
                if allowed == 0:
                    writer.transport.abort()
                    return
                allowed -= len(data) if allowed > 0 else 0
                self.passed += len(data)
                writer.write(data)
                await writer.drain()
        finally:
            asking.cancel()
            up_writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(64 * 1024):
            writer.write(data)
            await writer.drain()


@asynccontextmanager
async def line_to(url: str, **traits: Any) -> AsyncIterator[tuple[Line, str]]:
    """A line to the server at `url`, and its own URL."""
    line = Line(int(url.rpartition(":")[2]), random.Random(1), **traits)
    async with await asyncio.start_server(line.connected, "127.0.0.1", 0) as server:
        yield line, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        for task in line.tasks:
            task.cancel()


async def test_two_hundred_cuts_at_random_bytes_end_in_a_verified_tree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_repository(tmp_path / "hub", REPOSITORY, 48 * MIB)
    pause = asyncio.sleep
    monkeypatch.setattr(anyio, "sleep", lambda seconds: pause(seconds / 100))
    async with running_hub(tmp_path / "hub") as hub, line_to(hub.url, cuts=200, most=MIB // 3) as (line, url):
        assert await download(settings(replace(hub, url=url), tmp_path / "target")) == 0
    assert line.cuts <= 0
    assert same_tree(tmp_path / "hub", tmp_path / "target")


@pytest.mark.slow
async def test_two_minutes_without_an_endpoint(tmp_path: Path) -> None:
    """The server stops in the middle of the download, and is back at the same address after two minutes."""
    make_repository(tmp_path / "hub", REPOSITORY, 8 * MIB)
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    stand_in = hub_app(tmp_path / "hub", rate_limit_bytes_per_second=2 * MIB)
    hub = Hub(f"http://127.0.0.1:{port}", tmp_path / "hub", Faults())
    async with serve_locally(stand_in, port=port):
        downloading = asyncio.create_task(download(settings(hub, tmp_path / "target")))
        while stand_in.state.hub.bytes_sent < 2 * MIB:  # noqa: ASYNC110 - the hub is no place for events
            await asyncio.sleep(0.05)
    await asyncio.sleep(120)
    assert not downloading.done()
    async with serve_locally(hub_app(tmp_path / "hub"), port=port):
        assert await downloading == 0
    assert same_tree(tmp_path / "hub", tmp_path / "target")


@pytest.mark.parametrize("kills", [4, pytest.param(20, marks=pytest.mark.slow)])
async def test_after_every_kill_it_goes_on_where_it_was(tmp_path: Path, kills: int) -> None:
    """SIGKILL at random moments of a download in several ranges at once: hardly a byte comes twice."""
    size = kills * 8 * MIB
    make_repository(tmp_path / "hub", REPOSITORY, size)
    target, dice = tmp_path / "target", random.Random(kills)
    async with running_hub(tmp_path / "hub", rate_limit=8 * MIB) as hub:
        variables = {**os.environ, "HF_ENDPOINT": hub.url, "AIMD_TERMINATION_LOG": str(tmp_path / "termination")}
        command = [sys.executable, "-m", "aimd", "download", f"hf://{REPOSITORY}", str(target)]
        for number in range(kills):
            process = await asyncio.create_subprocess_exec(
                *command, env=variables, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
            )
            await hub.faults.reached(int((number + dice.random()) * size / (kills + 1)))
            assert process.returncode is None
            process.kill()
            await process.wait()
        assert await download(settings(hub, target)) == 0
    print(f"{kills} kills, {hub.faults.sent / size:.3f} of the size fetched")
    assert hub.faults.sent <= 1.05 * size
    assert same_tree(tmp_path / "hub", target)


async def test_a_branch_that_moves_meanwhile_does_not_mix_two_versions(tmp_path: Path) -> None:
    """What was begun with is finished, and said; the next download brings the new version (ART-RUN-2)."""
    versions = [tmp_path / name for name in ("first", "second")]
    for number, root in enumerate(versions):
        folder = make_repository(root, REPOSITORY, 2 * MIB)
        (folder / "config.json").write_text(f'{{"version": {number}}}')
        (folder / WEIGHTS).write_bytes(random.Random(number).randbytes(2 * MIB))
    stand_ins = [hub_app(root) for root in versions]
    commits: list[str] = []
    present, broken = 0, True

    async def moving(scope: Scope, receive: Receive, send: Send) -> None:
        if broken and scope["method"] == "GET" and scope["path"].endswith(WEIGHTS):
            raise ConnectionResetError("cut by the test")
        named = [index for index, commit in enumerate(commits) if commit in scope["path"]]
        await stand_ins[named[0] if named else present](scope, receive, send)

    application: Any = moving
    for root in versions:
        async with running_hub(root) as hub:
            assert await download(settings(hub, tmp_path / "scratch" / root.name)) == 0
            commits.append(termination(tmp_path / "scratch" / root.name)["revision"])
    target = tmp_path / "target"
    async with serve_locally(application) as port:
        hub = Hub(f"http://127.0.0.1:{port}", versions[0], Faults())
        assert await download(settings(hub, target, retry_timeout=0.0)) == Reason.NETWORK.exit_code
        present, broken = 1, False
        assert await download(settings(hub, target)) == 0
        assert termination(target)["revision"] == commits[0]
        assert same_tree(versions[0], target)
        assert await download(settings(hub, target)) == 0
        assert termination(target)["revision"] == commits[1]
    assert same_tree(versions[1], target)


async def test_a_server_that_sends_byte_by_byte_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "_SLOW_SECONDS", 0.5)

    def trickle(_: Any) -> Any:
        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            headers = [(b"content-length", str(len(BODY)).encode())]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            for byte in BODY:
                await send({"type": "http.response.body", "body": bytes([byte]), "more_body": True})
                await asyncio.sleep(0.05)

        return answer

    assert await run(ScriptedHub(trickle, whole), tmp_path / "t") == 0
    assert (tmp_path / "t/weights.bin").read_bytes() == BODY
    # Bytes come with every answer, and still it ends.
    always = ScriptedHub(*[trickle] * 50)
    assert await run(always, tmp_path / "u", retry_timeout=1.0) == Reason.NETWORK.exit_code


@pytest.mark.slow
def test_a_large_file_takes_no_memory() -> None:
    with serving_weights(1e9) as url:
        aimd = [sys.executable, "-m", "aimd", "download", f"hf://{FILE}", "{}"]
        assert measured(aimd, environment(url), FILE_BYTES).memory < 300


async def test_by_hand_there_is_a_bar(tmp_path: Path) -> None:
    """On a terminal of its own: amount, rate and time left."""
    make_repository(tmp_path / "hub", REPOSITORY, 4 * MIB)
    async with AsyncExitStack() as stack:
        hub = await stack.enter_async_context(running_hub(tmp_path / "hub", rate_limit=4 * MIB))
        ours, theirs = os.openpty()
        stack.callback(os.close, ours)
        variables = {
            **os.environ,
            "HF_ENDPOINT": hub.url,
            "TERM": "xterm",
            "COLUMNS": "120",
            "PROGRESS_INTERVAL": "0.1",
        }
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "aimd", "download", f"hf://{REPOSITORY}", str(tmp_path / "target")),
            env=variables,
            stdin=theirs,
            stdout=theirs,
            stderr=asyncio.subprocess.DEVNULL,
        )
        os.close(theirs)
        shown = await asyncio.to_thread(_read_all, ours)
        assert await process.wait() == 0
    assert "downloading" in shown
    assert "━" in shown
    assert "MB/s" in shown


def _read_all(terminal: int) -> str:
    content = b""
    with suppress(OSError):  # EIO: the other side is closed
        while data := os.read(terminal, 65536):
            content += data
    return content.decode(errors="replace")
