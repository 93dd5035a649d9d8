"""Handlers: which keys a changed object wakes, as in controller-runtime's package handler."""

from collections.abc import Callable, Iterable
from typing import TypeAlias

from aimd.runtime.objects import Key, Kind, Manifest, controller_of, key_of
from aimd.runtime.store import Cache

Handler: TypeAlias = Callable[[Manifest, Cache], Iterable[Key]]
"""Return the keys, of the controller's own kind, that an object wakes."""


def for_object(manifest: Manifest, cache: Cache) -> Iterable[Key]:
    """The changed object is the one to reconcile."""
    return (key_of(manifest),)


def for_owner(kind: Kind) -> Handler:
    """The object whose controlling owner is of `kind`; its namespace is the child's, or none if cluster-scoped."""

    def owner(manifest: Manifest, cache: Cache) -> Iterable[Key]:
        reference = controller_of(manifest)
        if reference is None or reference.get("kind") != kind.name:
            return ()
        if str(reference.get("apiVersion", "")).rpartition("/")[0] != kind.group:
            return ()
        return (Key(key_of(manifest).namespace if kind.namespaced else "", str(reference.get("name"))),)

    return owner
