"""Predicates: filters on the changes that wake a controller, as in controller-runtime's package predicate."""

from collections.abc import Callable
from typing import TypeAlias

from aimd.runtime.objects import Manifest, metadata_of

Predicate: TypeAlias = Callable[[Manifest | None, Manifest | None], bool]
"""Return whether a change matters: before (None: created) and after (None: deleted)."""


def always(before: Manifest | None, after: Manifest | None) -> bool:
    """Every change counts."""
    return True


def generation_changed(before: Manifest | None, after: Manifest | None) -> bool:
    """Creation, deletion, and changes of the spec; not of status or metadata."""
    if before is None or after is None:
        return True
    return metadata_of(before).get("generation") != metadata_of(after).get("generation")
