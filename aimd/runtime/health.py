"""The HTTP endpoints of a manager: /healthz, /readyz and /metrics; at wish over TLS and for some callers only.

A server of a few lines, because it answers GETs of three paths to probes and Prometheus and nothing else. Checks are
functions that return an empty text when all is well, else what is wrong; `?verbose` lists them, `/readyz/<check>` asks
for one, as Kubernetes' own components do.
"""

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import anyio
from anyio.abc import ByteReceiveStream, ByteStream, Listener, SocketAttribute
from anyio.streams.tls import TLSListener

from aimd.runtime.metrics import CONTENT_TYPE
from aimd.runtime.serving import ServingCertificate

Check = Callable[[], str]

_LONGEST_REQUEST = 16 * 1024
_REQUEST_SECONDS = 10.0
_CERTIFICATE_SECONDS = 10.0
_REFUSALS = {401: b"a bearer token is needed\n", 403: b"this account may not read it\n"}


@dataclass(frozen=True, slots=True)
class Response:
    """What a path answers."""

    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"


Page = Callable[[str, bool], Response]
"""(rest of the path, verbose) → answer."""

Guard = Callable[[str, str], Awaitable[int]]
"""(bearer token, path) → HTTP status; 200 lets the caller in."""


def checks_page(checks: Mapping[str, Check]) -> Page:
    """Answers 200 while all checks pass, else 500 with what failed."""

    def page(rest: str, verbose: bool) -> Response:
        if rest and rest not in checks:
            return Response(404, b"no such check\n")
        chosen = {rest: checks[rest]} if rest else checks
        problems = {name: check() for name, check in chosen.items()}
        failed = any(problems.values())
        if not failed and not verbose:
            return Response(200, b"ok")
        lines = [f"[-]{name}: {text}" if text else f"[+]{name} ok" for name, text in problems.items()]
        return Response(500 if failed else 200, ("\n".join(lines) + "\n").encode())

    return page


def metrics_page(exposition: Callable[[], bytes]) -> Page:
    """The Prometheus text format."""
    return lambda rest, verbose: Response(200, exposition(), CONTENT_TYPE)


class LoopWatchdog:
    """Notices when the event loop stands still: whoever blocks it for long makes liveness fail."""

    def __init__(self, limit: float = 30.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._clock = clock
        self._ticked = clock()
        self.lag = 0.0

    async def run(self, report: Callable[[float], None], period: float = 1.0) -> None:
        """Ticks until cancelled."""
        while True:
            await anyio.sleep(period)
            now = self._clock()
            self.lag = max(0.0, now - self._ticked - period)
            self._ticked = now
            report(self.lag)

    def check(self) -> str:
        """A health check."""
        silent = self._clock() - self._ticked
        return f"the event loop has not ticked for {silent:.0f} s" if silent > self._limit else ""


@dataclass
class Endpoints:
    """Which pages are served at which addresses (`host:port`, `:port`; port 0 takes a free one)."""

    pages: dict[str, dict[str, Page]] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)
    _certificates: dict[str, ServingCertificate] = field(default_factory=dict)
    _guards: dict[str, Guard] = field(default_factory=dict)
    _listeners: list[tuple[Listener[Any], str]] = field(default_factory=list)

    def add(self, address: str, path: str, page: Page) -> None:
        """Serves `page` under `/path`; an empty address or `0` switches it off."""
        if address not in ("", "0"):
            self.pages.setdefault(address, {})[path] = page

    def secure(self, address: str, certificate: ServingCertificate, guard: Guard) -> None:
        """Everything at this address only over TLS, and only for whom the guard lets in."""
        self._certificates[address] = certificate
        self._guards[address] = guard

    async def open(self) -> None:
        """Binds all addresses; `ports` then tells the port of each. Raises OSError when one is taken."""
        for address in self.pages:
            host, _, port = address.rpartition(":")
            listener: Listener[Any] = await anyio.create_tcp_listener(
                local_host=host.strip("[]") or None, local_port=int(port)
            )
            self.ports[address] = int(listener.extra(SocketAttribute.local_port))
            if address in self._certificates:
                context = self._certificates[address].context()
                listener = TLSListener(listener, context, standard_compatible=False, handshake_timeout=_REQUEST_SECONDS)
            self._listeners.append((listener, address))

    async def serve(self) -> None:
        """Answers requests until cancelled."""
        async with anyio.create_task_group() as servers:
            for listener, address in self._listeners:
                servers.start_soon(listener.serve, _handler(self.pages[address], self._guards.get(address)))
            while self._certificates:
                await anyio.sleep(_CERTIFICATE_SECONDS)
                for certificate in self._certificates.values():
                    certificate.refresh()

    async def close(self) -> None:
        """Stops listening."""
        for listener, _ in self._listeners:
            await listener.aclose()
        self._listeners.clear()


def _handler(pages: Mapping[str, Page], guard: Guard | None) -> Callable[[ByteStream], Awaitable[None]]:
    async def handle(stream: ByteStream) -> None:
        async with stream:
            with anyio.move_on_after(_REQUEST_SECONDS):
                try:
                    head_read = await _read_head(stream)
                    response = await _refusal(guard, head_read) or _answer(pages, head_read)
                    head = (
                        f"HTTP/1.1 {response.status} {'OK' if response.status == 200 else 'Error'}\r\n"
                        f"Content-Type: {response.content_type}\r\nContent-Length: {len(response.body)}\r\n"
                        "Connection: close\r\n\r\n"
                    )
                    await stream.send(head.encode() + response.body)
                except (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream):
                    return

    return handle


async def _read_head(stream: ByteReceiveStream) -> bytes:
    head = b""
    while b"\r\n\r\n" not in head and len(head) < _LONGEST_REQUEST:
        head += await stream.receive()
    return head


async def _refusal(guard: Guard | None, head: bytes) -> Response | None:
    """Why a caller is sent away; None lets it in."""
    if guard is None:
        return None
    lines = head.decode("latin-1").split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    scheme, _, token = headers.get("authorization", "").partition(" ")
    path = f"{lines[0]}  ".split(" ")[1].partition("?")[0]
    status = await guard(token.strip() if scheme.lower() == "bearer" else "", path)
    return None if status == 200 else Response(status, _REFUSALS.get(status, b"refused\n"))


def _answer(pages: Mapping[str, Page], head: bytes) -> Response:
    words = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
    if len(words) != 3 or words[0] not in ("GET", "HEAD"):
        return Response(405, b"only GET\n")
    path, _, query = words[1].partition("?")
    first, _, rest = path.strip("/").partition("/")
    page = pages.get(first)
    if page is None:
        return Response(404, b"not found\n")
    response = page(rest, "verbose" in query)
    return response if words[0] == "GET" else Response(response.status, b"", response.content_type)
