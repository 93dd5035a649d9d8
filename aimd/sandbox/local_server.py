"""An HTTP(S) server on loopback, in the event loop of the sandbox."""

# tests: tests/integration/test_sandbox_servers.py

import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import anyio
import uvicorn
from starlette.applications import Starlette


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = anyio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the process of the sandbox."""
        yield


@contextlib.asynccontextmanager
async def serve_locally(
    application: Starlette, *, port: int = 0, certificate: Path | None = None, key: Path | None = None
) -> AsyncIterator[int]:
    """Serve on 127.0.0.1 while the context is open, and yield the port: a free one for 0; HTTPS with a certificate.

    On exit, open responses have one second to finish. Raises OSError if the port is in use.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        config = uvicorn.Config(
            application,
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            timeout_graceful_shutdown=1,
            ssl_certfile=certificate,
            ssl_keyfile=key,
        )
        config.load()
        server = _Server(config)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_serve, server, listener)
            try:
                await server.up.wait()
                yield listener.getsockname()[1]
            finally:
                server.should_exit = True


async def _serve(server: _Server, listener: socket.socket) -> None:
    # A cancelled server does not close its connections; `should_exit` makes it stop instead.
    with anyio.CancelScope(shield=True):
        await server.serve(sockets=[listener])
