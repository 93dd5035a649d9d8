"""A tie between two kinds, declared once: the index, the wake-up and the lookup follow from the declaration.

A relation joins the objects that a controller reconciles (subjects) with those that it reads (neighbors). Both sides
give tokens: the values that a subject looks for, and the values that a neighbor can be found under. Where they meet,
the subject reads the neighbor, and a change of the neighbor wakes the subject. So what is looked up also wakes.

There are three forms. `Relation` joins by tokens. `Children` finds what a subject made by its name, and wakes by the
owner reference. `Through` reaches a neighbor by way of another relation's neighbors, such as the pods of a service
through its InferenceService.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Generic, Protocol, TypeVar

from aimd.api.core import ApiObject
from aimd.controllers.reader import Found, Reader, Tokens, key_of_object, own_name
from aimd.planning.unreadable import Unreadable
from aimd.runtime.controller import Watch
from aimd.runtime.handlers import Handler, for_index, for_owner
from aimd.runtime.informer import Informer
from aimd.runtime.objects import Key, Kind, Manifest, key_of, uid_of
from aimd.runtime.predicates import Predicate, always
from aimd.runtime.store import Cache, IndexFunction

SubjectT = TypeVar("SubjectT")
MiddleT = TypeVar("MiddleT")
NeighborT = TypeVar("NeighborT")


class Reach(Enum):
    """Which neighbors a subject can see, by their namespaces."""

    NAMESPACE = "namespace"
    """Those of its own namespace; for a cluster-scoped subject the cluster-scoped ones."""
    VISIBLE = "visible"
    """Those of its own namespace and the cluster-scoped ones."""
    USERS = "users"
    """Those of its own namespace; for a cluster-scoped subject all of them."""
    ANYWHERE = "anywhere"
    """All of them."""

    def allows(self, subject: str, neighbor: str) -> bool:
        """Return whether a subject in one namespace sees a neighbor in the other; empty is cluster-scoped."""
        match self:
            case Reach.NAMESPACE:
                return subject == neighbor
            case Reach.VISIBLE:
                return neighbor in ("", subject)
            case Reach.USERS:
                return subject in ("", neighbor)
            case Reach.ANYWHERE:
                return True


class Tie(Protocol):
    """What every form of a relation offers; see the module's docstring."""

    @property
    def name(self) -> str:
        """A name that no other tie has."""

    @property
    def subject(self) -> Kind:
        """The kind that is reconciled."""

    @property
    def neighbors(self) -> tuple[Kind, ...]:
        """The kinds that are read."""

    @property
    def predicate(self) -> Predicate:
        """Which changes of a neighbor wake the subject."""

    @property
    def delay(self) -> float:
        """Seconds that a wake-up waits for others."""

    @property
    def lookup_only(self) -> str:
        """Why a change of a neighbor need not wake the subject; empty when it does."""

    def indexes(self, reader: Reader) -> Mapping[Kind, Mapping[str, IndexFunction]]:
        """Return the index functions that wake-up and lookup need, by kind and index name."""

    def subjects(self, neighbor: Manifest, kind: Kind, cache: Cache) -> Iterator[Key]:
        """Return the keys of the subjects that a neighbor of `kind` concerns; a key may come twice."""

    def find(self, reader: Reader, subject: Any) -> Found[Any]:
        """Return the neighbors of a subject."""


@dataclass(frozen=True)
class Relation(Generic[SubjectT, NeighborT]):
    """A join by tokens: `wants` of the subject, `offers` of the neighbor, in reach of each other.

    `name` is unique among all relations, since indexes of one kind are shared by all controllers. `predicate` and
    `delay` are those of the watch. `lookup_only` says why changes of the neighbors need not wake, where that is so.
    """

    name: str
    subject: Kind
    neighbors: tuple[Kind, ...]
    wants: Callable[[SubjectT], Tokens]
    offers: Callable[[NeighborT], Tokens]
    reach: Reach = Reach.VISIBLE
    predicate: Predicate = always
    delay: float = 0.0
    lookup_only: str = ""

    def indexes(self, reader: Reader) -> Mapping[Kind, Mapping[str, IndexFunction]]:
        """Return the index functions that wake-up and lookup need."""
        found: dict[Kind, dict[str, IndexFunction]] = {}
        if not self.lookup_only:
            found[self.subject] = {self._wanted: reader.tokens(self.wants, self.subject)}
        if not _by_key(self.offers, self.reach):
            for kind in self.neighbors:
                found.setdefault(kind, {})[self.offers_index] = reader.tokens(self.offers, kind)
        return found

    def subjects(self, neighbor: Manifest, kind: Kind, cache: Cache) -> Iterator[Key]:
        """Return the keys of the subjects that want what a neighbor offers."""
        wakes = for_index(self.subject, self._wanted, Reader(cache).tokens(self.offers, kind))
        for key in wakes(neighbor, cache):
            if self.reach.allows(key.namespace, key_of(neighbor).namespace):
                yield key

    def find(self, reader: Reader, subject: SubjectT) -> Found[NeighborT]:
        """Return the neighbors that offer what the subject wants."""
        tokens = tuple(dict.fromkeys(self.wants(subject)))
        return _find(reader, self, tokens, _key(subject).namespace)

    @property
    def _wanted(self) -> str:
        return f"{self.name}: wants"

    @property
    def offers_index(self) -> str:
        """The name of the index of `offers`."""
        return f"{self.name}: offers"


