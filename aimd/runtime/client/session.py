"""Connections to the API server, over kr8s.

kr8s gives configuration, TLS and URLs through its documented `Api.call_api`. It answers a 401 or 403 by closing the
session of everybody else, knows no deadline, and raises errors of several shapes; so it never sees an error status here
(`raise_for_status=False`), each call brings its deadline and its own `Authorization` header, and what goes wrong below
comes out as `RequestTimeout` or `ConnectionFailed`.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any, cast

import anyio
import httpx
from kr8s import APITimeoutError
from kr8s._api import Api
from kr8s._auth import KubeAuth

from aimd.runtime.client.credentials import TokenSource
from aimd.runtime.client.wire import Answer, Call, WatchStream
from aimd.runtime.errors import ConnectionFailed, RequestTimeout, connection_reason

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")

Counter = Callable[[str, str, str], None]
"""(code, method, host), once for each request; the code is `<error>` when no answer came."""


@dataclass(frozen=True)
class Timeouts:
    """Seconds until a connection stands, and until a whole request is answered."""

    connect: float
    request: float


class _Api(Api):
    """kr8s's `Api` with an httpx session of our making: pool limits, no proxy for loopback, no token inside.

    `_create_session` is the one private method of kr8s that we override (a unit test pins it).
    """

    def __init__(self, auth: KubeAuth, tls: Any, user_agent: str, connections: int | None) -> None:
        super().__init__(bypass_factory=True)
        self.auth = auth
        self.tls = tls
        self.user_agent = user_agent
        self.connections = connections

    async def _create_session(self) -> None:
        self._session = httpx.AsyncClient(
            base_url=self.auth.server,
            headers={"User-Agent": self.user_agent},
            verify=self.tls,
            timeout=httpx.Timeout(30.0),
            limits=httpx.Limits(
                max_connections=self.connections, max_keepalive_connections=self.connections, keepalive_expiry=60.0
            ),
            follow_redirects=False,
            proxy=self.auth.proxy,
            trust_env=not _is_loopback(self.auth.server),
        )

    async def aclose(self) -> None:
        """Closes all connections."""
        if self._session is not None:
            await self._session.aclose()


class Session:
    """A pool of connections; unary calls, watches and the lease have one each, so that none waits for another."""

    def __init__(self, api: _Api, timeouts: Timeouts, count: Counter) -> None:
        self._api = api
        self._timeouts = timeouts
        self._count = count
        self._host = httpx.URL(api.auth.server).netloc.decode()

    @property
    def server(self) -> str:
        """Base URL of the API server."""
        return str(self._api.auth.server)

    def sibling(self, connections: int | None, timeouts: Timeouts) -> "Session":
        """Other connections to the same server."""
        api = _Api(self._api.auth, self._api.tls, self._api.user_agent, connections)
        return Session(api, timeouts, self._count)

    async def send(self, call: Call, token: dict[str, str]) -> Answer:
        """One request, once. Raises RequestTimeout or ConnectionFailed; an error status is an answer."""
        limit = self._timeouts
        with _transport_errors(self, call.method), _deadline(limit.request):
            async with self._api.call_api(
                call.method,
                version=call.kind.api_version,
                namespace=call.namespace or None,
                url=call.path,
                raise_for_status=False,
                params=dict(call.params),
                headers={**call.headers(), **token},
                content=call.content(),
                timeout=httpx.Timeout(limit.request, connect=limit.connect),
            ) as response:
                answer = _answer(response, response.content)
        self.count(call.method, str(answer.status))
        return answer

    @asynccontextmanager
    async def stream(self, call: Call, token: dict[str, str], idle: float) -> AsyncIterator[WatchStream | Answer]:
        """A watch, or the answer that refuses it. Silence for `idle` seconds raises RequestTimeout."""
        connect = self._timeouts.connect
        with _transport_errors(self, call.method):
            async with self._api.call_api(
                call.method,
                version=call.kind.api_version,
                namespace=call.namespace or None,
                url=call.path,
                raise_for_status=False,
                stream=True,
                params=dict(call.params),
                headers={"Accept-Encoding": "identity", **call.headers(), **token},
                timeout=httpx.Timeout(connect, read=idle),
            ) as response:
                self.count(call.method, str(response.status_code))
                if response.is_error:
                    yield _answer(response, await response.aread())
                else:
                    async with aclosing(cast(AsyncGenerator[bytes, None], response.aiter_raw())) as chunks:
                        yield WatchStream(chunks)

    def count(self, method: str, code: str) -> None:
        """Counts a request."""
        self._count(code, method, self._host)

    async def aclose(self) -> None:
        """Closes all connections."""
        with anyio.CancelScope(shield=True):
            await self._api.aclose()


@contextmanager
def _transport_errors(session: Session, method: str) -> Iterator[None]:
    """Turns what httpx and kr8s raise when there is no answer into our errors, and counts it."""
    try:
        yield
    except (httpx.TimeoutException, APITimeoutError) as error:
        session.count(method, "<error>")
        raise RequestTimeout(f"{session.server} did not answer in time") from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        session.count(method, "<error>")
        text, reason = str(error) or type(error).__name__, connection_reason(error)
        raise ConnectionFailed(f"no answer from {session.server}: {text}", reason=reason) from error


@contextmanager
def _deadline(seconds: float) -> Iterator[None]:
    """For the whole exchange: httpx's own timeouts start anew with each piece that arrives."""
    with anyio.move_on_after(seconds) as scope:
        yield
    if scope.cancelled_caught:
        raise httpx.ReadTimeout("deadline")


