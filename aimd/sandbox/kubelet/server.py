"""The HTTPS server of the kubelet: container logs, which the API server reads for `kubectl logs`. No authentication."""

import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Protocol

import anyio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from aimd.runtime.objects import Key
from aimd.sandbox.kubelet.status import ContainerStatus, Running, Waiting

_CHUNK = 64 * 1024
_POLL = 0.2


class LoggingContainer(Protocol):
    """A container, as the server sees it."""

    status: ContainerStatus

    def log_file(self, *, previous: bool = False) -> Path | None:
        """Return the file with the output of the current or the previous start, None without one."""


FindContainer = Callable[[Key, str], LoggingContainer | None]


def log_server(find: FindContainer) -> Starlette:
    """Return the ASGI application; `find` returns a container by pod and name."""

    async def logs(request: Request) -> Response:
        pod = Key(request.path_params["namespace"], request.path_params["pod"])
        name = request.path_params["container"]
        container = find(pod, name)
        if container is None:
            return PlainTextResponse(f'container "{name}" in pod "{pod.name}" does not run here', 404)
        options = request.query_params
        previous = options.get("previous") == "true"
        path = container.log_file(previous=previous)
        if path is None:
            return _without_log(pod, container.status, previous=previous)
        start = _start_of_tail(path, int(options["tailLines"])) if "tailLines" in options else 0
        follow = options.get("follow") == "true" and not previous
        number = container.status.restarts

        def running() -> bool:
            return find(pod, name) is container and _runs(container, number)

        return StreamingResponse(_content(path, start, running if follow else None), media_type="text/plain")

    async def health(_: Request) -> Response:
        return PlainTextResponse("ok")

    return Starlette(
        routes=[
            Route("/containerLogs/{namespace}/{pod}/{container}", logs),
            Route("/healthz", health),
        ]
    )


def _without_log(pod: Key, status: ContainerStatus, *, previous: bool) -> Response:
    """Return the response for a container without a log: not started, not restarted, or simulated."""
    if previous:
        return PlainTextResponse(f'previous terminated container "{status.name}" in pod "{pod.name}" not found', 400)
    if isinstance(status.state, Waiting):
        reason = status.state.reason
        text = f'container "{status.name}" in pod "{pod.name}" is waiting to start: {reason}'
        return PlainTextResponse(text, 400)
    return PlainTextResponse("")


def _runs(container: LoggingContainer, number: int) -> bool:
    return isinstance(container.status.state, Running) and container.status.restarts == number


async def _content(path: Path, start: int, running: Callable[[], bool] | None) -> AsyncIterator[bytes]:
    """Yield the file from byte `start`, and, with `running`, what is appended to it while that is true."""
    position = start
    while True:
        more = running is not None and running()
        while chunk := _read(path, position):
            position += len(chunk)
            yield chunk
        if not more:
            return
        await anyio.sleep(_POLL)


def _read(path: Path, position: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(position)
            return file.read(_CHUNK)
    except FileNotFoundError:
        return b""


def _start_of_tail(path: Path, lines: int) -> int:
    """Return the byte at which the last `lines` lines begin."""
    with path.open("rb") as file:
        position = file.seek(0, os.SEEK_END)
        if lines <= 0:
            return position
        missing = lines
        newline_at_end = True
        while position > 0:
            size = min(_CHUNK, position)
            position -= size
            file.seek(position)
            chunk = file.read(size)
            end = len(chunk)
            if newline_at_end and chunk.endswith(b"\n"):
                end -= 1
            newline_at_end = False
            while (found := chunk.rfind(b"\n", 0, end)) >= 0:
                missing -= 1
                if missing == 0:
                    return position + found + 1
                end = found
    return 0
