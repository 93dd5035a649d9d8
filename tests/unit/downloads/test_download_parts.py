"""The tree on the volume, the patience, the stall watch: each by itself."""

import errno
import hashlib
from pathlib import Path

import anyio
import pytest

from aimd.downloads import patience
from aimd.downloads.failures import DownloadFailure, Reason, disk_failure
from aimd.downloads.hub import RemoteFile, Snapshot
from aimd.downloads.partial import Partial
from aimd.downloads.patience import Patience, Retryable, retry_after
from aimd.downloads.progress import Progress, report_regularly, watch_for_stall
from aimd.downloads.tree import Tree, is_whole

CONTENT = b"0123456789" * 1000
FILE = RemoteFile("sub/weights.bin", len(CONTENT), sha256=hashlib.sha256(CONTENT).hexdigest())


def git_blob(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def test_both_kinds_of_checksum(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    small = RemoteFile("file", len(CONTENT), git_sha1=git_blob(CONTENT))
    for file in (FILE, small, RemoteFile("file", len(CONTENT))):
        assert is_whole(file, path, lambda: None)
    path.write_bytes(CONTENT[:-1] + b"x")
    assert not is_whole(FILE, path, lambda: None)
    assert not is_whole(small, path, lambda: None)


async def test_a_partial_goes_on_where_another_process_stopped(tmp_path: Path) -> None:
    tree, progress = Tree(tmp_path), Progress(total=len(CONTENT))
    tree.prepare([FILE])
    first = Partial(tree, FILE, progress)
    await first.append(CONTENT[:4321])
    first.close()
    again = Partial(tree, FILE, Progress())
    await again.recall()
    assert again.size == 4321
    await again.append(CONTENT[4321:])
    assert again.intact
    with pytest.raises(DownloadFailure) as raised:
        await again.append(b"more")
    assert raised.value.reason is Reason.VERIFICATION
    again.clear()
    assert (again.size, again.intact) == (0, False)
    again.close()


async def test_a_partial_longer_than_the_file_starts_over(tmp_path: Path) -> None:
    tree, progress = Tree(tmp_path), Progress()
    tree.prepare([FILE])
    tree.partial(FILE).write_bytes(CONTENT + b"more")
    partial = Partial(tree, FILE, progress)
    await partial.recall()
    assert (partial.size, progress.present) == (0, 0)
    partial.close()


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    with Tree(tmp_path / "target").locked():
        with pytest.raises(DownloadFailure, match="another download"), Tree(tmp_path / "target").locked():
            pass
        assert list((tmp_path / "target").iterdir()) == []
    with Tree(tmp_path / "target").locked():
        pass


def test_a_link_out_of_the_target_is_refused(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "target/sub").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DownloadFailure) as raised:
        Tree(tmp_path / "target").prepare([FILE])
    assert raised.value.reason is Reason.BAD_REQUEST


def test_too_little_space_is_said_before_the_download(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    tree.require_space([FILE])
    with pytest.raises(DownloadFailure, match="no space left on device") as raised:
        tree.require_space([RemoteFile("huge", 2**62)])
    assert raised.value.reason is Reason.NO_SPACE


def test_verification_names_what_is_gone(tmp_path: Path) -> None:
    with pytest.raises(DownloadFailure, match=r"sub/weights\.bin"):
        Tree(tmp_path).verify([FILE])


def test_disk_errors() -> None:
    for code in (errno.ENOSPC, errno.EDQUOT):
        assert disk_failure(OSError(code, "full"), "/cache").reason is Reason.NO_SPACE
    assert disk_failure(OSError(errno.EROFS, "read-only"), "/cache").reason is Reason.FAILED


def test_urls_are_quoted_and_pinned() -> None:
    snapshot = Snapshot("org/name", "c0ffee", "http://hub", ())
    assert snapshot.url_of(RemoteFile("a b#?.json", 1)) == "http://hub/org/name/resolve/c0ffee/a%20b%23%3F.json"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("7", 7.0), ("", None), ("soon", None), ("-3", None), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0)],
)
def test_retry_after(text: str, seconds: float | None) -> None:
    assert retry_after(text) == seconds


async def test_patience_ends_and_is_renewed(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(patience.anyio, "sleep", sleep)
    waiting = Patience(Progress())
    for _ in range(4):
        await waiting.wait(Retryable("busy"))
    waiting.renew()
    for _ in range(5):
        await waiting.wait(Retryable("busy", 3.0))
    with pytest.raises(DownloadFailure) as raised:
        await waiting.wait(Retryable("busy"))
    assert raised.value.reason is Reason.NETWORK
    assert slept[4:] == [3.0] * 5
    assert all(seconds <= 30 for seconds in slept)


async def test_a_pause_on_purpose_is_no_stall() -> None:
    progress = Progress()
    with anyio.move_on_after(0.4) as scope:
        progress.resting(10)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_rest_then_idle, progress)
            await watch_for_stall(progress, 0.1)
    assert scope.cancelled_caught


async def _rest_then_idle(progress: Progress) -> None:
    progress.resting(10)
    progress.active()


async def test_idleness_is_a_stall() -> None:
    with anyio.fail_after(5), pytest.raises(DownloadFailure) as raised:
        await watch_for_stall(Progress(), 0.1)
    assert raised.value.reason is Reason.STALLED


def test_percentage_stays_below_a_hundred() -> None:
    assert Progress(total=10, present=10).percentage == 99
    assert Progress(total=0, present=10).percentage == 0
    assert Progress(total=200, present=3).percentage == 1


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
