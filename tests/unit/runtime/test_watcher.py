"""The watcher: single steps, and a model of a server that fails in every way."""

from dataclasses import replace
from typing import get_args, get_type_hints

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from aimd.runtime.client import Page, WatchEvent
from aimd.runtime.errors import (
    ApiError,
    Forbidden,
    Gone,
    NotFound,
    RequestTimeout,
    ServerTimeout,
    Unavailable,
    Undecodable,
)
from aimd.runtime.kinds import CONFIG_MAP
from aimd.runtime.objects import Manifest, key_of, resource_version
from aimd.runtime.store import Delta, Store
from aimd.runtime.watcher import (
    ABSENT_PAUSE,
    Action,
    Availability,
    Begin,
    BeginList,
    Change,
    Common,
    Effect,
    Ended,
    EndList,
    Failed,
    FetchPage,
    Input,
    Listed,
    Listing,
    OpenWatch,
    Received,
    Replace,
    Replacing,
    Restarted,
    Sleep,
    State,
    Step,
    Streaming,
    Waiting,
    Watching,
    initial,
    step,
)

WATCHING = Watching(Common(), "10")
SERVED = Availability(available=True)
NOT_SERVED = Availability(available=False)


def thing(name: str, version: int, uid: str = "u") -> Manifest:
    return {"metadata": {"name": name, "namespace": "ns", "uid": uid, "resourceVersion": str(version)}}


def pause(action: Action | None) -> float:
    assert isinstance(action, Sleep)
    return action.seconds


def test_pages_reach_the_store_as_they_come_and_the_last_one_ends_the_list() -> None:
    state, effects, action = step(initial(optional=False, streams=False), Begin())
    assert (effects, action) == ((), FetchPage())
    state, effects, action = step(state, Listed(Page([thing("a", 1)], "8", "token")))
    assert effects == (BeginList(), Change([WatchEvent("ADDED", thing("a", 1))]))
    assert action == FetchPage("token")
    state, effects, action = step(state, Listed(Page([thing("b", 2)], "8", "")))
    added = Change([WatchEvent("ADDED", thing("b", 2))])
    assert effects == (added, EndList("8"), SERVED)
    assert action == OpenWatch("8")
    assert state == Watching(Common(), "8")


def test_pages_of_a_history_that_began_anew_are_gathered_and_replace_everything() -> None:
    state, effects, action = step(Listing(Common(), "99"), Listed(Page([thing("a", 1)], "7", "token")))
    assert (effects, action) == ((), FetchPage("token"))
    assert state == Replacing(Common(), "99", "token", ([thing("a", 1)],))
    state, effects, action = step(state, Listed(Page([thing("b", 2)], "7", "")))
    replaced = Replace(([thing("a", 1)], [thing("b", 2)]), "7", reset=True)
    assert (effects, action) == ((replaced, SERVED), OpenWatch("7"))
    assert state == Watching(Common(), "7"), "the pages are forgotten"


def test_events_and_bookmarks_move_the_version_on() -> None:
    events = [WatchEvent("ADDED", thing("a", 11)), WatchEvent("BOOKMARK", {"metadata": {"resourceVersion": "99"}})]
    state, effects, action = step(WATCHING, Received(events))
    assert effects == (Change(events),)
    assert action is None, "the open watch goes on"
    assert state == Watching(Common(), "99")
    assert step(state, Ended(50.0, 2, 0.5)) == (state, (), OpenWatch("99"))


def test_an_orderly_end_resumes_at_once_but_a_very_short_watch_pauses() -> None:
    assert step(WATCHING, Ended(300.0, 0, 0.0)) == (WATCHING, (), OpenWatch("10"))
    assert pause(step(WATCHING, Ended(0.1, 0, 0.0)).action) == pytest.approx(0.8)


