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
from typing import Any, Generic, Protocol, TypeVar

from aimd.api.core import ApiObject
from aimd.controllers.preferences import Choice
from aimd.controllers.reach import EVERYWHERE, Reach, at_places
from aimd.controllers.reader import Found, Reader, Tokens, key_of_object, own_name
from aimd.planning.unreadable import Unreadable
from aimd.runtime.controller import Watch
from aimd.runtime.handlers import Handler, for_owner
from aimd.runtime.informer import Informer
from aimd.runtime.objects import Key, Kind, Manifest, key_of, uid_of
from aimd.runtime.predicates import Predicate, always
from aimd.runtime.store import Cache, IndexFunction

SubjectT = TypeVar("SubjectT")
MiddleT = TypeVar("MiddleT")
NeighborT = TypeVar("NeighborT")


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

    def subjects(self, neighbor: Manifest, kind: Kind, cache: Cache, within: str = "") -> Iterator[Key]:
        """Return the keys of the subjects that a neighbor of `kind` concerns; a key may come twice.

        With `within`, only those of that namespace.
        """

    def find(self, reader: Reader, subject: Any) -> Found[Any]:
        """Return the neighbors of a subject."""


@dataclass(frozen=True)
class Relation(Generic[SubjectT, NeighborT]):
    """A join by tokens: `wants` of the subject, `offers` of the neighbor, in reach of each other.

    `name` is unique among all relations, since indexes of one kind are shared by all controllers. `predicate` and
    `delay` are those of the watch. `lookup_only` says why changes of the neighbors need not wake, where that is so.

    `choice` limits what a lookup gives for a token (OBJ-BND-1); without one it gives all neighbors.
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
    choice: Choice | None = None

    def indexes(self, reader: Reader) -> Mapping[Kind, Mapping[str, IndexFunction]]:
        """Return the index functions that wake-up and lookup need."""
        found: dict[Kind, dict[str, IndexFunction]] = {}
        if not self.lookup_only:
            found[self.subject] = {self._wanted: at_places(self.reach.wanted, reader.tokens(self.wants, self.subject))}
        if not _by_key(self.offers, self.reach):
            for kind in self.neighbors:
                offers = at_places(self.reach.offered, reader.tokens(self.offers, kind))
                found.setdefault(kind, {})[self.offers_index] = offers
        return found

    def subjects(self, neighbor: Manifest, kind: Kind, cache: Cache, within: str = "") -> Iterator[Key]:
        """Return the keys of the subjects that want what a neighbor offers."""
        places = (within,) if within else self.reach.offered(key_of(neighbor).namespace)
        for token in filter(None, Reader(cache).tokens(self.offers, kind)(neighbor)):
            for place in places:
                for key in cache[self.subject].keys_by_index(self._wanted, f"{place}/{token}"):
                    if self.reach.allows(key.namespace, key_of(neighbor).namespace):
                        yield key

    def find(self, reader: Reader, subject: SubjectT) -> Found[NeighborT]:
        """Return the neighbors that offer what the subject wants."""
        tokens = tuple(dict.fromkeys(self.wants(subject)))
        return _find(reader, self, tokens, _key(subject).namespace)

    def all_of(self, reader: Reader, kind: Kind, subject: SubjectT) -> Iterator[Manifest]:
        """Return the neighbors of a kind however many there are, without parsing them."""
        for token in dict.fromkeys(self.wants(subject)):
            yield from _offering(reader, self, kind, token, _key(subject).namespace)

    def offering(self, reader: Reader, kind: Kind, token: str, namespace: str) -> Iterator[Manifest]:
        """Return the neighbors of a kind that offer a token, as a subject in `namespace` sees them, without parsing."""
        return _offering(reader, self, kind, token, namespace)

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

    `names` None finds all objects that the subject owns, by its UID. A namespaced object owns none of
    other namespaces, whatever their owner references say (OBJ-OWN-1).
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

    def subjects(self, neighbor: Manifest, _kind: Kind, cache: Cache, within: str = "") -> Iterator[Key]:
        """Return the key of the owner, if it is a subject."""
        for key in for_owner(self.subject)(neighbor, cache):
            if within in ("", key.namespace):
                yield key

    def find(self, reader: Reader, subject: SubjectT) -> Found[NeighborT]:
        """Return the children of a subject."""
        found: Found[NeighborT] = Found()
        for kind in self.neighbors:
            store = reader.cache[kind]
            if self.names is None:
                owned = store.by_index("owner", _uid(subject))
                found += reader.collect(kind, (item for item in owned if _may_own(subject, item)))
                continue
            keys = (Key(_key(subject).namespace, name) for name in self.names(subject) if name)
            found += reader.collect(kind, (live for key in keys if (live := store.get(key)) is not None))
        return found


@dataclass(frozen=True)
class Through(Generic[SubjectT, MiddleT, NeighborT]):
    """Neighbors of the neighbors of `first`: `via` gives the tokens that an object in the middle looks for.

    `reach` is that of the subject. `only` limits the relation to some subjects. `choice` is that of a
    `Relation`.
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
    choice: Choice | None = None

    @property
    def subject(self) -> Kind:
        """The subject of the first tie."""
        return self.first.subject

    def indexes(self, reader: Reader) -> Mapping[Kind, Mapping[str, IndexFunction]]:
        """Return the index functions that wake-up and lookup need."""
        found: dict[Kind, dict[str, IndexFunction]] = {}
        if not self.lookup_only:
            for kind in self.first.neighbors:
                found[kind] = {self._sought: at_places(_middle, reader.tokens(self.via, kind))}
        if not _by_key(self.offers, self.reach):
            for kind in self.neighbors:
                offers = at_places(self.reach.offered, reader.tokens(self.offers, kind))
                found.setdefault(kind, {})[self.offers_index] = offers
        return found

    def subjects(self, neighbor: Manifest, kind: Kind, cache: Cache, within: str = "") -> Iterator[Key]:
        """Return the keys of the subjects that a neighbor concerns through objects in the middle."""
        reader, namespace = Reader(cache), key_of(neighbor).namespace
        if self.reach in (Reach.NAMESPACE, Reach.VISIBLE):
            within = within or namespace
        places = ("", within) if within else (EVERYWHERE,)
        for token in reader.tokens(self.offers, kind)(neighbor):
            for middle_kind in self.first.neighbors:
                for middle in _indexed(cache, middle_kind, self._sought, places, token):
                    for key in self.first.subjects(middle, middle_kind, cache, within):
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
        return any(any(_offering(reader, self, kind, token, namespace)) for kind in self.neighbors)

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
    return reader.collect(tie.subject, each_user(tie, reader, kind, neighbor))


