"""Typed reads from the cache."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from aimd.api.core import ApiObject
from aimd.planning.gpus import GpuInventory, inventory_of
from aimd.planning.kinds import MODELS
from aimd.planning.unreadable import Unreadable, unreadable
from aimd.runtime.kinds import NODE
from aimd.runtime.objects import Key, Kind, Manifest, key_of, labels_of
from aimd.runtime.store import Cache, IndexFunction

NeighborT = TypeVar("NeighborT")

Tokens = Iterable[str]
"""Values by which subjects and neighbors of a relation meet."""


@dataclass(frozen=True, slots=True)
class Found(Generic[NeighborT]):
    """Neighbors of one subject, each once, in the order of kinds, tokens and keys; and those that do not parse."""

    objects: tuple[NeighborT, ...] = ()
    unreadable: tuple[Unreadable, ...] = ()

    def __add__(self, other: "Found[NeighborT]") -> "Found[NeighborT]":
        if not (other.objects or other.unreadable):
            return self
        if not (self.objects or self.unreadable):
            return other
        objects = {_identity(item): item for item in (*self.objects, *other.objects)}
        return Found(tuple(objects.values()), tuple(dict.fromkeys((*self.unreadable, *other.unreadable))))

    @property
    def first(self) -> NeighborT | None:
        """The first neighbor, None without any."""
        return next(iter(self.objects), None)


def own_name(item: ApiObject | Manifest) -> Tokens:
    """Return the object's own name as its token; such neighbors are looked up by key, without an index."""
    return (key_of_object(item).name,)


def key_of_object(item: ApiObject | Manifest) -> Key:
    """Return namespace and name of a parsed object or a manifest."""
    return Key(item.metadata.namespace, item.metadata.name) if isinstance(item, ApiObject) else key_of(item)


class Reader:
    """Typed reads from the cache: our own kinds as parsed objects, other kinds as manifests.

    Lookups return values. An object that does not exist is None, one that does not parse is Unreadable; nothing is
    raised, except KindNotWatched for a kind without an informer, which is a mistake in the program.
    """

    def __init__(self, cache: Cache) -> None:
        self.cache = cache
        self._last: tuple[Kind | None, Manifest, Any] = (None, {}, None)
        """The last object that was read: all indexes of a kind are computed for one object after the other."""
        self._inventory: tuple[Sequence[Manifest], GpuInventory] = ((), GpuInventory())
        """The nodes of the last inventory, and the inventory."""

    def read(self, kind: Kind, manifest: Manifest) -> Any:
        """Return the object as its kind is read: parsed, a manifest, or Unreadable."""
        last_kind, last_manifest, last = self._last
        if manifest is last_manifest and kind is last_kind:
            return last
        item = self._read(kind, manifest)
        self._last = (kind, manifest, item)
        return item

    def _read(self, kind: Kind, manifest: Manifest) -> Any:
        model = MODELS.get(kind)
        if model is None:
            return manifest
        try:
            item = self.cache.parse(model, manifest)
        except ValidationError as error:
            return unreadable(kind, manifest, error)
        return Unreadable(kind, key_of(manifest), item.excess) if item.excess else item

    def get(self, kind: Kind, key: Key) -> Any:
        """Return the object of a key: as `read` gives it, or None."""
        manifest = self.cache[kind].get(key)
        return self.read(kind, manifest) if manifest is not None else None

    def gpu_inventory(self) -> GpuInventory | None:
        """Return the GPUs of the cluster's nodes, None when nodes may not be read; computed once per change of a node.

        Controllers that ask must have an informer for nodes.
        """
        store = self.cache[NODE]
        if not (store.available and store.synced):
            return None
        nodes = store.list()
        if nodes is not self._inventory[0]:
            self._inventory = nodes, inventory_of(labels_of(node) for node in nodes)
        return self._inventory[1]

    def tokens(self, function: Callable[[Any], Tokens], kind: Kind) -> IndexFunction:
        """Return an index function that applies `function` to the typed object.

        An object that does not parse is indexed under its own name, so that references by name find it.
        """

        def values(manifest: Manifest) -> Tokens:
            item = self.read(kind, manifest)
            return own_name(manifest) if isinstance(item, Unreadable) else tuple(dict.fromkeys(function(item)))

        return values

    def collect(self, kind: Kind, manifests: Iterable[Manifest]) -> Found[Any]:
        """Return the objects, each once, apart from those that do not parse."""
        items = {key_of(manifest): self.read(kind, manifest) for manifest in manifests}
        broken = tuple(item for item in items.values() if isinstance(item, Unreadable))
        return Found(tuple(item for item in items.values() if not isinstance(item, Unreadable)), broken)


def _identity(item: Any) -> tuple[str, Key]:
    kind = type(item).__name__ if isinstance(item, ApiObject) else str(item.get("kind") or "")
    return kind, key_of_object(item)
