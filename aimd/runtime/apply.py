"""Brings the objects of a plan to the server: server-side apply, forced, and only where it would change something.

An object is applied when it is missing, when the cached one differs from what is rendered (`difference.py`), or when we
render it differently than this process did last time. The answer goes into the store, so that the next reconcile
reads it. If the answer of a forced apply still differs, a webhook has rewritten it: that is remembered, said once, and
not tried again until either side changes. What is remembered is only an optimization; losing it costs one request.

An existing object is applied with the resourceVersion it was judged by: a decision made on an outdated copy (also by a
leader that was frozen and does not know it has lost the lease) is answered with 409, and judged again (OBJ-APL-2).
"""

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
from aimd.runtime.errors import ApiError, Conflict, Invalid, NotFound, WritesSuspended, failure_of, refusal_of
from aimd.runtime.objects import Applied, Deletion, Desired, Failure, Key, Kind, Manifest, metadata_of, uid_of
from aimd.runtime.store import Cache

_ATTEMPTS = 3
_REFUSAL_SECONDS = 300.0
_MEMORY = 16384
_UNCHANGED = "unchanged"

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Memory:
    """What this process knows of an object: the rendering it applied last, and what came of it.

    `settled` are differences that stayed after a forced apply; `refused` is a rendering, of a certain version of the
    object, that the server called invalid: asking again before `until` would bring the same `error`.
    """

    rendered: str = ""
    settled: str = ""
    refused: str = ""
    until: float = 0.0
    error: Invalid | None = None


