"""The profile files of an image, after one layer upon the other.

A layer replaces what is below it. `.wh.<name>` removes a name of the layers below, and `.wh..wh..opq` everything in its
folder (https://github.com/opencontainers/image-spec/blob/main/layer.md#whiteouts); both only concern layers below, and
also remove the profile files if they concern a folder above these. Nothing is written to a disk, so that links and
`..` lead nowhere (REG-PRF-5).
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, TypeAlias

from aimd.registry.failures import quoted
from aimd.registry.profile_files import ProfileFiles, unreadable
from aimd.registry.tar_archive import Entry, Kind, LayerError, entries
from aimd.registry.unpack import unpack

ROOT: Final = ("workspace", "aim-runtime", "profiles")
UNPACKED_LIMIT: Final = 8 * 1024 * 1024
"""Bytes of all archives of an image."""
ENTRY_LIMIT: Final = 2000
FILE_LIMIT: Final = 256 * 1024
"""Bytes of one profile file."""
TEXT_LIMIT: Final = 2 * 1024 * 1024
"""Bytes of all profile files of an image."""

_WHITEOUT, _OPAQUE = ".wh.", ".wh..wh..opq"
_SUFFIX = ".yaml"
_LONGEST_PATH, _DEEPEST = 512, 16
_SHOWN_REMARKS = 8


@dataclass(frozen=True, slots=True)
class _LeftOut:
    """A file that is there and cannot be used; `why` follows its path."""

    why: str


_Node: TypeAlias = "dict[str, _Node] | str | _LeftOut | None"
"""A folder, the text of a profile file, one that is left out, or None for anything else that has the name."""


@dataclass(slots=True)
class _Changes:
    """What a layer does to the folders on the way to the profile files, and to those below."""

    removed: list[tuple[str, ...]] = field(default_factory=list)
    emptied: list[tuple[str, ...]] = field(default_factory=list)
    added: list[tuple[tuple[str, ...], Entry]] = field(default_factory=list)


class ProfileTree:
    """Profile files of an image. Add its layers in order, the lowest first."""

    def __init__(self) -> None:
        self._top: dict[str, _Node] = {}
        self._unpacked = 0
        self._entries = 0

    def add(self, blob: bytes, diff_id: str = "") -> bool:
        """Lay a layer upon the others, and return whether its archive has this digest. Raises LayerError.

        Takes up to a second for the worst of layers: call it in a thread of its own.
        """
        archive = unpack(blob, UNPACKED_LIMIT - self._unpacked)
        self._unpacked += len(archive)
        changes = self._changes(archive)
        for path in changes.removed:
            folder = self._folder(path[:-1])
            if folder is not None:
                folder.pop(path[-1], None)
        for path in changes.emptied:
            folder = self._folder(path)
            if folder is not None:
                folder.clear()
        for path, entry in changes.added:
            self._put(path, entry)
        algorithm = diff_id.partition(":")[0]
        return bool(diff_id) and diff_id == f"{algorithm}:{hashlib.new(algorithm, archive).hexdigest()}"

    def files(self) -> ProfileFiles:
        """Return the texts of all profile files."""
        texts: dict[str, str] = {}
        left_out: list[str] = []
        total = 0
        for path, node in sorted(self._leaves(), key=lambda leaf: leaf[0]):
            if isinstance(node, str) and path.isprintable():
                texts[path] = node
                total += len(node.encode())
            elif node is not None:
                left_out.append(f"{quoted(path)} {node.why if isinstance(node, _LeftOut) else 'is not a valid name'}")
        if total > TEXT_LIMIT:
            return unreadable(f"its profile files have more than {TEXT_LIMIT} bytes in all")
        return ProfileFiles(MappingProxyType(texts), remarks=_shown(left_out))

    def _changes(self, archive: bytes) -> _Changes:
        """Return what concerns the profile files, of an archive that may have much else."""
        changes = _Changes()
        for entry in entries(archive):
            path = _parts(entry.name)
            if path is None or not _concerns_profiles(path):
                continue
            self._count(path)
            name = path[-1] if path else ""
            if name == _OPAQUE:
                changes.emptied.append(path[:-1])
            elif not name.startswith(_WHITEOUT):
                changes.added.append((path, entry))
            elif name.removeprefix(_WHITEOUT) not in ("", ".", "..") and not name.startswith(_WHITEOUT * 2):
                changes.removed.append((*path[:-1], name.removeprefix(_WHITEOUT)))
        return changes

    def _count(self, path: Sequence[str]) -> None:
        self._entries += len(path) > len(ROOT)
        if self._entries > ENTRY_LIMIT:
            raise LayerError(f"has more than {ENTRY_LIMIT} entries in /{'/'.join(ROOT)}")

    def _folder(self, path: Sequence[str], *, create: bool = False) -> dict[str, _Node] | None:
        folder = self._top
        for name in path:
            node = folder.get(name)
            if not isinstance(node, dict):
                if not create:
                    return None
                node = folder[name] = {}
            folder = node
        return folder

    def _put(self, path: Sequence[str], entry: Entry) -> None:
        """Put an entry where it belongs: a folder keeps what is in it, everything else replaces what was there."""
        if entry.kind is Kind.FOLDER:
            self._folder(path, create=True)
            return
        folder = self._folder(path[:-1], create=True)
        if path and folder is not None:
            folder[path[-1]] = _content(entry) if path[-1].endswith(_SUFFIX) else None

    def _leaves(self) -> Iterator[tuple[str, _Node]]:
        """Yield everything below the folder of the profiles that is no folder."""
        folder = self._folder(ROOT)
        waiting = [("", folder)] if folder is not None else []
        while waiting:
            prefix, folder = waiting.pop()
            for name, node in folder.items():
                if isinstance(node, dict):
                    waiting.append((f"{prefix}{name}/", node))
                else:
                    yield f"{prefix}{name}", node


def _parts(name: str) -> tuple[str, ...] | None:
    """Return the names along a path from the root; None for a path that no profile file has."""
    if len(name) > _LONGEST_PATH or "\0" in name:
        return None
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    return None if ".." in parts or len(parts) > len(ROOT) + _DEEPEST else parts


def _concerns_profiles(path: Sequence[str]) -> bool:
    """Return whether an entry is the folder of the profiles, below it or above it, or a whiteout of one of these."""
    if path and path[-1].startswith(_WHITEOUT):
        path = path[:-1]
    shared = min(len(path), len(ROOT))
    return tuple(path[:shared]) == ROOT[:shared]


def _content(entry: Entry) -> str | _LeftOut:
    if entry.kind is not Kind.FILE:
        return _LeftOut("is a link or another special file")
    if len(entry.content) > FILE_LIMIT:
        return _LeftOut(f"has more than {FILE_LIMIT} bytes")
    try:
        return str(entry.content, "utf-8")
    except UnicodeDecodeError:
        return _LeftOut("is not UTF-8")


def _shown(remarks: Sequence[str]) -> tuple[str, ...]:
    if len(remarks) <= _SHOWN_REMARKS:
        return tuple(remarks)
    shown = _SHOWN_REMARKS - 1
    return (*remarks[:shown], f"and {len(remarks) - shown} more files")
