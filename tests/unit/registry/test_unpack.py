"""Archives come out whole, or not at all."""

import gzip
import time
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimd.registry.tar_archive import LayerError
from aimd.registry.unpack import unpack

LIMIT = 1 << 20


@given(st.lists(st.binary(max_size=40_000), max_size=4), st.integers(0, 40_000))
def test_gzip_in_one_or_several_parts(parts: list[bytes], padding: int) -> None:
    blob = gzip.compress(b"") + b"".join(gzip.compress(part) for part in parts) + bytes(padding)
    assert unpack(blob, LIMIT) == b"".join(parts)


def test_an_archive_that_is_not_compressed() -> None:
    assert unpack(b"archive", LIMIT) == b"archive"
    assert unpack(b"", LIMIT) == b""


def test_the_limit_is_exact() -> None:
    """Prove REG-PRF-4."""
    for blob in (gzip.compress(bytes(LIMIT)), bytes(LIMIT)):
        assert unpack(blob, LIMIT) == bytes(LIMIT)
    for blob in (gzip.compress(bytes(LIMIT + 1)), bytes(LIMIT + 1), gzip.compress(b"x") + gzip.compress(bytes(LIMIT))):
        with pytest.raises(LayerError, match="unpacks to more than"):
            unpack(blob, LIMIT)


def test_a_bomb_takes_no_memory() -> None:
    """Prove REG-PRF-4."""
    inner = zlib.compressobj(9, wbits=31)
    bomb = b"".join(inner.compress(bytes(1 << 20)) for _ in range(200)) + inner.flush()
    assert len(bomb) < LIMIT
    tracemalloc.start()
    with pytest.raises(LayerError, match="unpacks to more than"):
        unpack(bomb, 8 << 20)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 32 << 20


def test_countless_parts_end_soon() -> None:
    """Prove REG-PRF-4."""
    blob = gzip.compress(b"") * (LIMIT // 20)
    started = time.monotonic()
    with pytest.raises(LayerError, match="more than 10000 gzip files"):
        unpack(blob, LIMIT)
    assert time.monotonic() - started < 2


def test_zstd_is_named() -> None:
    """Prove REG-PRF-4."""
    with pytest.raises(LayerError, match="is compressed with zstd, which aimd does not read: push the image with gzip"):
        unpack(b"\x28\xb5\x2f\xfd rest", LIMIT)


@given(st.binary(min_size=1, max_size=3000), st.data())
def test_what_is_cut_off_or_changed_is_damaged(content: bytes, data: st.DataObject) -> None:
    blob = gzip.compress(content)
    with pytest.raises(LayerError, match="is truncated"):
        unpack(blob[: data.draw(st.integers(2, len(blob) - 1))], LIMIT)
    changed = bytearray(blob)
    changed[-5] ^= 1  # of the length or the checksum
    with pytest.raises(LayerError, match="not valid gzip"):
        unpack(bytes(changed), LIMIT)
    with pytest.raises(LayerError):
        unpack(blob + b"more", LIMIT)
