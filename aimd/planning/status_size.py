"""Bound what goes into a status: what an image or a registry says may be of any size and depth (OBJ-TEN-3)."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson

from aimd.api.shared import CommonCondition
from aimd.runtime.objects import Condition, Manifest, surface

LARGEST_STATUS = 256 * 1024
"""Bytes of a status as JSON; the API server stores objects of 1.5 MiB at most."""
_CONDITIONS = 32 * 1024
"""Bytes of these that are left for conditions."""
_LEVELS = 64
"""Levels of a status; the API server would take more, but not every reader."""
_SHORTEST = 64
"""Strings of so many characters, and objects of so many fields, are kept whole."""
_NO_TEXT = re.compile("[\ud800-\udfff]")
_IN_STATUS = re.compile(r"\bstatus\.(\w+)")


def bounded(status: Manifest) -> tuple[Manifest, tuple[str, ...]]:
    """Return the status, without conditions, with as much as fits, and the names of the fields that were cut.

    The largest fields are cut first: long strings, the ends of lists, and entries of maps with many keys.
    """
    room = LARGEST_STATUS - _CONDITIONS
    if _size(status) <= room:
        return status, ()
    found = {name: _writable(surface(value, _LEVELS)) for name, value in status.items()}
    while (excess := _size(found) - room) > 0:
        sizes = {name: _size(value) for name, value in found.items()}
        largest = max(sizes, key=lambda name: sizes[name], default="")
        if found.get(largest) is None:
            break
        shorter = _cut(found[largest], sizes[largest] - excess)
        found[largest] = shorter if _size(shorter) < sizes[largest] else None
    return found, tuple(name for name, value in found.items() if value != status[name])


def without_refused(status: Manifest, message: str) -> Manifest:
    """Return the status without the fields that the API server's message names as invalid."""
    refused = set(_IN_STATUS.findall(message)) - {"conditions"}
    return {name: value for name, value in status.items() if name not in refused}


def remarked(condition: Condition, cut: Sequence[str]) -> Condition:
    """Return the condition; Ready also says which fields of the status were cut."""
    if not cut or condition.type != CommonCondition.READY:
        return condition
    fields = ", ".join(f"status.{name}" for name in cut)
    remark = f"{fields} is cut, because a status may have {LARGEST_STATUS // 1024} KiB and {_LEVELS} levels"
    return replace(condition, message=f"{condition.message[:512]} ({remark})")


def _size(value: Any) -> int:
    """Return the size as JSON; more than any limit for what cannot be written as such."""
    try:
        return len(orjson.dumps(value))
    except orjson.JSONEncodeError:
        return 1 << 62


def _writable(value: Any) -> Any:
    """Return a copy in which text that is no UTF-8, and numbers of more than 64 bits, are replaced."""
    if isinstance(value, Mapping):
        return {str(_writable(str(name))): _writable(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_writable(item) for item in value]
    if isinstance(value, int) and not isinstance(value, bool):
        return value if -(1 << 63) <= value < 1 << 63 else str(value)[:_SHORTEST]
    return _NO_TEXT.sub("\ufffd", value) if isinstance(value, str) else value


def _cut(value: Any, budget: int) -> Any:
    """Return as much of the value as fits the budget of bytes, where that is possible."""
    size = _size(value)
    if size <= budget:
        return value
    if isinstance(value, str):
        return _cut_text(value, budget)
    if isinstance(value, list) and value:
        return _cut_list(value, budget)
    if not isinstance(value, dict) or not value:
        return value
    if len(value) > _SHORTEST:
        return dict(_fitting([*value.items()], budget))
    sizes = {name: _size(item) for name, item in value.items()}
    found = dict(value)
    for name in sorted(sizes, key=lambda name: -sizes[name]):
        if size <= budget:
            break
        found[name] = _cut(found[name], max(0, sizes[name] - (size - budget)))
        size -= sizes[name] - _size(found[name])
    return found


def _cut_text(text: str, budget: int) -> str:
    if len(text) <= _SHORTEST:
        return text
    share = max(budget, 0) / _size(text)
    return text[: max(_SHORTEST, int(len(text) * share) - 8)] + "…"


def _cut_list(items: list[Any], budget: int) -> list[Any]:
    if len(items) == 1:
        return [_cut(items[0], budget - 2)]
    return _fitting(items, budget) or _cut_list(items[:1], budget)


def _fitting(items: list[Any], budget: int) -> list[Any]:
    """Return the first items that fit."""
    left = budget - 2
    for position, item in enumerate(items):
        left -= _size(item) + 1
        if left < 0:
            return items[:position]
    return items