@pytest.mark.parametrize("error", [Unavailable("x", status=500), RequestTimeout("x"), ApiError("x", status=502)])
def test_other_failures_pause_and_keep_the_version(error: ApiError) -> None:
    state: State = WATCHING
    pauses = []
    for _ in range(8):
        state, _, action = step(state, Failed(error, 0.0))
        pauses.append(pause(action))
        state, effects, action = step(state, Begin())
        assert (effects, action) == ((), OpenWatch("10"))
    assert pauses == pytest.approx([0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0])
    calm = step(state, Failed(error, 0.0, seconds=130.0))
    assert pause(calm.action) == pytest.approx(0.8), "a long calm watch ends the series"


def test_a_server_that_asks_for_patience_gets_it() -> None:
    failed = step(WATCHING, Failed(Unavailable("x", status=503, retry_after=20.0), 0.0))
    assert pause(failed.action) == 20.0


@pytest.mark.parametrize("in_stream", [True, False])
def test_410_lists_anew_once_at_once_then_with_pauses(in_stream: bool) -> None:
    gone = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}
    first: Input = Failed(Gone("too old", status=410), 0.0)
    if in_stream:
        first = Received([WatchEvent("ADDED", thing("a", 11)), WatchEvent("ERROR", gone)])
    state, effects, action = step(WATCHING, first)
    if in_stream:
        assert effects[0] == Change([WatchEvent("ADDED", thing("a", 11))]), "what came before the error counts"
    assert action == FetchPage()
    state = step(state, Listed(Page([], "20", ""))).state
    assert pause(step(state, Failed(Gone("too old", status=410), 0.0)).action) > 0


def test_an_expired_continue_token_starts_the_list_over() -> None:
    state = step(Listing(Common()), Listed(Page([thing("a", 1)], "7", "token"))).state
    state, _, action = step(state, Failed(Gone("expired", status=410), 0.0))
    assert action == FetchPage("")
    assert state == Listing(Common(failures=1), "", "")


def test_another_error_event_keeps_the_version() -> None:
    trouble = {"kind": "Status", "code": 500, "reason": "InternalError", "message": "etcd"}
    state, _, action = step(WATCHING, Received([WatchEvent("ERROR", trouble)]))
    assert pause(action) > 0
    assert step(state, Begin())[1:] == ((), OpenWatch("10"))


def test_a_version_from_the_future_lists_anew() -> None:
    error = ServerTimeout("Timeout: Too large resource version: 99, current: 3", status=504)
    assert step(WATCHING, Failed(error, 0.0)).action == FetchPage()


def test_versions_that_went_back_are_a_reset() -> None:
    state = step(WATCHING, Failed(Gone("x", status=410), 0.0)).state
    assert Replace(([],), "3", reset=True) in step(state, Listed(Page([], "3", ""))).effects


def test_an_optional_kind_is_waited_for() -> None:
    state: State = Listing(Common(optional=True))
    for _ in range(50):
        state, effects, action = step(state, Failed(NotFound("no such kind", status=404), 0.0))
        assert effects[:2] == (NOT_SERVED, Replace((), "", reset=True))
        assert pause(action) == ABSENT_PAUSE
        state, effects, action = step(state, Begin())
        assert (effects, action) == ((), FetchPage())
    state, effects, action = step(state, Listed(Page([], "5", "")))
    assert (effects[-1], action) == (SERVED, OpenWatch("5")), "who is woken by it sees the objects"


def test_a_kind_that_goes_away_while_watched_is_listed_to_make_sure() -> None:
    state, _, action = step(Watching(Common(optional=True), "10"), Failed(NotFound("gone", status=404), 0.0))
    assert isinstance(action, Sleep)
    state, effects, action = step(state, Begin())
    assert (effects, action) == ((), FetchPage())


def test_a_forbidden_kind_keeps_what_the_store_has() -> None:
    effects = step(Listing(Common(optional=True)), Failed(Forbidden("no", status=403), 0.0)).effects
    assert not any(isinstance(effect, Replace) for effect in effects)
    assert NOT_SERVED in effects


