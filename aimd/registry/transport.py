# tests: tests/faults/test_registry_faults.py
"""One request to a host of a registry, with limits on bytes, redirects and time; credentials stay with their host.

TLS is used everywhere. Only hosts on this machine or in a private network may speak plain HTTP, which is tried if they
do not speak TLS at all (REG-NET-1); a certificate that cannot be verified is never a reason for plain HTTP. httpx reads
the proxies from the environment; they are not used for loopback.
"""

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import anyio
import httpx

from aimd.registry.addresses import LOCAL_HOSTS, endpoints_of, not_allowed
from aimd.registry.connections import Connections, Connector, Network, connections
from aimd.registry.failures import Problem, RegistryError, quoted, registry_error, timed_out
from aimd.registry.gate import Gate
from aimd.registry.hosts import allows_plain_http, authority, parse_url, same_origin
from aimd.registry.network import is_certificate_error, network_failure, unreachable
from aimd.registry.options import RegistryOptions
from aimd.registry.reply import Reply, read_reply
from aimd.registry.retry_after import retry_after

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS = 5
_TRANSIENT_STATUSES = frozenset({408, 499})
_PROBE_TIMEOUT = 3.0
_LONGEST_WAIT = 5.0


@dataclass(frozen=True, slots=True)
class RegistryRequest:
    """A request about a registry: `limit` is in bytes of the response's body, `operation` is for metrics.

    `authorization` is sent to the URL's own host only (REG-CRD-3); `credential_id` identifies its credential.
    """

    url: str
    registry: str
    operation: str
    limit: int
    method: str = "GET"
    accept: str = "application/json"
    authorization: str = ""
    credential_id: str = ""
    content: bytes = b""
    content_type: str = ""
    extra_headers: tuple[tuple[str, str], ...] = ()

    @property
    def is_login(self) -> bool:
        """Whether the request asks for a token; its credential must not go elsewhere."""
        return self.operation == "token" or bool(self.content)

    @property
    def headers(self) -> dict[str, str]:
        """All headers except for the credentials."""
        content = {"Content-Type": self.content_type} if self.content_type else {}
        return {"Accept": self.accept, **content, **dict(self.extra_headers)}


class _NoTls(Exception):
    """The host does not speak TLS, or does not listen on the port of HTTPS."""


