"""The target folder: what is locked, kept, removed and checked in it."""

import hashlib
from pathlib import Path

import pytest

from aimd.downloads.checksums import Checksum, Kind
from aimd.downloads.failures import DownloadFailure, Reason
from aimd.downloads.hub import HubOrigin
from aimd.downloads.snapshot import RemoteFile, Snapshot
from aimd.downloads.tree import Tree, is_complete

CONTENT = b"0123456789" * 1000
FILE = RemoteFile("sub/weights.bin", len(CONTENT), Checksum(Kind.SHA256, hashlib.sha256(CONTENT).hexdigest()))


def git_blob(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def test_both_kinds_of_checksum(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    small = RemoteFile("file", len(CONTENT), Checksum(Kind.GIT_BLOB, git_blob(CONTENT)))
    for file in (FILE, small, RemoteFile("file", len(CONTENT))):
        assert is_complete(file, path, lambda: None)
    path.write_bytes(CONTENT[:-1] + b"x")
    assert not is_complete(FILE, path, lambda: None)
    assert not is_complete(small, path, lambda: None)


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
