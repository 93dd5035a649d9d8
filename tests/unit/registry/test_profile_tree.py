"""Profile files after all layers, compared with the rules for layers written down in the plainest way."""

import gzip
import hashlib
import io
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimd.registry.profile_files import ProfileFiles
from aimd.registry.profile_tree import ENTRY_LIMIT, FILE_LIMIT, TEXT_LIMIT, ProfileTree
from aimd.registry.tar_archive import LayerError

FOLDER = "workspace/aim-runtime/profiles"


@dataclass(frozen=True)
class Special:
    """An entry without content."""

    type: bytes
    linkname: str = ""


LINK = Special(tarfile.SYMTYPE, "/etc/passwd")
HARD_LINK = Special(tarfile.LNKTYPE, f"{FOLDER}/a.yaml")
DEVICE = Special(tarfile.CHRTYPE)
DIRECTORY = Special(tarfile.DIRTYPE)


def archive(found: Mapping[str, bytes | Special] | Sequence[tuple[str, bytes | Special]]) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as tar:
        for name, content in found.items() if isinstance(found, Mapping) else found:
            entry = tarfile.TarInfo(name)
            if isinstance(content, Special):
                entry.type, entry.linkname = content.type, content.linkname
                tar.addfile(entry)
            else:
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
    return written.getvalue()


def read(*layers: Mapping[str, bytes | Special]) -> ProfileFiles:
    tree = ProfileTree()
    for layer in layers:
        tree.add(archive(layer))
    return tree.files()


def below(*names: str) -> dict[str, bytes | Special]:
    return {f"{FOLDER}/{name}": name.encode() for name in names}


def test_files_below_the_folder() -> None:
    """Prove REG-PRF-5."""
    profiles = read(
        {
            f"{FOLDER}/a.yaml": b"1",
            f"./{FOLDER}/o/m/b.yaml": b"2",
            f"/{FOLDER}//o/./m/c.yaml": b"3",
            f"{FOLDER}/o/m/d.yml": b"4",
            f"{FOLDER}/README.md": b"5",
            f"{FOLDER}/e.YAML": b"6",
            f"{FOLDER}/.yaml/f.yaml": "ü".encode(),
            "workspace/aim-runtime/config/engines.yaml": b"7",
            "workspace/aim-runtime/profiles.yaml": b"8",
            "etc/passwd": b"9",
        }
    )
    assert profiles.files == {"a.yaml": "1", "o/m/b.yaml": "2", "o/m/c.yaml": "3", ".yaml/f.yaml": "ü"}
    assert list(profiles.files) == sorted(profiles.files)
    assert (profiles.unreadable, profiles.remarks) == ("", ())


def test_an_upper_layer_replaces_and_removes() -> None:
    """Prove REG-PRF-5."""
    lower = below("a.yaml", "b.yaml", "o/c.yaml", "o/d.yaml", "p/e.yaml")
    upper = {
        f"{FOLDER}/a.yaml": b"new",
        f"{FOLDER}/.wh.b.yaml": b"",
        f"{FOLDER}/o/f.yaml": b"of the same layer",
        f"{FOLDER}/o/.wh..wh..opq": b"",
        f"{FOLDER}/.wh.p": b"",
        f"{FOLDER}/.wh.nothing": b"",
        f"{FOLDER}/q/.wh..wh..opq": b"",
    }
    assert read(lower, upper).files == {"a.yaml": "new", "o/f.yaml": "of the same layer"}
    assert set(read(upper, lower).files) == {"a.yaml", "b.yaml", "o/c.yaml", "o/d.yaml", "o/f.yaml", "p/e.yaml"}


@pytest.mark.parametrize(
    "upper",
    [
        {".wh.workspace": b""},
        {"workspace/.wh.aim-runtime": b""},
        {"workspace/aim-runtime/.wh.profiles": b""},
        {".wh..wh..opq": b""},
        {"workspace/.wh..wh..opq": b""},
        {"workspace/aim-runtime/.wh..wh..opq": b""},
        {f"{FOLDER}/.wh..wh..opq": b""},
        {"workspace": LINK},
        {"workspace/aim-runtime": b"a file"},
        {FOLDER: LINK},
    ],
)
def test_the_folder_itself_can_go(upper: Mapping[str, bytes | Special]) -> None:
    """Prove REG-PRF-5."""
    assert read(below("a.yaml", "o/b.yaml"), upper) == ProfileFiles({})
    assert read(below("a.yaml"), upper, below("c.yaml")).files == {"c.yaml": "c.yaml"}


@pytest.mark.parametrize(
    "upper",
    [
        {"workspace": DIRECTORY, FOLDER: DIRECTORY, f"{FOLDER}/o": DIRECTORY},
        {"workspace/aim-runtime/.wh.config": b"", "workspace/.wh.aim": b"", ".wh.work": b"", "etc/.wh..wh..opq": b""},
        {f"{FOLDER}/.wh.": b"", f"{FOLDER}/.wh..": b"", f"{FOLDER}/.wh...": b"", f"{FOLDER}/o/.wh...": b""},
        {f"{FOLDER}/.wh..wh.aufs": b"", f"{FOLDER}/.wh..wh.plnk": b""},
        {f"../{FOLDER}/a.yaml": b"x", f"{FOLDER}/../profiles/a.yaml": b"x", f"{FOLDER}/o/../a.yaml": b"x"},
        {f"{FOLDER}/{'d/' * 20}a.yaml": b"x", f"{FOLDER}/{'d' * 600}.yaml": b"x"},
    ],
)
def test_what_changes_nothing(upper: Mapping[str, bytes | Special]) -> None:
    """Prove REG-PRF-5."""
    assert read(below("a.yaml", "o/b.yaml"), upper) == read(below("a.yaml", "o/b.yaml"))