def test_a_mandatory_kind_that_is_not_served_is_a_failure_with_backoff() -> None:
    state: State = Listing(Common(), "10")
    for expected in (0.8, 1.6, 3.2):
        state, effects, action = step(state, Failed(NotFound("no such kind", status=404), 0.0))
        assert effects[0] == NOT_SERVED
        assert not any(isinstance(effect, Replace) for effect in effects), "the store keeps what it has"
        assert pause(action) == pytest.approx(expected)
        state = step(state, Begin()).state


@pytest.mark.parametrize("state", [Listing(Common()), Streaming(Common()), WATCHING, Waiting(WATCHING)])
def test_a_stale_input_changes_nothing(state: State) -> None:
    """Only what belongs to a state moves it on: no pair of state and input is an error."""
    inputs: dict[type[State], tuple[type[Input], ...]] = {
        Listing: (Listed, Failed),
        Streaming: (Received, Ended, Failed),
        Watching: (Received, Ended, Failed),
        Waiting: (Begin,),
    }
    stale: list[Input] = [Begin(), Listed(Page([], "5", "")), Received([]), Ended(5.0, 1, 0.0)]
    stale.append(Failed(Unavailable("x", status=500), 0.0))
    for received in stale:
        if not isinstance(received, inputs[type(state)]):
            assert step(state, received) == (state, (), None)


def test_an_effect_never_waits_and_an_action_always_does() -> None:
    """A step holds any number of effects but one action at most: its type allows nothing else."""
    assert get_type_hints(Step)["action"] == FetchPage | OpenWatch | Sleep | None
    assert not set(get_args(Effect)) & set(get_args(Action))


class Server:
    """Objects with versions, a history that can be compacted, and both kinds of reads on it."""

    def __init__(self) -> None:
        self.version = 10
        self.objects: dict[str, Manifest] = {}
        self.history: list[tuple[int, WatchEvent]] = []
        self.compacted = 0
        self.uids = 0

    def write(self, name: str) -> None:
        self.version += 1
        known = self.objects.get(name)
        if known is None:
            self.uids += 1
        uid = known["metadata"]["uid"] if known else f"uid-{self.uids}"
        self.objects[name] = thing(name, self.version, uid)
        self.history.append((self.version, WatchEvent("MODIFIED" if known else "ADDED", self.objects[name])))

    def delete(self, name: str) -> None:
        if name in self.objects:
            self.version += 1
            last = thing(name, self.version, self.objects.pop(name)["metadata"]["uid"])
            self.history.append((self.version, WatchEvent("DELETED", last)))

    def since(self, version: int) -> list[WatchEvent] | None:
        if version < self.compacted:
            return None
        return [event for at, event in self.history if at > version]


