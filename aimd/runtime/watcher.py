"""List, then watch, one selection of one kind: a pure state machine.

`step(state, input)` returns the next state, the effects on the store, and the action that brings the next input. It
does no I/O and reads no clock, so that every failure can be tested; `Reflector` carries out what it returns.

    Streaming ──list complete──► Watching ──stream ends──► Watching, from the same version, without a new list
    or Listing                      │
       ▲                            │
       └───────── 410 Gone ◄────────┤         any failure ──► Waiting ──► the state that `then` holds

A list is streamed: a watch that starts with every object, so that neither side holds the list as one document. A server
that doesn't support this is asked for pages. The store keeps its content until a new list is complete. Failures pause
the machine for 0.8 s, doubling to 30 s.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeAlias, TypeVar

from aimd.runtime import errors
from aimd.runtime.client import Page, WatchEvent
from aimd.runtime.errors import ApiError, Forbidden, Gone, NotFound, RequestTimeout, ServerTimeout, Undecodable
from aimd.runtime.objects import Manifest, metadata_of, version_number

FIRST_PAUSE = 0.8
LONGEST_PAUSE = 30.0
QUIET_SECONDS = 120.0
"""A watch that lived this long resets the backoff."""
SHORT_SECONDS = 1.0
"""A watch that ends sooner and without an event counts as a failure; reconnecting at once would make a hot loop."""
ABSENT_PAUSE = 10.0
"""Pause before an optional kind that isn't served is tried again."""

# States


@dataclass(frozen=True, slots=True)
class Common:
    """What every state carries along."""

    optional: bool = False
    """The server may lack the kind or forbid it; trying again is then no failure."""
    streams: bool = False
    """Lists are requested as a stream; turned off when the server refuses that."""
    failures: int = 0
    """Number of failures in a row, which the length of the next pause follows."""


@dataclass(frozen=True, slots=True)
class Listing:
    """Fetches a list page by page; each page goes to the store as it arrives.

    Exits: `Watching` after the last page; `Replacing` if the first page is older than `version`; on Gone (the token
    expired) a new list, at once after the first such failure; on any other failure `Waiting` for a new list.
    """

    common: Common
    version: str = ""
    """resourceVersion of what the store holds from before; empty before the first list."""
    token: str = ""
    """Continue token of the page to fetch; empty for the first."""


@dataclass(frozen=True, slots=True)
class Replacing:
    """Fetches a list whose versions went back, because etcd was restored from a backup.

    The store would ignore these objects as outdated, so the pages are collected and replace its content as a whole.

    Exits: as of `Listing`; a failure discards the collected pages.
    """

    common: Common
    version: str
    token: str
    pages: tuple[list[Manifest], ...]


@dataclass(frozen=True, slots=True)
class Streaming:
    """Receives a list as a stream: every object, then a bookmark that ends the list.

    Exits: `Watching` at the bookmark, on the same stream; `Listing` if the bookmark is older than `version`, and, with
    `streams` turned off, if the server refuses or stays silent; on any other failure `Waiting` for a new list.
    """

    common: Common
    version: str = ""


@dataclass(frozen=True, slots=True)
class Watching:
    """Receives changes.

    Exits: `Watching` from the last `version` when the stream ends; on Gone a new list, at once after the first such
    failure; on NotFound and Forbidden `Waiting` for a new list; on any other failure `Waiting` to watch from `version`.
    """

    common: Common
    version: str
    """resourceVersion of the last event or bookmark, from which a watch resumes."""


Active: TypeAlias = Listing | Replacing | Streaming | Watching
"""Waits for the API server."""
A = TypeVar("A", bound=Active)


@dataclass(frozen=True, slots=True)
class Waiting:
    """Pauses after a failure, and before the first list.

    Exit: the state that `then` holds.
    """

    then: Listing | Streaming | Watching


State: TypeAlias = Active | Waiting

# Inputs


@dataclass(frozen=True, slots=True)
class Begin:
    """The pause is over."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A page arrived."""

    page: Page


@dataclass(frozen=True, slots=True)
class Received:
    """Events arrived on the stream."""

    events: list[WatchEvent]


@dataclass(frozen=True, slots=True)
class Ended:
    """The server closed the stream after `seconds` and this many `events`; `jitter` is in [0, 1)."""

    seconds: float
    events: int
    jitter: float


@dataclass(frozen=True, slots=True)
class Failed:
    """A request failed; `seconds` is how long a stream had lived, and `jitter` is in [0, 1)."""

    error: ApiError
    jitter: float
    seconds: float = 0.0


