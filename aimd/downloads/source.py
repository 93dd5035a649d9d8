"""Where weights come from: `hf://org/name[@revision]` or `s3://bucket/prefix`."""

import re
from dataclasses import dataclass
from typing import TypeAlias

from aimd.downloads.failures import DownloadFailure, Reason

_NAME = r"[A-Za-z0-9][\w.-]*"
_REPOSITORY = re.compile(rf"(?:{_NAME}/)?{_NAME}", re.ASCII)
_REVISION = re.compile(r"[\w.+-]+(?:/[\w.+-]+)*", re.ASCII)
_BUCKET = re.compile(r"[A-Za-z0-9][\w.:-]{1,254}", re.ASCII)


@dataclass(frozen=True, slots=True)
class HubSource:
    """A repository of a Hugging Face-compatible hub; an empty `revision` is its default branch."""

    repository: str
    revision: str = ""


@dataclass(frozen=True, slots=True)
class BucketSource:
    """The objects of a bucket below a prefix, which ends with a slash unless it is empty (ART-RUN-3)."""

    bucket: str
    prefix: str = ""

    @property
    def uri(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}"


Source: TypeAlias = HubSource | BucketSource


def parse_source(uri: str) -> Source:
    """The source a URI names. Raises DownloadFailure for a scheme or form that is not supported."""
    scheme, separator, path = uri.partition("://")
    if separator and scheme == "hf":
        return _hub_source(uri, path)
    if separator and scheme == "s3":
        return _bucket_source(uri, path)
    raise DownloadFailure(
        Reason.BAD_REQUEST, f"{uri!r} is not a source; write hf://org/name, hf://org/name@revision or s3://bucket/path"
    )


def _hub_source(uri: str, path: str) -> HubSource:
    repository, at, revision = path.strip("/").partition("@")
    if ".." in path or not _REPOSITORY.fullmatch(repository) or (at and not _REVISION.fullmatch(revision)):
        raise DownloadFailure(
            Reason.BAD_REQUEST, f"{uri!r} names no repository; write hf://org/name or hf://org/name@revision"
        )
    return HubSource(repository, revision)


def _bucket_source(uri: str, path: str) -> BucketSource:
    bucket, _, prefix = path.partition("/")
    if not _BUCKET.fullmatch(bucket):
        raise DownloadFailure(Reason.BAD_REQUEST, f"{uri!r} names no bucket; write s3://bucket/path")
    prefix = prefix.strip("/")
    return BucketSource(bucket, f"{prefix}/" if prefix else "")
