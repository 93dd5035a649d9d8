"""Where binaries come from, with a `go` that only pretends: found, built once, never half, and a sentence otherwise."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from aimd.sandbox import pins
from aimd.sandbox.binaries import CONTROL_PLANE, EVERYTHING, locate_binaries, locate_manifests
from aimd.sandbox.go import BinariesUnavailable
from aimd.sandbox.pins import ETCD, KSERVE, KUBERNETES, MODULES

FAKE_GO = f"""#!{sys.executable} -IS
import json, os, sys, time
from pathlib import Path
here = Path(__file__).parent
arguments = sys.argv[1:]
with open(here / "calls", "a") as calls:
    environment = {{name: os.environ.get(name, "") for name in ("GOFLAGS", "GOTOOLCHAIN")}}
    calls.write(json.dumps([arguments, environment]) + "\\n")
if arguments[0] == "version":
    print("go version", (here / "version").read_text(), "linux/amd64")
elif arguments[0] == "mod":
    print(json.dumps({{"Dir": str(here / "modules" / arguments[-1])}}))
else:
    assert Path("go.mod").exists() and Path("go.sum").exists()
    output = Path(arguments[arguments.index("-o") + 1])
    packages = arguments[arguments.index("-o") + 2:]
    for package in packages:
        name = "edited" if package == "." else package.rpartition("/")[2]
        print("compiled/" + package, flush=True)
        with open(output / name, "w") as binary:
            binary.write("half")
            binary.flush()
            time.sleep(float((here / "delay").read_text()))
            binary.write(" whole" + (Path("main.go").read_text() if package == "." else ""))
        os.chmod(output / name, 0o755)
    if (here / "broken").exists():
        print("dial tcp: lookup modules.invalid: no such host")
        sys.exit(1)
"""


@dataclass
class Machine:
    """A user's machine: an empty cache, and a `go` on the PATH."""

    go: Path
    cache: Path

    def calls(self, verb: str) -> list[str]:
        file = self.go / "calls"
        return [line for line in file.read_text().splitlines() if f'[["{verb}"' in line] if file.exists() else []

    def files(self) -> list[Path]:
        """Of the cache; unlike rglob, os.walk bears folders that go away meanwhile."""
        return [Path(folder) / name for folder, _, names in os.walk(self.cache) for name in names if name != ".lock"]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    go = tmp_path / "go"
    go.mkdir()
    (go / "go").write_text(FAKE_GO)
    (go / "go").chmod(0o755)
    (go / "version").write_text("go1.99.1")
    (go / "delay").write_text("0")
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(go))
    return Machine(go, tmp_path / "cache")


def put_kserve_module(machine: Machine, main: str) -> None:
    file = machine.go / "modules" / KSERVE.name / "cmd" / "manager" / "main.go"
    file.parent.mkdir(parents=True)
    file.write_text(main)


def test_assets_folder_comes_first_and_the_rest_is_built(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assets = tmp_path / "assets"
    assets.mkdir()
    for name in ("etcd", "kube-apiserver"):
        (assets / name).touch(mode=0o755)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(assets))

    found = locate_binaries()

    assert found.path("etcd") == assets / "etcd"
    assert found.path("kube-apiserver") == assets / "kube-apiserver"
    assert found.path("kube-scheduler").is_relative_to(machine.cache)
    assert len(machine.calls("build")) == 1


def test_one_command_builds_a_module_and_the_cache_serves_from_then_on(machine: Machine) -> None:
    found = locate_binaries(CONTROL_PLANE)
    assert [found.path(name).read_text() for name in CONTROL_PLANE] == ["half whole"] * 4
    assert len(machine.calls("build")) == 2, "etcd, and all of Kubernetes at once"

    (machine.go / "go").unlink()
    locate_binaries(CONTROL_PLANE)


def test_two_builders_at_once_build_once(machine: Machine) -> None:
    (machine.go / "delay").write_text("0.3")
    told: list[str] = []
    with ThreadPoolExecutor(2) as threads:
        paths = list(threads.map(lambda _: locate_binaries(["etcd"], told.append).path("etcd"), range(2)))
    assert paths[0] == paths[1]
    assert len(machine.calls("build")) == 1
    assert any(line.startswith("Waiting for another process") for line in told)


def test_a_killed_build_leaves_nothing_to_use_and_no_process(machine: Machine) -> None:
    (machine.go / "delay").write_text("60")
    program = "from aimd.sandbox.binaries import locate_binaries; locate_binaries(['etcd'])"
    with subprocess.Popen([sys.executable, "-c", program]) as builder:
        wait_until(lambda: any(path.read_text() == "half" for path in machine.files() if path.name == "v3"))
        builder.send_signal(signal.SIGKILL)
    wait_until(lambda: machine.files() == [])
    wait_until(lambda: not processes_of(machine.go / "go"))

    (machine.go / "delay").write_text("0")
    assert locate_binaries(["etcd"]).path("etcd").read_text() == "half whole"


