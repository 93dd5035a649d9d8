"""Detect objects of the cache that were modified in place: for tests.

As in client-go, the environment variable KUBE_CACHE_MUTATION_DETECTOR turns it on.
"""

import os
from collections.abc import Mapping
from typing import Any

import orjson
import structlog

from aimd.runtime.objects import Key, Kind

SWITCH = "KUBE_CACHE_MUTATION_DETECTOR"

_log = structlog.get_logger()


class MutationDetector:
    """Keeps what each object of a store looked like when it arrived.

    Readers of a store get references, so one that modifies an object modifies it for all. Objects are compared whenever
    they are read, replaced or removed.
    """

    found: list[str] = []  # noqa: RUF012  One list for all detectors is the point.
    """All mutations found in this process: kind and key."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self._seen: dict[Key, bytes] = {}

    def capture(self, key: Key, manifest: Mapping[str, Any]) -> None:
        """Keep what an object looks like that has just arrived."""
        self._seen[key] = _text(manifest)

    def verify(self, key: Key, manifest: Mapping[str, Any]) -> None:
        """Record and log a mutation if the object isn't what arrived."""
        if _text(manifest) == self._seen.get(key):
            return
        self.found.append(f"{self._kind.name} {key}")
        self.capture(key, manifest)
        _log.error("cached object modified in place", kind=self._kind.name, key=str(key))


def _text(manifest: Mapping[str, Any]) -> bytes:
    try:
        return orjson.dumps(manifest)
    except orjson.JSONEncodeError:  # What is left of an unreadable object may have text that is no UTF-8.
        return ascii(manifest).encode()


def mutation_detector(kind: Kind) -> MutationDetector | None:
    """Return a detector if the environment turns it on."""
    return MutationDetector(kind) if os.environ.get(SWITCH, "").lower() == "true" else None
