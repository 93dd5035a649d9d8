"""The image, built by `make image` with buildah on a base of Debian packages, and containers of it without an engine.

The base stands in for the one the Dockerfile names, which no package archive has. A container is a chroot in namespaces
of its own: the root read-only, /tmp and /proc fresh, a volume on /cache, no way to new privileges, the image's user.
It has the network of the machine and no seccomp profile. All of it needs root.
"""

import hashlib
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from aimd.sandbox.binaries import silent
from aimd.sandbox.user_cache import cache_folder, locked, publish

SOURCE = Path(__file__).parents[2]
RELEASE = "bookworm"
PACKAGES = ("ca-certificates", "python-is-python3", "python3", "python3-pip", "python3-venv")
PROGRAMS = ("buildah", "mmdebstrap", "setpriv", "unshare")
# How this machine reaches the package index, which the steps of the build have to know, too.
_MACHINE = (Path("/etc/ssl/certs"), Path("/etc/pip.conf"))
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_ENTER = """set -e
root=$1 cache=$2 user=$3; shift 3
mount --bind "$root" "$root"
if [ -n "$cache" ]; then mount --bind "$cache" "$root/cache"; fi
mount -t tmpfs tmpfs "$root/tmp"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -o remount,bind,ro "$root"
exec setpriv --no-new-privs chroot --userspec="$user" "$root" "$@"
"""


def missing() -> str:
    """What keeps this machine from building the image; empty when nothing does."""
    absent = [name for name in PROGRAMS if shutil.which(name) is None]
    if absent:
        return f"no {', '.join(absent)}: apt-get install --no-install-recommends buildah mmdebstrap"
    return "" if os.geteuid() == 0 else "building the image without an engine needs root"


@dataclass(frozen=True)
class Image:
    """A built image: its files, its OCI configuration, and its compressed layers' sizes in bytes, the base first."""

    root: Path
    config: Mapping[str, Any]
    layers: Sequence[int]

    def command(
        self,
        *arguments: str,
        cache: Path | None = None,
        user: str = "",
        program: Sequence[str] = (),
        **environment: str,
    ) -> list[str]:
        """A command that runs a container: the image's entry point, or `program`, as the image's user, or `user`."""
        variables = [*self.config["Env"], *(f"{name}={value}" for name, value in environment.items())]
        enter = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", _ENTER, "enter"]
        place = [str(self.root), str(cache or ""), user or self.config["User"]]
        inside = ["env", "--ignore-environment", f"--chdir={self.config['WorkingDir']}", *variables]
        return [*enter, *place, *inside, *(program or self.config["Entrypoint"]), *arguments]

    def run(self, *arguments: str, **container: Any) -> subprocess.CompletedProcess[str]:
        """Runs a container to its end, with everything that `command` takes."""
        return subprocess.run(self.command(*arguments, **container), capture_output=True, text=True, timeout=120)

    @contextmanager
    def running(self, *arguments: str, log: Path, **container: Any) -> Iterator[subprocess.Popen[bytes]]:
        """A running container, its stderr in `log`; killed at the end if it is still there."""
        command = self.command(*arguments, **container)
        with log.open("wb") as stderr, subprocess.Popen(command, stderr=stderr) as process:
            try:
                yield process
            finally:
                process.kill()


def terminate(container: subprocess.Popen[bytes]) -> None:
    """Asks the container's process 1 to end, as the kubelet does."""
    (first,) = Path(f"/proc/{container.pid}/task/{container.pid}/children").read_text().split()
    os.kill(int(first), signal.SIGTERM)


@contextmanager
def built_image() -> Iterator[Image]:
    """Builds the image; it is gone in the end."""
    with TemporaryDirectory(prefix="aimd-image-") as folder:
        buildah = ["buildah", "--storage-driver=vfs", f"--root={folder}/storage", f"--runroot={folder}/run"]
        base = _run([*buildah, "from", "scratch"])
        _run([*buildah, "add", "--quiet", base, str(base_archive()), "/"])
        _run([*buildah, "config", f"--env=PATH={_PATH}", base])
        _run([*buildah, "commit", "--quiet", "--rm", base, "base"])
        volumes = [f"--volume={path}:{path}:ro" for path in _MACHINE if path.exists()]
        flags = " ".join(["--isolation=chroot", "--build-arg=BASE=localhost/base", *volumes])
        _run(["make", "image", f"ENGINE={' '.join(buildah)}", "IMAGE=aimd", f"IMAGE_FLAGS={flags}"], SOURCE)
        _run([*buildah, "push", "aimd", f"oci:{folder}/pushed"])
        root = _run([*buildah, "mount", _run([*buildah, "from", "--pull-never", "aimd"])])
        yield _read(Path(root), Path(folder) / "pushed")


def base_archive() -> Path:
    """The base's files as a tar archive, made of packages the first time and kept beside the sandbox's binaries."""
    key = hashlib.sha256(" ".join((RELEASE, *PACKAGES)).encode()).hexdigest()[:12]
    folder = cache_folder() / f"image-base-{key}"
    archive = folder / "base.tar"
    with locked(folder, silent), TemporaryDirectory(dir=folder) as unfinished:
        if not archive.exists():
            fresh = Path(unfinished) / "base.tar"
            _run(["mmdebstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", RELEASE, str(fresh)])
            publish(fresh, archive)
    return archive


def _read(root: Path, pushed: Path) -> Image:
    """The layout of OCI: index, manifest, configuration, layers."""

    def blob(descriptor: Mapping[str, Any]) -> Any:
        return json.loads((pushed / "blobs" / descriptor["digest"].replace(":", "/")).read_text())

    manifest = blob(json.loads((pushed / "index.json").read_text())["manifests"][0])
    return Image(root, blob(manifest["config"])["config"], [layer["size"] for layer in manifest["layers"]])


def _run(command: Sequence[str], folder: Path | None = None) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise AssertionError(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return done.stdout.strip()