def test_leftovers_of_a_crashed_machine_are_cleared_away(machine: Machine) -> None:
    leftover = machine.cache / "aimd" / ETCD.cache_name / ".unfinished-old" / "output"
    leftover.mkdir(parents=True)
    locate_binaries(["etcd"])
    assert not leftover.exists()


def test_a_failed_build_says_why_and_leaves_nothing(machine: Machine) -> None:
    (machine.go / "broken").touch()
    with pytest.raises(
        BinariesUnavailable,
        match=r"Building etcd v3\S+ \(only the first time\) failed; make a Go module proxy reachable.*no such host",
    ):
        locate_binaries(["etcd"])
    assert machine.files() == []


def test_a_changed_pin_is_another_folder(machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = locate_binaries(["etcd"]).path("etcd")
    tools = tmp_path / "tools" / "etcd"
    tools.mkdir(parents=True)
    for name in ("go.mod", "go.sum"):
        (tools / name).write_text((ETCD.path / name).read_text() + "// changed\n")
    monkeypatch.setattr(pins, "tools_folder", lambda: tmp_path / "tools")

    after = locate_binaries(["etcd"]).path("etcd")

    assert after != before
    assert len(machine.calls("build")) == 2


@pytest.mark.parametrize("version", ["", "go1.20.3"])
def test_without_go_and_without_an_index_there_is_one_clear_sentence(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    if version:
        (machine.go / "version").write_text(version)
    else:
        (machine.go / "go").unlink()
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))

    with pytest.raises(BinariesUnavailable) as raised:
        locate_binaries(["etcd"])

    text = str(raised.value)
    assert "\n" not in text
    assert "no Go 1.25.0 or newer" in text
    assert "KUBEBUILDER_ASSETS" in text


def test_kserve_is_made_to_listen_on_loopback_only(machine: Machine) -> None:
    put_kserve_module(machine, "webhook.Options{\n\tPort: options.webhookPort,\n}")
    binary = locate_binaries(["kserve-manager"]).path("kserve-manager")
    assert 'Host: "127.0.0.1", Port: options.webhookPort,' in binary.read_text()


def test_an_unexpected_source_is_not_edited_silently(machine: Machine) -> None:
    put_kserve_module(machine, "something else")
    with pytest.raises(BinariesUnavailable, match="must occur once"):
        locate_binaries(["kserve-manager"])


def test_manifests_are_read_from_the_modules_once(machine: Machine) -> None:
    crd = "kind: CustomResourceDefinition\nmetadata: {name: %s}\n"
    for module, folder in {
        KSERVE.name: "config/crd/full",
        "sigs.k8s.io/gateway-api": "config/crd/standard",
        "github.com/kedacore/keda/v2": "config/crd/bases",
    }.items():
        target = machine.go / "modules" / module / folder
        target.mkdir(parents=True)
        (target / "one.yaml").write_text(crd % "one")
        (target / "kustomization.yaml").write_text("kind: Kustomization\n")
    for file in ("config/webhook/manifests.yaml", "config/configmap/inferenceservice.yaml"):
        target = machine.go / "modules" / KSERVE.name / file
        target.parent.mkdir(parents=True)
        target.write_text("kind: First\n---\nkind: Second\n")

    first = locate_manifests()
    (machine.go / "go").unlink()

    assert [item["metadata"]["name"] for item in first.read("keda")] == ["one"]
    assert [item["kind"] for item in locate_manifests().read("kserve-webhooks")] == ["First", "Second"]


def test_builds_verify_the_pins_and_stamp_kubernetes_with_its_version(machine: Machine) -> None:
    locate_binaries(["kube-apiserver"])
    (build,) = machine.calls("build")
    assert '"GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "local"' in build
    major, minor, _ = KUBERNETES.version.removeprefix("v").split(".")
    for stamp in (f"gitVersion={KUBERNETES.version}", f"gitMajor={major}", f"gitMinor={minor}", "gitTreeState=clean"):
        assert f"-X k8s.io/component-base/version.{stamp}" in build


def test_every_binary_belongs_to_one_module_with_a_version_and_checksums() -> None:
    assert sorted(EVERYTHING) == sorted(name for module in MODULES for name in module.binaries)
    for module in (*MODULES, pins.GATEWAY_API, pins.KEDA):
        assert module.version.startswith("v")
        assert module.go_version >= (1, 24)
        assert module.name in (module.path / "go.sum").read_text()


def wait_until(condition: Callable[[], bool], seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "condition did not come true"
        time.sleep(0.05)


def processes_of(executable: Path) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if str(executable) in (process / "cmdline").read_text():
                found.append(process.name)
        except OSError:
            continue
    return found
