"""One request to a host of a registry: bounded in bytes and hops, never with credentials on a way nobody asked for.

TLS everywhere, except for hosts that are on this machine or in a private network: they may speak plain HTTP, which is
tried when what listens there does not speak TLS at all (REG-NET-1). A certificate that cannot
be verified is never a reason to go without. Proxies come from the environment, as httpx reads it, but never for
loopback.
"""

import random
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

import anyio
import httpx

from aimd.registry.failures import Problem, RegistryError, error, quoted, timed_out
from aimd.registry.gate import Gate
from aimd.registry.hosts import authority, is_loopback, may_be_plain, require_public_address, same_place
from aimd.registry.network import is_certificate_error, network_failure
from aimd.registry.options import RegistryOptions
from aimd.registry.reply import Reply, read_reply
from aimd.registry.waiting import retry_after

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS = 5
_BROKEN = frozenset({408, 499})
_PROBE_TIMEOUT = 3.0
_LONGEST_PAUSE = 5.0


@dataclass(frozen=True, slots=True)
class Ask:
    """A request about a registry: `limit` is in bytes of the answer's body, `operation` is for metrics.

    `authorization` is shown to the URL's own host only; `who` is the fingerprint of the credential it comes from.
    """

    url: str
    registry: str
    operation: str
    limit: int
    method: str = "GET"
    accept: str = "application/json"
    authorization: str = ""
    who: str = ""
    content: bytes = b""
    content_type: str = ""
    more: tuple[tuple[str, str], ...] = ()

    @property
    def headers(self) -> dict[str, str]:
        """All of them but the credentials."""
        content = {"Content-Type": self.content_type} if self.content_type else {}
        return {"Accept": self.accept, **content, **dict(self.more)}


class _NoTls(Exception):
    """What listens there does not speak TLS, or nothing listens on the port of HTTPS."""


