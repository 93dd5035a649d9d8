"""Endpoints: checks, metrics, and who is admitted; over HTTP in tests/integration/test_runtime_manager.py."""

from collections.abc import Sequence
from typing import Any, cast

import anyio
import pytest
from anyio.abc import ByteStream

from aimd.runtime import health
from aimd.runtime.health import (
    Endpoints,
    Guard,
    LimitedListener,
    LoopWatchdog,
    Reply,
    WebPage,
    _handler,
    checks_page,
    metrics_page,
)
from tests.unit.runtime.virtual_time import now, virtually

CHECKS = {"good": lambda: "", "bad": lambda: "it broke"}


class Stream(ByteStream):
    """A connection that receives the pieces of a request and keeps what is sent."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self.pieces = list(pieces)
        self.sent = b""
        self.closed = False

    async def receive(self, max_bytes: int = 65536) -> bytes:
        if not self.pieces:
            await anyio.sleep_forever()
        return self.pieces.pop(0)

    async def send(self, item: bytes) -> None:
        self.sent += item

    async def send_eof(self) -> None:
        raise NotImplementedError

    async def aclose(self) -> None:
        self.closed = True


async def asked(*pieces: bytes, guard: Guard | None = None) -> Stream:
    pages: dict[str, WebPage] = {"healthz": checks_page(CHECKS), "metrics": metrics_page(lambda: b"one 1\n")}
    stream = Stream(pieces)
    await _handler(pages, guard)(stream)
    assert stream.closed
    return stream


def status_of(stream: Stream) -> int:
    return int(stream.sent.split(b" ")[1])


def body_of(stream: Stream) -> bytes:
    return stream.sent.partition(b"\r\n\r\n")[2]


def test_checks_pass_together_or_fail_with_what_is_wrong() -> None:
    good = {"good": CHECKS["good"]}
    assert checks_page(good)("", "") == Reply(200, b"ok")
    assert checks_page(good)("", "verbose") == Reply(200, b"[+]good ok\n")
    assert checks_page(CHECKS)("", "") == Reply(500, b"[+]good ok\n[-]bad: it broke\n")


def test_a_single_check_is_asked_for_by_its_name() -> None:
    page = checks_page(CHECKS)
    assert page("good", "") == Reply(200, b"ok")
    assert page("bad", "") == Reply(500, b"[-]bad: it broke\n")
    assert page("unknown", "").status == 404


async def test_a_request_is_answered_and_the_connection_closed() -> None:
    stream = await asked(b"GET /metrics HTTP/1.1\r\n", b"Host: x\r\n\r\n")
    assert stream.sent.startswith(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4")
    assert b"Content-Length: 6\r\n" in stream.sent
    assert body_of(stream) == b"one 1\n"


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"GET /healthz/good?verbose HTTP/1.1", 200),
        (b"GET /healthz HTTP/1.1", 500),
        (b"HEAD /metrics HTTP/1.1", 200),
        (b"GET /other HTTP/1.1", 404),
        (b"POST /metrics HTTP/1.1", 405),
        (b"nonsense", 405),
    ],
)
async def test_only_gets_of_known_pages_are_served(line: bytes, status: int) -> None:
    stream = await asked(line + b"\r\n\r\n")
    assert status_of(stream) == status
    if line.startswith(b"HEAD"):
        assert body_of(stream) == b""


def test_a_request_that_never_ends_is_dropped() -> None:
    async def scenario() -> None:
        stream = await asked(b"GET /metrics HTTP/1.1\r\n")
        assert (stream.sent, now()) == (b"", 10)

    virtually(scenario)


async def test_a_request_that_is_too_long_is_not_read_to_its_end() -> None:
    stream = await asked(b"GET /metrics HTTP/1.1\r\n", b"x" * 20_000, b"never read")
    assert status_of(stream) == 200


async def test_a_guard_sees_token_and_path_and_sends_callers_away() -> None:
    seen: list[tuple[str, str]] = []

    async def guard(token: str, path: str) -> int:
        seen.append((token, path))
        return {"good": 200, "": 401}.get(token, 403)

    lines = [b"Authorization: Bearer good", b"authorization: bearer bad", b"Authorization: Basic good", b"X: y"]
    replies = [await asked(b"GET /metrics?x HTTP/1.1\r\n" + line + b"\r\n\r\n", guard=guard) for line in lines]
    assert [status_of(reply) for reply in replies] == [200, 403, 401, 401]
    assert seen == [("good", "/metrics"), ("bad", "/metrics"), ("", "/metrics"), ("", "/metrics")]
    assert body_of(replies[1]) == b"this account is not allowed to read this page\n"


def test_an_address_without_pages_is_not_served() -> None:
    endpoints = Endpoints()
    for address in ("", "0"):
        endpoints.add(address, "healthz", checks_page({}))
    endpoints.add(":8081", "healthz", checks_page({}))
    endpoints.add(":8081", "readyz", checks_page({}))
    assert {address: sorted(pages) for address, pages in endpoints.pages.items()} == {":8081": ["healthz", "readyz"]}


def test_the_watchdog_fails_when_the_loop_is_blocked() -> None:
    async def scenario() -> None:
        clock = {"now": 1000.0}
        watchdog = LoopWatchdog(limit=30.0, clock=lambda: clock["now"])
        lags: list[float] = []
        assert watchdog.check() == ""
        clock["now"] += 31
        assert watchdog.check() == "the event loop has not ticked for 31 s"
        with anyio.move_on_after(1.5):
            await watchdog.run(lags.append)
        assert watchdog.check() == "", "it ticks again"
        assert lags == [30.0]

    virtually(scenario)


class Visitor:
    """A connection from an address."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.closed = False

    def extra(self, attribute: object, default: object) -> tuple[str, int]:
        return (self.address, 1)

    async def aclose(self) -> None:
        self.closed = True


class Door:
    """A listener at which visitors arrive when the test says so."""

    def __init__(self) -> None:
        self.admit: Any = None

    async def serve(self, handler: Any, task_group: Any = None) -> None:
        self.admit = handler

    async def aclose(self) -> None:
        self.admit = None


async def test_one_client_cannot_take_all_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prove OPS-MET-4: further connections are closed, and the first ones still served."""
    monkeypatch.setattr(health, "_MOST_CONNECTIONS_OF_ONE", 2)
    monkeypatch.setattr(health, "_MOST_CONNECTIONS", 3)
    door, leave, served = Door(), anyio.Event(), list[str]()

    async def serve(visitor: Any) -> None:
        served.append(visitor.address)
        await leave.wait()

    limited = LimitedListener(cast(Any, door))
    await limited.serve(serve)
    visitors = [Visitor(address) for address in ("a", "a", "a", "b", "c")]
    async with anyio.create_task_group() as group:
        for visitor in visitors:
            group.start_soon(door.admit, visitor)
        await anyio.wait_all_tasks_blocked()
        assert served == ["a", "a", "b"]
        assert [visitor.closed for visitor in visitors] == [False, False, True, False, True]
        leave.set()
    await door.admit(Visitor("a"))
    assert (served, limited.connections) == (["a", "a", "b", "a"], {})
    await limited.aclose()
    assert door.admit is None
