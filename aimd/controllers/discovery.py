"""Discovery Jobs as the template controllers see them: which there are, what they printed, who may start the next.

The two template controllers share the places for running Jobs (TPL-DSC-2). One process
leads, so there is no lock: running Jobs are counted in the cache, promised places beside them, and whoever waits
stands in a queue.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from aimd.controllers.predicates import pod_changed
from aimd.controllers.reads import events_about, log_tails
from aimd.planning.jobs import JobPhase, job_phase
from aimd.planning.pod_failures import needs_log
from aimd.planning.pods import is_waiting_for_events, newest
from aimd.planning.service_template.discovery import DiscoveryRun, output_wanted
from aimd.planning.service_template.discovery_job import (
    CONTAINER,
    JOB_LABELS,
    TEMPLATE_LABEL,
    DiscoveryContext,
    job_key,
)
from aimd.planning.service_template.discovery_output import LOG_LIMIT
from aimd.planning.service_template.plan import ObservedTemplate, discovery_context, wants_discovery
from aimd.runtime.client import Client
from aimd.runtime.controller import Watch
from aimd.runtime.errors import Forbidden, NotFound
from aimd.runtime.handlers import Handler, for_owner
from aimd.runtime.informer import Informer
from aimd.runtime.kinds import JOB, POD
from aimd.runtime.objects import Key, Kind, Manifest, controller_of, key_of, labels_of, metadata_of, uid_of
from aimd.runtime.store import Cache

BY_ACTIVITY = "discovery/active"
ACTIVE = "active"
_FORGET_AFTER = 20.0
_LOG_LINES = 20_000


def _activity_of(job: Manifest) -> Iterable[str]:
    """Whether a Job is a discovery that still runs."""
    labels = labels_of(job)
    ours = all(labels.get(key) == value for key, value in JOB_LABELS.items())
    return (ACTIVE,) if ours and not _has_ended(job) else ()


def _has_ended(job: Manifest) -> bool:
    conditions = (job.get("status") or {}).get("conditions") or ()
    return any(item.get("type") in ("Complete", "Failed") and item.get("status") == "True" for item in conditions)


DISCOVERY_INFORMERS = (
    Informer(JOB, label_selector=TEMPLATE_LABEL, indexes={BY_ACTIVITY: _activity_of}),
    Informer(POD, label_selector=TEMPLATE_LABEL),
)

Ticket = tuple[Kind, Key]


class DiscoverySlots:
    """How many discovery Jobs may run at once, and who is next.

    A promise holds until `settle`; by then the Job is in the cache, or was not made. Whoever waits asks again every few
    seconds; who does not any more loses the turn.
    """

    def __init__(self, cache: Cache, places: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._cache = cache
        self._places = places
        self._clock = clock
        self._promised: set[Ticket] = set()
        self._queue: dict[Ticket, float] = {}

    def ask(self, ticket: Ticket) -> bool:
        """Whether a Job may be made now; if not, the asker stands in the queue."""
        now = self._clock()
        self._queue[ticket] = now  # Who is in the queue already keeps the place.
        self._queue = {other: seen for other, seen in self._queue.items() if now - seen < _FORGET_AFTER}
        free = self._places - len(self._running()) - len(self._promised)
        if list(self._queue).index(ticket) >= free:
            return False
        del self._queue[ticket]
        self._promised.add(ticket)
        return True

    def settle(self, ticket: Ticket) -> None:
        """The promise is used up, or not needed."""
        self._promised.discard(ticket)

    @property
    def total(self) -> int:
        """Jobs that may run at once."""
        return self._places

    @property
    def running(self) -> int:
        """Jobs that run."""
        return len(self._running())

    @property
    def waiting(self) -> int:
        """Templates that stand in the queue."""
        now = self._clock()
        return sum(1 for seen in self._queue.values() if now - seen < _FORGET_AFTER)

    def next_in_line(self, kind: Kind) -> list[Key]:
        """Those of a kind who would get a place now."""
        free = self._places - len(self._running()) - len(self._promised)
        return [key for own, key in list(self._queue)[: max(free, 0)] if own == kind]

    def _running(self) -> Sequence[Manifest]:
        return self._cache[JOB].by_index(BY_ACTIVITY, ACTIVE)


class DiscoveryRuns:
    """Observes the discovery of templates of both scopes."""

    def __init__(self, client: Client, cache: Cache, system_namespace: str, places: DiscoverySlots) -> None:
        self.system_namespace = system_namespace
        self.places = places
        self._client = client
        self._cache = cache

    def settle(self, kind: Kind, key: Key) -> None:
        """The turn of a template has ended."""
        self.places.settle((kind, key))

    async def observe(self, observed: ObservedTemplate, now: datetime) -> DiscoveryRun:
        """What there is of the template's discovery, and whether a Job may be made."""
        owned = self._cache[JOB].by_index("owner", observed.template.metadata.uid)
        context = discovery_context(observed)
        if context is None:
            return DiscoveryRun(others=tuple(owned))
        wanted = job_key(context)
        job = next((item for item in owned if key_of(item) == wanted), None)
        run = DiscoveryRun(
            job=job,
            others=tuple(item for item in owned if item is not job),
            pods=tuple(self._cache[POD].by_index("owner", uid_of(job))) if job is not None else (),
        )
        if wants_discovery(observed, run, now):
            return replace(run, may_start=self.places.ask((context.kind, observed.key)))
        return await self._with_details(context, run)

    async def _with_details(self, context: DiscoveryContext, run: DiscoveryRun) -> DiscoveryRun:
        if run.job is None:
            return run
        if output_wanted(context, run):
            return await self._with_output(run)
        if job_phase(run.job) is JobPhase.FAILED:
            failed = (pod for pod in run.pods if _phase(pod) == "Failed" and needs_log(pod, {}))
            return replace(run, tails=await log_tails(self._client, failed))
        if job_phase(run.job) is JobPhase.RUNNING:
            waiting = filter(is_waiting_for_events, run.pods)
            return replace(run, events=await events_about(self._client, waiting))
        return run

    async def _with_output(self, run: DiscoveryRun) -> DiscoveryRun:
        """With what the pod printed; lost when the pod is gone or may not be read, else asked for again."""
        assert run.job is not None
        pods = run.pods
        if not any(_phase(pod) == "Succeeded" for pod in pods):
            key = key_of(run.job)
            selector = f"job-name={key.name}"
            pods = tuple(await self._client.list(POD, namespace=key.namespace, label_selector=selector))
        done = newest(pod for pod in pods if _phase(pod) == "Succeeded")
        if done is None:
            return replace(run, unreadable="its pod was gone before its output could be read")
        try:
            text = await self._client.logs(
                key_of(done), container=CONTAINER, tail_lines=_LOG_LINES, limit_bytes=LOG_LIMIT
            )
        except (NotFound, Forbidden) as error:
            return replace(run, pods=pods, unreadable=f"its output cannot be read: {error.message}")
        return replace(run, pods=pods, log=text)


