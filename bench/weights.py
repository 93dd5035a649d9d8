"""A hub and an object store with generated weights, limited to a rate in bytes per second, as a process of its own.

    python -m bench.weights 400e6    prints its port, serves until its standard input ends

It answers the requests of `hf download`, S3 clients and curl for a repository, a bucket or a file of `REPOSITORIES`. It
stores only one pattern, which all content repeats and which the kernel sends by itself, so that the server takes little
CPU from the client that is measured. It does not authenticate.
"""

import asyncio
import base64
import contextlib
import hashlib
import os
import random
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

import orjson

from bench.server import served_by

FILE, TREE = "bench/file", "bench/tree"
FILE_BYTES = 8 * 10**9
REPOSITORIES: dict[str, dict[str, int]] = {
    FILE: {"model.safetensors": FILE_BYTES},
    TREE: {f"layers/{number:03d}.safetensors": 10 * 10**6 for number in range(200)},
}
COMMIT = "c" * 40

_PATTERN = 32 * 2**20
_SLICE = 2**20
_SLACK = 0.05  # Seconds of bandwidth that a late wake-up may catch up on.


@contextmanager
def serving_weights(bytes_per_second: float) -> Iterator[str]:
    """Run the server in a process of its own; yield its base URL."""
    with served_by("bench.weights", str(bytes_per_second)) as url:
        yield url


def size_of(repository: str) -> int:
    """Return the bytes of all files of a repository."""
    return sum(REPOSITORIES[repository].values())


@dataclass(frozen=True, slots=True)
class Request:
    """The head of a request; `headers` are by lower-case name, `query` includes blank values."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]

    @classmethod
    def parsed(cls, head: bytes) -> "Request":
        """Return the head of a request, parsed."""
        first, *lines = head.decode("latin-1").strip().split("\r\n")
        method, target, _ = first.split(" ")
        fields = (line.partition(":") for line in lines)
        url = urlsplit(target)
        headers = {name.lower(): value.strip() for name, _, value in fields}
        return cls(method, unquote(url.path), parse_qs(url.query, keep_blank_values=True), headers)


class Line:
    """The bandwidth that all responses share, in bytes per second."""

    def __init__(self, bytes_per_second: float) -> None:
        self._rate = bytes_per_second
        self._free_at = 0.0

    async def pass_through(self, size: int) -> None:
        """Wait until the line has room for this many bytes."""
        now = asyncio.get_running_loop().time()
        self._free_at = max(self._free_at, now - _SLACK) + size / self._rate
        if self._free_at > now:
            await asyncio.sleep(self._free_at - now)


class Weights:
    """The handler of connections."""

    def __init__(self, bytes_per_second: float) -> None:
        self._line = Line(bytes_per_second)
        self._pattern = os.fdopen(os.memfd_create("weights"), "w+b", buffering=0)
        self._pattern.write(pattern())

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection, one after the other."""
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                await self._answer(Request.parsed(await reader.readuntil(b"\r\n\r\n")), writer)
        writer.close()

    async def _answer(self, request: Request, writer: asyncio.StreamWriter) -> None:
        found = _content_of(request.path)
        document = _document(request) if found is None else b""
        if document is None:
            writer.write(_head(404, {"Content-Length": "0"}))
        elif found is None:
            writer.write(_head(200, {"Content-Length": str(len(document)), "Content-Type": "application/json"}))
            writer.write(document)
        else:
            await self._send(request, found, writer)
        await writer.drain()

    async def _send(self, request: Request, size: int, writer: asyncio.StreamWriter) -> None:
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", ""))
        start, last = (int(wanted[1]), int(wanted[2] or size - 1)) if wanted else (0, size - 1)
        headers = {**_identity(size), "Content-Length": str(last + 1 - start)}
        if request.method == "HEAD":
            headers |= _checksum(size)
        if wanted:
            headers["Content-Range"] = f"bytes {start}-{last}/{size}"
        writer.write(_head(206 if wanted else 200, headers))
        if request.method == "HEAD":
            return
        await writer.drain()
        loop = asyncio.get_running_loop()
        while start <= last:
            part = min(_SLICE, last + 1 - start, _PATTERN - start % _PATTERN)
            await self._line.pass_through(part)
            await loop.sendfile(writer.transport, self._pattern, start % _PATTERN, part)
            start += part


