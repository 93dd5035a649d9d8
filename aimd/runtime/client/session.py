"""Connections to the API server, over kr8s.

kr8s gives configuration, TLS and URLs through its documented `Api.call_api`. It answers a 401 or 403 by closing the
session of everybody else, knows no deadline, and raises errors of several shapes; so it never sees an error status here
(`raise_for_status=False`), each call brings its deadline and its own `Authorization` header, and what goes wrong below
comes out as `RequestTimeout` or `ConnectionFailed`.
"""

import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import anyio
import structlog
from kr8s._api import Api
from kr8s._auth import KubeAuth
from yaml import YAMLError

from aimd.runtime.client.credentials import TokenSource
from aimd.runtime.client.transport import HttpSession, Limits, Response
from aimd.runtime.client.wire import Answer, Call, WatchStream
from aimd.runtime.errors import ConnectionFailed, RequestTimeout
from aimd.runtime.tracing import NoTracer, Tracer

_UNUSABLE = (ValueError, LookupError, TypeError, OSError, RuntimeError, YAMLError)
"""What kr8s raises for a configuration that is not one, or a credential plugin that fails."""
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")

Counter = Callable[[str, str, str, float | None], None]
"""(code, method, host, seconds) of each request; the code is `<error>` when no answer came, watches have no length."""

_log = structlog.get_logger()


@dataclass(frozen=True)
class ClientOptions:
    """Where the API server is and how patient to be; times in seconds.

    Without `kubeconfig`: `KUBECONFIG`, then the user's default file, then the pod's service account. With `dry_run` the
    server checks and answers every write, but stores none.
    """

    kubeconfig: Path | None = None
    context: str | None = None
    user_agent: str = "aimd"
    connect_timeout: float = 5.0
    request_timeout: float = 30.0
    max_concurrent_requests: int = 32
    max_attempts: int = 4
    max_retry_delay: float = 10.0
    metric_prefix: str = "aimd"
    service_account: Path = SERVICE_ACCOUNT
    dry_run: bool = False
    tracer: Tracer = field(default_factory=NoTracer)


class _Api(Api):
    """kr8s's `Api` with a session of our making: over aiohttp, with limits, and with no token inside.

    `_create_session` is the one private method of kr8s that we override (a unit test pins it).
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
        """Closes all connections."""
        if self._session is not None:
            await self._session.aclose()


class Session:
    """A pool of connections; unary calls, watches and the lease have one each, so that none waits for another.

    `host` is host and port of the server, as metrics name it.
    """

    def __init__(self, api: _Api, options: ClientOptions, count: Counter) -> None:
        self._api = api
        self._options = options
        self._count = count
        self.host = urlsplit(api.auth.server).netloc

    @property
    def server(self) -> str:
        """Base URL of the API server."""
        return str(self._api.auth.server)

    def sibling(self, options: ClientOptions, connections: int | None) -> "Session":
        """Other connections to the same server, `connections` at most."""
        api = _Api(self._api.auth, self._api.tls, self._api.user_agent, connections)
        return Session(api, options, self._count)

    async def send(self, call: Call, token: dict[str, str]) -> Answer:
        """One request, once. Raises RequestTimeout or ConnectionFailed; an error status is an answer."""
        limit = Limits(connect=self._options.connect_timeout, total=self._options.request_timeout)
        started = time.monotonic()
        with self._counted_errors(call.method):
            async with self._call_api(call, token, limit, call.content(), stream=False) as response:
                answer = _answer(response)
        self._count(str(answer.status), call.method, self.host, time.monotonic() - started)
        return answer

    @asynccontextmanager
    async def stream(self, call: Call, token: dict[str, str], idle: float) -> AsyncIterator[WatchStream | Answer]:
        """A watch, or the answer that refuses it. Silence for `idle` seconds raises RequestTimeout."""
        limit = Limits(connect=self._options.connect_timeout, read=idle)
        with self._counted_errors(call.method):
            async with self._call_api(call, token, limit, None, stream=True) as response:
                self._count(str(response.status_code), call.method, self.host, None)
                if response.is_error:
                    yield _answer(await response.read())
                else:
                    async with aclosing(response.pieces()) as pieces:
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
        """Closes all connections."""
        with anyio.CancelScope(shield=True):
            await self._api.aclose()


async def open_session(options: ClientOptions, count: Counter) -> tuple[Session, TokenSource]:
    """Reads the configuration; opens no connection yet. Raises ConnectionFailed when there is none that works."""
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


def _answer(response: Response) -> Answer:
    after = response.headers.get("retry-after", "")
    return Answer(
        response.status_code,
        response.content,
        float(after) if after.isdigit() else None,
        tuple(response.headers.getall("warning", ())),
    )
