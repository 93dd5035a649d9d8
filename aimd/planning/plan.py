"""What planning an object returns; the controller applies it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aimd.planning.component import Component
from aimd.planning.needs import Need
from aimd.runtime.objects import Condition, Deletion, Desired


@dataclass(frozen=True, slots=True)
class Plan:
    """One object's decision.

    `components` is the health of what was observed, `desired` and `deletions` are applied in order unless a
    component blocks, `status` holds the kind's own status keys in JSON form (None removes a key, an absent key is
    left alone), `extra_conditions` are conditions that are no component (`Discovered`, `DownloadComplete`),
    and `requeue_after` (seconds) is when to reconcile again. `needs` are live reads that the decision lacks: while
    there are any, nothing of the plan is applied; they are read, and the object is planned again.
    """

    components: tuple[Component, ...] = ()
    desired: tuple[Desired, ...] = ()
    deletions: tuple[Deletion, ...] = ()
    status: Mapping[str, Any] = field(default_factory=dict)
    extra_conditions: tuple[Condition, ...] = ()
    requeue_after: float | None = None
    needs: tuple[Need, ...] = ()
