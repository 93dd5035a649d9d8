"""Downloads from an object store: moto's server, whose code is not ours, behind a proxy that plays faults."""

import asyncio
import hashlib
import json
import os
import random
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from aimd.api.source_uri import SourceUri
from aimd.downloads.checksums import Kind
from aimd.downloads.failures import Reason
from aimd.downloads.object_store import ObjectStoreAccess, list_objects
from aimd.downloads.run import check_size, download
from aimd.downloads.settings import DownloadSettings, settings_from
from tests.faults.s3 import Proxy, object_store, proxy_to, s3_client

KEYS = {"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "verysecretkey", "AWS_EC2_METADATA_DISABLED": "1"}
SMALL = b'{"model_type": "llama"}'
LARGE = random.Random(1).randbytes(6 * 2**20 + 12345)
PART = 5 * 2**20


@dataclass
class Bench:
    """A bucket of its own, filled past the proxy that the downloads go through."""

    proxy: Proxy
    bucket: str
    client: Any
    folder: Path

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.proxy.port}"

    @property
    def uri(self) -> str:
        return f"s3://{self.bucket}/models/a"

    @property
    def target(self) -> Path:
        return self.folder / "target"

    def settings(self, uri: str = "", **changes: Any) -> DownloadSettings:
        environment = {**KEYS, "AWS_ENDPOINT_URL": self.endpoint}
        plain = settings_from(environment, uri or self.uri, self.target)
        return replace(plain, termination_log=self.folder / "termination", **changes)

    def termination(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads((self.folder / "termination").read_text())
        return message

    def put(self, key: str, body: bytes) -> None:
        self.client.put_object(Bucket=self.bucket, Key=key, Body=body)

    def upload_in_parts(self, key: str, body: bytes) -> None:
        where = {"Bucket": self.bucket, "Key": key}
        upload = self.client.create_multipart_upload(**where)["UploadId"]
        parts = []
        for number, start in enumerate(range(0, len(body), PART), 1):
            data = body[start : start + PART]
            tag = self.client.upload_part(**where, UploadId=upload, PartNumber=number, Body=data)["ETag"]
            parts.append({"PartNumber": number, "ETag": tag})
        self.client.complete_multipart_upload(**where, UploadId=upload, MultipartUpload={"Parts": parts})

    def publish(self) -> None:
        self.client.put_bucket_acl(Bucket=self.bucket, ACL="public-read")
        for path in EXPECTED:
            self.client.put_object_acl(Bucket=self.bucket, Key=f"models/a/{path}", ACL="public-read")

    def tree(self) -> dict[str, bytes]:
        paths = [path for path in self.target.rglob("*") if path.is_file()]
        return {str(path.relative_to(self.target)): path.read_bytes() for path in paths}


EXPECTED = {"config.json": SMALL, "sub/model one+two.safetensors": LARGE, "single.bin": LARGE[:100_000]}


@pytest.fixture(scope="module")
def store() -> Iterator[int]:
    with object_store() as port:
        yield port


@pytest.fixture
async def bench(store: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    async with proxy_to(store) as proxy:
        found = Bench(proxy, f"bucket-{uuid4().hex[:8]}", s3_client(f"http://127.0.0.1:{store}"), tmp_path)
        await asyncio.to_thread(fill, found)
        yield found


def fill(bench: Bench) -> None:
    bench.client.create_bucket(Bucket=bench.bucket)
    bench.put("models/a/config.json", SMALL)
    bench.put("models/a/", b"")
    bench.put("models/a/single.bin", EXPECTED["single.bin"])
    bench.upload_in_parts("models/a/sub/model one+two.safetensors", LARGE)
    bench.put("models/a-v2/other.bin", b"a sibling, no part of the prefix")


async def test_the_objects_below_the_prefix_and_nothing_else(bench: Bench) -> None:
    """Prove ART-RUN-3."""
    assert await download(bench.settings()) == 0
    assert bench.tree() == EXPECTED
    message = bench.termination()
    assert (message["reason"], message["files"], message["protocol"]) == ("Completed", 3, "S3")
    assert message["sizeBytes"] == sum(len(body) for body in EXPECTED.values())
    bench.proxy.sent = 0
    assert await download(bench.settings()) == 0
    assert bench.proxy.sent == 0


async def test_the_size_leaves_siblings_out(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    assert await check_size(bench.settings()) == 0
    line = capsys.readouterr().out.splitlines()[-1]
    assert json.loads(line) == {"url": bench.uri, "sizeBytes": sum(len(body) for body in EXPECTED.values())}


async def test_checksums_are_found_out(bench: Bench) -> None:
    def listed() -> dict[str, Kind | None]:
        with_sum = {"Bucket": bench.bucket, "Key": "models/a/sha", "Body": b"x", "ChecksumAlgorithm": "SHA256"}
        bench.client.put_object(**with_sum)
        snapshot = list_objects(SourceUri.parse(bench.uri), ObjectStoreAccess(bench.endpoint), lambda: None)
        return {file.path: file.checksum.kind if file.checksum else None for file in snapshot.files}

    kinds = await asyncio.to_thread(listed)
    assert kinds["sha"] is Kind.SHA256
    assert kinds["sub/model one+two.safetensors"] is Kind.MD5_OF_PARTS
    assert kinds["config.json"] in (Kind.MD5, Kind.CRC32)


@pytest.mark.parametrize("faults", [["cut"], ["cut", "503", "cut"], ["500"], ["429"], ["swap"]], ids="-".join)
async def test_passing_faults_end_in_a_verified_tree(bench: Bench, faults: list[str]) -> None:
    bench.proxy.faults = list(faults)
    assert await download(bench.settings(connections=2)) == 0
    assert bench.tree() == EXPECTED


@pytest.mark.parametrize(
    ("faults", "reason"),
    [
        (["403"], Reason.AUTH),
        (["404"], Reason.NOT_FOUND),
        (["412"], Reason.VERIFICATION),
        (["418"], Reason.BAD_REQUEST),
    ],
)
async def test_lasting_faults_end_in_their_own_reason(bench: Bench, faults: list[str], reason: Reason) -> None:
    bench.proxy.faults = list(faults)
    assert await download(bench.settings()) == reason.exit_code
    assert bench.termination()["reason"] == reason.text


async def test_swapped_bytes_never_pass(bench: Bench) -> None:
    bench.proxy.faults = ["swap"] * 20
    assert await download(bench.settings()) == Reason.VERIFICATION.exit_code
    assert "sub/model one+two.safetensors" not in bench.tree()


async def test_a_stalled_store_is_given_up(bench: Bench) -> None:
    bench.proxy.faults = ["stall"] * 4
    assert await download(bench.settings(stall_timeout=0.5)) == Reason.STALLED.exit_code


async def test_missing_buckets_prefixes_and_stores(bench: Bench) -> None:
    missing = bench.settings(uri="s3://no-such-bucket-here/x")
    assert await download(missing) == Reason.NOT_FOUND.exit_code
    assert "NoSuchBucket" in bench.termination()["detail"]
    assert await download(bench.settings(uri=f"s3://{bench.bucket}/nothing")) == Reason.NOT_FOUND.exit_code
    away = ObjectStoreAccess("http://127.0.0.1:1")
    assert await download(bench.settings(object_store=away, retry_timeout=0.1)) == Reason.NETWORK.exit_code
    assert "verysecretkey" not in json.dumps(bench.termination())


async def test_incomplete_credentials(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert await download(bench.settings()) == Reason.AUTH.exit_code


async def test_without_credentials_requests_are_anonymous(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prove ART-RUN-10."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    assert await download(bench.settings()) == Reason.AUTH.exit_code
    await asyncio.to_thread(bench.publish)
    assert await download(bench.settings()) == 0
    assert bench.tree() == EXPECTED
    assert not [head for head in bench.proxy.heads if "AKIA" in head or "authorization:" in head.lower()]


async def test_session_tokens_are_sent_and_never_in_words(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "sessiontokenvalue")
    bench.proxy.faults = ["cut", "503"]
    assert await download(bench.settings()) == 0
    assert any("X-Amz-Security-Token=sessiontokenvalue" in head for head in bench.proxy.heads)
    said = "".join(capsys.readouterr())
    assert not [secret for secret in ("sessiontokenvalue", "verysecretkey", "X-Amz-Signature") if secret in said]


async def test_an_object_replaced_meanwhile_is_not_mixed(bench: Bench) -> None:
    other = random.Random(2).randbytes(len(LARGE))
    bench.proxy.bytes_per_second = 8 * 2**20

    async def replace_it() -> None:
        await bench.proxy.reached(2**20)
        await asyncio.to_thread(bench.upload_in_parts, "models/a/sub/model one+two.safetensors", other)

    replacing = asyncio.create_task(replace_it())
    first = await download(bench.settings())
    await replacing
    bench.proxy.bytes_per_second = 0
    assert first in (0, Reason.VERIFICATION.exit_code)
    assert await download(bench.settings()) == 0
    assert bench.tree() == {**EXPECTED, "sub/model one+two.safetensors": other}


@pytest.mark.parametrize("kills", [4, pytest.param(20, marks=pytest.mark.slow)])
async def test_killed_at_random_it_fetches_hardly_more_than_the_size(bench: Bench, kills: int) -> None:
    """SIGKILL at random moments of a download in several ranges at once."""
    size = kills * 8 * 2**20
    body = random.Random(3).randbytes(size)
    await asyncio.to_thread(bench.upload_in_parts, "big/model.gguf", body)
    bench.proxy.bytes_per_second = 8 * 2**20
    chance, deaths = random.Random(4), 0
    environment = {
        **os.environ,
        "AWS_ENDPOINT_URL": bench.endpoint,
        "AIMD_TERMINATION_LOG": str(bench.folder / "termination"),
    }
    command = [sys.executable, "-m", "aimd", "download", f"s3://{bench.bucket}/big", str(bench.target)]
    for number in range(kills):
        stop = (number + chance.random()) * size / (kills + 1)
        process = await asyncio.create_subprocess_exec(
            *command, env=environment, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
        )
        await bench.proxy.reached(stop)
        if process.returncode is None:
            process.kill()
            deaths += 1
        await process.wait()
    assert deaths == kills
    assert await download(bench.settings(uri=f"s3://{bench.bucket}/big")) == 0
    assert hashlib.sha256((bench.target / "model.gguf").read_bytes()).digest() == hashlib.sha256(body).digest()
    print(f"{deaths} kills, {bench.proxy.sent / size:.3f} of the size fetched")
    assert bench.proxy.sent <= 1.05 * size
    assert not (bench.target / ".cache").exists()
