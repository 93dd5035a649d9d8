"""The files of a container, without a mount namespace: a root folder with links, and rewritten paths.

Each container has a root folder. At every mount path in it there is a link to the folder or file of the volume, so that
a path of the container exists on disk below the root. Processes do not know this root, so the values of environment
variables, and arguments, are rewritten:

    A value that is an absolute path, and is a mount path, or below or above one (except `/`), gets the root as a
    prefix; so does the text after `--flag=` in an argument. All other values stay as they are.

With a volume at `/workspace/cache/Qwen/Qwen3`, `AIM_CACHE_PATH=/workspace/cache` becomes `<root>/workspace/cache`, and
`Qwen/Qwen3` below it is the volume. `/tmp` and the termination log count as mounted, so that nothing is written to the
host. A mount inside another volume is a link inside that volume.
"""

import base64
import os
import shutil
import time
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from aimd.runtime.objects import Manifest

TEMPORARY = "/tmp"  # noqa: S108 (a path of the container)
TERMINATION_LOG = "/dev/termination-log"
SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
_CURRENT = "..data"


class ContainerRoot:
    """The root folder of one container; `translate` implements the rule above."""

    def __init__(self, folder: Path, container: Manifest) -> None:
        self.folder = folder
        self.termination_log = container.get("terminationMessagePath") or TERMINATION_LOG
        self._mounts: list[Manifest] = sorted(container.get("volumeMounts") or (), key=lambda item: _path(item).parts)
        self._known = {_path(item) for item in self._mounts}
        self._known |= {PurePosixPath(TEMPORARY), PurePosixPath(self.termination_log)}

    def prepare(self, volumes: Mapping[str, Path], files: Mapping[str, bytes] = MappingProxyType({})) -> None:
        """Create the root again, with the files of the image; what an earlier start wrote into it is deleted.

        `volumes` are the folders of the volumes by name. Raises KeyError for a mount of an unknown volume.
        """
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        for path, content in files.items():
            file = self.on_disk(path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        for mount in self._mounts:
            source = volumes[mount["name"]] / (mount.get("subPath") or "")
            if not source.exists():
                source.mkdir(parents=True)
            self._link(_path(mount), source)
        temporary = self.on_disk(TEMPORARY)
        temporary.mkdir(parents=True, exist_ok=True)
        log = self.on_disk(self.termination_log)
        log.parent.mkdir(parents=True, exist_ok=True)
        log.touch()

    def on_disk(self, path: str) -> Path:
        """Return the path on disk for a path of the container."""
        return self.folder / path.lstrip("/")

    def translate(self, value: str) -> str:
        """Return the value, with the root as a prefix if it is a path of a mount."""
        if not value.startswith("/"):
            return value
        path = PurePosixPath(os.path.normpath(value))
        if path.parent == path:
            return value
        inside = any(path.is_relative_to(known) or known.is_relative_to(path) for known in self._known)
        return f"{self.folder}{value}" if inside else value

    def translate_argument(self, argument: str) -> str:
        """Return an argument, translated as a whole or after `--flag=`."""
        flag, equals, value = argument.partition("=")
        if equals and flag.startswith("-"):
            return f"{flag}={self.translate(value)}"
        return self.translate(argument)

    def _link(self, path: PurePosixPath, source: Path) -> None:
        target = self.on_disk(str(path))
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_symlink():
            target.unlink()
        elif target.is_dir():
            shutil.rmtree(target)  # A mount hides what the image has there.
        target.symlink_to(source)


def write_entries(folder: Path, entries: Mapping[str, bytes], items: Iterable[Manifest] = ()) -> None:
    """Write the keys of a ConfigMap or Secret as files: all under their names, or only the `items`, at their paths.

    As a kubelet does, so that a reader gets all of the old content or all of the new: the files are in a folder of
    their own, the link `..data` leads to it, and every name in `folder` is a link below that. Files that were there
    stay. Raises KeyError if an item names a key that does not exist.
    """
    chosen = {item["path"]: entries[item["key"]] for item in items} or dict(entries)
    current = folder / _CURRENT
    former = current.resolve() if current.is_symlink() else None
    if former is not None:
        earlier = [path for path in former.rglob("*") if path.is_file()]
        chosen = {str(path.relative_to(former)): path.read_bytes() for path in earlier} | chosen
    payload = folder / f"..{time.strftime('%Y_%m_%d_%H_%M_%S')}.{time.monotonic_ns()}"
    for name, content in chosen.items():
        path = payload / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    if not chosen:
        return
    unfinished = folder / f"{_CURRENT}_tmp"
    unfinished.symlink_to(payload.name)
    unfinished.rename(current)
    for name in {PurePosixPath(name).parts[0] for name in chosen}:
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"{_CURRENT}/{name}")
    if former is not None:
        shutil.rmtree(former)


def entries_of(manifest: Manifest) -> dict[str, bytes]:
    """Return the content of a ConfigMap (`data`, `binaryData`) or Secret (`data`, base64) by key."""
    if manifest.get("kind") == "Secret":
        return {name: base64.b64decode(value) for name, value in (manifest.get("data") or {}).items()}
    texts = {name: value.encode() for name, value in (manifest.get("data") or {}).items()}
    return texts | {name: base64.b64decode(value) for name, value in (manifest.get("binaryData") or {}).items()}


def _path(mount: Manifest) -> PurePosixPath:
    return PurePosixPath(os.path.normpath(mount["mountPath"]))