@pytest.mark.parametrize("special", [LINK, HARD_LINK, DEVICE])
def test_links_and_devices_replace_a_file_and_are_none(special: Special) -> None:
    """Prove REG-PRF-5."""
    profiles = read(below("a.yaml", "o/b.yaml", "c.yaml"), {f"{FOLDER}/a.yaml": special, f"{FOLDER}/o": special})
    assert profiles.files == {"c.yaml": "c.yaml"}
    assert profiles.remarks == ("a.yaml is a link or another special file",)


def test_files_that_are_left_out_are_named() -> None:
    """Prove REG-PRF-4."""
    bad: dict[str, bytes | Special] = {
        f"{FOLDER}/long.yaml": b"x" * (FILE_LIMIT + 1),
        f"{FOLDER}/latin.yaml": b"\xe4",
        f"{FOLDER}/line\nend.yaml": b"x",
        f"{FOLDER}/\udce4.yaml": b"x",
    }
    profiles = read(below("a.yaml"), bad)
    assert profiles.files == {"a.yaml": "a.yaml"}
    assert set(profiles.remarks) == {
        f"long.yaml has more than {FILE_LIMIT} bytes",
        "latin.yaml is not UTF-8",
        "line end.yaml is not a valid name",
        ".yaml is not a valid name",
    }
    assert read(bad, {f"{FOLDER}/.wh..wh..opq": b""}).remarks == ()
    many = read({f"{FOLDER}/{number:02}.yaml": b"\xff" for number in range(20)})
    assert many.remarks == (*(f"{number:02}.yaml is not UTF-8" for number in range(7)), "and 13 more files")


def test_limits_of_an_image() -> None:
    """Prove REG-PRF-4."""
    large = {f"{FOLDER}/{number}.yaml": b"x" * FILE_LIMIT for number in range(TEXT_LIMIT // FILE_LIMIT)}
    assert len(read(large).files) == len(large)
    beyond = read(large, below("a.yaml"))
    assert beyond == ProfileFiles({}, f"its profile files have more than {TEXT_LIMIT} bytes in all")
    tree = ProfileTree()
    for half in range(2):
        names = [f"{half}-{number}" for number in range(ENTRY_LIMIT // 4)]
        tree.add(
            archive({f"{prefix}{name}": b"" for name in names for prefix in (f"{FOLDER}/", f"{FOLDER}/.wh.", "x/")})
        )
    with pytest.raises(LayerError, match="has more than 2000 entries in /workspace/aim-runtime/profiles"):
        tree.add(archive(below("a.yaml")))
    tree = ProfileTree()
    tree.add(gzip.compress(bytes(5 << 20)))
    with pytest.raises(LayerError, match="unpacks to more than"):
        tree.add(gzip.compress(bytes(5 << 20)))


def test_the_digest_of_the_archive_is_compared() -> None:
    """Prove REG-PRF-6."""
    content = archive(below("a.yaml"))
    for algorithm in ("sha256", "sha512"):
        right = f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"
        assert ProfileTree().add(gzip.compress(content), right)
        assert not ProfileTree().add(gzip.compress(content), right[:-1] + "0")
    assert not ProfileTree().add(content, "")


NAME = st.sampled_from(["a", "b", "a.yaml", "b.yaml"])
PATH = st.lists(NAME, min_size=1, max_size=3).map(tuple)
CONTENT = st.sampled_from([b"1", b"2", LINK, DIRECTORY])
CHANGE = st.one_of(
    st.tuples(PATH, CONTENT),
    PATH.map(lambda path: ((*path[:-1], f".wh.{path[-1]}"), b"")),
    st.one_of(st.just(()), PATH).map(lambda path: ((*path, ".wh..wh..opq"), b"")),
)
LAYER = st.lists(CHANGE, max_size=6)


def oracle(layers: Sequence[Sequence[tuple[tuple[str, ...], bytes | Special]]]) -> dict[str, str]:
    """A file system as a flat mapping from path to content: each rule of layers is a filter over all of it."""
    state: dict[tuple[str, ...], bytes | Special] = {}
    for layer in layers:
        for path, _ in layer:
            if path[-1] == ".wh..wh..opq":
                state = {known: value for known, value in state.items() if known[: len(path) - 1] != path[:-1]}
            elif path[-1].startswith(".wh."):
                gone = (*path[:-1], path[-1][4:])
                state = {known: value for known, value in state.items() if known[: len(gone)] != gone}
        for path, content in layer:
            if path[-1].startswith(".wh."):
                continue
            state = {known: value for known, value in state.items() if path[: len(known)] != known or known == path}
            if content is DIRECTORY:  # which keeps what is below it, and is nothing by itself
                state.pop(path, None)
                continue
            state = {known: value for known, value in state.items() if known[: len(path)] != path}
            state[path] = content
    files = {"/".join(path): value.decode() for path, value in state.items() if isinstance(value, bytes)}
    return {path: text for path, text in files.items() if path.endswith(".yaml")}


@given(st.lists(LAYER, max_size=4))
def test_any_stack_of_layers(layers: list[list[tuple[tuple[str, ...], bytes | Special]]]) -> None:
    """Prove REG-PRF-5."""
    tree = ProfileTree()
    for layer in layers:
        tree.add(archive([(f"{FOLDER}/{'/'.join(path)}", content) for path, content in layer]))
    assert tree.files().files == oracle(layers)
