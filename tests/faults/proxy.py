"""A proxy between aimd and a real API server that goes wrong on purpose: seeded, by verb and kind.

Plain HTTP towards aimd, TLS towards the server; the caller's token is passed on. Every fault is one that a network, a
load balancer or a busy API server really shows: see `Fault`. `gate` lets a test see each request, hold it, or have its
connection cut before or after the server has got it. With `watch_lag` every watch is that many seconds behind.
"""

import json
import random
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import yaml
from aiohttp import web

_HOP_HEADERS = {"connection", "transfer-encoding", "content-length", "host", "keep-alive"}


class Fault(StrEnum):
    """What may happen to a request; the last three to watches only."""

    DROP_BEFORE = "dropped before it arrived"
    DROP_AFTER = "answer dropped"
    DELAY = "delayed"
    STALL = "stalled, then dropped"
    TRUNCATE = "answer cut in the middle"
    CONFLICT = "409"
    TOO_MANY = "429 with Retry-After"
    INTERNAL = "500"
    UNAVAILABLE = "503"
    WATCH_CUT = "watch cut in the middle of a line"
    WATCH_REPEAT = "event of a watch repeated"
    WATCH_GONE = "410 in the stream"


_STATUS = {
    Fault.CONFLICT: (409, "Conflict"),
    Fault.TOO_MANY: (429, "TooManyRequests"),
    Fault.INTERNAL: (500, "InternalError"),
    Fault.UNAVAILABLE: (503, "ServiceUnavailable"),
}
_FOR_WRITES = {Fault.CONFLICT}
_FOR_WATCHES = {Fault.WATCH_CUT, Fault.WATCH_REPEAT, Fault.WATCH_GONE}


class Cut(StrEnum):
    """What a gate wants done with a request: nothing, or its connection cut."""

    NOT = "not"
    BEFORE = "before"
    AFTER = "after"


@dataclass(frozen=True)
class Seen:
    """A request: verb as HTTP says it, path without host, whether it is a watch, and its body."""

    method: str
    path: str
    watch: bool
    body: bytes


Gate = Callable[[Seen], Awaitable[Cut]]


