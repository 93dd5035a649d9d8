"""Write the objects of a plan: server-side apply, forced, and only where it would change something."""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson
import structlog

from aimd.runtime.client import Client
from aimd.runtime.difference import Difference, differences, owned_fields, prune
from aimd.runtime.errors import (
    ApiError,
    Conflict,
    Invalid,
    NameTaken,
    NotFound,
    WritesSuspended,
    failure_of,
    refusal_of,
)
from aimd.runtime.objects import Applied, Deletion, Desired, Failure, Key, Kind, Manifest, metadata_of, uid_of
from aimd.runtime.ownership import Owner, holder_of, is_foreign, is_going
from aimd.runtime.store import Cache

_ATTEMPTS = 3
_REFUSAL_SECONDS = 300.0
_MEMORY = 16384
_UNCHANGED = "unchanged"
_NO_OBJECT = "1"
"""The resourceVersion at which an object is created: no object has it, so the server refuses if there is one."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Memory:
    """What this process knows about an object. Only an optimization: losing it costs one request."""

    rendered: str = ""
    """Digest of what was applied last."""
    tolerated: str = ""
    """Digest of the differences that remained after a forced apply."""
    refused: str = ""
    """Digest of a rendering, and the version of the object, that the server called invalid."""
    until: float = 0.0
    """When a refused rendering is sent again, by our clock; before that `error` is raised."""
    error: Invalid | None = None


class Applier:
    """Applies and deletes objects as one field manager (OBJ-APL-1).

    Expected flow:
    - A reconcile calls `apply` with everything that must exist, and what must not.

    Guarantees:
    - An object is written only if it is missing, if the cached one differs from what is rendered, or if we rendered it
      differently before. Fields that are no longer rendered are removed.
    - An existing object is written at the resourceVersion that the decision is based on. An outdated decision, also by
      a paused process that lost its lease, gets a 409 and is made again (OBJ-APL-2).
    - An object that belongs to somebody else is neither written nor deleted (OBJ-OWN-1). That holds for one that was
      created after the look at the cache, and for one that no informer selects: what is created must not exist yet.
    - The response is in the cache before `apply` returns.
    - If an object still differs after a forced apply, a webhook or default has changed it: that is logged once, and
      the object is left alone until either side changes.
    - A rendering that the server called invalid is sent again after 5 minutes, or when either side changes.

    Caveats:
    - An object that is being deleted is left alone; its end wakes the owner, which creates a new one.

    Errors:
    - WritesSuspended; other ApiErrors are returned as failures of their object.
    """

    def __init__(
        self, client: Client, cache: Cache, field_manager: str, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._client = client
        self._cache = cache
        self._manager = field_manager
        self._clock = clock
        self._memory: OrderedDict[str, _Memory] = OrderedDict()
        cache.keep_fields_of(field_manager)

    async def apply(
        self, desired: Sequence[Desired], deletions: Sequence[Deletion] = (), owner: Owner | None = None
    ) -> Applied:
        """Delete, then apply, in the given order, and continue after failures. Raises only WritesSuspended.

        Existing objects of others than `owner` are left alone; without an owner, all objects are the caller's.
        """
        written = 0
        failures: list[tuple[Kind, Key, Failure]] = []
        items: list[Deletion | Desired] = [*deletions, *desired]
        for item in items:
            try:
                written += await (self._delete(item, owner) if isinstance(item, Deletion) else self._apply(item, owner))
            except WritesSuspended:
                raise
            except ApiError as error:
                _log.debug("write failed", kind=item.kind.name, key=str(item.key), error=str(error))
                failures.append((item.kind, item.key, failure_of(error)))
        return Applied(written, tuple(failures))

    async def _delete(self, deletion: Deletion, owner: Owner | None) -> bool:
        if deletion.kind in self._cache and self._cache[deletion.kind].synced:
            known = self._cache[deletion.kind].get(deletion.key)
            if known is None or uid_of(known) != deletion.uid or metadata_of(known).get("deletionTimestamp"):
                return False
            if owner is not None:
                holder = replace(owner, uid=deletion.controller, marks={}) if deletion.controller else owner
                if is_foreign(known, holder, shared=deletion.shared):
                    _log.warning("object of another owner not deleted", kind=deletion.kind.name, key=str(deletion.key))
                    return False
        try:
            await self._client.delete(deletion.kind, deletion.key, reason=deletion.reason, uid=deletion.uid)
        except NotFound:
            self._cache.deleted(deletion.kind, deletion.key, deletion.uid)
            return False
        except Conflict:
            return False  # It was deleted and created again.
        return True

    async def _apply(self, desired: Desired, owner: Owner | None) -> bool:
        """Apply an object, and count the result; return whether it was changed."""
        try:
            result = await self._converge(desired, owner)
        except WritesSuspended:
            raise
        except ApiError as error:
            self._client.metrics.count_apply(desired.kind.name, refusal_of(error))
            raise
        self._client.metrics.count_apply(desired.kind.name, result)
        return result != _UNCHANGED

    async def _converge(self, desired: Desired, owner: Owner | None) -> str:
        rendered = prune(desired.manifest)
        digest = _digest(rendered)
        live = await self._live(desired, owner)
        for attempt in range(_ATTEMPTS):
            if live is not None:
                if owner is not None and is_foreign(live, owner, shared=desired.shared):
                    return _left_alone(live, owner)
                if desired.once or self._is_as_wanted(desired, rendered, digest, live):
                    return _UNCHANGED
            try:
                changed = await self._send(desired, rendered, digest, live)
            except Conflict:
                if attempt == _ATTEMPTS - 1:
                    raise
                live = await self._read(desired, owner)
            else:
                return ("created" if live is None else "updated") if changed else _UNCHANGED
        return _UNCHANGED

    async def _live(self, desired: Desired, owner: Owner | None) -> Manifest | None:
        """Return the cached object; read it from the server if the cache doesn't have all of it."""
        if desired.kind in self._cache:
            store = self._cache[desired.kind]
            known = store.get(desired.key)
            if not store.metadata_only and (known is not None or store.synced):
                return known
        return await self._read(desired, owner)

    async def _read(self, desired: Desired, owner: Owner | None) -> Manifest | None:
        try:
            live = await self._client.get(desired.kind, desired.key)
        except NotFound:
            return None
        if owner is None or not is_foreign(live, owner, shared=desired.shared):
            # An object of others may be one that no informer selects, and then its end would never be seen.
            self._cache.written(desired.kind, live)
        return live

    def _is_as_wanted(self, desired: Desired, rendered: Manifest, digest: str, live: Manifest) -> bool:
        if metadata_of(live).get("deletionTimestamp"):
            return True
        memory = self._memory.get(uid_of(live))
        if memory is not None and memory.rendered not in ("", digest):
            return False
        found = self._differences(desired, rendered, live)
        if not found:
            self._remember(uid_of(live), _Memory(digest))
            return True
        return memory is not None and memory.tolerated == _fingerprint(found)

    def _differences(self, desired: Desired, rendered: Manifest, live: Manifest) -> list[Difference]:
        return differences(rendered, live, owned_fields(live, self._manager), desired.filled)

    async def _send(self, desired: Desired, rendered: Manifest, digest: str, live: Manifest | None) -> bool:
        memory = self._memory.get(uid_of(live), _Memory()) if live else _Memory()
        asked = f"{digest}@{_version(live)}" if live else ""
        if memory.error is not None and memory.refused == asked and self._clock() < memory.until:
            raise memory.error.with_traceback(None)
        try:
            stored = await self._request(desired, rendered, live)
        except Invalid as error:
            if live is not None:
                until = self._clock() + _REFUSAL_SECONDS
                self._remember(uid_of(live), replace(memory, refused=asked, until=until, error=error))
            raise
        changed = live is None or _version(live) != _version(stored)
        # If the server changed nothing, the differences that we saw are none to it.
        left = self._differences(desired, rendered, stored if changed or live is None else live)
        self._tolerate(desired, digest, stored, left)
        return changed

    async def _request(self, desired: Desired, rendered: Manifest, live: Manifest | None) -> Manifest:
        """Apply; once more without what we empty, if the server made null of that (`_without_emptied`)."""
        without = _without_emptied(rendered, live)
        try:
            stored = await self._apply_at(desired, rendered, live)
        except Invalid:
            if without == rendered:
                raise
            return await self._apply_at(desired, without, live)
        return await self._apply_at(desired, without, stored) if _is_nulled(rendered, stored) else stored

    async def _apply_at(self, desired: Desired, manifest: Manifest, live: Manifest | None) -> Manifest:
        guard = _version(live) if live else _NO_OBJECT
        body = {**manifest, "metadata": {**manifest["metadata"], "resourceVersion": guard}}
        return await self._client.apply(desired.kind, body, field_manager=self._manager, reason=desired.reason)

    def _tolerate(self, desired: Desired, digest: str, stored: Manifest, left: Sequence[Difference]) -> None:
        tolerated = _fingerprint(left) if left else ""
        known = self._memory.get(uid_of(stored))
        if left and (known is None or known.tolerated != tolerated):
            _log.warning(
                "applied object still differs; a webhook or default may have changed it",
                kind=desired.kind.name,
                key=str(desired.key),
                fields=[f"{item.path or 'object'}: {item.what}" for item in left[:10]],
            )
        self._remember(uid_of(stored), _Memory(digest, tolerated))

    def _remember(self, uid: str, memory: _Memory) -> None:
        self._memory[uid] = memory
        self._memory.move_to_end(uid)
        while len(self._memory) > _MEMORY:
            self._memory.popitem(last=False)