@dataclass(frozen=True)
class Children(Generic[SubjectT, NeighborT]):
    """Objects that the subject makes: found by their names (`names`), woken for by their controlling owner.

    `names` None finds all objects that the subject owns, by its UID.
    """

    name: str
    subject: Kind
    neighbors: tuple[Kind, ...]
    names: Callable[[SubjectT], Iterable[str]] | None = None
    predicate: Predicate = always
    delay: float = 0.0
    lookup_only: str = ""

    def indexes(self, _reader: Reader) -> Mapping[Kind, Mapping[str, IndexFunction]]:
        """Return the index functions that wake-up and lookup need: none."""
        return {}  # Every store has an index by owner.

    def subjects(self, neighbor: Manifest, _kind: Kind, cache: Cache) -> Iterator[Key]:
        """Return the key of the owner, if it is a subject."""
        yield from for_owner(self.subject)(neighbor, cache)

    def find(self, reader: Reader, subject: SubjectT) -> Found[NeighborT]:
        """Return the children of a subject."""
        found: Found[NeighborT] = Found()
        for kind in self.neighbors:
            store = reader.cache[kind]
            if self.names is None:
                found += reader.collect(kind, store.by_index("owner", _uid(subject)))
                continue
            keys = (Key(_key(subject).namespace, name) for name in self.names(subject) if name)
            found += reader.collect(kind, (live for key in keys if (live := store.get(key)) is not None))
        return found


@dataclass(frozen=True)
class Through(Generic[SubjectT, MiddleT, NeighborT]):
    """Neighbors of the neighbors of `first`: `via` gives the tokens that an object in the middle looks for.

    `reach` is that of the subject. `only` limits the relation to some subjects.
    """

    name: str
    first: Tie
    neighbors: tuple[Kind, ...]
    via: Callable[[MiddleT], Tokens]
    offers: Callable[[NeighborT], Tokens]
    reach: Reach = Reach.VISIBLE
    only: Callable[[SubjectT], bool] | None = None
    predicate: Predicate = always
    delay: float = 0.0
    lookup_only: str = ""

    @property
    def subject(self) -> Kind:
        """The subject of the first tie."""
        return self.first.subject

    def indexes(self, reader: Reader) -> Mapping[Kind, Mapping[str, IndexFunction]]:
        """Return the index functions that wake-up and lookup need."""
        found: dict[Kind, dict[str, IndexFunction]] = {}
        if not self.lookup_only:
            for kind in self.first.neighbors:
                found[kind] = {self._sought: reader.tokens(self.via, kind)}
        if not _by_key(self.offers, self.reach):
            for kind in self.neighbors:
                found.setdefault(kind, {})[self.offers_index] = reader.tokens(self.offers, kind)
        return found

    def subjects(self, neighbor: Manifest, kind: Kind, cache: Cache) -> Iterator[Key]:
        """Return the keys of the subjects that a neighbor concerns through objects in the middle."""
        reader, namespace = Reader(cache), key_of(neighbor).namespace
        for token in reader.tokens(self.offers, kind)(neighbor):
            for middle_kind in self.first.neighbors:
                for middle in cache[middle_kind].by_index(self._sought, token):
                    for key in self.first.subjects(middle, middle_kind, cache):
                        if self.reach.allows(key.namespace, namespace) and self._concerns(reader, key):
                            yield key

    def find(self, reader: Reader, subject: SubjectT) -> Found[NeighborT]:
        """Return the neighbors of the subject's own neighbors."""
        if self.only is not None and not self.only(subject):
            return Found()
        return self.of(reader, self.first.find(reader, subject).objects, _key(subject).namespace)

    def of(self, reader: Reader, middles: Iterable[MiddleT], namespace: str) -> Found[NeighborT]:
        """Return the neighbors of these objects in the middle, as a subject in `namespace` sees them."""
        tokens = tuple(dict.fromkeys(token for middle in middles for token in self.via(middle)))
        return _find(reader, self, tokens, namespace)

    def meets(self, reader: Reader, token: str, namespace: str) -> bool:
        """Return whether a subject in `namespace` sees a neighbor that offers this token; nothing is parsed."""
        return any(
            self.reach.allows(namespace, key_of(item).namespace)
            for kind in self.neighbors
            for item in reader.cache[kind].by_index(self.offers_index, token)
        )

    def _concerns(self, reader: Reader, key: Key) -> bool:
        subject = reader.get(self.subject, key) if self.only is not None else None
        return self.only is None or (subject is not None and not isinstance(subject, Unreadable) and self.only(subject))

    @property
    def _sought(self) -> str:
        return f"{self.name}: via"

    @property
    def offers_index(self) -> str:
        """The name of the index of `offers`."""
        return f"{self.name}: offers"


