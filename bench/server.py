"""A fast API server for measuring clients: a process that serves generated objects.

    python -m bench.server pods=10000 aimservices=10000    prints its port, serves until its standard input ends

It lists (as a whole or in pages), watches (with or without initial events, with bookmarks), gets single objects,
answers writes with the unchanged object, serves the discovery documents that kopf reads, and supports metadata-only
forms. Clients control it: `POST /script/modify/<plural>` sends one MODIFIED event for every object to all its watches.
It stores nothing, checks nothing and does not authenticate.
"""

import asyncio
import contextlib
import gc
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs

import orjson

from bench.objects import Encoded, config_map, pod, service

RESOURCES: dict[str, tuple[str, str, Callable[[int], dict[str, Any]]]] = {
    "pods": ("v1", "Pod", pod),
    "configmaps": ("v1", "ConfigMap", config_map),
    "aimservices": ("aim.eai.amd.com/v1alpha1", "AIMService", service),
    # kopf starts only if these exist.
    "namespaces": ("v1", "Namespace", config_map),
    "customresourcedefinitions": ("apiextensions.k8s.io/v1", "CustomResourceDefinition", config_map),
}
_BATCH = 32 * 1024
"""Bytes of a watch that are sent at once; about what a busy API server's writes come to."""
_INITIAL_EVENTS_END = "k8s.io/initial-events-end"


@contextmanager
def serving(**counts: int) -> Iterator[str]:
    """Run a server process with this many objects of each plural; yield its base URL."""
    with served_by("bench.server", *(f"{plural}={count}" for plural, count in counts.items())) as url:
        yield url


