"""Archives of all formats are read as `tarfile` reads them, and damaged ones end with an error."""

import io
import tarfile
import time
from collections.abc import Callable, Iterable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimd.registry.tar_archive import Entry, Kind, LayerError, entries

FORMATS = (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)
NAMES = st.lists(st.text(st.characters(exclude_characters="/\0", codec="utf-8"), min_size=1, max_size=30), min_size=1)


def entry_of(name: str, content: bytes = b"", **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    for field, value in fields.items():
        setattr(entry, field, value)
    return entry, content


def archive_of(found: Iterable[tuple[tarfile.TarInfo, bytes]], kind: int = tarfile.PAX_FORMAT) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w", format=kind) as archive:
        for entry, content in found:
            archive.addfile(entry, io.BytesIO(content))
    return written.getvalue()


def read(archive: bytes) -> list[tuple[str, Kind, bytes]]:
    return [(entry.name, entry.kind, bytes(entry.content)) for entry in entries(archive)]


@pytest.mark.parametrize("kind", FORMATS)
def test_kinds_of_entries(kind: int) -> None:
    found = [
        entry_of("folder", type=tarfile.DIRTYPE),
        entry_of("folder/file", b"text"),
        entry_of("link", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
        entry_of("hard", type=tarfile.LNKTYPE, linkname="folder/file"),
        entry_of("pipe", type=tarfile.FIFOTYPE),
        entry_of("disk", type=tarfile.BLKTYPE),
        entry_of("last", bytes(513)),
    ]
    assert read(archive_of(found, kind)) == [
        ("folder", Kind.FOLDER, b""),
        ("folder/file", Kind.FILE, b"text"),
        ("link", Kind.OTHER, b""),
        ("hard", Kind.OTHER, b""),
        ("pipe", Kind.OTHER, b""),
        ("disk", Kind.OTHER, b""),
        ("last", Kind.FILE, bytes(513)),
    ]


@given(st.lists(st.tuples(NAMES, st.binary(max_size=2000)), max_size=5), st.sampled_from(FORMATS[1:]))
def test_names_of_any_length(files: list[tuple[list[str], bytes]], kind: int) -> None:
    named = [("/".join(parts), content) for parts, content in files]
    archive = archive_of([entry_of(name, content) for name, content in named], kind)
    assert read(archive) == [(name, Kind.FILE, content) for name, content in named]


def test_extended_headers_of_other_things() -> None:
    found = [entry_of("a", b"x", mtime=1.5, pax_headers={"SCHILY.xattr.user.x": "y", "comment": "path=z"})]
    assert read(archive_of(found)) == [("a", Kind.FILE, b"x")]
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w", pax_headers={"path": "all the same"}) as archive:
        archive.addfile(tarfile.TarInfo("a"))
    assert read(written.getvalue()) == [("a", Kind.FILE, b"")]


def test_sparse_files_are_no_files() -> None:
    described = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "s", "GNU.sparse.realsize": "9"}
    found = [entry_of("GNUSparseFile.0/s", b"x" * 512, pax_headers=described), entry_of("b", b"y")]
    assert read(archive_of(found)) == [("s", Kind.OTHER, b"x" * 512), ("b", Kind.FILE, b"y")]
    assert read(old_sparse(more=2) + archive_of([entry_of("b", b"y")])) == [
        ("s", Kind.OTHER, b"z" * 512),
        ("b", Kind.FILE, b"y"),
    ]
    for length in range(512, 3 * 512, 100):
        with pytest.raises(LayerError, match="truncated or damaged"):
            read(old_sparse(more=2)[:length])


def old_sparse(more: int) -> bytes:
    """A sparse file as GNU tar wrote them: the map may continue in blocks after the header."""
    entry, _ = entry_of("s", type=tarfile.GNUTYPE_SPARSE, size=512)
    header = bytearray(entry.tobuf(tarfile.GNU_FORMAT))
    header[482] = 1
    checksum = sum(header[:148]) + 8 * 32 + sum(header[156:512])
    header[148:156] = b"%06o\0 " % checksum
    blocks = [bytearray(512) for _ in range(more)]
    for block in blocks[:-1]:
        block[504] = 1
    return bytes(header) + b"".join(blocks) + b"z" * 512


def test_an_archive_ends_with_a_block_of_zeros_or_with_its_bytes() -> None:
    whole = archive_of([entry_of("a", b"x")])
    assert read(whole[:1024]) == read(whole) == read(whole + b"anything") == [("a", Kind.FILE, b"x")]
    assert read(b"") == read(bytes(1024)) == []


def test_what_is_no_archive() -> None:
    for content in (b"<html>", b"x" * 5000, b"\0" * 511 + b"x"):
        with pytest.raises(LayerError, match="is not a tar archive, or is damaged"):
            read(content)


@pytest.mark.parametrize("size", [b"\xff" + b"\xff" * 11, b"\x80" + b"\xff" * 11, b"77777777777\0"])
def test_sizes_that_lead_out_of_the_archive(size: bytes) -> None:
    """A negative size would lead back, and never to the end."""
    header = bytearray(entry_of("a", b"")[0].tobuf())
    header[124:136] = size
    header[148:156] = b"%06o\0 " % (sum(header[:148]) + 8 * 32 + sum(header[156:512]))
    with pytest.raises(LayerError, match="is truncated or damaged"):
        read(bytes(header) + bytes(4096))


def extended(records: bytes) -> bytes:
    header = entry_of("x", records, type=tarfile.XHDTYPE)[0].tobuf(tarfile.USTAR_FORMAT)
    padded = records + bytes(-len(records) % 512)
    return header + padded + entry_of("a", b"")[0].tobuf(tarfile.USTAR_FORMAT)


@pytest.mark.parametrize(
    ("records", "message"),
    [
        (b"x", "damaged extended header"),
        (b"4 \n", "damaged extended header"),
        (b"99 path=b\n", "damaged extended header"),
        (b"-9 path=b\n", "damaged extended header"),
        (b"1" * 5000 + b" path=b\n", "damaged extended header"),
        (b"11 size=-1\n", "an entry of size '-1'"),
        (b"30 size=99999999999999999999\n", "damaged|of size|truncated"),
    ],
)
def test_extended_headers_that_are_damaged(records: bytes, message: str) -> None:
    with pytest.raises(LayerError, match=message):
        read(extended(records))


def test_a_chain_of_continued_names_ends() -> None:
    """`tarfile` would recurse for each of them."""
    name = entry_of("././@LongLink", b"long", type=tarfile.GNUTYPE_LONGNAME)[0].tobuf(tarfile.GNU_FORMAT)
    link = name + b"long".ljust(512, b"\0")
    assert read(link * 5000 + entry_of("a", b"")[0].tobuf()) == [("long", Kind.FILE, b"")]


@pytest.mark.parametrize(
    "make",
    [
        lambda: archive_of([entry_of("a")])[:512] * (1 << 14),
        lambda: extended(b"5 a=\n" * 200_000),
        lambda: extended(b"1" * (1 << 20)),
        lambda: extended(b"9" * 19 + b" " * (1 << 19)),
    ],
    ids=["entries", "records", "digits", "spaces"],
)
def test_eight_megabytes_of_anything_end_soon(make: Callable[[], bytes]) -> None:
    """Prove REG-PRF-4."""
    archive = make()
    started = time.monotonic()
    with suppress(LayerError):
        sum(1 for _ in entries(archive))
    assert time.monotonic() - started < 5


@given(
    st.binary(max_size=3000) | st.just(archive_of([entry_of("a", b"x" * 600), entry_of("b" * 200, b"y")])), st.data()
)
def test_damage_never_ends_in_another_error(archive: bytes, data: st.DataObject) -> None:
    """Prove REG-PRF-4."""
    changed = bytearray(archive)
    for _ in range(data.draw(st.integers(0, 3)) if changed else 0):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    cut = changed[: data.draw(st.integers(0, len(changed)))]
    try:
        found = list(entries(bytes(cut)))
    except LayerError:
        return
    assert all(isinstance(entry, Entry) for entry in found)
