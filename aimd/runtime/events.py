"""Record Kubernetes Events about objects: one Event for each fault, not one for each attempt (OBJ-EVT-2)."""

import time
import uuid
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

import anyio
import structlog

from aimd.runtime.client import Client
from aimd.runtime.errors import ApiError, NotFound
from aimd.runtime.kinds import EVENT
from aimd.runtime.objects import Key, Kind, Manifest, key_of, metadata_of, uid_of

FIRST_INTERVAL = 60.0
LONGEST_INTERVAL = 900.0
CREATIONS = 25
CREATION_WINDOW = 300.0
TABLE_SIZE = 4096
BACKLOG = 10_000
"""Events that may wait to be written; more are dropped."""
LAST_SECONDS = 1.0
"""Seconds for writing the backlog at the end of the process; the next leader waits meanwhile."""
_LONGEST_MESSAGE = 1024

_log = structlog.get_logger()


@dataclass(slots=True)
class _Series:
    """An Event that we created, and how often it was recorded since."""

    key: Key
    count: int
    written_at: float
    interval: float


class EventRecorder:
    """Records core/v1 Events as `component`.

    Expected flow:
    - List the recorder among the reconciler's `runnables`, and call `submit` in a reconcile.

    Guarantees:
    - `submit` neither waits nor fails.
    - The same object, type and reason is one Event, whose count is updated at most every 60 s, doubling to 15 min.
    - An object gets at most 25 new Events in 5 min.

    Caveats:
    - What was recorded is forgotten after a restart, and for all but the latest 4096 series.
    - At the end of the process the backlog has 1 s; the rest is dropped.
    """

    def __init__(self, client: Client, component: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._component = component
        self._clock = clock
        self._series: OrderedDict[tuple[str, str, str], _Series] = OrderedDict()
        self._creations: OrderedDict[str, list[float]] = OrderedDict()
        self._backlog: deque[Callable[[], Awaitable[None]]] = deque()
        self._submitted = anyio.Event()
        self._closing = anyio.Event()

    def submit(self, kind: Kind, regarding: Manifest, *, type: str, reason: str, message: str) -> None:
        """Record an Event soon: `run` writes it. `type` is Normal or Warning, `reason` CamelCase."""
        if len(self._backlog) == BACKLOG:
            self._client.metrics.count_event(kind.name, type, reason, "dropped")
            return
        self._backlog.append(partial(self.record, kind, regarding, type=type, reason=reason, message=message))
        self._submitted.set()

    async def run(self) -> None:
        """Write what is submitted, in order, until `close` is called."""
        async with anyio.create_task_group() as writing:
            writing.start_soon(self._write_submitted)
            await self._closing.wait()
            writing.cancel_scope.deadline = anyio.current_time() + LAST_SECONDS
        if self._backlog:
            _log.info("events dropped", component=self._component, count=len(self._backlog))

    async def _write_submitted(self) -> None:
        while True:
            self._submitted = anyio.Event()
            while self._backlog:
                await self._backlog.popleft()()
            if self._closing.is_set():
                return
            await self._submitted.wait()

    def close(self) -> None:
        """Make `run` return when the backlog is written."""
        self._closing.set()
        self._submitted.set()

    async def record(self, kind: Kind, regarding: Manifest, *, type: str, reason: str, message: str) -> None:
        """Record an Event now; failures are logged and counted. `type` is Normal or Warning, `reason` CamelCase."""
        identity = (uid_of(regarding) or str(key_of(regarding)), type, reason)
        try:
            written = await self._record(identity, kind, regarding, message[:_LONGEST_MESSAGE])
            self._client.metrics.count_event(kind.name, type, reason, "yes" if written else "suppressed")
        except ApiError as error:
            self._client.metrics.count_event(kind.name, type, reason, "failed")
            _log.debug("event not recorded", reason=reason, error=str(error))

    async def _record(self, identity: tuple[str, str, str], kind: Kind, regarding: Manifest, message: str) -> bool:
        """Write the Event; return whether it was not suppressed."""
        series = self._series.get(identity)
        if series is not None:
            self._series.move_to_end(identity)
            series.count += 1
            if self._clock() - series.written_at < series.interval:
                return False
            if await self._repeat(series, message):
                return True
        if not self._may_create(identity[0]):
            return False
        event = self._event(kind, regarding, identity[1], identity[2], message)
        series = _Series(key_of(event), 1, self._clock(), FIRST_INTERVAL)
        self._series[identity] = series
        while len(self._series) > TABLE_SIZE:
            self._series.popitem(last=False)
        await self._client.create(EVENT, event, reason="event")
        return True

    async def _repeat(self, series: _Series, message: str) -> bool:
        """Update the count of the Event; return False if it has expired."""
        series.written_at = self._clock()
        series.interval = min(series.interval * 2, LONGEST_INTERVAL)
        body = {"count": series.count, "lastTimestamp": _now(), "message": message}
        try:
            await self._client.patch(EVENT, series.key, body, reason="event")
        except NotFound:
            return False
        return True

    def _may_create(self, regarding: str) -> bool:
        now = self._clock()
        recent = [moment for moment in self._creations.get(regarding, ()) if now - moment < CREATION_WINDOW]
        allowed = len(recent) < CREATIONS
        self._creations[regarding] = [*recent, now] if allowed else recent
        self._creations.move_to_end(regarding)
        while len(self._creations) > TABLE_SIZE:
            self._creations.popitem(last=False)
        return allowed

    def _event(self, kind: Kind, regarding: Manifest, type: str, reason: str, message: str) -> Manifest:
        key, metadata, now = key_of(regarding), metadata_of(regarding), _now()
        return {
            "apiVersion": EVENT.api_version,
            "kind": EVENT.name,
            "metadata": {"name": f"{key.name[:230]}.{uuid.uuid4().hex[:16]}", "namespace": key.namespace or "default"},
            "involvedObject": {
                "apiVersion": kind.api_version,
                "kind": kind.name,
                "name": key.name,
                "namespace": key.namespace,
                "uid": uid_of(regarding),
                "resourceVersion": str(metadata.get("resourceVersion") or ""),
            },
            "type": type,
            "reason": reason,
            "message": message,
            "count": 1,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "source": {"component": self._component},
            "reportingComponent": self._component,
        }


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
