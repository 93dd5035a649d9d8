"""Informers, declared as data: one selection of one kind, listed and watched into a store."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from aimd.runtime.objects import Kind
from aimd.runtime.store import IndexFunction, Transform


@dataclass(frozen=True)
class Informer:
    """An informer that a controller needs; the manager starts it.

    Informers of one kind share a store, and equal selections share a watch, whichever controllers declare them.
    """

    kind: Kind
    label_selector: str = ""
    """Selects objects by label; everything by default. Set it for kinds with many objects that aren't ours."""
    field_selector: str = ""
    """Selects objects by field, where the API server supports that; everything by default."""
    optional: bool = False
    """The cluster may lack the kind, or forbid it; false by default.

    A missing optional kind doesn't hold up the start. When it appears or disappears, every object of the controller is
    reconciled. A kind that another informer requires is required.
    """
    indexes: Mapping[str, IndexFunction] = field(default_factory=dict)
    """Indexes of the store, by name; `owner` always exists. Set one for each lookup that isn't by key."""
    transform: Transform | None = None
    """Reduces each object before it is stored; by default whole objects are. Set it to save memory."""
    metadata_only: bool = False
    """Requests only `metadata`, which saves memory and network; false by default.

    All informers of a kind must agree.
    """
