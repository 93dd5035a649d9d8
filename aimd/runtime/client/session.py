"""Connections to the API server, over kr8s.

kr8s provides configuration, TLS and URLs through its documented `Api.call_api`. It reacts to a 401 or 403 by closing
the session of all requests, has no deadlines, and raises errors of several shapes. So here it never sees an error
status (`raise_for_status=False`), each call has its own deadline and `Authorization` header, and failures below it are
raised as `RequestTimeout` or `ConnectionFailed`.
"""

import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias, cast
from urllib.parse import urlsplit

import anyio
import structlog
from kr8s._api import Api
from kr8s._auth import KubeAuth
from yaml import YAMLError

from aimd.runtime.client.credentials import TokenSource
from aimd.runtime.client.transport import HttpResponse, HttpSession, Limits
from aimd.runtime.client.wire import Call, Response, WatchStream
from aimd.runtime.errors import ConnectionFailed, RequestTimeout
from aimd.runtime.tracing import NoTracer, Tracer

_UNUSABLE = (ValueError, LookupError, TypeError, OSError, RuntimeError, YAMLError)
"""What kr8s raises for an invalid configuration, or a credential plugin that fails."""
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")

Count: TypeAlias = Callable[[str, str, str, float | None], None]
"""Count a request: status code, or `<error>` without a response; method; host; seconds, or None for a watch."""

_log = structlog.get_logger()


@dataclass(frozen=True)
class ClientOptions:
    """Where the API server is, and how to talk to it."""

    kubeconfig: Path | None = None
    """Configuration file. By default `KUBECONFIG`, then the user's default file, then the pod's service account."""
    context: str | None = None
    """Context of the configuration file; by default its current one."""
    user_agent: str = "aimd"
    """Name in the API server's logs, metrics and field managers; set it to the name and version of your operator."""
    connect_timeout: float = 5.0
    """Seconds for establishing a connection."""
    request_timeout: float = 30.0
    """Seconds for a request and its response, watches excepted. Raise it for slow webhooks."""
    max_concurrent_requests: int = 32
    """Requests in flight, watches excepted; others wait. The API server's flow control does the rest."""
    max_attempts: int = 4
    """How often a request is sent that the server didn't process, or that may be repeated; 1 for no retries."""
    max_retry_delay: float = 10.0
    """Seconds. If the server asks to wait longer, the error goes to the caller, which backs off by key."""
    metric_prefix: str = "aimd"
    """Prefix of metrics that controller-runtime doesn't have."""
    service_account: Path = SERVICE_ACCOUNT
    """Folder with the token and CA of a pod's service account; for tests and pods with projected tokens."""
    dry_run: bool = False
    """Have the server check and answer every write, but store none. For previews and permission checks."""
    tracer: Tracer = field(default_factory=NoTracer)
    """Opens a span for each request; none by default."""


