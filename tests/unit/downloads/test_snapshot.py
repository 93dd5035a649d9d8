"""A snapshot: paths that are refused, and what identifies a file's content."""

import pytest

from aimd.downloads.checksums import Checksum, Kind
from aimd.downloads.failures import DownloadFailure, Reason
from aimd.downloads.hub import HubOrigin
from aimd.downloads.snapshot import RemoteFile, Snapshot, require_safe_paths


@pytest.mark.parametrize(
    "paths", [["../x"], ["/x"], ["a\\b"], ["a/../b"], [".cache/huggingface/x"], ["a", "a/b"], [""]]
)
def test_paths_that_cannot_be_files_below_one_folder(paths: list[str]) -> None:
    with pytest.raises(DownloadFailure) as raised:
        require_safe_paths(paths)
    assert raised.value.reason is Reason.BAD_REQUEST


def test_other_content_has_another_identity() -> None:
    checksum = Checksum(Kind.SHA256, "a" * 64)
    files = [
        RemoteFile("a", 1, checksum),
        RemoteFile("a", 2, checksum),
        RemoteFile("a", 1, Checksum(Kind.MD5, "a" * 64)),
        RemoteFile("a", 1, etag="x"),
        RemoteFile("a", 1, etag="y"),
    ]
    assert len({file.identity for file in files}) == len(files)
    assert RemoteFile("b", 1, checksum, etag="z").identity == files[0].identity
    assert {len(file.identity) for file in files} == {16}


def test_the_size_is_that_of_all_files() -> None:
    origin = HubOrigin("http://hub", "org/name", "c0ffee")
    assert Snapshot("c0ffee", (RemoteFile("a", 1), RemoteFile("b", 41)), origin).size == 42
    assert Snapshot("c0ffee", (), origin).size == 0
