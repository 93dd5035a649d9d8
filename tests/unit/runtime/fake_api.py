"""An API server in memory, with the methods of the client: versions, conflicts, patches, watches, faults on demand."""

import copy
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import anyio

from aimd.runtime.client import Client, ClientOptions, Page, Patch, Selection, WatchEvent, WriteObserver
from aimd.runtime.errors import AlreadyExists, ApiError, Conflict, Invalid, NotFound
from aimd.runtime.metrics import ClientMetrics
from aimd.runtime.objects import Key, Kind, Manifest, key_of


class FakeApi:
    """Objects by kind and key; `requests` are what arrived, `faults` what the next requests raise (None: nothing)."""

    def __init__(self) -> None:
        self.objects: dict[tuple[Kind, Key], Manifest] = {}
        self.requests: list[tuple[str, str]] = []
        self.bodies: list[Any] = []
        self.faults: list[ApiError | None] = []
        self.metrics = ClientMetrics("test")
        self.options = ClientOptions()
        self.observers: list[WriteObserver] = []
        self.fence: Callable[[], bool] = lambda: True
        self.latency = 0.0
        self.webhook: Callable[[Manifest], Manifest] = lambda manifest: manifest
        self._version = 1
        self._changed = anyio.Event()

    @property
    def client(self) -> Client:
        return cast(Client, self)

    def put(self, kind: Kind, manifest: Manifest) -> Manifest:
        """Store an object as another writer would, and return it."""
        self._version += 1
        stored = copy.deepcopy(manifest)
        metadata = stored.setdefault("metadata", {})
        metadata.setdefault("uid", f"uid-{self._version}")
        metadata["resourceVersion"] = str(self._version)
        self.objects[kind, key_of(stored)] = stored
        self._changed.set()
        self._changed = anyio.Event()
        return copy.deepcopy(stored)

    async def get(self, kind: Kind, key: Key) -> Manifest:
        await self._arrive("get", kind, None)
        return copy.deepcopy(self._known(kind, key))

    async def create(self, kind: Kind, manifest: Manifest, *, reason: str, field_manager: str = "") -> Manifest:
        await self._arrive("create", kind, manifest)
        if (kind, key_of(manifest)) in self.objects:
            raise AlreadyExists("exists", status=409)
        return self.put(kind, manifest)

    async def replace(self, kind: Kind, manifest: Manifest, *, reason: str, subresource: str = "") -> Manifest:
        await self._arrive("update", kind, manifest)
        known = self._known(kind, key_of(manifest))
        if known["metadata"]["resourceVersion"] != manifest["metadata"].get("resourceVersion"):
            raise Conflict("changed", status=409)
        return self.put(kind, manifest)

    async def patch(
        self, kind: Kind, key: Key, body: Patch, *, reason: str, subresource: str = "", field_manager: str = ""
    ) -> Manifest:
        await self._arrive("patch", kind, body)
        known = self._known(kind, key)
        if isinstance(body, list):
            return self.put(kind, json_patched(known, body))
        metadata = body.get("metadata") or {}
        if (
            metadata.get("resourceVersion", known["metadata"]["resourceVersion"])
            != known["metadata"]["resourceVersion"]
        ):
            raise Conflict("changed", status=409)
        if metadata.get("uid", known["metadata"]["uid"]) != known["metadata"]["uid"]:
            raise Invalid("metadata.uid: field is immutable", status=422)
        return self.put(kind, merge_patched(known, body))

    async def apply(self, kind: Kind, manifest: Manifest, *, field_manager: str, reason: str) -> Manifest:
        """Merge maps, replace lists, and record our fields; then `webhook` may change the object."""
        await self._arrive("apply", kind, manifest)
        known = self.objects.get((kind, key_of(manifest)))
        required = manifest["metadata"].get("resourceVersion")
        if required and known is not None and known["metadata"]["resourceVersion"] != required:
            raise Conflict("changed", status=409)
        wanted = {**manifest, "metadata": {**manifest["metadata"]}}
        wanted["metadata"].pop("resourceVersion", None)
        entry = {"manager": field_manager, "operation": "Apply", "fieldsV1": field_tree(wanted)}
        merged = self.webhook(merge_patched(known or {}, wanted))
        merged["metadata"]["managedFields"] = [entry]
        stored = copy.deepcopy(known) if merged == known else self.put(kind, merged)
        for observer in self.observers:
            observer.written(kind, stored)
        return stored

    async def delete(self, kind: Kind, key: Key, *, reason: str, uid: str = "") -> None:
        await self._arrive("delete", kind, None)
        if self._known(kind, key)["metadata"]["uid"] != uid and uid:
            raise Conflict("another object", status=409)
        del self.objects[kind, key]

    async def list_page(self, selection: Selection, *, continue_token: str = "") -> Page:
        await self._arrive("list", selection.kind, None)
        items = [copy.deepcopy(stored) for (kind, _), stored in self.objects.items() if kind == selection.kind]
        return Page(items, str(max(self._version, 1)), "")

    @asynccontextmanager
    async def separate(self, request_timeout: float) -> AsyncIterator["FakeApi"]:
        yield self

    @asynccontextmanager
    async def watch(self, selection: Selection, version: str) -> AsyncIterator[AsyncIterator[list[WatchEvent]]]:
        await self._arrive("watch", selection.kind, None)
        if not version:
            raise ApiError("lists are not streamed", status=400)
        yield self._stream(selection, int(version))

    async def _stream(self, selection: Selection, version: int) -> AsyncIterator[list[WatchEvent]]:
        while True:
            changed = self._changed
            for (kind, _), stored in list(self.objects.items()):
                at = int(stored["metadata"]["resourceVersion"])
                if kind == selection.kind and at > version:
                    version = at
                    yield [WatchEvent("MODIFIED", copy.deepcopy(stored))]
            await changed.wait()

    def _known(self, kind: Kind, key: Key) -> Manifest:
        if (kind, key) not in self.objects:
            raise NotFound("no such object", status=404)
        return self.objects[kind, key]

    async def _arrive(self, verb: str, kind: Kind, body: Any) -> None:
        await anyio.sleep(self.latency)
        self.requests.append((verb, kind.name))
        if body is not None:
            self.bodies.append(copy.deepcopy(body))
        if self.faults and (fault := self.faults.pop(0)) is not None:
            raise fault


