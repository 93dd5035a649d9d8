"""Entries of a tar archive in memory, whatever it contains.

`tarfile` reads a single header well, but not a whole archive of unknown origin: it keeps every entry, recurses for each
name that is continued, and its patterns take quadratic time for some extended headers. So its `TarInfo.frombuf` decodes
headers here, and this module walks from one to the next: each byte is read once.
"""

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from aimd.registry.failures import quoted

_BLOCK = tarfile.BLOCKSIZE
_EXTENSION_LIMIT = 1024 * 1024
"""Bytes of one extended header or long name."""
_FILES = frozenset((tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE))
_WITHOUT_CONTENT = frozenset(
    (tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE)
)
"""Types whose size says nothing about what follows."""
_SPARSE_MORE_IN_HEADER, _SPARSE_MORE_IN_EXTENSION = 482, 504
"""Offsets of the byte that says whether the map of a sparse file continues in another block."""


class LayerError(Exception):
    """A layer cannot be read; the text follows the layer's name in a message."""


class Kind(Enum):
    """What an entry is."""

    FILE = "file"
    FOLDER = "folder"
    OTHER = "other"
    """A link, a device, a sparse file, or what no standard knows."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of an archive; the name and the content are as they are in it."""

    name: str
    kind: Kind
    content: memoryview


@dataclass(slots=True)
class _Extension:
    """What extended headers say about the next entry."""

    name: str | None = None
    size: int | None = None
    sparse: bool = False


def entries(archive: bytes) -> Iterator[Entry]:
    """Yield the entries in order. Raises LayerError where the archive is damaged or truncated.

    An archive without the mark of its end is complete if it ends between two entries.
    """
    data = memoryview(archive)
    offset, extension = 0, _Extension()
    while (header := _header(data, offset)) is not None:
        offset = _content_start(data, offset, header)
        size = header.size if extension.size is None else extension.size
        stored = 0 if header.type in _WITHOUT_CONTENT else size
        if not 0 <= stored <= len(data) - offset:
            raise LayerError("is truncated or damaged")
        content = data[offset : offset + stored]
        offset += -(-stored // _BLOCK) * _BLOCK
        if _extend(extension, header, content):
            continue
        yield Entry(header.name if extension.name is None else extension.name, _kind(header, extension), content)
        extension = _Extension()


def _header(data: memoryview, offset: int) -> tarfile.TarInfo | None:
    """Return the header at an offset, None at the end of the archive."""
    if offset >= len(data):
        return None
    try:
        return tarfile.TarInfo.frombuf(bytes(data[offset : offset + _BLOCK]), "utf-8", "surrogateescape")
    except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
        return None
    except tarfile.HeaderError:
        raise LayerError("is not a tar archive, or is damaged" if not offset else "is truncated or damaged") from None


def _content_start(data: memoryview, offset: int, header: tarfile.TarInfo) -> int:
    """Return where the content of a header starts: after the rest of the map if it is a sparse file."""
    more = header.type == tarfile.GNUTYPE_SPARSE and data[offset + _SPARSE_MORE_IN_HEADER]
    offset += _BLOCK
    while more:
        if offset + _BLOCK > len(data):
            raise LayerError("is truncated or damaged")
        more = data[offset + _SPARSE_MORE_IN_EXTENSION]
        offset += _BLOCK
    return offset


def _extend(extension: _Extension, header: tarfile.TarInfo, content: memoryview) -> bool:
    """Take up what an extended header says about the next entry; return whether the header is one."""
    if header.type not in (
        tarfile.XHDTYPE,
        tarfile.SOLARIS_XHDTYPE,
        tarfile.XGLTYPE,
        tarfile.GNUTYPE_LONGNAME,
        tarfile.GNUTYPE_LONGLINK,
    ):
        return False
    if len(content) > _EXTENSION_LIMIT:
        raise LayerError(f"has an extended header of more than {_EXTENSION_LIMIT} bytes")
    if header.type == tarfile.GNUTYPE_LONGNAME:
        extension.name = _text(bytes(content).partition(b"\0")[0])
    elif header.type in (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE):
        _read_records(extension, bytes(content))
    return True


def _read_records(extension: _Extension, records: bytes) -> None:
    """Read the records of an extended header of POSIX: length, space, key, equals sign, value and line end."""
    offset, sparse_name = 0, None
    while offset < len(records) and records[offset]:
        space = records.find(b" ", offset, offset + 20)
        digits = records[offset:space] if space > 0 else b""
        length = int(digits) if digits.isdigit() else 0
        if length <= len(digits) + 1 or offset + length > len(records):
            raise LayerError("has a damaged extended header")
        key, _, value = records[space + 1 : offset + length - 1].partition(b"=")
        offset += length
        if key == b"path":
            extension.name = _text(value)
        elif key == b"size":
            if not value.isdigit() or len(value) > 20:
                raise LayerError(f"has an entry of size {quoted(_text(value[:20]))!r}")
            extension.size = int(value)
        elif key.startswith(b"GNU.sparse."):
            extension.sparse = True
            sparse_name = _text(value) if key == b"GNU.sparse.name" else sparse_name
    extension.name = extension.name if sparse_name is None else sparse_name


def _kind(header: tarfile.TarInfo, extension: _Extension) -> Kind:
    if header.type == tarfile.DIRTYPE:
        return Kind.FOLDER
    return Kind.FILE if header.type in _FILES and not extension.sparse else Kind.OTHER


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
