"""The reflector: it carries the watcher's steps out on a store and on a scripted API server, in virtual time.

What it sends over the wire is in tests/faults/test_reflector_faults.py.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import cast

import anyio
import pytest
import structlog

from aimd.runtime.client import Client, Page, Selection, WatchEvent
from aimd.runtime.errors import ApiError, Gone, NotFound, Unavailable
from aimd.runtime.kinds import CONFIG_MAP
from aimd.runtime.metrics import ManagerMetrics
from aimd.runtime.objects import Manifest, key_of
from aimd.runtime.reflector import Reflector
from aimd.runtime.store import Store
from aimd.runtime.watcher import ABSENT_PAUSE
from tests.unit.runtime.virtual_time import now, virtually

GONE = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}
Batch = Sequence[WatchEvent] | ApiError | None
"""Events, an error, or None: the stream stays open and silent."""


def thing(name: str, version: int) -> Manifest:
    return {"metadata": {"name": name, "namespace": "ns", "uid": name, "resourceVersion": str(version)}}


class Server:
    """Answers lists and watches from scripts, and records what was asked when."""

    def __init__(self, pages: Sequence[Page | ApiError], watches: Sequence[Sequence[Batch]] = ()) -> None:
        self.pages = list(pages)
        self.watches = list(watches)
        self.asked: list[tuple[float, str]] = []
        self.open = 0

    async def list_page(self, _: Selection, *, continue_token: str = "") -> Page:
        assert not self.open, "a watch is closed before anything else is asked"
        self.asked.append((now(), f"list {continue_token}".strip()))
        page = self.pages.pop(0)
        if isinstance(page, ApiError):
            raise page
        return page

    @asynccontextmanager
    async def watch(self, _: Selection, version: str) -> AsyncIterator[AsyncIterator[list[WatchEvent]]]:
        assert not self.open
        self.asked.append((now(), f"watch {version}"))
        self.open += 1
        try:
            yield self._stream(self.watches.pop(0) if self.watches else [None])
        finally:
            self.open -= 1

    async def _stream(self, batches: Sequence[Batch]) -> AsyncIterator[list[WatchEvent]]:
        for batch in batches:
            if batch is None:
                await anyio.sleep_forever()
            elif isinstance(batch, ApiError):
                raise batch
            else:
                yield list(batch)


class Scene:
    """A reflector of ConfigMaps on a scripted server."""

    def __init__(
        self, pages: Sequence[Page | ApiError], watches: Sequence[Sequence[Batch]] = (), *, optional: bool = False
    ) -> None:
        self.server = Server(pages, watches)
        self.store = Store(CONFIG_MAP)
        self.metrics = ManagerMetrics("test")
        self.time = 0.0
        client = cast(Client, self.server)
        self.reflector = Reflector(
            client, self.store, Selection(CONFIG_MAP), optional, metrics=self.metrics, streams=False, clock=self.clock
        )

    def clock(self) -> float:
        """Return the virtual time; afterwards, the time when it ended."""
        with suppress(RuntimeError):
            self.time = now()
        return self.time

    def run(self, seconds: float) -> None:
        async def scenario() -> None:
            with anyio.move_on_after(seconds):
                await self.reflector.run()
            self.clock()

        virtually(scenario)
        assert not self.server.open, "a watch is closed when its reflector is canceled"

    @property
    def asked(self) -> list[str]:
        return [request for _, request in self.server.asked]

    @property
    def names(self) -> list[str]:
        return [key_of(item).name for item in self.store.list()]

    def value(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"test_informer_{name}", {"kind": "ConfigMap", **labels})


def test_a_list_and_the_changes_after_it_reach_the_store() -> None:
    changes = [WatchEvent("DELETED", thing("a", 11)), WatchEvent("ADDED", thing("c", 12))]
    pages = [Page([thing("a", 1)], "10", "more"), Page([thing("b", 2)], "10", "")]
    scene = Scene(pages, [[changes, None]])
    scene.run(60)
    assert scene.asked == ["list", "list more", "watch 10"]
    assert scene.names == ["b", "c"]
    assert scene.store.synced
    assert scene.reflector.synced.is_set()
    assert scene.value("synced") == 1
    assert scene.value("objects") == 2


def test_a_watch_that_is_left_early_is_closed_before_the_next_request() -> None:
    batch = [WatchEvent("ADDED", thing("b", 11)), WatchEvent("ERROR", GONE)]
    scene = Scene([Page([thing("a", 1)], "10", ""), Page([thing("c", 20)], "20", "")], [[batch, None]])
    scene.run(60)
    assert scene.asked == ["list", "watch 10", "list", "watch 20"]
    assert scene.names == ["c"]
    assert scene.value("restarts_total", cause="expired") == 1


def test_failures_of_a_watch_back_off_and_resume(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aimd.runtime.reflector.jitter", lambda low, _high: low)
    broken: Sequence[Batch] = [Unavailable("restarting", status=503)]
    scene = Scene([Page([], "10", "")], [broken, broken, broken])
    scene.run(60)
    assert scene.asked == ["list", *["watch 10"] * 4]
    assert [moment for moment, _ in scene.server.asked] == pytest.approx([0, 0, 0.8, 2.4, 5.6])
    assert scene.value("restarts_total", cause="failure") == 3


def test_a_list_that_fails_is_tried_again_and_the_store_is_not_synced_before() -> None:
    scene = Scene([Unavailable("starting", status=503), Page([thing("a", 1)], "10", "")])
    scene.run(0.7)
    assert (scene.asked, scene.store.synced, scene.reflector.synced.is_set()) == (["list"], False, False)
    scene = Scene([Unavailable("starting", status=503), Page([thing("a", 1)], "10", "")])
    scene.run(1.7)
    assert (scene.asked, scene.store.synced, scene.names) == (["list", "list", "watch 10"], True, ["a"])


def test_an_optional_kind_that_is_not_served_counts_as_synced_and_is_asked_for_again() -> None:
    absent = NotFound("no such kind", status=404)
    scene = Scene([absent, absent, Page([thing("a", 1)], "10", "")], optional=True)
    available: list[tuple[float, bool]] = []
    scene.store.on_availability(lambda: available.append((now(), scene.store.available)))
    scene.run(ABSENT_PAUSE * 2.5)
    assert scene.reflector.synced.is_set()
    assert [served for _, served in available] == [False, True]
    assert ABSENT_PAUSE * 2 <= available[1][0] <= ABSENT_PAUSE * 2.4
    assert scene.names == ["a"]


def test_metadata_only_objects_get_the_type_that_the_server_leaves_out() -> None:
    scene = Scene([Page([thing("a", 1)], "10", "")])
    scene.reflector.selection = Selection(CONFIG_MAP, metadata_only=True)
    scene.run(1)
    assert [(item["apiVersion"], item["kind"]) for item in scene.store.list()] == [("v1", "ConfigMap")]


def test_an_error_that_repeats_is_logged_once_at_warning() -> None:
    down: Sequence[Batch] = [Unavailable("down", status=503)]
    expired: Sequence[Batch] = [Gone("expired", status=410)]
    scene = Scene([Page([], "10", ""), Page([], "20", "")], [down, down, down, expired])
    with structlog.testing.capture_logs() as lines:
        scene.run(120)
    restarts = [(line["log_level"], line["cause"]) for line in lines if line["event"] == "informer restarted"]
    assert restarts == [("warning", "failure"), ("debug", "failure"), ("debug", "failure"), ("debug", "expired")]


def test_an_informer_that_keeps_failing_says_so_and_recovers() -> None:
    """Prove OBJ-TEN-2."""
    failing: list[Sequence[Batch]] = [[Unavailable("the line is broken")] for _ in range(12)]
    scene = Scene([Page([], "10", "")], [*failing, [None]])
    with structlog.testing.capture_logs() as logs:
        scene.run(150)
        assert scene.reflector.failing_seconds > 60
        assert not scene.reflector.healthy
        assert scene.value("synced") == 0
        assert (scene.value("failing_seconds") or 0) > 60
        assert "the line is broken" in scene.reflector.last_failure
    warned = [line for line in logs if line["log_level"] == "warning"]
    assert 2 <= len(warned) <= 3, "the first failure, and one reminder a minute"


def test_an_informer_whose_watch_is_open_is_healthy_again() -> None:
    scene = Scene([Page([], "10", "")], [[Unavailable("down")], [Unavailable("down")], [None]])
    scene.run(30)
    assert scene.value("synced") == 1
    assert scene.value("failing_seconds") == 0


def test_an_object_that_cannot_be_stored_costs_itself() -> None:
    """Prove OBJ-TEN-1."""
    odd: list[Manifest] = [{"metadata": {"name": ["a"]}}, {"metadata": {"name": "x", "resourceVersion": {}}}]
    changes = [*(WatchEvent("ADDED", item) for item in odd), WatchEvent("ADDED", thing("c", 12))]
    scene = Scene([Page([*odd, thing("b", 2)], "10", "")], [[changes, None]])
    with structlog.testing.capture_logs() as logs:
        scene.run(10)
    assert {"b", "c"} <= set(scene.names)
    assert any(line["event"] == "object not stored" for line in logs)