AnyTie = Relation[Any, Any] | Children[Any, Any] | Through[Any, Any, Any]


def users_of(tie: AnyTie, reader: Reader, kind: Kind, neighbor: Key) -> Found[Any]:
    """Return the subjects that a neighbor concerns: the relation read backwards."""
    manifest = reader.cache[kind].get(neighbor)
    if manifest is None:
        return Found()
    store = reader.cache[tie.subject]
    keys = dict.fromkeys(tie.subjects(manifest, kind, reader.cache))
    return reader.collect(tie.subject, (live for key in keys if (live := store.get(key)) is not None))


def informers_of(ties: Sequence[AnyTie], reader: Reader, selections: Sequence[Informer]) -> tuple[Informer, ...]:
    """Return the informers of a controller: `selections` with the indexes of its relations added.

    Every kind of a relation must be among `selections`, which say what of a kind is watched. Raises KeyError if not.
    """
    indexes: dict[Kind, dict[str, IndexFunction]] = {
        selection.kind: dict(selection.indexes) for selection in selections
    }
    for tie in ties:
        for kind, functions in tie.indexes(reader).items():
            indexes[kind].update(functions)
    return tuple(
        Informer(
            selection.kind,
            selection.label_selector,
            selection.field_selector,
            selection.optional,
            indexes[selection.kind],
            selection.transform,
            selection.metadata_only,
        )
        for selection in selections
    )


def watches_of(ties: Iterable[AnyTie]) -> tuple[Watch, ...]:
    """Return the watches of a controller: one for each kind of neighbor that wakes."""
    return tuple(
        Watch(kind, _handler(tie, kind), tie.predicate, tie.delay)
        for tie in ties
        if not tie.lookup_only
        for kind in tie.neighbors
    )


def _handler(tie: AnyTie, kind: Kind) -> Handler:
    def subjects(neighbor: Manifest, cache: Cache) -> Iterable[Key]:
        return tuple(dict.fromkeys(tie.subjects(neighbor, kind, cache)))

    return subjects


def _find(
    reader: Reader,
    tie: Relation[Any, Any] | Through[Any, Any, Any],
    tokens: Sequence[str],
    namespace: str,
) -> Found[Any]:
    found: Found[Any] = Found()
    for kind in tie.neighbors:
        store = reader.cache[kind]
        for token in filter(None, tokens):
            manifests: Sequence[Manifest]
            if _by_key(tie.offers, tie.reach):
                live = store.get(Key(namespace if kind.namespaced else "", token))
                manifests = (live,) if live is not None else ()
            else:
                manifests = store.by_index(tie.offers_index, token)
            visible = (item for item in manifests if tie.reach.allows(namespace, key_of(item).namespace))
            found += reader.collect(kind, visible)
    return found


def _by_key(offers: Callable[[Any], Tokens], reach: Reach) -> bool:
    """Return whether neighbors are looked up by key: their namespace follows from the subject's."""
    return offers is own_name and reach in (Reach.NAMESPACE, Reach.VISIBLE)


def _key(subject: Any) -> Key:
    return key_of_object(subject)


def _uid(subject: Any) -> str:
    return str(subject.metadata.uid) if isinstance(subject, ApiObject) else uid_of(subject)
