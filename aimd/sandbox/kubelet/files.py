"""The files a container sees, without a mount namespace: a root folder with links, and paths rewritten to lead there.

A container's root is a folder of its own. At every mount path inside it stands a link to the volume's folder or file,
so that a path of the container is found on disk below the root. Processes do not know this root; therefore values of
environment variables, and arguments, are rewritten:

    A value that is an absolute path, and is a mount path, lies below one or above one (other than `/`), gets the root
    prepended; so does what follows `--flag=` in an argument. Everything else stays as it is.

With a volume at `/workspace/cache/Qwen/Qwen3`, `AIM_CACHE_PATH=/workspace/cache` becomes `<root>/workspace/cache`, and
`Qwen/Qwen3` below it is the volume. `/tmp` and the termination log count as mounted, so that nothing is left on the
host. A mount inside another volume is a link inside that volume.
"""

import base64
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from aimd.runtime.objects import Manifest

TEMPORARY = "/tmp"
TERMINATION_LOG = "/dev/termination-log"
SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"


class ContainerRoot:
    """The root folder of one container; `translate` is the rule above."""

    def __init__(self, folder: Path, container: Manifest) -> None:
        self.folder = folder
        self.termination_log = container.get("terminationMessagePath") or TERMINATION_LOG
        self._mounts: list[Manifest] = sorted(container.get("volumeMounts") or (), key=lambda item: _path(item).parts)
        self._known = {_path(item) for item in self._mounts}
        self._known |= {PurePosixPath(TEMPORARY), PurePosixPath(self.termination_log)}

    def prepare(self, volumes: Mapping[str, Path]) -> None:
        """Makes the root afresh: what an earlier start of the container wrote outside its volumes is gone.

        `volumes` gives each volume's folder by name; raises KeyError for a mount of an unknown volume.
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
        """Where a path of the container lies on disk."""
        return self.folder / path.lstrip("/")

    def translate(self, value: str) -> str:
        """The value with the container's paths leading below the root."""
        if not value.startswith("/"):
            return value
        path = PurePosixPath(os.path.normpath(value))
        if path.parent == path:
            return value
        inside = any(path.is_relative_to(known) or known.is_relative_to(path) for known in self._known)
        return f"{self.folder}{value}" if inside else value

    def translate_argument(self, argument: str) -> str:
        """Like `translate`, also for what follows `--flag=`."""
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
    """Writes keys of a ConfigMap or Secret as files: all under their own names, or the `items` at their paths.

    Raises KeyError if an item names a key that is not there.
    """
    chosen = {item["path"]: entries[item["key"]] for item in items} or entries
    for name, content in chosen.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        # At once, as kubelets do: whoever reads meanwhile gets the old content or the new one.
        unfinished = path.with_name(f".{path.name}.unfinished")
        unfinished.write_bytes(content)
        unfinished.rename(path)


def entries_of(manifest: Manifest) -> dict[str, bytes]:
    """All keys of a ConfigMap (`data`, `binaryData`) or Secret (`data`, base64) with their content."""
    if manifest.get("kind") == "Secret":
        return {name: base64.b64decode(value) for name, value in (manifest.get("data") or {}).items()}
    texts = {name: value.encode() for name, value in (manifest.get("data") or {}).items()}
    return texts | {name: base64.b64decode(value) for name, value in (manifest.get("binaryData") or {}).items()}


def _path(mount: Manifest) -> PurePosixPath:
    return PurePosixPath(os.path.normpath(mount["mountPath"]))