Input: TypeAlias = Begin | Listed | Received | Ended | Failed

# Actions: each brings one input, a watch several


@dataclass(frozen=True, slots=True)
class FetchPage:
    """List from the start, or from the token."""

    token: str = ""


@dataclass(frozen=True, slots=True)
class OpenWatch:
    """Watch from this version; if it is empty, stream a list first."""

    version: str


@dataclass(frozen=True, slots=True)
class Sleep:
    """Pause."""

    seconds: float


Action: TypeAlias = FetchPage | OpenWatch | Sleep

# Effects: what to do before the action; none of them brings an input


@dataclass(frozen=True, slots=True)
class BeginList:
    """Tell the store that a complete list is coming, as changes."""


@dataclass(frozen=True, slots=True)
class EndList:
    """Tell the store that the list is complete at `version`; objects it did not contain have been deleted."""

    version: str


@dataclass(frozen=True, slots=True)
class Replace:
    """Replace the content of the store by these pages; `reset` if the server's versions went back."""

    pages: tuple[list[Manifest], ...]
    version: str
    reset: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """Apply these events, type and object, to the store, in order."""

    events: Sequence[tuple[str, Manifest]]


@dataclass(frozen=True, slots=True)
class Availability:
    """Record whether the server serves the kind to us."""

    available: bool


@dataclass(frozen=True, slots=True)
class Restarted:
    """Log and count why a list or watch is started again."""

    cause: str
    error: ApiError | None = None


Effect: TypeAlias = BeginList | EndList | Replace | Change | Availability | Restarted


class Step(NamedTuple):
    """What follows an input: carry out the effects in order, then take the action.

    Without an `action`, the watch that is open brings the next input.
    """

    state: State
    effects: tuple[Effect, ...] = ()
    action: Action | None = None

    def after(self, *effects: Effect) -> "Step":
        """Return the same step with these effects first."""
        return Step(self.state, (*effects, *self.effects), self.action)


def initial(*, optional: bool, streams: bool) -> Waiting:
    """Return the state before the first list."""
    return Waiting(_new_list(Common(optional, streams), ""))


def step(state: State, received: Input) -> Step:
    """Return what follows `received`; an input that doesn't belong to the state is stale and changes nothing."""
    match state, received:
        case Watching() as watching, Received(events):
            return _changed(watching, events)
        case Streaming() as streaming, Received(events):
            return _streamed(streaming, events)
        case Listing() as listing, Listed(page):
            return _listed(listing, page)
        case Replacing() as replacing, Listed(page):
            return _listed_again(replacing, page)
        case Waiting(then), Begin():
            return _enter(then)
        case Watching() as watching, Ended(seconds, count, jitter):
            if seconds < SHORT_SECONDS and not count:
                return _pause(watching, "short watch", jitter)
            return _enter(_rested(watching) if seconds >= QUIET_SECONDS else watching)
        case Streaming() as streaming, Ended(_, _, jitter):
            return _pause(streaming, "list cut short", jitter)
        case (Listing() | Replacing() | Streaming() | Watching()) as active, Failed(error, jitter, seconds):
            return _failed(_rested(active) if seconds >= QUIET_SECONDS else active, error, jitter)
    return Step(state)


def _enter(state: Listing | Streaming | Watching) -> Step:
    """Return the step that starts a list, or a watch, with its first action."""
    match state:
        case Watching(common, version):
            return Step(state, (), OpenWatch(version)) if version else _enter(_new_list(common, version))
        case Streaming():
            return Step(state, (BeginList(),), OpenWatch(""))
        case Listing(_, _, token):
            return Step(state, (), FetchPage(token))


def _new_list(common: Common, version: str) -> Listing | Streaming:
    return Streaming(common, version) if common.streams else Listing(common, version)


def _listed(state: Listing, page: Page) -> Step:
    first = not state.token
    if first and version_number(page.resource_version) < version_number(state.version):
        return _listed_again(Replacing(state.common, state.version, "", ()), page)
    content: tuple[Effect, ...] = (Change([("ADDED", item) for item in page.items]),)
    if first:
        content = (BeginList(), *content)
    if page.continue_token:
        following = Listing(state.common, state.version, page.continue_token)
        return Step(following, content, FetchPage(page.continue_token))
    return _watch(state.common, page.resource_version, *content, EndList(page.resource_version))