def merge_patched(target: Any, patch: Any) -> Any:
    """Apply a JSON merge patch (RFC 7386)."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merge_patched(result.get(name), value)
    return result


def field_tree(value: Any, *, top: bool = True) -> Manifest:
    """Return the `fieldsV1` of an apply: maps are merged field by field, everything else is atomic."""
    if not isinstance(value, dict):
        return {}
    unowned = {"apiVersion", "kind"} if top else {"name", "namespace", "uid"}
    return {f"f:{name}": field_tree(item, top=False) for name, item in value.items() if name not in unowned}


def json_patched(manifest: Manifest, operations: list[Manifest]) -> Manifest:
    """Apply a JSON patch (RFC 6902) of test, add and remove operations. Raises Invalid if a test fails."""
    result = copy.deepcopy(manifest)
    for operation in operations:
        *path, last = operation["path"].split("/")[1:]
        parent: Any = result
        for name in path:
            parent = parent[int(name)] if isinstance(parent, list) else parent.setdefault(name, {})
        if operation["op"] == "test":
            try:
                found = parent[int(last)] if isinstance(parent, list) else parent.get(last)
            except IndexError:
                found = None
            if found != operation["value"]:
                raise Invalid("the server rejected our request due to an error in our request", status=422)
        elif operation["op"] == "remove":
            del parent[int(last) if isinstance(parent, list) else last]
        elif isinstance(parent, list):
            parent.insert(len(parent) if last == "-" else int(last), operation["value"])
        else:
            parent[last] = operation["value"]
    return result
