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
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from aimd.runtime.objects import Manifest

TEMPORARY = "/tmp"  # noqa: S108 (a path of the container)
TERMINATION_LOG = "/dev/termination-log"
SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"


class ContainerRoot:
    """The root folder of one container; `translate` implements the rule above."""

    def __init__(self, folder: Path, container: Manifest) -> None:
        self.folder = folder
        self.termination_log = container.get("terminationMessagePath") or TERMINATION_LOG
        self._mounts: list[Manifest] = sorted(container.get("volumeMounts") or (), key=lambda item: _path(item).parts)
        self._known = {_path(item) for item in self._mounts}
        self._known |= {PurePosixPath(TEMPORARY), PurePosixPath(self.termination_log)}

    def prepare(self, volumes: Mapping[str, Path]) -> None:
        """Create the root again: files that an earlier start wrote outside of the volumes are deleted.

        `volumes` are the folders of the volumes by name. Raises KeyError for a mount of an unknown volume.
        """
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
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
            target.rmdir()
        target.symlink_to(source)


def write_entries(folder: Path, entries: Mapping[str, bytes], items: Iterable[Manifest] = ()) -> None:
    """Write the keys of a ConfigMap or Secret as files: all under their names, or only the `items`, at their paths.

    Raises KeyError if an item names a key that does not exist.
    """
    chosen = {item["path"]: entries[item["key"]] for item in items} or entries
    for name, content in chosen.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        # Atomically, as a kubelet does: a reader gets the old content or the new one.
        unfinished = path.with_name(f".{path.name}.unfinished")
        unfinished.write_bytes(content)
        unfinished.rename(path)


def entries_of(manifest: Manifest) -> dict[str, bytes]:
    """Return the content of a ConfigMap (`data`, `binaryData`) or Secret (`data`, base64) by key."""
    if manifest.get("kind") == "Secret":
        return {name: base64.b64decode(value) for name, value in (manifest.get("data") or {}).items()}
    texts = {name: value.encode() for name, value in (manifest.get("data") or {}).items()}
    return texts | {name: base64.b64decode(value) for name, value in (manifest.get("binaryData") or {}).items()}


def _path(mount: Manifest) -> PurePosixPath:
    return PurePosixPath(os.path.normpath(mount["mountPath"]))
