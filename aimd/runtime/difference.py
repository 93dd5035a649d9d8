"""Compare the cached object with what we render, without asking the server.

Two things are compared along the rendered manifest:

- *Ownership*: the fields that our manager owns (its entry in `managedFields`) against the fields we render. So fields
  that we no longer render are noticed, and removed.
- *Values*: what we render against what is there, as the server may have rewritten it: quantities in another notation,
  empty values left out, fields added by defaults.

The ownership tree also shows how the server merges, without its schema: a leaf above a map or list means that it is
atomic, `k:{…}` identifies an item of a list, `v:…` one of a set.
"""

import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeAlias

import orjson

from aimd.runtime.objects import Manifest, is_apply

_META = frozenset(
    {"name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "managedFields", "selfLink"}
)
_TOP = frozenset({"apiVersion", "kind", "status"})
_QUANTITY_PARENTS = frozenset({"limits", "requests", "capacity", "allocatable", "hard", "overhead"})
_QUANTITY_NAMES = frozenset({"sizeLimit", "averageValue", "divisor", "storage", "memory", "cpu"})
_SUFFIXES = {
    **{
        suffix: Decimal(1000) ** power
        for power, suffix in enumerate(("n", "u", "m", "", "k", "M", "G", "T", "P", "E"), -3)
    },
    **{suffix: Decimal(1024) ** power for power, suffix in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), 1)},
}

_QUANTITY = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(" + "|".join(_SUFFIXES) + ")")

_MISSING: Any = object()

Path: TypeAlias = tuple[str, ...]
"""Names of fields; `[]` is an item of a list."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A field in which the live object differs."""

    path: str
    what: str
    """`value`, `not owned` or `no longer rendered`."""
    live: Any = None
    """The live value."""


def differences(
    rendered: Manifest, live: Manifest, owned: Mapping[str, Any] | None, filled: Sequence[str] = ()
) -> list[Difference]:
    """Return everything that an apply of `rendered` might change.

    `owned` is the `fieldsV1` tree of our manager's apply, None if it never applied this object. `filled` are the paths
    below which additions are no difference (`Desired.filled`).
    """
    walk = _Walk(tuple(_split(path) for path in filled))
    wanted = {name: value for name, value in prune(rendered).items() if name not in _TOP}
    if "metadata" in wanted:
        wanted["metadata"] = {name: value for name, value in wanted["metadata"].items() if name not in _META}
    if owned is None:
        return [Difference("", "not owned")] if _claims(wanted) else []
    return list(walk.granular(wanted, live, owned, ()))


