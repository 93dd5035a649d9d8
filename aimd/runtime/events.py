"""Records Kubernetes Events about objects, sparingly: one Event object per fault, not one per attempt.

The same (object, type, reason, component) is created once; repeats raise its count, at most every 60 s, doubling to
15 min while the fault lasts. An object gets at most 25 new Events in 5 min. The table is bounded and starts empty
after a restart (OBJ-EVT-2). Recording never fails a reconcile, nor holds it up: `submit` only takes note, and
`run`, beside the workers of a controller, writes.
"""

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
"""Events that wait to be written; beyond that new ones are dropped."""
LAST_SECONDS = 1.0
"""What still waits when the process ends must not hold up the next leader."""
_LONGEST_MESSAGE = 1024

_log = structlog.get_logger()


@dataclass(slots=True)
class _Series:
    """An Event object that we created, and how often its cause has come since."""

    key: Key
    count: int
    written_at: float
    interval: float


class EventRecorder:
    """Writes core/v1 Events as `component`."""

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
        """Like `record`, but at once: `run` does the writing."""
        if len(self._backlog) == BACKLOG:
            self._client.metrics.count_event(kind.name, type, reason, "dropped")
            return
        self._backlog.append(partial(self.record, kind, regarding, type=type, reason=reason, message=message))
        self._submitted.set()

    async def run(self) -> None:
        """Writes what was submitted, in order, until `close`; what waits then has `LAST_SECONDS`."""
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
        """Lets `run` end: at once, or when what is there is written."""
        self._closing.set()
        self._submitted.set()

    async def record(self, kind: Kind, regarding: Manifest, *, type: str, reason: str, message: str) -> None:
        """Reports something about an object; `type` is Normal or Warning, `reason` CamelCase."""
        identity = (uid_of(regarding) or str(key_of(regarding)), type, reason)
        try:
            written = await self._record(identity, kind, regarding, message[:_LONGEST_MESSAGE])
            self._client.metrics.count_event(kind.name, type, reason, "yes" if written else "suppressed")
        except ApiError as error:
            self._client.metrics.count_event(kind.name, type, reason, "failed")
            _log.debug("event not recorded", reason=reason, error=str(error))

    async def _record(self, identity: tuple[str, str, str], kind: Kind, regarding: Manifest, message: str) -> bool:
        """False when the Event was held back."""
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
        """Counts on the Event object; False when the server has dropped it (they live an hour)."""
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
