"""The downloader's wire manners: ranges, ETags, redirects, waiting; its switches; a full disk."""

import asyncio
import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import anyio
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from yarl import URL

from aimd.downloads.failures import DownloadFailure, Reason
from aimd.downloads.hub import HubOrigin
from aimd.downloads.run import check_size, download
from aimd.downloads.settings import DownloadSettings, settings_from
from aimd.downloads.snapshot import RemoteFile
from aimd.downloads.wire import RangeReader
from aimd.sandbox.hub import hub_app, make_repository
from aimd.sandbox.local_server import serve_locally

BODY = bytes(range(256)) * 400
COMMIT = "c" * 40


class ScriptedHub:
    """A hub of one file whose answers a test writes itself, one function per request of the content."""

    def __init__(self, *answers: Callable[[Request], Response]) -> None:
        self.answers = list(answers)
        self.seen: list[dict[str, str]] = []
        self.api_answers: list[Response] = []
        self.application = Starlette(
            routes=[
                Route("/api/models/org/name", self._model),
                Route("/org/name/resolve/{commit}/weights.bin", self._content),
                Route("/elsewhere", self._content),
            ]
        )

    async def _model(self, _: Request) -> Response:
        if self.api_answers:
            return self.api_answers.pop(0)
        lfs = {"sha256": _sha256(BODY), "size": len(BODY), "pointerSize": 130}
        sibling = {"rfilename": "weights.bin", "size": len(BODY), "blobId": "b" * 40, "lfs": lfs}
        return JSONResponse({"id": "org/name", "sha": COMMIT, "siblings": [sibling]})

    async def _content(self, request: Request) -> Response:
        self.seen.append(dict(request.headers))
        return self.answers.pop(0)(request) if self.answers else whole(request)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def whole(_: Request) -> Response:
    return Response(BODY, headers={"ETag": '"v1"'})


def rest(request: Request) -> Response:
    start = int(request.headers["range"].removeprefix("bytes=").partition("-")[0])
    headers = {"Content-Range": f"bytes {start}-{len(BODY) - 1}/{len(BODY)}", "ETag": '"v1"'}
    return Response(BODY[start:], 206, headers)


def cut(_: Request) -> Response:
    """Promises everything and closes after a third."""

    class Cut(Response):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            headers = [(b"content-length", str(len(BODY)).encode()), (b"etag", b'"v1"')]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": BODY[: len(BODY) // 3], "more_body": True})
            await asyncio.sleep(0.05)
            raise ConnectionResetError

    return Cut()


def status(code: int, **headers: str) -> Callable[[Request], Response]:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _: Response(status_code=code, headers=names)


async def run(hub: ScriptedHub, target: Path, **changes: Any) -> int:
    async with serve_locally(hub.application) as port:
        return await download(replace(settings(f"http://127.0.0.1:{port}", target), **changes))


def settings(endpoint: str, target: Path, **environment: str) -> DownloadSettings:
    log = str(target.parent / "termination")
    given = {"HF_ENDPOINT": endpoint, "AIMD_TERMINATION_LOG": log, **environment}
    return settings_from(given, "hf://org/name", target)


def termination_of(target: Path) -> dict[str, Any]:
    message: dict[str, Any] = json.loads((target.parent / "termination").read_text())
    return message


async def test_resuming_asks_for_the_rest_of_the_same_content(tmp_path: Path) -> None:
    hub = ScriptedHub(cut, rest)
    assert await run(hub, tmp_path / "t") == 0
    assert hub.seen[1]["range"] == f"bytes={len(BODY) // 3}-{len(BODY) - 1}"
    assert hub.seen[1]["if-range"] == '"v1"'
    assert (tmp_path / "t/weights.bin").read_bytes() == BODY


async def test_a_server_without_ranges_sends_everything_again(tmp_path: Path) -> None:
    assert await run(ScriptedHub(cut, whole), tmp_path / "t") == 0
    assert (tmp_path / "t/weights.bin").read_bytes() == BODY
    assert termination_of(tmp_path / "t")["bytes"] == len(BODY)


@pytest.mark.parametrize(
    "answers",
    [
        [lambda _: Response(BODY[:-10])],
        [lambda _: Response(BODY + b"more")],
        [cut, status(416)],
    ],
    ids=["shorter", "longer", "416"],
)
async def test_another_size_than_listed_fails_verification(tmp_path: Path, answers: list[Any]) -> None:
    assert await run(ScriptedHub(*answers), tmp_path / "t") == Reason.VERIFICATION.exit_code
    assert not (tmp_path / "t/weights.bin").exists()


async def test_an_expired_redirect_is_asked_for_again_and_gets_no_token(tmp_path: Path) -> None:
    hub = ScriptedHub()
    async with serve_locally(Starlette(routes=[Route("/elsewhere", hub._content)])) as other:
        elsewhere = f"http://127.0.0.1:{other}/elsewhere"
        redirect = lambda _: RedirectResponse(elsewhere, 302)  # noqa: E731
        hub.answers = [redirect, status(403), redirect, whole]
        assert await run(hub, tmp_path / "t", token="hf_secret") == 0
    assert ["authorization" in headers for headers in hub.seen] == [True, False, True, False]