class Transport:
    """Connections to all registries."""

    def __init__(self, options: RegistryOptions, gate: Gate, network: Network | None = None) -> None:
        self._options = options
        self._gate = gate
        self._plain: set[str] = set()
        self._endpoints = endpoints_of(options.configured)
        self._connector = Connector(options.addresses, self._endpoints, network or Network())
        self._connections: Connections = connections(self._connector, options.user_agent)

    @contextmanager
    def deadline(self, registry: str, seconds: float | None = None) -> Iterator[None]:
        """Limit the time of the whole block; httpx's own timeouts restart with each piece that arrives (REG-NET-3).

        Raises RegistryError, and records the failure of the registry in the gate.
        """
        limit = seconds or self._options.timeout
        with anyio.move_on_after(limit) as scope:
            yield
        if scope.cancelled_caught:
            home = parse_url(self._options.endpoint(registry))
            late = unreachable(home.host) if self._connector.is_private(home.host) else timed_out(registry, limit)
            self._gate.failed(authority(home), late)
            raise RegistryError(late)

    async def aclose(self) -> None:
        """Close all connections."""
        with anyio.CancelScope(shield=True):
            await self._connections.aclose()

    async def send(self, request: RegistryRequest) -> Reply:
        """Return the response, whatever its status; retry transient failures of the host.

        Raises RegistryError, also for 429 and for server errors.
        """
        for pause in self._options.retry_delays:
            try:
                return await self._attempt(request)
            except RegistryError as problem:
                wait = problem.failure.retry_after or 0.0
                if problem.failure.problem not in (Problem.NETWORK, Problem.UNAVAILABLE) or wait > _LONGEST_WAIT:
                    raise
                jitter = random.uniform(0.5, 1.0)  # noqa: S311 - spreads retries, not a secret
                await anyio.sleep(max(wait, pause * jitter))
        try:
            return await self._attempt(request)
        except RegistryError as problem:
            if problem.failure.problem is Problem.NETWORK and problem.failure.retry_after is None:
                self._gate.failed(authority(parse_url(request.url)), problem.failure)
            raise

    async def _attempt(self, request: RegistryRequest) -> Reply:
        host = authority(parse_url(request.url))
        self._gate.check(host, request.credential_id)
        reply = await self._follow(request)
        wait = retry_after(reply.headers, time.time())
        if reply.status in _TRANSIENT_STATUSES or reply.status >= 500:
            text = f"{reply.host} returned {reply.status}{reply.quoted_error}: check the registry"
            raise registry_error(Problem.UNAVAILABLE, text, retry_after=wait)
        self._gate.succeeded(host)
        if reply.status == 429 or (reply.status == 403 and wait is not None):  # GitHub's way of a 429
            text = f"{reply.host} limits the rate of requests{reply.quoted_error}: wait, or use a pull secret of an "
            limited = registry_error(Problem.RATE_LIMIT, f"{text}account with a higher limit", retry_after=wait)
            self._gate.limited(host, request.credential_id, limited.failure)
            raise limited
        return reply

    def speaks_tls(self, base: str) -> bool:
        """Return whether requests to a base URL are sent over TLS, as far as is known."""
        url = parse_url(base)
        return url.scheme == "https" and authority(url) not in self._plain

    async def _follow(self, request: RegistryRequest) -> Reply:
        """Return the response at the end of the redirects, with credentials for the first host only (REG-CRD-3)."""
        home = url = parse_url(request.url)
        for _ in range(_MOST_REDIRECTS + 1):
            reply = await self._exchange(request, url, home)
            location = reply.headers.get("location", "")
            if reply.status not in _REDIRECTS or not location:
                return reply
            url = self._target(request, url, location)
        raise registry_error(
            Problem.UNAVAILABLE,
            f"{home.host} redirects more than {_MOST_REDIRECTS} times, the last time to {url.host}: check the "
            "registry, and proxies in front of it",
        )

    def _target(self, request: RegistryRequest, url: httpx.URL, location: str) -> httpx.URL:
        """Return where a redirect leads. Raises RegistryError if that is not followed (REG-NET-5)."""
        target = _joined(url, location)
        downgrade = target.scheme == "http" and self.speaks_tls(str(url))
        if target.scheme == "http" and authority(target) in self._plain and not downgrade:
            target = target.copy_with(scheme="https")  # the key of hosts that speak plain HTTP
        if request.is_login and not same_origin(target, url):
            raise registry_error(
                Problem.UNAVAILABLE, f"{url.host} redirects a login to {target.host}, which aimd does not follow"
            )
        if downgrade or (target.scheme == "http" and url.scheme == "https" and not self._may_be_plain(target)):
            raise registry_error(
                Problem.UNAVAILABLE, f"{url.host} redirects to plain HTTP at {target.host}, which aimd does not follow"
            )
        return target

    def _may_be_plain(self, url: httpx.URL) -> bool:
        return allows_plain_http(url.host) or self._endpoints.contains(url.host, url.port or 80)

    async def _exchange(self, request: RegistryRequest, url: httpx.URL, home: httpx.URL) -> Reply:
        """Make one request, over plain HTTP if the host does not speak TLS and that is allowed (REG-NET-1)."""
        self._require_own_host(request, url)
        authorization = request.authorization if same_origin(url, home) else ""
        plain = url.copy_with(scheme="http")
        if url.scheme == "https" and authority(url) in self._plain:
            try:
                return await self._once(request, plain, authorization)
            except RegistryError:
                self._plain.discard(authority(url))
                raise
        # Where a redirect or a realm says HTTPS, anything else would be a downgrade.
        if url.scheme != "https" or not self._is_registry(request, url) or not allows_plain_http(url.host):
            return await self._once(request, url, authorization)
        try:
            return await self._once(request, url, authorization, probe=True)
        except _NoTls:
            reply = await self._once(request, plain, authorization)
            self._plain.add(authority(url))
            return reply

    def _require_own_host(self, request: RegistryRequest, url: httpx.URL) -> None:
        """Allow this machine only as the registry of the image, or as an endpoint. Raises RegistryError."""
        configured = self._endpoints.contains(url.host, url.port or (443 if url.scheme == "https" else 80))
        if url.host in LOCAL_HOSTS and not configured and not self._is_registry(request, url):
            raise not_allowed(url.host)

    def _is_registry(self, request: RegistryRequest, url: httpx.URL) -> bool:
        """Return whether the URL is at the registry that the request is about."""
        return authority(url) == authority(parse_url(self._options.endpoint(request.registry)))

    async def _once(
        self, request: RegistryRequest, url: httpx.URL, authorization: str, *, probe: bool = False
    ) -> Reply:
        started, code = time.monotonic(), "<error>"
        limits = self._options
        connect = min(_PROBE_TIMEOUT, limits.connect_timeout) if probe else limits.connect_timeout
        headers = {**request.headers, "Authorization": authorization} if authorization else request.headers
        content, timeout = request.content or None, httpx.Timeout(limits.timeout, connect=connect)
        try:
            async with (
                self._gate.slot(authority(url)),
                self._connections.stream(
                    request.method, url, headers=headers, content=content, timeout=timeout
                ) as response,
            ):
                code = str(response.status_code)
                return await read_reply(response, request.limit)
        except (httpx.ConnectError, httpx.ConnectTimeout) as problem:
            if probe and not is_certificate_error(problem):
                raise _NoTls from problem
            raise self._failed(url, problem) from problem
        except (httpx.HTTPError, httpx.InvalidURL) as problem:
            raise self._failed(url, problem) from problem
        finally:
            self._options.observer(request.registry, request.operation, code, time.monotonic() - started)

    def _failed(self, url: httpx.URL, problem: Exception) -> RegistryError:
        """Return the error for a request without a response; it does not show what a private host is (REG-NET-6)."""
        if self._connector.is_private(url.host):
            return RegistryError(unreachable(url.host))
        return network_failure(url.host, problem)


def _joined(url: httpx.URL, location: str) -> httpx.URL:
    try:
        return parse_url(str(url.join(location)), Problem.UNAVAILABLE)
    except (httpx.InvalidURL, ValueError):
        raise registry_error(
            Problem.UNAVAILABLE, f"{url.host} redirects to {quoted(location)!r}, which is not a URL"
        ) from None