def discovery_watches(kind: Kind, runs: DiscoveryRuns) -> tuple[Watch, ...]:
    """Wakes the templates of a kind whose Job or pod changed, and those whose turn it is when a Job has ended."""

    def next_in_line(job: Manifest, cache: Cache) -> Iterable[Key]:
        return runs.places.next_in_line(kind)

    return (
        Watch(JOB, for_owner(kind), _job_changed),
        Watch(JOB, next_in_line, _job_ended),
        Watch(POD, _template_of_pod(kind), pod_changed),
    )


def _template_of_pod(kind: Kind) -> Handler:
    owner = for_owner(kind)

    def template(pod: Manifest, cache: Cache) -> Iterable[Key]:
        """By way of its Job: the label may be shortened."""
        reference = controller_of(pod)
        job = cache[JOB].get(Key(key_of(pod).namespace, str(reference.get("name")))) if reference is not None else None
        return owner(job, cache) if job is not None else ()

    return template


def _job_changed(before: Manifest | None, after: Manifest | None) -> bool:
    if before is None or after is None:
        return True
    return _job_state(before) != _job_state(after)


def _job_state(job: Manifest) -> tuple[object, ...]:
    return job_phase(job), metadata_of(job).get("ownerReferences")


def _job_ended(before: Manifest | None, after: Manifest | None) -> bool:
    if before is None:
        return False
    return after is None or (_has_ended(after) and not _has_ended(before))


def _phase(pod: Manifest) -> str:
    return str((pod.get("status") or {}).get("phase") or "")
