"""Moments as Kubernetes writes them: RFC 3339 in whole seconds, UTC."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from aimd.runtime.objects import metadata_of


def timestamp(moment: datetime) -> str:
    """RFC 3339 in whole seconds, UTC."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_timestamp(text: str) -> datetime | None:
    """The moment an RFC 3339 text names, None when it names none."""
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def created_at(item: Mapping[str, Any]) -> datetime | None:
    """When the object was made, None where nothing says so."""
    return parse_timestamp(str(metadata_of(item).get("creationTimestamp") or ""))


def age_seconds(item: Mapping[str, Any], now: datetime) -> float:
    """How long ago the object was made; infinite where nothing says so."""
    created = created_at(item)
    return (now - created).total_seconds() if created is not None else math.inf