@cache
def pattern() -> bytes:
    """Return the pattern that every file repeats."""
    return random.Random("weights").randbytes(_PATTERN)


@cache
def sha256_of(size: int) -> "hashlib._Hash":
    """Return the digest of a file of this size."""
    digest = hashlib.sha256()
    for start in range(0, size, _PATTERN):
        digest.update(memoryview(pattern())[: size - start])
    return digest


def _identity(size: int) -> dict[str, str]:
    """Return the headers with which hub and object store identify a file."""
    digest = sha256_of(size)
    return {
        "ETag": f'"{digest.hexdigest()}"',
        "X-Linked-Etag": f'"{digest.hexdigest()}"',
        "X-Linked-Size": str(size),
        "X-Repo-Commit": COMMIT,
        "Accept-Ranges": "bytes",
    }


def _checksum(size: int) -> dict[str, str]:
    """Return the checksum that an object store reports for HEAD, but not for a range."""
    value = base64.b64encode(sha256_of(size).digest()).decode()
    return {"X-Amz-Checksum-Sha256": value, "X-Amz-Checksum-Type": "FULL_OBJECT"}


def _content_of(path: str) -> int | None:
    """Return the size of the file at `/<repository>/resolve/<revision>/<file>` or `/<repository>/<file>` (bucket)."""
    for repository, files in REPOSITORIES.items():
        _, found, name = path.partition(f"/{repository}/")
        if found:
            return files.get(re.sub(r"^resolve/[^/]+/", "", name))
    return None


def _document(request: Request) -> bytes | None:
    hub = re.fullmatch(r"/api/models/(\w+/\w+)(/revision/\w+|/tree/\w+)?", request.path)
    if hub is not None and hub[1] in REPOSITORIES:
        files = REPOSITORIES[hub[1]].items()
        if (hub[2] or "").startswith("/tree"):
            return orjson.dumps([{"type": "file", "path": path, **_described(size, "oid")} for path, size in files])
        siblings = [{"rfilename": path, **_described(size, "sha256")} for path, size in files]
        return orjson.dumps({"id": hub[1], "modelId": hub[1], "sha": COMMIT, "siblings": siblings})
    if "list-type" in request.query:
        return _listing(request.path.strip("/"), request.query["prefix"][0])
    return None


def _described(size: int, name: str) -> dict[str, Any]:
    digest = sha256_of(size).hexdigest()
    lfs = {name: digest, "size": size, "pointerSize": 135}
    return {"size": size, "blobId": digest[:40], "oid": digest[:40], "lfs": lfs}


def _listing(bucket: str, prefix: str) -> bytes:
    """Return the listing of a bucket, which is the first part of a repository's name."""
    objects = (
        (f"{repository}/{path}".removeprefix(f"{bucket}/"), size)
        for repository, files in REPOSITORIES.items()
        for path, size in files.items()
    )
    contents = "".join(
        f'<Contents><Key>{escape(key)}</Key><Size>{size}</Size><ETag>"{sha256_of(size).hexdigest()}"</ETag></Contents>'
        for key, size in objects
        if key.startswith(prefix)
    )
    return f"<ListBucketResult><IsTruncated>false</IsTruncated>{contents}</ListBucketResult>".encode()


def _head(status: int, headers: dict[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} As Asked", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def _main(bytes_per_second: float) -> None:
    for files in REPOSITORIES.values():
        for size in set(files.values()):
            sha256_of(size)
    weights = Weights(bytes_per_second)
    async with await asyncio.start_server(weights.connected, "127.0.0.1", 0) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.to_thread(sys.stdin.read)
        os._exit(0)  # Clients may keep connections open.


if __name__ == "__main__":
    asyncio.run(_main(float(sys.argv[1])))
