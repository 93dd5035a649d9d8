"""Source URIs: `hf://[organization/]repository[@revision]` or `s3://bucket[/prefix]`.

The one grammar for the schema, the plans and the download job. Imports nothing but the standard library, because the
download job must start without loading the API types.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

_NAME = r"[A-Za-z0-9]([\w.-]*\w)?"
_REF = r"[^\s/~^:?*\[\\]+"
_BUCKET = r"[A-Za-z0-9][\w.:-]+"

SOURCE_URI_PATTERN = rf"^(hf://({_NAME}/)?{_NAME}(@{_REF}(/{_REF})*)?/?|s3://{_BUCKET}(/\S*)?)$"
"""The form as a regular expression that the API server understands; `SourceUri.parse` checks what it cannot say."""

_FORM = re.compile(SOURCE_URI_PATTERN, re.ASCII)
_BUCKET_NAME = re.compile(r"[\w.-]{2,255}", re.ASCII)
_ACCESS_POINT = re.compile(
    r"arn:aws[a-z-]*:s3(-object-lambda|-outposts)?:[a-z0-9-]*:[0-9]{12}:(outpost:[A-Za-z0-9-]{1,63}:)?"
    r"accesspoint:[A-Za-z0-9.-]{1,63}"
)
_LONGEST_NAME = 96
_LONGEST_QUOTE = 200

_HUB_FORM = "hf://organization/repository or hf://organization/repository@revision"
_BUCKET_FORM = "s3://bucket/prefix"


class Scheme(StrEnum):
    """Schemes of source URIs: a hub that speaks the protocol of Hugging Face, or an S3-compatible object store."""

    HF = "hf"
    S3 = "s3"


class InvalidSourceUri(ValueError):
    """The text is not a valid source URI. The message names it and says what to write instead."""

    def __init__(self, text: str, advice: str) -> None:
        """Quote `text`, shortened, before `advice`."""
        shown = text if len(text) <= _LONGEST_QUOTE else f"{text[:_LONGEST_QUOTE]}…"
        super().__init__(f"{shown!r} is not a valid source URI: {advice}")


@dataclass(frozen=True, slots=True)
class SourceUri:
    """A valid source URI. Create it with `parse`; `str` gives the canonical text, which parses to an equal value.

    `organization`, `repository` and `revision` are set for `hf`: some old repositories have no organization, and an
    empty revision is the repository's default branch. `bucket` and `key` are set for `s3`; `key` has no slash at
    either end.
    """

    scheme: Scheme
    organization: str = ""
    repository: str = ""
    revision: str = ""
    bucket: str = ""
    key: str = ""

    @classmethod
    def parse(cls, text: str) -> "SourceUri":
        """Parse a source URI. Raises InvalidSourceUri, and nothing else, for any other text."""
        scheme = scheme_of(text)
        if scheme is None:
            raise InvalidSourceUri(text, f"write {_HUB_FORM} or {_BUCKET_FORM}")
        if not _FORM.fullmatch(text) or not text.isprintable():
            raise InvalidSourceUri(text, f"write {_HUB_FORM if scheme is Scheme.HF else _BUCKET_FORM}")
        location = text.partition("://")[2]
        return cls._of_hub(text, location) if scheme is Scheme.HF else cls._of_bucket(text, location)

    @classmethod
    def _of_hub(cls, text: str, location: str) -> "SourceUri":
        path, _, revision = location.removesuffix("/").partition("@")
        organization, _, repository = path.rpartition("/")
        if not _is_repository(organization, repository):
            rule = f"at most {_LONGEST_NAME} characters, no '--' or '..', no '.git' at the end"
            raise InvalidSourceUri(text, f"correct the name of the repository ({rule})")
        if revision and not _is_revision(revision):
            raise InvalidSourceUri(text, "correct the part after @, which git does not allow as a branch or tag")
        return cls(Scheme.HF, organization, repository, revision)

    @classmethod
    def _of_bucket(cls, text: str, location: str) -> "SourceUri":
        bucket, _, key = location.partition("/")
        if not _BUCKET_NAME.fullmatch(bucket) and not _ACCESS_POINT.fullmatch(bucket):
            raise InvalidSourceUri(text, "correct the bucket, which has 2 to 255 letters, digits, '.', '_' or '-'")
        return cls(Scheme.S3, bucket=bucket, key=key.strip("/"))

    @property
    def path(self) -> str:
        """`organization/repository` for `hf`, `bucket/key` for `s3`."""
        if self.scheme is Scheme.S3:
            return f"{self.bucket}/{self.key}" if self.key else self.bucket
        return f"{self.organization}/{self.repository}" if self.organization else self.repository

    @property
    def location(self) -> str:
        """What follows the scheme: the path, with the revision if there is one."""
        return f"{self.path}@{self.revision}" if self.revision else self.path

    @property
    def prefix(self) -> str:
        """Prefix of the objects' keys; ends with a slash unless it is empty (ART-RUN-3)."""
        return f"{self.key}/" if self.key else ""

    def __str__(self) -> str:
        """Return the canonical text."""
        return f"{self.scheme}://{self.location}{'/' if self.scheme is Scheme.S3 else ''}"


def scheme_of(text: str) -> Scheme | None:
    """Return the scheme that a text begins with, in upper or lower case, even if the rest is invalid; None without."""
    scheme, separator, _ = text.partition("://")
    known = {each.value: each for each in Scheme}
    return known.get(scheme.lower()) if separator else None


def _is_repository(organization: str, repository: str) -> bool:
    """Return whether the hub's library accepts the names, which have the right form already."""
    path = f"{organization}/{repository}"
    too_long = max(len(organization), len(repository)) > _LONGEST_NAME
    return not too_long and "--" not in path and ".." not in path and not path.endswith(".git")


def _is_revision(revision: str) -> bool:
    """Return whether git accepts the name, beyond the characters and slashes that the form has checked."""
    parts = revision.split("/")
    bad_part = any(part.startswith(".") or part.endswith(".lock") for part in parts)
    return not bad_part and revision != "@" and ".." not in revision and "@{" not in revision and revision[-1] != "."
