"""Which neighbors a lookup gives where there are more than it may look at (OBJ-BND-1)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from heapq import nsmallest
from typing import Any

from aimd.api.shared import Status
from aimd.planning.objects import status_word
from aimd.runtime.objects import Manifest, key_of


@dataclass(frozen=True, slots=True)
class Choice:
    """The `most` neighbors to look at, the first by `order`."""

    most: int
    order: Callable[[Manifest], Any]

    def of(self, manifests: Sequence[Manifest]) -> Sequence[Manifest]:
        """Return all neighbors in their order, or the preferred ones if there are too many."""
        return nsmallest(self.most, manifests, self.order) if len(manifests) > self.most else manifests


def usable_first(artifact: Manifest) -> tuple[bool, str, str]:
    """Return the order in which artifacts of one source are considered: Ready ones, then the oldest."""
    created = str(artifact["metadata"].get("creationTimestamp") or "")
    return status_word(artifact) != Status.READY, created, key_of(artifact).name


def failed_first(artifact: Manifest) -> tuple[bool, str]:
    """Return the order in which the artifacts that a cache made are considered: the failed ones, to be replaced."""
    return status_word(artifact) != Status.FAILED, key_of(artifact).name


USABLE_ARTIFACTS = Choice(32, usable_first)
"""Artifacts of one source from which a cache chooses, beside those that it uses."""
FAILED_ARTIFACTS = Choice(32, failed_first)
"""Artifacts that a cache made and now considers to replace."""
