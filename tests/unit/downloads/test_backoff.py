"""Retries: how long they wait, and when they end."""

import anyio
import pytest

from aimd.downloads.backoff import Backoff, Retryable, retry_after
from aimd.downloads.failures import DownloadFailure, Reason
from aimd.downloads.progress import Progress


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("7", 7.0), ("", None), ("soon", None), ("-3", None), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0)],
)
def test_retry_after(text: str, seconds: float | None) -> None:
    assert retry_after(text) == seconds


async def test_retries_end_and_are_reset_by_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    now, slept = 0.0, list[float]()

    async def sleep(seconds: float) -> None:
        nonlocal now
        slept.append(seconds)
        now += seconds

    monkeypatch.setattr(anyio, "sleep", sleep)
    waiting = Backoff(Progress(clock=lambda: now), 180)
    while now < 170:
        await waiting.wait(Retryable("busy"))
    waiting.reset()
    await waiting.wait(Retryable("busy", 3.0))
    while now < 350:
        await waiting.wait(Retryable("busy"))
    now += 30
    with pytest.raises(DownloadFailure, match="Check the endpoint") as raised:
        await waiting.wait(Retryable("busy"))
    assert raised.value.reason is Reason.NETWORK
    assert all(seconds <= 30 for seconds in slept)


async def test_two_minutes_without_the_endpoint_are_borne(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0

    async def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    monkeypatch.setattr(anyio, "sleep", sleep)
    waiting = Backoff(Progress(clock=lambda: now))
    while now < 120:
        await waiting.wait(Retryable("connection refused"))
