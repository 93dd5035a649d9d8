"""The hub stand-in against the unmodified Hugging Face client, in processes of its own."""

import asyncio
import contextlib
import json
import os
import shutil
import struct
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import httpx
import pytest

from aimd.sandbox.hub import HubSettings, make_repository, run_hub

HF = Path(sys.executable).parent / "hf"


@pytest.fixture
def hub_root(tmp_path: Path) -> Path:
    root = tmp_path / "hub"
    folder = make_repository(root, "demo/tiny", 3 * 2**20 + 17)
    (folder / "original" / "deep").mkdir(parents=True)
    (folder / "original" / "deep" / "params.json").write_text("{}")
    (folder / "empty.txt").touch()
    make_repository(root, "demo/gated", 1000)
    return root


@pytest.fixture
async def endpoint(hub_root: Path) -> AsyncIterator[str]:
    url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    settings = HubSettings(hub_root, gated={"demo/gated": "hf_open"})

    async def serve() -> None:
        async with anyio.create_task_group() as tasks:
            url.set_result(await tasks.start(run_hub, settings))

    # pytest-asyncio sets up and tears down in different tasks, which a task group here would not survive.
    server = asyncio.create_task(serve())
    yield await url
    server.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await server


async def hf(endpoint: str, home: Path, *arguments: str, token: str = "") -> tuple[int, str]:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "HF_HOME": str(home / "hf"),
        "HF_ENDPOINT": endpoint,
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_UPDATE_CHECK": "1",
        "NO_COLOR": "1",
        "HTTPS_PROXY": "http://127.0.0.1:9",  # whatever is not the stand-in stays unreachable
        **({"HF_TOKEN": token} if token else {}),
    }
    done = await anyio.run_process([str(HF), *arguments], env=environment, check=False)
    return done.returncode, (done.stdout + done.stderr).decode()


def content(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".cache" not in path.parts
    }


@pytest.mark.skipif(not HF.exists(), reason="the hf command is not installed")
async def test_hf_download_gets_every_file(endpoint: str, hub_root: Path, tmp_path: Path) -> None:
    target = tmp_path / "model"
    status, output = await hf(endpoint, tmp_path, "download", "demo/tiny", "--local-dir", str(target))
    assert status == 0, output
    assert content(target) == content(hub_root / "demo/tiny")
    status, output = await hf(endpoint, tmp_path, "cache", "verify", "demo/tiny", "--local-dir", str(target))
    assert status == 0, output


@pytest.mark.skipif(not HF.exists(), reason="the hf command is not installed")
async def test_hf_download_names_what_is_missing_and_what_is_gated(endpoint: str, tmp_path: Path) -> None:
    status, output = await hf(endpoint, tmp_path, "download", "demo/absent", "--local-dir", str(tmp_path / "a"))
    assert status != 0
    assert "not found" in output.lower()
    status, output = await hf(endpoint, tmp_path, "download", "demo/gated", "--local-dir", str(tmp_path / "b"))
    assert status != 0
    assert "gated" in output.lower() or "access denied" in output.lower(), output
    arguments = ("download", "demo/gated", "--local-dir", str(tmp_path / "c"))
    status, output = await hf(endpoint, tmp_path, *arguments, token="hf_open")
    assert status == 0, output


@pytest.mark.skipif(not HF.exists(), reason="the hf command is not installed")
async def test_snapshot_download_of_a_commit(endpoint: str, hub_root: Path, tmp_path: Path) -> None:
    script = (
        "import sys; from huggingface_hub import HfApi, snapshot_download;"
        "info = HfApi().model_info('demo/tiny', files_metadata=True);"
        "print(snapshot_download('demo/tiny', revision=info.sha, cache_dir=sys.argv[1]))"
    )
    environment = {"HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path / "hf"), "PATH": os.environ["PATH"]}
    done = await anyio.run_process([sys.executable, "-c", script, str(tmp_path / "cache")], env=environment)
    assert content(Path(done.stdout.decode().strip())) == content(hub_root / "demo/tiny")


async def test_range_and_error_headers(endpoint: str, hub_root: Path) -> None:
    whole = (hub_root / "demo/tiny/model.safetensors").read_bytes()
    path = "/demo/tiny/resolve/main/model.safetensors"
    async with httpx.AsyncClient(base_url=endpoint) as client:
        head = await client.head(path)
        assert (head.status_code, int(head.headers["content-length"])) == (200, len(whole))
        assert head.headers["x-linked-etag"] == head.headers["etag"]
        part = await client.get(path, headers={"Range": "bytes=100-", "If-Range": head.headers["etag"]})
        assert (part.status_code, part.content) == (206, whole[100:])
        assert part.headers["content-range"] == f"bytes 100-{len(whole) - 1}/{len(whole)}"
        changed = await client.get(path, headers={"Range": "bytes=100-", "If-Range": '"other"'})
        assert (changed.status_code, len(changed.content)) == (200, len(whole))
        assert (await client.get(path, headers={"Range": f"bytes={len(whole)}-"})).status_code == 416
        codes = {
            "/api/models/demo/absent": (401, "RepoNotFound"),
            "/api/models/demo/tiny/revision/v9": (404, "RevisionNotFound"),
            "/demo/tiny/resolve/main/no.bin": (404, "EntryNotFound"),
            "/demo/gated/resolve/main/config.json": (401, "GatedRepo"),
        }
        for wrong, expected in codes.items():
            answer = await client.get(wrong)
            assert (answer.status_code, answer.headers["x-error-code"]) == expected


async def test_commit_follows_the_content(endpoint: str, hub_root: Path) -> None:
    async with httpx.AsyncClient(base_url=endpoint) as client:
        before = (await client.get("/api/models/demo/tiny")).json()["sha"]
        assert (await client.get("/api/models/demo/tiny")).json()["sha"] == before
        (hub_root / "demo/tiny/config.json").write_text("{}")
        assert (await client.get("/api/models/demo/tiny")).json()["sha"] != before


def test_synthetic_weights_are_valid_and_reproducible(tmp_path: Path) -> None:
    first = make_repository(tmp_path / "a", "demo/tiny", 100_000) / "model.safetensors"
    second = make_repository(tmp_path / "b", "demo/tiny", 100_000) / "model.safetensors"
    data = first.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    (tensor,) = json.loads(data[8 : 8 + length]).values()
    assert tensor["data_offsets"] == [0, len(data) - 8 - length]
    assert length % 8 == 0
    assert data == second.read_bytes()
    shutil.rmtree(tmp_path)
