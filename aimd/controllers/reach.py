"""Which neighbors a subject of a relation can see, by namespaces, and the places at which the two meet.

Tokens are indexed with a place, so a lookup or a wake-up costs nothing for what other namespaces hold (OBJ-BND-1).
"""

from collections.abc import Callable
from enum import Enum

from aimd.runtime.objects import Manifest, key_of
from aimd.runtime.store import IndexFunction

EVERYWHERE = "*"
"""The place of all namespaces; no namespace has this name."""


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

    def wanted(self, namespace: str) -> tuple[str, ...]:
        """Return the places at which a subject of a namespace looks, and finds the neighbors that offer there."""
        match self:
            case Reach.VISIBLE:
                return ("", namespace) if namespace else ("",)
            case Reach.ANYWHERE:
                return ("",)
        return (namespace,)

    def offered(self, namespace: str) -> tuple[str, ...]:
        """Return the places at which a neighbor of a namespace offers its tokens."""
        match self:
            case Reach.USERS:
                return ("", namespace) if namespace else ("",)
            case Reach.ANYWHERE:
                return ("",)
        return (namespace,)


def at_places(places: Callable[[str], tuple[str, ...]], tokens: IndexFunction) -> IndexFunction:
    """Return an index function that gives the tokens of an object at each of its places."""

    def values(manifest: Manifest) -> tuple[str, ...]:
        at = places(key_of(manifest).namespace)
        return tuple(f"{place}/{token}" for token in tokens(manifest) for place in at if token)

    return values