def each_user(tie: AnyTie, reader: Reader, kind: Kind, neighbor: Key) -> Iterator[Manifest]:
    """Return the subjects that a neighbor concerns one by one, unread: a caller stops at the first that decides."""
    manifest, store = reader.cache[kind].get(neighbor), reader.cache[tie.subject]
    for key in tie.subjects(manifest, kind, reader.cache) if manifest is not None else ():
        if (live := store.get(key)) is not None:
            yield live


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
        return sorted(set(tie.subjects(neighbor, kind, cache)))

    return subjects


def _find(
    reader: Reader,
    tie: Relation[Any, Any] | Through[Any, Any, Any],
    tokens: Sequence[str],
    namespace: str,
) -> Found[Any]:
    found: Found[Any] = Found()
    for kind in tie.neighbors:
        manifests: list[Manifest] = []
        for token in filter(None, tokens):
            offering = _offering(reader, tie, kind, token, namespace)
            manifests += tie.choice.of(tuple(offering)) if tie.choice is not None else offering
        found += reader.collect(kind, manifests)
    return found


def _offering(
    reader: Reader, tie: Relation[Any, Any] | Through[Any, Any, Any], kind: Kind, token: str, namespace: str
) -> Iterator[Manifest]:
    """Return the objects of a kind that offer a token and that a subject in `namespace` sees, unread."""
    store = reader.cache[kind]
    if _by_key(tie.offers, tie.reach):
        live = store.get(Key(namespace if kind.namespaced else "", token))
        return iter((live,) if live is not None else ())
    return _indexed(reader.cache, kind, tie.offers_index, tie.reach.wanted(namespace), token)


def _indexed(cache: Cache, kind: Kind, index: str, places: Iterable[str], token: str) -> Iterator[Manifest]:
    """Return the objects under a token at these places."""
    store = cache[kind]
    for place in places:
        yield from store.by_index(index, f"{place}/{token}")


def _middle(namespace: str) -> tuple[str, ...]:
    """Return the places of an object in the middle: who comes from a namespace looks there, others everywhere."""
    return namespace, EVERYWHERE


def _by_key(offers: Callable[[Any], Tokens], reach: Reach) -> bool:
    """Return whether neighbors are looked up by key: their namespace follows from the subject's."""
    return offers is own_name and reach in (Reach.NAMESPACE, Reach.VISIBLE)


def _key(subject: Any) -> Key:
    return key_of_object(subject)


def _may_own(subject: Any, item: Manifest) -> bool:
    return Reach.USERS.allows(_key(subject).namespace, key_of(item).namespace)


def _uid(subject: Any) -> str:
    return str(subject.metadata.uid) if isinstance(subject, ApiObject) else uid_of(subject)