@dataclass
class FaultProxy:
    """`rate` is the chance of each fault class for each request it fits, and of a fault for each line of a watch;
    `applies` narrows the requests down, `on_cut` is called before a connection is cut that the gate wanted cut."""

    server: str
    authority_file: Path
    seed: int = 0
    rate: float = 0.0
    stall_seconds: float = 3.0
    watch_lag: float = 0.0
    applies: Callable[[Seen], bool] = lambda seen: True
    gate: Gate | None = None
    on_cut: Callable[[Seen], None] = lambda seen: None
    injected: list[tuple[Fault, str]] = field(default_factory=list)
    port: int = 0

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["FaultProxy"]:
        context = ssl.create_default_context(cafile=str(self.authority_file))
        connector = aiohttp.TCPConnector(ssl=context, limit=0)
        timeout = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(connector=connector, auto_decompress=False, timeout=timeout) as session:
            runner = web.ServerRunner(web.Server(lambda request: self._handle(session, request)), shutdown_timeout=0.1)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self.port = runner.addresses[0][1]
            try:
                yield self
            finally:
                await runner.cleanup()

    def kubeconfig(self, of: Path, path: Path) -> Path:
        """The kubeconfig `of`, with this proxy in place of its server."""
        config = yaml.safe_load(of.read_text())
        for cluster in config["clusters"]:
            cluster["cluster"] = {"server": f"http://127.0.0.1:{self.port}"}
        path.write_text(yaml.safe_dump(config))
        return path

    async def _handle(self, session: aiohttp.ClientSession, request: Any) -> web.StreamResponse:
        body = await request.read()
        seen = Seen(request.method, request.path_qs, "watch=true" in request.query_string, body)
        cut = await self.gate(seen) if self.gate is not None else Cut.NOT
        if cut is Cut.BEFORE:
            self.on_cut(seen)
            return _abort(request)
        fault = self._choose(seen)
        if fault is not None:
            self.injected.append((fault, f"{seen.method} {seen.path}"))
            answered = await self._fault_before(fault, request)
            if answered is not None:
                return answered
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP_HEADERS}
        url = f"{self.server}{request.path_qs}"
        async with session.request(request.method, url, headers=headers, data=body or None) as answer:
            if seen.watch and answer.status == 200:
                return await self._stream(request, seen, answer)
            content = await answer.read()
            if cut is Cut.AFTER:
                self.on_cut(seen)
            if cut is Cut.AFTER or fault is Fault.DROP_AFTER:
                return _abort(request)
            return await self._answer(request, answer, content, fault)

    def _choose(self, seen: Seen) -> Fault | None:
        if not self.rate or not self.applies(seen):
            return None
        write = seen.method not in ("GET", "HEAD")
        for fault in Fault:
            fits = fault not in _FOR_WATCHES and (fault not in _FOR_WRITES or write)
            if fits and self._random.random() < self.rate:
                return fault
        return None

    async def _fault_before(self, fault: Fault, request: Any) -> web.StreamResponse | None:
        if fault is Fault.DROP_BEFORE:
            return _abort(request)
        if fault is Fault.DELAY:
            await anyio.sleep(self._random.uniform(0.05, 0.5))
        if fault is Fault.STALL:
            await anyio.sleep(self.stall_seconds)
            return _abort(request)
        if fault in _STATUS:
            code, reason = _STATUS[fault]
            status = {"kind": "Status", "apiVersion": "v1", "code": code, "reason": reason, "message": "injected"}
            headers = {"Retry-After": "1"} if fault is Fault.TOO_MANY else {}
            return web.json_response(status, status=code, headers=headers)
        return None

    async def _answer(
        self, request: Any, answer: aiohttp.ClientResponse, content: bytes, fault: Fault | None
    ) -> web.StreamResponse:
        if fault is Fault.TRUNCATE and len(content) > 1:
            response = web.StreamResponse(status=answer.status, headers={"Content-Type": answer.content_type})
            response.content_length = len(content)
            await response.prepare(request)
            await response.write(content[: len(content) // 2])
            return _abort(request, response)
        return web.Response(status=answer.status, body=content, headers=_passed_on(answer))

    async def _stream(self, request: Any, seen: Seen, answer: aiohttp.ClientResponse) -> web.StreamResponse:
        response = web.StreamResponse(status=answer.status, headers=_passed_on(answer))
        await response.prepare(request)
        try:
            async for line in answer.content:
                fault = self._choose_for_line(seen)
                if fault is Fault.WATCH_CUT:
                    await response.write(line[: len(line) // 2])
                    return _abort(request, response)
                if fault is Fault.WATCH_GONE:
                    gone = {"kind": "Status", "code": 410, "reason": "Expired", "message": "injected"}
                    await response.write(json.dumps({"type": "ERROR", "object": gone}).encode() + b"\n")
                    return response
                await self._lag_behind()
                await response.write(line * 2 if fault is Fault.WATCH_REPEAT else line)
        except (aiohttp.ClientError, ConnectionError):
            return _abort(request, response)
        return response

    async def _lag_behind(self) -> None:
        if self.watch_lag:
            await anyio.sleep(self.watch_lag)

    def _choose_for_line(self, seen: Seen) -> Fault | None:
        """A watch lives long: its faults strike while it runs. Few do, so the one that struck least comes next."""
        if not self.rate or not self.applies(seen) or self._random.random() >= self.rate:
            return None
        struck = names(self.injected)
        fault = min(sorted(_FOR_WATCHES), key=lambda each: (struck.get(each, 0), self._random.random()))
        self.injected.append((fault, seen.path))
        return fault


def _passed_on(answer: aiohttp.ClientResponse) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name.lower() not in _HOP_HEADERS}


def _abort(request: Any, response: web.StreamResponse | None = None) -> web.StreamResponse:
    """Resets the connection, whatever was sent on it."""
    if request.transport is not None:
        request.transport.abort()
    return response if response is not None else web.Response()


def names(faults: Sequence[tuple[Fault, str]]) -> dict[str, int]:
    """How often each fault was injected."""
    counts: dict[str, int] = {}
    for fault, _ in faults:
        counts[fault] = counts.get(fault, 0) + 1
    return counts
