"""The tree on the volume, the patience, the stall watch: each by itself."""

import errno
import hashlib
import os
import tempfile
import zlib
from pathlib import Path

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aimd.downloads.checksums import Checksum, Kind
from aimd.downloads.failures import DownloadFailure, Reason, disk_failure
from aimd.downloads.hub import HubOrigin
from aimd.downloads.partial import Partial
from aimd.downloads.patience import Patience, Retryable, retry_after
from aimd.downloads.progress import Progress, in_words, report_regularly, watch_for_stall
from aimd.downloads.snapshot import RemoteFile, Snapshot, checked_paths
from aimd.downloads.tree import Tree, is_whole

CONTENT = b"0123456789" * 1000
FILE = RemoteFile("sub/weights.bin", len(CONTENT), Checksum(Kind.SHA256, hashlib.sha256(CONTENT).hexdigest()))


def git_blob(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def test_both_kinds_of_checksum(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    small = RemoteFile("file", len(CONTENT), Checksum(Kind.GIT_BLOB, git_blob(CONTENT)))
    for file in (FILE, small, RemoteFile("file", len(CONTENT))):
        assert is_whole(file, path, lambda: None)
    path.write_bytes(CONTENT[:-1] + b"x")
    assert not is_whole(FILE, path, lambda: None)
    assert not is_whole(small, path, lambda: None)


async def test_a_partial_goes_on_where_another_process_stopped(tmp_path: Path) -> None:
    tree, progress = Tree(tmp_path), Progress(total=len(CONTENT))
    tree.prepare([FILE])
    first = Partial(tree, FILE, progress)
    await first.write(0, [CONTENT[:4321]])
    first.close()
    again = Partial(tree, FILE, Progress())
    again.recall()
    assert (again.size, list(again.spans())) == (4321, [(4321, len(CONTENT))])
    await again.write(4321, [CONTENT[4321:]])
    await again.follow()
    assert again.intact
    with pytest.raises(DownloadFailure) as raised:
        await again.write(len(CONTENT), [b"more"])
    assert raised.value.reason is Reason.VERIFICATION
    again.clear()
    assert (again.size, again.intact) == (0, False)
    again.close()


async def test_a_partial_longer_than_the_file_starts_over(tmp_path: Path) -> None:
    tree, progress = Tree(tmp_path), Progress()
    tree.prepare([FILE])
    tree.partial(FILE).write_bytes(CONTENT + b"more")
    partial = Partial(tree, FILE, progress)
    partial.recall()
    assert (partial.size, progress.present) == (0, 0)
    partial.close()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(st.integers(0, 12), st.integers(1, 900)), max_size=40), st.sampled_from(Kind))
