"""Write the status subresource: only what changed, and only if something changed (OBJ-APL-4)."""

from collections.abc import Mapping
from typing import Any

from aimd.runtime.client import Client
from aimd.runtime.errors import ApiError, Conflict, Invalid, NotFound, WritesSuspended
from aimd.runtime.objects import Kind, Manifest, key_of, metadata_of, uid_of
from aimd.runtime.store import Cache


class StatusWriter:
    """Writes the status of the objects of one controller.

    Guarantees:
    - A status that is as wanted costs no request.
    - Keys that aren't named stay as they are: a JSON merge patch has only the changed ones. Others may write theirs.
    - Conditions are one list, so a patch with conditions requires the resourceVersion they were computed from. If the
      object has changed meanwhile, it is read once more and the patch is made again.
    - A late write never reaches a new object of the same name: the patch has the UID.

    Errors:
    - Conflict if the object changed twice meanwhile; other ApiErrors as they are.
    """

    def __init__(self, client: Client, cache: Cache, field_manager: str) -> None:
        self._client = client
        self._cache = cache
        self._field_manager = field_manager

    async def write(self, kind: Kind, live: Manifest, status: Manifest, reason: str = "status") -> bool:
        """Set the keys of the live object's status to those of `status`; return whether that took a write.

        None removes a key. If the object is gone, or was deleted and created again, nothing is written.
        """
        count = self._client.metrics.count_status_write
        try:
            written = await self._write(kind, live, status, reason)
        except WritesSuspended:
            raise
        except ApiError as error:
            count(kind.name, "conflict" if isinstance(error, Conflict) else "error")
            raise
        count(kind.name, "written" if written else "unchanged")
        return written

    async def _write(self, kind: Kind, live: Manifest, status: Manifest, reason: str) -> bool:
        if not (body := _patch(live, status)):
            return False
        try:
            await self._send(kind, live, body, reason)
        except NotFound:
            return False
        except Conflict:
            return await self._write_again(kind, live, status, reason)
        except Invalid:
            if await self._is_another(kind, live):
                return False
            raise
        return True

    async def _is_another(self, kind: Kind, live: Manifest) -> bool:
        """Return whether the object was deleted and created again; the server takes the UID as a change of it."""
        try:
            return uid_of(await self._client.get(kind, key_of(live))) != uid_of(live)
        except NotFound:
            return True

    async def _write_again(self, kind: Kind, live: Manifest, status: Manifest, reason: str) -> bool:
        try:
            fresh = await self._client.get(kind, key_of(live))
            self._cache.written(kind, fresh)
            if uid_of(fresh) != uid_of(live) or not (body := _patch(fresh, status)):
                return False
            await self._send(kind, fresh, body, reason)
        except NotFound:
            return False
        return True

    async def _send(self, kind: Kind, live: Manifest, body: Manifest, reason: str) -> None:
        await self._client.patch(
            kind, key_of(live), body, reason=reason, subresource="status", field_manager=self._field_manager
        )


def _patch(live: Manifest, status: Manifest) -> Manifest:
    """Return the merge patch that is needed, empty if none is."""
    changes = merge_patch(live.get("status") or {}, status, remove_unnamed=False)
    if not changes:
        return {}
    metadata = {"uid": uid_of(live)} if uid_of(live) else {}
    if "conditions" in changes:
        metadata["resourceVersion"] = str(metadata_of(live).get("resourceVersion") or "")
    return {"metadata": metadata, "status": changes} if metadata else {"status": changes}


def merge_patch(before: Mapping[str, Any], after: Mapping[str, Any], *, remove_unnamed: bool = True) -> Manifest:
    """Return the JSON merge patch (RFC 7386) from `before` to `after`.

    None in `after` removes a key, and so does its absence if `remove_unnamed`; lists are replaced as a whole.
    """
    patch: Manifest = {}
    for name, wanted in after.items():
        known = before.get(name)
        if wanted is None:
            if name in before:
                patch[name] = None
        elif isinstance(wanted, Mapping) and isinstance(known, Mapping):
            if inner := merge_patch(known, wanted):
                patch[name] = inner
        elif name not in before or known != wanted:
            patch[name] = _without_nulls(wanted)
    if remove_unnamed:
        patch.update({name: None for name in before if name not in after})
    return patch


def _without_nulls(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _without_nulls(item) for name, item in value.items() if item is not None}
    return value
