"""Where weights come from: `hf://org/name[@revision]`."""

import re
from dataclasses import dataclass

from aimd.downloads.failures import DownloadFailure, Reason

_NAME = r"[A-Za-z0-9][\w.-]*"
_REPOSITORY = re.compile(rf"(?:{_NAME}/)?{_NAME}", re.ASCII)
_REVISION = re.compile(r"[\w.+-]+(?:/[\w.+-]+)*", re.ASCII)


@dataclass(frozen=True, slots=True)
class HubSource:
    """A repository of a Hugging Face-compatible hub; an empty `revision` is its default branch."""

    repository: str
    revision: str = ""


def parse_source(uri: str) -> HubSource:
    """The source a URI names. Raises DownloadFailure for a scheme or form that is not supported."""
    scheme, separator, path = uri.partition("://")
    if not separator or scheme not in ("hf", "s3"):
        raise DownloadFailure(Reason.BAD_REQUEST, f"{uri!r} is not a source such as hf://org/name")
    if scheme == "s3":
        raise DownloadFailure(Reason.BAD_REQUEST, "s3:// is not supported by this version; use an hf:// source")
    repository, at, revision = path.strip("/").partition("@")
    if ".." in path or not _REPOSITORY.fullmatch(repository) or (at and not _REVISION.fullmatch(revision)):
        raise DownloadFailure(
            Reason.BAD_REQUEST, f"{uri!r} names no repository; write hf://org/name or hf://org/name@revision"
        )
    return HubSource(repository, revision)
