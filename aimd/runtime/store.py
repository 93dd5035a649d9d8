"""What we know of the cluster: objects by key with indexes, shared and read-only, and typed views of them.

Both the reflector and the answers to our own writes feed a store; the newer resourceVersion wins, so that a
reconcile reads what the one before it wrote even while the watch lags behind. Readers get references, never copies:
whoever wants to change an object builds a new one.

Promises: handlers see the changes of one object in order and none twice; they may miss states in between. An
object that was deleted and created again shows as a change whose UID differs. Nothing is promised across objects.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import orjson
import structlog
from pydantic import BaseModel

from aimd.runtime.kinds import EVENT
from aimd.runtime.mutation import mutation_detector
from aimd.runtime.objects import Key, Kind, Manifest, is_apply, key_of, metadata_of, resource_version, uid_of

IndexFunction = Callable[[Manifest], Iterable[str]]
Transform = Callable[[Manifest], Manifest]
Handler = Callable[[Manifest | None, Manifest | None, bool], None]
"""(before, after, initial): `before` is None for a new object, `after` for a deleted one."""
M = TypeVar("M", bound=BaseModel)

_REMEMBERED_DELETIONS = 4096
_PARSED = 8192
_FOREVER = 1 << 63
_ALIKE = ("labels", "ownerReferences")
"""Parts of the metadata that siblings have in common."""
_PARTS_SHARED = 4096

_log = structlog.get_logger()


class KindNotWatched(LookupError):
    """No informer was declared for this kind; reading it from the cache would silently find nothing."""


def owners_of(manifest: Manifest) -> Iterable[str]:
    """UIDs of all owners: the index `owner`."""
    references = metadata_of(manifest).get("ownerReferences")
    return [str(reference.get("uid")) for reference in references] if references else ()


class Store:
    """The objects of one kind.

    `synced` turns True when all feeds have delivered their first list, and stays so; `available` is False while
    the server does not know the kind. A feed is one reflector (a namespace, a selector); an object stays as long as
    one feed has it.
    """

    def __init__(
        self,
        kind: Kind,
        indexes: Mapping[str, IndexFunction] | None = None,
        transform: Transform | None = None,
        metadata_only: bool = False,
    ) -> None:
        self.kind = kind
        self.synced = False
        self.available = True
        self.metadata_only = metadata_only
        self._indexes: dict[str, IndexFunction] = {"owner": owners_of, **(indexes or {})}
        self._transforms: list[Transform] = [transform] if transform else []
        self._objects: dict[Key, Manifest] = {}
        self._by_index: dict[str, dict[str, set[Key]]] = {name: {} for name in self._indexes}
        self._sorted: tuple[Manifest, ...] | None = None
        self._feeds: dict[Hashable, set[Key]] = {}
        self._listed: dict[Hashable, set[Key]] = {}
        self._awaited: set[Hashable] = set()
        self._seen: dict[Hashable, int] = {}
        self._deleted: OrderedDict[str, int] = OrderedDict()
        self._handlers: list[Handler] = []
        self._on_availability: list[Callable[[], None]] = []
        self._detector = mutation_detector(kind)

    # Reading

    def __len__(self) -> int:
        return len(self._objects)

    def get(self, key: Key) -> Manifest | None:
        """The object, or None."""
        found = self._objects.get(key)
        if self._detector is not None and found is not None:
            self._detector.verify(key, found)
        return found

    def list(self, namespace: str = "") -> Sequence[Manifest]:
        """All objects, or those of a namespace, sorted by key."""
        if self._sorted is None:
            self._sorted = tuple(self._objects[key] for key in sorted(self._objects))
        if not namespace:
            return self._sorted
        return tuple(obj for obj in self._sorted if obj["metadata"].get("namespace") == namespace)

    def by_index(self, index: str, value: str) -> Sequence[Manifest]:
        """Objects for which the index function gave `value`, sorted by key. Raises KeyError for an unknown index."""
        keys = self._by_index[index].get(value, ())
        return tuple(self._objects[key] for key in sorted(keys))

    # Declaring

    def set_available(self, available: bool) -> None:
        """Whether the server serves the kind; tells who asked when that changes."""
        if available != self.available:
            self.available = available
            for handler in self._on_availability:
                handler()

    def on_availability(self, handler: Callable[[], None]) -> None:
        """`handler` is called whenever the kind has come, with its objects, or gone."""
        self._on_availability.append(handler)

    def add_index(self, name: str, function: IndexFunction) -> None:
        """Another index; works before and after objects arrived."""
        self._indexes[name] = function
        index = self._by_index[name] = {}
        for key, manifest in self._objects.items():
            for value in function(manifest):
                index.setdefault(value, set()).add(key)

    def add_transform(self, transform: Transform) -> None:
        """Applied to each object on its way in; must be idempotent, must not change parts that it keeps, and leaves
        identity, resourceVersion and managedFields as they are (the cache trims those itself)."""
        self._transforms.append(transform)

    def expect(self, feed: Hashable) -> None:
        """Declares a feed: the store is not synced before it has delivered a whole list."""
        self._awaited.add(feed)
        self._feeds.setdefault(feed, set())
        self.synced = False

    def subscribe(self, handler: Handler) -> None:
        """Calls `handler` for every change from now on; it must not block."""
        self._handlers.append(handler)

    # Writing: the reflector, and the answers to our own writes

    def upsert(self, manifest: Manifest, *, feed: Hashable = None, initial: bool = False) -> bool:
        """Takes the object over, to keep and to trim, if it is newer than what is known; True if it was."""
        key, version = key_of(manifest), resource_version(manifest)
        known = self._objects.get(key)
        if feed is not None:
            self._count_for(feed, key, version)
        if self._deleted and version < self._deleted.get(uid_of(manifest), -1):
            return False
        if known is not None and _is_older(manifest, version, known):
            return False
        for transform in self._transforms:
            manifest = transform(manifest)
        if known is not None:
            self._unindex(key, known)
        self._objects[key] = manifest
        self._index(key, manifest)
        self._sorted = None
        if known is not None and uid_of(known) != uid_of(manifest):
            # Deleted and made anew while nobody looked: two changes, or predicates would compare strangers.
            self._notify(known, None, initial)
            known = None
        self._notify(known, manifest, initial)
        return True

    def remove(self, manifest: Manifest, *, feed: Hashable = None) -> bool:
        """The object, in its last state, is gone (or has left the feed's selection); True if it was known."""
        key = key_of(manifest)
        if feed is not None:
            self._progress(feed, resource_version(manifest))
            if self._leave(feed, key):
                return False
        return self._drop(key, uid_of(manifest), resource_version(manifest))

    def forget(self, key: Key, uid: str) -> bool:
        """Our own delete of the object succeeded; whatever a lagging watch still says of this UID is ignored."""
        known = self._objects.get(key)
        return self._drop(key, uid or (uid_of(known) if known else ""), _FOREVER)

    def replace(self, manifests: Iterable[Manifest], version: int, *, feed: Hashable, reset: bool = False) -> None:
        """A whole list, as of `version`: takes over what is in it and drops what the feed had and it has not.

        Objects written by ourselves after the list was made stay. `reset`: the server's history began anew (its
        versions went back), so that the list is right even where it is older.
        """
        initial = feed in self._awaited or not self.synced
        self.begin_list(feed)
        if reset:
            self._deleted.clear()
            self._seen.clear()
        for manifest in manifests:
            key = key_of(manifest)
            known = self._objects.get(key)
            if reset and known is not None and resource_version(known) > version:
                self._drop(key, uid_of(known), -1)
            self.upsert(manifest, feed=feed, initial=initial)
        self.end_list(feed, version, reset=reset)

    def begin_list(self, feed: Hashable) -> None:
        """A whole list of the feed is coming, object by object, by `upsert`; what was there stays meanwhile."""
        self._feeds.setdefault(feed, set())
        self._listed[feed] = set()

    def end_list(self, feed: Hashable, version: int, *, reset: bool = False) -> None:
        """The list, as of `version`, is whole: drops what the feed had before and did not list."""
        before, listed = self._feeds[feed], self._listed.pop(feed, set())
        self._feeds[feed] = listed
        self._progress(feed, version)
        for key in sorted((before - listed) | self._orphans()):
            known = self._objects.get(key)
            if known is not None and (reset or resource_version(known) <= version) and not self._leave(feed, key):
                self._drop(key, uid_of(known), -1 if reset else version)
        self._awaited.discard(feed)
        self.synced = not self._awaited

    # Beneath

    def _count_for(self, feed: Hashable, key: Key, version: int) -> None:
        """The feed has the object; a list that is under way counts what it brings, and as of when at its end."""
        listed = self._listed.get(feed)
        if listed is not None:
            listed.add(key)
            return
        self._feeds.setdefault(feed, set()).add(key)
        self._progress(feed, version)

    def _leave(self, feed: Hashable, key: Key) -> bool:
        """Takes the key from the feed; True if another feed still has it."""
        for keys in (self._feeds.setdefault(feed, set()), self._listed.get(feed, set())):
            keys.discard(key)
        return any(key in keys for keys in self._feeds.values())

    def _progress(self, feed: Hashable, version: int) -> None:
        self._seen[feed] = max(version, self._seen.get(feed, 0))

    def _orphans(self) -> set[Key]:
        """Objects that only our own writes put here although every feed should have shown them by now."""
        held = set[Key]().union(*self._feeds.values(), *self._listed.values())
        oldest = min((self._seen.get(feed, 0) for feed in self._feeds), default=0)
        return {key for key, obj in self._objects.items() if key not in held and resource_version(obj) <= oldest}

    def _drop(self, key: Key, uid: str, version: int) -> bool:
        if uid:
            self._deleted[uid] = max(version, self._deleted.get(uid, -1))
            while len(self._deleted) > _REMEMBERED_DELETIONS:
                self._deleted.popitem(last=False)
        known = self._objects.get(key)
        if known is None or (uid and uid_of(known) != uid) or resource_version(known) > version >= 0:
            return False
        del self._objects[key]
        self._unindex(key, known)
        self._sorted = None
        self._notify(known, None, False)
        return True

    def _index(self, key: Key, manifest: Manifest) -> None:
        if self._detector is not None:
            self._detector.capture(key, manifest)
        for name, function in self._indexes.items():
            for value in function(manifest):
                self._by_index[name].setdefault(value, set()).add(key)

    def _unindex(self, key: Key, manifest: Manifest) -> None:
        if self._detector is not None:
            self._detector.verify(key, manifest)
        for name, function in self._indexes.items():
            index = self._by_index[name]
            for value in function(manifest):
                keys = index.get(value)
                if keys is not None:
                    keys.discard(key)
                    if not keys:
                        del index[value]

    def _notify(self, before: Manifest | None, after: Manifest | None, initial: bool) -> None:
        for handler in self._handlers:
            try:
                handler(before, after, initial)
            except Exception:
                _log.exception("a watch handler failed", kind=self.kind.name, key=str(key_of(after or before or {})))


class Cache:
    """All stores, and typed views of their objects. As an observer of the client it learns of our own writes."""

    def __init__(self) -> None:
        self._stores: dict[Kind, Store] = {}
        self._parsed: dict[str, dict[type[BaseModel], tuple[str, BaseModel]]] = {}
        self._managers: set[str] = set()
        self._parts: dict[int, Any] = {}

    def __getitem__(self, kind: Kind) -> Store:
        """The store of a declared kind. Raises KindNotWatched."""
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
        """Adds a store; its objects lose other managers' `managedFields` and share what they have in common."""
        store.add_transform(self._trim)
        store.subscribe(self._forget_parsed)
        self._stores[store.kind] = store
        return store

    def keep_fields_of(self, manager: str) -> None:
        """Keeps what `managedFields` say of this field manager's apply; to be called before objects arrive."""
        self._managers.add(manager)

    def parse(self, model: type[M], manifest: Manifest) -> M:
        """The object as a pydantic model, parsed once for each resourceVersion. Raises pydantic.ValidationError."""
        metadata = metadata_of(manifest)
        uid, version = str(metadata.get("uid") or ""), str(metadata.get("resourceVersion") or "")
        if not uid or not version:
            return model.model_validate(manifest)
        known = self._parsed.get(uid, {}).get(model)
        if known is not None and known[0] == version:
            assert isinstance(known[1], model)
            return known[1]
        parsed = model.model_validate(manifest)
        self._parsed.setdefault(uid, {})[model] = (version, parsed)
        while len(self._parsed) > _PARSED:  # Objects that no store holds are parsed as well.
            del self._parsed[next(iter(self._parsed))]
        return parsed

    def _forget_parsed(self, before: Manifest | None, after: Manifest | None, initial: bool) -> None:
        """An object that is gone is not asked for again."""
        if before is not None and (after is None or uid_of(after) != uid_of(before)):
            self._parsed.pop(uid_of(before), None)

    # Observer of the client

    def written(self, kind: Kind, manifest: Manifest) -> None:
        """An object that we wrote, as the server stored it; removing the last finalizer may have ended it.

        Our own Events are not what an Event's store is for: no watch would ever tell that one has expired.
        """
        if kind not in self._stores or kind == EVENT:
            return
        if _is_ended(manifest):
            self._stores[kind].forget(key_of(manifest), uid_of(manifest))
        else:
            # The store trims what it is given, and the writer still reads the answer.
            self._stores[kind].upsert({**manifest, "metadata": {**metadata_of(manifest)}})

    def deleted(self, kind: Kind, key: Key, uid: str) -> None:
        """An object that we deleted."""
        if kind in self._stores:
            self._stores[kind].forget(key, uid)

    def _trim(self, manifest: Manifest) -> Manifest:
        """In place: copies would be a tenth of what a first sync costs."""
        metadata = manifest.get("metadata") or {}
        for name in _ALIKE:
            if name in metadata:
                metadata[name] = self._shared(metadata[name])
        for entry in metadata.pop("managedFields", None) or ():
            if entry.get("manager") in self._managers and is_apply(entry):
                metadata.setdefault("managedFields", []).append(self._field_tree(entry))
        return manifest

    def _field_tree(self, entry: Manifest) -> Manifest:
        return {
            "manager": entry.get("manager"),
            "operation": "Apply",
            "apiVersion": entry.get("apiVersion"),
            "fieldsV1": self._shared(entry.get("fieldsV1") or {}),
        }

    def _shared(self, part: Any) -> Any:
        """Objects made alike have equal parts: one copy serves all."""
        # With the encodings themselves as keys, 10,000 pods would take 8 MB more.
        fingerprint = hash(orjson.dumps(part))
        known = self._parts.get(fingerprint)
        if known == part:
            return known
        if len(self._parts) >= _PARTS_SHARED:
            self._parts.clear()
        self._parts[fingerprint] = part
        return part


def _is_ended(manifest: Manifest) -> bool:
    """Whether nothing holds the object any more: being deleted, no finalizer, no grace period running."""
    metadata = metadata_of(manifest)
    being_deleted = bool(metadata.get("deletionTimestamp"))
    return being_deleted and not metadata.get("finalizers") and not metadata.get("deletionGracePeriodSeconds")


def _is_older(manifest: Manifest, version: int, known: Manifest) -> bool:
    """Whether `manifest` brings nothing new; unknown versions count as new unless they are the same text."""
    known_version = resource_version(known)
    if version and known_version:
        return version <= known_version
    text = metadata_of(manifest).get("resourceVersion")
    return bool(text) and text == metadata_of(known).get("resourceVersion")
