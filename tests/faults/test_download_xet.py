"""Weights in Xet: over the real library from its own store on disk, resumed and verified like any other."""

import asyncio
import os
import socket
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aimd.api.source_uri import SourceUri
from aimd.downloads.failures import Reason
from aimd.downloads.hub import list_repository
from aimd.downloads.partial import CHUNK, Partial, in_thread
from aimd.downloads.progress import Progress
from aimd.downloads.run import download
from aimd.downloads.settings import DownloadSettings, settings_from
from aimd.downloads.tree import Tree
from aimd.sandbox.hub import make_repository
from bench.downloads import measured
from tests.faults.test_download_faults import REPOSITORY, WEIGHTS, same_tree, termination
from tests.faults.xet import XetHub

SIZE = 5 * CHUNK // 2
LITTLE = 2**20


@pytest.fixture
def hub(tmp_path: Path) -> XetHub:
    make_repository(tmp_path / "hub", REPOSITORY, SIZE)
    hub = XetHub(tmp_path / "hub", tmp_path / "store")
    hub.keep(REPOSITORY, WEIGHTS)
    return hub


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "target"


def settings(hub: XetHub, target: Path, sequence: str = "XET", **changes: Any) -> DownloadSettings:
    environment = {"HF_ENDPOINT": hub.url, "AIM_DOWNLOADER_PROTOCOL": sequence}
    plain = settings_from(environment, f"hf://{REPOSITORY}", target)
    return replace(plain, termination_log=target.parent / "termination", **changes)


async def leave_first_chunk(hub: XetHub, target: Path) -> None:
    """What a process leaves that was killed between the first chunk of the weights and the second."""
    snapshot = await in_thread(list_repository, SourceUri.parse(f"hf://{REPOSITORY}"), hub.url, "")
    tree = Tree(target)
    await in_thread(target.mkdir)
    tree.prepare(snapshot.files)
    weights = next(file for file in snapshot.files if file.path == WEIGHTS)
    partial = Partial(tree, weights, Progress())
    with (hub.root / REPOSITORY / WEIGHTS).open("rb") as content:
        await partial.write(0, [content.read(CHUNK)])
    partial.close()


async def test_weights_come_from_xet_and_the_rest_from_the_hub(hub: XetHub, target: Path) -> None:
    async with hub.serving():
        assert await download(settings(hub, target)) == 0
    assert same_tree(hub.root, target)
    assert termination(target)["protocol"] == "XET"
    assert (hub.tokens, hub.plain.bytes_sent < LITTLE) == (1, True)


async def test_what_is_not_in_xet_comes_over_http(hub: XetHub, target: Path) -> None:
    hub.stored.clear()
    async with hub.serving():
        assert await download(settings(hub, target)) == 0
    assert same_tree(hub.root, target)
    assert (hub.tokens, hub.plain.bytes_sent > SIZE) == (0, True)


@pytest.mark.parametrize("sequence", ["HTTP", "HF_TRANSFER", ""])
async def test_only_xet_asks_xet(hub: XetHub, target: Path, sequence: str) -> None:
    async with hub.serving():
        assert await download(settings(hub, target, sequence)) == 0
    assert (hub.tokens, hub.plain.bytes_sent > SIZE) == (0, True)


async def test_bytes_that_are_there_are_not_fetched_again(hub: XetHub, target: Path) -> None:
    shown: list[Progress] = []
    async with hub.serving():
        await leave_first_chunk(hub, target)
        assert await download(settings(hub, target), shown.append) == 0
    assert same_tree(hub.root, target)
    assert SIZE - CHUNK <= shown[-1].fetched < SIZE - CHUNK + LITTLE


async def test_another_protocol_goes_on_where_xet_ends(hub: XetHub, target: Path) -> None:
    hub.lose()
    async with hub.serving():
        await leave_first_chunk(hub, target)
        assert await download(settings(hub, target, "XET,HTTP")) == 0
    assert same_tree(hub.root, target)
    assert termination(target)["protocol"] == "HTTP"
    assert SIZE - CHUNK <= hub.plain.bytes_sent < SIZE - CHUNK + LITTLE


async def test_alone_it_says_what_to_do(hub: XetHub, target: Path) -> None:
    hub.lose()
    async with hub.serving():
        assert await download(settings(hub, target)) == Reason.NETWORK.exit_code
    assert "AIM_DOWNLOADER_PROTOCOL=HTTP" in termination(target)["detail"]
    assert not (target / WEIGHTS).exists()


async def test_without_a_token_for_xet_another_protocol_brings_it(hub: XetHub, target: Path) -> None:
    hub.refusing = True
    async with hub.serving():
        assert await download(settings(hub, target, "XET,HF_TRANSFER")) == 0
    assert same_tree(hub.root, target)
    assert (hub.tokens, termination(target)["protocol"]) == (0, "HF_TRANSFER")


@pytest.mark.slow
async def test_without_a_way_to_xet_another_protocol_brings_it(hub: XetHub, target: Path) -> None:
    with socket.socket() as closed:  # Bound, so that no other process listens there.
        closed.bind(("127.0.0.1", 0))
        hub.place = f"http://127.0.0.1:{closed.getsockname()[1]}"
        async with hub.serving():
            assert await download(settings(hub, target, "XET,HTTP")) == 0
    assert same_tree(hub.root, target)
    assert (hub.tokens, termination(target)["protocol"]) == (1, "HTTP")


@pytest.mark.slow
async def test_a_large_file_takes_no_memory(hub: XetHub) -> None:
    folder = make_repository(hub.root, REPOSITORY, 700 * 2**20)
    size = sum(file.stat().st_size for file in folder.iterdir())
    hub.keep(REPOSITORY, WEIGHTS)
    command = [sys.executable, "-m", "aimd", "download", f"hf://{REPOSITORY}", "{}"]
    async with hub.serving():
        environment = {**os.environ, "HF_ENDPOINT": hub.url, "AIM_DOWNLOADER_PROTOCOL": "XET"}
        assert (await asyncio.to_thread(measured, command, environment, size)).memory < 300
    assert hub.plain.bytes_sent < LITTLE


async def test_the_token_opens_a_gated_repository(hub: XetHub, target: Path) -> None:
    hub.gated[REPOSITORY] = "secret"
    async with hub.serving():
        assert await download(settings(hub, target, token="secret")) == 0
    assert (hub.tokens, hub.plain.bytes_sent < LITTLE) == (1, True)


async def test_other_content_than_the_hub_names_is_not_taken(hub: XetHub, target: Path) -> None:
    make_repository(hub.root, "acme/other", SIZE)
    hub.keep("acme/other", WEIGHTS)
    async with hub.serving():
        assert await download(settings(hub, target)) == Reason.VERIFICATION.exit_code
    assert not (target / WEIGHTS).exists()
