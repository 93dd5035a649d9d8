"""What we know of the cluster: objects by key with indexes, shared and read-only, and typed views of them.

Informers and the answers to our own writes both fill a store. The newer resourceVersion wins, so a reconcile reads what
the one before it wrote even while the watch lags behind.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import NamedTuple, TypeAlias, TypeVar

import structlog
from pydantic import BaseModel, ValidationError

from aimd.runtime.kinds import EVENT
from aimd.runtime.membership import Membership
from aimd.runtime.mutation import mutation_detector
from aimd.runtime.objects import (
    Key,
    Kind,
    Manifest,
    copied,
    is_ended,
    is_older,
    key_of,
    metadata_of,
    owners_of,
    resource_version,
    uid_of,
)
from aimd.runtime.trimming import Trimmer
from aimd.runtime.unreadable import UnreadableObjects, reduced, summary_of, validated

IndexFunction: TypeAlias = Callable[[Manifest], Iterable[str]]
"""Return the values under which an object is found; must be a pure function of the object."""
Transform: TypeAlias = Callable[[Manifest], Manifest]
"""Return what to keep of an object.

Must be idempotent, must not modify the parts it keeps, and must keep identity, resourceVersion and managedFields (the
cache trims those itself).
"""
M = TypeVar("M", bound=BaseModel)

_REMEMBERED_DELETIONS = 4096
_PARSED = 8192
_FOREVER = 1 << 63

_log = structlog.get_logger()


class Delta(NamedTuple):
    """A change of one object."""

    before: Manifest | None
    """None for a new object."""
    after: Manifest | None
    """None for a deleted object."""
    initial: bool = False
    """The object is part of an informer's first list."""


Subscriber: TypeAlias = Callable[[Delta], None]
"""Handle a change. Must not block; what it raises is logged."""


class KindNotWatched(LookupError):
    """No informer is declared for the kind; a read from the cache would find nothing without saying so."""


