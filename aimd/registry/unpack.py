"""The archive inside a layer, of a limited size whatever the layer claims.

The compression of a layer is recognized by its first bytes, as container runtimes do: the media type is not reliable.
"""

import zlib

from aimd.registry.tar_archive import LayerError

ZSTD_ADVICE = "is compressed with zstd, which aimd does not read: push the image with gzip"
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_WITH_GZIP_HEADER = 31
_PIECE = 16 * 1024
_MOST_MEMBERS = 10_000
"""Parts of a gzip file; eStargz has one for each file."""


def unpack(blob: bytes, limit: int) -> bytes:
    """Return the archive of a layer, at most `limit` bytes. Raises LayerError."""
    if blob.startswith(_ZSTD):
        raise LayerError(ZSTD_ADVICE)
    if blob.startswith(_GZIP):
        return _inflate(blob, limit)
    if len(blob) > limit:
        raise _too_long()
    return blob


def _inflate(blob: bytes, limit: int) -> bytes:
    """Inflate all members of a gzip file, piece by piece: what follows a member is copied each time."""
    inflated, members = bytearray(), 1
    member = zlib.decompressobj(_WITH_GZIP_HEADER)
    for start in range(0, len(blob), _PIECE):
        piece = blob[start : start + _PIECE]
        while piece:
            if member.eof:
                piece = piece.lstrip(b"\0")  # padding
                if not piece:
                    break
                member, members = zlib.decompressobj(_WITH_GZIP_HEADER), members + 1
            try:
                inflated += member.decompress(piece, limit + 1 - len(inflated))
            except zlib.error:
                raise LayerError("is damaged: it is not valid gzip") from None
            if len(inflated) > limit:
                raise _too_long()
            if members > _MOST_MEMBERS:
                raise LayerError(f"consists of more than {_MOST_MEMBERS} gzip files")
            piece = member.unused_data if member.eof else member.unconsumed_tail
    if not member.eof:
        raise LayerError("is truncated")
    return bytes(inflated)


def _too_long() -> LayerError:
    return LayerError("unpacks to more than a layer with profile files would")
