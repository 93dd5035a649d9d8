"""A proxy before an image registry that counts requests, and refuses some as a registry with a rate limit does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import httpx


@dataclass
class CountingProxy:
    """Its address, the paths that were requested in order, and the digests that it refuses with status 429."""

    address: str = ""
    requested: list[str] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)

    async def answer(self, registry: httpx.AsyncClient, head: str) -> tuple[int, httpx.Headers, bytes]:
        """Return status, headers and body of the answer to a request."""
        method, path, _ = head.split("\r\n", 1)[0].split(" ")
        self.requested.append(path)
        if any(digest in path for digest in self.refused):
            return 429, httpx.Headers({"Retry-After": "1"}), b""
        names = ("accept", "authorization", "range")
        lines = (line.partition(": ") for line in head.split("\r\n")[1:])
        headers = {name: value for name, _, value in lines if name.lower() in names}
        reply = await registry.request(method, path, headers=headers)
        return reply.status_code, reply.headers, reply.content


@asynccontextmanager
async def counting_proxy(registry: str) -> AsyncIterator[CountingProxy]:
    """Run a proxy before the registry at this host and port, while the block runs."""
    proxy = CountingProxy()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            while head := (await reader.readuntil(b"\r\n\r\n")).decode():
                status, headers, body = await proxy.answer(client, head)
                kept = {name: value for name, value in headers.items() if name.lower() not in ("content-length",)}
                kept["Content-Length"] = (
                    headers.get("content-length", "0") if head.startswith("HEAD") else str(len(body))
                )
                lines = "".join(f"{name}: {value}\r\n" for name, value in kept.items())
                writer.write(f"HTTP/1.1 {status} -\r\n{lines}\r\n".encode() + body)
                await writer.drain()
        writer.close()

    async with httpx.AsyncClient(base_url=f"http://{registry}", trust_env=False) as client:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()
        proxy.address = f"{host}:{port}"
        try:
            yield proxy
        finally:
            server.close()
