"""HTTP requests over aiohttp, with the interface of the httpx session that kr8s' `call_api` uses.

An httpx client spends several times the CPU of aiohttp on each request, and far more with many concurrent ones
(docs/performance.md). `call_api` uses only two methods of it, `request` and `stream`. Failures are raised as our own
errors, which kr8s lets through.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from ssl import SSLContext
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import anyio.lowlevel
from multidict import CIMultiDictProxy
from yarl import URL

from aimd.runtime.errors import ConnectionFailed, RequestTimeout, connection_reason

_KEEPALIVE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Timeouts of a request, in seconds; None for no limit."""

    connect: float
    """For establishing a connection."""
    read: float | None = None
    """Between two pieces of the response."""
    total: float | None = None
    """For the whole exchange."""


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """A response with its whole body, with httpx's names."""

    status_code: int
    headers: CIMultiDictProxy[str]
    content: bytes


class StreamedResponse:
    """A response whose body is still arriving; valid inside the `stream` block."""

    def __init__(self, server: str, response: aiohttp.ClientResponse) -> None:
        self._server = server
        self._response = response
        self.status_code = response.status
        self.headers = response.headers

    @property
    def is_error(self) -> bool:
        """Whether the status is an error."""
        return self.status_code >= 400

    async def read(self) -> HttpResponse:
        """Return the response with the rest of its body. Raises ConnectionFailed, RequestTimeout."""
        with _our_errors(self._server):
            return HttpResponse(self.status_code, self.headers, await self._response.read())

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """Yield the body as it arrives. Raises ConnectionFailed, RequestTimeout."""
        with _our_errors(self._server):
            async for piece in self._response.content.iter_any():
                yield piece


class HttpSession:
    """A pool of connections to one server, at most `connections` at once; None for no limit.

    It belongs to one event loop and opens no connection before the first request.
    """

    is_closed = False

    def __init__(
        self, server: str, tls: SSLContext | None, *, user_agent: str, connections: int | None, proxy: str | None = None
    ) -> None:
        self._server = server.rstrip("/")
        self._proxy = proxy or environment_proxy(server)
        connector = aiohttp.TCPConnector(
            limit=connections or 0, keepalive_timeout=_KEEPALIVE_SECONDS, ssl=tls if tls is not None else True
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            # Inside a cluster the network is cheaper than compression on both ends.
            headers={"User-Agent": user_agent, "Accept-Encoding": "identity"},
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        # The client decides on retries and counts them.
        self._session._retry_connection = False  # noqa: SLF001  aiohttp has no public switch.

    async def request(self, **arguments: Any) -> HttpResponse:
        """Send a request and return the whole response; arguments as for `stream`."""
        async with self.stream(**arguments) as response:
            return await response.read()

    @asynccontextmanager
    async def stream(  # noqa: PLR0913  kr8s passes these arguments.
        self,
        *,
        method: str,
        url: str,
        headers: Mapping[str, str],
        timeout: Limits,
        params: Mapping[str, str] | None = None,
        content: bytes | None = None,
        extensions: Mapping[str, str] | None = None,
    ) -> AsyncIterator[StreamedResponse]:
        """Send a request and yield the response; `url` is a quoted path. Raises ConnectionFailed, RequestTimeout."""
        with _our_errors(self._server):
            response = await self._session.request(
                method,
                URL(self._server + url, encoded=True),
                params=params or None,
                headers=headers,
                data=content,
                allow_redirects=False,
                proxy=self._proxy,
                timeout=aiohttp.ClientTimeout(
                    total=timeout.total,
                    sock_connect=timeout.connect,
                    sock_read=timeout.read,
                    ceil_threshold=float("inf"),  # Else aiohttp rounds up to whole seconds.
                ),
                server_hostname=(extensions or {}).get("sni_hostname"),
            )
        async with response:
            try:
                yield StreamedResponse(self._server, response)
            finally:
                _abort_unfinished(response)

    async def aclose(self) -> None:
        """Close all connections."""
        self.is_closed = True
        await self._session.close()
        for _ in range(3):  # TLS transports end a few rounds of the loop later, and warn if there are none.
            await anyio.lowlevel.checkpoint()


def _abort_unfinished(response: aiohttp.ClientResponse) -> None:
    """Abort the connection of a body that was left early; a TLS shutdown could outlast the event loop."""
    if response.connection is not None and response.connection.transport is not None:
        response.connection.transport.abort()


def environment_proxy(server: str) -> str | None:
    """Return the proxy that the environment sets for the server (`HTTPS_PROXY`, `NO_PROXY`), never one for loopback."""
    parts = urlsplit(server)
    host = parts.hostname or ""
    if host == "localhost" or host.startswith("127.") or host == "::1" or proxy_bypass(host):
        return None
    return getproxies().get(parts.scheme)


@contextmanager
def _our_errors(server: str) -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise RequestTimeout(f"{server} did not answer in time") from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        text = str(error) or type(error).__name__
        raise ConnectionFailed(f"no answer from {server}: {text}", reason=connection_reason(error)) from error
