"""The downloader against a hub that misbehaves: a verified tree or a reason of its own, never a wrong file."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

from aimd.downloads.failures import Reason
from aimd.downloads.run import check_size, download
from aimd.downloads.settings import DownloadSettings, settings_from
from aimd.sandbox.hub import hub_app, make_repository
from aimd.sandbox.local_server import serve_locally

REPOSITORY = "acme/tiny"
SIZE = 3 * 2**20
WEIGHTS = "model.safetensors"


@dataclass
class Faults:
    """What happens to the next responses with content of the weights: one fault each, in order."""

    queue: list[str] = field(default_factory=list)
    sent: int = 0
    requests: int = 0
    grown: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def reached(self, size: int) -> None:
        """Waits until the hub has sent so many bytes of the weights."""
        async with self.grown, asyncio.timeout(30):
            await self.grown.wait_for(lambda: self.sent >= size)


@dataclass
class Hub:
    url: str
    root: Path
    faults: Faults


def faulty(application: Starlette, faults: Faults) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
    """The hub behind a middleware that plays the queued faults."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        content = scope["path"].endswith(WEIGHTS) and scope["method"] == "GET"
        fault = faults.queue.pop(0) if content and faults.queue else ""
        faults.requests += content
        if fault.isdigit():
            headers = {"Retry-After": "0"} if fault in ("429", "503") else {}
            await PlainTextResponse("no", int(fault), headers)(scope, receive, send)
            return
        seen = 0

        async def spoiled(message: Message) -> None:
            nonlocal seen
            if message["type"] == "http.response.body" and content:
                body = message.get("body", b"")
                if fault == "cut" and seen > SIZE // 3:
                    raise ConnectionResetError("cut by the test")
                if fault == "swap" and seen <= SIZE // 2 < seen + len(body):
                    body = bytes([body[0] ^ 0xFF]) + body[1:]
                if fault == "stall" and seen > SIZE // 3:
                    await asyncio.sleep(30)
                seen += len(body)
                faults.sent += len(body)
                message = {**message, "body": body}
                async with faults.grown:
                    faults.grown.notify_all()
            await send(message)

        await application(scope, receive, spoiled)

    return call


@asynccontextmanager
async def running_hub(root: Path, rate_limit: int | None = None) -> AsyncIterator[Hub]:
    faults = Faults()
    stand_in = hub_app(root, rate_limit_bytes_per_second=rate_limit, gated={"acme/gated": "secret-token"})
    application: Any = faulty(stand_in, faults)
    async with serve_locally(application) as port:
        yield Hub(f"http://127.0.0.1:{port}", root, faults)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    make_repository(tmp_path / "hub", REPOSITORY, SIZE)
    return tmp_path / "hub"


def settings(hub: Hub, target: Path, uri: str = f"hf://{REPOSITORY}", **changes: Any) -> DownloadSettings:
    plain = settings_from({"HF_ENDPOINT": hub.url}, uri, target)
    return replace(plain, termination_log=target.parent / "termination", **changes)


def same_tree(root: Path, target: Path, repository: str = REPOSITORY) -> bool:
    def content(folder: Path) -> dict[str, bytes]:
        return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    return content(root / repository) == content(target)


