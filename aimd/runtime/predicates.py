"""Predicates: decide which changes wake a controller, as in controller-runtime's package predicate."""

from collections.abc import Callable
from typing import TypeAlias

from aimd.runtime.objects import Manifest, metadata_of

Predicate: TypeAlias = Callable[[Manifest | None, Manifest | None], bool]
"""Return whether a change matters.

Gets the object before the change, None if it was created, and after it, None if it was deleted.
"""


def always(_before: Manifest | None, _after: Manifest | None) -> bool:
    """Accept every change."""
    return True


def generation_changed(before: Manifest | None, after: Manifest | None) -> bool:
    """Accept creations, deletions and changes of the spec, but not of status or metadata."""
    if before is None or after is None:
        return True
    return metadata_of(before).get("generation") != metadata_of(after).get("generation")
