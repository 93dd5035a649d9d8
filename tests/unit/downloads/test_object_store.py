"""Objects of a bucket: their URLs, the version that is meant, what refusals mean. tests/faults has whole downloads."""

from typing import Any

import pytest

from aimd.api.source_uri import SourceUri
from aimd.downloads.backoff import Retryable
from aimd.downloads.failures import DownloadFailure, Reason
from aimd.downloads.object_store import BucketOrigin
from aimd.downloads.snapshot import RemoteFile

FILE = RemoteFile("sub/a.bin", 1, etag="abc")


class Client:
    """Records what is to be signed."""

    def __init__(self) -> None:
        self.signed: list[dict[str, str]] = []

    def generate_presigned_url(self, _method: str, *, Params: dict[str, str], ExpiresIn: int) -> str:
        self.signed.append(Params)
        return f"https://store/{ExpiresIn}"


def origin(client: Any = None) -> BucketOrigin:
    return BucketOrigin(client, SourceUri.parse("s3://bucket/models/a"))


def test_an_object_is_signed_below_the_prefix() -> None:
    client = Client()
    assert origin(client).url_of(FILE) == "https://store/3600"
    assert client.signed == [{"Bucket": "bucket", "Key": "models/a/sub/a.bin"}]


def test_only_the_listed_version_is_read() -> None:
    assert origin().headers(FILE) == {"If-Match": '"abc"'}
    assert origin().headers(RemoteFile("a", 1)) == {}


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (412, b"", Reason.VERIFICATION),
        (404, b"<Error><Code>NoSuchKey</Code></Error>", Reason.NOT_FOUND),
        (403, b"<Error><Code>ExpiredToken</Code></Error>", Reason.AUTH),
        (400, b"<Error><Code>InvalidToken</Code></Error>", Reason.AUTH),
        (400, b"?", Reason.BAD_REQUEST),
    ],
)
def test_what_a_refusal_means(status: int, body: bytes, reason: Reason) -> None:
    failure = origin().failure_of(FILE, status, {}, body)
    assert isinstance(failure, DownloadFailure)
    assert failure.reason is reason
    assert "sub/a.bin" in failure.detail


@pytest.mark.parametrize(("status", "body"), [(503, b""), (400, b"<Code>SlowDown</Code>")])
def test_a_temporary_problem_can_be_retried(status: int, body: bytes) -> None:
    assert isinstance(origin().failure_of(FILE, status, {}, body), Retryable)