def termination(target: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((target.parent / "termination").read_text())
    return found


@pytest.mark.parametrize(
    "queue",
    [[], ["cut"], ["cut", "cut", "503"], ["500", "502"], ["429"], ["swap"], ["cut", "swap"]],
    ids=lambda queue: "-".join(queue) or "none",
)
async def test_passing_faults_end_in_a_verified_tree(root: Path, tmp_path: Path, queue: list[str]) -> None:
    target = tmp_path / "target"
    async with running_hub(root) as hub:
        hub.faults.queue = list(queue)
        assert await download(settings(hub, target)) == 0
    assert same_tree(root, target)
    assert not (target / ".cache").exists()
    message = termination(target)
    assert (message["reason"], message["files"], message["bytes"] >= SIZE) == ("Completed", 4, True)
    assert len(message["revision"]) == 40


@pytest.mark.parametrize(
    ("queue", "reason"),
    [
        (["swap", "swap"], Reason.VERIFICATION),
        (["401"], Reason.AUTH),
        (["403"], Reason.AUTH),
        (["404"], Reason.NOT_FOUND),
        (["418"], Reason.BAD_REQUEST),
    ],
)
async def test_lasting_faults_end_in_their_own_reason(
    root: Path, tmp_path: Path, queue: list[str], reason: Reason
) -> None:
    target = tmp_path / "target"
    async with running_hub(root) as hub:
        hub.faults.queue = list(queue)
        assert await download(settings(hub, target)) == reason.exit_code
    assert termination(target)["reason"] == reason.text
    assert not (target / WEIGHTS).exists()


async def test_a_cut_download_goes_on_at_its_last_byte(root: Path, tmp_path: Path) -> None:
    """Prove ART-RUN-4."""
    async with running_hub(root) as hub:
        hub.faults.queue = ["cut", "cut"]
        assert await download(settings(hub, tmp_path / "target")) == 0
        assert hub.faults.requests == 3
        assert hub.faults.sent <= 1.05 * SIZE


async def test_a_complete_tree_is_not_fetched_again(root: Path, tmp_path: Path) -> None:
    async with running_hub(root) as hub:
        assert await download(settings(hub, tmp_path / "target")) == 0
        hub.faults.requests = 0
        assert await download(settings(hub, tmp_path / "target")) == 0
        assert hub.faults.requests == 0


async def test_a_damaged_file_is_fetched_again(root: Path, tmp_path: Path) -> None:
    """Prove ART-RUN-5."""
    target = tmp_path / "target"
    async with running_hub(root) as hub:
        assert await download(settings(hub, target)) == 0
        damaged = bytearray((target / WEIGHTS).read_bytes())
        damaged[1000] ^= 0xFF
        (target / WEIGHTS).write_bytes(bytes(damaged))
        assert await download(settings(hub, target)) == 0
    assert same_tree(root, target)


async def test_a_stalled_source_is_given_up_and_the_next_protocol_continues(root: Path, tmp_path: Path) -> None:
    """Prove ART-RUN-1."""
    async with running_hub(root) as hub:
        hub.faults.queue = ["stall"]
        once = settings(hub, tmp_path / "one", stall_timeout=3.0)
        assert await download(once) == Reason.STALLED.exit_code
        hub.faults.queue = ["stall"]
        twice = settings(hub, tmp_path / "two", stall_timeout=3.0, protocols=("XET", "HTTP"), sequence="XET,HTTP")
        assert await download(twice) == 0
    assert termination(tmp_path / "two")["protocol"] == "HTTP"
    assert same_tree(root, tmp_path / "two")


async def test_missing_and_gated_are_told_apart(root: Path, tmp_path: Path) -> None:
    """Prove ART-RUN-8."""
    make_repository(root, "acme/gated", SIZE)
    target = tmp_path / "target"
    async with running_hub(root) as hub:
        missing = settings(hub, target, uri="hf://acme/none")
        assert await download(missing) == Reason.NOT_FOUND.exit_code
        assert "Repository Not Found" in termination(target)["detail"]
        assert await check_size(missing) == Reason.NOT_FOUND.exit_code
        gated = settings(hub, target, uri="hf://acme/gated")
        assert await download(gated) == Reason.AUTH.exit_code
        assert "gated repo" in termination(target)["detail"]
        assert "secret-token" not in json.dumps(termination(target))
        assert await download(replace(gated, token="secret-token")) == 0
        unknown = settings(hub, target, uri=f"hf://{REPOSITORY}@no-such-branch")
        assert await download(unknown) == Reason.NOT_FOUND.exit_code


async def test_partial_files_of_another_revision_are_removed(root: Path, tmp_path: Path) -> None:
    """Prove ART-RUN-4."""
    target = tmp_path / "target"
    orphan = target / ".cache/huggingface/download" / f"{WEIGHTS}.0123456789abcdef.incomplete"
    orphan.parent.mkdir(parents=True)
    orphan.write_bytes(b"old")
    async with running_hub(root) as hub:
        assert await download(settings(hub, target)) == 0
    assert same_tree(root, target)


async def test_killed_again_and_again_it_fetches_hardly_more_than_the_size(root: Path, tmp_path: Path) -> None:
    """SIGKILL three times on the way; the tree is whole and at most 5 % came twice."""
    target = tmp_path / "target"
    async with running_hub(root, rate_limit=2 * SIZE) as hub:
        environment = {**os.environ, "HF_ENDPOINT": hub.url, "AIMD_TERMINATION_LOG": str(tmp_path / "termination")}
        command = [sys.executable, "-m", "aimd", "download", f"hf://{REPOSITORY}", str(target)]
        for part in (4, 2):
            process = await asyncio.create_subprocess_exec(*command, env=environment, stderr=asyncio.subprocess.DEVNULL)
            await hub.faults.reached(SIZE // part)
            process.kill()
            await process.wait()
        last = await asyncio.create_subprocess_exec(*command, env=environment, stderr=asyncio.subprocess.DEVNULL)
        assert await last.wait() == 0
        # What was under way in socket buffers when the process died is lost, on each of its connections; on 3 MiB
        # that shows.
        assert hub.faults.sent <= 1.05 * SIZE + 2 * 4 * 2**20 // 4
    assert same_tree(root, target)


async def test_a_name_that_leads_out_of_the_target_is_refused(tmp_path: Path) -> None:
    async def evil(scope: Scope, _receive: Receive, send: Send) -> None:
        body = {
            "id": "acme/evil",
            "sha": "0" * 40,
            "siblings": [{"rfilename": "../../escape", "size": 1, "blobId": "x"}],
        }

        await JSONResponse(body)(scope, _receive, send)

    application: Any = evil
    async with serve_locally(application) as port:
        hub = Hub(f"http://127.0.0.1:{port}", tmp_path, Faults())
        assert await download(settings(hub, tmp_path / "a/b/target", uri="hf://acme/evil")) == 26
    assert not (tmp_path / "a/escape").exists()


@pytest.mark.parametrize("uri", ["s3://", "hf://", "hf://a/b/c", "ftp://x", "hf://a/..", "plain"])
async def test_unsupported_sources_are_refused_at_once(tmp_path: Path, uri: str) -> None:
    hub = Hub("http://127.0.0.1:1", tmp_path, Faults())
    assert await download(settings(hub, tmp_path / "target", uri=uri)) == Reason.BAD_REQUEST.exit_code


class Patches:
    """A status endpoint that remembers what it was sent."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, MutableMapping[str, Any]]] = []

    def of(self, part: str) -> list[Any]:
        return [body["status"][part] for _, body in self.seen if part in body["status"]]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        self.seen.append((scope["path"], json.loads(body)))
        await PlainTextResponse("{}")(scope, receive, send)


@asynccontextmanager
async def status_endpoint(folder: Path) -> AsyncIterator[tuple[Patches, dict[str, Any]]]:
    """The endpoint of an artifact, and the settings of a job that reports to it."""
    patches: Any = Patches()
    (folder / "token").write_text("t")
    async with serve_locally(patches) as port:
        yield (
            patches,
            {
                "api_server": f"http://127.0.0.1:{port}",
                "artifact_name": "a",
                "artifact_namespace": "ns",
                "service_account": folder,
            },
        )


async def test_progress_and_protocol_reach_the_artifact(tmp_path: Path) -> None:
    """The life cycle that test suites of the API pin: < 100 while downloading, 100 before verification (ART-RUN-7)."""
    environment = {
        "AIM_DOWNLOADER_PROTOCOL": "XET,HTTP",
        "AIM_DEBUG_SIMULATE_HF_DOWNLOAD": "1",
        "AIM_DEBUG_SIMULATE_HF_DURATION": "0.2",
        "AIM_DEBUG_SIMULATE_HF_FAIL_PROTOCOLS": "XET",
        "EXPECTED_SIZE_BYTES": "102400",
        "PROGRESS_INTERVAL": "0.05",
    }
    async with status_endpoint(tmp_path) as (patches, reporting):
        plain = settings_from(environment, f"hf://{REPOSITORY}", tmp_path / "target")
        assert await download(replace(plain, termination_log=tmp_path / "termination", **reporting)) == 0
    assert {path for path, _ in patches.seen} == {"/apis/aim.eai.amd.com/v1alpha1/namespaces/ns/aimartifacts/a/status"}
    attempts = [(item["protocol"], item["attempt"], item["totalAttempts"]) for item in patches.of("download")]
    assert attempts[0] == ("XET", 1, 2)
    assert attempts[-1] == ("HTTP", 2, 2)
    progress = patches.of("progress")
    assert all(item["percentage"] <= 99 for item in progress[:-1])
    assert progress[-1] == {
        "percentage": 100,
        "displayPercentage": "100 %",
        "downloadedBytes": 102400,
        "totalBytes": 102400,
    }


async def test_what_is_reported_never_goes_back_nor_over_a_hundred(root: Path, tmp_path: Path) -> None:
    """Although a file has to be fetched again, and connections break."""
    async with running_hub(root, rate_limit=2 * SIZE) as hub, status_endpoint(tmp_path) as (patches, reporting):
        hub.faults.queue = ["cut", "swap"]
        changes = {"protocols": ("HTTP",), "sequence": "HTTP", "progress_interval": 0.05, **reporting}
        assert await download(settings(hub, tmp_path / "target", **changes)) == 0
    shown = [(item["percentage"], item["downloadedBytes"]) for item in patches.of("progress")]
    assert shown == sorted(shown)
    assert len(shown) > 5
    assert shown[-1][0] == 100
    assert all(percentage <= 99 for percentage, _ in shown[:-1])
    assert all(item["downloadedBytes"] <= item["totalBytes"] for item in patches.of("progress"))
    assert [item["message"] for item in patches.of("download")][-1] == "Verifying"


async def test_failing_patches_never_fail_the_download(root: Path, tmp_path: Path) -> None:
    """Prove ART-RUN-7."""
    async with running_hub(root) as hub:
        unreachable = settings(
            hub,
            tmp_path / "target",
            api_server="http://127.0.0.1:1",
            artifact_name="a",
            artifact_namespace="ns",
            service_account=tmp_path,
        )
        assert await download(unreachable) == 0


def test_the_downloader_needs_nothing_of_the_operator() -> None:
    """The job's image may carry aimd[downloads] alone."""
    script = "import sys, aimd.cli.download; print([m for m in sys.modules if m.split('.')[0] in ('kr8s', 'pydantic')])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