@contextmanager
def served_by(module: str, *arguments: str) -> Iterator[str]:
    """Run a module that prints its port as a server process; yield its base URL."""
    command = [sys.executable, "-m", module, *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            port = process.stdout.readline().decode().strip()
            if not port:
                raise RuntimeError(f"{module} did not start")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.stdin.close()


class Collection:
    """All objects of one kind; `version` is the resourceVersion of the last change."""

    def __init__(self, plural: str, count: int) -> None:
        self.plural = plural
        self.api_version, self.kind, generate = RESOURCES[plural]
        self.objects = [Encoded.of(generate(number)) for number in range(count)]
        self.by_name = {encoded.name: number for number, encoded in enumerate(self.objects)}
        self.versions = list(range(1, count + 1))
        self.version = count
        self.watches: set[Watch] = set()

    def encoded(self, number: int, metadata_only: bool) -> bytes:
        """Return one object at its current version."""
        encoded = self.objects[number]
        return (encoded.metadata if metadata_only else encoded.whole).at(self.versions[number])

    def page(self, start: int, limit: int, metadata_only: bool) -> bytes:
        """Return a list, or the part of it from `start`; a `limit` of 0 means all."""
        end = len(self.objects) if limit == 0 else min(start + limit, len(self.objects))
        metadata = {"resourceVersion": str(self.version)} | ({"continue": str(end)} if end < len(self.objects) else {})
        group, kind = ("meta.k8s.io/v1", "PartialObjectMetadata") if metadata_only else (self.api_version, self.kind)
        head = orjson.dumps({"apiVersion": group, "kind": f"{kind}List", "metadata": metadata})
        items = b",".join(self.encoded(number, metadata_only) for number in range(start, end))
        return head[:-1] + b',"items":[' + items + b"]}"

    async def modify_all(self) -> None:
        """Send one MODIFIED event for every object to every watch."""
        for number in range(len(self.objects)):
            self.version += 1
            self.versions[number] = self.version
            for watch in tuple(self.watches):
                watch.add("MODIFIED", self.encoded(number, watch.metadata_only))
            if number % 100 == 99:
                for watch in tuple(self.watches):
                    await watch.drain()
        for watch in tuple(self.watches):
            await watch.flush()


class Watch:
    """One open watch: collects events and sends them in batches, no faster than the client reads."""

    def __init__(self, connection: "Connection", collection: Collection, metadata_only: bool) -> None:
        self._connection = connection
        self._collection = collection
        self.metadata_only = metadata_only
        self._buffer = bytearray()

    def add(self, event: str, encoded: bytes) -> None:
        """Add an event to those to send."""
        self._buffer += b'{"type":"%b","object":%b}\n' % (event.encode(), encoded)

    async def drain(self) -> None:
        """Send full batches."""
        if len(self._buffer) >= _BATCH:
            await self.flush()

    async def flush(self) -> None:
        """Send all events."""
        for start in range(0, len(self._buffer), _BATCH):
            await self._connection.send_chunk(bytes(self._buffer[start : start + _BATCH]))
        self._buffer.clear()

    async def send_everything(self) -> None:
        """Send every object as ADDED, then the bookmark that ends the list."""
        for number in range(len(self._collection.objects)):
            self.add("ADDED", self._collection.encoded(number, self.metadata_only))
            await self.drain()
        self.add_bookmark({_INITIAL_EVENTS_END: "true"})
        await self.flush()

    def add_bookmark(self, annotations: dict[str, str] | None = None) -> None:
        """Add a bookmark at the newest version."""
        metadata = {"resourceVersion": str(self._collection.version)}
        bookmark = {
            "apiVersion": self._collection.api_version,
            "kind": self._collection.kind,
            "metadata": metadata | ({"annotations": annotations} if annotations else {}),
        }
        self.add("BOOKMARK", orjson.dumps(bookmark))


class World:
    """All collections, and the responses."""

    def __init__(self, counts: dict[str, int]) -> None:
        self.collections = {plural: Collection(plural, counts.get(plural, 0)) for plural in RESOURCES}

    def answer(self, path: str) -> bytes | None:
        """Return a document that is neither list nor object; None for an unknown path."""
        match path.strip("/").split("/"):
            case ["version"]:
                return orjson.dumps({"major": "1", "minor": "34", "gitVersion": "v1.34.4"})
            case ["api"]:
                return orjson.dumps({"kind": "APIVersions", "versions": ["v1"]})
            case ["apis"]:
                return self._groups()
            case ["api", version]:
                return self._resources(version)
            case ["apis", group, version]:
                return self._resources(f"{group}/{version}")
        return None

    def _groups(self) -> bytes:
        named = sorted({item.api_version for item in self.collections.values() if "/" in item.api_version})
        versions = [{"groupVersion": name, "version": name.partition("/")[2]} for name in named]
        groups = [
            {"name": version["groupVersion"].partition("/")[0], "versions": [version], "preferredVersion": version}
            for version in versions
        ]
        return orjson.dumps({"kind": "APIGroupList", "groups": groups})

    def _resources(self, api_version: str) -> bytes:
        verbs = ["get", "list", "watch", "patch", "create", "update", "delete"]
        resources = [
            {"name": plural, "singularName": item.kind.lower(), "kind": item.kind, "namespaced": True, "verbs": verbs}
            for plural, item in self.collections.items()
            if item.api_version == api_version
        ]
        return orjson.dumps({"kind": "APIResourceList", "groupVersion": api_version, "resources": resources})


class Connection(asyncio.Protocol):
    """One HTTP/1.1 connection with one request after the other."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._buffer = b""
        self._writable = asyncio.Event()
        self._writable.set()
        self._watch: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """End the watch of the connection."""
        self._writable.set()
        if self._watch is not None:
            self._watch.cancel()

    def pause_writing(self) -> None:
        """Stop sending: the client is slow."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Send again."""
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        """Answer every request that is complete."""
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            request, *fields = self._buffer[:end].decode("latin-1").split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
            length = int(headers.get("content-length", "0"))
            if len(self._buffer) < end + 4 + length:
                return
            self._buffer = self._buffer[end + 4 + length :]
            method, target, _ = request.split(" ", 2)
            self._dispatch(method, target, headers)

    async def send_chunk(self, data: bytes) -> None:
        """Send a piece of a chunked body once the client has room for it."""
        await self._writable.wait()
        self._transport.write(b"%x\r\n%b\r\n" % (len(data), data))

    def _dispatch(self, method: str, target: str, headers: dict[str, str]) -> None:
        path, _, query = target.partition("?")
        parameters = {name: values[-1] for name, values in parse_qs(query).items()}
        parts = path.strip("/").split("/")
        if parts[:2] == ["script", "modify"]:
            self._keep(asyncio.ensure_future(self._modify(self._world.collections[parts[2]])))
            return
        if (document := self._world.answer(path)) is not None:
            self._send(200, document)
            return
        metadata_only = "PartialObjectMetadata" in headers.get("accept", "")
        if (collection := self._world.collections.get(parts[-1])) is not None:
            if parameters.get("watch") == "true":
                self._keep(asyncio.ensure_future(self._stream(collection, parameters, metadata_only)))
                return
            start, limit = int(parameters.get("continue", "0")), int(parameters.get("limit", "0"))
            self._send(200, collection.page(start, limit, metadata_only))
            return
        collection = self._world.collections.get(parts[-2]) if len(parts) > 2 else None
        number = collection.by_name.get(parts[-1]) if collection is not None else None
        if collection is None or number is None:
            self._send(404, b'{"kind":"Status","status":"Failure","reason":"NotFound","code":404,"message":"no"}')
            return
        self._send(200, collection.encoded(number, metadata_only))

    def _keep(self, task: "asyncio.Task[None]") -> None:
        self._watch = task

    def _send(self, status: int, body: bytes) -> None:
        head = f"HTTP/1.1 {status} OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self._transport.write(head.encode() + body)

    async def _modify(self, collection: Collection) -> None:
        await collection.modify_all()
        self._send(200, b'{"resourceVersion":"%d"}' % collection.version)

    async def _stream(self, collection: Collection, parameters: dict[str, str], metadata_only: bool) -> None:
        self._transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        watch = Watch(self, collection, metadata_only)
        if parameters.get("sendInitialEvents") == "true":
            await watch.send_everything()
        collection.watches.add(watch)
        try:
            while True:
                await asyncio.sleep(30)
                watch.add_bookmark()
                await watch.flush()
        finally:
            collection.watches.discard(watch)


async def serve(counts: dict[str, int]) -> None:
    """Print the port, then serve until standard input ends."""
    world = World(counts)
    gc.collect()
    gc.freeze()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(world), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    ended = asyncio.Event()
    loop.add_reader(sys.stdin, ended.set)
    await ended.wait()
    server.close()


def main(arguments: Sequence[str]) -> None:
    """Serve; `arguments` are `plural=count`."""
    counts = {plural: int(count) for plural, _, count in (argument.partition("=") for argument in arguments)}
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(counts))


if __name__ == "__main__":
    main(sys.argv[1:])
