"""moto's server: the S3 protocol from an implementation that is not ours, behind a proxy that plays faults.

It keeps objects in memory and does not check signatures; what it refuses is what a test asks the proxy to refuse.
"""

import asyncio
import logging
import re
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import botocore.session
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server


@contextmanager
def object_store() -> Iterator[int]:
    """moto on a free port of 127.0.0.1; gives the port."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def s3_client(endpoint: str) -> Any:
    """A client that fills the store."""
    return botocore.session.get_session().create_client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="writer",
        aws_secret_access_key="writer",
    )


@dataclass
class Proxy:
    """Passes requests on to the store; answers to ranges of objects meet the queued faults, one each, in order.

    `bytes_per_second` is shared by all connections; `sent` counts bytes of object content that went to the client.
    """

    upstream: int
    port: int = 0
    faults: list[str] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)
    sent: int = 0
    bytes_per_second: float = 0.0
    _free_at: float = 0.0
    _grown: asyncio.Event = field(default_factory=asyncio.Event)

    async def reached(self, size: float) -> None:
        """Waits until so many bytes of content were sent, half a minute at most."""
        async with asyncio.timeout(30):
            while self.sent < size:
                self._grown = asyncio.Event()
                await self._grown.wait()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            # One request per connection, so that an answer ends with it.
            text = re.sub(r"(?im)^connection:.*\r\n", "", head.decode("latin-1"))
            self.heads.append(text)
            length = re.search(r"(?im)^content-length: (\d+)", text)
            body = await reader.readexactly(int(length.group(1))) if length else b""
            content = text.startswith("GET ") and "X-Amz-Signature" in text.split("\r\n", 1)[0]
            fault = self.faults.pop(0) if content and self.faults else ""
            if fault.isdigit():
                writer.write(f"HTTP/1.1 {fault} No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
                await writer.drain()
                return
            await self._pass_on(text, body, writer, fault if content else "", counted=content)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _pass_on(
        self, text: str, body: bytes, writer: asyncio.StreamWriter, fault: str, *, counted: bool
    ) -> None:
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.upstream)
        try:
            up_writer.write(text.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1).encode("latin-1") + body)
            writer.write(await up_reader.readuntil(b"\r\n\r\n"))
            passed = 0
            while data := await up_reader.read(2**15):
                if fault == "cut" and passed > 2**17:
                    writer.transport.abort()
                    return
                if fault == "swap" and passed == 0:
                    data = bytes([data[0] ^ 0xFF]) + data[1:]
                if fault == "stall" and passed > 2**17:
                    await asyncio.sleep(60)
                await self._pace(len(data))
                writer.write(data)
                await writer.drain()
                passed += len(data)
                self.sent += len(data) if counted else 0
                self._grown.set()
        finally:
            up_writer.close()

    async def _pace(self, size: int) -> None:
        if not self.bytes_per_second:
            return
        now = asyncio.get_running_loop().time()
        self._free_at = max(self._free_at, now) + size / self.bytes_per_second
        await asyncio.sleep(self._free_at - now)


@asynccontextmanager
async def proxy_to(upstream: int) -> AsyncIterator[Proxy]:
    """A proxy on a free port."""
    proxy = Proxy(upstream)
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        await proxy._connected(reader, writer)

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
