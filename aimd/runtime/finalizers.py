"""Adds and removes one finalizer without touching another's.

Both are JSON patches whose `test` operations name exactly what was read, so a finalizer is never added to an object
that changed its list meanwhile, nor somebody else's removed. When a test fails the object is read once more. Guarantee:
if `add_finalizer` returned, the object outlives its deletion until `remove_finalizer` has run.
"""

from aimd.runtime.client import Client
from aimd.runtime.errors import ApiError, Conflict, Invalid, NotFound
from aimd.runtime.objects import Kind, Manifest, key_of, metadata_of, uid_of


async def add_finalizer(client: Client, kind: Kind, live: Manifest, name: str) -> Manifest:
    """The object with the finalizer. Raises Conflict when it kept changing, NotFound when it is gone."""
    return await _change(client, kind, live, name, present=True) or live


async def remove_finalizer(client: Client, kind: Kind, live: Manifest, name: str) -> Manifest | None:
    """The object without the finalizer, None if it is gone."""
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
                raise NotFound(f"{kind} {key_of(live)} is another object by now", status=404) from error
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
