"""A small HTTP server that answers exactly as a test scripts it: for faults that no real API server makes on demand."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from aimd.runtime.client import Client, ClientOptions, connect


@dataclass(frozen=True)
class Asked:
    """A request that arrived."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Reply:
    """What to answer: a whole body, or `chunks` sent one by one; `then` is close, reset or stay."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    chunks: Sequence[bytes] | None = None
    then: str = "close"
    silence: float = 0.0


def status(code: int, reason: str, message: str = "scripted", **more: Any) -> Reply:
    """An error as Kubernetes words it."""
    body = {"kind": "Status", "code": code, "reason": reason, "message": message, **more}
    return Reply(code, json.dumps(body).encode())


def ok(manifest: Mapping[str, Any]) -> Reply:
    """An object."""
    return Reply(200, json.dumps(manifest).encode())


Script = Callable[[Asked], "Reply | Awaitable[Reply]"]


class ScriptedServer:
    """Serves HTTP/1.1 on a free port; `script` decides each answer, `asked` is what came."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.asked: list[Asked] = []
        self.port = 0
        self._tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["ScriptedServer"]:
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0, limit=1 << 22)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            while await self._exchange(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = head[0].split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        url = urlsplit(target)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        asked = Asked(method, url.path, query, headers, body)
        self.asked.append(asked)
        reply = self.script(asked)
        if not isinstance(reply, Reply):
            reply = await reply
        await asyncio.sleep(reply.silence)
        if reply.then == "reset" and reply.chunks is None:
            writer.transport.abort()
            return False
        await self._send(writer, reply)
        return reply.chunks is None

    async def _send(self, writer: asyncio.StreamWriter, reply: Reply) -> None:
        counted = reply.chunks is None and "Content-Length" not in reply.headers
        length = [f"Content-Length: {len(reply.body)}"] if counted else []
        framing = ["Transfer-Encoding: chunked"] if reply.chunks is not None else []
        lines = [
            f"HTTP/1.1 {reply.status} Scripted",
            *length,
            *framing,
            *(f"{name}: {value}" for name, value in reply.headers.items()),
        ]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + reply.body)
        await writer.drain()
        for chunk in reply.chunks or ():
            writer.write(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
            await writer.drain()
            await asyncio.sleep(0.005)
        if reply.chunks is None:
            return
        if reply.then == "stay":
            await asyncio.sleep(3600)
        if reply.then == "reset":
            writer.transport.abort()
        else:
            writer.write(b"0\r\n\r\n")
            await writer.drain()


@dataclass
class Bench:
    """Makes scripted servers and clients for them, and what the servers answer."""

    folder: Path
    reply = Reply
    status = staticmethod(status)
    ok = staticmethod(ok)

    def kubeconfig(self, port: int, **user: Any) -> Path:
        path = self.folder / f"kubeconfig-{port}"
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
            "users": [{"name": "u", "user": user or {"token": "token"}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "c",
        }
        path.write_text(yaml.safe_dump(config))
        return path

    def serving(self, script: Script) -> AbstractAsyncContextManager[ScriptedServer]:
        return ScriptedServer(script).serving()

    @asynccontextmanager
    async def talking(
        self, script: Script, user: Mapping[str, Any] | None = None, **options: Any
    ) -> AsyncIterator[tuple[Client, ScriptedServer]]:
        async with ScriptedServer(script).serving() as server:
            kubeconfig = self.kubeconfig(server.port, **(user or {}))
            async with connect(ClientOptions(kubeconfig=kubeconfig, **options)) as client:
                yield client, server


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)
