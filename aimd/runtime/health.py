"""The HTTP endpoints of a manager: /healthz, /readyz and /metrics.

The server answers GETs of probes and Prometheus and nothing else, so a few lines are enough. As in Kubernetes' own
components, `?verbose` lists all checks, and `/readyz/<check>` runs one.
"""

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import anyio
from anyio.abc import ByteReceiveStream, ByteStream, Listener, SocketAttribute, SocketStream, TaskGroup
from anyio.streams.tls import TLSListener

from aimd.runtime.metrics import CONTENT_TYPE
from aimd.runtime.serving import ServingCertificate

Check: TypeAlias = Callable[[], str]
"""Return what is wrong, or an empty text."""

_LONGEST_REQUEST = 16 * 1024
_REQUEST_SECONDS = 10.0
_MOST_CONNECTIONS = 512
_MOST_CONNECTIONS_OF_ONE = 16
_CERTIFICATE_SECONDS = 10.0
_REFUSALS = {401: b"a valid bearer token is required\n", 403: b"this account is not allowed to read this page\n"}


@dataclass(frozen=True, slots=True)
class Reply:
    """What a page replies."""

    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"


WebPage: TypeAlias = Callable[[str, str], Reply]
"""Reply to a request, by the rest of the path and the query."""
Guard: TypeAlias = Callable[[str, str], Awaitable[int]]
"""Return the HTTP status for a bearer token and a path; 200 admits the caller."""


def checks_page(checks: Mapping[str, Check]) -> WebPage:
    """Return a page that replies 200 while all checks pass, else 500 with what failed."""

    def page(rest: str, query: str) -> Reply:
        if rest and rest not in checks:
            return Reply(404, b"no such check\n")
        chosen = {rest: checks[rest]} if rest else checks
        problems = {name: check() for name, check in chosen.items()}
        failed = any(problems.values())
        if not failed and "verbose" not in query:
            return Reply(200, b"ok")
        lines = [f"[-]{name}: {text}" if text else f"[+]{name} ok" for name, text in problems.items()]
        return Reply(500 if failed else 200, ("\n".join(lines) + "\n").encode())

    return page


def metrics_page(exposition: Callable[[], bytes]) -> WebPage:
    """Return a page with metrics in the Prometheus text format."""
    return lambda _rest, _query: Reply(200, exposition(), CONTENT_TYPE)


