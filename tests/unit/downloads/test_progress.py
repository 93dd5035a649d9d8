"""Progress: what is counted and shown, what is a stall, when it is reported."""

import anyio
import pytest

from aimd.downloads.failures import DownloadFailure, Reason
from aimd.downloads.progress import Progress, describe, report_regularly, watch_for_stall


async def test_a_pause_on_purpose_is_no_stall() -> None:
    progress = Progress()
    with anyio.move_on_after(0.4) as scope:
        progress.pausing(10)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_rest_then_idle, progress)
            await watch_for_stall(progress, 0.1)
    assert scope.cancelled_caught


async def _rest_then_idle(progress: Progress) -> None:
    progress.pausing(10)
    progress.active()


async def test_a_trickle_is_a_stall() -> None:
    progress = Progress()

    async def trickle() -> None:
        while True:
            progress.received(10)
            await anyio.sleep(0.02)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(trickle)
        with anyio.fail_after(5), pytest.raises(DownloadFailure, match="no byte moved"):
            await watch_for_stall(progress, 0.3)
        tasks.cancel_scope.cancel()


async def test_idleness_is_a_stall() -> None:
    with anyio.fail_after(5), pytest.raises(DownloadFailure) as raised:
        await watch_for_stall(Progress(), 0.1)
    assert raised.value.reason is Reason.STALLED


def test_what_is_shown_never_goes_back_nor_over_the_total() -> None:
    progress = Progress(total=100)
    shown = []
    for present in (10, 50, 20, 130):
        progress.present = present
        shown.append((progress.shown, progress.percentage))
    assert shown == [(10, 10), (50, 50), (50, 50), (100, 99)]
    progress.restart()
    assert progress.shown == 0


def test_percentage_stays_below_a_hundred() -> None:
    assert Progress(total=10, present=10).percentage == 99
    assert Progress(total=0, present=10).percentage == 0
    assert Progress(total=200, present=3).percentage == 1


def test_progress_in_words() -> None:
    now = 0.0
    progress = Progress(total=65_000_000_000, clock=lambda: now)
    assert describe(progress) == "0 B of 65.0 GB"
    now = 10.0
    progress.received(5_000_000_000)
    assert describe(progress) == "5.0 GB of 65.0 GB, 500 MB/s, 2 min left"


async def test_reports_follow_whole_percents() -> None:
    progress = Progress(total=1000)
    shown: list[int] = []

    async def report() -> None:
        shown.append(progress.percentage)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(report_regularly, progress, 0.01, report)
        for _ in range(10):
            progress.received(1)
            await anyio.sleep(0.02)
        tasks.cancel_scope.cancel()
    assert shown == sorted(set(shown))
    assert len(shown) <= 2
