"""Moments as Kubernetes writes them: RFC 3339 in whole seconds, UTC."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from aimd.runtime.objects import metadata_of


def timestamp(moment: datetime) -> str:
    """Return the moment in RFC 3339, whole seconds, UTC."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_timestamp(text: str) -> datetime | None:
    """Return the moment that an RFC 3339 text names, None when it is malformed."""
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def created_at(item: Mapping[str, Any]) -> datetime | None:
    """Return when the object was created, None when it does not say."""
    return parse_timestamp(str(metadata_of(item).get("creationTimestamp") or ""))


def age_seconds(item: Mapping[str, Any], now: datetime) -> float:
    """Return how long ago the object was created, in seconds; infinite when it does not say."""
    created = created_at(item)
    return (now - created).total_seconds() if created is not None else math.inf