class Store:
    """The objects of one kind, by key and by index.

    Guarantees:
    - An older version never replaces a newer one, whether it comes from an informer or a write.
    - Subscribers see the changes of one object in order and none twice; they may miss states in between. An object that
      was deleted and created again is a deletion and a creation.
    - Indexes follow every change before subscribers are called.
    - A deletion of ours is remembered by UID, so a lagging watch doesn't bring the object back.
    - With several informers, an object stays as long as one of them selects it.

    Assumptions:
    - All calls come from one event loop.

    Caveats:
    - Readers get references, never copies. Don't modify an object; build a new one.
    - There is no order between the changes of different objects.

    Errors:
    - KeyError for an index that isn't declared.
    """

    def __init__(
        self,
        kind: Kind,
        indexes: Mapping[str, IndexFunction] | None = None,
        transform: Transform | None = None,
        *,
        metadata_only: bool = False,
    ) -> None:
        self.kind = kind
        self.synced = False
        """True as soon as every informer has delivered its first list."""
        self.available = True
        """False while the server doesn't serve the kind to us."""
        self.metadata_only = metadata_only
        """Whether objects have only `metadata`."""
        self.unreadable = UnreadableObjects(kind)
        """The objects that could not be handled; they are in the store as Remnants, or do not parse."""
        self._indexes: dict[str, IndexFunction] = {"owner": owners_of, **(indexes or {})}
        self._transforms: list[Transform] = [transform] if transform else []
        self._objects: dict[Key, Manifest] = {}
        self._by_index: dict[str, dict[str, set[Key]]] = {name: {} for name in self._indexes}
        self._places: dict[Key, list[tuple[str, str]]] = {}
        """Index and value of each place where an object is indexed."""
        self._sorted: tuple[Manifest, ...] | None = None
        self._membership = Membership()
        self._deleted: OrderedDict[str, int] = OrderedDict()
        self._subscribers: list[Subscriber] = []
        self._on_availability: list[Callable[[], None]] = []
        self._detector = mutation_detector(kind)

    # Reading

    def __len__(self) -> int:
        return len(self._objects)

    def get(self, key: Key) -> Manifest | None:
        """Return the object, or None."""
        found = self._objects.get(key)
        if self._detector is not None and found is not None:
            self._detector.verify(key, found)
        return found

    def list(self, namespace: str = "") -> Sequence[Manifest]:
        """Return all objects, or those of a namespace, sorted by key."""
        if self._sorted is None:
            self._sorted = tuple(self._objects[key] for key in sorted(self._objects))
        if not namespace:
            return self._sorted
        return tuple(obj for obj in self._sorted if obj["metadata"].get("namespace") == namespace)

    def by_index(self, index: str, value: str) -> Sequence[Manifest]:
        """Return the objects indexed under `value`, sorted by key. Raises KeyError for an undeclared index."""
        keys = self._by_index[index].get(value, ())
        return tuple(self._objects[key] for key in sorted(keys))

    def keys_by_index(self, index: str, value: str) -> Sequence[Key]:
        """Return the keys of the objects indexed under `value`, in no order; cheaper than `by_index`."""
        return tuple(self._by_index[index].get(value, ()))

    # Declaring

    def add_index(self, name: str, function: IndexFunction) -> None:
        """Add an index; objects that are in the store already are indexed, too."""
        self._indexes[name] = function
        self._by_index[name] = {}
        for key, manifest in self._objects.items():
            self._index_by(name, function, key, manifest)

    def add_transform(self, transform: Transform) -> None:
        """Apply `transform` to each object that arrives from now on, after the transforms added before."""
        self._transforms.append(transform)

    def expect(self, informer: Hashable) -> None:
        """Register an informer: the store isn't synced before it has delivered a complete list."""
        self._membership.expect(informer)
        self.synced = False

    def subscribe(self, subscriber: Subscriber) -> None:
        """Call `subscriber` for every change from now on."""
        self._subscribers.append(subscriber)

    def on_availability(self, handler: Callable[[], None]) -> None:
        """Call `handler` whenever `available` changes; a kind that becomes available has its objects by then."""
        self._on_availability.append(handler)

    # Writing: informers, and the answers to our own writes

    def set_available(self, *, available: bool) -> None:
        """Record whether the server serves the kind; call the handlers if that is a change."""
        if available != self.available:
            self.available = available
            for handler in self._on_availability:
                handler()

    def upsert(self, manifest: Manifest, *, informer: Hashable = None, initial: bool = False) -> bool:
        """Store `manifest` if it is newer than the cached copy; return whether it was stored.

        Takes ownership of the argument, which is trimmed in place.
        """
        key, version = key_of(manifest), resource_version(manifest)
        known = self._objects.get(key)
        if informer is not None:
            self._membership.add(informer, key, version)
        if self._deleted and version < self._deleted.get(uid_of(manifest), -1):
            return False
        if known is not None and is_older(manifest, version, known):
            return False
        manifest = reduced(manifest, self._transforms)
        if known is not None:
            self._unindex(key, known)
        self._objects[key] = manifest
        self._index(key, manifest)
        self._sorted = None
        if known is not None and uid_of(known) != uid_of(manifest):
            # Deleted and created again between two events: two changes, or predicates would compare different objects.
            self._notify(Delta(known, None, initial))
            known = None
        self._notify(Delta(known, manifest, initial))
        return True

    def remove(self, manifest: Manifest, *, informer: Hashable = None) -> bool:
        """Remove an object that was deleted, or left the informer's selection; return whether it was removed.

        `manifest` is its last state.
        """
        key, version = key_of(manifest), resource_version(manifest)
        if informer is not None and self._membership.remove(informer, key, version):
            return False
        return self._drop(key, uid_of(manifest), version)

    def forget(self, key: Key, uid: str) -> bool:
        """Remove an object that we deleted; ignore what a lagging watch still reports for this UID."""
        known = self._objects.get(key)
        return self._drop(key, uid or (uid_of(known) if known else ""), _FOREVER)

    def replace(self, manifests: Iterable[Manifest], version: int, *, informer: Hashable, reset: bool = False) -> None:
        """Store a complete list, as of `version`; remove what the informer selected before and did not list.

        Objects that we wrote after the list was made stay. With `reset` the server's versions went back: the list is
        right even where it is older.
        """
        initial = self._membership.is_pending(informer) or not self.synced
        self.begin_list(informer)
        if reset:
            self._deleted.clear()
            self._membership.forget_versions()
        for manifest in manifests:
            key = key_of(manifest)
            known = self._objects.get(key)
            if reset and known is not None and resource_version(known) > version:
                self._drop(key, uid_of(known), -1)
            self.upsert(manifest, informer=informer, initial=initial)
        self.end_list(informer, version, reset=reset)

    def begin_list(self, informer: Hashable) -> None:
        """Start a complete list, which arrives object by object through `upsert`; the old content stays meanwhile."""
        self._membership.begin_list(informer)

    def end_list(self, informer: Hashable, version: int, *, reset: bool = False) -> None:
        """Complete the list at `version`; objects it did not contain have been deleted."""
        missing = self._membership.end_list(informer, version)
        for key in sorted(missing | self._membership.unselected(self._objects)):
            known = self._objects.get(key)
            if known is None or (resource_version(known) > version and not reset):
                continue
            if not self._membership.remove(informer, key):
                self._drop(key, uid_of(known), -1 if reset else version)
        self.synced = self._membership.complete

    # Internals

    def _drop(self, key: Key, uid: str, version: int) -> bool:
        if uid:
            self._deleted[uid] = max(version, self._deleted.get(uid, -1))
            while len(self._deleted) > _REMEMBERED_DELETIONS:
                self._deleted.popitem(last=False)
        known = self._objects.get(key)
        if known is None or (uid and uid_of(known) != uid) or resource_version(known) > version >= 0:
            return False
        del self._objects[key]
        self.unreadable.forget(key)
        self._unindex(key, known)
        self._sorted = None
        self._notify(Delta(known, None))
        return True

    def _index(self, key: Key, manifest: Manifest) -> None:
        if self._detector is not None:
            self._detector.capture(key, manifest)
        self.unreadable.arrived(manifest)
        for name, function in self._indexes.items():
            self._index_by(name, function, key, manifest)

    def _index_by(self, name: str, function: IndexFunction, key: Key, manifest: Manifest) -> None:
        for value in self.unreadable.values(function, manifest):
            self._by_index[name].setdefault(value, set()).add(key)
            self._places.setdefault(key, []).append((name, value))

    def _unindex(self, key: Key, manifest: Manifest) -> None:
        if self._detector is not None:
            self._detector.verify(key, manifest)
        for name, value in self._places.pop(key, ()):
            keys = self._by_index[name].get(value)
            if keys is not None:
                keys.discard(key)
                if not keys:
                    del self._by_index[name][value]

    def _notify(self, delta: Delta) -> None:
        for subscriber in self._subscribers:
            try:
                subscriber(delta)
            except Exception:
                key = key_of(delta.after or delta.before or {})
                _log.exception("subscriber failed", kind=self.kind.name, key=str(key))


