"""The client: retries, fence, dry runs and observers, in virtual time on scripted responses.

What it sends over the wire is in tests/faults/test_client_faults.py.
"""

import json
from collections.abc import Awaitable, Callable, Sequence
from itertools import pairwise
from typing import Any, cast

import pytest

from aimd.runtime.client import Client, ClientOptions, Page, Selection
from aimd.runtime.client.credentials import TokenSource
from aimd.runtime.client.session import Session
from aimd.runtime.client.wire import APPLY_PATCH, JSON_PATCH, MERGE_PATCH, Call, Response
from aimd.runtime.errors import (
    ApiError,
    Conflict,
    ConnectionFailed,
    Forbidden,
    RequestTimeout,
    TooManyRequests,
    Unauthorized,
    Unavailable,
    WritesSuspended,
)
from aimd.runtime.kinds import CONFIG_MAP, TOKEN_REVIEW
from aimd.runtime.metrics import ClientMetrics
from aimd.runtime.objects import Key, Kind, Manifest
from tests.unit.runtime.virtual_time import now, virtually

KEY = Key("ns", "a")
THING: Manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "ns", "uid": "u"}}
Scripted = Response | ApiError


def ok(body: Any = THING) -> Response:
    return Response(200, json.dumps(body).encode())


def failed(status: int, reason: str = "", retry_after: float | None = None) -> Response:
    return Response(status, json.dumps({"reason": reason, "message": "m"}).encode(), retry_after)


class FakeSession:
    """Gives the scripted responses, and keeps the calls and when they came."""

    server = "https://api.example"
    host = "api.example"

    def __init__(self, responses: Sequence[Scripted]) -> None:
        self.responses = list(responses)
        self.calls: list[Call] = []
        self.tokens: list[str] = []
        self.moments: list[float] = []

    async def send(self, call: Call, token: dict[str, str]) -> Response:
        self.calls.append(call)
        self.tokens.append(token.get("Authorization", ""))
        self.moments.append(now())
        response = self.responses.pop(0)
        if isinstance(response, ApiError):
            raise response
        return response


class Observer:
    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []

    def written(self, kind: Kind, manifest: Manifest) -> None:
        self.seen.append(("written", manifest["metadata"]["name"]))

    def deleted(self, kind: Kind, key: Key, uid: str) -> None:
        self.seen.append(("deleted", uid))


class Scene:
    """A client on scripted responses."""

    def __init__(self, *responses: Scripted, **options: Any) -> None:
        self.session = FakeSession(responses)
        self.options = ClientOptions(**options)
        self.observer = Observer()
        self.outcome: Any = None

    def play(self, act: Callable[[Client], Awaitable[Any]]) -> "Scene":
        async def reload() -> str | None:
            return "renewed"

        async def scenario() -> None:
            tokens = TokenSource("first", reload)
            session = cast(Session, self.session)
            self.client = Client(session, session, tokens, self.options, ClientMetrics("test"))
            self.client.observers.append(self.observer)
            try:
                self.outcome = await act(self.client)
            except ApiError as error:
                self.outcome = error

        virtually(scenario)
        return self


def read(client: Client) -> Awaitable[Any]:
    return client.get(CONFIG_MAP, KEY)


def create(client: Client) -> Awaitable[Any]:
    return client.create(CONFIG_MAP, THING, reason="test")


def apply(client: Client) -> Awaitable[Any]:
    return client.apply(CONFIG_MAP, THING, field_manager="test", reason="test")


def delete(client: Client) -> Awaitable[Any]:
    return client.delete(CONFIG_MAP, KEY, reason="test", uid="u")


@pytest.mark.parametrize("act", [read, apply, create])
@pytest.mark.parametrize(
    "fault",
    [
        failed(429, "TooManyRequests"),
        ConnectionFailed("no", reason="ConnectionRefused"),
        failed(503, "ServiceUnavailable"),
        failed(504, "Timeout"),
        ConnectionFailed("no", reason="ConnectionReset"),
        RequestTimeout("late"),
    ],
)
def test_what_may_be_repeated_is_and_what_may_have_happened_is_not(
    act: Callable[[Client], Awaitable[Any]], fault: Scripted
) -> None:
    scene = Scene(fault, ok()).play(act)
    never_started = isinstance(fault, ConnectionFailed) and fault.reason == "ConnectionRefused"
    never_started |= isinstance(fault, Response) and fault.status == 429
    if act is create and not never_started:
        assert isinstance(scene.outcome, ApiError)
        assert len(scene.session.calls) == 1
    else:
        assert scene.outcome == THING
        assert len(scene.session.calls) == 2


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (failed(500, "InternalError"), Unavailable),
        (failed(403, "Forbidden"), Forbidden),
        (failed(409, "Conflict"), Conflict),
    ],
)
def test_what_a_repetition_cannot_help_is_raised_at_once(response: Response, expected: type[ApiError]) -> None:
    scene = Scene(response).play(read)
    assert isinstance(scene.outcome, expected)
    assert len(scene.session.calls) == 1


