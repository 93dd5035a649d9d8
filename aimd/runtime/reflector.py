"""Keep a store equal to what the API server has: the I/O around the state machine of `watcher`."""

import time
from collections.abc import AsyncGenerator, Callable, Hashable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

import anyio
import anyio.lowlevel
import structlog

from aimd.runtime import watcher
from aimd.runtime.client import Client, Selection
from aimd.runtime.errors import ApiError, Gone
from aimd.runtime.jitter import jitter
from aimd.runtime.metrics import ManagerMetrics
from aimd.runtime.objects import Manifest, version_number
from aimd.runtime.store import Store

_STEP = 100
"""Objects that are stored before other tasks may run."""
FAILING_AFTER = 60.0
"""Seconds of failures after which an informer is not healthy; also the time between two log lines about them."""
_STEADY = 5.0
"""Seconds after which a watch that is open ends a series of failures."""
_EXPECTED = frozenset({"expired", "history reset", "lists are not streamed"})
"""Causes of a restart that are part of normal operation."""

_log = structlog.get_logger()


@dataclass
class Reflector:
    """Lists and watches `selection` into `store`, as client-go's Reflector.

    Guarantees:
    - `run` survives everything that the API server can cause; an object that cannot be stored costs itself alone.
    - The store never goes back to an older state, and keeps its content until a new list is complete.
    - Other tasks may run after 100 objects at most.

    Assumptions:
    - The objects of the selection are stored by this reflector, and by our own writes. Several reflectors may fill one
      store; an object stays as long as one of them selects it.
    """

    client: Client
    store: Store
    selection: Selection
    optional: bool = False
    """The server may lack the kind, or forbid it; `synced` is then set without a list."""
    metrics: ManagerMetrics | None = None
    streams: bool = True
    """Request lists as a stream; turned off by itself for a server that refuses that."""
    clock: Callable[[], float] = time.monotonic
    synced: anyio.Event = field(default_factory=anyio.Event)
    """Set when the first list is in the store, or an optional kind turned out not to be served."""

    def __post_init__(self) -> None:
        self._id: Hashable = object()
        self.store.expect(self._id)
        self._reported, self._reported_at = "", float("-inf")
        self._heard_at = self.clock()
        self._failing_since: float | None = None
        self._opened_at: float | None = None
        if self.metrics is not None:
            self.metrics.add_informer(self.selection.kind.name, self)

    @property
    def silence(self) -> float:
        """Seconds since the server last sent anything."""
        return self.clock() - self._heard_at

    @property
    def failing_seconds(self) -> float:
        """Seconds for which lists and watches have been failing; 0 if the last watch is open and steady."""
        return self.clock() - self._failing_since if self._failing_since is not None and not self._steady else 0.0

    @property
    def healthy(self) -> bool:
        """Whether the store follows the server: it is synced, and there were no lasting failures since (OBJ-TEN-2)."""
        return self.store.synced and self.failing_seconds <= FAILING_AFTER

    @property
    def last_failure(self) -> str:
        """What was reported last."""
        return self._reported

    @property
    def _steady(self) -> bool:
        return self._opened_at is not None and self.clock() - self._opened_at >= _STEADY

    async def run(self) -> None:
        """Run until canceled; raise nothing that the API server can cause."""
        state: watcher.State = watcher.initial(optional=self.optional, streams=self.streams)
        action: watcher.Action = watcher.Sleep(0.0)
        while True:
            async with aclosing(self._inputs(action)) as inputs:
                async for received in inputs:
                    state, effects, following = watcher.step(state, received)
                    for effect in effects:
                        await self._carry_out(effect)
                    if following is not None:
                        action = following
                        break

    async def _inputs(self, action: watcher.Action) -> AsyncGenerator[watcher.Input, None]:
        """Yield what the action brings: several inputs if it is a watch, else one."""
        match action:
            case watcher.Sleep(seconds):
                await anyio.sleep(seconds)
                yield watcher.Begin()
            case watcher.FetchPage(token):
                try:
                    yield watcher.Listed(await self.client.list_page(self.selection, continue_token=token))
                except ApiError as error:
                    yield watcher.Failed(error, jitter(0, 1))
            case watcher.OpenWatch(version):
                started, count = self.clock(), 0
                try:
                    async with self.client.watch(self.selection, version) as stream:
                        self._opened_at = self.clock()
                        async for events in stream:
                            self._heard_at = self.clock()
                            count += len(events)
                            yield watcher.Received(events)
                except ApiError as error:
                    yield watcher.Failed(error, jitter(0, 1), self.clock() - started)
                else:
                    yield watcher.Ended(self.clock() - started, count, jitter(0, 1))

    async def _carry_out(self, effect: watcher.Effect) -> None:
        match effect:
            case watcher.Change(events):
                await self._store_in_steps(events)
            case watcher.BeginList():
                self.store.begin_list(self._id)
            case watcher.EndList(version):
                self.store.end_list(self._id, version_number(version))
                self.synced.set()
            case watcher.Replace(pages, version, reset):
                objects = (manifest for page in pages for manifest in page)
                self.store.replace(objects, version_number(version), informer=self._id, reset=reset)
                self.synced.set()
            case watcher.Availability(available):
                self._set_available(available=available)
            case watcher.Restarted(cause, error):
                self._report(cause, error)
        self._measure()

    async def _store_in_steps(self, events: Sequence[tuple[str, Manifest]]) -> None:
        """Store the changes in small steps, so that leases are renewed and probes answered meanwhile."""
        kind, api_version = self.selection.kind.name, self.selection.kind.api_version
        for start in range(0, len(events), _STEP):
            if len(events) > _STEP:
                await anyio.lowlevel.checkpoint()
            initial = not self.synced.is_set()
            for event_type, manifest in events[start : start + _STEP]:
                if self.selection.metadata_only:
                    manifest["apiVersion"], manifest["kind"] = api_version, kind
                try:
                    if event_type in ("ADDED", "MODIFIED"):
                        self.store.upsert(manifest, informer=self._id, initial=initial)
                    elif event_type == "DELETED":
                        self.store.remove(manifest, informer=self._id)
                except Exception:
                    _log.exception("object not stored", kind=kind, text=ascii(manifest)[:200])

    def _set_available(self, *, available: bool) -> None:
        if available != self.store.available:
            log = _log.info if available or self.optional else _log.warning
            log("kind served" if available else "kind not served", kind=self.selection.kind.name)
        self.store.set_available(available=available)
        if not available and self.optional:
            self.synced.set()

    def _report(self, cause: str, error: ApiError | None) -> None:
        if self.metrics is not None:
            self.metrics.informer_restarts.labels(self.selection.kind.name, cause).inc()
        now, text = self.clock(), str(error or "")
        if cause not in _EXPECTED and (self._failing_since is None or self._steady):
            self._failing_since = now
        self._opened_at = None
        repeated = text == self._reported and now - self._reported_at < FAILING_AFTER
        quiet = self.optional or isinstance(error, Gone) or repeated
        log = _log.debug if quiet else _log.warning
        log("informer restarted", kind=self.selection.kind.name, cause=cause, error=text)
        if not repeated:
            self._reported, self._reported_at = text, now

    def _measure(self) -> None:
        if self.metrics is not None:
            name = self.selection.kind.name
            self.metrics.informer_objects.labels(name).set(len(self.store))
