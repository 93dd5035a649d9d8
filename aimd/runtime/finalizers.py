"""Add and remove our finalizer.

Expected flow:
- `add_finalizer` before anything is created that has to be cleaned up.
- When the object is being deleted: clean up, then `remove_finalizer`.

Guarantees:
- Once `add_finalizer` has returned, a deleted object exists until `remove_finalizer` has run.
- Finalizers of others are neither removed nor reordered: both functions send JSON patches that test what was read.

Caveats:
- Clean-up must be idempotent: it runs again if removing the finalizer fails.

Errors:
- Conflict if the finalizers changed twice meanwhile; NotFound if the object is gone, or was deleted and created again.
"""

from aimd.runtime.client import Client
from aimd.runtime.errors import ApiError, Conflict, Invalid, NotFound
from aimd.runtime.objects import Kind, Manifest, key_of, metadata_of, uid_of


async def add_finalizer(client: Client, kind: Kind, live: Manifest, name: str) -> Manifest:
    """Add the finalizer if it is missing; return the object with it. Raises Conflict, NotFound."""
    return await _change(client, kind, live, name, present=True) or live


async def remove_finalizer(client: Client, kind: Kind, live: Manifest, name: str) -> Manifest | None:
    """Remove the finalizer if it is there; return the object without it, or None if it is gone. Raises Conflict."""
    try:
        return await _change(client, kind, live, name, present=False)
    except NotFound:
        return None


async def _change(client: Client, kind: Kind, live: Manifest, name: str, *, present: bool) -> Manifest | None:
    for last in (False, True):
        names: list[str] = list(metadata_of(live).get("finalizers") or ())
        if (name in names) is present:
            return live
        body = _operations(live, names, name, present=present)
        try:
            return await client.patch(kind, key_of(live), body, reason="finalizer")
        except (Invalid, Conflict) as error:
            if last:
                raise Conflict(f"finalizers of {kind} {key_of(live)} keep changing", status=409) from error
            fresh = await client.get(kind, key_of(live))
            if uid_of(fresh) != uid_of(live):
                raise NotFound(f"{kind} {key_of(live)} was deleted and created again", status=404) from error
            live = fresh
    raise ApiError("unreachable")


def _operations(live: Manifest, names: list[str], name: str, *, present: bool) -> list[Manifest]:
    same_object = {"op": "test", "path": "/metadata/uid", "value": uid_of(live)}
    if not present:
        path = f"/metadata/finalizers/{names.index(name)}"
        return [same_object, {"op": "test", "path": path, "value": name}, {"op": "remove", "path": path}]
    if not names:
        return [
            same_object,
            {"op": "test", "path": "/metadata/finalizers", "value": None},
            {"op": "add", "path": "/metadata/finalizers", "value": [name]},
        ]
    return [
        same_object,
        {"op": "test", "path": "/metadata/finalizers", "value": names},
        {"op": "add", "path": "/metadata/finalizers/-", "value": name},
    ]
