"""What makes a unit test pure: it starts no process and opens no connection."""

import sys
from collections.abc import Iterator
from typing import Any

import pytest

PROCESSES = frozenset({"subprocess.Popen", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.system"})
CONNECTIONS = frozenset({"socket.bind", "socket.connect", "socket.getaddrinfo"})

_seen: list[str] | None = None


def _audit(event: str, _: tuple[Any, ...]) -> None:
    if _seen is not None and (event in PROCESSES or event in CONNECTIONS):
        _seen.append(event)


sys.addaudithook(_audit)


@pytest.fixture(autouse=True)
def impure() -> Iterator[list[str]]:
    """Fail a test that started a process or opened a connection; yield what was seen of that."""
    global _seen
    seen: list[str] = []
    _seen = seen
    try:
        yield seen
    finally:
        _seen = None
    assert seen == [], "unit tests start no process and open no connection: move the test to tests/integration"
