"""An informer, declared as data: one selection of one kind, listed and watched into a store."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from aimd.runtime.objects import Kind
from aimd.runtime.store import IndexFunction, Transform


@dataclass(frozen=True)
class Informer:
    """An informer to start. Equal informers of several controllers are started once.

    `optional`: the kind may be missing in the cluster, and come and go, which wakes every object of the controller.
    `transform` drops what nobody reads; it must be idempotent and must not change its argument. Different selectors of
    one kind feed one store.
    """

    kind: Kind
    label_selector: str = ""
    field_selector: str = ""
    optional: bool = False
    indexes: Mapping[str, IndexFunction] = field(default_factory=dict)
    transform: Transform | None = None
    metadata_only: bool = False