def test_chunks_filled_in_any_order_and_recalled_are_the_file(
    tmp_path: Path, writes: list[tuple[int, int]], kind: Kind
) -> None:
    """Each write is followed by a new process: what was there is there, nothing else is asked for, nothing is lost."""
    chunk = 777
    file = RemoteFile("weights.bin", len(CONTENT), checksum_of(kind), etag="e")
    tree = Tree(Path(tempfile.mkdtemp(dir=tmp_path)))
    tree.prepare([file])
    present = 0

    async def play() -> None:
        nonlocal present
        for index, length in [*writes, *((i, chunk) for i in range(-(-len(CONTENT) // chunk)))]:
            partial = Partial(tree, file, Progress(), chunk)
            partial.recall()
            assert partial.size == present
            start = index * chunk + partial.filled(index * chunk)
            data = CONTENT[start : min(start + length, (index + 1) * chunk)]
            await partial.write(start, [data])
            present += len(data)
            partial.close()
        last = Partial(tree, file, Progress(), chunk)
        last.recall()
        assert list(last.spans()) == []
        await last.follow()
        assert last.intact
        last.clear()
        last.close()

    anyio.run(play)
    assert list(tmp_path.rglob("*.ranges"))


def checksum_of(kind: Kind) -> Checksum:
    parts = [hashlib.md5(CONTENT[start : start + 3000]).digest() for start in range(0, len(CONTENT), 3000)]
    values = {
        Kind.SHA256: hashlib.sha256(CONTENT).hexdigest(),
        Kind.GIT_BLOB: git_blob(CONTENT),
        Kind.MD5: hashlib.md5(CONTENT).hexdigest(),
        Kind.CRC32: f"{zlib.crc32(CONTENT):08x}",
        Kind.MD5_OF_PARTS: f"{hashlib.md5(b''.join(parts)).hexdigest()}-{len(parts)}",
    }
    return Checksum(kind, values[kind], 3000)


async def test_a_journal_that_promises_more_than_there_is_counts_for_nothing(tmp_path: Path) -> None:
    tree, progress = Tree(tmp_path), Progress()
    tree.prepare([FILE])
    first = Partial(tree, FILE, progress, 1000)
    await first.write(0, [CONTENT[:1000]])
    await first.write(5000, [CONTENT[5000:5500]])
    first.close()
    os.truncate(tree.partial(FILE), 5100)
    again = Partial(tree, FILE, Progress(), 1000)
    again.recall()
    assert again.size == 0
    again.close()


def test_an_unfinished_download_is_remembered_and_what_is_not_part_of_it_goes(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    origin = HubOrigin("http://hub", "org/name", "c0ffee")
    old = Snapshot("c0ffee", (RemoteFile("a.bin", 1), RemoteFile("b.bin", 1)), origin)
    tree.pin("hf://org/name", old)
    assert (tree.pinned("hf://org/name"), tree.pinned("hf://org/other")) == ("c0ffee", "")
    for name in ("a.bin", "b.bin", "mine.txt"):
        (tmp_path / name).write_text("x")
    tree.pin("hf://org/name", Snapshot("decade", (RemoteFile("a.bin", 1),), origin))
    assert tree.pinned("hf://org/name") == "decade"
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["a.bin", "mine.txt"]
    tree.unpin()
    tree.clear_bookkeeping()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.bin", "mine.txt"]


@pytest.mark.parametrize(
    "paths", [["../x"], ["/x"], ["a\\b"], ["a/../b"], [".cache/huggingface/x"], ["a", "a/b"], [""]]
)
def test_paths_that_cannot_be_files_below_one_folder(paths: list[str]) -> None:
    with pytest.raises(DownloadFailure) as raised:
        checked_paths(paths)
    assert raised.value.reason is Reason.BAD_REQUEST


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
    origin = HubOrigin("http://hub", "org/name", "c0ffee", "hf_secret")
    assert "hf_secret" not in repr(origin)
    assert origin.url_of(RemoteFile("a b#?.json", 1)) == "http://hub/org/name/resolve/c0ffee/a%20b%23%3F.json"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("7", 7.0), ("", None), ("soon", None), ("-3", None), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0)],
)
def test_retry_after(text: str, seconds: float | None) -> None:
    assert retry_after(text) == seconds


async def test_patience_ends_and_is_renewed(monkeypatch: pytest.MonkeyPatch) -> None:
    now, slept = 0.0, list[float]()

    async def sleep(seconds: float) -> None:
        nonlocal now
        slept.append(seconds)
        now += seconds

    monkeypatch.setattr(anyio, "sleep", sleep)
    waiting = Patience(Progress(clock=lambda: now), 180)
    while now < 170:
        await waiting.wait(Retryable("busy"))
    waiting.renew()
    await waiting.wait(Retryable("busy", 3.0))
    while now < 350:
        await waiting.wait(Retryable("busy"))
    now += 30
    with pytest.raises(DownloadFailure, match="check the endpoint") as raised:
        await waiting.wait(Retryable("busy"))
    assert raised.value.reason is Reason.NETWORK
    assert all(seconds <= 30 for seconds in slept)


async def test_two_minutes_without_the_endpoint_are_borne(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0

    async def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    monkeypatch.setattr(anyio, "sleep", sleep)
    waiting = Patience(Progress(clock=lambda: now))
    while now < 120:
        await waiting.wait(Retryable("connection refused"))


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


def test_what_is_shown_never_goes_back_nor_over_the_total() -> None:
    progress = Progress(total=100)
    shown = []
    for present in (10, 50, 20, 130):
        progress.present = present
        shown.append((progress.shown, progress.percentage))
    assert shown == [(10, 10), (50, 50), (50, 50), (100, 99)]
    progress.restart()
    assert progress.shown == 0


def test_progress_in_words() -> None:
    now = 0.0
    progress = Progress(total=65_000_000_000, clock=lambda: now)
    assert in_words(progress) == "0 B of 65.0 GB"
    now = 10.0
    progress.received(5_000_000_000)
    assert in_words(progress) == "5.0 GB of 65.0 GB, 500 MB/s, 2 min left"


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
