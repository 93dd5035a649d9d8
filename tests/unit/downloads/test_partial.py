"""A partial file: resumed by another process, filled in any order, verified."""

import hashlib
import os
import tempfile
import zlib
from pathlib import Path

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aimd.downloads.checksums import Checksum, Kind
from aimd.downloads.failures import DownloadFailure, Reason
from aimd.downloads.partial import Partial
from aimd.downloads.progress import Progress
from aimd.downloads.snapshot import RemoteFile
from aimd.downloads.tree import Tree

CONTENT = b"0123456789" * 1000
FILE = RemoteFile("sub/weights.bin", len(CONTENT), Checksum(Kind.SHA256, hashlib.sha256(CONTENT).hexdigest()))


async def test_a_partial_goes_on_where_another_process_stopped(tmp_path: Path) -> None:
    tree, progress = Tree(tmp_path), Progress(total=len(CONTENT))
    tree.prepare([FILE])
    first = Partial(tree, FILE, progress)
    await first.write(0, [CONTENT[:4321]])
    first.close()
    again = Partial(tree, FILE, Progress())
    again.resume()
    assert (again.size, list(again.missing())) == (4321, [(4321, len(CONTENT))])
    await again.write(4321, [CONTENT[4321:]])
    await again.follow()
    assert again.intact
    with pytest.raises(DownloadFailure) as raised:
        await again.write(len(CONTENT), [b"more"])
    assert raised.value.reason is Reason.VERIFICATION
    again.clear()
    assert (again.size, again.intact) == (0, False)
    again.close()


async def test_a_partial_longer_than_the_file_starts_over(tmp_path: Path) -> None:
    tree, progress = Tree(tmp_path), Progress()
    tree.prepare([FILE])
    tree.partial(FILE).write_bytes(CONTENT + b"more")
    partial = Partial(tree, FILE, progress)
    partial.resume()
    assert (partial.size, progress.present) == (0, 0)
    partial.close()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(st.integers(0, 12), st.integers(1, 900)), max_size=40), st.sampled_from(Kind))
def test_chunks_filled_in_any_order_and_resumed_are_the_file(
    tmp_path: Path, writes: list[tuple[int, int]], kind: Kind
) -> None:
    """Each write is followed by a new process: what was there is there, nothing else is asked for, nothing is lost."""
    chunk = 777
    file = RemoteFile("weights.bin", len(CONTENT), checksum_of(kind), etag="e")
    tree = Tree(Path(tempfile.mkdtemp(dir=tmp_path)))
    tree.prepare([file])
    present = 0

    async def play() -> None:
        nonlocal present
        for index, length in [*writes, *((i, chunk) for i in range(-(-len(CONTENT) // chunk)))]:
            partial = Partial(tree, file, Progress(), chunk)
            partial.resume()
            assert partial.size == present
            start = index * chunk + partial.filled(index * chunk)
            data = CONTENT[start : min(start + length, (index + 1) * chunk)]
            await partial.write(start, [data])
            present += len(data)
            partial.close()
        last = Partial(tree, file, Progress(), chunk)
        last.resume()
        assert list(last.missing()) == []
        await last.follow()
        assert last.intact
        last.clear()
        last.close()

    anyio.run(play)
    assert list(tmp_path.rglob("*.ranges"))


def checksum_of(kind: Kind) -> Checksum:
    parts = [hashlib.md5(CONTENT[start : start + 3000]).digest() for start in range(0, len(CONTENT), 3000)]
    values = {
        Kind.SHA256: hashlib.sha256(CONTENT).hexdigest(),
        Kind.GIT_BLOB: hashlib.sha1(b"blob %d\0" % len(CONTENT) + CONTENT).hexdigest(),
        Kind.MD5: hashlib.md5(CONTENT).hexdigest(),
        Kind.CRC32: f"{zlib.crc32(CONTENT):08x}",
        Kind.MD5_OF_PARTS: f"{hashlib.md5(b''.join(parts)).hexdigest()}-{len(parts)}",
    }
    return Checksum(kind, values[kind], 3000)


async def test_a_journal_that_promises_more_than_there_is_counts_for_nothing(tmp_path: Path) -> None:
    tree, progress = Tree(tmp_path), Progress()
    tree.prepare([FILE])
    first = Partial(tree, FILE, progress, 1000)
    await first.write(0, [CONTENT[:1000]])
    await first.write(5000, [CONTENT[5000:5500]])
    first.close()
    os.truncate(tree.partial(FILE), 5100)
    again = Partial(tree, FILE, Progress(), 1000)
    again.resume()
    assert again.size == 0
    again.close()