def _listed_again(state: Replacing, page: Page) -> Step:
    pages = (*state.pages, page.items)
    if page.continue_token:
        return Step(replace(state, token=page.continue_token, pages=pages), (), FetchPage(page.continue_token))
    return _watch(state.common, page.resource_version, Replace(pages, page.resource_version, reset=True))


def _watch(common: Common, version: str, *effects: Effect) -> Step:
    """Return the step that ends a list and watches for what comes after it."""
    return Step(Watching(common, version), (*effects, Availability(available=True)), OpenWatch(version))


def _changed(state: Watching, events: list[WatchEvent]) -> Step:
    version = state.version
    for position, event in enumerate(events):
        if event.type == "ERROR":
            failed = _failed(Watching(state.common, version), _error_of(event), 0.0)
            return failed.after(Change(events[:position]))
        version = str(metadata_of(event.object).get("resourceVersion") or version)
    return Step(Watching(state.common, version), (Change(events),))


def _streamed(state: Streaming, events: list[WatchEvent]) -> Step:
    for position, event in enumerate(events):
        if event.type == "ERROR":
            return _failed(state, _error_of(event), 0.0).after(Change(events[:position]))
        if event.type == "BOOKMARK" and _ends_list(event):
            before, version = Change(events[:position]), str(metadata_of(event.object).get("resourceVersion") or "")
            if version_number(version) < version_number(state.version):
                # The versions went back. What was streamed looks outdated to the store; listed, it is replaced.
                listing = _enter(Listing(state.common, state.version))
                return listing.after(before, Restarted("history reset"))
            rest = _changed(Watching(state.common, version), events[position + 1 :])
            return rest.after(before, EndList(version), Availability(available=True))
    return Step(state, (Change(events),))


def _ends_list(bookmark: WatchEvent) -> bool:
    return bool((metadata_of(bookmark.object).get("annotations") or {}).get("k8s.io/initial-events-end") == "true")


def _error_of(event: WatchEvent) -> ApiError:
    return errors.api_error(int(event.object.get("code") or 0), event.object)


def _failed(state: Active, error: ApiError, jitter: float) -> Step:
    common, version = state.common, state.version
    if isinstance(error, NotFound | Forbidden):
        return _not_served(state, error, jitter)
    by_pages = Listing(replace(common, streams=False), version)
    if isinstance(state, Streaming) and (error.status in (400, 422) or isinstance(error, RequestTimeout)):
        return _enter(by_pages).after(Restarted("lists are not streamed", error))
    if isinstance(error, Undecodable):
        # The line would come again; a list by pages goes beyond it.
        return _pause(by_pages, "undecodable", jitter, error)
    too_new = isinstance(error, ServerTimeout) and "Too large resource version" in error.message
    if isinstance(error, Gone) or (isinstance(state, Watching) and too_new):
        if common.failures == 0:
            return _enter(_new_list(replace(common, failures=1), version)).after(Restarted("expired", error))
        return _pause(_new_list(common, version), "expired", jitter, error)
    return _pause(state, "failure", jitter, error)


def _not_served(state: Active, error: ApiError, jitter: float) -> Step:
    waiting = _pause(_new_list(state.common, state.version), "not served", jitter, error)
    if isinstance(state, Watching):
        # The kind was removed, or the right to see it: a list shows which, and whether it is back already.
        return waiting
    if not state.common.optional:
        return waiting.after(Availability(available=False))
    absent = Waiting(_new_list(replace(state.common, failures=0), state.version))
    pause = Step(absent, (Restarted("not served", error),), Sleep(ABSENT_PAUSE * (1 + jitter * 0.2)))
    if isinstance(error, NotFound):
        pause = pause.after(Replace((), state.version, reset=True))
    return pause.after(Availability(available=False))


def _pause(state: Active, cause: str, jitter: float, error: ApiError | None = None) -> Step:
    """Return the step that pauses, then watches on from the last version, or lists again from the start."""
    common = state.common
    pause = min(FIRST_PAUSE * 2.0 ** min(common.failures, 16), LONGEST_PAUSE) * (1.0 + jitter)
    if error is not None and error.retry_after is not None:
        pause = max(pause, error.retry_after)
    common = replace(common, failures=common.failures + 1)
    then = Watching(common, state.version) if isinstance(state, Watching) else _new_list(common, state.version)
    return Step(Waiting(then), (Restarted(cause, error),), Sleep(pause))


def _rested(state: A) -> A:
    """Return the state with the backoff reset."""
    return replace(state, common=replace(state.common, failures=0))
