"""How many discovery Jobs may run at once, and which template is next.

The two template controllers share the slots (TPL-DSC-2). One process leads, so there is no lock: running Jobs are
counted in the cache, granted slots beside them, and templates that wait stand in a queue.
"""

import time
from collections.abc import Callable, Iterable, Sequence

from aimd.controllers.predicates import job_ended
from aimd.planning.jobs import has_ended
from aimd.planning.needs import DiscoverySlot
from aimd.planning.service_template.discovery_job import JOB_LABELS
from aimd.runtime.controller import Watch
from aimd.runtime.kinds import JOB
from aimd.runtime.objects import Key, Kind, Manifest, labels_of
from aimd.runtime.store import Cache

BY_ACTIVITY = "discovery: active"
ACTIVE = "active"
FORGET_SECONDS = 20.0
"""A waiting template that has not asked again for so long loses its place."""

Ticket = tuple[Kind, Key]


def activity_of(job: Manifest) -> Iterable[str]:
    """Return the index value of a discovery Job that still runs; nothing for any other Job."""
    labels = labels_of(job)
    is_discovery = all(labels.get(key) == value for key, value in JOB_LABELS.items())
    return (ACTIVE,) if is_discovery and not has_ended(job) else ()


class DiscoverySlots:
    """The slots, and the queue of templates that wait for one.

    A granted slot is held until `release`; by then the Job is in the cache, or was not created. Waiting templates must
    ask again every few seconds.
    """

    def __init__(self, cache: Cache, total: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.total = total
        """Jobs that may run at once."""
        self._cache = cache
        self._clock = clock
        self._granted: set[Ticket] = set()
        self._queue: dict[Ticket, float] = {}

    def grant(self, need: DiscoverySlot) -> bool:
        """Return whether a Job may be created now; if not, the template waits in the queue."""
        now, ticket = self._clock(), (need.kind, need.template)
        self._queue[ticket] = now  # A ticket that is in the queue keeps its place.
        self._queue = {other: seen for other, seen in self._queue.items() if now - seen < FORGET_SECONDS}
        if list(self._queue).index(ticket) >= self._free:
            return False
        del self._queue[ticket]
        self._granted.add(ticket)
        return True

    def release(self, kind: Kind, key: Key) -> None:
        """Give the slot of a template back; without effect where none was granted."""
        self._granted.discard((kind, key))

    @property
    def running(self) -> int:
        """Jobs that run."""
        return len(self._running())

    @property
    def waiting(self) -> int:
        """Templates that wait in the queue."""
        now = self._clock()
        return sum(1 for seen in self._queue.values() if now - seen < FORGET_SECONDS)

    def next_in_line(self, kind: Kind) -> list[Key]:
        """Return the templates of a kind that would get a slot now."""
        return [key for own, key in list(self._queue)[: max(self._free, 0)] if own == kind]

    def watch(self, kind: Kind) -> Watch:
        """Return the watch that wakes the next templates of a kind when a Job has ended."""

        def next_in_line(_job: Manifest, _cache: Cache) -> Iterable[Key]:
            return self.next_in_line(kind)

        return Watch(JOB, next_in_line, job_ended)

    @property
    def _free(self) -> int:
        return self.total - len(self._running()) - len(self._granted)

    def _running(self) -> Sequence[Manifest]:
        return self._cache[JOB].by_index(BY_ACTIVITY, ACTIVE)