class WatcherModel(RuleBasedStateMachine):
    """Whatever fails, once the network is calm the store shows what the server has."""

    names = st.sampled_from("abc")
    streams = False

    def __init__(self) -> None:
        super().__init__()
        self.pending: list[WatchEvent] = []
        self.server = Server()
        self.store = Store(CONFIG_MAP)
        self.store.expect("test")
        self.seen: dict[str, str | None] = {}
        self.store.subscribe(self.record)
        self.list_version = 0
        self.snapshot: list[Manifest] = []
        self.doing: Action = Sleep(0.0)
        self.state: State = initial(optional=False, streams=self.streams)
        self.feed(Begin())

    def record(self, delta: Delta) -> None:
        before, after, _ = delta
        name = key_of(after or before or {}).name
        self.seen[name] = after["metadata"]["resourceVersion"] if after else None

    def feed(self, received: Input) -> None:
        self.state, effects, action = step(self.state, received)
        self.doing = action or self.doing
        if isinstance(received, Failed | Ended):
            self.pending = []
        for effect in effects:
            match effect:
                case Change(events):
                    for event_type, manifest in events:
                        if event_type in ("ADDED", "MODIFIED"):
                            self.store.upsert(manifest, informer="test")
                        elif event_type == "DELETED":
                            self.store.remove(manifest, informer="test")
                case Replace(pages, version, reset):
                    objects = [manifest for page in pages for manifest in page]
                    self.store.replace(objects, int(version), informer="test", reset=reset)
                case BeginList():
                    self.store.begin_list("test")
                case EndList(version):
                    self.store.end_list("test", int(version))
                case Availability() | Restarted():
                    pass

    def proceed(self) -> bool:
        """Lets the server answer what the reflector waits for; False when nothing is left to say."""
        match self.doing:
            case Sleep():
                self.feed(Begin())
            case FetchPage(""):
                self.list_version = self.server.version
                self.snapshot = sorted(self.server.objects.values(), key=lambda item: key_of(item).name)
                half = len(self.snapshot) // 2
                token = "rest" if half else ""
                items = self.snapshot[:half] if half else self.snapshot
                self.feed(Listed(Page(items, str(self.list_version), token)))
            case FetchPage():
                half = len(self.snapshot) // 2
                self.feed(Listed(Page(self.snapshot[half:], str(self.list_version), "")))
            case OpenWatch(""):
                self.stream()
            case OpenWatch():
                events = self.server.since(self.version)
                if events is None:
                    self.feed(Failed(Gone("too old", status=410), 0.5))
                elif events:
                    self.feed(Received(events))
                else:
                    return False
        return True

    def stream(self) -> None:
        """Some more of the list, and in the end the bookmark, after which the same request goes on as a watch."""
        if not self.pending:
            objects = sorted(self.server.objects.values(), key=lambda item: key_of(item).name)
            self.pending = [*(WatchEvent("ADDED", item) for item in objects), list_end(self.server.version)]
        half = (len(self.pending) + 1) // 2
        self.pending, some = self.pending[half:], self.pending[:half]
        self.feed(Received(some))
        if isinstance(self.state, Watching):
            self.doing = OpenWatch(self.state.version)

    @property
    def watching(self) -> bool:
        return isinstance(self.doing, OpenWatch) and self.doing.version != ""

    @property
    def version(self) -> int:
        assert isinstance(self.state, Watching)
        return int(self.state.version)

    @rule(name=names)
    def write(self, name: str) -> None:
        self.server.write(name)

    @rule(name=names)
    def delete(self, name: str) -> None:
        self.server.delete(name)

    @rule(name=names)
    def write_ourselves(self, name: str) -> None:
        self.server.write(name)
        self.store.upsert(self.server.objects[name])

    @rule(name=names)
    def delete_ourselves(self, name: str) -> None:
        if name in self.server.objects:
            uid = self.server.objects[name]["metadata"]["uid"]
            key = key_of(self.server.objects[name])
            self.server.delete(name)
            self.store.forget(key, uid)

    @rule()
    def answer(self) -> None:
        self.proceed()

    @rule(count=st.integers(1, 3))
    def deliver_some(self, count: int) -> None:
        if self.watching:
            events = self.server.since(self.version)
            if events:
                self.feed(Received(events[:count]))

    @rule()
    def repeat_an_event(self) -> None:
        if self.server.history and isinstance(self.state, Watching):
            version, event = self.server.history[-1]
            if version <= self.version:
                self.state = replace(self.state, version=str(version - 1))
                self.feed(Received([event]))

    @rule(error=st.sampled_from([Unavailable("x", status=500), RequestTimeout("x"), Gone("x", status=410)]))
    def fail(self, error: ApiError) -> None:
        if not isinstance(self.doing, Sleep):
            self.feed(Failed(error, 0.5))

    @rule(seconds=st.sampled_from([0.1, 5.0, 200.0]))
    def close(self, seconds: float) -> None:
        if isinstance(self.doing, OpenWatch):
            self.feed(Ended(seconds, 0, 0.5))

    @rule()
    def compact(self) -> None:
        self.server.compacted = self.server.version

    @rule()
    def bookmark(self) -> None:
        if self.watching and not self.server.since(self.version):
            mark = {"metadata": {"resourceVersion": str(self.server.version)}}
            if self.version >= self.server.compacted:
                self.feed(Received([WatchEvent("BOOKMARK", mark)]))

    def teardown(self) -> None:
        for _ in range(200):
            if not self.proceed():
                break
        shown = {key_of(item).name: resource_version(item) for item in self.store.list()}
        there = {name: resource_version(item) for name, item in self.server.objects.items()}
        assert shown == there
        assert {name: int(version) for name, version in self.seen.items() if version} == there, "handlers saw the end"


