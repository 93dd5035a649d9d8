"""Checksums: each kind as its publisher computes it, over content that arrives in any pieces."""

import hashlib
import zlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimd.downloads.checksums import Checksum, Kind, new_digest

CONTENT = bytes(range(256)) * 9
PART = 1000


def etag_of(content: bytes) -> str:
    parts = [content[start : start + PART] for start in range(0, len(content), PART)]
    digests = b"".join(hashlib.md5(part).digest() for part in parts)
    return f"{hashlib.md5(digests).hexdigest()}-{len(parts)}"


EXPECTED = {
    Kind.SHA256: hashlib.sha256(CONTENT).hexdigest(),
    Kind.GIT_BLOB: hashlib.sha1(b"blob %d\0" % len(CONTENT) + CONTENT).hexdigest(),
    Kind.MD5: hashlib.md5(CONTENT).hexdigest(),
    Kind.CRC32: f"{zlib.crc32(CONTENT):08x}",
    Kind.MD5_OF_PARTS: etag_of(CONTENT),
}


@pytest.mark.parametrize("kind", Kind)
@given(cuts=st.lists(st.integers(0, len(CONTENT)), max_size=5))
def test_every_kind_over_any_pieces(kind: Kind, cuts: list[int]) -> None:
    digest = new_digest(Checksum(kind, EXPECTED[kind], PART), len(CONTENT))
    edges = [0, *sorted(cuts), len(CONTENT)]
    for start, end in pairwise(edges):
        digest.update(memoryview(CONTENT)[start:end])
    assert digest.hexdigest() == EXPECTED[kind]


def test_empty_content_is_one_part() -> None:
    digest = new_digest(Checksum(Kind.MD5_OF_PARTS, "", PART), 0)
    assert digest.hexdigest() == f"{hashlib.md5(hashlib.md5(b'').digest()).hexdigest()}-1"


def test_a_checksum_in_hex_keeps_its_zeros() -> None:
    assert new_digest(None, 0).hexdigest() == "00000000"
