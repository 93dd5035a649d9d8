"""List, then watch, one selection of one kind into a store, for ever.

The decisions are a pure state machine, `step(state, input) -> (state, effects)`; `Reflector` carries the effects
out and feeds what comes back in again:

    STREAMING ──whole list──► WATCHING ──stream ends──► WATCHING (same version, no new list)
    or LISTING                   │
       ▲                         │
       └────── 410 Gone ◄────────┤          any failure ──► WAITING ──► what was being done before

A list is streamed: a watch that begins with everything there is, so that neither side ever holds it as one document. A
server that does not do that is asked for pages. The old content of the store stays until a new list is whole. Every
state is left by every failure after a pause that grows from 0.8 s to 30 s; a kind that the server does not know (or
does not let us see) is asked for again if it is optional, while its store says `available=False`.
"""

import random
import time
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TypeAlias

import anyio
import anyio.lowlevel
import structlog

from aimd.runtime.client import Client, Page, Selection, WatchEvent
from aimd.runtime.errors import ApiError, Forbidden, Gone, NotFound, RequestTimeout, ServerTimeout, api_error
from aimd.runtime.metrics import ManagerMetrics
from aimd.runtime.objects import Manifest, metadata_of
from aimd.runtime.store import Store

FIRST_PAUSE = 0.8
LONGEST_PAUSE = 30.0
QUIET_SECONDS = 120.0
"""A watch that lived this long ends a series of failures."""
SHORT_SECONDS = 1.0
"""A watch that brought nothing and ended sooner is a failure, else we would reconnect in a loop."""
ABSENT_PAUSE = 10.0
_STEP = 100

_log = structlog.get_logger()


class Phase(Enum):
    """What the reflector is busy with."""

    LISTING = "listing"
    STREAMING = "streaming"
    WATCHING = "watching"
    WAITING = "waiting"


@dataclass(frozen=True, slots=True)
class State:
    """All that the machine remembers.

    `version` is where a watch resumes, empty before the first list; `streams` whether lists are to be streamed;
    `pages` what has been listed so far of a history that began anew; `after_wait` the phase that a pause returns to.
    """

    phase: Phase = Phase.LISTING
    version: str = ""
    streams: bool = False
    continue_token: str = ""
    pages: tuple[list[Manifest], ...] = ()
    failures: int = 0
    after_wait: Phase = Phase.LISTING
    optional: bool = False


# Inputs


@dataclass(frozen=True, slots=True)
class Begin:
    """Start, or the pause is over."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A page arrived."""

    page: Page


@dataclass(frozen=True, slots=True)
class Received:
    """Events arrived on the watch."""

    events: list[WatchEvent]


@dataclass(frozen=True, slots=True)
class Ended:
    """The watch was closed in order after `seconds`; `events` came in that time. `jitter` in [0, 1)."""

    seconds: float
    events: int
    jitter: float


@dataclass(frozen=True, slots=True)
class Failed:
    """A list or a watch failed; `seconds` is how long a watch had lived. `jitter` in [0, 1)."""

    error: ApiError
    jitter: float
    seconds: float = 0.0


Input: TypeAlias = Begin | Listed | Received | Ended | Failed

# Effects


@dataclass(frozen=True, slots=True)
class FetchPage:
    """List, from the beginning or from the token."""

    continue_token: str = ""


@dataclass(frozen=True, slots=True)
class OpenWatch:
    """Watch from this version; with an empty one, from the beginning: everything there is comes first."""

    version: str


@dataclass(frozen=True, slots=True)
class Sleep:
    """Pause, then `Begin`."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Replace:
    """The store shall hold exactly these; `reset` when the server's versions went back."""

    pages: tuple[list[Manifest], ...]
    version: str
    reset: bool = False


@dataclass(frozen=True, slots=True)
class BeginList:
    """A whole list is coming, as changes."""