class Transport:
    """Connections to all registries."""

    def __init__(self, options: RegistryOptions, gate: Gate) -> None:
        self._options = options
        self._gate = gate
        self._plain: set[str] = set()
        tls = httpx.create_ssl_context()  # honours SSL_CERT_FILE and SSL_CERT_DIR
        self._clients = {direct: self._client(tls, trust_env=not direct) for direct in (False, True)}

    def _client(self, tls: ssl.SSLContext, *, trust_env: bool) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            headers={"User-Agent": self._options.user_agent, "Accept-Encoding": "identity"},
            verify=tls,
            trust_env=trust_env,
            follow_redirects=False,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=32, keepalive_expiry=30.0),
        )

    @contextmanager
    def deadline(self, registry: str, seconds: float | None = None) -> Iterator[None]:
        """For everything inside together; httpx's own timeouts start anew with each piece that arrives (REG-NET-3).

        Raises RegistryError, and lets the gate know that the registry hangs.
        """
        limit = seconds or self._options.timeout
        with anyio.move_on_after(limit) as scope:
            yield
        if scope.cancelled_caught:
            late = timed_out(registry, limit)
            self._gate.unanswered(authority(httpx.URL(self._options.endpoint(registry))), late)
            raise RegistryError(late)

    async def aclose(self) -> None:
        """Closes all connections."""
        with anyio.CancelScope(shield=True):
            for client in self._clients.values():
                await client.aclose()

    async def send(self, ask: Ask) -> Reply:
        """The answer, of any status that is the asker's business; asked for again when the host is in trouble.

        Raises RegistryError, also for 429 and for what says that the host is broken.
        """
        for pause in self._options.retry_delays:
            try:
                return await self._attempt(ask)
            except RegistryError as problem:
                wait = problem.failure.retry_after or 0.0
                if problem.failure.problem not in (Problem.NETWORK, Problem.UNAVAILABLE) or wait > _LONGEST_PAUSE:
                    raise
                await anyio.sleep(max(wait, pause * random.uniform(0.5, 1.0)))
        try:
            return await self._attempt(ask)
        except RegistryError as problem:
            if problem.failure.problem is Problem.NETWORK and problem.failure.retry_after is None:
                self._gate.unanswered(authority(httpx.URL(ask.url)), problem.failure)
            raise

    async def _attempt(self, ask: Ask) -> Reply:
        host = authority(httpx.URL(ask.url))
        self._gate.check(host, ask.who)
        reply = await self._follow(ask)
        wait = retry_after(reply.headers, time.time())
        if reply.status in _BROKEN or reply.status >= 500:
            text = f"{reply.host} answered {reply.status}{reply.own_words}: the registry has to be put right"
            raise error(Problem.UNAVAILABLE, text, retry_after=wait)
        self._gate.answered(host)
        if reply.status == 429 or (reply.status == 403 and wait is not None):  # GitHub says it with a 403
            text = f"{reply.host} limits how often it may be asked{reply.own_words}: wait, or use a pull secret of an "
            limited = error(Problem.RATE_LIMIT, f"{text}account with a higher limit", retry_after=wait)
            self._gate.limited(host, ask.who, limited.failure)
            raise limited
        return reply

    async def _follow(self, ask: Ask) -> Reply:
        """The answer at the end of the redirects. The first host's credentials stay with it."""
        home = url = httpx.URL(ask.url)
        for _ in range(_MOST_REDIRECTS + 1):
            reply = await self._exchange(ask, url, ask.authorization if same_place(url, home) else "")
            location = reply.headers.get("location", "")
            if reply.status not in _REDIRECTS or not location:
                return reply
            url = self._target(url, location)
        raise error(
            Problem.UNAVAILABLE,
            f"{home.host} redirects without end, lastly to {url.host}: the registry, or the proxy in front of it, has "
            "to be put right",
        )

    def _target(self, url: httpx.URL, location: str) -> httpx.URL:
        try:
            target = url.join(location)
        except httpx.InvalidURL:
            raise error(Problem.UNAVAILABLE, f"{url.host} redirects to {quoted(location)!r}, which is no URL") from None
        if target.scheme == "http" and authority(target) in self._plain:
            return target.copy_with(scheme="https")  # the name under which we know what speaks plain HTTP
        if target.scheme == "http" and url.scheme == "https" and not may_be_plain(target.host):
            raise error(Problem.UNAVAILABLE, f"{url.host} redirects from HTTPS to plain HTTP at {target.host}")
        return target

    async def _exchange(self, ask: Ask, url: httpx.URL, authorization: str) -> Reply:
        """One request and its answer; over plain HTTP where nothing else is spoken and that is allowed."""
        require_public_address(url)
        if url.scheme != "https" or not may_be_plain(url.host):
            return await self._once(ask, url, authorization)
        plain = url.copy_with(scheme="http")
        if authority(url) in self._plain:
            try:
                return await self._once(ask, plain, authorization)
            except RegistryError:
                self._plain.discard(authority(url))
                raise
        try:
            return await self._once(ask, url, authorization, probe=True)
        except _NoTls:
            reply = await self._once(ask, plain, authorization)
            self._plain.add(authority(url))
            return reply

    async def _once(self, ask: Ask, url: httpx.URL, authorization: str, probe: bool = False) -> Reply:
        started, code = time.monotonic(), "<error>"
        try:
            async with self._gate.turn(authority(url)), self._stream(ask, url, authorization, probe) as response:
                code = str(response.status_code)
                return await read_reply(response, ask.limit)
        except (httpx.ConnectError, httpx.ConnectTimeout) as problem:
            if probe and not is_certificate_error(problem):
                raise _NoTls from problem
            raise network_failure(url.host, problem) from problem
        except (httpx.HTTPError, httpx.InvalidURL) as problem:
            raise network_failure(url.host, problem) from problem
        finally:
            self._options.observer(ask.registry, ask.operation, code, time.monotonic() - started)

    @asynccontextmanager
    async def _stream(self, ask: Ask, url: httpx.URL, authorization: str, probe: bool) -> AsyncIterator[httpx.Response]:
        limits = self._options
        connect = min(_PROBE_TIMEOUT, limits.connect_timeout) if probe else limits.connect_timeout
        headers = {**ask.headers, "Authorization": authorization} if authorization else ask.headers
        timeout = httpx.Timeout(limits.timeout, connect=connect)
        client = self._clients[is_loopback(url.host)]
        async with client.stream(ask.method, url, headers=headers, content=ask.content or None, timeout=timeout) as got:
            yield got
