"""Find the binaries of the sandbox and the CRD files of their modules, or build them.

They come from, in this order: the folder in `KUBEBUILDER_ASSETS`; the user's cache; a build of the modules that
`tools/*/go.mod` pin, with the Go on the PATH or else the one that is packaged for Python. The cache folder of a module
is named after its version and a hash of its pins, so a changed pin has a new folder.

A build holds a lock and writes to temporary names. A file gets its final name only when it is complete.
"""

# tests: tests/integration/test_sandbox_binaries.py

import os
import shutil
import subprocess
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

import orjson
import yaml

from aimd.runtime.objects import Manifest
from aimd.sandbox.go import BinariesUnavailable, GoToolchain, Progress, find_toolchain
from aimd.sandbox.pins import GATEWAY_API, KEDA, KSERVE, MODULES, Edit, Module
from aimd.sandbox.processes import Keeper
from aimd.sandbox.user_cache import cache_folder, locked, publish

ASSETS_VARIABLE = "KUBEBUILDER_ASSETS"
CONTROL_PLANE = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
EVERYTHING = (*CONTROL_PLANE, "kubectl", "kserve-manager", "helm", "registry")

_UNFINISHED = ".unfinished-"
_OUTPUT_TAIL = 8
_ADVICE = f"make a Go module proxy reachable, or set {ASSETS_VARIABLE} to a folder with the binaries"

# What the sandbox installs: a name, the module, and a folder or file of the module.
_MANIFESTS = (
    ("kserve", KSERVE, "config/crd/full"),
    ("kserve-webhooks", KSERVE, "config/webhook/manifests.yaml"),
    ("kserve-config", KSERVE, "config/configmap/inferenceservice.yaml"),
    ("gateway-api", GATEWAY_API, "config/crd/standard"),
    ("keda", KEDA, "config/crd/bases"),
)


def silent(_line: str) -> None:
    """Ignore progress."""


class Binaries:
    """The paths of binaries by name."""

    def __init__(self, paths: Mapping[str, Path]) -> None:
        self._paths = dict(paths)

    def path(self, name: str) -> Path:
        """Return the path of a binary. Raises KeyError for one that was not requested."""
        return self._paths[name]