@dataclass(frozen=True, slots=True)
class EndList:
    """The list is whole, as of this version: what it did not bring is gone."""

    version: str


@dataclass(frozen=True, slots=True)
class Change:
    """Apply these events, type and object, to the store, in order."""

    events: Sequence[tuple[str, Manifest]]


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether the server serves the kind to us."""

    available: bool


@dataclass(frozen=True, slots=True)
class Restarted:
    """For log and metrics: why something is begun anew."""

    cause: str
    error: ApiError | None = None


Effect: TypeAlias = FetchPage | OpenWatch | Sleep | Replace | BeginList | EndList | Change | Availability | Restarted
Step: TypeAlias = tuple[State, tuple[Effect, ...]]


def step(state: State, received: Input) -> Step:
    """The next state and what to do now; at most the last effect waits for something."""
    match received:
        case Begin():
            return _resume(replace(state, phase=state.after_wait))
        case Listed(page):
            return _listed(state, page)
        case Received(events):
            return _received(state, events)
        case Ended(seconds, events, jitter):
            if state.phase is Phase.STREAMING:
                return _pause(state, Phase.LISTING, "list cut short", jitter)
            if seconds < SHORT_SECONDS and not events:
                return _pause(state, Phase.WATCHING, "short watch", jitter)
            calm = replace(state, failures=0 if seconds >= QUIET_SECONDS else state.failures)
            return _resume(calm)
        case Failed(error, jitter, seconds):
            return _failed(state, error, jitter, seconds)


def _resume(state: State) -> Step:
    if state.phase is Phase.WATCHING and state.version:
        return state, (OpenWatch(state.version),)
    return _list(state)


def _list(state: State, *, by_pages: bool = False) -> Step:
    """Begins a whole list."""
    listing = replace(state, phase=Phase.LISTING, continue_token="", pages=())
    if state.streams and not by_pages:
        return replace(listing, phase=Phase.STREAMING), (BeginList(), OpenWatch(""))
    return listing, (FetchPage(),)


def _listed(state: State, page: Page) -> Step:
    first, version = not state.continue_token, page.resource_version
    if state.pages or (first and _number(version) < _number(state.version)):
        return _listed_anew(state, page)
    content: tuple[Effect, ...] = (Change([("ADDED", item) for item in page.items]),)
    if first:
        content = (BeginList(), *content)
    if page.continue_token:
        return replace(state, continue_token=page.continue_token), (*content, FetchPage(page.continue_token))
    return _follow(state, version), (*content, EndList(version), Availability(True), OpenWatch(version))


def _listed_anew(state: State, page: Page) -> Step:
    """The server's history began anew: what it lists looks old to the store, which takes it over as a whole."""
    pages = (*state.pages, page.items)
    if page.continue_token:
        listing = replace(state, pages=pages, continue_token=page.continue_token)
        return listing, (FetchPage(page.continue_token),)
    version = page.resource_version
    return _follow(state, version), (Replace(pages, version, reset=True), Availability(True), OpenWatch(version))


def _follow(state: State, version: str) -> State:
    """The list is whole; changes after it come by a watch."""
    after = Phase.WATCHING
    return replace(state, phase=after, version=version, pages=(), continue_token="", after_wait=after)


def _received(state: State, events: list[WatchEvent]) -> Step:
    version, watching = state.version, state.phase is Phase.WATCHING
    for position, event in enumerate(events):
        if event.type == "ERROR":
            status = event.object
            error = api_error(int(status.get("code") or 0), status)
            before = replace(state, version=version)
            following, effects = _failed(before, error, 0.0, 0.0)
            return following, (Change(events[:position]), *effects)
        if watching:
            version = str(metadata_of(event.object).get("resourceVersion") or version)
        elif event.type == "BOOKMARK" and _ends_list(event):
            following, effects = _streamed(state, str(metadata_of(event.object).get("resourceVersion") or ""))
            if following.phase is Phase.WATCHING:
                following, rest = _received(following, events[position + 1 :])
                effects = (*effects, *rest)
            return following, (Change(events[:position]), *effects)
    return replace(state, version=version), (Change(events),)


