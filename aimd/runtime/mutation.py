"""Finds out who changes what the cache shares: for tests, switched on by KUBE_CACHE_MUTATION_DETECTOR as in client-go.

Readers of a store get references; one that changes an object changes it for everybody. The detector keeps what each
object looked like when it arrived and compares whenever it is read, replaced or removed.
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
    """Remembers the objects of one store; `found` are all mutations in this process, kind and key."""

    found: list[str] = []  # noqa: RUF012  One list for all detectors is the point.

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self._seen: dict[Key, bytes] = {}

    def capture(self, key: Key, manifest: Mapping[str, Any]) -> None:
        """Remembers an object that has just arrived."""
        self._seen[key] = orjson.dumps(manifest)

    def verify(self, key: Key, manifest: Mapping[str, Any]) -> None:
        """Notes and logs when the object is not what arrived."""
        if orjson.dumps(manifest) == self._seen.get(key):
            return
        self.found.append(f"{self._kind.name} {key}")
        self.capture(key, manifest)
        _log.error("an object of the cache was changed in place", kind=self._kind.name, key=str(key))


def mutation_detector(kind: Kind) -> MutationDetector | None:
    """A detector where the environment asks for one."""
    return MutationDetector(kind) if os.environ.get(SWITCH, "").lower() == "true" else None