class LoopWatchdog:
    """A health check that fails when something blocks the event loop for more than `limit` seconds."""

    def __init__(self, limit: float = 30.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._clock = clock
        self._ticked = clock()
        self.lag = 0.0
        """Seconds by which the last tick was late."""

    async def run(self, report: Callable[[float], None], period: float = 1.0) -> None:
        """Tick until canceled; call `report` with the lag at each tick."""
        while True:
            await anyio.sleep(period)
            now = self._clock()
            self.lag = max(0.0, now - self._ticked - period)
            self._ticked = now
            report(self.lag)

    def check(self) -> str:
        """Return what is wrong with the event loop, or an empty text."""
        silent = self._clock() - self._ticked
        return f"the event loop has not ticked for {silent:.0f} s" if silent > self._limit else ""


@dataclass(eq=False)
class LimitedListener(Listener[SocketStream]):
    """A listener that serves a few connections of each address, and closes further ones at once (OPS-MET-4)."""

    listener: Listener[SocketStream]
    connections: Counter[str] = field(default_factory=Counter)
    """Open connections by the address of the client."""

    async def serve(
        self, handler: Callable[[SocketStream], Awaitable[Any]], task_group: TaskGroup | None = None
    ) -> None:
        """Handle connections until canceled."""

        async def admit(stream: SocketStream) -> None:
            client = str(stream.extra(SocketAttribute.remote_address, ("",))[0])  # noqa: S610  Not Django's.
            open_ones = self.connections
            if open_ones[client] >= _MOST_CONNECTIONS_OF_ONE or open_ones.total() >= _MOST_CONNECTIONS:
                await stream.aclose()
                return
            open_ones[client] += 1
            try:
                await handler(stream)
            finally:
                open_ones[client] -= 1
                self.connections += Counter()  # Drops the addresses at zero.

        await self.listener.serve(admit, task_group)

    async def aclose(self) -> None:
        """Stop listening."""
        await self.listener.aclose()


@dataclass
class Endpoints:
    """An HTTP server for pages at several addresses (`host:port`, `:port`; port 0 takes a free one).

    Expected flow:
    - `add` pages and `secure` addresses, then `open`, then `serve` until canceled, then `close`.

    Caveats:
    - Requests over 16 KiB, requests that take longer than 10 s, and all but 16 connections of one client are dropped.
    """

    pages: dict[str, dict[str, WebPage]] = field(default_factory=dict)
    """Pages by address and first part of the path."""
    ports: dict[str, int] = field(default_factory=dict)
    """Ports by address, once they are open."""
    _certificates: dict[str, ServingCertificate] = field(default_factory=dict)
    _guards: dict[str, Guard] = field(default_factory=dict)
    _listeners: list[tuple[Listener[Any], str]] = field(default_factory=list)

    def add(self, address: str, path: str, page: WebPage) -> None:
        """Serve `page` under `/path`; not at all if the address is empty or `0`."""
        if address not in ("", "0"):
            self.pages.setdefault(address, {})[path] = page

    def secure(self, address: str, certificate: ServingCertificate, guard: Guard) -> None:
        """Serve the pages of this address over TLS only, to callers that the guard admits."""
        self._certificates[address] = certificate
        self._guards[address] = guard

    async def open(self) -> None:
        """Bind all addresses. Raises OSError if one is in use or not ours."""
        for address in self.pages:
            host, _, port = address.rpartition(":")
            listener: Listener[Any] = await anyio.create_tcp_listener(
                local_host=host.strip("[]") or None, local_port=int(port)
            )
            self.ports[address] = int(listener.extra(SocketAttribute.local_port))  # noqa: S610  Not Django's.
            listener = LimitedListener(listener)
            if address in self._certificates:
                context = self._certificates[address].context()
                listener = TLSListener(listener, context, standard_compatible=False, handshake_timeout=_REQUEST_SECONDS)
            self._listeners.append((listener, address))

    async def serve(self) -> None:
        """Reply to requests until canceled."""
        async with anyio.create_task_group() as servers:
            for listener, address in self._listeners:
                servers.start_soon(listener.serve, _handler(self.pages[address], self._guards.get(address)))
            while self._certificates:
                await anyio.sleep(_CERTIFICATE_SECONDS)
                for certificate in self._certificates.values():
                    certificate.refresh()

    async def close(self) -> None:
        """Stop listening."""
        for listener, _ in self._listeners:
            await listener.aclose()
        self._listeners.clear()


def _handler(pages: Mapping[str, WebPage], guard: Guard | None) -> Callable[[ByteStream], Awaitable[None]]:
    async def handle(stream: ByteStream) -> None:
        async with stream:
            with anyio.move_on_after(_REQUEST_SECONDS):
                try:
                    head_read = await _read_head(stream)
                    reply = await _refusal(guard, head_read) or _reply(pages, head_read)
                    head = (
                        f"HTTP/1.1 {reply.status} {'OK' if reply.status == 200 else 'Error'}\r\n"
                        f"Content-Type: {reply.content_type}\r\nContent-Length: {len(reply.body)}\r\n"
                        "Connection: close\r\n\r\n"
                    )
                    await stream.send(head.encode() + reply.body)
                except (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream):
                    return

    return handle


async def _read_head(stream: ByteReceiveStream) -> bytes:
    head = b""
    while b"\r\n\r\n" not in head and len(head) < _LONGEST_REQUEST:
        head += await stream.receive()
    return head


async def _refusal(guard: Guard | None, head: bytes) -> Reply | None:
    """Return the reply to a caller that is not admitted."""
    if guard is None:
        return None
    lines = head.decode("latin-1").split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    scheme, _, token = headers.get("authorization", "").partition(" ")
    path = f"{lines[0]}  ".split(" ")[1].partition("?")[0]
    status = await guard(token.strip() if scheme.lower() == "bearer" else "", path)
    return None if status == 200 else Reply(status, _REFUSALS.get(status, b"refused\n"))


def _reply(pages: Mapping[str, WebPage], head: bytes) -> Reply:
    words = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
    if len(words) != 3 or words[0] not in ("GET", "HEAD"):
        return Reply(405, b"only GET\n")
    path, _, query = words[1].partition("?")
    first, _, rest = path.strip("/").partition("/")
    page = pages.get(first)
    if page is None:
        return Reply(404, b"not found\n")
    reply = page(rest, query)
    return reply if words[0] == "GET" else Reply(reply.status, b"", reply.content_type)