# As many examples as a unit test has time for; `make test-slow` looks at more.
EXAMPLES = 300 if settings.get_current_profile_name() == "search" else 100
TestWatcherModel = WatcherModel.TestCase
TestWatcherModel.settings = settings(max_examples=EXAMPLES, stateful_step_count=40, deadline=None)


class StreamingWatcherModel(WatcherModel):
    """The same with streamed lists, which writes may overtake while they come."""

    streams = True


TestStreamingWatcherModel = StreamingWatcherModel.TestCase
TestStreamingWatcherModel.settings = TestWatcherModel.settings


STREAMING = Streaming(Common(streams=True))


def list_end(version: int) -> WatchEvent:
    annotations = {"k8s.io/initial-events-end": "true"}
    return WatchEvent("BOOKMARK", {"metadata": {"resourceVersion": str(version), "annotations": annotations}})


def test_a_streamed_list_ends_with_its_bookmark() -> None:
    state, effects, action = step(initial(optional=False, streams=True), Begin())
    assert (state, effects, action) == (STREAMING, (BeginList(),), OpenWatch(""))
    added, later = WatchEvent("ADDED", thing("a", 5)), WatchEvent("MODIFIED", thing("a", 12))
    state, effects, action = step(state, Received([added]))
    assert (state, effects, action) == (STREAMING, (Change([added]),), None), "only the bookmark says where to resume"
    state, effects, action = step(state, Received([list_end(10), later]))
    assert effects == (Change([]), EndList("10"), SERVED, Change([later]))
    assert (state, action) == (Watching(STREAMING.common, "12"), None)


@pytest.mark.parametrize("error", [ApiError("x", status=400), ApiError("x", status=422), RequestTimeout("silence")])
def test_where_lists_are_not_streamed_they_come_in_pages_from_then_on(error: ApiError) -> None:
    state, _, action = step(STREAMING, Failed(error, 0.0))
    assert action == FetchPage()
    state = step(state, Listed(Page([], "20", ""))).state
    assert step(state, Failed(Gone("x", status=410), 0.0)).action == FetchPage()


@pytest.mark.parametrize("trouble", [Ended(0.5, 3, 0.0), Failed(Unavailable("x", status=503), 0.0)])
def test_a_streamed_list_that_breaks_begins_anew_after_a_pause(trouble: Input) -> None:
    state, _, action = step(STREAMING, trouble)
    assert pause(action) > 0
    assert step(state, Begin())[1:] == ((BeginList(),), OpenWatch(""))


def test_a_streamed_list_of_a_server_whose_versions_went_back_is_listed_as_a_reset() -> None:
    state, _, action = step(replace(STREAMING, version="500"), Received([list_end(10)]))
    assert action == FetchPage()
    assert Replace(([],), "10", reset=True) in step(state, Listed(Page([], "10", ""))).effects


def test_a_line_that_shows_no_object_is_passed_by_with_a_list_by_pages() -> None:
    """Prove OBJ-TEN-1."""
    for state in (WATCHING, Streaming(Common(streams=True), "10")):
        following = step(state, Failed(Undecodable("a line"), 0.0))
        assert isinstance(following.state, Waiting)
        assert following.state.then == Listing(Common(failures=1), "10")
        assert pause(following.action) > 0