def _ends_list(bookmark: WatchEvent) -> bool:
    annotations = metadata_of(bookmark.object).get("annotations") or {}
    return bool(annotations.get("k8s.io/initial-events-end") == "true")


def _streamed(state: State, version: str) -> Step:
    if _number(version) < _number(state.version):
        # The server's history began anew; what it streamed looks old to the store, so it is listed as a reset.
        listing, effects = _list(state, by_pages=True)
        return listing, (Restarted("history reset"), *effects)
    return _follow(state, version), (EndList(version), Availability(True))


def _failed(state: State, error: ApiError, jitter: float, seconds: float) -> Step:
    if seconds >= QUIET_SECONDS:
        state = replace(state, failures=0)
    watching = state.phase is Phase.WATCHING
    if isinstance(error, NotFound | Forbidden):
        return _not_served(state, error, jitter)
    if state.phase is Phase.STREAMING and (error.status in (400, 422) or isinstance(error, RequestTimeout)):
        listing, begin = _list(replace(state, streams=False))
        return listing, (Restarted("lists are not streamed", error), *begin)
    too_new = isinstance(error, ServerTimeout) and "Too large resource version" in error.message
    if isinstance(error, Gone) or (watching and too_new):
        if state.failures == 0:
            listing, begin = _list(replace(state, failures=1))
            return listing, (Restarted("expired", error), *begin)
        return _pause(state, Phase.LISTING, "expired", jitter, error)
    return _pause(state, Phase.WATCHING if watching else Phase.LISTING, "failure", jitter, error)


def _not_served(state: State, error: ApiError, jitter: float) -> Step:
    if state.phase is Phase.WATCHING:
        # The kind went away, or the right to see it: listing tells which, and whether it is back already.
        return _pause(state, Phase.LISTING, "not served", jitter, error)
    waiting, effects = _pause(state, Phase.LISTING, "not served", jitter, error)
    gone: tuple[Effect, ...] = (Availability(False),)
    if isinstance(error, NotFound):
        gone = (Availability(False), Replace((), state.version, reset=True))
    if state.optional:
        waiting = replace(waiting, failures=0)
        return waiting, (*gone, Restarted("not served", error), Sleep(ABSENT_PAUSE * (1 + jitter * 0.2)))
    return waiting, (Availability(False), *effects)


def _pause(state: State, following: Phase, cause: str, jitter: float, error: ApiError | None = None) -> Step:
    pause = min(FIRST_PAUSE * 2.0 ** min(state.failures, 16), LONGEST_PAUSE) * (1.0 + jitter)
    if error is not None and error.retry_after is not None:
        pause = max(pause, error.retry_after)
    waiting = replace(
        state, phase=Phase.WAITING, after_wait=following, failures=state.failures + 1, pages=(), continue_token=""
    )
    return waiting, (Restarted(cause, error), Sleep(pause))


def _number(version: str) -> int:
    return int(version) if version.isdigit() else 0