@pytest.mark.parametrize("target", ["http://hub.example/weights.bin", "http://other.example/weights.bin"])
async def test_https_does_not_become_http(target: str) -> None:
    """Prove ART-RUN-11."""

    class Session:
        def __init__(self) -> None:
            self.asked: list[str] = []

        async def get(self, url: URL, **_: Any) -> Any:
            self.asked.append(str(url))
            return SimpleNamespace(status=302, headers={"Location": target}, release=lambda: None)

    session, file = Session(), RemoteFile("weights.bin", 5, None)
    origin = HubOrigin("https://hub.example", "org/name", COMMIT, "hf_secret")
    with pytest.raises(DownloadFailure, match="redirected from HTTPS to plain HTTP"):
        await RangeReader(cast(Any, session), origin).read(cast(Any, SimpleNamespace(file=file, etag="")), 0, 5)
    assert [URL(asked).scheme for asked in session.asked] == ["https"]


@pytest.mark.parametrize("text", ["0", "not a date"])
async def test_too_many_requests_for_the_listing(tmp_path: Path, text: str) -> None:
    hub = ScriptedHub()
    hub.api_answers = [Response(status_code=429, headers={"Retry-After": text}), Response(status_code=503)]
    async with serve_locally(hub.application) as port:
        assert await check_size(settings(f"http://127.0.0.1:{port}", tmp_path / "t")) == 0


async def test_a_wait_the_server_asks_for_is_no_stall(tmp_path: Path) -> None:
    hub = ScriptedHub(status(429, Retry_After="4"))
    assert await run(hub, tmp_path / "t", stall_timeout=2.0) == 0


async def test_what_is_no_hub(tmp_path: Path) -> None:
    hub = ScriptedHub()
    hub.api_answers = [Response("<html>")]
    assert await run(hub, tmp_path / "t") == Reason.BAD_REQUEST.exit_code


async def test_switches_come_before_the_scheme(tmp_path: Path) -> None:
    """Suites simulate with s3:// as well (ART-RUN-9)."""
    target = tmp_path / "t"
    simulate = {"AIM_DEBUG_SIMULATE_DOWNLOAD": "1", "AIM_DEBUG_DOWNLOAD_DURATION": "0"}
    verify = {"AIM_DEBUG_VERIFY_DURATION": "0", "EXPECTED_SIZE_BYTES": "5000"}
    given = replace(settings("http://127.0.0.1:1", target, **simulate, **verify), uri="s3://bucket/x")
    assert await download(given) == 0
    assert (target / "simulated_data").stat().st_size == 5000
    failing = settings("http://127.0.0.1:1", target, **simulate, **verify, AIM_DEBUG_VERIFY_FAIL="1")
    assert await download(failing) == Reason.VERIFICATION.exit_code
    hanging = settings("http://127.0.0.1:1", target, AIM_DEBUG_CAUSE_HANG="1", STALL_TIMEOUT="0.2")
    assert await download(replace(hanging, uri="s3://bucket/x")) == Reason.STALLED.exit_code
    assert await download(settings("http://127.0.0.1:1", target, AIM_DEBUG_CAUSE_FAILURE="1")) == 1


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("mounting takes root")
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip("cannot mount here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


async def test_a_full_disk(small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert await run(ScriptedHub(), small_disk / "t", termination_log=tmp_path / "termination") == 22
    assert "no space left on device" in termination_of(tmp_path / "t")["detail"]
    # … and when the file system promised more than it has.
    monkeypatch.setattr("aimd.downloads.tree.Tree.require_space", lambda *_: None)
    assert await run(ScriptedHub(), small_disk / "t", termination_log=tmp_path / "termination") == 22
    assert termination_of(tmp_path / "t")["reason"] == "StorageFull"


async def test_check_size_prints_json_last_and_failures_without_traceback(tmp_path: Path) -> None:
    make_repository(tmp_path, "org/name", 10_000)
    command = [sys.executable, "-m", "aimd", "check-size"]
    async with serve_locally(hub_app(tmp_path)) as port:
        log = str(tmp_path / "termination")
        environment = {**os.environ, "HF_ENDPOINT": f"http://127.0.0.1:{port}", "AIMD_TERMINATION_LOG": log}
        done = await anyio.run_process([*command, "hf://org/name"], env=environment)
        size = sum(path.stat().st_size for path in (tmp_path / "org/name").iterdir())
        assert json.loads(done.stdout.splitlines()[-1]) == {"url": "hf://org/name", "sizeBytes": size}
        assert done.stderr == b""
        for uri, code in (("hf://org/none", 21), ("s3://", 26)):
            done = await anyio.run_process([*command, uri], env=environment, check=False)
            assert done.returncode == code
            assert b"Traceback" not in done.stderr + done.stdout


async def test_sigterm_ends_it_and_the_next_run_continues(tmp_path: Path) -> None:
    make_repository(tmp_path / "hub", "org/name", 2**20)
    application = hub_app(tmp_path / "hub", rate_limit_bytes_per_second=2**20)
    command = [sys.executable, "-m", "aimd", "download", "hf://org/name", str(tmp_path / "t")]
    async with serve_locally(application) as port:
        log = str(tmp_path / "termination")
        environment = {**os.environ, "HF_ENDPOINT": f"http://127.0.0.1:{port}", "AIMD_TERMINATION_LOG": log}
        async with await anyio.open_process(command, env=environment, stdout=None, stderr=None) as process:
            with anyio.fail_after(30):
                while application.state.hub.bytes_sent < 2**18:  # noqa: ASYNC110 - the hub is no place for events
                    await anyio.sleep(0.02)
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 128 + signal.SIGTERM
        assert list((tmp_path / "t").rglob("*.incomplete"))
        done = await anyio.run_process(command, env=environment)
    assert done.returncode == 0
    assert not (tmp_path / "t/.cache").exists()