def _without_emptied(rendered: Any, live: Any) -> Any:
    """Return the rendering without maps and lists that are empty in it and not empty in the live object.

    The server's merge turns a map or list that we empty into null, which schemas of custom resources refuse and fields
    without a schema keep. Leaving it out empties it, too.
    """
    if not isinstance(rendered, Mapping) or not isinstance(live, Mapping):
        return rendered
    kept = {}
    for name, value in rendered.items():
        sent = _without_emptied(value, live.get(name))
        if sent not in ({}, []) or not live.get(name):
            kept[name] = sent
    return kept


def _is_nulled(rendered: Any, stored: Any) -> bool:
    """Return whether the server keeps null where an empty map or list is rendered."""
    if not isinstance(rendered, Mapping):
        return isinstance(rendered, list) and not rendered and stored is None
    if not isinstance(stored, Mapping):
        return stored is None
    return any(_is_nulled(value, stored[name]) for name, value in rendered.items() if name in stored)


def _left_alone(live: Manifest, owner: Owner) -> str:
    """Return the result for an object of somebody else; raise NameTaken unless it goes by itself (OBJ-OWN-1)."""
    if is_going(live, owner):
        return _UNCHANGED
    raise NameTaken(f"an object of this name exists and {holder_of(live)}. Delete it, or use another name")


def _version(manifest: Manifest) -> str:
    return str(metadata_of(manifest).get("resourceVersion") or "")


def _digest(value: Any) -> str:
    encoded = orjson.dumps(value, option=orjson.OPT_SORT_KEYS, default=str)
    return hashlib.blake2b(encoded, digest_size=16).hexdigest()


def _fingerprint(found: Sequence[Difference]) -> str:
    return _digest([[item.path, item.what, item.live] for item in found])
