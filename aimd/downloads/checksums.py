"""Checksums as hubs and object stores publish them, and the digests that compute them."""

import hashlib
import zlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Kind(StrEnum):
    """How a checksum is computed from the content."""

    SHA256 = "sha256"
    GIT_BLOB = "git-sha1"
    MD5 = "md5"
    CRC32 = "crc32"
    MD5_OF_PARTS = "md5-parts"


@dataclass(frozen=True, slots=True)
class Checksum:
    """A checksum in lower-case hex; `part_size` is the size of the parts of a multipart upload, in bytes."""

    kind: Kind
    value: str
    part_size: int = 0


class Digest(Protocol):
    """A running checksum."""

    def update(self, data: bytes | memoryview, /) -> None:
        """Add the next bytes of the content."""

    def hexdigest(self) -> str:
        """Return the checksum of the bytes so far, in lower-case hex."""


class Crc32:
    """CRC-32 as a running checksum."""

    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes | memoryview, /) -> None:
        """Add the next bytes of the content."""
        self._value = zlib.crc32(data, self._value)

    def hexdigest(self) -> str:
        """Return the checksum of the bytes so far, as eight hex digits."""
        return f"{self._value:08x}"


class Md5OfParts:
    """The ETag of an S3 multipart upload: MD5 over the MD5s of its parts, then the number of parts."""

    def __init__(self, part_size: int) -> None:
        self._part_size = part_size
        self._finished = b""
        self._part = _md5()
        self._filled = 0

    def update(self, data: bytes | memoryview, /) -> None:
        """Add the next bytes of the content."""
        rest = memoryview(data)
        while rest:
            taken = rest[: self._part_size - self._filled]
            self._part.update(taken)
            self._filled += len(taken)
            rest = rest[len(taken) :]
            if self._filled == self._part_size:
                self._finished += self._part.digest()
                self._part, self._filled = _md5(), 0

    def hexdigest(self) -> str:
        """Return the ETag of the bytes so far, without quotes."""
        digests = self._finished + (self._part.digest() if self._filled or not self._finished else b"")
        return f"{_md5(digests).hexdigest()}-{len(digests) // 16}"


def new_digest(checksum: Checksum | None, size: int) -> Digest:
    """Return the digest that computes `checksum` over content of `size` bytes; a cheap one if there is no checksum."""
    if checksum is None or checksum.kind is Kind.CRC32:
        return Crc32()
    if checksum.kind is Kind.SHA256:
        return hashlib.sha256()
    if checksum.kind is Kind.GIT_BLOB:
        return hashlib.sha1(f"blob {size}\0".encode(), usedforsecurity=False)
    return _md5() if checksum.kind is Kind.MD5 else Md5OfParts(checksum.part_size)


def _md5(data: bytes = b"") -> "hashlib._Hash":
    return hashlib.md5(data, usedforsecurity=False)
