"""The proxy of the gateway stand-in: forwards a request by the route table, and streams the response back."""

# tests: tests/integration/test_gateway_proxy.py

import itertools
import random
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import aclosing

import anyio
import httpx
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from aimd.sandbox.gateway.routing import Backend, RouteTable, Rule

_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
_HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer transfer-encoding "
    b"upgrade".split()
)


class NoEndpoint(Exception):
    """No endpoint can serve the request; the message says what is missing."""


class Proxy:
    """Forwards HTTP requests; `local_ports` returns the loopback ports of a backend, or raises NoEndpoint."""

    def __init__(self, routes: RouteTable, local_ports: Callable[[Backend], Sequence[int]]) -> None:
        self._routes = routes
        self._local_ports = local_ports
        self._round_robin = itertools.count()
        # No pooling limits and no proxy settings: the backends are on this machine.
        self._client = httpx.AsyncClient(trust_env=False, limits=httpx.Limits(max_keepalive_connections=0))

    def application(self) -> Starlette:
        """Return the ASGI application, which handles every path and method."""
        return Starlette(routes=[Route("/{path:path}", self.handle, methods=_METHODS)])

    async def aclose(self) -> None:
        """Close the connections to backends."""
        await self._client.aclose()

    async def handle(self, request: Request) -> Response:
        """Forward a request: 404 if no route matches, 503 without an endpoint, 504 after the timeout of the route."""
        path = request.scope.get("raw_path", request.url.path.encode()).decode("latin-1")
        host = (request.headers.get("host") or "").rsplit(":", 1)[0].lower()
        rule = self._routes.match(host, request.method, path)
        if rule is None:
            return _refusal(404, f"no route for {path}", routed=self._routes.paths())
        try:
            upstream_request = self._upstream_request(request, rule, path)
        except NoEndpoint as error:
            return _refusal(503, f"route {rule.route}: {error}")
        deadline = time.monotonic() + rule.timeout if rule.timeout else float("inf")
        try:
            with anyio.fail_after(deadline - time.monotonic()):
                upstream = await self._client.send(upstream_request, stream=True)
        except TimeoutError:
            return _refusal(504, f"route {rule.route}: no response within {rule.timeout:g} s")
        except ClientDisconnect:
            return Response(status_code=400)  # The client has disconnected.
        except httpx.TransportError as error:
            return _refusal(503, f"route {rule.route}: the backend does not respond: {error or type(error).__name__}")
        answer = StreamingResponse(_body(upstream, deadline), status_code=upstream.status_code)
        answer.raw_headers = list(_end_to_end(upstream.headers.raw))
        return answer

    def _upstream_request(self, request: Request, rule: Rule, path: str) -> httpx.Request:
        port = self._choose_port(rule)
        target = rule.rewritten(path).encode("latin-1")
        query = request.scope.get("query_string", b"")
        url = httpx.URL(scheme="http", host="127.0.0.1", port=port, raw_path=target + (b"?" + query if query else b""))
        headers = [item for item in _end_to_end(request.headers.raw) if item[0] != b"host"]
        host = rule.rewrite.hostname or request.headers.get("host") or f"127.0.0.1:{port}"
        client = request.client.host if request.client else "127.0.0.1"
        headers += [(b"host", host.encode()), (b"x-forwarded-for", client.encode()), (b"x-forwarded-proto", b"http")]
        has_body = "content-length" in request.headers or "transfer-encoding" in request.headers
        return httpx.Request(request.method, url, headers=headers, content=request.stream() if has_body else None)

    def _choose_port(self, rule: Rule) -> int:
        backends = [backend for backend in rule.backends if backend.weight > 0]
        if not backends:
            raise NoEndpoint("the route has no backend")
        backend = random.choices(backends, [each.weight for each in backends])[0]  # noqa: S311 (balances load)
        ports = self._local_ports(backend)
        return ports[next(self._round_robin) % len(ports)]


async def _body(upstream: httpx.Response, deadline: float) -> AsyncIterator[bytes]:
    """Yield the response of the backend; at the deadline, break off, so that the client's connection is closed."""
    async with aclosing(upstream):
        chunks = upstream.aiter_raw()
        while True:
            with anyio.fail_after(deadline - time.monotonic()):
                chunk = await anext(chunks, None)
            if chunk is None:
                return
            yield chunk


def _end_to_end(headers: Iterable[tuple[bytes, bytes]]) -> Iterable[tuple[bytes, bytes]]:
    return ((name.lower(), value) for name, value in headers if name.lower() not in _HOP_BY_HOP)


def _refusal(status: int, message: str, **details: object) -> Response:
    return JSONResponse({"error": message, **details}, status_code=status)
