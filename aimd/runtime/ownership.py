"""Whose an object is: what may be written or deleted for an owner, and what belongs to somebody else (OBJ-OWN-1)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from aimd.runtime.objects import Manifest, controller_of, labels_of, metadata_of

Marks: TypeAlias = Mapping[str, frozenset[str]]
"""Labels that an object must have, and the values that each of them may have."""


@dataclass(frozen=True, slots=True)
class Owner:
    """For whom objects are written: the controller, and the labels of everything that was made for it.

    `shared` are the labels of what several owners use and none of them controls (OBJ-OWN-2).
    """

    kind: str
    name: str
    uid: str
    marks: Marks = field(default_factory=dict)
    shared: Marks = field(default_factory=dict)


def belongs_to(live: Manifest, uid: str, marks: Marks) -> bool:
    """Return whether an object is controlled by the owner, or has no controller and carries all its marks (OBJ-OWN-1).

    Without marks, an object that nobody controls is foreign.
    """
    controller = controller_of(live)
    if controller is not None:
        return bool(uid) and controller.get("uid") == uid
    labels = labels_of(live)
    return bool(marks) and all(labels.get(key) in values for key, values in marks.items())


def is_foreign(live: Manifest, owner: Owner, *, shared: bool = False) -> bool:
    """Return whether an existing object must not be touched for the owner."""
    return not belongs_to(live, owner.uid, owner.shared if shared else owner.marks)


def is_going(live: Manifest, owner: Owner) -> bool:
    """Return whether the object is being deleted, or will be by garbage collection, with a former owner of the name."""
    controller = controller_of(live) or {}
    is_former = (controller.get("kind"), controller.get("name")) == (owner.kind, owner.name)
    return is_former or bool(metadata_of(live).get("deletionTimestamp"))


def holder_of(live: Manifest) -> str:
    """Return in words whose an object is."""
    controller = controller_of(live)
    if controller is None:
        return "was not created for this one"
    return f"belongs to {controller.get('kind') or 'an object'} {controller.get('name') or 'without a name'}"