async def open_session(
    kubeconfig: Path | None,
    context: str | None,
    service_account: Path,
    user_agent: str,
    connections: int,
    timeouts: Timeouts,
    count: Counter,
) -> tuple[Session, TokenSource]:
    """Reads the configuration; opens no connection yet. Raises ConnectionFailed when there is none that works."""
    auth = KubeAuth(
        kubeconfig=str(kubeconfig) if kubeconfig else None, context=context, serviceaccount=str(service_account)
    )
    try:
        await auth
        tls = await auth.ssl_context()  # type: ignore[no-untyped-call]
    except (ValueError, KeyError, OSError) as error:
        raise ConnectionFailed(f"no usable Kubernetes configuration: {error}") from error
    finally:
        _remove_inline_files(auth)

    async def reload() -> str | None:
        try:
            await auth.reauthenticate()
        finally:
            _remove_inline_files(auth)
        return auth.token

    tokens = TokenSource(auth.token, reload, _token_file(auth, service_account))
    return Session(_Api(auth, tls, user_agent, connections), timeouts, count), tokens


def _token_file(auth: KubeAuth, service_account: Path) -> Path | None:
    """The file that holds the token: of the kubeconfig's user, or of the pod's service account."""
    if named := auth._user.get("tokenFile"):
        return Path(named)
    in_cluster = str(auth.server_ca_file) == str(service_account / "ca.crt")
    return service_account / "token" if in_cluster else None


def _remove_inline_files(auth: KubeAuth) -> None:
    """kr8s writes key material that stands in the kubeconfig into temporary files and leaves them there."""
    written = (
        ("client-key-data" in auth._user, auth.client_key_file),
        ("client-certificate-data" in auth._user, auth.client_cert_file),
        ("certificate-authority-data" in auth._cluster, auth.server_ca_file),
    )
    for inline, path in written:
        if inline and path:
            Path(str(path)).unlink(missing_ok=True)


def _answer(response: httpx.Response, body: bytes) -> Answer:
    after = response.headers.get("retry-after", "")
    return Answer(
        response.status_code,
        body,
        float(after) if after.isdigit() else None,
        tuple(response.headers.get_list("warning")),
    )


def _is_loopback(server: str) -> bool:
    host = httpx.URL(server).host
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
