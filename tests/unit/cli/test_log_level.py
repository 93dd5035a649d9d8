"""The signals that change the log level (docs/configuration.md)."""

import signal
from collections.abc import Iterator

import pytest

from aimd.cli.run import LEVEL_SIGNALS, run_operator
from aimd.cli.settings import Flags


@pytest.fixture(autouse=True)
def signals_as_before() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in LEVEL_SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_one_that_comes_before_anybody_listens_does_not_end_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    handlers: list[object] = []
    monkeypatch.setattr(
        "aimd.cli.run.anyio.run", lambda *_: handlers.extend(signal.getsignal(number) for number in LEVEL_SIGNALS)
    )
    run_operator(Flags())
    assert handlers == [signal.SIG_IGN, signal.SIG_IGN]