class ManifestFiles:
    """The objects that KServe, Gateway API and KEDA ship, in a folder with one JSON file per name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, name: str) -> list[Manifest]:
        """Return the objects under a name: `kserve`, `kserve-webhooks`, `gateway-api`, and so on."""
        objects: list[Manifest] = orjson.loads((self.folder / f"{name}.json").read_bytes())
        return objects


def locate_binaries(names: Sequence[str] = CONTROL_PLANE, progress: Progress = silent) -> Binaries:
    """Find these binaries, and build those that do not exist. Raises BinariesUnavailable."""
    return Binaries({name: _locate(name, progress) for name in names})


def locate_manifests(progress: Progress = silent) -> ManifestFiles:
    """Find the manifest files; the first time, read them from the Go module cache. Raises BinariesUnavailable.

    They are stored as JSON, because parsing megabytes of YAML takes longer than starting the control plane.
    """
    pins = GATEWAY_API.cache_name.rpartition("-")[2]
    folder = cache_folder() / f"{KSERVE.cache_name}-manifests-{pins}"
    targets = {name: folder / f"{name}.json" for name, _, _ in _MANIFESTS}
    if not _complete(targets.values()):
        with locked(folder, progress):
            if not _complete(targets.values()):
                progress("Downloading the CRDs of KServe, Gateway API and KEDA")
                for name, module, source in _MANIFESTS:
                    unfinished = folder / f"{_UNFINISHED}{name}"
                    unfinished.write_bytes(orjson.dumps(_read_objects(_module_folder(module, progress) / source)))
                    publish(unfinished, targets[name])
    return ManifestFiles(folder)


def _locate(name: str, progress: Progress) -> Path:
    assets = os.environ.get(ASSETS_VARIABLE)
    if assets and os.access(Path(assets) / name, os.X_OK):
        return Path(assets) / name
    module = next(module for module in MODULES if name in module.binaries)
    folder = cache_folder() / module.cache_name
    targets = [folder / binary for binary in module.binaries]
    if not _complete(targets):
        with locked(folder, progress):
            if not _complete(targets):
                _build(module, folder, progress)
    return folder / name


def _complete(paths: Iterable[Path]) -> bool:
    return all(path.exists() for path in paths)


def _build(module: Module, folder: Path, progress: Progress) -> None:
    toolchain = find_toolchain(module.go_version, progress)
    for leftover in folder.glob(
        f"{_UNFINISHED}*"
    ):  # From a build that was killed; because of the lock, no other one is running.
        shutil.rmtree(leftover, ignore_errors=True)
    with Keeper() as keeper:
        unfinished = Path(mkdtemp(prefix=_UNFINISHED, dir=folder))
        keeper.remove(unfinished)
        source, output = unfinished / "source", unfinished / "output"
        source.mkdir()
        output.mkdir()
        for name in ("go.mod", "go.sum"):
            shutil.copyfile(module.path / name, source / name)
        packages = list(module.binaries.values())
        if module.edit is not None:
            edited = _edited_main(module.edit, _download(module, toolchain, source, progress))
            (source / "main.go").write_text(edited, encoding="utf-8")
            packages = ["."]
        command = ["build", "-v", "-buildvcs=false", "-ldflags", module.linker_flags, "-o", f"{output}/", *packages]
        step = _Step(f"Building {module.title} {module.version} (only the first time)", progress)
        _run_go(toolchain, command, source, keeper, step)
        _publish_all(module, output, folder)


def _publish_all(module: Module, output: Path, folder: Path) -> None:
    """Publish the binaries under our names; Go names them after the last element of the package."""
    built = {path.name: path for path in output.iterdir()}
    for name in module.binaries:
        publish(built[name] if name in built else next(iter(built.values())), folder / name)


def _edited_main(edit: Edit, module_folder: Path) -> str:
    text = (module_folder / edit.file).read_text(encoding="utf-8")
    if text.count(edit.old) != 1:
        raise BinariesUnavailable(f"The pinned {edit.file} has changed: {edit.old!r} must occur once.")
    return text.replace(edit.old, edit.new)


@dataclass(frozen=True, slots=True)
class _Step:
    """What a command of Go is for, and where to report how far it is."""

    title: str
    progress: Progress


def _run_go(toolchain: GoToolchain, arguments: Sequence[str], cwd: Path, keeper: Keeper, step: _Step) -> None:
    """Run a command of Go and report its progress. Raises BinariesUnavailable with the end of its output."""
    step.progress(step.title)
    command = [str(toolchain.command), *arguments]
    with subprocess.Popen(  # noqa: S603 (our own command)
        command,
        cwd=cwd,
        env=toolchain.full_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        keeper.hold(process.pid)
        tail = _report(process.stdout or (), step)
        code = process.wait()
        keeper.release(process.pid)
    if code != 0:
        raise BinariesUnavailable(f"{step.title} failed; {_ADVICE}. Output of Go: {' / '.join(tail)}")


def _report(output: Iterable[str], step: _Step) -> Sequence[str]:
    """Report how many modules and packages are done; return the last lines of the output."""
    tail: deque[str] = deque(maxlen=_OUTPUT_TAIL)
    compiled = downloaded = 0
    for line in output:
        tail.append(line.strip())
        if line.startswith("go: downloading"):
            downloaded += 1
        elif " " not in line:  # The name of a package.
            compiled += 1
        counts = [f"{downloaded} modules downloaded"] * bool(downloaded) + [f"{compiled} packages compiled"]
        step.progress(f"{step.title}: {', '.join(counts)}")
    return tail


def _module_folder(module: Module, progress: Progress) -> Path:
    return _download(module, find_toolchain(module.go_version, progress), module.path, progress)


def _download(module: Module, toolchain: GoToolchain, cwd: Path, progress: Progress) -> Path:
    """Download the module and verify it against go.sum; return its folder in the module cache of Go."""
    progress(f"Downloading {module.title} {module.version}")
    answer = subprocess.run(  # noqa: S603 (our own command)
        [toolchain.command, "mod", "download", "-json", module.name],
        cwd=cwd,
        env=toolchain.full_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if answer.returncode != 0:
        raise BinariesUnavailable(
            f"{module.title} {module.version} cannot be downloaded; {_ADVICE}. Output of Go: {_reason(answer)}"
        )
    return Path(orjson.loads(answer.stdout)["Dir"])


def _reason(answer: subprocess.CompletedProcess[str]) -> str:
    try:
        return str(orjson.loads(answer.stdout)["Error"])
    except (orjson.JSONDecodeError, KeyError):
        return answer.stderr.strip() or "no reason given"


def _read_objects(source: Path) -> list[Manifest]:
    """Return all objects of a YAML file, or of the `*.yaml` files of a folder except those for kustomize."""
    files = sorted(source.glob("*.yaml")) if source.is_dir() else [source]
    return [
        document
        for file in files
        if file.name != "kustomization.yaml"
        for document in yaml.load_all(file.read_bytes(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        if document
    ]