class Cache:
    """The stores of all kinds, and typed views of their objects.

    Guarantees:
    - As an observer of the client it holds the answer to a write before the write returns.
    - `parse` validates an object once for each resourceVersion, also one that is invalid.

    Errors:
    - KindNotWatched for a kind without an informer.
    """

    def __init__(self) -> None:
        self._stores: dict[Kind, Store] = {}
        self._parsed: dict[str, dict[type[BaseModel], tuple[str, BaseModel | ValidationError]]] = {}
        self._trimmer = Trimmer()

    def __getitem__(self, kind: Kind) -> Store:
        """Return the store of a kind. Raises KindNotWatched."""
        try:
            return self._stores[kind]
        except KeyError:
            raise KindNotWatched(f"no informer is declared for {kind.api_version} {kind.name}") from None

    def __contains__(self, kind: object) -> bool:
        return kind in self._stores

    @property
    def stores(self) -> Sequence[Store]:
        """Every store, in the order of declaration."""
        return tuple(self._stores.values())

    def add(self, store: Store) -> Store:
        """Add a store, whose objects are trimmed from now on, and return it."""
        store.add_transform(self._trimmer.trim)
        store.subscribe(self._forget_parsed)
        self._stores[store.kind] = store
        return store

    def keep_fields_of(self, manager: str) -> None:
        """Keep the `managedFields` of this field manager's applies; call it before objects arrive."""
        self._trimmer.keep_fields_of(manager)

    def parse(self, model: type[M], manifest: Manifest) -> M:
        """Return the object as a pydantic model. Raises pydantic.ValidationError, for a Remnant too."""
        found = self._parse(model, manifest)
        if isinstance(found, ValidationError):
            raise found.with_traceback(None)
        return found

    def _parse(self, model: type[M], manifest: Manifest) -> M | ValidationError:
        metadata = metadata_of(manifest)
        uid, version = str(metadata.get("uid") or ""), str(metadata.get("resourceVersion") or "")
        known = self._parsed.get(uid, {}).get(model)
        if known is not None and known[0] == version and isinstance(known[1], model | ValidationError):
            return known[1]
        parsed: M | ValidationError = validated(model, manifest)
        if isinstance(parsed, ValidationError):
            self._report(manifest, parsed)
        if uid and version:
            self._parsed.setdefault(uid, {})[model] = (version, parsed)
        while len(self._parsed) > _PARSED:  # Objects that are in no store are parsed as well.
            del self._parsed[next(iter(self._parsed))]
        return parsed

    def _report(self, manifest: Manifest, error: ValidationError) -> None:
        for store in self._stores.values():
            if store.kind.name == manifest.get("kind") and store.get(key_of(manifest)) is manifest:
                store.unreadable.report(manifest, summary_of(error))

    def _forget_parsed(self, delta: Delta) -> None:
        before, after, _ = delta
        if before is not None and (after is None or uid_of(after) != uid_of(before)):
            self._parsed.pop(uid_of(before), None)

    # Observer of the client

    def written(self, kind: Kind, manifest: Manifest) -> None:
        """Store an object that we wrote, as the server returned it; it is gone if that ended its deletion.

        Events are left out: a store of Events would never learn from its watch that one of ours has expired.
        """
        if kind not in self._stores or kind == EVENT:
            return
        if is_ended(manifest):
            self._stores[kind].forget(key_of(manifest), uid_of(manifest))
        else:
            # The store trims what it gets, and the writer still reads the answer.
            self._stores[kind].upsert(copied(manifest))

    def deleted(self, kind: Kind, key: Key, uid: str) -> None:
        """Remove an object that we deleted."""
        if kind in self._stores:
            self._stores[kind].forget(key, uid)