def test_attempts_are_bounded_and_ever_further_apart() -> None:
    scene = Scene(*[failed(503, "ServiceUnavailable")] * 9).play(read)
    assert isinstance(scene.outcome, Unavailable)
    moments = scene.session.moments
    assert len(moments) == 4
    gaps = [later - sooner for sooner, later in pairwise(moments)]
    assert all(0.05 * 2**n <= gap <= 0.1 * 2**n for n, gap in enumerate(gaps, start=1)), gaps


def test_retry_after_is_obeyed_up_to_a_limit() -> None:
    scene = Scene(failed(429, "TooManyRequests", 7.0), ok()).play(read)
    assert scene.session.moments == [0, 7]
    scene = Scene(failed(429, "TooManyRequests", 60.0), ok()).play(read)
    assert isinstance(scene.outcome, TooManyRequests)
    assert len(scene.session.calls) == 1


def test_a_refused_token_is_renewed_once() -> None:
    scene = Scene(failed(401, "Unauthorized"), ok()).play(read)
    assert scene.session.tokens == ["Bearer first", "Bearer renewed"]
    scene = Scene(failed(401, "Unauthorized"), failed(401, "Unauthorized")).play(read)
    assert isinstance(scene.outcome, Unauthorized)


@pytest.mark.parametrize("act", [apply, create, delete])
def test_nothing_is_written_while_the_fence_is_closed(act: Callable[[Client], Awaitable[Any]]) -> None:
    async def fenced(client: Client) -> Any:
        client.fence = lambda: False
        return await act(client)

    scene = Scene(ok()).play(fenced)
    assert isinstance(scene.outcome, WritesSuspended)
    assert scene.session.calls == []


def test_reads_and_reviews_pass_the_fence() -> None:
    async def fenced(client: Client) -> None:
        client.fence = lambda: False
        await client.get(CONFIG_MAP, KEY)
        await client.ask(TOKEN_REVIEW, {"spec": {}})

    assert len(Scene(ok(), ok()).play(fenced).session.calls) == 2


def test_observers_see_what_was_written_and_deleted() -> None:
    assert Scene(ok()).play(apply).observer.seen == [("written", "a")]
    assert Scene(ok({"kind": "Status"})).play(apply).observer.seen == [], "no object was returned"
    assert Scene(ok({"kind": "Status"})).play(delete).observer.seen == [("deleted", "u")]
    ending = {**THING, "metadata": {**THING["metadata"], "deletionTimestamp": "t"}}
    assert Scene(ok(ending)).play(delete).observer.seen == [("written", "a")]
    assert Scene(failed(404, "NotFound")).play(delete).observer.seen == []


@pytest.mark.parametrize(("act", "where"), [(apply, "params"), (create, "params"), (delete, "body")])
def test_a_dry_run_is_asked_for_and_observed_by_no_one(act: Callable[[Client], Awaitable[Any]], where: str) -> None:
    scene = Scene(ok(), dry_run=True).play(act)
    assert scene.observer.seen == []
    call = scene.session.calls[0]
    assert (call.params if where == "params" else call.body)["dryRun"] in ("All", ["All"])


def test_every_write_is_counted_by_its_reason() -> None:
    scene = Scene(ok(), ok()).play(apply)
    family = next(iter(scene.client.metrics.writes.collect()))
    totals = {tuple(item.labels.values()): item.value for item in family.samples if item.name.endswith("_total")}
    assert totals == {("ConfigMap", "apply", "test"): 1.0}


def test_patches_have_the_content_type_of_their_form() -> None:
    async def act(client: Client) -> None:
        await client.patch(CONFIG_MAP, KEY, {"data": None}, reason="test", subresource="status", field_manager="m")
        await client.patch(CONFIG_MAP, KEY, [], reason="test")
        await client.apply(CONFIG_MAP, THING, field_manager="m", reason="test")

    merge, operations, applied = Scene(ok(), ok(), ok()).play(act).session.calls
    assert (merge.content_type, merge.repeatable, merge.params) == (MERGE_PATCH, True, {"fieldManager": "m"})
    assert merge.path == "configmaps/a/status"
    assert (operations.content_type, operations.repeatable) == (JSON_PATCH, False)
    assert (applied.content_type, applied.params) == (APPLY_PATCH, {"fieldManager": "m", "force": "true"})


def test_lists_go_over_all_pages_and_items_get_their_type() -> None:
    first = {"metadata": {"resourceVersion": "9", "continue": "more"}, "items": [{"metadata": {"name": "a"}}]}
    second = {"metadata": {"resourceVersion": "9"}, "items": [{"metadata": {"name": "b"}}]}

    async def act(client: Client) -> tuple[Page, list[Manifest]]:
        return await client.list_page(Selection(CONFIG_MAP)), await client.list(CONFIG_MAP, namespace="ns")

    scene = Scene(ok(first), ok(first), ok(second)).play(act)
    page, items = scene.outcome
    assert (page.resource_version, page.continue_token) == ("9", "more")
    assert [(item["kind"], item["apiVersion"], item["metadata"]["name"]) for item in items] == [
        ("ConfigMap", "v1", "a"), ("ConfigMap", "v1", "b"),
    ]  # fmt: skip
    assert scene.session.calls[2].params["continue"] == "more"
