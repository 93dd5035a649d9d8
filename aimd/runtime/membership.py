"""Which informers of a store select which objects."""

from collections.abc import Hashable, Mapping

from aimd.runtime.objects import Key, Manifest, resource_version


class Membership:
    """For each informer of a store: the keys it selects, and the version up to which it has reported.

    A store may have several informers, one for each namespace or selector. An object stays as long as one of them
    selects it. Informers are identified by any hashable value.
    """

    def __init__(self) -> None:
        self._selected: dict[Hashable, set[Key]] = {}
        self._listing: dict[Hashable, set[Key]] = {}
        self._pending: set[Hashable] = set()
        self._versions: dict[Hashable, int] = {}

    @property
    def complete(self) -> bool:
        """Whether every informer has delivered its first list."""
        return not self._pending

    def is_pending(self, informer: Hashable) -> bool:
        """Return whether the informer has yet to deliver its first list."""
        return informer in self._pending

    def expect(self, informer: Hashable) -> None:
        """Register an informer, whose first list is pending."""
        self._pending.add(informer)
        self._selected.setdefault(informer, set())

    def add(self, informer: Hashable, key: Key, version: int) -> None:
        """Record that the informer reports an object, in a list that is under way or as a change."""
        listing = self._listing.get(informer)
        if listing is not None:
            listing.add(key)  # `end_list` says as of when.
            return
        self._selected.setdefault(informer, set()).add(key)
        self._advance(informer, version)

    def remove(self, informer: Hashable, key: Key, version: int = 0) -> bool:
        """Record that the informer no longer selects an object; return whether another informer still does."""
        self._advance(informer, version)
        for keys in (self._selected.setdefault(informer, set()), self._listing.get(informer, set())):
            keys.discard(key)
        return any(key in keys for keys in self._selected.values())

    def begin_list(self, informer: Hashable) -> None:
        """Start to collect a complete list; what the informer selected before counts meanwhile."""
        self._selected.setdefault(informer, set())
        self._listing[informer] = set()

    def end_list(self, informer: Hashable, version: int) -> set[Key]:
        """Complete the list, as of `version`; return the keys that were selected before and are not in it."""
        before, listed = self._selected[informer], self._listing.pop(informer, set())
        self._selected[informer] = listed
        self._advance(informer, version)
        self._pending.discard(informer)
        return before - listed

    def unselected(self, objects: Mapping[Key, Manifest]) -> set[Key]:
        """Return the keys that no informer selects although all have reported up to the object's version.

        Such objects came from our own writes alone and were deleted, or are outside of every selection.
        """
        held = set[Key]().union(*self._selected.values(), *self._listing.values())
        oldest = min((self._versions.get(informer, 0) for informer in self._selected), default=0)
        return {key for key, obj in objects.items() if key not in held and resource_version(obj) <= oldest}

    def forget_versions(self) -> None:
        """Start counting again, after the server's versions went back."""
        self._versions.clear()

    def _advance(self, informer: Hashable, version: int) -> None:
        self._versions[informer] = max(version, self._versions.get(informer, 0))