def prune(value: Any) -> Any:
    """Return `value` without null fields, which the server treats as absent."""
    if isinstance(value, Mapping):
        return {name: prune(item) for name, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [prune(item) for item in value]
    return value


def owned_fields(live: Manifest, manager: str) -> Mapping[str, Any] | None:
    """Return the `fieldsV1` of the manager's apply, None if it never applied the object."""
    for entry in (live.get("metadata") or {}).get("managedFields") or ():
        if entry.get("manager") == manager and is_apply(entry):
            fields: Mapping[str, Any] = entry.get("fieldsV1") or {}
            return fields
    return None


@dataclass(frozen=True, slots=True)
class _Walk:
    filled: tuple[Path, ...]

    def granular(
        self, wanted: Mapping[str, Any], live: Any, owned: Mapping[str, Any], path: Path
    ) -> Iterator[Difference]:
        """Compare a map whose fields are merged one by one."""
        there = live if isinstance(live, Mapping) else {}
        for name, value in wanted.items():
            yield from self._field(value, there.get(name, _MISSING), owned.get(f"f:{name}"), (*path, name))
        for field in owned:
            if field.startswith("f:") and field[2:] not in wanted:
                yield Difference(_join((*path, field[2:])), "no longer rendered", there.get(field[2:]))

    def _field(self, value: Any, live: Any, owned: Mapping[str, Any] | None, path: Path) -> Iterator[Difference]:
        if owned is None:
            # A webhook that adds inside an atomic list becomes its owner: tolerated where declared.
            if not _is_empty(value) and _claims(value) and not self._reaches_filled(path):
                yield Difference(_join(path), "not owned", _shown(live))
                return
            yield from self._whole(value, live, path)
        elif not any(field != "." for field in owned):
            yield from self._whole(value, live, path)
        elif isinstance(value, Mapping):
            yield from self.granular(value, live, owned, path)
        elif isinstance(value, list):
            yield from self._items(value, live, owned, path)
        else:
            yield Difference(_join(path), "no longer rendered", _shown(live))

    def _items(self, wanted: list[Any], live: Any, owned: Mapping[str, Any], path: Path) -> Iterator[Difference]:
        """Compare a list whose items the server identifies: by key fields or, in a set, by their value."""
        there = _Items(live if isinstance(live, list) else [])
        unmatched = {field: fields for field, fields in owned.items() if field[:2] in ("k:", "v:", "i:")}
        owners = _Owners(unmatched)
        inner = (*path, "[]")
        for item in wanted:
            field = owners.take(item)
            if field is None:
                yield Difference(_join(inner), "not owned", None)
                continue
            fields = unmatched.pop(field)
            if field.startswith("v:"):
                if item not in there:
                    yield Difference(_join(inner), "value")
                continue
            found = there.find(orjson.loads(field[2:]))
            if found is _MISSING:
                yield Difference(f"{_join(inner)}{field[2:]}", "value")
            else:
                yield from self._field(item, found, fields, inner)
        for field in unmatched:
            yield Difference(f"{_join(inner)}{field[2:]}", "no longer rendered")

    def _whole(self, value: Any, live: Any, path: Path) -> Iterator[Difference]:
        """Compare an atomic value: nothing may be added to it, except where declared."""
        if isinstance(value, Mapping) and not value and isinstance(live, Mapping):
            return  # An empty map doesn't own what others add to it.
        if not self._same(value, live, path):
            yield Difference(_join(path), "value", _shown(live))

    def _same(self, value: Any, live: Any, path: Path) -> bool:
        if live is _MISSING or live is None:
            return _is_empty(value) or not _claims(value) or value == live
        if isinstance(value, Mapping) and isinstance(live, Mapping):
            return self._same_map(value, live, path)
        if isinstance(value, list) and isinstance(live, list):
            inner = (*path, "[]")
            added = [self._may_appear(other, inner) for other in live[len(value) :]]
            same = [self._same(item, other, inner) for item, other in zip(value, live, strict=False)]
            return len(live) >= len(value) and all(same) and all(added)
        return same_scalar(value, live, path)

    def _same_map(self, value: Mapping[str, Any], live: Mapping[str, Any], path: Path) -> bool:
        same = (self._same(item, live.get(name, _MISSING), (*path, name)) for name, item in value.items())
        added = (self._may_appear(other, (*path, name)) for name, other in live.items() if name not in value)
        return all(same) and all(added)

    def _may_appear(self, live: Any, path: Path) -> bool:
        """Return whether an addition is declared, contains only declared ones, or is empty."""
        if any(path[: len(filled)] == filled for filled in self.filled):
            return True
        if isinstance(live, Mapping) and self._reaches_filled(path) and path[-1] != "[]":
            return all(self._may_appear(item, (*path, name)) for name, item in live.items())
        return _is_empty(live) and path[-1] != "[]"

    def _reaches_filled(self, path: Path) -> bool:
        return any(filled[: len(path)] == path for filled in self.filled)


def same_scalar(value: Any, live: Any, path: Path = ()) -> bool:
    """Return whether two scalars are equal, or the same quantity in a field that holds quantities."""
    if isinstance(value, bool) or isinstance(live, bool):
        return value is live
    if value == live:
        return True
    if not _holds_quantity(path):
        return False
    left, right = quantity(value), quantity(live)
    return left is not None and left == right


def quantity(value: Any) -> Decimal | None:
    """Return a Kubernetes quantity as an exact number, None if it is not one."""
    parts = _QUANTITY.fullmatch(str(value))
    return Decimal(parts[1]) * _SUFFIXES[parts[2]] if parts else None


def _holds_quantity(path: Path) -> bool:
    return bool(path) and (path[-1] in _QUANTITY_NAMES or any(name in _QUANTITY_PARENTS for name in path[:-1]))


def _claims(value: Any) -> bool:
    """Return whether `value` makes our manager own a field; for empty maps and lists the server may keep no record."""
    return any(_claims(item) for item in value.values()) if isinstance(value, Mapping) else value != []


def _is_empty(value: Any) -> bool:
    """Return whether Go's `omitempty` would leave the value out."""
    return value is None or value is False or value in ("", 0) or (isinstance(value, Mapping | list) and not value)


class _Items:
    """The items of a live list by some of their fields; each choice of fields is indexed once, a lookup is no scan."""

    def __init__(self, items: Sequence[Any]) -> None:
        self._items = items
        self._values: set[Any] | None = None
        self._by_fields: dict[tuple[str, ...], dict[Any, Any]] = {}

    def __contains__(self, item: Any) -> bool:
        if self._values is None:
            self._values = {_hashable(other) for other in self._items}
        return _hashable(item) in self._values

    def find(self, identity: Any) -> Any:
        """Return the first item with the fields of `identity`, or `_MISSING`."""
        if not isinstance(identity, Mapping):
            return _MISSING
        names = tuple(identity)
        known = self._by_fields.get(names)
        if known is None:
            known = self._by_fields[names] = {}
            for item in self._items:
                if isinstance(item, Mapping):
                    known.setdefault(_hashable([item.get(name) for name in names]), item)
        return known.get(_hashable([*identity.values()]), _MISSING)


class _Owners:
    """The ownership keys of a list, of which each belongs to one item.

    Key fields that an item leaves out have their default, so they are no part of the lookup.
    """

    def __init__(self, fields: Iterable[str]) -> None:
        self._values: dict[Any, str] = {}
        self._identities: dict[tuple[str, ...], list[tuple[Manifest, str]]] = {}
        self._by_fields: dict[tuple[tuple[str, ...], tuple[str, ...]], dict[Any, list[str]]] = {}
        self._positions: deque[str] = deque()
        self._taken: set[str] = set()
        for field in fields:
            if field.startswith("i:"):
                self._positions.append(field)
                continue
            value = orjson.loads(field[2:])
            if field.startswith("v:"):
                self._values[_hashable(value)] = field
            elif isinstance(value, dict):
                self._identities.setdefault(tuple(value), []).append((value, field))

    def take(self, item: Any) -> str | None:
        """Return the key that belongs to the item, once; None if there is none."""
        field = self._values.get(_hashable(item)) if self._values else None
        if (field is None or field in self._taken) and isinstance(item, Mapping):
            field = next((found for names in self._identities if (found := self._of(names, item))), None)
        if field is None or field in self._taken:
            field = self._positions.popleft() if self._positions else None
        if field is not None:
            self._taken.add(field)
        return field

    def _of(self, names: tuple[str, ...], item: Mapping[str, Any]) -> str | None:
        """Return the first key of these names that is not taken and agrees with the fields that the item has."""
        present = tuple(name for name in names if name in item)
        if not present:
            return None
        known = self._by_fields.get((names, present))
        if known is None:
            known = self._by_fields[names, present] = {}
            for identity, field in reversed(self._identities[names]):
                known.setdefault(_hashable([identity[name] for name in present]), []).append(field)
        fields = known.get(_hashable([item[name] for name in present]), [])
        while fields and fields[-1] in self._taken:
            fields.pop()
        return fields[-1] if fields else None


def _hashable(value: Any) -> Any:
    """Return what is equal for equal values and can be a key: the JSON text of lists and maps."""
    if not isinstance(value, Mapping | list):
        return value
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError:  # Nested too deeply to be written, which the write will say.
        return id(value)


def _split(path: str) -> Path:
    return tuple(part for name in path.split(".") for part in ((name[:-2], "[]") if name.endswith("[]") else (name,)))


def _join(path: Path) -> str:
    return ".".join(path).replace(".[]", "[]")


def _shown(live: Any) -> Any:
    return None if live is _MISSING else live