class _Api(Api):
    """kr8s's `Api` with a session of our own: over aiohttp, with limits, and without a token.

    `_create_session` is the one private method of kr8s that we override; tests/unit/runtime/client/test_session.py
    fails when it changes.
    """

    def __init__(self, auth: KubeAuth, tls: Any, user_agent: str, connections: int | None) -> None:
        super().__init__(bypass_factory=True)
        self.auth = auth
        self.tls = tls
        self.user_agent = user_agent
        self.connections = connections

    async def _create_session(self) -> None:
        session = HttpSession(
            self.auth.server,
            self.tls,
            user_agent=self.user_agent,
            connections=self.connections,
            proxy=self.auth.proxy,
        )
        self._session = cast(Any, session)

    async def aclose(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.aclose()


class Session:
    """A pool of connections to the API server.

    Requests, watches and leader election have one each, so that none waits for another.

    Errors:
    - RequestTimeout, ConnectionFailed. An error status is a response, not an exception.
    """

    def __init__(self, api: _Api, options: ClientOptions, count: Count) -> None:
        self._api = api
        self._options = options
        self._count = count
        self.host = urlsplit(api.auth.server).netloc
        """Host and port of the server, as metrics name it."""

    @property
    def server(self) -> str:
        """Base URL of the API server."""
        return str(self._api.auth.server)

    def sibling(self, options: ClientOptions, connections: int | None) -> "Session":
        """Return a pool of other connections to the same server, at most `connections`."""
        api = _Api(self._api.auth, self._api.tls, self._api.user_agent, connections)
        return Session(api, options, self._count)

    async def send(self, call: Call, token: dict[str, str]) -> Response:
        """Send a request once and return the response. Raises RequestTimeout, ConnectionFailed."""
        limit = Limits(connect=self._options.connect_timeout, total=self._options.request_timeout)
        started = time.monotonic()
        with self._counted_errors(call.method):
            async with self._call_api(call, token, limit, call.content(), stream=False) as received:
                response = _response(received)
        self._count(str(response.status), call.method, self.host, time.monotonic() - started)
        return response

    @asynccontextmanager
    async def stream(self, call: Call, token: dict[str, str], idle: float) -> AsyncIterator[WatchStream | Response]:
        """Open a watch and yield it, or the response that refuses it.

        Raises RequestTimeout after `idle` seconds of silence, ConnectionFailed if the stream breaks.
        """
        limit = Limits(connect=self._options.connect_timeout, read=idle)
        with self._counted_errors(call.method):
            async with self._call_api(call, token, limit, None, stream=True) as received:
                self._count(str(received.status_code), call.method, self.host, None)
                if received.is_error:
                    yield _response(await received.read())
                else:
                    async with aclosing(received.pieces()) as pieces:
                        yield WatchStream(pieces)

    def _call_api(
        self, call: Call, token: dict[str, str], limit: Limits, content: bytes | None, *, stream: bool
    ) -> AbstractAsyncContextManager[Any]:
        return self._api.call_api(
            call.method,
            version=call.kind.api_version,
            namespace=call.namespace or None,
            url=call.path,
            raise_for_status=False,
            stream=stream,
            params=call.params,
            headers={**call.headers(), **token},
            content=content,
            timeout=limit,
        )

    @contextmanager
    def _counted_errors(self, method: str) -> Iterator[None]:
        try:
            yield
        except (RequestTimeout, ConnectionFailed):
            self._count("<error>", method, self.host, None)
            raise

    async def aclose(self) -> None:
        """Close all connections."""
        with anyio.CancelScope(shield=True):
            await self._api.aclose()


async def open_session(options: ClientOptions, count: Count) -> tuple[Session, TokenSource]:
    """Read the configuration and return the session, which is not connected yet, and the token.

    Raises ConnectionFailed if there is no usable configuration.
    """
    kubeconfig, service_account = options.kubeconfig, options.service_account
    auth = KubeAuth(
        kubeconfig=str(kubeconfig) if kubeconfig else None, context=options.context, serviceaccount=str(service_account)
    )
    try:
        await auth
        tls = await auth.ssl_context()  # type: ignore[no-untyped-call]
    except _UNUSABLE as error:
        raise ConnectionFailed(f"no usable Kubernetes configuration: {error}") from error
    finally:
        _remove_inline_files(auth)

    async def reload() -> str | None:
        known = auth.server, auth.token
        try:
            await auth.reauthenticate()
        except _UNUSABLE as error:
            _log.error("credentials not renewed", error=str(error))
            auth.server, auth.token = known
        finally:
            _remove_inline_files(auth)
        return auth.token

    tokens = TokenSource(auth.token, reload, _token_file(auth, service_account))
    api = _Api(auth, tls, options.user_agent, options.max_concurrent_requests)
    return Session(api, options, count), tokens


def _token_file(auth: KubeAuth, service_account: Path) -> Path | None:
    """Return the file that holds the token: of the kubeconfig's user, or of the pod's service account."""
    if named := auth._user.get("tokenFile"):  # noqa: SLF001  kr8s ignores the file and shows its user nowhere else.
        return Path(named)
    in_cluster = str(auth.server_ca_file) == str(service_account / "ca.crt")
    return service_account / "token" if in_cluster else None


def _remove_inline_files(auth: KubeAuth) -> None:
    """Remove the temporary files that kr8s makes of keys and certificates inside a kubeconfig, and leaves behind."""
    user, cluster = auth._user, auth._cluster  # noqa: SLF001  kr8s shows what it read nowhere else.
    written = (
        ("client-key-data" in user, auth.client_key_file),
        ("client-certificate-data" in user, auth.client_cert_file),
        ("certificate-authority-data" in cluster, auth.server_ca_file),
    )
    for inline, path in written:
        if inline and path:
            Path(str(path)).unlink(missing_ok=True)


def _response(response: HttpResponse) -> Response:
    after = response.headers.get("retry-after", "")
    return Response(
        response.status_code,
        response.content,
        float(after) if after.isdigit() else None,
        tuple(response.headers.getall("warning", ())),
    )
