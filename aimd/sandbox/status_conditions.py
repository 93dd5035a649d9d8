"""Conditions as the stand-ins write them: a list that keeps what others wrote and when a status last changed."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from aimd.runtime.objects import Manifest


def timestamp(moment: datetime | None = None) -> str:
    """RFC 3339 in whole seconds, UTC; now by default."""
    return (moment or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%SZ")


def condition(type_: str, status: bool, reason: str = "", message: str = "", generation: int | None = None) -> Manifest:
    """A condition without its transition time, which `merged` adds."""
    content: Manifest = {"type": type_, "status": str(status), "reason": reason, "message": message}
    return content if generation is None else {**content, "observedGeneration": generation}


def merged(previous: Iterable[Manifest], new: Sequence[Manifest], now: str) -> list[Manifest]:
    """`new` with transition times (kept unless the status changed), after the previous ones of other types."""
    known = {item.get("type"): item for item in previous}
    others = [item for type_, item in known.items() if type_ not in {item["type"] for item in new}]
    timed = []
    for item in new:
        old = known.get(item["type"]) or {}
        same = old.get("status") == item["status"] and old.get("lastTransitionTime")
        timed.append({**item, "lastTransitionTime": old["lastTransitionTime"] if same else now})
    return [*others, *timed]
