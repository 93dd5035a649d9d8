"""Listing a source URI: retried, and at the revision that an unfinished download began with."""

from pathlib import Path

import anyio
import pytest

from aimd.api.source_uri import SourceUri
from aimd.downloads import listing
from aimd.downloads.backoff import Retryable
from aimd.downloads.failures import DownloadFailure, Reason, missing_revision
from aimd.downloads.hub import HubOrigin
from aimd.downloads.listing import list_source, pinned_snapshot
from aimd.downloads.progress import Progress
from aimd.downloads.settings import DownloadSettings
from aimd.downloads.snapshot import RemoteFile, Snapshot
from aimd.downloads.tree import Tree

URI = "hf://org/name@main"


class Hub:
    """Stands in for the hub: `main` is at commit `new`."""

    def __init__(self) -> None:
        self.failures: list[Exception] = []
        self.commits = {"main": "new", "new": "new", "old": "old"}
        self.size = 1
        self.asked: list[str] = []

    def __call__(self, source: SourceUri, _endpoint: str, _token: str) -> Snapshot:
        self.asked.append(source.revision)
        if self.failures:
            raise self.failures.pop(0)
        if source.revision not in self.commits:
            raise missing_revision(source.path, source.revision)
        return snapshot(self.commits[source.revision], self.size)


def snapshot(commit: str, size: int = 1) -> Snapshot:
    return Snapshot(commit, (RemoteFile("a.bin", size),), HubOrigin("http://hub", "org/name", commit))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Hub:
    stand_in = Hub()
    monkeypatch.setattr(listing, "list_repository", stand_in)
    return stand_in


@pytest.fixture
def settings(tmp_path: Path) -> DownloadSettings:
    return DownloadSettings(URI, tmp_path / "target")


async def test_a_temporary_failure_is_retried(
    hub: Hub, settings: DownloadSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(anyio, "sleep", sleep)
    hub.failures = [Retryable("busy"), Retryable("busy", 7.0)]
    found = await list_source(SourceUri.parse(URI), settings, Progress())
    assert (found.revision, len(slept), slept[1]) == ("new", 2, 7.0)


async def test_a_source_without_content_is_not_found(hub: Hub, settings: DownloadSettings) -> None:
    hub.size = 0
    with pytest.raises(DownloadFailure, match="contains no files") as raised:
        await list_source(SourceUri.parse(URI), settings, Progress())
    assert raised.value.reason is Reason.NOT_FOUND


async def test_a_download_continues_at_its_pinned_commit(hub: Hub, settings: DownloadSettings) -> None:
    """(ART-RUN-2)"""
    tree = Tree(settings.target)
    for pinned, asked, revision in (
        (None, ["main"], "new"),
        ("old", ["old"], "old"),
        ("gone", ["gone", "main"], "new"),
    ):
        hub.asked = []
        if pinned is not None:
            tree.pin(URI, snapshot(pinned))
        found = await pinned_snapshot(SourceUri.parse(URI), settings, tree, Progress())
        assert (hub.asked, found.revision) == (asked, revision)


async def test_another_failure_of_the_pinned_commit_is_raised(hub: Hub, settings: DownloadSettings) -> None:
    tree = Tree(settings.target)
    tree.pin(URI, snapshot("old"))
    hub.failures = [DownloadFailure(Reason.AUTH, "no")]
    with pytest.raises(DownloadFailure, match="no"):
        await pinned_snapshot(SourceUri.parse(URI), settings, tree, Progress())
    assert hub.asked == ["old"]
