"""How many discovery Jobs may run at once, and which template is next.

The two template controllers share the slots (TPL-DSC-2). One process leads, so there is no lock: running Jobs are
counted in the cache, granted slots beside them, and templates that wait stand in a queue. Slots are dealt out by
namespace: the one that has fewest goes first, and none has more than half of them (TPL-DSC-17).
"""

import time
from collections.abc import Callable, Iterable

from aimd.controllers.predicates import job_ended
from aimd.controllers.turns import Turns
from aimd.planning.jobs import has_ended
from aimd.planning.kinds import AIM_CLUSTER_SERVICE_TEMPLATE, AIM_SERVICE_TEMPLATE
from aimd.planning.needs import DiscoverySlot
from aimd.planning.service_template.discovery_job import JOB_LABELS
from aimd.runtime.controller import Watch
from aimd.runtime.kinds import JOB
from aimd.runtime.objects import Key, Kind, Manifest, controller_of, key_of, labels_of, uid_of
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
        self._turns: Turns[Ticket] = Turns(
            share=max(1, (total + 1) // 2),
            kept=total // 5,
            forget_seconds=FORGET_SECONDS,
            namespace_of=lambda ticket: ticket[1].namespace,
        )

    def grant(self, need: DiscoverySlot) -> bool:
        """Return whether a Job may be created now; if not, the template waits in the queue."""
        ticket = need.kind, need.template
        self._turns.ask(ticket, self._clock())
        if ticket not in self._next():
            return False
        self._turns.take(ticket)
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
        return self._turns.waiting(self._clock())

    def next_in_line(self, kind: Kind) -> list[Key]:
        """Return the templates of a kind that would get a slot now."""
        return [key for own, key in self._next() if own == kind]

    def watch(self, kind: Kind) -> Watch:
        """Return the watch that wakes the next templates of a kind when a Job has ended."""

        def next_in_line(_job: Manifest, _cache: Cache) -> Iterable[Key]:
            return self.next_in_line(kind)

        return Watch(JOB, next_in_line, job_ended)

    def _next(self) -> list[Ticket]:
        return self._turns.next(self.total, self._running() | self._granted)

    def _running(self) -> set[Ticket]:
        """Return the templates with a Job that runs.

        A Job counts by its controller, a template that exists, and once for each template: labels and owner references
        can be written by tenants (TPL-DSC-17).
        """
        owners = (self._owner(job) for job in self._cache[JOB].by_index(BY_ACTIVITY, ACTIVE))
        return {owner for owner in owners if owner is not None}

    def _owner(self, job: Manifest) -> Ticket | None:
        reference = controller_of(job) or {}
        for kind in (AIM_SERVICE_TEMPLATE, AIM_CLUSTER_SERVICE_TEMPLATE):
            key = Key(key_of(job).namespace if kind.namespaced else "", str(reference.get("name") or ""))
            template = self._cache[kind].get(key) if reference.get("kind") == kind.name else None
            if template is not None and uid_of(template) == reference.get("uid"):
                return kind, key
        return None
