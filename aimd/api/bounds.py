"""The bounds of a spec, for objects that were stored before the bounds existed.

The API server refuses new objects beyond the bounds of the schema. An older one is stored and read as it is; what it
has too much of is known, so that no controller works with it (OBJ-BND-2).
"""

# tests: tests/unit/api/test_bounds.py

from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic.fields import FieldInfo

from aimd.api.openapi import OpenApi, field_schema

MOST_KEYS = 256
"""Most keys of free JSON. In the schema it has no bound: the server would refuse every change of an older object."""
MOST_LEVELS = 8
"""Most levels of lists and maps in free JSON."""
MOST_CHARACTERS = 65536
"""Most characters of free JSON, of all keys and values together."""

_FREE = "x-kubernetes-preserve-unknown-fields"


def excess_of(field: FieldInfo, value: Any) -> str:
    """Return what the value of a root field has too much of, with its path and what to do; empty if nothing."""
    return _excess(_schema_of(_Same(field)), value, "spec")


class _Same:
    """A field by identity, as a key."""

    __slots__ = ("field",)

    def __init__(self, field: FieldInfo) -> None:
        self.field = field

    def __hash__(self) -> int:
        return id(self.field)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.field is self.field


@cache
def _schema_of(field: _Same) -> OpenApi:
    return field_schema(field.field, bounded=True)


def _excess(schema: OpenApi, value: Any, path: str) -> str:
    if isinstance(value, str):
        return _too_many(len(value), schema.get("maxLength"), path, "characters", "shorten it")
    if isinstance(value, list):
        found = _too_many(len(value), schema.get("maxItems"), path, "entries", "remove some")
        items = schema.get("items")
        if found or not items:
            return found
        return next(filter(None, (_excess(items, item, f"{path}[{n}]") for n, item in enumerate(value))), "")
    if isinstance(value, Mapping):
        most = MOST_KEYS if schema.get(_FREE) else schema.get("maxProperties")
        found = _too_many(len(value), most, path, "entries", "remove some")
        return found or _excess_of_members(schema, value, path)
    return ""


def _excess_of_members(schema: OpenApi, value: Mapping[str, Any], path: str) -> str:
    if schema.get(_FREE):
        return _excess_of_json(value, path)
    fields, others = schema.get("properties", {}), schema.get("additionalProperties")
    for name, member in value.items():
        inner = fields.get(name, others)
        if inner and (found := _excess(inner, member, f"{path}.{name}")):
            return found
    return ""


def _excess_of_json(value: Any, path: str) -> str:
    """Return what free JSON has too much of; level by level, since it may be deeper than calls can be."""
    level, depth, characters = [value], 0, 0
    while level:
        inner: list[Any] = []
        for item in level:
            if isinstance(item, Mapping):
                characters += sum(map(len, item))
                inner += item.values()
            elif isinstance(item, list):
                inner += item
            else:
                characters += len(str(item))
        depth += any(isinstance(item, Mapping | list) for item in level)
        if depth > MOST_LEVELS:
            return f"{path} has more than {MOST_LEVELS} levels: make it flatter"
        level = inner
    return _too_many(characters, MOST_CHARACTERS, path, "characters", "shorten it")


def _too_many(number: int, most: int | None, path: str, what: str, advice: str) -> str:
    return f"{path} has {number} {what}, more than {most}: {advice}" if most is not None and number > most else ""