class Applier:
    """Applies and deletes as one field manager (OBJ-APL-1)."""

    def __init__(
        self, client: Client, cache: Cache, field_manager: str, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._client = client
        self._cache = cache
        self._manager = field_manager
        self._clock = clock
        self._memory: OrderedDict[str, _Memory] = OrderedDict()
        cache.keep_fields_of(field_manager)

    async def apply(self, desired: Sequence[Desired], deletions: Sequence[Deletion] = ()) -> Applied:
        """Deletes, then applies, in the given order, and goes on after failures.

        Returns how many objects were written and what failed; raises only WritesSuspended.
        """
        written = 0
        failures: list[tuple[Kind, Key, Failure]] = []
        items: list[Deletion | Desired] = [*deletions, *desired]
        for item in items:
            try:
                written += await (self._delete(item) if isinstance(item, Deletion) else self._apply(item))
            except WritesSuspended:
                raise
            except ApiError as error:
                _log.debug("write failed", kind=item.kind.name, key=str(item.key), error=str(error))
                failures.append((item.kind, item.key, failure_of(error)))
        return Applied(written, tuple(failures))

    async def _delete(self, deletion: Deletion) -> bool:
        if deletion.kind in self._cache and self._cache[deletion.kind].synced:
            known = self._cache[deletion.kind].get(deletion.key)
            if known is None or uid_of(known) != deletion.uid or metadata_of(known).get("deletionTimestamp"):
                return False
        try:
            await self._client.delete(deletion.kind, deletion.key, reason=deletion.reason, uid=deletion.uid)
        except NotFound:
            self._cache.deleted(deletion.kind, deletion.key, deletion.uid)
            return False
        except Conflict:
            return False  # The name belongs to another object by now.
        return True

    async def _apply(self, desired: Desired) -> bool:
        """True if a request was sent that changed the object; counts what came of it."""
        try:
            result = await self._bring(desired)
        except WritesSuspended:
            raise
        except ApiError as error:
            self._client.metrics.count_apply(desired.kind.name, refusal_of(error))
            raise
        self._client.metrics.count_apply(desired.kind.name, result)
        return result != _UNCHANGED

    async def _bring(self, desired: Desired) -> str:
        rendered = prune(desired.manifest)
        digest = _digest(rendered)
        live = await self._live(desired)
        for attempt in range(_ATTEMPTS):
            if live is not None and self._is_as_wanted(desired, rendered, digest, live):
                return _UNCHANGED
            try:
                changed = await self._send(desired, rendered, digest, live)
            except Conflict:
                if attempt == _ATTEMPTS - 1:
                    raise
                live = await self._read(desired)
            else:
                return ("created" if live is None else "updated") if changed else _UNCHANGED
        return _UNCHANGED

    async def _live(self, desired: Desired) -> Manifest | None:
        """The object as cached; as the server has it where the cache does not show all of it."""
        if desired.kind in self._cache:
            store = self._cache[desired.kind]
            known = store.get(desired.key)
            if not store.metadata_only and (known is not None or store.synced):
                return known
        return await self._read(desired)

    async def _read(self, desired: Desired) -> Manifest | None:
        try:
            live = await self._client.get(desired.kind, desired.key)
        except NotFound:
            return None
        self._cache.written(desired.kind, live)
        return live

    def _is_as_wanted(self, desired: Desired, rendered: Manifest, digest: str, live: Manifest) -> bool:
        if metadata_of(live).get("deletionTimestamp"):
            return True  # It goes; its end wakes the owner, who makes a new one.
        memory = self._memory.get(uid_of(live))
        if memory is not None and memory.rendered not in ("", digest):
            return False
        found = self._differences(desired, rendered, live)
        if not found:
            self._remember(uid_of(live), _Memory(digest))
            return True
        return memory is not None and memory.settled == _fingerprint(found)

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
        # Where the server changed nothing, what we took for a difference is none to it.
        left = self._differences(desired, rendered, stored if changed or live is None else live)
        self._settle(desired, digest, stored, left)
        return changed

    async def _request(self, desired: Desired, rendered: Manifest, live: Manifest | None) -> Manifest:
        """Applies; a second time without what we empty, where the server made null of that (`_without_emptied`)."""
        without = _without_emptied(rendered, live)
        try:
            stored = await self._apply_at(desired, rendered, live)
        except Invalid:
            if without == rendered:
                raise
            return await self._apply_at(desired, without, live)
        return await self._apply_at(desired, without, stored) if _is_nulled(rendered, stored) else stored

    async def _apply_at(self, desired: Desired, manifest: Manifest, live: Manifest | None) -> Manifest:
        guard = {"resourceVersion": _version(live)} if live else {}
        body = {**manifest, "metadata": {**manifest["metadata"], **guard}}
        return await self._client.apply(desired.kind, body, field_manager=self._manager, reason=desired.reason)

    def _settle(self, desired: Desired, digest: str, stored: Manifest, left: Sequence[Difference]) -> None:
        settled = _fingerprint(left) if left else ""
        known = self._memory.get(uid_of(stored))
        if left and (known is None or known.settled != settled):
            _log.warning(
                "the server keeps an applied object different",
                kind=desired.kind.name,
                key=str(desired.key),
                fields=[f"{item.path or 'object'}: {item.what}" for item in left[:10]],
            )
        self._remember(uid_of(stored), _Memory(digest, settled))

    def _remember(self, uid: str, memory: _Memory) -> None:
        self._memory[uid] = memory
        self._memory.move_to_end(uid)
        while len(self._memory) > _MEMORY:
            self._memory.popitem(last=False)


def _without_emptied(rendered: Any, live: Any) -> Any:
    """The rendering without the maps and lists that it has empty and the live object has not.

    The server's merge turns a map or list that we empty into null, which schemas of custom resources refuse and free
    fields keep; leaving it out empties it as well.
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
    """Whether the server keeps null where an empty map or list is rendered."""
    if not isinstance(rendered, Mapping):
        return isinstance(rendered, list) and not rendered and stored is None
    if not isinstance(stored, Mapping):
        return stored is None
    return any(_is_nulled(value, stored[name]) for name, value in rendered.items() if name in stored)


def _version(manifest: Manifest) -> str:
    return str(metadata_of(manifest).get("resourceVersion") or "")


def _digest(value: Any) -> str:
    encoded = orjson.dumps(value, option=orjson.OPT_SORT_KEYS, default=str)
    return hashlib.blake2b(encoded, digest_size=16).hexdigest()


def _fingerprint(found: Sequence[Difference]) -> str:
    return _digest([[item.path, item.what, item.live] for item in found])
