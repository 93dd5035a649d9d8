"""Handlers: map a changed object to the keys to reconcile, as in controller-runtime's package handler.

Example:
    Watch(GREETING, for_object)                          # a Greeting wakes itself
    Watch(CONFIG_MAP, for_owner(GREETING))               # a ConfigMap wakes the Greeting that owns it
    Watch(SECRET, for_index(GREETING, "secret", names))  # a Secret wakes the Greetings that name it
"""

from collections.abc import Callable, Iterable
from typing import TypeAlias

from aimd.runtime.objects import Key, Kind, Manifest, controller_of, key_of
from aimd.runtime.store import Cache

Handler: TypeAlias = Callable[[Manifest, Cache], Iterable[Key]]
"""Return the keys, of the controller's own kind, that a changed object wakes."""


def for_object(manifest: Manifest, _cache: Cache) -> Iterable[Key]:
    """Return the key of the changed object itself."""
    return (key_of(manifest),)


def for_owner(kind: Kind) -> Handler:
    """Return a handler that wakes the changed object's controlling owner if that is of `kind`.

    The owner's namespace is the child's, or none if `kind` is cluster-scoped.
    """

    def owner(manifest: Manifest, _cache: Cache) -> Iterable[Key]:
        reference = controller_of(manifest)
        if reference is None or reference.get("kind") != kind.name:
            return ()
        if str(reference.get("apiVersion", "")).rpartition("/")[0] != kind.group:
            return ()
        return (Key(key_of(manifest).namespace if kind.namespaced else "", str(reference.get("name"))),)

    return owner


def for_index(kind: Kind, index: str, values_of: Callable[[Manifest], Iterable[str]]) -> Handler:
    """Return a handler that wakes the objects of `kind` indexed under a value that the changed object has.

    `values_of` gives the changed object's values; `index` names an index declared by an informer of `kind`. An object
    indexed under several of the values is woken once; keys come sorted within each value.

    The handler raises KindNotWatched without an informer of `kind`, and KeyError for an undeclared index.
    """

    def indexed(manifest: Manifest, cache: Cache) -> Iterable[Key]:
        store = cache[kind]
        found = (key_of(neighbor) for value in values_of(manifest) for neighbor in store.by_index(index, value))
        return tuple(dict.fromkeys(found))

    return indexed
