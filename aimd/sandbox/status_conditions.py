"""Conditions as the stand-ins write them, with the conditions of other controllers and the transition times kept."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from aimd.runtime.objects import Manifest


def timestamp(moment: datetime | None = None) -> str:
    """Return a time, by default now, as RFC 3339 in whole seconds, UTC."""
    return (moment or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%SZ")


def condition(type_: str, status: str, reason: str = "", message: str = "", generation: int | None = None) -> Manifest:
    """Return a condition without its transition time, which `merged` adds; `status` is `True`, `False` or `Unknown`."""
    content: Manifest = {"type": type_, "status": status, "reason": reason, "message": message}
    return content if generation is None else {**content, "observedGeneration": generation}


def merged(previous: Iterable[Manifest], new: Sequence[Manifest], now: str) -> list[Manifest]:
    """Return the previous conditions of other types, then `new`; a transition time is kept with an equal status."""
    known = {item.get("type"): item for item in previous}
    others = [item for type_, item in known.items() if type_ not in {item["type"] for item in new}]
    timed = []
    for item in new:
        old = known.get(item["type"]) or {}
        same = old.get("status") == item["status"] and old.get("lastTransitionTime")
        timed.append({**item, "lastTransitionTime": old["lastTransitionTime"] if same else now})
    return [*others, *timed]
