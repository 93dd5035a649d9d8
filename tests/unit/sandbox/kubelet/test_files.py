"""A container's root folder, and the rule by which paths are rewritten to lead there."""

import base64
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimd.sandbox.kubelet.files import ContainerRoot, entries_of, write_entries

CONTAINER = {
    "volumeMounts": [
        {"name": "weights", "mountPath": "/workspace/cache/Qwen/Qwen3"},
        {"name": "cache", "mountPath": "/cache/"},
        {"name": "profile", "mountPath": "/opt/profiles/custom.yaml", "subPath": "custom.yaml"},
    ]
}
ROOT = Path("/sandbox/main")


@pytest.mark.parametrize(
    ("value", "translated"),
    [
        ("/cache", "/sandbox/main/cache"),
        ("/cache/", "/sandbox/main/cache/"),
        ("/cache/model", "/sandbox/main/cache/model"),
        ("/workspace/cache", "/sandbox/main/workspace/cache"),
        ("/workspace", "/sandbox/main/workspace"),
        ("/tmp/.hf", "/sandbox/main/tmp/.hf"),
        ("/dev/termination-log", "/sandbox/main/dev/termination-log"),
        ("/cached", "/cached"),
        ("/usr/bin/python", "/usr/bin/python"),
        ("/dev/null", "/dev/null"),
        ("/", "/"),
        ("cache", "cache"),
        ("hf://cache/model", "hf://cache/model"),
        ("", ""),
    ],
)
def test_only_paths_around_mounts_are_rewritten(value: str, translated: str) -> None:
    root = ContainerRoot(ROOT, CONTAINER)
    assert root.translate(value) == translated
    assert root.translate_argument(f"--path={value}") == f"--path={translated}"
    assert root.translate_argument(value) == translated


@given(st.text(alphabet="abc/.~", max_size=12))
def test_a_rewritten_path_keeps_its_end(value: str) -> None:
    assert ContainerRoot(ROOT, CONTAINER).translate(value) in (value, f"{ROOT}{value}")


def test_mounts_are_links_to_their_volumes(tmp_path: Path) -> None:
    volumes = {name: tmp_path / name for name in ("weights", "cache", "profile")}
    for folder in volumes.values():
        folder.mkdir()
    (volumes["profile"] / "custom.yaml").write_text("engine: vllm")
    root = ContainerRoot(tmp_path / "root", CONTAINER)
    root.prepare(volumes)
    (volumes["weights"] / "model.safetensors").write_text("weights")
    assert Path(root.translate("/workspace/cache/Qwen/Qwen3/model.safetensors")).read_text() == "weights"
    assert Path(root.translate("/opt/profiles/custom.yaml")).read_text() == "engine: vllm"
    Path(root.translate("/tmp/scratch")).write_text("gone at the next start")
    root.prepare(volumes)
    assert not root.on_disk("/tmp/scratch").exists()
    assert (volumes["weights"] / "model.safetensors").exists()
    assert root.on_disk("/dev/termination-log").read_text() == ""


def test_a_mount_may_lie_in_another_one(tmp_path: Path) -> None:
    mounts = [{"name": "inner", "mountPath": "/data/inner"}, {"name": "outer", "mountPath": "/data"}]
    volumes = {"inner": tmp_path / "in", "outer": tmp_path / "out"}
    root = ContainerRoot(tmp_path / "root", {"volumeMounts": mounts})
    for _ in range(2):
        root.prepare(volumes)
        root.on_disk("/data/inner/word").write_text("x")
    assert (tmp_path / "in" / "word").exists()


def test_a_mount_of_an_unknown_volume(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="profile"):
        ContainerRoot(tmp_path / "root", CONTAINER).prepare({"cache": tmp_path})


def test_keys_become_files(tmp_path: Path) -> None:
    secret = {"kind": "Secret", "data": {"token": base64.b64encode(b"\x00secret").decode()}}
    config = {"kind": "ConfigMap", "data": {"a": "text"}, "binaryData": {"b": base64.b64encode(b"\x01").decode()}}
    assert entries_of(secret) == {"token": b"\x00secret"}
    assert entries_of(config) == {"a": b"text", "b": b"\x01"}
    write_entries(tmp_path, entries_of(config), [{"key": "a", "path": "deep/er/a.txt"}])
    assert (tmp_path / "deep/er/a.txt").read_text() == "text"
    assert not (tmp_path / "b").exists()
    with pytest.raises(KeyError, match="missing"):
        write_entries(tmp_path, entries_of(config), [{"key": "missing", "path": "x"}])


def test_renewed_content_leaves_nothing_beside_it(tmp_path: Path) -> None:
    for content in (b"first", b"second"):
        write_entries(tmp_path, {"token": content})
    (payload,) = (path.name for path in tmp_path.iterdir() if path.is_dir() and not path.is_symlink())
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["token", "..data", payload])
    assert (tmp_path / "token").read_bytes() == b"second"


def test_renewed_content_leaves_the_rest(tmp_path: Path) -> None:
    write_entries(tmp_path, {"namespace": b"team", "deep/ca.crt": b"ca"})
    write_entries(tmp_path, {"token": b"first"})
    assert (tmp_path / "namespace").read_bytes() == b"team"
    assert (tmp_path / "deep" / "ca.crt").read_bytes() == b"ca"


def test_a_mounted_file_is_there_twice_as_in_a_cluster(tmp_path: Path) -> None:
    write_entries(tmp_path, {"profile.yaml": b"x"})
    found = list(tmp_path.rglob("*.yaml"))
    assert len(found) == 2
    assert os.readlink(tmp_path / "profile.yaml") == "..data/profile.yaml"


def test_a_container_starts_with_the_files_of_its_image_and_mounts_hide_them(tmp_path: Path) -> None:
    volume = tmp_path / "weights"
    volume.mkdir()
    mounts = [{"name": "weights", "mountPath": "/workspace/model-cache"}]
    root = ContainerRoot(tmp_path / "root", {"volumeMounts": mounts})
    root.prepare({"weights": volume}, {"/workspace/model-cache/hidden": b"x", "/workspace/profiles/a.yaml": b"y"})
    assert root.on_disk("/workspace/profiles/a.yaml").read_bytes() == b"y"
    assert list(root.on_disk("/workspace/model-cache").iterdir()) == []