@dataclass
class Reflector:
    """Carries the machine's effects out: lists and watches `selection` into `store`."""

    client: Client
    store: Store
    selection: Selection
    optional: bool = False
    metrics: ManagerMetrics | None = None
    streams: bool = True
    settled: anyio.Event = field(default_factory=anyio.Event)
    """Set when the first list is in the store, or the kind turned out not to be served."""

    def __post_init__(self) -> None:
        self.feed: Hashable = object()
        self.store.expect(self.feed)
        self._reported = ""
        self._heard_at = time.monotonic()
        if self.metrics is not None:
            silence = self.metrics.informer_silence.labels(self.selection.kind.name)
            silence.set_function(lambda: time.monotonic() - self._heard_at)

    async def run(self) -> None:
        """Runs until cancelled; raises nothing that the API server can cause."""
        state, effects = step(State(optional=self.optional, streams=self.streams), Begin())
        while True:
            for effect in effects[:-1]:
                await self._change(effect)
            match effects[-1]:
                case FetchPage(token):
                    received = await self._fetch(token)
                case OpenWatch(version):
                    state, effects = await self._watch(state, version)
                    continue
                case Sleep(seconds):
                    await anyio.sleep(seconds)
                    received = Begin()
                case effect:
                    raise AssertionError(f"{effect} leads nowhere")
            state, effects = step(state, received)

    async def _fetch(self, token: str) -> Input:
        try:
            return Listed(await self.client.list_page(self.selection, continue_token=token))
        except ApiError as error:
            return Failed(error, random.random())

    async def _watch(self, state: State, version: str) -> Step:
        """Follows one watch to its end; returns the step that leads away from it."""
        started, count = time.monotonic(), 0
        try:
            async with self.client.watch(self.selection, version) as stream:
                async for events in stream:
                    self._heard_at = time.monotonic()
                    count += len(events)
                    state, effects = step(state, Received(events))
                    for position, effect in enumerate(effects):
                        if isinstance(effect, FetchPage | OpenWatch | Sleep | Restarted):
                            return state, effects[position:]
                        await self._change(effect)
        except ApiError as error:
            return step(state, Failed(error, random.random(), time.monotonic() - started))
        return step(state, Ended(time.monotonic() - started, count, random.random()))

    async def _change(self, effect: Effect) -> None:
        match effect:
            case Change(events):
                await self._apply_slowly(events)
            case BeginList():
                self.store.begin_list(self.feed)
            case EndList(version):
                self.store.end_list(self.feed, _number(version))
                self.settled.set()
            case Replace(pages, version, reset):
                objects = (manifest for page in pages for manifest in page)
                self.store.replace(objects, _number(version), feed=self.feed, reset=reset)
                self.settled.set()
            case Availability(available):
                self._set_available(available)
            case Restarted(cause, error):
                self._report(cause, error)
        self._measure()

    async def _apply_slowly(self, events: Sequence[tuple[str, Manifest]]) -> None:
        """In small steps, so that leases are renewed and probes answered meanwhile."""
        kind, api_version = self.selection.kind.name, self.selection.kind.api_version
        for start in range(0, len(events), _STEP):
            if len(events) > _STEP:
                await anyio.lowlevel.checkpoint()
            initial = not self.settled.is_set()
            for event_type, manifest in events[start : start + _STEP]:
                if self.selection.metadata_only:
                    manifest["apiVersion"], manifest["kind"] = api_version, kind
                if event_type in ("ADDED", "MODIFIED"):
                    self.store.upsert(manifest, feed=self.feed, initial=initial)
                elif event_type == "DELETED":
                    self.store.remove(manifest, feed=self.feed)

    def _set_available(self, available: bool) -> None:
        if available != self.store.available:
            log = _log.info if available or self.optional else _log.warning
            log("kind is served" if available else "kind is not served", kind=self.selection.kind.name)
        self.store.set_available(available)
        if not available and self.optional:
            self.settled.set()

    def _report(self, cause: str, error: ApiError | None) -> None:
        if self.metrics is not None:
            self.metrics.informer_restarts.labels(self.selection.kind.name, cause).inc()
        text = str(error or "")
        expected = self.optional or isinstance(error, Gone) or text == self._reported
        log = _log.debug if expected else _log.warning
        log("informer begins anew", kind=self.selection.kind.name, cause=cause, error=text)
        self._reported = text

    def _measure(self) -> None:
        if self.metrics is not None:
            name = self.selection.kind.name
            self.metrics.informer_synced.labels(name).set(self.store.synced)
            self.metrics.informer_objects.labels(name).set(len(self.store))
