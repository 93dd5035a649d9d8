# tests: tests/faults/test_registry_addresses.py
"""Connections to checked addresses only (REG-NET-2).

A name is resolved once for each connection, the addresses that are not allowed are left out, and the connection goes
to one of the others: a name that changes its address in between changes nothing. A proxy resolves names itself; there
the check is of what this machine resolves, and a name that only the proxy knows is left to it.
"""

import socket
import ssl
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from itertools import zip_longest
from typing import TypeAlias

import anyio
import httpcore
import httpx
from httpx._utils import get_environment_proxies

from aimd.registry.addresses import Address, AddressPolicy, Endpoints, Standing, not_allowed, standing
from aimd.registry.hosts import is_loopback

SocketOptions: TypeAlias = Iterable[
    tuple[int, int, int] | tuple[int, int, bytes | bytearray] | tuple[int, int, None, int]
]
Resolve: TypeAlias = Callable[[str, int], Awaitable[Sequence[str]]]
"""Return the addresses of a host as text. Raises OSError."""

_MOST_ADDRESSES = 8
_MOST_HOSTS = 1024
_KEPT_CONNECTIONS = 32
_KEPT_SECONDS = 30.0
_LOOK_UP_SECONDS = 2.0
_WEB_PORTS = {"http": 80, "https": 443}


async def resolve(host: str, port: int) -> list[str]:
    """Return the addresses of a host from the system's resolver, without duplicates. Raises OSError."""
    try:
        found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (ValueError, OverflowError) as problem:  # A label that is empty or too long for DNS, for example.
        raise OSError(str(problem)) from problem
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


@dataclass(frozen=True, slots=True)
class Network:
    """How names are resolved and addresses connected to; tests use others."""

    resolve: Resolve = resolve
    backend: httpcore.AsyncNetworkBackend = field(default_factory=httpcore.AnyIOBackend)


class Connector(httpcore.AsyncNetworkBackend):
    """Connects to allowed addresses of hosts."""

    def __init__(self, policy: AddressPolicy, endpoints: Endpoints, network: Network) -> None:
        self._policy = policy
        self._endpoints = endpoints
        self._network = network
        self._private: OrderedDict[str, bool] = OrderedDict()

    def is_private(self, host: str) -> bool:
        """Return whether the host was contacted at an address that is not public, and is no endpoint."""
        return self._private.get(host, False)

    async def allowed(self, host: str, port: int) -> list[str]:
        """Return the addresses of a host that may be contacted. Raises OSError, and RegistryError if there is none."""
        found = list(await self._network.resolve(host, port))[:_MOST_ADDRESSES]
        if self._endpoints.contains(host, port):
            return found
        usable = [text for text in found if (known := _address(text)) and self._policy.allows(host, known)]
        if found and not usable:
            raise not_allowed(host)
        self._remember(host, private=any(_is_hidden(text) for text in usable))
        return usable

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: SocketOptions | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first allowed address that accepts. Raises httpcore's errors, and RegistryError."""
        try:
            with anyio.fail_after(timeout):
                usable = await self.allowed(host, port)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout from error
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from error
        if not usable:
            raise httpcore.ConnectError(f"{host} has no address")
        share = timeout and timeout / len(usable)  # One that swallows packets leaves time for the others.
        for address in _alternating(usable):
            try:
                return await self._network.backend.connect_tcp(address, port, share, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                problem: Exception = error
        raise problem

    async def sleep(self, seconds: float) -> None:
        """Pause between attempts."""
        await self._network.backend.sleep(seconds)

    def _remember(self, host: str, *, private: bool) -> None:
        self._private[host] = private
        self._private.move_to_end(host)
        if len(self._private) > _MOST_HOSTS:
            self._private.popitem(last=False)


class _Direct(httpx.AsyncHTTPTransport):
    """httpx's transport with connections of ours, which it has no option for."""

    def __init__(self, tls: ssl.SSLContext, connector: Connector) -> None:
        super().__init__(verify=tls, trust_env=False)
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=tls,
            max_connections=None,
            max_keepalive_connections=_KEPT_CONNECTIONS,
            keepalive_expiry=_KEPT_SECONDS,
            network_backend=connector,
        )


class _Proxied(httpx.AsyncHTTPTransport):
    """httpx's transport through a proxy, to hosts that this machine doesn't know to be at refused addresses."""

    def __init__(self, tls: ssl.SSLContext, proxy: str, connector: Connector) -> None:
        super().__init__(verify=tls, trust_env=False, proxy=proxy)
        self._connector = connector

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Check the host, then send the request to the proxy."""
        port = request.url.port or _WEB_PORTS[request.url.scheme]
        with suppress(OSError), anyio.move_on_after(_LOOK_UP_SECONDS):  # Perhaps only the proxy knows the name.
            await self._connector.allowed(request.url.host, port)
        return await super().handle_async_request(request)


@dataclass(frozen=True, slots=True)
class Connections:
    """HTTP clients for all hosts: with the proxies of the environment, and without for this machine."""

    proxied: httpx.AsyncClient
    direct: httpx.AsyncClient

    @asynccontextmanager
    async def stream(
        self, method: str, url: httpx.URL, *, headers: dict[str, str], content: bytes | None, timeout: httpx.Timeout
    ) -> AsyncIterator[httpx.Response]:
        """Send a request, and provide its response for the block. Raises httpx's errors, and RegistryError."""
        client = self.direct if is_loopback(url.host) else self.proxied
        async with client.stream(method, url, headers=headers, content=content, timeout=timeout) as response:
            yield response

    async def aclose(self) -> None:
        """Close all connections."""
        for client in (self.proxied, self.direct):
            await client.aclose()


def connections(connector: Connector, user_agent: str) -> Connections:
    """Return clients that connect through the connector."""
    tls = httpx.create_ssl_context()  # honors SSL_CERT_FILE and SSL_CERT_DIR
    direct = _Direct(tls, connector)
    proxies = {
        pattern: direct if proxy is None else _Proxied(tls, proxy, connector)
        for pattern, proxy in get_environment_proxies().items()
    }

    def client(mounts: dict[str, httpx.AsyncBaseTransport]) -> httpx.AsyncClient:
        headers = {"User-Agent": user_agent, "Accept-Encoding": "identity"}
        return httpx.AsyncClient(transport=direct, mounts=mounts, headers=headers, trust_env=False)

    return Connections(client(dict(proxies)), client({}))


def _address(text: str) -> Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def _alternating(addresses: Sequence[str]) -> Iterator[str]:
    """Yield addresses of IPv6 and IPv4 in turn, in the resolver's order: one of the two may lead nowhere."""
    first = ":" in addresses[0]
    same = [text for text in addresses if (":" in text) is first]
    other = [text for text in addresses if (":" in text) is not first]
    return (text for pair in zip_longest(same, other) for text in pair if text)


def _is_hidden(text: str) -> bool:
    known = _address(text)
    return known is not None and standing(known) is Standing.PRIVATE
